//! Values of tensors: shown to users, and stored in buffers.

use crate::Format;
use crate::layout::{from_offset, to_offset, to_pixels, to_planes};

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

impl<'a> Values<'a> {
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

    /// Some of the values.
    pub(crate) fn range(&self, range: std::ops::Range<usize>) -> Self {
        match self {
            Values::F32(v) => Values::F32(&v[range]),
            Values::I8(v) => Values::I8(&v[range]),
            Values::I16(v) => Values::I16(&v[range]),
        }
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

    /// Whether these are stored as `format` says, and in its range.
    #[must_use]
    pub fn is_of(&self, format: Format) -> bool {
        match (self, format) {
            (Values::F32(_), Format::F32)
            | (Values::I8(_), Format::I8(_))
            | (Values::I16(_), Format::I16(_)) => true,
            (Values::I16(values), Format::I12(_)) => values.iter().all(|q| (-2048..=2047).contains(q)),
            _ => false,
        }
    }

    /// The real numbers that the values stand for under `format`.
    #[must_use]
    pub fn to_f32(&self, format: Format) -> Vec<f32> {
        match (self, format.params()) {
            (Values::F32(v), _) => v.to_vec(),
            (Values::I8(v), Some(params)) => v.iter().map(|&q| params.dequantize(q.into())).collect(),
            (Values::I16(v), Some(params)) => v.iter().map(|&q| params.dequantize(q.into())).collect(),
            (_, None) => self.to_numbers(),
        }
    }

    /// The values themselves, integers as they are.
    #[must_use]
    pub fn to_numbers(&self) -> Vec<f32> {
        match self {
            Values::F32(v) => v.to_vec(),
            Values::I8(v) => v.iter().map(|&q| q.into()).collect(),
            Values::I16(v) => v.iter().map(|&q| q.into()).collect(),
        }
    }
}

/// A tensor's values, kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Owned {
    F32(Vec<f32>),
    I8(Vec<i8>),
    I16(Vec<i16>),
}

impl Default for Owned {
    fn default() -> Self {
        Owned::I8(Vec::new())
    }
}

impl Owned {
    fn empty_like(values: Values<'_>) -> Self {
        match values {
            Values::F32(_) => Owned::F32(Vec::new()),
            Values::I8(_) => Owned::I8(Vec::new()),
            Values::I16(_) => Owned::I16(Vec::new()),
        }
    }

    /// Takes over `values`; the memory is used again where the type has not changed.
    pub(crate) fn set(&mut self, values: Values<'_>) {
        match (&mut *self, values) {
            (Owned::F32(kept), Values::F32(v)) => replace(kept, v),
            (Owned::I8(kept), Values::I8(v)) => replace(kept, v),
            (Owned::I16(kept), Values::I16(v)) => replace(kept, v),
            _ => {
                *self = Self::empty_like(values);
                self.set(values);
            }
        }
    }

    pub(crate) fn values(&self) -> Values<'_> {
        match self {
            Owned::F32(v) => Values::F32(v),
            Owned::I8(v) => Values::I8(v),
            Owned::I16(v) => Values::I16(v),
        }
    }
}

fn replace<T: Copy>(kept: &mut Vec<T>, values: &[T]) {
    kept.clear();
    kept.extend_from_slice(values);
}

/// Storage of one or, one after the other, several tensors, pixel by pixel (see [`crate::layout`]).
#[derive(Debug)]
pub(crate) enum Buffer {
    F32(Vec<f32>),
    /// 8-bit integers with 128 added.
    U8(Vec<u8>),
    I16(Vec<i16>),
}

