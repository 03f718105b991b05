//! From boxes to outcomes, one category at a time.
//!
//! The plain way is to go image by image: rank its detections, match them to its ground truths at every
//! area range and threshold, and then to rank the detections of all images together. Departures:
//!
//! 1. The detections of a category are ranked once, by score, image and order of arrival. That ranking
//!    holds the ranking of each image, so no image is sorted on its own.
//! 2. Only images with ground truths are matched, and only detections that overlap one of them well
//!    enough for the lowest threshold; the outcome of any other depends on its area alone.
//! 3. A match depends on which ground truths are ignored and which pairs reach the threshold. Area ranges
//!    that ignore the same ones, and thresholds that the same pairs reach, share it.

use std::ops::Range;

use crate::cells::{Groups, Placed, Universe};
use crate::curve::Outcome;
use crate::detections::Detections;
use crate::error::Error;
use crate::ground_truth::GroundTruth;
use crate::iou::{OverlapRow, Overlaps};
use crate::matching::{Matcher, required_iou};
use crate::outcomes::{CategoryOutcomes, index_of, ranking_key, score_of};
use crate::params::{AreaRange, EvalParams};
use crate::policy::IdZero;

/// Position of a detection that the largest cap drops.
const DROPPED: u32 = u32::MAX;

/// Both tables, their rows by category.
pub(crate) struct Tables<'a> {
    ground_truth: &'a GroundTruth,
    detections: &'a Detections,
    params: &'a EvalParams,
    images: usize,
    truth_groups: Groups,
    detection_groups: Groups,
}

impl<'a> Tables<'a> {
    pub(crate) fn new(
        universe: &Universe,
        ground_truth: &'a GroundTruth,
        detections: &'a Detections,
        params: &'a EvalParams,
    ) -> Result<Self, Error> {
        params.check_entries(universe.groups())?;
        let detection_groups = universe.place_detections(ground_truth, detections)?;
        let truth_groups = universe.place_ground_truth(ground_truth);
        let images = universe.image_ids.len();
        Ok(Self { ground_truth, detections, params, images, truth_groups, detection_groups })
    }
}

/// Ranks and matches one category.
pub(crate) fn collect_category(tables: &Tables<'_>, group: usize) -> CategoryOutcomes {
    let truths = tables.truth_groups.group(group);
    let spans: Vec<&[Placed]> = truths.chunk_by(|a, b| a.image == b.image).collect();
    let detections = tables.detection_groups.group(group);
    let mut survey = Survey::new(tables, &spans, detections);
    let (mut found, positions) = rank(tables, detections, &survey.inside);
    let cells = survey.sort_rows(spans.len(), &positions, &found);
    let overlaps = survey.overlaps;
    found.steps = overlaps.rows().iter().map(|row| row.detection).collect();
    found.steps.sort_unstable();
    let (areas, thresholds) = (tables.params.area_ranges.len(), tables.params.iou_thresholds.len());
    found.outcomes = vec![Outcome::Ignored; areas * thresholds * found.steps.len()];
    let mut judge = Judge::new(tables, &overlaps, &found);
    for (truths, rows) in spans.iter().zip(cells) {
        judge.cell(truths, rows, &mut found);
    }
    found
}

/// What can be told of the detections of a category without ranking them.
struct Survey {
    /// For each image the number of its ground truths' span, from 1; 0 for none.
    cell_of: Vec<u32>,
    /// For each detection a bit `a` for each area range that it lies in.
    inside: Vec<u32>,
    /// Rows name detections in order of arrival, ground truths by index in their span.
    overlaps: Overlaps,
}

impl Survey {
    /// Reads the boxes in order of arrival, so that memory is read from front to back.
    fn new(tables: &Tables<'_>, spans: &[&[Placed]], detections: &[Placed]) -> Self {
        let mut cell_of = vec![0_u32; tables.images];
        for (cell, span) in (1..).zip(spans) {
            cell_of[span[0].image as usize] = cell;
        }
        let boxed = |truth: &Placed| {
            let row = truth.row as usize;
            (tables.ground_truth.boxes()[row], tables.ground_truth.crowds()[row])
        };
        let lowest = tables.params.iou_thresholds.iter().copied().fold(f64::INFINITY, f64::min);
        let required = required_iou(lowest);
        let mut overlaps = Overlaps::default();
        let mut inside = Vec::with_capacity(detections.len());
        for (d, detection) in (0..).zip(detections) {
            let bbox = &tables.detections.boxes()[detection.row as usize];
            inside.push(ranges_around(bbox[2] * bbox[3], tables.params));
            if let Some(cell) = cell_of[detection.image as usize].checked_sub(1) {
                overlaps.add(d, bbox, spans[cell as usize].iter().map(boxed), required);
            }
        }
        Self { cell_of, inside, overlaps }
    }

