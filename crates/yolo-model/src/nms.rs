//! Greedy non-maximum suppression.
//!
//! The simple algorithm: walk the candidates from the best score down; keep one unless it overlaps a kept one of its
//! class by more than the threshold. Departures, none of which changes the result:
//!
//! 1. Kept boxes are held per class, so a candidate meets only its own class.
//! 2. The walk ends at `max_detections`: as it goes by score over all classes, what follows could not be among the best.
//! 3. Candidates beyond the best `max_candidates` are split off before sorting.
//!
//! Usual implementations separate the classes by moving each class's boxes 7680 pixels further out; that rounds the
//! coordinates of high classes to 1/16 pixel and coarser in f32. Comparing within a class is what the offset is meant
//! to do, and its rounding is not imitated.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::detection::check_unit;
use crate::{Detection, Head, HeadLevel, Result, candidates, iou};

/// Thresholds and limits of [`nms`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NmsParams {
    /// Only scores above this are considered, in [0, 1].
    pub confidence: f32,
    /// A box goes when it overlaps a better one by more than this, in [0, 1].
    pub iou: f32,
    /// At most so many of the best candidates are considered.
    pub max_candidates: usize,
    /// At most so many boxes are kept.
    pub max_detections: usize,
    /// Boxes suppress each other whatever their class.
    pub class_agnostic: bool,
}

impl Default for NmsParams {
    /// The values used to measure average precision: 0.001, 0.6, 30000, 300, per class.
    fn default() -> Self {
        Self {
            confidence: 0.001,
            iou: 0.6,
            max_candidates: 30_000,
            max_detections: 300,
            class_agnostic: false,
        }
    }
}

/// Keeps the best boxes that do not overlap, best first; equal scores keep their order.
///
/// Considered are candidates with `score > confidence` (strict; a NaN score is not), the best `max_candidates` of
/// them. One is dropped when [`iou`] with a kept box of its class is above `params.iou` (strict), all in f32. A box with a
/// NaN coordinate overlaps nothing.
///
/// # Errors
/// When a threshold is not in [0, 1].
pub fn nms(candidates: &[Detection], params: &NmsParams) -> Result<Vec<Detection>> {
    check_unit("confidence", params.confidence)?;
    check_unit("iou", params.iou)?;
    let mut kept = Vec::new();
    let mut boxes_of_class: BTreeMap<usize, Vec<[f32; 4]>> = BTreeMap::new();
    for index in best_first(candidates, params) {
        if kept.len() >= params.max_detections {
            break;
        }
        let candidate = candidates[index];
        let class = if params.class_agnostic { 0 } else { candidate.class };
        let boxes = boxes_of_class.entry(class).or_default();
        if !boxes.iter().any(|better| iou(better, &candidate.bbox) > params.iou) {
            boxes.push(candidate.bbox);
            kept.push(candidate);
        }
    }
    Ok(kept)
}

/// Indices of the candidates to consider, by score descending, then by index.
///
/// Scores above a threshold that is not negative are positive, so their bits order as the scores do.
fn best_first(candidates: &[Detection], params: &NmsParams) -> impl Iterator<Item = usize> {
    let passing = candidates.iter().enumerate().filter(|(_, candidate)| candidate.score > params.confidence);
    let mut keys: Vec<(u32, usize)> =
        passing.map(|(index, candidate)| (!candidate.score.to_bits(), index)).collect();
    if keys.len() > params.max_candidates {
        keys.select_nth_unstable(params.max_candidates);
        keys.truncate(params.max_candidates);
    }
    keys.sort_unstable();
    keys.into_iter().map(|(_, index)| index)
}

/// [`candidates`] above the confidence, then [`nms`]: boxes in network pixels, best first.
///
/// # Errors
/// As those two.
pub fn detect(head: &Head, levels: &[HeadLevel<'_>], params: &NmsParams) -> Result<Vec<Detection>> {
    nms(&candidates(head, levels, params.confidence)?, params)
}
