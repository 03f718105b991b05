//! Precision over recall of one category.
//!
//! The plain form walks all detections by falling score, keeps cumulative counts of true and false
//! positives, forms precision and recall at every rank, makes precision monotonous from the right, and
//! looks up the first rank that reaches each recall threshold. Departures:
//!
//! 1. Only a true positive can raise recall, and between two of them precision falls, so every maximum of
//!    the envelope sits on a true positive. The curve needs only the true positives and the false
//!    positives before each.
//! 2. The first rank with `tp / positives >= r` is that of the n-th true positive, n the least count with
//!    that property; it depends on `positives` alone and is found once for all IoU thresholds and caps.
//! 3. One exception: the recall threshold 0 is reached at rank 0 whatever stands there, so its score is
//!    that of the top detection even if that is a false positive or ignored (quirk `recall-zero-at-top`).

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// What a detection is at one IoU threshold and area range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Outcome {
    /// Matched to a ground truth that counts.
    TruePositive,
    /// Unmatched.
    FalsePositive,
    /// Matched to an ignored ground truth, or unmatched and outside the area range: counts as neither.
    Ignored,
}

impl From<Outcome> for u8 {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Ignored => 0,
            Outcome::TruePositive => 1,
            Outcome::FalsePositive => 2,
        }
    }
}

impl TryFrom<u8> for Outcome {
    type Error = Error;

    fn try_from(code: u8) -> Result<Self, Error> {
        match code {
            0 => Ok(Self::Ignored),
            1 => Ok(Self::TruePositive),
            2 => Ok(Self::FalsePositive),
            _ => Err(Error::DamagedOutcomes { what: "an outcome is none of 0, 1 and 2" }),
        }
    }
}

/// A true positive of a ranked list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// False positives ranked before it.
    pub false_positives: u64,
    /// Its score.
    pub score: f64,
}

/// Precision and score at each recall threshold, and the recall reached at the end.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Curve {
    /// Interpolated precision at each recall threshold, 0 where recall never gets there.
    pub precision: Vec<f64>,
    /// Score of the first detection that reaches each recall threshold, 0 where none does.
    pub scores: Vec<f64>,
    /// Recall of the whole list, 0 without detections.
    pub recall: f64,
}

/// `tp / ((fp + tp) + 2^-52)`, with the epsilon that pycocotools adds (quirk `precision-epsilon`).
///
/// It shows: a first hit has a precision of 0.9999999999999998.
pub(crate) fn precision(true_positives: u64, false_positives: u64) -> f64 {
    true_positives as f64 / ((false_positives as f64 + true_positives as f64) + f64::EPSILON)
}

/// For each recall threshold r in [0, 1] the least count n of true positives with `n / positives >= r` in
/// f64.
///
/// The division is the one that recall itself is computed by, so that exact landings on a threshold agree.
#[must_use]
pub fn least_hits(positives: u64, recall_thresholds: &[f64]) -> Vec<u64> {
    let total = positives as f64;
    let least = |&r: &f64| {
        let mut n = (r * total).ceil() as u64;
        while n > 0 && (n - 1) as f64 / total >= r {
            n -= 1;
        }
        while n < positives && (n as f64) / total < r {
            n += 1;
        }
        n
    };
    recall_thresholds.iter().map(least).collect()
}

/// The curve of a ranked list, from its true positives alone.
///
/// `hits` by falling score; `top_score` the score of the first detection, `None` without detections;
/// `least` from [`least_hits`] for the same `positives` (at least 1). The result replaces `curve`'s
/// contents.
pub fn curve_from_hits(
    hits: &[Hit],
    top_score: Option<f64>,
    positives: u64,
    least: &[u64],
    curve: &mut Curve,
) {
    curve.recall = hits.len() as f64 / positives as f64;
    curve.precision.clear();
    curve.precision.resize(least.len(), 0.0);
    curve.scores.clear();
    curve.scores.resize(least.len(), 0.0);
    let mut envelope = 0.0_f64;
    let mut rank = hits.len();
    for (slot, &needed) in least.iter().enumerate().rev() {
        if needed > hits.len() as u64 {
            continue;
        }
        while rank as u64 >= needed.max(1) {
            envelope = envelope.max(precision(rank as u64, hits[rank - 1].false_positives));
            rank -= 1;
        }
        curve.precision[slot] = envelope;
        curve.scores[slot] = match needed {
            0 => top_score.unwrap_or(0.0),
            n => hits[n as usize - 1].score,
        };
    }
}

/// The curve of a list of detections by falling score; `None` when there are no positives.
///
/// `outcomes` and `scores` run in parallel; `positives` is the number of ground truths that count; recall
/// thresholds ascend in [0, 1]. Recall is `tp / positives`, precision `tp / (tp + fp + 2^-52)` raised to
/// its maximum at higher recall.
#[must_use]
pub fn precision_recall_curve(
    outcomes: &[Outcome],
    scores: &[f64],
    positives: u64,
    recall_thresholds: &[f64],
) -> Option<Curve> {
    if positives == 0 {
        return None;
    }
    let mut hits = Vec::new();
    let mut false_positives = 0;
    for (outcome, &score) in outcomes.iter().zip(scores) {
        match outcome {
            Outcome::TruePositive => hits.push(Hit { false_positives, score }),
            Outcome::FalsePositive => false_positives += 1,
            Outcome::Ignored => {}
        }
    }
    let mut curve = Curve::default();
    let least = least_hits(positives, recall_thresholds);
    curve_from_hits(&hits, scores.first().copied(), positives, &least, &mut curve);
    Some(curve)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{FalsePositive as F, Ignored as I, TruePositive as T};

    #[test]
    fn epsilon_and_envelope() {
        let curve = precision_recall_curve(&[T, F, T], &[0.9, 0.8, 0.7], 2, &[0.0, 0.5, 0.6, 1.0]).unwrap();
        let first = 0.999_999_999_999_999_8;
        assert_eq!(curve.precision, [first, first, 2.0 / 3.0, 2.0 / 3.0]);
        assert_eq!(curve.scores, [0.9, 0.9, 0.7, 0.7]);
        assert_eq!(curve.recall, 1.0);
    }

    #[test]
    fn recall_zero_takes_the_top_score() {
        for top in [F, I] {
            let curve = precision_recall_curve(&[top, T], &[0.9, 0.8], 4, &[0.0, 0.25, 0.3]).unwrap();
            assert_eq!(curve.scores, [0.9, 0.8, 0.0], "{top:?}");
            assert_eq!(curve.precision[0], curve.precision[1]);
            assert_eq!(curve.precision[2], 0.0);
        }
    }

    #[test]
    fn least_hits_is_least() {
        let thresholds: Vec<f64> = (0..=100).map(|i| f64::from(i) * 0.01).collect();
        for positives in 1..300 {
            for (n, r) in least_hits(positives, &thresholds).into_iter().zip(&thresholds) {
                assert!(n as f64 / positives as f64 >= *r || n == positives);
                assert!(n == 0 || ((n - 1) as f64 / positives as f64) < *r);
            }
        }
    }

    #[test]
    fn nothing_to_find_and_nothing_found() {
        assert_eq!(precision_recall_curve(&[F], &[0.5], 0, &[0.0]), None);
        let empty = precision_recall_curve(&[], &[], 3, &[0.0, 0.5]).unwrap();
        assert_eq!(empty, Curve { precision: vec![0.0; 2], scores: vec![0.0; 2], recall: 0.0 });
    }
}