    /// Sorts the rows by image, in an image by rank, names their detections by position in the ranking,
    /// and drops those that the cap dropped. Tells the rows of each span.
    fn sort_rows(&mut self, spans: usize, positions: &[u32], found: &CategoryOutcomes) -> Vec<Range<usize>> {
        let ranked = |row: &OverlapRow| {
            let position = positions[row.detection as usize];
            let image = *found.images.get(position as usize)?;
            Some((self.cell_of[image as usize] - 1, row.renamed(position)))
        };
        let mut rows: Vec<(u32, OverlapRow)> = self.overlaps.rows().iter().filter_map(ranked).collect();
        rows.sort_unstable_by_key(|(cell, row)| (*cell, row.detection));
        let mut ends = vec![0; spans + 1];
        rows.iter().for_each(|(cell, _)| ends[*cell as usize + 1] += 1);
        for cell in 0..spans {
            ends[cell + 1] += ends[cell];
        }
        self.overlaps.replace_rows(rows.into_iter().map(|(_, row)| row));
        ends.windows(2).map(|ends| ends[0]..ends[1]).collect()
    }
}

/// The ranking of a category, and the position in it of each detection, [`DROPPED`] if it has none.
///
/// The cap holds per image and category (quirk `cap-per-category`). Smaller caps are prefixes of the same
/// ranking of an image, and so of the same matching.
fn rank(tables: &Tables<'_>, detections: &[Placed], inside: &[u32]) -> (CategoryOutcomes, Vec<u32>) {
    let scores = tables.detections.scores();
    let key = |(d, i): (&Placed, u32)| ranking_key(scores[d.row as usize], d.image, i);
    let mut keys: Vec<u128> = detections.iter().zip(0..).map(key).collect();
    keys.sort_unstable();
    let cap = tables.params.max_detections.last().map_or(0, |&cap| cap);
    let mut ranked_before = vec![0_u32; tables.images];
    let mut positions = vec![DROPPED; detections.len()];
    let mut found = CategoryOutcomes::with_capacity(keys.len());
    for key in keys {
        let index = index_of(key);
        let Placed { image, row } = detections[index];
        let rank = &mut ranked_before[image as usize];
        if *rank as usize >= cap {
            continue;
        }
        positions[index] = found.scores.len() as u32;
        found.scores.push(score_of(key).unwrap_or_else(|| scores[row as usize]));
        found.images.push(image);
        found.ranks.push(*rank);
        found.inside.push(inside[index]);
        *rank += 1;
    }
    (found, positions)
}

/// Bit `a` for each area range that holds `area`.
pub(crate) fn ranges_around(area: f64, params: &EvalParams) -> u32 {
    let bit = |(a, range): (usize, &AreaRange)| u32::from(range.contains(area)) << a;
    params.area_ranges.iter().enumerate().map(bit).sum()
}

/// Matches the cells of a category and notes the outcomes.
struct Judge<'a> {
    tables: &'a Tables<'a>,
    overlaps: &'a Overlaps,
    /// The number of each row among the steps.
    step_of: Vec<u32>,
    matcher: Matcher,
    crowd: Vec<bool>,
    /// `[A, truths of the cell]`
    ignored: Vec<bool>,
    /// `[A, T, rows of the cell]`
    matches: Vec<Option<u32>>,
    /// Whether each ground truth of the cell counts as a match, and whether it is ignored.
    matched: Vec<(bool, bool)>,
    /// Whether each row's detection lies in the area range at hand.
    inside: Vec<bool>,
    /// Pairs of the cell that reach each threshold.
    pairs: Vec<usize>,
}

impl<'a> Judge<'a> {
    fn new(tables: &'a Tables<'a>, overlaps: &'a Overlaps, found: &CategoryOutcomes) -> Self {
        let mut number = vec![0; found.scores.len()];
        (0..).zip(&found.steps).for_each(|(step, &position)| number[position as usize] = step);
        Self {
            tables,
            overlaps,
            step_of: overlaps.rows().iter().map(|row| number[row.detection as usize]).collect(),
            matcher: Matcher::default(),
            crowd: Vec::new(),
            ignored: Vec::new(),
            matches: Vec::new(),
            matched: Vec::new(),
            inside: Vec::new(),
            pairs: Vec::new(),
        }
    }

    fn cell(&mut self, truths: &[Placed], rows: Range<usize>, found: &mut CategoryOutcomes) {
        self.flag(truths);
        found.truth_images.push(truths[0].image);
        let counting = |flags: &[bool]| flags.iter().filter(|ignored| !**ignored).count() as u32;
        found.truth_counts.extend(self.ignored.chunks_exact(truths.len()).map(counting));
        if rows.is_empty() {
            return;
        }
        self.match_all(truths.len(), rows.clone());
        self.note(truths, rows, found);
    }

