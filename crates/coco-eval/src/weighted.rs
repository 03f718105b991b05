//! Figures with each image counted a number of times.
//!
//! This is what a bootstrap asks for thousands of times, so all that does not depend on the weights is
//! done once. The plain way would be to evaluate a data set in which an image of weight w occurs w times.
//! Departures:
//!
//! 1. A detection's rank and outcomes do not depend on the weights. The ranking is walked as it is, and a
//!    detection counts w times where it stands.
//! 2. Only detections whose outcome depends on the threshold are walked at each threshold; the others
//!    (false positives without any overlap) are summed up once per area range, between their neighbours.
//!    Those behind the last of all true positives cannot count and are left out.
//! 3. No curve is stored: interpolated precision is summed while the true positives are walked back, so
//!    that figures agree with those of an evaluation but for the order of the sum, to about 1e-15.

use crate::curve::{Outcome, least_hits, precision};
use crate::error::Error;
use crate::outcomes::{CategoryOutcomes, Outcomes};
use crate::summary::{Quantity, Summary, figures};

/// An area range at a cap.
#[derive(Clone, Copy, PartialEq)]
struct Column {
    area: usize,
    cap: usize,
}

/// One of the twelve figures: a mean over a column.
struct Figure {
    quantity: Quantity,
    /// `None` for an area range or cap that was not evaluated.
    column: Option<usize>,
    /// Positions among the thresholds.
    thresholds: Vec<usize>,
}

/// Outcomes prepared for weighting.
pub(crate) struct Weighted {
    figures: Vec<Figure>,
    columns: usize,
    /// `[K, columns]`
    parts: Vec<Part>,
    thresholds: usize,
    recall_thresholds: Vec<f64>,
    images: usize,
}

/// Figures of one weighted set of images.
pub(crate) struct Sample {
    pub(crate) summary: Summary,
    /// Average precision of each category in the column of the first figure, -1 where it is undefined.
    pub(crate) categories: Vec<f64>,
}

/// Working memory of one thread.
#[derive(Default)]
pub(crate) struct Scratch {
    before: Vec<u32>,
    weights: Vec<u32>,
    hits: Vec<(u32, u32)>,
    /// Average precision and recall by threshold.
    figures: Vec<[f64; 2]>,
}

impl Weighted {
    /// # Errors
    ///
    /// Fewer than three caps.
    pub(crate) fn new(outcomes: &Outcomes) -> Result<Self, Error> {
        let params = &outcomes.params;
        let mut columns = Vec::new();
        let mut wanted = Vec::new();
        for (quantity, selection) in figures(&params.max_detections)? {
            let area = params.area_ranges.iter().position(|range| range.name == selection.area_range);
            let cap = Some(selection.max_detections).filter(|cap| params.max_detections.contains(cap));
            let column = area.zip(cap).map(|(area, cap)| index_in(&mut columns, Column { area, cap }));
            let chosen =
                |&t: &usize| selection.iou_threshold.is_none_or(|wanted| wanted == params.iou_thresholds[t]);
            let thresholds = (0..params.iou_thresholds.len()).filter(chosen).collect();
            wanted.push(Figure { quantity, column, thresholds });
        }
        let thresholds = params.iou_thresholds.len();
        let areas = params.area_ranges.len();
        let of_category =
            |found| columns.iter().map(move |&column| Part::new(found, column, areas, thresholds));
        Ok(Self {
            figures: wanted,
            columns: columns.len(),
            parts: outcomes.categories.iter().flat_map(of_category).collect(),
            thresholds,
            recall_thresholds: params.recall_thresholds.clone(),
            images: outcomes.image_ids.len(),
        })
    }

    /// Number of images, and so of weights.
    pub(crate) fn images(&self) -> usize {
        self.images
    }

    pub(crate) fn categories(&self) -> usize {
        self.parts.len() / self.columns.max(1)
    }

    /// The figures with image `i` counted `weights[i]` times.
    pub(crate) fn sample(&self, weights: &[u32], scratch: &mut Scratch) -> Sample {
        let mut sums = vec![[0.0; 2]; self.columns * self.thresholds];
        let mut defined = vec![0_usize; self.columns];
        let mut categories = vec![-1.0; self.categories()];
        for (at, part) in self.parts.iter().enumerate() {
            let (k, column) = (at / self.columns, at % self.columns);
            if !part.weigh(weights, self.thresholds, &self.recall_thresholds, scratch) {
                continue;
            }
            defined[column] += 1;
            let sums = &mut sums[column * self.thresholds..(column + 1) * self.thresholds];
            for (sum, figures) in sums.iter_mut().zip(&scratch.figures) {
                *sum = [sum[0] + figures[0], sum[1] + figures[1]];
            }
            if Some(column) == self.figures[0].column {
                categories[k] = mean_precision(&scratch.figures);
            }
        }
        let figure = |figure: &Figure| self.mean(figure, &sums, &defined);
        let figures = std::array::from_fn(|i| figure(&self.figures[i]));
        Sample { summary: Summary::from_array(figures), categories }
    }

