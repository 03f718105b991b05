//! Factors of the BUYI accelerators: scales `m * 2^-n` with mantissas of 8 bits, requantisation in two stages, additions.
//!
//! A convolution there adds up integers, cuts the sum to `2 bits` bits by a shift that all channels share, adds the bias, and multiplies by
//! `m * 2^-n_b`:
//!
//! ```text
//! y = clamp(round(sum / 2^s), 2 bits)    z = clamp(round((y + bias) m / 2^n_b), bits)    s = n_w - n_b
//! ```
//!
//! So weights have the scale `m * 2^-n_w` and biases `m * 2^-n_b`. The rules by which both are chosen are those that the vendor's published
//! networks follow. The JDY accelerators, of 12 bits, have the same two stages with powers of two, `m = 1`.

use crate::{Cut, Error, Rounding, SharedMultipliers};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// Mantissas have 8 bits, the highest of them set unless the shift is at its end.
const MANTISSAS: RangeInclusive<u32> = 128..=255;
/// Most bits by which sums are cut.
const MAX_CUT: u8 = 5;

/// Which accelerator scales are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accelerator {
    /// Of 8 or 16 bits; mantissas of 8 bits times powers of two.
    Buyi,
    /// Of 12 bits; powers of two.
    Jdy,
}

impl Accelerator {
    /// That of a width.
    #[must_use]
    pub fn of_width(bits: u8) -> Self {
        if bits == 12 { Self::Jdy } else { Self::Buyi }
    }
}

/// A scale `mantissa * 2^-shift`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MantissaScale {
    /// In `[1, 255]`.
    pub mantissa: u8,
    /// The negative exponent.
    pub shift: u8,
}

impl MantissaScale {
    /// The real number, exact.
    #[must_use]
    pub fn real(self) -> f64 {
        libm::ldexp(self.mantissa.into(), -i32::from(self.shift))
    }

    /// The scale nearest to `scale` whose mantissa has its highest bit set, or, at the ends of `shifts`, any mantissa up to 255; at least 1.
    ///
    /// # Errors
    /// [`Error::Factor`] if the scale is not positive and finite, or above 255.5 times the largest there is at the first shift.
    pub fn nearest(scale: f64, shifts: RangeInclusive<u8>) -> Result<Self, Error> {
        Self::rounded(scale, shifts, f64::round)
    }

    /// As [`MantissaScale::nearest`], but never smaller than `scale`.
    ///
    /// # Errors
    /// As there.
    pub fn at_least(scale: f64, shifts: RangeInclusive<u8>) -> Result<Self, Error> {
        Self::rounded(scale, shifts, f64::ceil)
    }

    /// The smallest power of two that is not below `scale`, but no smaller than `2^-last`: mantissa 1.
    ///
    /// # Errors
    /// [`Error::Factor`] unless the scale is in `(0, 1]`.
    pub fn power_of_two(scale: f64, last: u8) -> Result<Self, Error> {
        let covers = |&shift: &u8| libm::ldexp(1.0, -i32::from(shift)) >= scale;
        let shift = (0..=last).rev().find(covers).filter(|_| scale > 0.0);
        Ok(Self { mantissa: 1, shift: shift.ok_or(Error::Factor { factor: scale })? })
    }

    fn rounded(scale: f64, shifts: RangeInclusive<u8>, round: impl Fn(f64) -> f64) -> Result<Self, Error> {
        if !(scale > 0.0 && scale.is_finite()) {
            return Err(Error::Factor { factor: scale });
        }
        let mantissa = |shift: u8| round(libm::ldexp(scale, shift.into())) as u32;
        let fits = shifts.clone().rev().find(|&shift| mantissa(shift) <= *MANTISSAS.end());
        match fits {
            Some(shift) => Ok(Self { mantissa: mantissa(shift).max(1) as u8, shift }),
            None => Err(Error::Factor { factor: scale }),
        }
    }
}

/// Scales of weights and biases of a convolution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConvScales {
    /// Of the weights, by output channel.
    pub weights: Vec<MantissaScale>,
    /// By how many bits sums are cut before the bias is added, for all channels.
    pub cut: u8,
}

