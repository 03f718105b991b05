//! Average precision of a category without each of its images in turn.
//!
//! An image with ground truths, or with a detection whose outcome depends on the threshold, is given the
//! weight 0. Most images have neither: only false positives. Without them the true positives and all that
//! recall depends on stay as they are, and each true positive has fewer false positives before it.

use crate::curve::{Outcome, least_hits};
use crate::part::{Part, Scratch, interpolated, mean_precision};

/// Average precision of one category.
pub(crate) struct WithoutEach {
    /// Of all images.
    pub(crate) whole: f64,
    /// Without each image that matters, `None` where no ground truth is left.
    pub(crate) without: Vec<(u32, Option<f64>)>,
}

/// A true positive of the category.
struct Hit {
    true_positives: u64,
    false_positives: u64,
    /// How many of the false positives are plain.
    plain: u32,
}

impl WithoutEach {
    /// `None` where no ground truth counts.
    pub(crate) fn new(part: &Part, images: usize, thresholds: usize, recalls: &[f64]) -> Option<Self> {
        let mut scratch = Scratch::default();
        let mut weights = vec![1; images];
        if !part.weigh(&weights, thresholds, recalls, &mut scratch) {
            return None;
        }
        let whole = mean_precision(&scratch.figures);
        let mut weighty: Vec<u32> = part.steps.iter().map(|step| step.image).collect();
        weighty.extend(part.positives.iter().map(|&(image, _)| image));
        weighty.sort_unstable();
        weighty.dedup();
        let mut without = without_plain(part, &weighty, thresholds, recalls);
        for image in weighty {
            weights[image as usize] = 0;
            let defined = part.weigh(&weights, thresholds, recalls, &mut scratch);
            without.push((image, defined.then(|| mean_precision(&scratch.figures))));
            weights[image as usize] = 1;
        }
        Some(Self { whole, without })
    }
}

/// Without each image that is none of `weighty`.
fn without_plain(
    part: &Part,
    weighty: &[u32],
    thresholds: usize,
    recalls: &[f64],
) -> Vec<(u32, Option<f64>)> {
    let positives = part.positives.iter().map(|&(_, count)| u64::from(count)).sum();
    let least = least_hits(positives, recalls);
    let hits: Vec<Vec<Hit>> = (0..thresholds).map(|t| hits_at(part, t)).collect();
    let mut plain: Vec<(u32, u32)> = part.plain_images.iter().copied().zip(0..).collect();
    plain.retain(|(image, _)| weighty.binary_search(image).is_err());
    plain.sort_unstable();
    let mut rest = Vec::new();
    let of_image = |plain: &[(u32, u32)]| {
        let at_threshold = |hits: &Vec<Hit>| {
            take_out(hits, plain, &mut rest);
            interpolated(&rest, &least)
        };
        let sum: f64 = hits.iter().map(at_threshold).sum();
        (plain[0].0, Some(sum / thresholds as f64))
    };
    plain.chunk_by(|a, b| a.0 == b.0).map(of_image).collect()
}

fn hits_at(part: &Part, threshold: usize) -> Vec<Hit> {
    let (mut found, mut missed) = (0, 0);
    let mut hits = Vec::new();
    for (step, outcome) in part.steps.iter().zip(part.outcomes_at(threshold)) {
        match outcome {
            Outcome::TruePositive => {
                found += 1;
                let (plain, missed) = (step.plain_before, missed + u64::from(step.plain_before));
                hits.push(Hit { true_positives: found, false_positives: missed, plain });
            }
            Outcome::FalsePositive => missed += 1,
            Outcome::Ignored => {}
        }
    }
    hits
}

/// Replaces `rest` by the true and false positives without some plain detections, named by index.
fn take_out(hits: &[Hit], plain: &[(u32, u32)], rest: &mut Vec<(u64, u64)>) {
    rest.clear();
    let mut gone = 0;
    for hit in hits {
        while gone < plain.len() && plain[gone].1 < hit.plain {
            gone += 1;
        }
        rest.push((hit.true_positives, hit.false_positives - gone as u64));
    }
}
