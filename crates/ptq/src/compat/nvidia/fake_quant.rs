//! `tensor_quant`: quantisation by a maximum of magnitudes.

use crate::compat::{Error, numeric};

/// The integers that a value becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntegerFormat {
    bits: u32,
    unsigned: bool,
}

impl IntegerFormat {
    /// `num_bits=8, unsigned=False`.
    pub const INT8: Self = Self { bits: 8, unsigned: false };
    /// `num_bits=8, unsigned=True`.
    pub const UINT8: Self = Self { bits: 8, unsigned: true };

    /// Integers of `bits` bits, 2 to 16.
    ///
    /// # Errors
    /// [`Error::Bits`].
    pub fn new(bits: u32, unsigned: bool) -> Result<Self, Error> {
        if (2..=16).contains(&bits) { Ok(Self { bits, unsigned }) } else { Err(Error::Bits { bits }) }
    }

    /// Levels above zero and zero itself: `2^(bits - 1 + unsigned)`.
    pub(super) fn levels(self) -> usize {
        1 << (self.bits - 1 + u32::from(self.unsigned))
    }
}

/// The least integer of a signed format; unsigned ones start at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RangeLimit {
    /// `-(2^(bits - 1) - 1)`: the functions' default, `narrow_range=True`.
    #[default]
    Narrow,
    /// `-2^(bits - 1)`: the default of `QuantDescriptor`, `narrow_range=False`.
    Full,
}

/// `_tensor_quant` prepared for one maximum.
pub(super) struct Quantizer {
    /// Multiplied with: `bound / amax`.
    factor: f32,
    low: f32,
    high: f32,
    /// Divided by: the same, or 1 where everything becomes 0.
    scale: f32,
}

impl Quantizer {
    /// quirk `tiny-amax-is-zero`: for `amax <= 2^-24` everything becomes 0.
    pub(super) fn new(amax: f32, format: IntegerFormat, limit: RangeLimit) -> Result<Self, Error> {
        if amax < 0.0 {
            return Err(Error::NegativeAmax { amax });
        }
        let high = (format.levels() - 1) as f32;
        let low = match limit {
            _ if format.unsigned => 0.0,
            RangeLimit::Narrow => -high,
            RangeLimit::Full => -high - 1.0,
        };
        let tiny = amax <= 1.0 / (1 << 24) as f32;
        let scale = high / amax;
        Ok(if tiny {
            Self { factor: 0.0, low, high, scale: 1.0 }
        } else {
            Self { factor: scale, low, high, scale }
        })
    }

    /// quirk `multiplies-by-inverse`: the value is multiplied by `bound / amax`, not divided by `amax / bound`; halves go to even.
    ///
    /// The reference rounds before it clamps; the bounds are integers, so that the order does not matter.
    #[inline]
    fn quantize(&self, x: f32) -> f32 {
        numeric::round_small((x * self.factor).clamp(self.low, self.high))
    }

    /// `fake_tensor_quant` of one value.
    #[inline]
    pub(super) fn fake(&self, x: f32) -> f32 {
        self.quantize(x) / self.scale
    }
}

/// Refuses what unsigned integers can't hold, as the reference does: NaN passes.
pub(super) fn check_sign(values: &[f32], format: IntegerFormat) -> Result<(), Error> {
    match numeric::extremes(values) {
        Some((value, _)) if format.unsigned && value < 0.0 => Err(Error::NegativeInput { value }),
        _ => Ok(()),
    }
}

/// `tensor_quant`: the integers, as floats, and the scale by which to divide them, `bound / amax`, or 1 for `amax <= 2^-24`.
///
/// With `bound = 2^(bits - 1 + unsigned) - 1` each value becomes `clamp(round(x * (bound / amax)), low, bound)` in f32.
///
/// # Errors
/// [`Error::NegativeAmax`], [`Error::NegativeInput`].
pub fn tensor_quant(
    values: &[f32],
    amax: f32,
    format: IntegerFormat,
    limit: RangeLimit,
) -> Result<(Vec<f32>, f32), Error> {
    check_sign(values, format)?;
    let quantizer = Quantizer::new(amax, format, limit)?;
    Ok((values.iter().map(|&x| quantizer.quantize(x)).collect(), quantizer.scale))
}

/// `fake_tensor_quant`: [`tensor_quant`] and the division by the scale.
///
/// # Errors
/// As [`tensor_quant`].
pub fn fake_tensor_quant(
    values: &[f32],
    amax: f32,
    format: IntegerFormat,
    limit: RangeLimit,
) -> Result<Vec<f32>, Error> {
    let (mut values, scale) = tensor_quant(values, amax, format, limit)?;
    values.iter_mut().for_each(|x| *x /= scale);
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `_tensor_quant` in the order of the reference.
    fn slow(x: f32, amax: f32, bits: u32, unsigned: bool, full: bool) -> f32 {
        let bound = 2f32.powi(bits as i32 - 1 + i32::from(unsigned)) - 1.0;
        let low = if unsigned { 0.0 } else { -bound - f32::from(u8::from(full)) };
        let scale = if amax <= 2f32.powi(-24) { 0.0 } else { bound / amax };
        let q = (x * scale).round_ties_even();
        let q = if q < low { low } else { q };
        let q = if q > bound { bound } else { q };
        q / if scale == 0.0 { 1.0 } else { scale }
    }

    proptest::proptest! {
        #[test]
        fn values_become_what_the_plain_steps_make_of_them(
            x in proptest::num::f32::ANY, amax in 1e-9f32..1e9, tiny in 1e-8f32..1e-7, bits in 2u32..=16,
            unsigned: bool, full: bool,
        ) {
            let limit = if full { RangeLimit::Full } else { RangeLimit::Narrow };
            let format = IntegerFormat::new(bits, unsigned).unwrap();
            for (x, amax) in [(x, amax), (x, tiny), (x % amax, amax), (x % tiny, tiny)] {
                let x = if unsigned { x.abs() } else { x };
                let (want, got) = (slow(x, amax, bits, unsigned, full), fake_tensor_quant(&[x], amax, format, limit).unwrap()[0]);
                let same = want.to_bits() == got.to_bits() || want.is_nan() && got.is_nan();
                proptest::prop_assert!(same, "{} of {}: {} for {}", x, amax, got, want);
            }
        }
    }

    #[test]
    fn wrong_arguments_are_errors() {
        assert_eq!(IntegerFormat::new(1, false), Err(Error::Bits { bits: 1 }));
        assert_eq!(IntegerFormat::new(17, true), Err(Error::Bits { bits: 17 }));
        let quantize = |x, amax, format| tensor_quant(&[x], amax, format, RangeLimit::Full);
        assert_eq!(quantize(1.0, -1.0, IntegerFormat::INT8), Err(Error::NegativeAmax { amax: -1.0 }));
        assert_eq!(quantize(-1.0, 1.0, IntegerFormat::UINT8), Err(Error::NegativeInput { value: -1.0 }));
        assert_eq!(quantize(-9.0, 1.0, IntegerFormat::INT8), Ok((vec![-128.0], 127.0)));
        assert_eq!(quantize(9.0, 0.0, IntegerFormat::INT8), Ok((vec![0.0], 1.0)));
        let least = 2f32.powi(-24);
        assert_eq!(quantize(9.0, least, IntegerFormat::INT8), Ok((vec![0.0], 1.0)));
        assert_eq!(quantize(9.0, least.next_up(), IntegerFormat::INT8).unwrap().0, [127.0]);
    }
}
