//! Rounding: the one place where a value with a fraction becomes an integer.

use serde::{Deserialize, Serialize};

/// How a value between two integers is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// To nearest, halves to the even neighbour (IEEE 754's default; ONNX QuantizeLinear, TensorRT).
    HalfEven,
    /// To nearest, halves away from zero (C's `round`).
    HalfAway,
    /// To nearest, halves towards plus infinity: `floor(x + 1/2)`, the cheapest in hardware (CMSIS-NN with single rounding).
    #[default]
    HalfUp,
    /// Towards minus infinity: an arithmetic shift.
    Floor,
    /// Towards zero: C's integer division and casts.
    Truncate,
}

impl Rounding {
    /// All modes.
    pub const ALL: [Rounding; 5] =
        [Rounding::HalfEven, Rounding::HalfAway, Rounding::HalfUp, Rounding::Floor, Rounding::Truncate];
}

/// `x` rounded to an integer. Exact for every finite `x`; NaN and infinities pass through.
#[must_use]
pub fn round(x: f64, rounding: Rounding) -> f64 {
    match rounding {
        Rounding::HalfEven => nearest_even(x),
        Rounding::HalfAway => x.round(),
        // x + 0.5 may itself round up (0.49999999999999994), so the halves are told apart by the exact remainder.
        Rounding::HalfUp => x.floor() + f64::from(x - x.floor() >= 0.5),
        Rounding::Floor => x.floor(),
        Rounding::Truncate => x.trunc(),
    }
}

/// `x.round_ties_even()`, which is a call of a function on CPUs without SSE4.1.
#[inline(always)]
fn nearest_even(x: f64) -> f64 {
    /// From here on all numbers are integers, and neighbours from half of it on are one apart.
    const INTEGERS: f64 = (1u64 << 52) as f64;
    let magnitude = (x.abs() + INTEGERS) - INTEGERS;
    if x.abs() < INTEGERS { magnitude.copysign(x) } else { x }
}

/// `value / 2^shift` rounded; `shift` in `[0, 62]`, `|value| < 2^62`.
#[must_use]
#[inline(always)]
pub fn shift_right(value: i64, shift: u32, rounding: Rounding) -> i64 {
    debug_assert!(shift <= 62);
    if shift == 0 {
        return value;
    }
    let half = 1i64 << (shift - 1);
    match rounding {
        Rounding::HalfUp => (value + half) >> shift,
        Rounding::HalfAway => (value + half - i64::from(value < 0)) >> shift,
        Rounding::HalfEven => (value + half - 1 + ((value >> shift) & 1)) >> shift,
        Rounding::Floor => value >> shift,
        Rounding::Truncate => (value + ((value >> 63) & ((1i64 << shift) - 1))) >> shift,
    }
}

/// `value` limited to `[low, high]`.
#[must_use]
#[inline(always)]
pub fn saturate(value: i64, low: i32, high: i32) -> i32 {
    value.clamp(i64::from(low), i64::from(high)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_agree_with_their_definition_on_all_quarters() {
        for quarters in -40i64..=40 {
            let x = quarters as f64 / 4.0;
            let expected = [
                x.round_ties_even(),
                (x.abs() + 0.5).floor().copysign(x),
                (x + 0.5).floor(),
                x.floor(),
                x.trunc(),
            ];
            for (mode, want) in Rounding::ALL.into_iter().zip(expected) {
                assert_eq!(round(x, mode), want, "{mode:?} of {x}");
                assert_eq!(shift_right(quarters, 2, mode), want as i64, "{mode:?} of {quarters} >> 2");
            }
        }
    }

    #[test]
    fn half_up_is_not_fooled_by_the_largest_number_below_one_half() {
        assert_eq!(round(0.499_999_999_999_999_94, Rounding::HalfUp), 0.0);
    }

    proptest::proptest! {
        #[test]
        fn half_even_is_that_of_the_standard_library(bits: u64, twice in -(1i64 << 54)..(1i64 << 54)) {
            for x in [f64::from_bits(bits), twice as f64 / 2.0, -0.0, f64::INFINITY] {
                let (found, wanted) = (round(x, Rounding::HalfEven), x.round_ties_even());
                proptest::prop_assert!(found.to_bits() == wanted.to_bits() || x.is_nan() && found.is_nan(), "{}", x);
            }
        }

        #[test]
        fn shifting_equals_rounding_the_quotient(value in -(1i64 << 50)..(1i64 << 50), shift in 0u32..40) {
            for mode in Rounding::ALL {
                // Both are exact: 2^50 fits f64, and dividing by a power of two only changes the exponent.
                let want = round(value as f64 / (1u64 << shift) as f64, mode) as i64;
                proptest::prop_assert_eq!(shift_right(value, shift, mode), want);
            }
        }
    }
}
