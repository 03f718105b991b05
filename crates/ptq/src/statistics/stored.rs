//! Statistics in a file: bins in runs, and what has to hold of them.

use super::{BINS, Histogram, MIN_EXPONENT, Statistics, StatisticsFault, exponent_above};
use crate::exact_sum::ExactSum;
use serde::{Deserialize, Serialize};

/// As many empty bins end a run: fewer cost less than the start of another run.
const GAP: usize = 4;
/// Numbers up to here are exact in every JSON reader.
pub(crate) const MAX_COUNT: u64 = 1 << 53;
/// `f32::MAX` lies below two to this.
const MAX_EXPONENT: i32 = 128;
/// No part of a sum is larger, 2^400: 2^53 squares of single precision stay below 2^309.
const MAX_SUM: f64 = f64::from_bits((1023 + 400) << 52);
/// Rounding of a sum, as a share of the sum of magnitudes: see [`Statistics`].
const SUM_ERROR: f64 = 1.0 / (1 << 20) as f64;

/// A first bin, and counts from there on.
type Run = (usize, Vec<u64>);

/// A histogram with its empty bins left out.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredHistogram {
    exponent: i32,
    positive: Vec<Run>,
    negative: Vec<Run>,
}

/// Statistics as a file has them; nothing is known of the numbers yet.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredStatistics {
    count: u64,
    zeros: u64,
    nan: u64,
    infinite: u64,
    bounds: Option<(f32, f32)>,
    sum: Vec<f64>,
    squares: Vec<f64>,
    histogram: StoredHistogram,
}

impl From<Histogram> for StoredHistogram {
    fn from(histogram: Histogram) -> Self {
        let Histogram { exponent, positive, negative } = histogram;
        Self { exponent, positive: runs(&positive), negative: runs(&negative) }
    }
}

impl From<Statistics> for StoredStatistics {
    fn from(statistics: Statistics) -> Self {
        let Statistics { count, zeros, nan, infinite, bounds, histogram, sum, squares } = statistics;
        let (sum, squares) = (sum.parts(), squares.parts());
        Self { count, zeros, nan, infinite, bounds, sum, squares, histogram: histogram.into() }
    }
}

/// Occupied bins, with gaps of less than [`GAP`] between them.
fn runs(side: &[u64]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (bin, &count) in side.iter().enumerate().filter(|(_, count)| **count > 0) {
        match runs.last_mut() {
            Some((first, counts)) if bin < *first + counts.len() + GAP => {
                counts.resize(bin - *first, 0);
                counts.push(count);
            }
            _ => runs.push((bin, vec![count])),
        }
    }
    runs
}

/// All bins of a side.
fn bins(runs: &[Run]) -> Result<Vec<u64>, StatisticsFault> {
    let mut side = vec![0; BINS];
    let mut from = 0;
    for (first, counts) in runs {
        let (first, length) = (*first, counts.len());
        let end = first.checked_add(length).filter(|end| *end <= BINS && first >= from && length > 0);
        let end = end.ok_or(StatisticsFault::Run { first, length, from })?;
        side[first..end].copy_from_slice(counts);
        from = end;
    }
    Ok(side)
}

fn sum(counts: &[u64]) -> Result<u64, StatisticsFault> {
    let add = |total: u64, count: &u64| total.checked_add(*count).filter(|total| *total <= MAX_COUNT);
    counts.iter().try_fold(0, add).ok_or(StatisticsFault::TooMany)
}

impl TryFrom<StoredHistogram> for Histogram {
    type Error = StatisticsFault;

    fn try_from(stored: StoredHistogram) -> Result<Self, StatisticsFault> {
        let StoredHistogram { exponent, positive, negative } = stored;
        if !(MIN_EXPONENT..=MAX_EXPONENT).contains(&exponent) {
            return Err(StatisticsFault::Exponent { exponent });
        }
        let (positive, negative) = (bins(&positive)?, bins(&negative)?);
        sum(&[sum(&positive)?, sum(&negative)?])?;
        Ok(Self { exponent, positive, negative })
    }
}

impl TryFrom<StoredStatistics> for Statistics {
    type Error = StatisticsFault;

    fn try_from(stored: StoredStatistics) -> Result<Self, StatisticsFault> {
        let StoredStatistics { count, zeros, nan, infinite, bounds, sum, squares, histogram } = stored;
        let histogram = Histogram::try_from(histogram)?;
        // A negative zero would differ from the positive one in the bytes that are written.
        let bounds = bounds.map(|(low, high)| (low + 0.0, high + 0.0));
        let (sum, squares) = (exact(&sum, "sum")?, exact(&squares, "sum of squares")?);
        let statistics = Self { count, zeros, nan, infinite, bounds, histogram, sum, squares };
        statistics.check_counts()?;
        statistics.check_bounds()?;
        statistics.check_sums()?;
        Ok(statistics)
    }
}

/// A sum from its parts, which have to be those that it would be written as.
fn exact(parts: &[f64], what: &'static str) -> Result<ExactSum, StatisticsFault> {
    let sum: ExactSum = parts.iter().copied().filter(|part| part.abs() <= MAX_SUM).collect();
    if sum.parts() == parts { Ok(sum) } else { Err(StatisticsFault::Parts { what }) }
}

