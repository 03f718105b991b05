//! Outcomes as they are stored, checked before they are believed.

use serde::Deserialize;

use crate::curve::Outcome;
use crate::error::Error;
use crate::outcomes::{CategoryOutcomes, Outcomes, ranking_key};
use crate::params::{EvalParams, Pooling};

/// Version of the stored form.
pub(crate) const VERSION: u32 = 1;

/// The fields of [`Outcomes`] before the checks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stored {
    version: u32,
    params: EvalParams,
    category_ids: Vec<i64>,
    image_ids: Vec<i64>,
    categories: Vec<CategoryOutcomes>,
}

impl TryFrom<Stored> for Outcomes {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self, Error> {
        let Stored { version, params, category_ids, image_ids, categories } = stored;
        ensure(version == VERSION, "another version of the format")?;
        let params = params.normalised()?;
        params.check_entries(categories.len())?;
        let selected = params.category_ids.as_deref().unwrap_or_default();
        let (listed, groups) = match params.pooling {
            Pooling::PerCategory => (selected, category_ids.len()),
            Pooling::ClassAgnostic => (&[][..], 1),
        };
        ensure(params.image_ids.is_none(), "images among the parameters")?;
        ensure(category_ids == listed && categories.len() == groups, "the categories")?;
        ensure(category_ids.is_sorted_by(|a, b| a < b), "category ids do not ascend")?;
        ensure(image_ids.is_sorted_by(|a, b| a < b), "image ids do not ascend")?;
        categories.iter().try_for_each(|category| check(category, &params, image_ids.len()))?;
        Ok(Self { version, params, category_ids, image_ids, categories })
    }
}

fn ensure(holds: bool, what: &'static str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::DamagedOutcomes { what }) }
}

fn check(category: &CategoryOutcomes, params: &EvalParams, images: usize) -> Result<(), Error> {
    let CategoryOutcomes { scores, images: on, ranks, inside, steps, outcomes, truth_images, truth_counts } =
        category;
    let (areas, thresholds) = (params.area_ranges.len(), params.iou_thresholds.len());
    let detections = scores.len();
    let below = |values: &[u32], end: usize| values.iter().all(|&value| (value as usize) < end);
    let ascending = |values: &[u32]| values.is_sorted_by(|a, b| a < b);
    ensure([on.len(), ranks.len(), inside.len()] == [detections; 3], "columns of different lengths")?;
    ensure(outcomes.len() == areas * thresholds * steps.len(), "the number of outcomes")?;
    ensure(truth_counts.len() == areas * truth_images.len(), "the number of counts")?;
    ensure(scores.iter().all(|score| score.is_finite()), "a score that is not finite")?;
    ensure(below(on, images) && below(truth_images, images), "an image that is not listed")?;
    ensure(below(steps, detections) && ascending(steps), "detections that do not ascend")?;
    ensure(ascending(truth_images), "images of ground truths that do not ascend")?;
    ensure(inside.iter().all(|bits| areas == 32 || bits >> areas == 0), "an area range too many")?;
    let key = |i: usize| ranking_key(scores[i], on[i], i as u32);
    ensure((1..detections).all(|i| key(i - 1) < key(i)), "detections out of order")?;
    let cap = params.max_detections.last().map_or(0, |&cap| cap);
    ensure(ranks.iter().all(|&rank| (rank as usize) < cap), "a detection beyond the largest cap")?;
    check_ranks(on, ranks, images)?;
    check_hits(category, params, images)
}

/// No image has more true positives than ground truths, and their numbers stay within 32 bits.
fn check_hits(category: &CategoryOutcomes, params: &EvalParams, images: usize) -> Result<(), Error> {
    let (areas, thresholds) = (params.area_ranges.len(), params.iou_thresholds.len());
    for area in 0..areas {
        let mut truths = vec![0_u32; images];
        let counts = category.truth_counts.chunks_exact(areas).map(|counts| counts[area]);
        category.truth_images.iter().zip(counts).for_each(|(&image, count)| truths[image as usize] = count);
        let total: u64 = truths.iter().map(|&count| u64::from(count)).sum();
        ensure(total <= u64::from(u32::MAX), "more ground truths than can be counted")?;
        for t in 0..thresholds {
            let mut left = truths.clone();
            for (outcome, &step) in category.of_steps(area, t, thresholds).iter().zip(&category.steps) {
                if *outcome == Outcome::TruePositive {
                    let left = &mut left[category.images[step as usize] as usize];
                    ensure(*left > 0, "more true positives than ground truths")?;
                    *left -= 1;
                }
            }
        }
    }
    Ok(())
}

/// Each detection's rank is the number of detections on its image that come before it.
fn check_ranks(on: &[u32], ranks: &[u32], images: usize) -> Result<(), Error> {
    let mut before = vec![0_u32; images];
    for (&image, &rank) in on.iter().zip(ranks) {
        ensure(rank == before[image as usize], "ranks on an image with gaps")?;
        before[image as usize] += 1;
    }
    Ok(())
}