impl ConvScales {
    /// The scales of a convolution of `bits` bits, from what its weights and its biases would have, one of each by output channel (equal ones
    /// for a scale per tensor). Those of the biases also bound the sums: `2^(2 bits - 1)` times them should not be exceeded by any.
    ///
    /// For BUYI:
    ///
    /// - Weights take the nearest scale with a shift in `[bits, 2 bits + 5]`. Where theirs is next to nothing they take that of the biases,
    ///   made `2^5` times smaller; where both are, 1.
    /// - Biases share the mantissa. Their shift is the largest in `[max(bits, n_w - 5), min(n_w, 2 bits)]` whose scale is not below their own, so
    ///   that no sum is clipped, or the first if there is none. (The vendor takes the one that is nearest, which may clip a third.)
    /// - All channels are cut alike, by the most that one of them wants; shifts of the others' biases fall, and where they would fall
    ///   below `bits`, those of the weights rise.
    ///
    /// For JDY, whose rules are not known:
    ///
    /// - Biases take the smallest power of two that is not below their own scale; weights likewise, but at most `2^5` times smaller than the
    ///   biases', and no larger than these.
    /// - All channels are cut alike, by the most that one of them wants; the other biases' scales rise. Nothing is clipped then, unless a bias would get a
    ///   scale above 1: there the weights' falls.
    ///
    /// # Errors
    /// [`Error::Bits`] unless there are 2 to 16; [`Error::Channels`] if there are not as many scales of biases as of weights;
    /// [`Error::Factor`] for scales that are negative, not finite or too large.
    pub fn new(weights: &[f64], biases: &[f64], bits: u8, accelerator: Accelerator) -> Result<Self, Error> {
        if !(2..=16).contains(&bits) {
            return Err(Error::Bits { bits });
        }
        if weights.len() != biases.len() {
            return Err(Error::Channels { values: weights.len(), quantizers: biases.len() });
        }
        if let Some(&factor) =
            weights.iter().chain(biases).find(|scale| !(scale.is_finite() && **scale >= 0.0))
        {
            return Err(Error::Factor { factor });
        }
        let (pair, least): (fn(f64, f64, u8) -> _, u8) = match accelerator {
            Accelerator::Buyi => (pair, bits),
            Accelerator::Jdy => (pair_of_powers, 0),
        };
        let pairs = weights.iter().zip(biases).map(|(&weight, &bias)| pair(weight, bias, bits));
        let pairs = pairs.collect::<Result<Vec<(MantissaScale, u8)>, Error>>()?;
        let cut = pairs.iter().map(|(weight, bias_shift)| weight.shift - bias_shift).max().unwrap_or(0);
        let align = |(weight, _): (MantissaScale, u8)| {
            // The bias would be left with fewer fractional bits than the format has.
            let shift = weight.shift.max(least + cut);
            MantissaScale { shift, ..weight }
        };
        Ok(Self { weights: pairs.into_iter().map(align).collect(), cut })
    }

    /// Scales of the biases, by output channel.
    pub fn biases(&self) -> impl Iterator<Item = MantissaScale> + '_ {
        self.weights.iter().map(|scale| MantissaScale { shift: scale.shift - self.cut, ..*scale })
    }

    /// The first stage, for `bits` bits.
    #[must_use]
    pub fn first_stage(&self, bits: u8, rounding: Rounding) -> Cut {
        Cut { shift: self.cut, bits: 2 * bits, rounding }
    }
}

/// Scale of the weights, and shift of the biases, of one channel.
fn pair(weight: f64, bias: f64, bits: u8) -> Result<(MantissaScale, u8), Error> {
    let most = 2 * bits + MAX_CUT;
    let nothing = libm::ldexp(0.5, -i32::from(most));
    if weight >= nothing {
        let scale = MantissaScale::nearest(weight, bits..=most)?;
        let first = bits.max(scale.shift - MAX_CUT.min(scale.shift));
        let covers = |&shift: &u8| MantissaScale { shift, ..scale }.real() >= bias;
        let shift = (first..=scale.shift.min(2 * bits)).rev().find(covers);
        return Ok((scale, shift.unwrap_or(first)));
    }
    if bias >= nothing {
        let scale = MantissaScale::nearest(bias, bits..=2 * bits)?;
        return Ok((MantissaScale { shift: scale.shift + MAX_CUT, ..scale }, scale.shift));
    }
    // 128 * 2^-7 is 1, where shifts start late enough; the nearest there is otherwise.
    let one = MantissaScale { mantissa: if bits > 7 { 255 } else { 128 }, shift: bits };
    Ok((one, bits))
}