impl Statistics {
    fn check_counts(&self) -> Result<(), StatisticsFault> {
        let &Self { count, zeros, ref histogram, .. } = self;
        sum(&[count])?;
        let special = sum(&[self.nan, self.infinite])?;
        let finite = count.checked_sub(special).ok_or(StatisticsFault::Special { special, count })?;
        let binned = histogram.positive.iter().chain(&histogram.negative).sum();
        if binned != finite {
            return Err(StatisticsFault::Sum { binned, finite });
        }
        let first_bin = histogram.positive[0];
        if zeros > first_bin {
            return Err(StatisticsFault::Zeros { zeros, first_bin });
        }
        match self.bounds {
            Some(_) if finite > 0 => Ok(()),
            None if finite == 0 => Ok(()),
            _ => Err(StatisticsFault::Bounds { finite }),
        }
    }

    /// Each bound lies in the outermost occupied bin of its end, is zero exactly if the values there are, and the range is the
    /// least that holds both.
    fn check_bounds(&self) -> Result<(), StatisticsFault> {
        let exponent = self.histogram.exponent;
        let Some((low, high)) = self.bounds else {
            let is_least = exponent == MIN_EXPONENT;
            return if is_least { Ok(()) } else { Err(StatisticsFault::Exponent { exponent }) };
        };
        if !(low.is_finite() && high.is_finite() && low <= high) {
            return Err(StatisticsFault::Order { low, high });
        }
        let largest = if -low > high { low } else { high };
        if exponent_above(largest.abs()) != exponent {
            return Err(StatisticsFault::Bound { bound: largest });
        }
        let ends = self.ends();
        match [low, high].into_iter().zip(ends).find(|(bound, end)| !end.holds(*bound, &self.histogram)) {
            Some((bound, _)) => Err(StatisticsFault::Bound { bound }),
            None => Ok(()),
        }
    }

    /// The sums lie between those of the bins' inner and outer edges, give or take their rounding.
    fn check_sums(&self) -> Result<(), StatisticsFault> {
        let Histogram { positive, negative, .. } = &self.histogram;
        let [[inner, outer], [inner_below, outer_below]] =
            [positive, negative].map(|side| self.edges(side, 1));
        let slack = SUM_ERROR * (outer + outer_below);
        let sum = ("sum", self.sum(), inner - outer_below - slack, outer - inner_below + slack);
        let [[inner, outer], [inner_below, outer_below]] =
            [positive, negative].map(|side| self.edges(side, 2));
        let slack = SUM_ERROR * (outer + outer_below);
        let squares = (
            "sum of squares",
            self.sum_of_squares(),
            inner + inner_below - slack,
            outer + outer_below + slack,
        );
        match [sum, squares].into_iter().find(|(_, value, low, high)| !(low..=high).contains(&value)) {
            Some((what, value, ..)) => Err(StatisticsFault::Moment { what, value }),
            None => Ok(()),
        }
    }

    /// What a side's values to a power add up to, if all lie at the inner edge of their bin, and if all lie at the outer.
    fn edges(&self, side: &[u64], power: i32) -> [f64; 2] {
        let width = self.histogram.width();
        [0, 1].map(|outer| {
            let edge = |bin: usize| ((bin + outer) as f64 * width).powi(power);
            side.iter().enumerate().map(|(bin, count)| *count as f64 * edge(bin)).sum()
        })
    }

    /// What counts tell of the smallest and of the largest value.
    fn ends(&self) -> [End; 2] {
        let Histogram { positive, negative, .. } = &self.histogram;
        let first = |side: &[u64]| side.iter().position(|count| *count > 0);
        let last = |side: &[u64]| side.iter().rposition(|count| *count > 0);
        let some_zero = self.zeros > 0;
        let all_zero = some_zero && positive.iter().sum::<u64>() == self.zeros;
        let end = |negative: bool, bin: Option<usize>, zero: bool| End { negative, bin, zero };
        match (last(negative), last(positive)) {
            (Some(left), Some(right)) => [end(true, Some(left), false), end(false, Some(right), all_zero)],
            (Some(left), None) => [end(true, Some(left), false), end(true, first(negative), false)],
            (None, right) => [end(false, first(positive), some_zero), end(false, right, all_zero)],
        }
    }
}

/// Where an extreme value lies, as far as counts tell.
struct End {
    negative: bool,
    bin: Option<usize>,
    zero: bool,
}

