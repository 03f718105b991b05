//! What each detection is, at every area range and IoU threshold: all that figures need.

use serde::{Deserialize, Serialize};

use crate::cells::Universe;
use crate::collect::{Tables, collect_category};
use crate::curve::Outcome;
use crate::detections::Detections;
use crate::error::Error;
use crate::ground_truth::GroundTruth;
use crate::parallel;
use crate::params::EvalParams;
use crate::stored::VERSION;

/// What every detection of some images is, true positive, false positive or ignored, at every area range
/// and IoU threshold.
///
/// This is an evaluation before its figures are formed, without the boxes. It can be saved (serde), and
/// the outcomes of disjoint sets of images can be [merged](Self::merge), in any order, to exactly those of
/// all images in one go; figures of subsets, weighted figures and comparisons start from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "crate::stored::Stored")]
pub struct Outcomes {
    pub(crate) version: u32,
    /// Caps ascending, categories listed, no images.
    pub(crate) params: EvalParams,
    /// Empty for a class-agnostic evaluation.
    pub(crate) category_ids: Vec<i64>,
    pub(crate) image_ids: Vec<i64>,
    pub(crate) categories: Vec<CategoryOutcomes>,
}

/// The detections of one category that the largest cap lets through, by falling score, and its ground
/// truths.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CategoryOutcomes {
    /// Falling.
    pub(crate) scores: Vec<f64>,
    /// Positions in `image_ids`; ascending among equal scores.
    pub(crate) images: Vec<u32>,
    /// Number of detections of the same image and category that rank higher.
    pub(crate) ranks: Vec<u32>,
    /// Bit `a` tells whether width × height lies in area range `a`.
    pub(crate) inside: Vec<u32>,
    /// The detections that overlap some ground truth well enough for the lowest threshold, ascending. Any
    /// other is a false positive in the area ranges that it lies in, and ignored in the others.
    pub(crate) steps: Vec<u32>,
    /// Outcomes of the steps, `[A, T, steps]`.
    pub(crate) outcomes: Vec<Outcome>,
    /// Images with ground truths, ascending.
    pub(crate) truth_images: Vec<u32>,
    /// Ground truths that count, `[truth_images, A]`.
    pub(crate) truth_counts: Vec<u32>,
}

impl CategoryOutcomes {
    /// Nothing yet, with room for as many detections.
    pub(crate) fn with_capacity(detections: usize) -> Self {
        Self {
            scores: Vec::with_capacity(detections),
            images: Vec::with_capacity(detections),
            ranks: Vec::with_capacity(detections),
            inside: Vec::with_capacity(detections),
            ..Self::default()
        }
    }

    /// Outcomes of all steps at one area range and threshold, of `thresholds` many.
    pub(crate) fn of_steps(&self, area: usize, threshold: usize, thresholds: usize) -> &[Outcome] {
        let start = (area * thresholds + threshold) * self.steps.len();
        &self.outcomes[start..start + self.steps.len()]
    }

    /// Ground truths that count in each of `areas` area ranges.
    pub(crate) fn positives(&self, areas: usize) -> Vec<u64> {
        let mut positives = vec![0; areas];
        for counts in self.truth_counts.chunks_exact(areas) {
            positives.iter_mut().zip(counts).for_each(|(sum, &count)| *sum += u64::from(count));
        }
        positives
    }
}

impl Outcomes {
    /// Matches detections to the ground truth on all images that the parameters select.
    ///
    /// # Errors
    ///
    /// Parameters out of range, and a detection on an image that the ground truth does not list.
    pub fn collect(
        ground_truth: &GroundTruth,
        detections: &Detections,
        params: &EvalParams,
    ) -> Result<Self, Error> {
        let params = params.normalised()?;
        let universe = Universe::new(ground_truth, &params);
        Self::of_universe(&universe, ground_truth, detections, &params)
    }

