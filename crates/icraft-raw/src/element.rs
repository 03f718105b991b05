//! Types of elements, and slices of them from and to bytes.

use std::borrow::Cow;
use std::fmt;

/// The type of a tensor's elements, little-endian in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RawType {
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits; also holds values of 12 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// IEEE 754 single precision.
    F32,
}

impl RawType {
    /// Bytes of one element: 1, 2 or 4.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::I8 => 1,
            Self::I16 => 2,
            Self::I32 | Self::F32 => 4,
        }
    }
}

impl fmt::Display for RawType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::F32 => "f32",
        })
    }
}

/// An element that a raw file can hold: `i8`, `i16`, `i32`, `f32`.
pub trait RawElement: private::Words {
    /// Its type.
    const TYPE: RawType;
}

/// An integer that stands for a number `q * scale`: `i8`, `i16`, `i32`.
pub trait QuantizedElement: RawElement + private::Integer {}

mod private {
    use bytemuck::Pod;

    /// Little-endian bytes of one element. Out of reach, so that no further types are added.
    pub trait Words: Pod {
        /// As many bytes as the type has.
        type Bytes: Pod;
        /// The element of these bytes.
        fn from_file(bytes: Self::Bytes) -> Self;
        /// The bytes of this element.
        fn to_file(self) -> Self::Bytes;
    }

    /// From and to the numbers that integers stand for.
    pub trait Integer {
        /// `self * scale`, rounded as `decode` says.
        fn scaled(self, scale: f32) -> f32;
        /// Of a whole number in range.
        fn from_whole(value: f64) -> Self;
    }
}

macro_rules! element {
    ($type:ident, $variant:ident, $bytes:literal) => {
        impl private::Words for $type {
            type Bytes = [u8; $bytes];
            #[inline]
            fn from_file(bytes: [u8; $bytes]) -> Self {
                Self::from_le_bytes(bytes)
            }
            #[inline]
            fn to_file(self) -> [u8; $bytes] {
                self.to_le_bytes()
            }
        }

        impl RawElement for $type {
            const TYPE: RawType = RawType::$variant;
        }
    };
}

element!(i8, I8, 1);
element!(i16, I16, 2);
element!(i32, I32, 4);
element!(f32, F32, 4);

macro_rules! narrow {
    ($type:ident) => {
        impl private::Integer for $type {
            #[inline]
            fn scaled(self, scale: f32) -> f32 {
                f32::from(self) * scale
            }
            #[inline]
            fn from_whole(value: f64) -> Self {
                value as Self
            }
        }
    };
}

narrow!(i8);
narrow!(i16);

impl QuantizedElement for i8 {}
impl QuantizedElement for i16 {}
impl QuantizedElement for i32 {}

impl private::Integer for i32 {
    #[inline]
    fn scaled(self, scale: f32) -> f32 {
        (f64::from(self) * f64::from(scale)) as f32
    }
    #[inline]
    fn from_whole(value: f64) -> Self {
        value as Self
    }
}

/// The bytes of whole elements, one by one; `None` if some are left over.
pub(crate) fn words<T: RawElement>(bytes: &[u8]) -> Option<&[T::Bytes]> {
    bytemuck::try_cast_slice(bytes).ok()
}

/// The elements of a payload, without a copy where alignment and byte order allow; `None` if some bytes are left
/// over.
pub(crate) fn typed<T: RawElement>(bytes: &[u8]) -> Option<Cow<'_, [T]>> {
    let words = words::<T>(bytes)?;
    if cfg!(target_endian = "little")
        && let Ok(elements) = bytemuck::try_cast_slice(bytes)
    {
        return Some(Cow::Borrowed(elements));
    }
    Some(Cow::Owned(words.iter().map(|&word| T::from_file(word)).collect()))
}

/// The payload that a file holds for these elements: their little-endian bytes, one element after the other.
///
/// ```
/// assert_eq!(*icraft_raw::payload(&[1i16, -2]), [1, 0, 254, 255]);
/// ```
#[must_use]
pub fn payload<T: RawElement>(elements: &[T]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::Borrowed(bytemuck::cast_slice(elements))
    } else {
        let words: Vec<T::Bytes> = elements.iter().map(|&element| element.to_file()).collect();
        Cow::Owned(bytemuck::cast_slice(&words).to_vec())
    }
}

/// Whether two slices hold the same bits: zeros of different sign differ, a NaN equals itself.
pub(crate) fn same_bits(one: &[f32], other: &[f32]) -> bool {
    bytemuck::cast_slice::<f32, u8>(one) == bytemuck::cast_slice::<f32, u8>(other)
}