impl End {
    fn holds(&self, bound: f32, histogram: &Histogram) -> bool {
        let bin = (f64::from(bound.abs()) / histogram.width()) as usize;
        (bound < 0.0) == self.negative && (bound == 0.0) == self.zero && Some(bin) == self.bin
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn observe(values: &[f32]) -> Statistics {
        let mut statistics = Statistics::default();
        statistics.observe(values);
        statistics
    }

    fn faults(of: &Statistics, change: impl Fn(&mut Value)) -> Option<StatisticsFault> {
        let mut value = serde_json::to_value(of).unwrap();
        change(&mut value);
        let stored: StoredStatistics = serde_json::from_value(value).unwrap();
        Statistics::try_from(stored).err()
    }

    #[test]
    fn short_gaps_stay_inside_a_run() {
        let mut side = vec![0; BINS];
        [(0, 7), (4, 1), (9, 2), (4095, 3)].into_iter().for_each(|(bin, count)| side[bin] = count);
        let expected = vec![(0, vec![7, 0, 0, 0, 1]), (9, vec![2]), (4095, vec![3])];
        assert_eq!(runs(&side), expected);
        assert_eq!(bins(&expected).unwrap(), side);
    }

    #[test]
    fn numbers_that_no_values_have_are_refused() {
        let s = observe(&[0.0, 0.0, 0.25, 0.75, -0.5, f32::NAN]);
        assert_eq!(faults(&s, |_| {}), None);
        let rows: [(&str, Value, &str); 30] = [
            ("/sum", json!([]), "sum 0e0 is not possible"),
            ("/sum", json!([1.5]), "sum 1.5e0 is not possible"),
            ("/sum", json!([0.25, 0.25]), "the sum is not written as"),
            ("/sum", json!([0.0, 0.5]), "the sum is not written as"),
            ("/sum", json!([1e300]), "the sum is not written as"),
            ("/squares", json!([1.0]), "sum of squares 1e0 is not possible"),
            ("/squares", json!([-0.875]), "sum of squares -8.75e-1 is not possible"),
            ("/squares", json!([0.875, 1e-300, 2e-300]), "sum of squares is not written as"),
            ("/count", json!(7), "6 are finite"),
            ("/count", json!(0), "1 values are NaN or infinite, of 0"),
            ("/count", json!(u64::MAX), "2^53"),
            ("/nan", json!(0), "6 are finite"),
            ("/nan", json!(u64::MAX), "2^53"),
            ("/infinite", json!(u64::MAX), "2^53"),
            ("/zeros", json!(3), "3 zeros, but 2 values"),
            ("/bounds", json!(null), "of which there are 5"),
            ("/bounds", json!([0.75, -0.5]), "turned round"),
            ("/bounds", json!([-0.5, 1e40]), "not finite"),
            ("/bounds", json!([-0.5, 0.7]), "0.7 does not fit"),
            ("/bounds", json!([-0.51, 0.75]), "-0.51 does not fit"),
            ("/bounds", json!([0.25, 0.75]), "0.25 does not fit"),
            ("/bounds", json!([-0.5, 1.0]), "1 does not fit"),
            ("/histogram/exponent", json!(1), "0.75 does not fit"),
            ("/histogram/exponent", json!(i32::MAX), "not among"),
            ("/histogram/exponent", json!(-101), "not among"),
            ("/histogram/positive/0/0", json!(4096), "at bin 4096"),
            ("/histogram/positive/1/0", json!(0), "bins 1 to"),
            ("/histogram/positive/2/1", json!([1, 1]), "6 values, but 5"),
            ("/histogram/positive/2/1", json!([]), "a run of 0"),
            ("/histogram/negative/0/1", json!([u64::MAX, u64::MAX]), "2^53"),
        ];
        let wrong = rows.iter().filter_map(|(place, value, says)| {
            let found = faults(&s, |all| *all.pointer_mut(place).unwrap() = value.clone());
            let text = found.as_ref().map_or_else(|| "taken".to_owned(), ToString::to_string);
            (!text.contains(says)).then(|| format!("{place} {value}: {text}"))
        });
        let wrong: Vec<String> = wrong.collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn zeros_and_bounds_agree() {
        let positive = observe(&[1e-9, 0.5]);
        let zero = |all: &mut Value| all["zeros"] = json!(1);
        assert!(matches!(faults(&positive, zero), Some(StatisticsFault::Bound { .. })));
        let half = observe(&[0.0, 0.5]);
        let none = |all: &mut Value| all["zeros"] = json!(0);
        assert!(matches!(faults(&half, none), Some(StatisticsFault::Bound { bound: 0.0 })));
        let empty = |all: &mut Value| all["histogram"]["exponent"] = json!(0);
        assert!(matches!(faults(&observe(&[]), empty), Some(StatisticsFault::Exponent { .. })));
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back_to_the_bit(
            values in proptest::collection::vec(proptest::num::f32::ANY, 0..100), zeros in 0usize..3
        ) {
            let mut s = observe(&values);
            s.observe(&vec![-0.0; zeros]);
            let text = serde_json::to_string(&s).unwrap();
            let read: Statistics = serde_json::from_str(&text).unwrap();
            proptest::prop_assert_eq!(&read, &s);
            proptest::prop_assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }

        #[test]
        fn values_of_one_sign_read_back(values in proptest::collection::vec(1e-30f32..1e3, 1..20), sign in proptest::bool::ANY) {
            let signed: Vec<f32> = values.iter().map(|v| if sign { -v } else { *v }).collect();
            let s = observe(&signed);
            let read: Statistics = serde_json::from_str(&serde_json::to_string(&s).unwrap()).unwrap();
            proptest::prop_assert_eq!(read, s);
        }
    }
}
