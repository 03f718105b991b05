//! Element types of stored tensors, and their expansion to dense `f32`.

use std::fmt;

use half::{bf16, f16};

/// The type of a stored tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ElementType {
    /// IEEE 754 binary64.
    Float64,
    /// IEEE 754 binary32.
    Float32,
    /// IEEE 754 binary16.
    Float16,
    /// The upper half of a binary32.
    BFloat16,
    /// Signed, 64 bits.
    Int64,
    /// Signed, 32 bits.
    Int32,
    /// Signed, 16 bits.
    Int16,
    /// Signed, 8 bits.
    Int8,
    /// Unsigned, 64 bits.
    UInt64,
    /// Unsigned, 32 bits.
    UInt32,
    /// Unsigned, 16 bits.
    UInt16,
    /// Unsigned, 8 bits.
    UInt8,
    /// A byte, 0 or 1.
    Bool,
}

impl ElementType {
    /// Size of an element in bytes.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::Float64 | Self::Int64 | Self::UInt64 => 8,
            Self::Float32 | Self::Int32 | Self::UInt32 => 4,
            Self::Float16 | Self::BFloat16 | Self::Int16 | Self::UInt16 => 2,
            Self::Int8 | Self::UInt8 | Self::Bool => 1,
        }
    }

    /// Whether the elements are floating-point numbers.
    #[must_use]
    pub fn is_float(self) -> bool {
        matches!(self, Self::Float64 | Self::Float32 | Self::Float16 | Self::BFloat16)
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float64 => "float64",
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::BFloat16 => "bfloat16",
            Self::Int64 => "int64",
            Self::Int32 => "int32",
            Self::Int16 => "int16",
            Self::Int8 => "int8",
            Self::UInt64 => "uint64",
            Self::UInt32 => "uint32",
            Self::UInt16 => "uint16",
            Self::UInt8 => "uint8",
            Self::Bool => "bool",
        })
    }
}

/// A strided window on a storage, in elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>, // as many as dimensions
}

impl View {
    /// Number of elements that the view shows; `None` if it does not fit a `usize`.
    pub(super) fn count(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size))
    }

    /// Whether every element lies inside a storage of `stored` elements. A view without elements lies
    /// anywhere.
    pub(super) fn fits(&self, stored: usize) -> bool {
        if self.shape.contains(&0) {
            return true;
        }
        let last = self.shape.iter().zip(&self.strides).try_fold(self.offset, |last, (&size, &stride)| {
            size.checked_sub(1)?.checked_mul(stride)?.checked_add(last)
        });
        last.is_some_and(|last| last < stored)
    }

    /// Whether the elements lie one after the other in C order. Dimensions of size 1 may have any stride.
    fn is_contiguous(&self) -> bool {
        let mut expected = 1usize;
        self.shape.iter().zip(&self.strides).rev().all(|(&size, &stride)| {
            let fits = size == 1 || stride == expected;
            expected = expected.saturating_mul(size);
            fits
        })
    }

    /// The storage index of every element in C order: an odometer over the dimensions.
    fn indices(&self, count: usize) -> impl Iterator<Item = usize> + '_ {
        let mut position = vec![0usize; self.shape.len()];
        let mut index = self.offset;
        (0..count).map(move |_| {
            let current = index;
            for ((place, &size), &stride) in position.iter_mut().zip(&self.shape).zip(&self.strides).rev() {
                *place += 1;
                if *place < size {
                    index += stride;
                    break;
                }
                index -= (size - 1) * stride;
                *place = 0;
            }
            current
        })
    }
}

/// The elements of a floating-point view in C order, as `f32`: binary16, bfloat16 and binary32 exactly,
/// binary64 rounded to the nearest, ties to even. `None` if the view leaves `storage` (little endian) or
/// `element` is an integer type.
pub(super) fn expand(storage: &[u8], element: ElementType, view: &View) -> Option<Vec<f32>> {
    let count = view.count()?;
    if !view.fits(storage.len() / element.size()) {
        return None;
    }
    match element {
        ElementType::Float64 => gather(storage, view, count, |bytes| f64::from_le_bytes(bytes) as f32),
        ElementType::Float32 => gather(storage, view, count, f32::from_le_bytes),
        ElementType::Float16 => gather(storage, view, count, |bytes| f16::from_le_bytes(bytes).to_f32()),
        ElementType::BFloat16 => gather(storage, view, count, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        _ => None,
    }
}

fn gather<const N: usize>(
    storage: &[u8],
    view: &View,
    count: usize,
    decode: impl Fn([u8; N]) -> f32,
) -> Option<Vec<f32>> {
    let (elements, _) = storage.as_chunks::<N>();
    if count == 0 {
        return Some(Vec::new());
    }
    if view.is_contiguous() {
        let stored = elements.get(view.offset..view.offset.checked_add(count)?)?;
        return Some(stored.iter().map(|&bytes| decode(bytes)).collect());
    }
    view.indices(count).map(|index| elements.get(index).map(|&bytes| decode(bytes))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn views_expand_to_c_order() {
        let storage = bytes(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let rows: [(&str, View, &[f32]); 5] = [
            (
                "plain",
                View { offset: 1, shape: vec![2, 3], strides: vec![3, 1] },
                &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            ),
            (
                "transposed",
                View { offset: 0, shape: vec![3, 2], strides: vec![1, 3] },
                &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0],
            ),
            ("repeated", View { offset: 6, shape: vec![3], strides: vec![0] }, &[6.0, 6.0, 6.0]),
            ("scalar", View { offset: 2, shape: vec![], strides: vec![] }, &[2.0]),
            ("empty", View { offset: 99, shape: vec![4, 0], strides: vec![9, 9] }, &[]),
        ];
        for (name, view, expected) in rows {
            assert_eq!(expand(&storage, ElementType::Float32, &view).as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn views_outside_the_storage_are_refused() {
        let storage = bytes(&[0.0; 4]);
        for view in [
            View { offset: 4, shape: vec![], strides: vec![] },
            View { offset: 0, shape: vec![5], strides: vec![1] },
            View { offset: 0, shape: vec![2, 2], strides: vec![3, 1] },
            View { offset: usize::MAX, shape: vec![2], strides: vec![usize::MAX] },
            View { offset: 0, shape: vec![usize::MAX, 2], strides: vec![0, 0] },
        ] {
            assert_eq!(expand(&storage, ElementType::Float32, &view), None, "{view:?}");
        }
    }
}
