//! Greedy matching of the detections of one image and category.

use std::ops::Range;

use crate::iou::{Overlap, Overlaps};

/// No threshold is stricter than this, so that a perfect box matches at 1.0.
const STRICTEST: f64 = 1.0 - 1e-10;

/// The IoU that a pair needs at `threshold`: `min(threshold, 1 - 1e-10)` (quirk `threshold-cap`).
pub(crate) fn required_iou(threshold: f64) -> f64 {
    threshold.min(STRICTEST)
}

/// Matches detections to ground truths, best score first, and keeps its buffers between calls.
///
/// The idea: each detection, in order of falling score, takes the free ground truth that it overlaps
/// most, if the overlap reaches the threshold. Ground truths that do not count (crowds, or outside the
/// area range) are taken only when no counting one fits. In detail, all as pycocotools does it:
///
/// 1. An overlap equal to the threshold matches, and of equal overlaps the last ground truth wins
///    (quirk `last-equal-wins`).
/// 2. A match with a counting ground truth is never traded for an ignored one, however large that overlap
///    is (quirk `real-before-ignored`). pycocotools sorts ignored ones last and stops there; two passes
///    do the same.
/// 3. A crowd region is never used up; everything else is taken once (quirk `crowd-many-to-one`).
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    taken: Vec<bool>,
    matches: Vec<Option<u32>>,
}

impl Matcher {
    /// The ground truth that each row of `overlaps` takes at `threshold`, or `None`.
    ///
    /// `overlaps` must hold detections by falling score. `ignored[g]` and `crowd[g]` describe ground
    /// truth `g`; both slices need one flag per ground truth. A crowd is expected to be ignored as well.
    /// `overlaps` must have been filled with a bound of `min(threshold, 1 - 1e-10)` or less.
    ///
    /// # Panics
    ///
    /// If a slice lacks a flag of a ground truth in `overlaps`.
    pub fn matches(
        &mut self,
        overlaps: &Overlaps,
        ignored: &[bool],
        crowd: &[bool],
        threshold: f64,
    ) -> &[Option<u32>] {
        self.matches_in(overlaps, 0..overlaps.rows().len(), ignored, crowd, threshold)
    }

    /// The same for some rows, those of one image.
    pub(crate) fn matches_in(
        &mut self,
        overlaps: &Overlaps,
        rows: Range<usize>,
        ignored: &[bool],
        crowd: &[bool],
        threshold: f64,
    ) -> &[Option<u32>] {
        self.taken.clear();
        self.taken.resize(ignored.len(), false);
        self.matches.clear();
        let required = required_iou(threshold);
        for row in &overlaps.rows()[rows] {
            let candidates = overlaps.of(row);
            let best = self.best(candidates, required, ignored, crowd);
            if let Some(g) = best {
                self.taken[g as usize] = true;
            }
            self.matches.push(best);
        }
        &self.matches
    }

    /// The last of the largest overlaps with a free ground truth that counts, or else with an ignored
    /// one.
    fn best(&self, candidates: &[Overlap], required: f64, ignored: &[bool], crowd: &[bool]) -> Option<u32> {
        let (mut best_real, mut best_ignored) = (required, required);
        let (mut real, mut spare) = (None, None);
        for &Overlap { ground_truth, iou } in candidates {
            let g = ground_truth as usize;
            if self.taken[g] && !crowd[g] {
                continue;
            }
            let (best, found) =
                if ignored[g] { (&mut best_ignored, &mut spare) } else { (&mut best_real, &mut real) };
            if iou >= *best {
                *best = iou;
                *found = Some(ground_truth);
            }
        }
        real.or(spare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: [f64; 4] = [0.0, 0.0, 10.0, 10.0];
    const HALF: [f64; 4] = [0.0, 0.0, 10.0, 5.0];

    fn matches(
        dets: &[[f64; 4]],
        gts: &[[f64; 4]],
        ignored: &[bool],
        crowd: &[bool],
        threshold: f64,
    ) -> Vec<Option<u32>> {
        let mut overlaps = Overlaps::default();
        overlaps.fill(dets, gts, crowd, threshold);
        Matcher::default().matches(&overlaps, ignored, crowd, threshold).to_vec()
    }

    #[test]
    fn rules() {
        let no = [false; 2];
        assert_eq!(matches(&[BOX], &[HALF], &no, &no, 0.5), [Some(0)], "equality matches");
        assert_eq!(matches(&[BOX], &[BOX, BOX], &no, &no, 0.5), [Some(1)], "last of equals wins");
        assert_eq!(matches(&[BOX], &[HALF, BOX], &[false, true], &no, 0.5), [Some(0)], "real before ignored");
        assert_eq!(matches(&[BOX], &[BOX, HALF], &[true, false], &no, 0.5), [Some(1)], "in either order");
        let crowd = [true, false];
        assert_eq!(matches(&[BOX, BOX], &[BOX], &crowd, &crowd, 0.5), [Some(0), Some(0)], "crowd twice");
        assert_eq!(matches(&[BOX, BOX], &[BOX], &crowd, &no, 0.5), [Some(0), None], "ignored once");
        assert_eq!(matches(&[BOX], &[BOX], &no, &no, 1.0), [Some(0)], "perfect box at 1.0");
    }
}