/// As [`pair`], in powers of two.
fn pair_of_powers(weight: f64, bias: f64, bits: u8) -> Result<(MantissaScale, u8), Error> {
    // What is next to nothing gets the smallest there is.
    let bias = MantissaScale::power_of_two(bias.max(f64::MIN_POSITIVE), 2 * bits)?.shift;
    let weight = MantissaScale::power_of_two(weight.max(f64::MIN_POSITIVE), bias + MAX_CUT)?;
    Ok((weight, bias.min(weight.shift)))
}

/// How an addition scales its inputs: `z = clamp(round((x I + y J) p / 2^q))`, where `I` and `J` are integers of `bits` bits and `p / 2^q` is
/// a [`MantissaScale`] that they share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddScales {
    /// `I` and `J`.
    pub factors: [i32; 2],
    /// `p` and `q`.
    pub shared: MantissaScale,
}

impl AddScales {
    /// The integers nearest to the ratios `N_x / N_z` and `N_y / N_z`; the shared scale is that of the larger one, as the
    /// accelerator has them.
    ///
    /// # Errors
    /// [`Error::Bits`] unless there are 2 to 16; [`Error::Factor`] for ratios that are not positive and finite, or too large.
    pub fn new(ratios: [f64; 2], bits: u8, accelerator: Accelerator) -> Result<Self, Error> {
        if !(2..=16).contains(&bits) {
            return Err(Error::Bits { bits });
        }
        if let Some(&factor) = ratios.iter().find(|ratio| !(**ratio > 0.0 && ratio.is_finite())) {
            return Err(Error::Factor { factor });
        }
        let largest = f64::from((1i32 << (bits - 1)) - 1);
        let scale = ratios[0].max(ratios[1]) / largest;
        let shared = match accelerator {
            Accelerator::Buyi => MantissaScale::at_least(scale, bits..=2 * bits)?,
            Accelerator::Jdy => MantissaScale::power_of_two(scale, 2 * bits)?,
        };
        let factor = |ratio: f64| (ratio / shared.real()).round().min(largest) as i32;
        Ok(Self { factors: ratios.map(factor), shared })
    }

