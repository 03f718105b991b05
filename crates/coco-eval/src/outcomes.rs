//! What each detection of one category is, at every area range and IoU threshold.

use std::cmp::Ordering;

use crate::cells::Placed;
use crate::curve::Outcome;
use crate::detections::Detections;
use crate::ground_truth::GroundTruth;
use crate::iou::Overlaps;
use crate::matching::{Matcher, required_iou};
use crate::params::EvalParams;
use crate::policy::IdZero;

/// A detection in the ranking of its category.
#[derive(Clone, Copy)]
pub(crate) struct Ranked {
    pub(crate) score: f64,
    /// `width * height`, square pixels.
    pub(crate) area: f64,
    /// Position among the detections of its image and category, best score first.
    pub(crate) rank_in_image: u32,
    /// Where its outcomes are, for a detection that overlaps some ground truth well enough; the outcome
    /// of any other depends on its area alone.
    pub(crate) slot: Option<u32>,
}

/// All detections of one category, ranked, with their outcomes.
pub(crate) struct CategoryOutcomes {
    /// By falling score.
    pub(crate) ranked: Vec<Ranked>,
    /// Ground truths that count, by area range.
    pub(crate) positives: Vec<u64>,
    /// `[slot][area range][threshold]`.
    outcomes: Vec<Outcome>,
    areas: usize,
    thresholds: usize,
}

impl CategoryOutcomes {
    pub(crate) fn outcome(&self, slot: u32, area: usize, threshold: usize) -> Outcome {
        self.outcomes[(slot as usize * self.areas + area) * self.thresholds + threshold]
    }
}

/// By falling score; -0.0 equals 0.0, and a stable sort keeps the given order of equals. Scores are never
/// NaN.
fn by_falling_score(a: f64, b: f64) -> Ordering {
    b.partial_cmp(&a).unwrap_or(Ordering::Equal)
}

