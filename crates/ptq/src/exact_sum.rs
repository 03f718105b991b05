//! Sums of f64 without rounding, so that neither order nor grouping matters.
//!
//! A sum is an integer number of the smallest positive f64, 2^-1074, in two's complement over enough 64-bit limbs for every f64 and
//! 2^77 of the largest. Adding a number adds its 53 bits at their place; addition of integers is associative and commutative.

/// Every f64 is less than 2^2098 of the unit; 2176 bits leave room for the sign and for 2^77 summands.
const LIMBS: usize = 34;
/// Bits of an f64's significand without the leading one.
const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;

/// An exact sum of finite f64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExactSum {
    /// Two's complement, the lowest first, in units of 2^-1074.
    limbs: [u64; LIMBS],
}

impl Default for ExactSum {
    fn default() -> Self {
        Self { limbs: [0; LIMBS] }
    }
}

impl FromIterator<f64> for ExactSum {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut sum = Self::default();
        values.into_iter().for_each(|value| sum.add(value));
        sum
    }
}

impl ExactSum {
    /// Adds a number, which has to be finite.
    pub(crate) fn add(&mut self, value: f64) {
        let bits = value.to_bits();
        let fraction = bits & ((1 << FRACTION_BITS) - 1);
        let exponent = (bits >> FRACTION_BITS) as usize & 0x7ff;
        let significand = if exponent > 0 { fraction | 1 << FRACTION_BITS } else { fraction };
        // Subnormal numbers have the unit of the smallest normal ones.
        let shift = exponent.saturating_sub(1);
        let placed = u128::from(significand) << (shift % 64);
        let words = [placed as u64, (placed >> 64) as u64];
        let tail = &mut self.limbs[shift / 64..];
        if value > 0.0 {
            carry(tail, words.into_iter(), u64::overflowing_add);
        } else {
            carry(tail, words.into_iter(), u64::overflowing_sub);
        }
    }

    /// Adds another sum.
    pub(crate) fn merge(&mut self, other: &Self) {
        carry(&mut self.limbs, other.limbs.into_iter(), u64::overflowing_add);
    }

    /// The sum, rounded once to the nearest f64, halves to even.
    pub(crate) fn value(&self) -> f64 {
        let magnitude = if self.is_negative() { self.negated() } else { self.clone() };
        let rounded = magnitude.nearest();
        if self.is_negative() { -rounded } else { rounded }
    }

    /// The f64 nearest to the sum, that nearest to what is left, and so on until nothing is: the largest first, each at most half a
    /// unit in the last place of the one before. Equal sums have equal parts. The sum has to lie among the f64.
    pub(crate) fn parts(&self) -> Vec<f64> {
        let (mut rest, mut parts) = (self.clone(), Vec::new());
        while rest != Self::default() {
            let part = rest.value();
            rest.add(-part);
            parts.push(part);
        }
        parts
    }

    fn is_negative(&self) -> bool {
        self.limbs[LIMBS - 1] >> 63 == 1
    }

    fn negated(&self) -> Self {
        let mut negated = Self::default();
        carry(&mut negated.limbs, self.limbs.into_iter(), u64::overflowing_sub);
        negated
    }

    /// The nearest f64 to a sum that is not negative.
    fn nearest(&self) -> f64 {
        let Some(top) = self.limbs.iter().rposition(|limb| *limb > 0) else { return 0.0 };
        let length = 64 * top as u32 + self.limbs[top].ilog2() + 1;
        // Up to 53 bits, the number of units is the pattern of bits of the f64.
        let cut = length.saturating_sub(f64::MANTISSA_DIGITS);
        let kept = self.bits_from(cut);
        let half = cut > 0 && self.bits_from(cut - 1) & 1 == 1;
        let up = half && (kept & 1 == 1 || self.any_below(cut - 1));
        // The leading one of `kept` and a carry out of it count into the exponent.
        let bits = (u64::from(cut) << FRACTION_BITS) + kept + u64::from(up);
        f64::from_bits(bits.min(f64::INFINITY.to_bits()))
    }

    /// The 64 bits from a place on.
    fn bits_from(&self, place: u32) -> u64 {
        let (limb, shift) = (place as usize / 64, place % 64);
        let above = self.limbs.get(limb + 1).copied().unwrap_or(0);
        ((u128::from(above) << 64 | u128::from(self.limbs[limb])) >> shift) as u64
    }

    /// Whether there is a one below a place.
    fn any_below(&self, place: u32) -> bool {
        let (limb, shift) = (place as usize / 64, place % 64);
        self.limbs[..limb].iter().any(|limb| *limb > 0) || self.limbs[limb] & ((1 << shift) - 1) > 0
    }
}