    fn mean(&self, figure: &Figure, sums: &[[f64; 2]], defined: &[usize]) -> f64 {
        let Some(column) = figure.column.filter(|&column| defined[column] > 0) else { return -1.0 };
        if figure.thresholds.is_empty() {
            return -1.0;
        }
        let of = if figure.quantity == Quantity::Precision { 0 } else { 1 };
        let sum: f64 = figure.thresholds.iter().map(|t| sums[column * self.thresholds + t][of]).sum();
        sum / (figure.thresholds.len() * defined[column]) as f64
    }

    /// The part of a category that the first figure, average precision, is made of.
    pub(crate) fn first_part(&self, k: usize) -> Option<&Part> {
        self.parts.get(k * self.columns + self.figures[0].column?)
    }

    /// Average precision of one part; `None` where it has no ground truth that counts.
    pub(crate) fn average_precision(
        &self,
        part: &Part,
        weights: &[u32],
        scratch: &mut Scratch,
    ) -> Option<f64> {
        let defined = part.weigh(weights, self.thresholds, &self.recall_thresholds, scratch);
        defined.then(|| mean_precision(&scratch.figures))
    }
}

fn mean_precision(figures: &[[f64; 2]]) -> f64 {
    figures.iter().map(|figures| figures[0]).sum::<f64>() / figures.len() as f64
}

fn index_in(columns: &mut Vec<Column>, column: Column) -> usize {
    columns.iter().position(|other| *other == column).unwrap_or_else(|| {
        columns.push(column);
        columns.len() - 1
    })
}

/// One category at one area range and cap.
pub(crate) struct Part {
    /// Images of the detections that are false positives at every threshold, by rank.
    plain_images: Vec<u32>,
    steps: Vec<Step>,
    /// `[T, steps]`
    outcomes: Vec<Outcome>,
    /// Images with ground truths that count, and how many.
    positives: Vec<(u32, u32)>,
}

/// A detection whose outcome depends on the threshold.
struct Step {
    image: u32,
    /// How many of the plain detections rank before it.
    plain_before: u32,
}

impl Part {
    fn new(found: &CategoryOutcomes, column: Column, areas: usize, thresholds: usize) -> Self {
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

    /// The images whose weights matter, ascending.
    pub(crate) fn images(&self) -> Vec<u32> {
        let steps = self.steps.iter().map(|step| step.image);
        let positives = self.positives.iter().map(|&(image, _)| image);
        let mut images: Vec<u32> = self.plain_images.iter().copied().chain(steps).chain(positives).collect();
        images.sort_unstable();
        images.dedup();
        images
    }

    /// Fills `scratch.figures`; `false` where no ground truth counts.
    fn weigh(&self, weights: &[u32], thresholds: usize, recalls: &[f64], scratch: &mut Scratch) -> bool {
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
            let outcomes = &self.outcomes[t * self.steps.len()..(t + 1) * self.steps.len()];
            let found = collect_hits(outcomes, scratch);
            let average = interpolated(&scratch.hits, &least);
            scratch.figures.push([average, f64::from(found) / positives as f64]);
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
            sum += self.plain_images[next..end].iter().map(|&image| of(image)).sum::<u32>();
            next = end;
            scratch.before.push(sum);
        }
    }
}

/// Notes true and false positives up to each true positive of some weight; the weight of all.
fn collect_hits(outcomes: &[Outcome], scratch: &mut Scratch) -> u32 {
    let Scratch { before, weights, hits, .. } = scratch;
    hits.clear();
    hits.resize(outcomes.len() + 1, (0, 0));
    let (mut found, mut missed, mut end) = (0_u32, 0_u32, 0);
    // no branches, since outcomes hardly follow a pattern
    for ((&outcome, &weight), &before) in outcomes.iter().zip(weights.iter()).zip(before.iter()) {
        let hit = outcome == Outcome::TruePositive;
        found += weight * u32::from(hit);
        missed += weight * u32::from(outcome == Outcome::FalsePositive);
        hits[end] = (found, before + missed);
        end += usize::from(hit && weight > 0);
    }
    hits.truncate(end);
    found
}

/// Mean over the recall thresholds of the highest precision at no lower recall; 0 where recall never gets
/// there.
fn interpolated(hits: &[(u32, u32)], least: &[u64]) -> f64 {
    let (mut sum, mut envelope) = (0.0, 0.0_f64);
    let found = hits.last().map_or(0, |hit| u64::from(hit.0));
    let mut rest = hits.iter().rev().peekable();
    for &needed in least.iter().rev().filter(|&&needed| needed <= found) {
        while let Some(hit) = rest.next_if(|hit| u64::from(hit.0) >= needed) {
            envelope = envelope.max(precision(u64::from(hit.0), u64::from(hit.1)));
        }
        sum += envelope;
    }
    sum / least.len() as f64
}
