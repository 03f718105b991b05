//! Functions of one integer, as tables.

use crate::{Activation, Format, Rounding};

/// The values of a function for every integer of an input format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// The integer that belongs to the first entry.
    first: i32,
    values: Vec<i16>,
}

impl Table {
    /// `clamp(round(f((q - zero_point_in) scale_in) / scale_out) + zero_point_out)` for every `q`, computed in f64, halves to even.
    /// `None` if a format is f32.
    pub(crate) fn activation(activation: Activation, input: Format, output: Format) -> Option<Self> {
        let (from, to) = (input.params()?, output.params()?);
        let ((first, last), (low, high)) = (input.range()?, output.range()?);
        let value = |q: i32| {
            let x = f64::from(q - from.zero_point) * f64::from(from.scale);
            to.quantize(activation.eval(x), low, high, Rounding::HalfEven) as i16
        };
        Some(Self { first, values: (first..=last).map(value).collect() })
    }

    /// The value for `q`, which must be within the input format.
    #[inline(always)]
    pub(crate) fn get(&self, q: i32) -> i16 {
        self.values[(q - self.first) as usize]
    }
}