/// Adds or subtracts words from the first limb on, and what they carry or borrow beyond.
fn carry(limbs: &mut [u64], mut words: impl Iterator<Item = u64>, step: fn(u64, u64) -> (u64, bool)) {
    let mut carried = false;
    for limb in limbs {
        let word = match words.next() {
            Some(word) => word,
            None if carried => 0,
            None => return,
        };
        let (sum, over) = step(*limb, word);
        let (sum, over_again) = step(sum, u64::from(carried));
        *limb = sum;
        carried = over | over_again;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The plain way: one counter per power of two, from 2^-1074 on, and carries at the end.
    fn digits(values: &[f64]) -> Vec<i64> {
        let mut digits = vec![0i64; 2200];
        for value in values {
            // Doubling is exact, and so is halving what is not subnormal.
            let (mut rest, mut place) = (value.abs(), 1074i32);
            while rest >= 2.0 {
                (rest, place) = (rest / 2.0, place + 1);
            }
            while rest > 0.0 {
                if rest >= 1.0 {
                    digits[place as usize] += if *value > 0.0 { 1 } else { -1 };
                    rest -= 1.0;
                }
                (rest, place) = (rest * 2.0, place - 1);
            }
        }
        for place in 0..digits.len() - 1 {
            let digit = digits[place].rem_euclid(2);
            digits[place + 1] += (digits[place] - digit) / 2;
            digits[place] = digit;
        }
        digits
    }

    fn finite() -> impl Strategy<Value = f64> {
        use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
        POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO
    }

    /// Numbers whose sums don't leave the f64.
    fn summands() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(finite().prop_map(|value| value / 64.0), 0..30)
    }

    proptest! {
        #[test]
        fn parts_add_up_to_the_summands_to_the_last_bit(values in summands()) {
            let sum: ExactSum = values.iter().copied().collect();
            let parts = sum.parts();
            prop_assert_eq!(digits(&parts), digits(&values));
            for pair in parts.windows(2) {
                let half = (pair[0].abs().next_up() - pair[0].abs()) / 2.0;
                prop_assert!(pair[1].abs() <= half, "{:e} after {:e}", pair[1], pair[0]);
            }
            prop_assert_eq!(sum.value(), parts.first().copied().unwrap_or(0.0));
            prop_assert_eq!(parts.into_iter().collect::<ExactSum>(), sum);
        }

        #[test]
        fn neither_order_nor_grouping_matters(values in summands(), turn in 0usize..30, cut in 0usize..30) {
            let expected: ExactSum = values.iter().copied().collect();
            let mut turned = values.clone();
            turned.rotate_left(turn % values.len().max(1));
            turned.reverse();
            let (left, right) = turned.split_at(cut.min(turned.len()));
            let (mut left, right): (ExactSum, ExactSum) = (left.iter().copied().collect(), right.iter().copied().collect());
            left.merge(&right);
            prop_assert_eq!(left, expected);
        }

        #[test]
        fn rounding_is_that_of_integers_at_every_exponent(
            integers in prop::collection::vec((-1i64 << 53)..(1i64 << 53), 1..20), wide in any::<i64>(), exponent in -1074i32..900
        ) {
            // 2^exponent in two steps, since the smallest are subnormal.
            let unit = 2f64.powi(exponent / 2) * 2f64.powi(exponent - exponent / 2);
            let (high, low) = (wide >> 12 << 12, wide & 0xfff);
            let all = integers.iter().copied().chain([high, low]);
            let sum: ExactSum = all.clone().map(|integer| integer as f64 * unit).collect();
            let expected = all.map(i128::from).sum::<i128>() as f64 * unit;
            prop_assert_eq!(sum.value(), expected);
        }
    }

    #[test]
    fn borders() {
        let least = f64::from_bits(1);
        let rows: [(&[f64], &[f64]); 9] = [
            (&[], &[]),
            (&[0.0, -0.0], &[]),
            (&[least, least], &[2.0 * least]),
            (&[1.0, -1.0], &[]),
            (&[-least], &[-least]),
            (&[1.0, least], &[1.0, least]),
            (&[f64::MAX, 1.0, -f64::MAX], &[1.0]),
            (&[1.0, f64::EPSILON / 2.0], &[1.0, f64::EPSILON / 2.0]),
            (&[1.0 + f64::EPSILON, f64::EPSILON / 2.0], &[1.0 + 2.0 * f64::EPSILON, -f64::EPSILON / 2.0]),
        ];
        let wrong = rows.into_iter().filter_map(|(values, expected)| {
            let parts = values.iter().copied().collect::<ExactSum>().parts();
            (parts != expected).then(|| format!("{values:?}: {parts:?}"))
        });
        assert_eq!(wrong.collect::<Vec<_>>(), Vec::<String>::new());
        let double: ExactSum = [f64::MAX, f64::MAX].into_iter().collect();
        assert_eq!(double.value(), f64::INFINITY);
    }
}