/// A tensor in its storage.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stored<'a> {
    F32(&'a [f32]),
    U8(&'a [u8]),
    I16(&'a [i16]),
}

impl Default for Buffer {
    fn default() -> Self {
        Buffer::U8(Vec::new())
    }
}

impl Buffer {
    pub(crate) fn for_format(format: Format) -> Self {
        match format {
            Format::F32 => Buffer::F32(Vec::new()),
            Format::I8(_) => Buffer::U8(Vec::new()),
            Format::I12(_) | Format::I16(_) => Buffer::I16(Vec::new()),
        }
    }

    /// Makes room for `len` values.
    pub(crate) fn grow(&mut self, len: usize) {
        match self {
            Buffer::F32(v) => v.resize(len.max(v.len()), 0.0),
            Buffer::U8(v) => v.resize(len.max(v.len()), 0),
            Buffer::I16(v) => v.resize(len.max(v.len()), 0),
        }
    }

    /// The first `len` values; none before the buffer is used.
    pub(crate) fn stored(&self, len: usize) -> Stored<'_> {
        match self {
            Buffer::F32(v) => Stored::F32(v.get(..len).unwrap_or_default()),
            Buffer::U8(v) => Stored::U8(v.get(..len).unwrap_or_default()),
            Buffer::I16(v) => Stored::I16(v.get(..len).unwrap_or_default()),
        }
    }

    /// Values that there is room for.
    pub(crate) fn len(&self) -> usize {
        match self {
            Buffer::F32(v) => v.len(),
            Buffer::U8(v) => v.len(),
            Buffer::I16(v) => v.len(),
        }
    }

    pub(crate) fn element_bytes(&self) -> usize {
        match self {
            Buffer::F32(_) => 4,
            Buffer::U8(_) => 1,
            Buffer::I16(_) => 2,
        }
    }

    pub(crate) fn empty_like(&self) -> Self {
        match self {
            Buffer::F32(_) => Buffer::F32(Vec::new()),
            Buffer::U8(_) => Buffer::U8(Vec::new()),
            Buffer::I16(_) => Buffer::I16(Vec::new()),
        }
    }

    /// Takes over the planes of a tensor of `channels`; their types agree.
    pub(crate) fn take_planes(&mut self, planes: Values<'_>, channels: usize) {
        match (self, planes) {
            (Buffer::F32(to), Values::F32(planes)) => to_pixels(planes, channels, to, |v| v),
            (Buffer::U8(to), Values::I8(planes)) => to_pixels(planes, channels, to, to_offset),
            (Buffer::I16(to), Values::I16(planes)) => to_pixels(planes, channels, to, |v| v),
            _ => debug_assert!(false, "types are checked before"),
        }
    }
}

impl Stored<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Stored::F32(v) => v.len(),
            Stored::U8(v) => v.len(),
            Stored::I16(v) => v.len(),
        }
    }

    /// Writes the planes of a tensor of `channels` from value `first` on; their types agree, and there is room for them.
    pub(crate) fn write_planes(&self, channels: usize, planes: &mut Owned, first: usize) {
        match (self, planes) {
            (Stored::F32(pixels), Owned::F32(planes)) => {
                to_planes(pixels, &mut planes[first..][..pixels.len()], channels, |v| v);
            }
            (Stored::U8(pixels), Owned::I8(planes)) => {
                to_planes(pixels, &mut planes[first..][..pixels.len()], channels, from_offset);
            }
            (Stored::I16(pixels), Owned::I16(planes)) => {
                to_planes(pixels, &mut planes[first..][..pixels.len()], channels, |v| v);
            }
            _ => debug_assert!(false, "types are checked before"),
        }
    }
}

impl Owned {
    /// As many values, of the type of a format; which ones is left open.
    pub(crate) fn resize_for(&mut self, format: Format, len: usize) {
        match (&mut *self, format) {
            (Owned::F32(v), Format::F32) => v.resize(len, 0.0),
            (Owned::I8(v), Format::I8(_)) => v.resize(len, 0),
            (Owned::I16(v), Format::I12(_) | Format::I16(_)) => v.resize(len, 0),
            (_, Format::F32) => *self = Owned::F32(vec![0.0; len]),
            (_, Format::I8(_)) => *self = Owned::I8(vec![0; len]),
            (_, Format::I12(_) | Format::I16(_)) => *self = Owned::I16(vec![0; len]),
        }
    }
}
