//! What calibration remembers of a tensor: exact, mergeable, of bounded size.
//!
//! Everything is an integer count, an exact minimum or maximum, or an exact sum of what each tensor of each image adds up to; and the
//! histogram's bins nest under doubling of its range. So any order of images, any split over threads or processes, and any order
//! of merging give the same statistics, bit for bit.

mod fault;
mod stored;

use crate::counting::{BLOCK, Survey, Tally, count, survey};
use crate::exact_sum::ExactSum;
pub use fault::StatisticsFault;
use serde::{Deserialize, Serialize};
pub(crate) use stored::{MAX_COUNT, StoredStatistics};

/// Bins on each side of zero; the range is a power of two, so at least half of them lie below the largest magnitude.
pub const BINS: usize = 4096;
/// The smallest range is `2^MIN_EXPONENT`: below it, bin widths would leave single precision.
const MIN_EXPONENT: i32 = -100;

/// Counts of values by magnitude, per sign, over `[0, 2^exponent)` in [`BINS`] equal bins.
///
/// Bin `k` of a side holds the values with `floor(|x| / width) = k`, `width = 2^exponent / BINS`; that division is exact.
///
/// In a file, runs of empty bins are left out: `{"exponent": e, "positive": [[first bin, [counts]]], "negative": [...]}`; what
/// is read is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "stored::StoredHistogram", try_from = "stored::StoredHistogram")]
pub struct Histogram {
    exponent: i32,
    /// Values `>= 0`.
    positive: Vec<u64>,
    /// Values `< 0`.
    negative: Vec<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { exponent: MIN_EXPONENT, positive: vec![0; BINS], negative: vec![0; BINS] }
    }
}

impl Histogram {
    /// Width of a bin.
    #[must_use]
    pub fn width(&self) -> f64 {
        2f64.powi(self.exponent - BINS.ilog2() as i32)
    }

    /// Counts of the values `>= 0`, by bin of their magnitude.
    #[must_use]
    pub fn positive(&self) -> &[u64] {
        &self.positive
    }

    /// Counts of the values `< 0`, by bin of their magnitude.
    #[must_use]
    pub fn negative(&self) -> &[u64] {
        &self.negative
    }

    /// Makes the range at least `2^exponent` by adding neighbouring bins.
    fn grow(&mut self, exponent: i32) {
        let doublings = (exponent - self.exponent).max(0) as u32;
        if doublings == 0 {
            return;
        }
        for side in [&mut self.positive, &mut self.negative] {
            for k in 0..BINS {
                let count = std::mem::take(&mut side[k]);
                side[k.checked_shr(doublings).unwrap_or(0)] += count;
            }
        }
        self.exponent = exponent;
    }

    fn merge(&mut self, mut other: Self) {
        self.grow(other.exponent);
        other.grow(self.exponent);
        let sides = [(&mut self.positive, other.positive), (&mut self.negative, other.negative)];
        for (mine, theirs) in sides {
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
        }
    }
}

/// The least `e >= MIN_EXPONENT` with `magnitude < 2^e`.
fn exponent_above(magnitude: f32) -> i32 {
    let biased = (magnitude.to_bits() >> 23) as i32;
    (biased - 126).max(MIN_EXPONENT)
}

/// Statistics of one tensor over all images seen.
///
/// Counts, bounds and histogram are exact. Sums are rounded within a call of [`Self::observe`], in an order that depends on the
/// values' positions alone, and exact from there on: in whatever order calls come and parts are merged, they are equal to the bit.
/// The errors of a call are below 2^-20 of the sum of its magnitudes, or of its squares; they have either sign, so that those of
/// many values are far smaller. Reading refuses numbers that no values have ([`StatisticsFault`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(into = "StoredStatistics", try_from = "StoredStatistics")]
pub struct Statistics {
    count: u64,
    zeros: u64,
    nan: u64,
    infinite: u64,
    /// Of the finite values; `None` before the first (JSON has no infinities).
    bounds: Option<(f32, f32)>,
    histogram: Histogram,
    /// Of the finite values.
    sum: ExactSum,
    /// Of the squares of the finite values.
    squares: ExactSum,
}

impl Statistics {
    /// Adds values. All values of a tensor that belong together have to come in one call, if sums are to be equal to the bit.
    pub fn observe(&mut self, values: &[f32]) {
        self.observe_largest(values);
    }