    /// As a program has them: `[I p, J p]` and `q`.
    #[must_use]
    pub fn multipliers(&self) -> SharedMultipliers {
        let mantissas = self.factors.iter().map(|&factor| factor * i32::from(self.shared.mantissa));
        SharedMultipliers { mantissas: mantissas.collect(), shift: self.shared.shift }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mantissas_are_nearest() {
        for (scale, mantissa, shift) in [
            // As published networks have them.
            (0.000_705_719, 185, 18),
            (0.001_510_620_1, 198, 17),
            (4.816_055_3e-5, 101, 21),
            // Half a unit above 255 the next shift begins.
            (255.4 / 65536.0, 255, 16),
            (255.6 / 65536.0, 128, 15),
        ] {
            let found = MantissaScale::nearest(scale, 8..=21).unwrap();
            assert_eq!((found.mantissa, found.shift), (mantissa, shift), "{scale}");
        }
        assert_eq!(MantissaScale::nearest(1e-12, 8..=21).unwrap(), MantissaScale { mantissa: 1, shift: 21 });
        for scale in [0.0, -1.0, f64::NAN, f64::INFINITY, 2.0] {
            assert!(MantissaScale::nearest(scale, 8..=21).is_err(), "{scale}");
        }
    }

    #[test]
    fn channels_are_cut_alike() {
        // Channels that want 5 bits, 2 bits and none.
        let unit = 200.0 / 65536.0;
        let scales =
            ConvScales::new(&[unit / 16.0, unit, unit], &[unit, 4.0 * unit, unit], 8, Accelerator::Buyi)
                .unwrap();
        assert_eq!(scales.cut, 4);
        let shifts: Vec<(u8, u8)> =
            scales.weights.iter().zip(scales.biases()).map(|(w, b)| (w.shift, b.shift)).collect();
        assert_eq!(shifts, [(20, 16), (16, 12), (16, 12)]);
        // A bias can't have fewer than 8 bits: weights get finer instead.
        let scales =
            ConvScales::new(&[unit / 16.0, 200.0 / 512.0], &[unit, 200.0 / 512.0], 8, Accelerator::Buyi)
                .unwrap();
        assert_eq!(scales.weights[1], MantissaScale { mantissa: 200, shift: 12 });
        assert_eq!(scales.biases().nth(1).unwrap().shift, 8);
    }

    #[test]
    fn weights_of_zero_take_the_scale_of_the_bias() {
        let scales = ConvScales::new(&[0.0], &[200.0 / 4096.0], 8, Accelerator::Buyi).unwrap();
        assert_eq!((scales.weights[0], scales.cut), (MantissaScale { mantissa: 200, shift: 17 }, 5));
        let scales = ConvScales::new(&[0.0], &[0.0], 8, Accelerator::Buyi).unwrap();
        assert_eq!(scales.cut, 0);
        for wrong in [f64::NAN, f64::INFINITY, -1.0] {
            for accelerator in [Accelerator::Buyi, Accelerator::Jdy] {
                assert!(ConvScales::new(&[0.01], &[wrong], 8, accelerator).is_err(), "{wrong}");
                assert!(ConvScales::new(&[wrong], &[0.01], 8, accelerator).is_err(), "{wrong}");
            }
        }
    }

    #[test]
    fn powers_of_two_are_cut_alike() {
        let shift = |scale| MantissaScale::power_of_two(scale, 24).map(|found| found.shift).ok();
        assert_eq!(shift(0.25), Some(2));
        assert_eq!(shift(0.2500001), Some(1));
        assert_eq!(shift(1e-30), Some(24));
        for scale in [0.0, -1.0, 1.5, f64::NAN, f64::INFINITY] {
            assert_eq!(shift(scale), None, "{scale}");
        }
        // 3 and 0 bits; a weight may be 2^5 times finer than its bias, not more.
        let scales = ConvScales::new(&[0.001, 0.3, 1e-9], &[0.007, 0.1, 0.25], 12, Accelerator::Jdy).unwrap();
        let shifts: Vec<u8> = scales.weights.iter().map(|scale| scale.shift).collect();
        assert_eq!((shifts, scales.cut), (vec![9, 5, 7], 5));
        let biases: Vec<u8> = scales.biases().map(|scale| scale.shift).collect();
        assert_eq!(biases, [4, 0, 2]);
    }

    #[test]
    fn additions_keep_their_ratios() {
        for bits in [8, 12, 16] {
            for ratios in [[1.0, 1.0], [0.3, 0.9], [1.7, 0.02]] {
                let scales = AddScales::new(ratios, bits, Accelerator::of_width(bits)).unwrap();
                let shared = scales.multipliers();
                for (ratio, &mantissa) in ratios.iter().zip(&shared.mantissas) {
                    let found = f64::from(mantissa)
                        / f64::from(1 << shared.shift.min(30))
                        / f64::from(1u32 << (shared.shift.max(30) - 30));
                    let unit = scales.shared.real();
                    assert!((found - ratio).abs() <= unit, "{found} for {ratio} at {bits} bits");
                }
            }
        }
        assert!(AddScales::new([0.0, 1.0], 8, Accelerator::Buyi).is_err());
    }

    proptest::proptest! {
        #[test]
        fn rules_hold(scales in proptest::collection::vec((-12.0..-0.1f64, -12.0..-0.1f64), 1..20), wide: bool) {
            let bits = if wide { 16 } else { 8 };
            // Scales reach up to 255 / 2^bits.
            let unit = f64::from(1 << (bits - 8)).recip();
            let weights: Vec<f64> = scales.iter().map(|s| unit * s.0.exp2()).collect();
            let biases: Vec<f64> = scales.iter().map(|s| unit * s.1.exp2()).collect();
            let found = ConvScales::new(&weights, &biases, bits, Accelerator::Buyi).unwrap();
            proptest::prop_assert!(found.cut <= MAX_CUT);
            for ((scale, bias), &weight) in found.weights.iter().zip(found.biases()).zip(&weights) {
                proptest::prop_assert!(bias.shift >= bits && bias.shift <= 2 * bits + MAX_CUT);
                proptest::prop_assert!(scale.real() <= weight * 1.01);
            }
        }
    }
}