/// Computes [`CategoryOutcomes`], with buffers that serve one category after another.
pub(crate) struct Collector<'a> {
    ground_truth: &'a GroundTruth,
    detections: &'a Detections,
    params: &'a EvalParams,
    overlaps: Overlaps,
    matcher: Matcher,
    detection_rows: Vec<u32>,
    detection_boxes: Vec<[f64; 4]>,
    truth_boxes: Vec<[f64; 4]>,
    crowd: Vec<bool>,
    ignored: Vec<bool>,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(
        ground_truth: &'a GroundTruth,
        detections: &'a Detections,
        params: &'a EvalParams,
    ) -> Self {
        Self {
            ground_truth,
            detections,
            params,
            overlaps: Overlaps::default(),
            matcher: Matcher::default(),
            detection_rows: Vec::new(),
            detection_boxes: Vec::new(),
            truth_boxes: Vec::new(),
            crowd: Vec::new(),
            ignored: Vec::new(),
        }
    }

    /// Evaluates one category. Both lists hold its rows with images ascending.
    ///
    /// The ranking is a stable sort of the images' rankings one after another, so equal scores rank by
    /// image id, then by the order the detections came in (quirk `score-ties`).
    pub(crate) fn category(&mut self, truths: &[Placed], detections: &[Placed]) -> CategoryOutcomes {
        let mut found = CategoryOutcomes {
            ranked: Vec::with_capacity(detections.len()),
            positives: vec![0; self.params.area_ranges.len()],
            outcomes: Vec::new(),
            areas: self.params.area_ranges.len(),
            thresholds: self.params.iou_thresholds.len(),
        };
        let (mut truths, mut detections) = (truths, detections);
        while let Some(image) =
            [truths.first(), detections.first()].into_iter().flatten().map(|p| p.image).min()
        {
            let (truths_here, detections_here) =
                (take_image(&mut truths, image), take_image(&mut detections, image));
            self.image(truths_here, detections_here, &mut found);
        }
        found.ranked.sort_by(|a, b| by_falling_score(a.score, b.score));
        found
    }

    fn image(&mut self, truths: &[Placed], detections: &[Placed], found: &mut CategoryOutcomes) {
        let first = found.ranked.len();
        self.rank(detections, found);
        if truths.is_empty() {
            return;
        }
        self.overlap(truths);
        let first_slot = (found.outcomes.len() / (found.areas * found.thresholds)) as u32;
        for (slot, row) in (first_slot..).zip(self.overlaps.rows()) {
            found.ranked[first + row.detection as usize].slot = Some(slot);
        }
        let added = self.overlaps.rows().len() * found.areas * found.thresholds;
        found.outcomes.resize(found.outcomes.len() + added, Outcome::Ignored);
        for area in 0..found.areas {
            self.ignore_outside(truths, area);
            found.positives[area] += self.ignored.iter().filter(|ignored| !**ignored).count() as u64;
            self.decide(truths, first, first_slot, area, found);
        }
    }

    /// Ranks the detections of an image and keeps as many as the largest cap, which holds per image and
    /// category (quirk `cap-per-category`). Smaller caps are prefixes of the same ranking, and so of the
    /// same matching.
    fn rank(&mut self, detections: &[Placed], found: &mut CategoryOutcomes) {
        let scores = self.detections.scores();
        let boxes = self.detections.boxes();
        self.detection_rows.clear();
        self.detection_rows.extend(detections.iter().map(|placed| placed.row));
        self.detection_rows.sort_by(|&a, &b| by_falling_score(scores[a as usize], scores[b as usize]));
        self.detection_rows.truncate(self.params.max_detections.last().map_or(0, |&cap| cap));
        self.detection_boxes.clear();
        for (rank_in_image, &row) in (0u32..).zip(&self.detection_rows) {
            let bbox = boxes[row as usize];
            self.detection_boxes.push(bbox);
            let (score, area) = (scores[row as usize], bbox[2] * bbox[3]);
            found.ranked.push(Ranked { score, area, rank_in_image, slot: None });
        }
    }

    /// Finds the overlaps that reach the lowest threshold.
    fn overlap(&mut self, truths: &[Placed]) {
        let (boxes, crowds) = (self.ground_truth.boxes(), self.ground_truth.crowds());
        self.truth_boxes.clear();
        self.truth_boxes.extend(truths.iter().map(|truth| boxes[truth.row as usize]));
        self.crowd.clear();
        self.crowd.extend(truths.iter().map(|truth| crowds[truth.row as usize]));
        let lowest = self.params.iou_thresholds.iter().copied().fold(f64::INFINITY, f64::min);
        self.overlaps.fill(&self.detection_boxes, &self.truth_boxes, &self.crowd, required_iou(lowest));
    }

    /// Flags the ground truths that do not count in an area range: crowds, and those whose `area` lies
    /// outside.
    fn ignore_outside(&mut self, truths: &[Placed], area: usize) {
        let areas = self.ground_truth.areas();
        let range = &self.params.area_ranges[area];
        let outside = |truth: &Placed| !range.contains(areas[truth.row as usize]);
        self.ignored.clear();
        self.ignored.extend(truths.iter().zip(&self.crowd).map(|(truth, &crowd)| crowd || outside(truth)));
    }

    /// Matches at every threshold and notes the outcomes for one area range.
    fn decide(
        &mut self,
        truths: &[Placed],
        first: usize,
        first_slot: u32,
        area: usize,
        found: &mut CategoryOutcomes,
    ) {
        let ids = self.ground_truth.ids();
        let range = &self.params.area_ranges[area];
        for (t, &threshold) in self.params.iou_thresholds.iter().enumerate() {
            let matches = self.matcher.matches(&self.overlaps, &self.ignored, &self.crowd, threshold);
            for (i, (row, matched)) in self.overlaps.rows().iter().zip(matches).enumerate() {
                let inside = range.contains(found.ranked[first + row.detection as usize].area);
                let matched = matched.map(|g| {
                    let id = ids[truths[g as usize].row as usize];
                    (counts_as_match(id, self.params.id_zero), self.ignored[g as usize])
                });
                let at = ((first_slot as usize + i) * found.areas + area) * found.thresholds + t;
                found.outcomes[at] = outcome(matched, inside);
            }
        }
    }
}

/// Whether a match with this ground truth id is seen as one afterwards (quirk `id-zero`).
fn counts_as_match(id: i64, policy: IdZero) -> bool {
    id != 0 || policy == IdZero::Ordinary
}

/// The outcome of a detection from its match, `(counts as matched, ground truth ignored)`, and from
/// whether its own area lies in the range. Its own area matters only when it is unmatched (quirk
/// `unmatched-outside-ignored`).
fn outcome(matched: Option<(bool, bool)>, inside: bool) -> Outcome {
    match matched {
        Some((_, true)) => Outcome::Ignored,
        Some((true, false)) => Outcome::TruePositive,
        Some((false, false)) | None => unmatched(inside),
    }
}

/// The outcome of an unmatched detection.
pub(crate) fn unmatched(inside: bool) -> Outcome {
    if inside { Outcome::FalsePositive } else { Outcome::Ignored }
}

/// Splits off the leading rows that lie on `image`.
fn take_image<'p>(placed: &mut &'p [Placed], image: u32) -> &'p [Placed] {
    let end = placed.iter().position(|p| p.image != image).unwrap_or(placed.len());
    let (here, rest) = placed.split_at(end);
    *placed = rest;
    here
}