    /// Adds values; gives the largest magnitude of the finite ones, 0 if there are none.
    pub(crate) fn observe_largest(&mut self, values: &[f32]) -> f32 {
        let mut largest = 0f32;
        let mut tally = Tally::new();
        let (mut sum, mut squares) = (0.0, 0.0);
        // A count grows by one a value at most, so it fits between two emptyings.
        for part in values.chunks(u32::MAX as usize) {
            for block in part.chunks(BLOCK) {
                let survey = survey(block);
                (sum, squares) = (sum + survey.sum, squares + survey.squares);
                if let Some((low, high)) = self.note(block.len(), &survey) {
                    let magnitude = low.abs().max(high.abs());
                    largest = largest.max(magnitude);
                    let exponent = exponent_above(magnitude);
                    if exponent > self.histogram.exponent {
                        tally.move_to(&mut self.histogram.positive, &mut self.histogram.negative);
                        self.histogram.grow(exponent);
                    }
                }
                let all_finite = survey.nan + survey.infinite == 0;
                count(block, all_finite, self.histogram.exponent, &mut tally);
            }
            tally.move_to(&mut self.histogram.positive, &mut self.histogram.negative);
        }
        self.sum.add(sum);
        self.squares.add(squares);
        largest
    }

    /// Counts special values of a block and tells its extremes, if it has finite values.
    fn note(&mut self, length: usize, survey: &Survey) -> Option<(f32, f32)> {
        let &Survey { zeros, nan, infinite, low, high, .. } = survey;
        self.count += length as u64;
        self.zeros += u64::from(zeros);
        self.nan += u64::from(nan);
        self.infinite += u64::from(infinite);
        if low > high {
            return None;
        }
        // Adding zero turns -0 into +0, so that the sign of a zero bound does not depend on the order of values.
        let (low, high) = (low + 0.0, high + 0.0);
        self.widen(low, high);
        Some((low, high))
    }

    fn widen(&mut self, low: f32, high: f32) {
        self.bounds = Some(self.bounds.map_or((low, high), |(l, h)| (l.min(low), h.max(high))));
    }

