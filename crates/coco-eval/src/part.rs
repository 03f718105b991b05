//! The part of the figures that one category makes up at one area range and cap.

use crate::curve::{Outcome, least_hits, precision};
use crate::outcomes::CategoryOutcomes;

/// An area range at a cap.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Column {
    pub(crate) area: usize,
    pub(crate) cap: usize,
}

/// Working memory of one thread.
#[derive(Default)]
pub(crate) struct Scratch {
    before: Vec<u64>,
    weights: Vec<u32>,
    /// True and false positives up to each true positive.
    hits: Vec<(u64, u64)>,
    /// Average precision and recall by threshold.
    pub(crate) figures: Vec<[f64; 2]>,
}

/// One category at one area range and cap.
pub(crate) struct Part {
    /// Images of the detections that are false positives at every threshold, by rank.
    pub(crate) plain_images: Vec<u32>,
    pub(crate) steps: Vec<Step>,
    /// `[T, steps]`
    outcomes: Vec<Outcome>,
    /// Images with ground truths that count, and how many.
    pub(crate) positives: Vec<(u32, u32)>,
}

/// A detection whose outcome depends on the threshold.
pub(crate) struct Step {
    pub(crate) image: u32,
    /// How many of the plain detections rank before it.
    pub(crate) plain_before: u32,
}

impl Part {
    pub(crate) fn new(found: &CategoryOutcomes, column: Column, areas: usize, thresholds: usize) -> Self {
        let Column { area, cap } = column;
        let outcomes_at = |t| found.of_steps(area, t, thresholds);
        let any =
            |step: usize, wanted: fn(Outcome) -> bool| (0..thresholds).any(|t| wanted(outcomes_at(t)[step]));
        let passes = |at: usize| (found.ranks[at] as usize) < cap;
        let last_hit = (0..found.steps.len()).rev().find(|&step| any(step, |o| o == Outcome::TruePositive));
        let (mut plain_images, mut steps, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        let mut next = 0;
        for (number, &position) in found.steps.iter().enumerate().take(last_hit.map_or(0, |last| last + 1)) {
            let position = position as usize;
            let plain = |&at: &usize| passes(at) && found.inside[at] >> area & 1 == 1;
            plain_images.extend((next..position).filter(plain).map(|at| found.images[at]));
            next = position + 1;
            if passes(position) && any(number, |o| o != Outcome::Ignored) {
                steps.push(Step { image: found.images[position], plain_before: plain_images.len() as u32 });
                numbers.push(number);
            }
        }
        let outcomes =
            (0..thresholds).flat_map(|t| numbers.iter().map(move |&number| outcomes_at(t)[number]));
        let counts = found.truth_counts.chunks_exact(areas).map(|counts| counts[area]);
        let positives = found.truth_images.iter().copied().zip(counts).filter(|(_, count)| *count > 0);
        Self { outcomes: outcomes.collect(), positives: positives.collect(), plain_images, steps }
    }

    /// Outcomes of the steps at one threshold.
    pub(crate) fn outcomes_at(&self, threshold: usize) -> &[Outcome] {
        &self.outcomes[threshold * self.steps.len()..(threshold + 1) * self.steps.len()]
    }

    /// Fills `scratch.figures`; `false` where no ground truth counts.
    pub(crate) fn weigh(
        &self,
        weights: &[u32],
        thresholds: usize,
        recalls: &[f64],
        scratch: &mut Scratch,
    ) -> bool {
        let of = |image: u32| weights[image as usize];
        let positives: u64 =
            self.positives.iter().map(|&(image, count)| u64::from(of(image)) * u64::from(count)).sum();
        if positives == 0 {
            return false;
        }
        self.sum_plain(weights, scratch);
        let least = least_hits(positives, recalls);
        scratch.figures.clear();
        for t in 0..thresholds {
            let found = collect_hits(self.outcomes_at(t), scratch);
            let average = interpolated(&scratch.hits, &least);
            scratch.figures.push([average, found as f64 / positives as f64]);
        }
        true
    }

    /// Weights of the steps, and of all plain detections before each.
    fn sum_plain(&self, weights: &[u32], scratch: &mut Scratch) {
        let of = |image: u32| weights[image as usize];
        scratch.weights.clear();
        scratch.weights.extend(self.steps.iter().map(|step| of(step.image)));
        scratch.before.clear();
        let (mut sum, mut next) = (0, 0);
        for step in &self.steps {
            let end = step.plain_before as usize;
            sum += self.plain_images[next..end].iter().map(|&image| u64::from(of(image))).sum::<u64>();
            next = end;
            scratch.before.push(sum);
        }
    }
}

/// Average precision over all thresholds.
pub(crate) fn mean_precision(figures: &[[f64; 2]]) -> f64 {
    figures.iter().map(|figures| figures[0]).sum::<f64>() / figures.len() as f64
}

/// Notes true and false positives up to each true positive of some weight; the weight of all.
fn collect_hits(outcomes: &[Outcome], scratch: &mut Scratch) -> u64 {
    let Scratch { before, weights, hits, .. } = scratch;
    hits.clear();
    hits.resize(outcomes.len() + 1, (0, 0));
    let (mut found, mut missed, mut end) = (0_u64, 0_u64, 0);
    // no branches, since outcomes hardly follow a pattern
    for ((&outcome, &weight), &before) in outcomes.iter().zip(weights.iter()).zip(before.iter()) {
        let hit = outcome == Outcome::TruePositive;
        found += u64::from(weight) * u64::from(hit);
        missed += u64::from(weight) * u64::from(outcome == Outcome::FalsePositive);
        hits[end] = (found, before + missed);
        end += usize::from(hit && weight > 0);
    }
    hits.truncate(end);
    found
}

/// Mean over the recall thresholds of the highest precision at no lower recall; 0 where recall never gets
/// there.
pub(crate) fn interpolated(hits: &[(u64, u64)], least: &[u64]) -> f64 {
    let (mut sum, mut envelope) = (0.0, 0.0_f64);
    let found = hits.last().map_or(0, |hit| hit.0);
    let mut rest = hits.iter().rev().peekable();
    for &needed in least.iter().rev().filter(|&&needed| needed <= found) {
        while let Some(hit) = rest.next_if(|hit| hit.0 >= needed) {
            envelope = envelope.max(precision(hit.0, hit.1));
        }
        sum += envelope;
    }
    sum / least.len() as f64
}
