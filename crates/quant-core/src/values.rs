//! Values of tensors: shown to users, and stored in buffers.

use crate::Format;

/// A tensor's values, planar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Values<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// 8-bit integers.
    I8(&'a [i8]),
    /// 16-bit integers.
    I16(&'a [i16]),
}

impl Values<'_> {
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Values::F32(v) => v.len(),
            Values::I8(v) => v.len(),
            Values::I16(v) => v.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Values::F32(v) => 4 * v.len(),
            Values::I8(v) => v.len(),
            Values::I16(v) => 2 * v.len(),
        }
    }

    /// Whether these are stored as `format` says.
    #[must_use]
    pub fn is_of(&self, format: Format) -> bool {
        matches!(
            (self, format),
            (Values::F32(_), Format::F32) | (Values::I8(_), Format::I8(_)) | (Values::I16(_), Format::I16(_))
        )
    }

    /// The real numbers that the values stand for under `format`.
    #[must_use]
    pub fn to_f32(&self, format: Format) -> Vec<f32> {
        match (self, format.params()) {
            (Values::F32(v), _) => v.to_vec(),
            (Values::I8(v), Some(params)) => v.iter().map(|&q| params.dequantize(q.into())).collect(),
            (Values::I16(v), Some(params)) => v.iter().map(|&q| params.dequantize(q.into())).collect(),
            (Values::I8(v), None) => v.iter().map(|&q| q.into()).collect(),
            (Values::I16(v), None) => v.iter().map(|&q| q.into()).collect(),
        }
    }
}

/// Storage of one or, one after the other, several tensors.
#[derive(Debug)]
pub(crate) enum Buffer {
    F32(Vec<f32>),
    I8(Vec<i8>),
    I16(Vec<i16>),
}

impl Buffer {
    pub(crate) fn for_format(format: Format) -> Self {
        match format {
            Format::F32 => Buffer::F32(Vec::new()),
            Format::I8(_) => Buffer::I8(Vec::new()),
            Format::I16(_) => Buffer::I16(Vec::new()),
        }
    }

    /// Makes room for `len` values.
    pub(crate) fn grow(&mut self, len: usize) {
        match self {
            Buffer::F32(v) => v.resize(len.max(v.len()), 0.0),
            Buffer::I8(v) => v.resize(len.max(v.len()), 0),
            Buffer::I16(v) => v.resize(len.max(v.len()), 0),
        }
    }

    /// The first `len` values; none before the buffer is used.
    pub(crate) fn values(&self, len: usize) -> Values<'_> {
        match self {
            Buffer::F32(v) => Values::F32(v.get(..len).unwrap_or_default()),
            Buffer::I8(v) => Values::I8(v.get(..len).unwrap_or_default()),
            Buffer::I16(v) => Values::I16(v.get(..len).unwrap_or_default()),
        }
    }

    /// Values that there is room for.
    pub(crate) fn len(&self) -> usize {
        match self {
            Buffer::F32(v) => v.len(),
            Buffer::I8(v) => v.len(),
            Buffer::I16(v) => v.len(),
        }
    }

    pub(crate) fn element_bytes(&self) -> usize {
        match self {
            Buffer::F32(_) => 4,
            Buffer::I8(_) => 1,
            Buffer::I16(_) => 2,
        }
    }

    pub(crate) fn empty_like(&self) -> Self {
        match self {
            Buffer::F32(_) => Buffer::F32(Vec::new()),
            Buffer::I8(_) => Buffer::I8(Vec::new()),
            Buffer::I16(_) => Buffer::I16(Vec::new()),
        }
    }
}
