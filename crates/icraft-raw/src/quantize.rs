//! Real numbers to integers.

use crate::element::QuantizedElement;
use crate::{TensorScales, ValueError};

/// Which integer is nearest to a number halfway between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TieRounding {
    /// The one further from zero: 0.5 to 1, -2.5 to -3. The compiler of the later generation rounds so.
    HalfAway,
    /// The even one: 0.5 to 0, -2.5 to -2. Scripts around PyTorch round so.
    HalfEven,
}

/// Which integers of `b` bits are used; numbers beyond become the nearest of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IntegerRange {
    /// `-T ..= T` with `T = 2^(b-1) - 1`. The compiler of the later generation clamps so.
    Symmetric,
    /// `-2^(b-1) ..= 2^(b-1) - 1`, all that `b` bits hold.
    Full,
}

/// The integers that numbers are rounded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IntegerGrid {
    /// Bits of an integer, in [2, bits of the element type]; see [`BitWidth::value_bits`](crate::BitWidth).
    pub bits: u32,
    /// Integers used.
    pub range: IntegerRange,
    /// Rounding halfway between two.
    pub ties: TieRounding,
}

impl IntegerGrid {
    /// Least and greatest integer.
    fn limits(self) -> (f64, f64) {
        let half = 2f64.powi(self.bits as i32 - 1);
        match self.range {
            IntegerRange::Symmetric => (1.0 - half, half - 1.0),
            IntegerRange::Full => (-half, half - 1.0),
        }
    }
}

/// A quantised tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantizedValues<T> {
    /// The integers, in the order of the numbers they stand for.
    pub values: Vec<T>,
    /// How many of them were clamped, because their number is nearest to an integer out of range.
    pub clamped: usize,
}

/// The nearest integers, `q = clamp(round(w / scale))`, of weights in the layout of raw files. Quotients are
/// computed in f64, where up to 24 bits none is taken for a tie that is none: two f32 whose quotient is not
/// `k + 1/2` miss it by at least `2^-25`. In f32 some would be.
///
/// # Errors
///
/// [`ValueError::Bits`], [`ValueError::Scale`], [`ValueError::ScaleCount`]; [`ValueError::NotFinite`]
/// for the first weight that is NaN or infinite.
pub fn quantize<T: QuantizedElement>(
    weights: &[f32],
    scales: TensorScales<'_>,
    grid: IntegerGrid,
) -> Result<QuantizedValues<T>, ValueError> {
    if !(2..=8 * T::TYPE.bytes() as u32).contains(&grid.bits) {
        return Err(ValueError::Bits { bits: grid.bits, element: T::TYPE });
    }
    let row = scales.row(weights.len())?;
    if let Some(index) = weights.iter().position(|weight| !weight.is_finite()) {
        return Err(ValueError::NotFinite { index, value: weights[index] });
    }
    Ok(match grid.ties {
        TieRounding::HalfAway => nearest(weights, &row, grid.limits(), f64::round),
        TieRounding::HalfEven => nearest(weights, &row, grid.limits(), f64::round_ties_even),
    })
}

fn nearest<T: QuantizedElement>(
    weights: &[f32],
    scales: &[f32],
    (least, greatest): (f64, f64),
    round: impl Fn(f64) -> f64,
) -> QuantizedValues<T> {
    let mut quantized = QuantizedValues { values: Vec::with_capacity(weights.len()), clamped: 0 };
    for weights in weights.chunks(scales.len()) {
        quantized.values.extend(weights.iter().zip(scales).map(|(&weight, &scale)| {
            let whole = round(f64::from(weight) / f64::from(scale));
            let value = whole.clamp(least, greatest);
            quantized.clamped += usize::from(value != whole);
            T::from_whole(value)
        }));
    }
    quantized
}
