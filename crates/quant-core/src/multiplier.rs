//! Real factors as integers: `factor = mantissa * 2^-shift`.

use crate::{Error, Rounding, shift_right};
use serde::{Deserialize, Serialize};

/// In which form a target represents the factor of a requantisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScaleForm {
    /// `m * 2^-n` with `m` of at most this many bits (1 to 31); 31 is gemmlowp's and CMSIS-NN's form.
    MantissaShift {
        /// Bits of the mantissa.
        bits: u8,
    },
    /// `2^-n`: a shift alone; the exponent nearest to the factor in the logarithm.
    PowerOfTwo,
}

impl Default for ScaleForm {
    fn default() -> Self {
        ScaleForm::MantissaShift { bits: 31 }
    }
}

/// A positive factor `mantissa * 2^-shift`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Multiplier {
    /// In `[0, 2^31)`.
    pub mantissa: i32,
    /// In `[0, 62]`.
    pub shift: u8,
}

impl Multiplier {
    /// The largest shift.
    pub const MAX_SHIFT: u8 = 62;

    /// The representable factor nearest to `factor` (mantissa half to even). Factors that round to less than `2^-62` become zero.
    ///
    /// # Errors
    /// [`Error::Factor`] if `factor` is not positive and finite, or needs more bits before the point than the form has
    /// (`2^bits` and above; above `2^30` for a power of two);
    /// [`Error::Bits`] if the form's width is not in `[1, 31]`.
    pub fn from_real(factor: f64, form: ScaleForm) -> Result<Self, Error> {
        if !(factor > 0.0 && factor.is_finite()) {
            return Err(Error::Factor { factor });
        }
        match form {
            ScaleForm::PowerOfTwo => Self::power_of_two(factor),
            ScaleForm::MantissaShift { bits } if !(1..=31).contains(&bits) => Err(Error::Bits { bits }),
            ScaleForm::MantissaShift { bits } => Self::mantissa_shift(factor, i32::from(bits)),
        }
    }

    fn power_of_two(factor: f64) -> Result<Self, Error> {
        let shift = -libm::log2(factor).round_ties_even() as i32;
        match shift {
            ..=-31 => Err(Error::Factor { factor }),
            -30..0 => Ok(Self { mantissa: 1 << -shift, shift: 0 }),
            0..=62 => Ok(Self { mantissa: 1, shift: shift as u8 }),
            _ => Ok(Self { mantissa: 0, shift: 0 }),
        }
    }

    fn mantissa_shift(factor: f64, bits: i32) -> Result<Self, Error> {
        // factor = fraction * 2^exponent, fraction in [1/2, 1): scaled so that the mantissa has exactly `bits` bits.
        let (fraction, exponent) = libm::frexp(factor);
        let shift = (bits - exponent).min(i32::from(Self::MAX_SHIFT));
        if shift < 0 {
            return Err(Error::Factor { factor });
        }
        let mantissa = libm::ldexp(fraction, exponent + shift).round_ties_even() as i64;
        // 2^bits appears when the fraction rounds up to one: the same factor with one bit less.
        if mantissa == 1 << bits {
            return match shift {
                0 => Err(Error::Factor { factor }),
                _ => Ok(Self { mantissa: (mantissa / 2) as i32, shift: shift as u8 - 1 }),
            };
        }
        Ok(Self { mantissa: mantissa as i32, shift: shift as u8 })
    }

    /// The factor that is really applied.
    #[must_use]
    pub fn real(&self) -> f64 {
        libm::ldexp(f64::from(self.mantissa), -i32::from(self.shift))
    }

    /// `value * mantissa / 2^shift`, rounded once; the product is exact in 64 bits for every `i32`.
    #[must_use]
    #[inline(always)]
    pub fn apply(&self, value: i32, rounding: Rounding) -> i64 {
        shift_right(i64::from(value) * i64::from(self.mantissa), u32::from(self.shift), rounding)
    }
}

impl Multiplier {
    /// As [`Multiplier::apply`] for a sum of 64 bits; results that would not fit 62 bits become the nearest that do.
    #[must_use]
    pub fn apply_wide(&self, value: i64, rounding: Rounding) -> i64 {
        /// What tells below from above one half.
        const FRACTION_BITS: u32 = 2;
        let (product, shift) = (i128::from(value) * i128::from(self.mantissa), u32::from(self.shift));
        let dropped = shift.saturating_sub(FRACTION_BITS);
        let kept = product >> dropped;
        // The last bit stands for all that were dropped: rounding only asks whether they are zero.
        let sticky = i128::from(kept << dropped != product);
        let limit = 1i128 << 62;
        shift_right((kept | sticky).clamp(-limit, limit) as i64, shift - dropped, rounding)
    }
}

