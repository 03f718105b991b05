//! Statistics in a file: bins in runs, and what has to hold of them.

use super::{BINS, Histogram, MIN_EXPONENT, Statistics, exponent_above};
use serde::{Deserialize, Serialize};

/// As many empty bins end a run: fewer cost less than the start of another run.
const GAP: usize = 4;
/// Numbers up to here are exact in every JSON reader.
pub(crate) const MAX_COUNT: u64 = 1 << 53;
/// `f32::MAX` lies below two to this.
const MAX_EXPONENT: i32 = 128;

/// Why stored statistics can't be those of any values.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StatisticsFault {
    /// A histogram's range.
    #[error("the histogram's range 2^{exponent} is not among 2^-100 to 2^128")]
    Exponent {
        /// Its exponent.
        exponent: i32,
    },
    /// A run of bins that is empty, overlaps the one before it or leaves the histogram.
    #[error("a run of {length} counts at bin {first} does not lie in the bins {from} to 4095")]
    Run {
        /// Its first bin.
        first: usize,
        /// How many bins it has.
        length: usize,
        /// The first bin that it may have.
        from: usize,
    },
    /// Counts beyond what a file can hold.
    #[error("more than 2^53 values")]
    TooMany,
    /// Counts that do not add up.
    #[error("the histogram has {binned} values, but {finite} are finite")]
    Sum {
        /// Values in the histogram.
        binned: u64,
        /// Values that are neither NaN nor infinite.
        finite: u64,
    },
    /// More NaN and infinities than values.
    #[error("{special} values are NaN or infinite, of {count}")]
    Special {
        /// NaN and infinities.
        special: u64,
        /// All values.
        count: u64,
    },
    /// More zeros than their bin has values.
    #[error("{zeros} zeros, but {first_bin} values in the bin that they lie in")]
    Zeros {
        /// Zeros.
        zeros: u64,
        /// Values in the first bin `>= 0`.
        first_bin: u64,
    },
    /// Bounds of no values, or none of some.
    #[error("bounds have to be there exactly if there are finite values, of which there are {finite}")]
    Bounds {
        /// How many there are.
        finite: u64,
    },
    /// Bounds that are not finite, or turned round.
    #[error("the bounds {low} and {high} are not finite or turned round")]
    Order {
        /// The lower.
        low: f32,
        /// The upper.
        high: f32,
    },
    /// Bounds and histogram disagree.
    #[error("the bound {bound} does not fit the histogram's range, its outermost counts or the zeros")]
    Bound {
        /// The bound.
        bound: f32,
    },
}

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
        let Statistics { count, zeros, nan, infinite, bounds, histogram } = statistics;
        Self { count, zeros, nan, infinite, bounds, histogram: histogram.into() }
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
        let StoredStatistics { count, zeros, nan, infinite, bounds, histogram } = stored;
        let histogram = Histogram::try_from(histogram)?;
        // A negative zero would differ from the positive one in the bytes that are written.
        let bounds = bounds.map(|(low, high)| (low + 0.0, high + 0.0));
        let statistics = Self { count, zeros, nan, infinite, bounds, histogram };
        statistics.check_counts()?;
        statistics.check_bounds()?;
        Ok(statistics)
    }
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
        let rows: [(&str, Value, &str); 22] = [
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