    /// Matches on some of the selected images only: one shard of an evaluation.
    ///
    /// Shards of all selected images, [merged](Self::merge), equal [`collect`](Self::collect) to the bit.
    ///
    /// # Errors
    ///
    /// As [`collect`](Self::collect), and an image that is not selected.
    pub fn collect_images(
        ground_truth: &GroundTruth,
        detections: &Detections,
        params: &EvalParams,
        image_ids: &[i64],
    ) -> Result<Self, Error> {
        let params = params.normalised()?;
        let universe = Universe::new(ground_truth, &params).part(image_ids)?;
        Self::of_universe(&universe, ground_truth, detections, &params)
    }

    fn of_universe(
        universe: &Universe,
        ground_truth: &GroundTruth,
        detections: &Detections,
        params: &EvalParams,
    ) -> Result<Self, Error> {
        let tables = Tables::new(universe, ground_truth, detections, params)?;
        let categories = parallel::map(universe.groups(), |group| collect_category(&tables, group));
        let (category_ids, image_ids) = (universe.group_ids(), universe.image_ids.clone());
        let params = EvalParams { image_ids: None, ..universe.full_params(params) };
        Ok(Self { version: VERSION, params, category_ids, image_ids, categories })
    }

    /// Images covered, by ascending id.
    #[must_use]
    pub fn image_ids(&self) -> &[i64] {
        &self.image_ids
    }

    /// Categories covered, in order; empty for a class-agnostic evaluation.
    #[must_use]
    pub fn category_ids(&self) -> &[i64] {
        &self.category_ids
    }

    /// Number of detections that the largest cap lets through.
    #[must_use]
    pub fn detections(&self) -> usize {
        self.categories.iter().map(|category| category.scores.len()).sum()
    }

    /// The parameters with the images filled in.
    pub(crate) fn full_params(&self) -> EvalParams {
        EvalParams { image_ids: Some(self.image_ids.clone()), ..self.params.clone() }
    }
}

/// Ascending keys are falling scores, then ascending images, then ascending indices.
///
/// Scores are equal if they compare so: -0.0 and 0.0 are (quirk `score-ties`). They are never NaN.
pub(crate) fn ranking_key(score: f64, image: u32, index: u32) -> u128 {
    let bits = (score + 0.0).to_bits(); // -0.0 + 0.0 = 0.0
    let ascending = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
    (u128::from(!ascending) << 64) | (u128::from(image) << 32) | u128::from(index)
}

/// The score in a key, unless it is one of the zeros, which share theirs.
pub(crate) fn score_of(key: u128) -> Option<f64> {
    let ascending = !((key >> 64) as u64);
    let bits = if ascending >> 63 == 1 { ascending & !(1 << 63) } else { !ascending };
    (bits != 0).then(|| f64::from_bits(bits))
}

/// The index in a key.
pub(crate) fn index_of(key: u128) -> usize {
    key as u32 as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_as_scores_do() {
        let falling = [f64::MAX, 2.0, 0.5, f64::MIN_POSITIVE, 0.0, -f64::MIN_POSITIVE, -1.0, f64::MIN];
        for pair in falling.windows(2) {
            assert!(ranking_key(pair[0], 9, 9) < ranking_key(pair[1], 0, 0), "{pair:?}");
        }
        assert!(ranking_key(-0.0, 1, 0) < ranking_key(0.0, 2, 0));
        assert!(ranking_key(0.0, 1, 0) < ranking_key(-0.0, 2, 0));
        assert!(ranking_key(0.5, 1, 7) < ranking_key(0.5, 1, 8));
        assert_eq!(index_of(ranking_key(0.5, 1, u32::MAX)), u32::MAX as usize);
        for score in falling {
            let known = score_of(ranking_key(score, 3, 4));
            assert_eq!(known, (score != 0.0).then_some(score));
        }
        assert_eq!(score_of(ranking_key(-0.0, 3, 4)), None);
    }
}