    /// Adds what another collection has seen: associative and commutative.
    pub fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.zeros += other.zeros;
        self.nan += other.nan;
        self.infinite += other.infinite;
        if let Some((low, high)) = other.bounds {
            self.widen(low, high);
        }
        self.histogram.merge(other.histogram);
        self.sum.merge(&other.sum);
        self.squares.merge(&other.squares);
    }

    /// Values seen, of any kind.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Exact zeros.
    #[must_use]
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// NaN and infinite values; a tensor that has any is refused by every method.
    #[must_use]
    pub fn non_finite(&self) -> u64 {
        self.nan + self.infinite
    }

    /// Values that are neither NaN nor infinite.
    #[must_use]
    pub fn finite(&self) -> u64 {
        self.count - self.non_finite()
    }

    /// Sum of the finite values: the exact sum of those of all calls of [`Self::observe`], rounded once.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum.value()
    }

    /// Sum of the squares of the finite values, likewise.
    #[must_use]
    pub fn sum_of_squares(&self) -> f64 {
        self.squares.value()
    }

    /// Mean of the finite values, `sum / n`; `None` if there are none.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.finite() > 0).then(|| self.sum() / self.finite() as f64)
    }

    /// Variance of the finite values as of a whole population, `sum of squares / n - mean^2`, at least 0; `None` if there are none.
    ///
    /// The difference keeps the errors of both sums, so it says little where it is below 1e-6 of the squared mean.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        self.mean().map(|mean| (self.sum_of_squares() / self.finite() as f64 - mean * mean).max(0.0))
    }

    /// Smallest and largest finite value.
    #[must_use]
    pub fn bounds(&self) -> Option<(f32, f32)> {
        self.bounds
    }

    /// The largest magnitude of a finite value; 0 if there is none.
    #[must_use]
    pub fn absolute_maximum(&self) -> f32 {
        self.bounds.map_or(0.0, |(low, high)| low.abs().max(high.abs()))
    }

    /// The histogram of the finite values.
    #[must_use]
    pub fn histogram(&self) -> &Histogram {
        &self.histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observe(parts: &[&[f32]]) -> Statistics {
        let mut statistics = Statistics::default();
        parts.iter().for_each(|part| statistics.observe(part));
        statistics
    }

    #[test]
    fn special_values_are_counted_apart() {
        let s = observe(&[&[f32::NAN, f32::INFINITY, -0.0, 0.0, -3.0, 2.0]]);
        assert_eq!((s.count(), s.zeros(), s.non_finite(), s.bounds()), (6, 2, 2, Some((-3.0, 2.0))));
        assert_eq!(s.histogram().negative().iter().sum::<u64>(), 1);
        assert_eq!(s.histogram().positive().iter().sum::<u64>(), 3);
    }

    #[test]
    fn bins_hold_what_they_say() {
        let s = observe(&[&[0.999_999, -0.5, 0.25]]);
        let width = s.histogram().width();
        assert_eq!(width, 1.0 / 4096.0);
        assert_eq!(s.histogram().positive()[4095], 1);
        assert_eq!(s.histogram().negative()[2048], 1);
        assert_eq!(s.histogram().positive()[1024], 1);
    }

    #[test]
    fn the_whole_of_single_precision_fits() {
        let s = observe(&[&[f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45, -1e-45]]);
        let total: u64 = s.histogram().positive().iter().chain(s.histogram().negative()).sum();
        assert_eq!(total, 5);
    }

    #[test]
    fn moments_are_those_of_the_finite_values() {
        let s = observe(&[&[1.0, f32::NAN, 2.0, f32::INFINITY], &[-6.0, f32::NEG_INFINITY]]);
        assert_eq!((s.sum(), s.sum_of_squares(), s.finite()), (-3.0, 41.0, 3));
        assert_eq!((s.mean(), s.variance()), (Some(-1.0), Some(41.0 / 3.0 - 1.0)));
        assert_eq!((observe(&[]).mean(), observe(&[&[f32::NAN]]).variance()), (None, None));
        assert_eq!(observe(&[&[0.1; 5000]]).variance().unwrap().max(1e-9), 1e-9);
    }

    #[test]
    fn moments_agree_with_the_plain_way() {
        let normal: Vec<f32> =
            (0..100_000u32).map(|i| ((i.wrapping_mul(2_654_435_761) >> 8) as f32 / 1e6).sin()).collect();
        let s = observe(&[&normal[..70_001], &normal[70_001..]]);
        let mean = normal.iter().map(|x| f64::from(*x)).sum::<f64>() / normal.len() as f64;
        let variance =
            normal.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / normal.len() as f64;
        assert!((s.mean().unwrap() - mean).abs() < 1e-8, "{:?}, {mean}", s.mean());
        assert!((s.variance().unwrap() / variance - 1.0).abs() < 1e-7, "{:?}, {variance}", s.variance());
    }

    proptest::proptest! {
        #[test]
        fn order_of_calls_and_merging_do_not_matter(
            calls in proptest::collection::vec(proptest::collection::vec(proptest::num::f32::ANY, 0..40), 1..12),
            cuts in proptest::array::uniform2(0usize..12)
        ) {
            let whole = observe(&calls.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let cuts = cuts.map(|cut| cut.min(calls.len()));
            let (from, to) = (cuts[0].min(cuts[1]), cuts[0].max(cuts[1]));
            let backwards = |calls: &[Vec<f32>]| observe(&calls.iter().rev().map(Vec::as_slice).collect::<Vec<_>>());
            let mut merged = backwards(&calls[to..]);
            merged.merge(backwards(&calls[..from]));
            merged.merge(backwards(&calls[from..to]));
            proptest::prop_assert_eq!(merged, whole);
        }

        #[test]
        fn order_split_and_merging_do_not_matter_but_to_the_rounding_of_sums(
            values in proptest::collection::vec(proptest::num::f32::ANY, 1..200), cut in 0usize..200, cut2 in 0usize..200
        ) {
            let without_sums = |s: Statistics| Statistics { sum: ExactSum::default(), squares: ExactSum::default(), ..s };
            let whole = without_sums(observe(&[&values]));
            let (a, b) = values.split_at(cut.min(values.len()));
            let (b, c) = b.split_at(cut2.min(b.len()));
            let merged = |parts: [&[f32]; 3]| {
                let mut first = observe(&[parts[0]]);
                first.merge(observe(&[parts[1]]));
                first.merge(observe(&[parts[2]]));
                without_sums(first)
            };
            proptest::prop_assert_eq!(&merged([a, b, c]), &whole);
            proptest::prop_assert_eq!(&merged([c, a, b]), &whole);
            let mut reversed = values.clone();
            reversed.reverse();
            proptest::prop_assert_eq!(&without_sums(observe(&[&reversed])), &whole);
        }
    }
}
