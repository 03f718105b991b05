//! Functions of one integer, as tables.

use crate::layout::to_offset;
use crate::simd::{Bytes, Words};
use crate::{Activation, Format, Rounding};

/// The values of a function for every integer of an input format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// The integer that belongs to the first entry.
    pub(crate) first: i32,
    pub(crate) values: Entries,
}

/// Entries as tensors store them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entries {
    /// 8-bit integers with 128 added.
    U8(Bytes),
    I16(Words),
}

impl Table {
    /// `clamp(round(f((q - zero_point_in) scale_in) / scale_out) + zero_point_out)` for every `q`, computed in f64, halves to even.
    /// `None` if a format is f32.
    pub(crate) fn activation(activation: Activation, input: Format, output: Format) -> Option<Self> {
        let (from, to) = (input.params()?, output.params()?);
        let ((first, last), (low, high)) = (input.range()?, output.range()?);
        let value = |q: i32| {
            let x = f64::from(q - from.zero_point) * f64::from(from.scale);
            to.quantize(activation.eval(x), low, high, Rounding::HalfEven)
        };
        let values = match output {
            Format::I8(_) => Entries::U8(Bytes::new((first..=last).map(|q| to_offset(value(q) as i8)))),
            _ => Entries::I16(Words::new((first..=last).map(|q| value(q) as i16))),
        };
        Some(Self { first, values })
    }
}
