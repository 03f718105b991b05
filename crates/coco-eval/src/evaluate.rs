//! The evaluator: cells, then outcomes of a category, then its curves.

use crate::cells::{Universe, check_images};
use crate::curve::{Curve, Hit, Outcome, curve_from_hits, least_hits};
use crate::detections::Detections;
use crate::error::Error;
use crate::evaluation::Evaluation;
use crate::ground_truth::GroundTruth;
use crate::outcomes::{CategoryOutcomes, Collector, unmatched};
use crate::params::EvalParams;

/// Scores detections against the ground truth, exactly as pycocotools 2.0.11 does for boxes.
///
/// Per category: rank the detections of each image, match them at every area range and IoU threshold,
/// rank all images' detections together, and read precision and score off the curve at each recall
/// threshold. Categories do not depend on each other.
///
/// # Errors
///
/// Parameters out of range, and a detection on an image that the ground truth does not list.
pub fn evaluate(
    ground_truth: &GroundTruth,
    detections: &Detections,
    params: &EvalParams,
) -> Result<Evaluation, Error> {
    let params = params.normalised()?;
    check_images(ground_truth, detections)?;
    let universe = Universe::new(ground_truth, &params);
    let truth_cells = universe.place_ground_truth(ground_truth);
    let detection_cells = universe.place_detections(detections);
    let mut evaluation = Evaluation::undefined(params.clone(), universe.group_ids(), universe.groups());
    let mut collector = Collector::new(ground_truth, detections, &params);
    for category in 0..universe.groups() {
        let outcomes = collector.category(truth_cells.group(category), detection_cells.group(category));
        accumulate(&outcomes, category, &params, &mut evaluation);
    }
    Ok(evaluation)
}

/// Fills in one category. Where nothing is to be found the entries stay -1, undefined.
fn accumulate(found: &CategoryOutcomes, category: usize, params: &EvalParams, evaluation: &mut Evaluation) {
    let mut curve = Curve::default();
    let mut hits = Vec::new();
    for (area, &positives) in found.positives.iter().enumerate() {
        evaluation.set_positives(category, area, positives);
        if positives == 0 {
            continue;
        }
        let least = least_hits(positives, &params.recall_thresholds);
        for (m, &cap) in params.max_detections.iter().enumerate() {
            let ranking = Ranking::new(found, params, area, cap);
            for threshold in 0..params.iou_thresholds.len() {
                ranking.hits(found, area, threshold, &mut hits);
                curve_from_hits(&hits, ranking.top_score, positives, &least, &mut curve);
                evaluation.set_curve(threshold, category, area, m, &curve);
            }
        }
    }
}

/// A detection with outcomes of its own, and the false positives before it that have none.
struct Step {
    slot: u32,
    score: f64,
    plain_false_positives: u64,
}

/// The ranking at one cap and area range, cut down to what depends on the IoU threshold.
struct Ranking {
    steps: Vec<Step>,
    top_score: Option<f64>,
}

impl Ranking {
    fn new(found: &CategoryOutcomes, params: &EvalParams, area: usize, cap: usize) -> Self {
        let range = &params.area_ranges[area];
        let mut steps = Vec::new();
        let mut top_score = None;
        let mut plain_false_positives = 0;
        for detection in found.ranked.iter().filter(|ranked| (ranked.rank_in_image as usize) < cap) {
            top_score = top_score.or(Some(detection.score));
            match detection.slot {
                Some(slot) => steps.push(Step { slot, score: detection.score, plain_false_positives }),
                None if unmatched(range.contains(detection.area)) == Outcome::FalsePositive => {
                    plain_false_positives += 1;
                }
                None => {}
            }
        }
        Self { steps, top_score }
    }

    /// Replaces `hits` by the true positives at one threshold.
    fn hits(&self, found: &CategoryOutcomes, area: usize, threshold: usize, hits: &mut Vec<Hit>) {
        hits.clear();
        let mut missed = 0;
        for step in &self.steps {
            match found.outcome(step.slot, area, threshold) {
                Outcome::TruePositive => {
                    hits.push(Hit {
                        false_positives: step.plain_false_positives + missed,
                        score: step.score,
                    });
                }
                Outcome::FalsePositive => missed += 1,
                Outcome::Ignored => {}
            }
        }
    }
}
