//! What a method tells of its choice.

use super::{Method, Range};
use crate::Statistics;
use crate::entropy::Threshold;
use crate::squared_error::Curve;
use std::fmt;

/// A range, and how it came about.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct MethodReport {
    /// The range.
    pub range: Range,
    /// Ranges, or ends of them, that were compared; 1 for the methods that compute theirs.
    pub candidates: usize,
    /// Values in bins of the histogram that lie beyond the range.
    pub clipped: u64,
    /// Why the range says little of the method, if so.
    pub degenerate: Option<Degenerate>,
}

impl MethodReport {
    pub(super) fn new(method: Method, statistics: &Statistics, choice: Choice) -> Self {
        let Choice { range, candidates, degenerate } = choice;
        let degenerate = Degenerate::of_values(method, statistics).or(degenerate);
        Self { range, candidates, clipped: clipped(statistics, range), degenerate }
    }
}

/// Values in bins that lie beyond a range, widened to hold zero; those of a bin that begins at an end of it as well.
fn clipped(statistics: &Statistics, range: Range) -> u64 {
    let histogram = statistics.histogram();
    let (low, high) = statistics.bounds().unwrap_or((0.0, 0.0));
    let beyond = |side: &[u64], end: f32, extreme: f32| -> u64 {
        if end >= extreme {
            return 0;
        }
        let first = (f64::from(end.max(0.0)) / histogram.width()).ceil() as usize;
        side.iter().skip(first).sum()
    };
    beyond(histogram.positive(), range.high, high) + beyond(histogram.negative(), -range.low, -low)
}

/// Why a method had nothing to choose by: its range is then that of the extremes or close to an accident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Degenerate {
    /// All values are zero; the range is empty.
    AllZero,
    /// All values are equal.
    Constant,
    /// All values lie in one bin of the histogram.
    OneBin,
    /// The percentile cuts fewer values than the outermost bin holds: nothing is clipped.
    PercentileAtExtreme,
    /// There is one candidate, that which clips nothing: the quantiser has as many levels as the histogram bins.
    SingleCandidate,
    /// No candidate has a finite divergence: nothing is clipped.
    NoDivergence,
    /// All candidates have the same error.
    Flat,
    /// The narrowest candidate won: a narrower range may be better still.
    NarrowestCandidate,
}

impl Degenerate {
    /// What is wrong with the values, whatever a method makes of them; extremes are exact and don't mind bins.
    fn of_values(method: Method, statistics: &Statistics) -> Option<Self> {
        let (low, high) = statistics.bounds()?;
        let histogram = statistics.histogram();
        let occupied = || histogram.positive().iter().chain(histogram.negative()).filter(|c| **c > 0);
        if (low, high) == (0.0, 0.0) {
            Some(Self::AllZero)
        } else if low == high {
            Some(Self::Constant)
        } else if !matches!(method, Method::Max | Method::MinMax) && occupied().nth(1).is_none() {
            Some(Self::OneBin)
        } else {
            None
        }
    }
}

impl fmt::Display for Degenerate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AllZero => "all values are zero",
            Self::Constant => "all values are equal",
            Self::OneBin => "all values lie in one bin of the histogram",
            Self::PercentileAtExtreme => {
                "fewer values are to be cut than the outermost bin holds, so nothing is clipped; take a lower percentile or more values"
            }
            Self::SingleCandidate => {
                "the quantiser has as many levels as the histogram bins, so nothing is clipped; take a narrower quantiser or another method"
            }
            Self::NoDivergence => "no candidate has a finite divergence, so nothing is clipped; take another method",
            Self::Flat => "all candidates have the same error",
            Self::NarrowestCandidate => {
                "the narrowest candidate won, so a narrower range may be better; take percentile or octav, or look for outliers"
            }
        })
    }
}

/// What a method has chosen, before the values themselves are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) range: Range,
    pub(super) candidates: usize,
    pub(super) degenerate: Option<Degenerate>,
}

impl Choice {
    /// A range that was computed.
    pub(super) fn only(range: Range) -> Self {
        Self { range, candidates: 1, degenerate: None }
    }

    /// One that was counted out; `everything` says whether it holds all values.
    pub(super) fn of_percentile(range: Range, percent: f64, everything: bool) -> Self {
        let degenerate = (everything && percent < 100.0).then_some(Degenerate::PercentileAtExtreme);
        Self { degenerate, ..Self::only(range) }
    }

    /// One with the least divergence, for values from `low` to `high`.
    pub(super) fn of_entropy(threshold: &Threshold, symmetric: bool, (low, high): (f32, f32)) -> Self {
        let &Threshold { bound, candidates, finite } = threshold;
        let clipped = Range { low: low.max(-bound), high: high.min(bound) };
        let range = if symmetric { Range::symmetric(bound) } else { clipped };
        let degenerate = match (candidates, finite) {
            (_, false) => Some(Degenerate::NoDivergence),
            (1, true) => Some(Degenerate::SingleCandidate),
            _ => None,
        };
        Self { range, candidates, degenerate }
    }

    /// One with the least error.
    pub(super) fn of_search((range, curve): (Range, Curve)) -> Self {
        let degenerate = if curve.is_flat() {
            Some(Degenerate::Flat)
        } else {
            curve.narrowest.then_some(Degenerate::NarrowestCandidate)
        };
        Self { range, candidates: curve.candidates, degenerate }
    }
}
