//! Normalised feature maps: every value is divided by a ratio that brings the saturation point to the end of the integers, so that the
//! integers themselves are the rounded values and no feature map has a scale.

use crate::Error;
use serde::{Deserialize, Serialize};

/// Which number the saturation point becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormConvention {
    /// `2^(bits - 1)`, which is one more than the largest integer (Icraft 1 and 2).
    PowerOfTwo,
    /// `2^(bits - 1) - 1`, the largest integer (Icraft 3).
    LargestInteger,
}

/// Ratios below this are taken for those of an empty feature map.
const SMALLEST: f32 = 1e-20;

/// The ratio of a feature map: a real value is its integer times this.
///
/// `saturation / 2^(bits - 1)`, or over one less, in single precision; 1 where that is below 1e-20.
///
/// # Errors
/// [`Error::Range`] if the saturation point is negative or not finite; [`Error::Bits`] unless there are 2 to 16.
pub fn norm_ratio(saturation: f32, bits: u8, convention: NormConvention) -> Result<f32, Error> {
    if !(2..=16).contains(&bits) {
        return Err(Error::Bits { bits });
    }
    if !(saturation.is_finite() && saturation >= 0.0) {
        return Err(Error::Range { low: -saturation, high: saturation });
    }
    let half = (1u32 << (bits - 1)) as f32;
    let ratio = match convention {
        NormConvention::PowerOfTwo => saturation / half,
        NormConvention::LargestInteger => saturation / (half - 1.0),
    };
    Ok(if ratio < SMALLEST { 1.0 } else { ratio })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_ratios() {
        for (saturation, bits, convention, ratio) in [
            // From a log of Icraft 3.
            (9.087_393, 8, NormConvention::LargestInteger, 0.071_554_27),
            (128.0, 8, NormConvention::PowerOfTwo, 1.0),
            (128.0, 8, NormConvention::LargestInteger, 128.0 / 127.0),
            (128.0, 16, NormConvention::PowerOfTwo, 1.0 / 256.0),
            (0.0, 8, NormConvention::PowerOfTwo, 1.0),
            (1e-19, 8, NormConvention::PowerOfTwo, 1.0),
        ] {
            assert_eq!(norm_ratio(saturation, bits, convention).unwrap(), ratio, "{saturation} at {bits}");
        }
    }

    #[test]
    fn what_is_no_saturation_point_is_refused() {
        for saturation in [-1.0, f32::NAN, f32::INFINITY] {
            assert!(norm_ratio(saturation, 8, NormConvention::PowerOfTwo).is_err());
        }
        for bits in [0, 1, 17] {
            assert!(norm_ratio(1.0, bits, NormConvention::PowerOfTwo).is_err());
        }
    }
}
