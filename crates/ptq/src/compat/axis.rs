//! Values of a tensor by their index along one axis.

use super::Error;

/// One axis of a dense row-major tensor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    /// Its length.
    count: usize,
    /// Values between one index and the next.
    inner: usize,
}

impl Axis {
    /// The axis of a tensor with `values` values; negative ones count from the end.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is no such axis, no value, or the shape says otherwise.
    pub(super) fn new(values: usize, shape: &[usize], axis: isize) -> Result<Self, Error> {
        let size = shape.iter().try_fold(1usize, |size, &d| size.checked_mul(d));
        let index = if axis < 0 { axis.checked_add_unsigned(shape.len()) } else { Some(axis) };
        let index = index.and_then(|index| usize::try_from(index).ok()).filter(|&index| index < shape.len());
        match index {
            Some(index) if size == Some(values) && values > 0 => {
                Ok(Self { count: shape[index], inner: shape[index + 1..].iter().product() })
            }
            _ => Err(Error::Shape { shape: shape.to_vec(), values, axis: Some(axis) }),
        }
    }

    /// The index along the axis of the value at `position`.
    pub(super) fn index(self, position: usize) -> usize {
        position / self.inner % self.count
    }

    /// The values of each index.
    pub(super) fn channels(self, values: &[f32]) -> Vec<Vec<f32>> {
        let mut channels = vec![Vec::with_capacity(values.len() / self.count); self.count];
        for (row, chunk) in values.chunks_exact(self.inner).enumerate() {
            channels[row % self.count].extend_from_slice(chunk);
        }
        channels
    }
}