/// Factors with one common shift, so that their products can be added before the one rounding; mantissas of 24 bits whatever the
/// [`ScaleForm`] of other steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedMultipliers {
    /// Mantissas, each in `[0, 2^24]`.
    pub mantissas: Vec<i32>,
    /// The common shift, in `[0, 62]`.
    pub shift: u8,
}

impl SharedMultipliers {
    /// Width of the largest mantissa: with 17-bit differences and up to 2^10 terms a sum stays far below 2^62.
    const BITS: u8 = 24;

    /// The representable factors nearest to `factors`, the shift being that of the largest.
    ///
    /// # Errors
    /// As [`Multiplier::from_real`]; an empty list is refused as factor 0.
    pub fn from_real(factors: &[f64]) -> Result<Self, Error> {
        let largest = factors.iter().copied().fold(0.0, f64::max);
        let shift = Multiplier::from_real(largest, ScaleForm::MantissaShift { bits: Self::BITS })?.shift;
        let mantissa = |&factor: &f64| {
            let mantissa = libm::ldexp(factor, i32::from(shift)).round_ties_even();
            if factor > 0.0 { Ok(mantissa as i32) } else { Err(Error::Factor { factor }) }
        };
        Ok(Self { mantissas: factors.iter().map(mantissa).collect::<Result<_, _>>()?, shift })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: ScaleForm = ScaleForm::MantissaShift { bits: 31 };

    #[test]
    fn known_factors() {
        let rows = [(1.0, 1 << 30, 30), (0.5, 1 << 30, 31), (0.75, 3 << 29, 31), (3.0, 3 << 29, 29)];
        for (factor, mantissa, shift) in rows {
            assert_eq!(Multiplier::from_real(factor, WIDE).unwrap(), Multiplier { mantissa, shift });
        }
        let power = |factor| Multiplier::from_real(factor, ScaleForm::PowerOfTwo).unwrap();
        assert_eq!(power(0.3), Multiplier { mantissa: 1, shift: 2 });
        assert_eq!(power(8.0), Multiplier { mantissa: 8, shift: 0 });
    }

    #[test]
    fn unusable_factors_are_refused() {
        for factor in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e30] {
            assert!(Multiplier::from_real(factor, WIDE).is_err(), "{factor}");
        }
        assert!(Multiplier::from_real(1.0, ScaleForm::MantissaShift { bits: 32 }).is_err());
        assert!(SharedMultipliers::from_real(&[]).is_err());
        assert_eq!(Multiplier::from_real(1e-30, WIDE).unwrap().real(), 0.0);
    }

    proptest::proptest! {
        #[test]
        fn a_mantissa_of_n_bits_is_within_half_a_unit(exponent in -30i32..25, fraction in 0.5f64..1.0, bits in 2u8..=31) {
            let factor = libm::ldexp(fraction, exponent);
            proptest::prop_assume!(exponent < i32::from(bits));
            let multiplier = Multiplier::from_real(factor, ScaleForm::MantissaShift { bits }).unwrap();
            let relative = (multiplier.real() / factor - 1.0).abs();
            proptest::prop_assert!(relative <= libm::ldexp(1.0, -i32::from(bits)), "{relative}");
        }

        #[test]
        fn wide_sums_are_rounded_once(value in -(1i64 << 46)..1 << 46, mantissa in 0i32..=i32::MAX, shift in 0u8..=62, exact: bool) {
            // Halves and whole numbers are rare by chance.
            let value = if exact { value >> 20 << 20 } else { value };
            let factor = Multiplier { mantissa: if exact { mantissa >> 16 << 16 } else { mantissa }, shift };
            let product = i128::from(value) * i128::from(factor.mantissa);
            let (floor, one) = (product >> shift, 1i128 << shift);
            let twice = 2 * (product - (floor << shift));
            let limit = 1i128 << 60;
            proptest::prop_assume!(floor.abs() < limit);
            for rounding in Rounding::ALL {
                let up = match rounding {
                    Rounding::HalfUp => twice >= one,
                    Rounding::HalfAway => twice > one || (twice == one && product > 0),
                    Rounding::HalfEven => twice > one || (twice == one && floor & 1 == 1),
                    Rounding::Floor => false,
                    Rounding::Truncate => product < 0 && twice > 0,
                };
                proptest::prop_assert_eq!(i128::from(factor.apply_wide(value, rounding)), floor + i128::from(up), "{:?}", rounding);
            }
        }

        #[test]
        fn applying_equals_the_exact_product(value: i32, mantissa in 0i32..=i32::MAX, shift in 0u8..=62) {
            for rounding in Rounding::ALL {
                let product = i128::from(value) * i128::from(mantissa);
                let floor = (product >> shift) as i64;
                let got = Multiplier { mantissa, shift }.apply(value, rounding);
                proptest::prop_assert!(got == floor || got == floor + 1);
            }
        }
    }
}
