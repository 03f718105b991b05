//! The evaluator: outcomes of a category, then its curves.

use std::sync::Mutex;

use crate::accumulate::accumulate;
use crate::cells::Universe;
use crate::collect::{Tables, collect_category};
use crate::detections::Detections;
use crate::error::Error;
use crate::evaluation::Evaluation;
use crate::ground_truth::GroundTruth;
use crate::parallel;
use crate::params::EvalParams;

/// Scores detections against the ground truth, exactly as pycocotools 2.0.11 does for boxes.
///
/// Per category: rank the detections, match them on each image at every area range and IoU threshold, and
/// read precision and score off the curve at each recall threshold. Categories do not depend on each
/// other; with the feature `rayon` they are shared out among the threads of the current pool, with the
/// same result to the bit.
///
/// The same as [`Outcomes::collect`](crate::Outcomes::collect) and
/// [`accumulate`](crate::Outcomes::accumulate), without keeping the outcomes of all categories.
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
    let universe = Universe::new(ground_truth, &params);
    let tables = Tables::new(&universe, ground_truth, detections, &params)?;
    let groups = universe.groups();
    let full = universe.full_params(&params);
    let evaluation = Mutex::new(Evaluation::undefined(full, universe.group_ids(), groups));
    parallel::map(groups, |k| {
        let curves = accumulate(&collect_category(&tables, k), &params);
        // a poisoned lock means that another category panicked, which rayon passes on
        let mut evaluation = evaluation.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        evaluation.set_category(k, &curves);
    });
    Ok(evaluation.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}