    /// Flags the ground truths that do not count: crowds, and those whose `area` lies outside a range.
    fn flag(&mut self, truths: &[Placed]) {
        let ground_truth = self.tables.ground_truth;
        self.crowd.clear();
        self.crowd.extend(truths.iter().map(|truth| ground_truth.crowds()[truth.row as usize]));
        self.ignored.clear();
        for range in &self.tables.params.area_ranges {
            let outside = |truth: &Placed| !range.contains(ground_truth.areas()[truth.row as usize]);
            let flags = truths.iter().zip(&self.crowd).map(|(truth, &crowd)| crowd || outside(truth));
            self.ignored.extend(flags);
        }
    }

    /// Fills `matches`.
    fn match_all(&mut self, truths: usize, rows: Range<usize>) {
        self.count_pairs(rows.clone());
        self.matches.clear();
        let thresholds = &self.tables.params.iou_thresholds;
        let block = thresholds.len() * rows.len();
        for (area, ignored) in self.ignored.chunks_exact(truths).enumerate() {
            if let Some(same) = self.ignored.chunks_exact(truths).take(area).position(|o| o == ignored) {
                self.matches.extend_from_within(same * block..(same + 1) * block);
                continue;
            }
            for (t, &threshold) in thresholds.iter().enumerate() {
                if let Some(same) = self.pairs[..t].iter().position(|&pairs| pairs == self.pairs[t]) {
                    let start = area * block + same * rows.len();
                    self.matches.extend_from_within(start..start + rows.len());
                    continue;
                }
                let (overlaps, rows) = (self.overlaps, rows.clone());
                let matched = self.matcher.matches_in(overlaps, rows, ignored, &self.crowd, threshold);
                self.matches.extend_from_slice(matched);
            }
        }
    }

    /// The pairs that reach a threshold hold those that reach a higher one, so equal numbers mean equal
    /// sets.
    fn count_pairs(&mut self, rows: Range<usize>) {
        let pairs = || self.overlaps.rows()[rows.clone()].iter().flat_map(|row| self.overlaps.of(row));
        let reaching = |&threshold: &f64| {
            let required = required_iou(threshold);
            pairs().filter(|pair| pair.iou >= required).count()
        };
        self.pairs.clear();
        self.pairs.extend(self.tables.params.iou_thresholds.iter().map(reaching));
    }

    fn note(&mut self, truths: &[Placed], rows: Range<usize>, found: &mut CategoryOutcomes) {
        let (ground_truth, params) = (self.tables.ground_truth, self.tables.params);
        let (steps, thresholds) = (found.steps.len(), params.iou_thresholds.len());
        let step_of = &self.step_of[rows.clone()];
        for area in 0..params.area_ranges.len() {
            let ignored = &self.ignored[area * truths.len()..];
            self.matched.clear();
            self.matched.extend(truths.iter().zip(ignored).map(|(truth, &ignored)| {
                let counts = counts_as_match(ground_truth.ids()[truth.row as usize], params.id_zero);
                (counts, ignored)
            }));
            let is_inside = |&step: &u32| found.inside[found.steps[step as usize] as usize] >> area & 1 == 1;
            self.inside.clear();
            self.inside.extend(step_of.iter().map(is_inside));
            for t in area * thresholds..(area + 1) * thresholds {
                let matches = &self.matches[t * rows.len()..(t + 1) * rows.len()];
                let outcomes = &mut found.outcomes[t * steps..(t + 1) * steps];
                for ((matched, &inside), &step) in matches.iter().zip(&self.inside).zip(step_of) {
                    outcomes[step as usize] = outcome(matched.map(|g| self.matched[g as usize]), inside);
                }
            }
        }
    }
}

/// Whether a match with this ground truth id is seen as one afterwards (quirk `id-zero`).
pub(crate) fn counts_as_match(id: i64, policy: IdZero) -> bool {
    id != 0 || policy == IdZero::Ordinary
}

/// The outcome of a detection from its match, `(counts as matched, ground truth ignored)`, and from
/// whether its own area lies in the range. Its own area matters only when it is unmatched (quirk
/// `unmatched-outside-ignored`).
pub(crate) fn outcome(matched: Option<(bool, bool)>, inside: bool) -> Outcome {
    match matched {
        Some((_, true)) => Outcome::Ignored,
        Some((true, false)) => Outcome::TruePositive,
        Some((false, false)) | None if inside => Outcome::FalsePositive,
        Some((false, false)) | None => Outcome::Ignored,
    }
}
