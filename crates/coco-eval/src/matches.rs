//! Who matched whom, image by image, for those who want to look at it.

use crate::cells::{Placed, Universe};
use crate::collect::{counts_as_match, outcome, ranges_around};
use crate::curve::Outcome;
use crate::detections::Detections;
use crate::error::Error;
use crate::ground_truth::GroundTruth;
use crate::iou::Overlaps;
use crate::matching::{Matcher, required_iou};
use crate::outcomes::{index_of, ranking_key};
use crate::parallel;
use crate::params::EvalParams;

/// The matches of one category on one image in one area range: an element of pycocotools' `evalImgs`, but
/// with rows instead of ids and ignored ground truths left in their places.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CellMatches {
    /// The image.
    pub image_id: i64,
    /// The category, `None` for the pool of a class-agnostic evaluation.
    pub category_id: Option<i64>,
    /// Position among [`EvalParams::area_ranges`].
    pub area_range: usize,
    /// Rows of the detections by falling score, as many as the largest cap lets through.
    pub detections: Vec<u32>,
    /// Rows of the ground truths in file order.
    pub ground_truths: Vec<u32>,
    /// Whether each ground truth is ignored: a crowd, or outside the area range.
    pub ignored: Vec<bool>,
    /// By IoU threshold, for each detection the index in `ground_truths` of the one it takes.
    pub matches: Vec<Vec<Option<u32>>>,
    /// By IoU threshold, what each detection is.
    pub outcomes: Vec<Vec<Outcome>>,
}

/// Matches detections to the ground truth and tells who took whom, by category, then area range, then
/// image; images without a row of the category are left out.
///
/// The same rules as in [`evaluate`](crate::evaluate), written out for each detection; slower, and the
/// result is much larger. [`EvalParams::image_ids`] limits it to images of interest.
///
/// # Errors
///
/// Parameters out of range, and a detection on an image that the ground truth does not list.
pub fn cell_matches(
    ground_truth: &GroundTruth,
    detections: &Detections,
    params: &EvalParams,
) -> Result<Vec<CellMatches>, Error> {
    let params = params.normalised()?;
    let universe = Universe::new(ground_truth, &params);
    let truth_groups = universe.place_ground_truth(ground_truth);
    let mut detection_groups = universe.place_detections(ground_truth, detections)?;
    detection_groups.sort_by_image();
    let ids = universe.group_ids();
    let of_group = |k: usize| {
        let cells = cells(truth_groups.group(k), detection_groups.group(k));
        let category_id = ids.get(k).copied();
        let mut matches = Vec::with_capacity(cells.len() * params.area_ranges.len());
        for area in 0..params.area_ranges.len() {
            for &(image, truths, found) in &cells {
                let cell = Cell { ground_truth, detections, params: &params, truths, found };
                matches.push(cell.matches(universe.image_ids[image as usize], category_id, area));
            }
        }
        matches
    };
    Ok(parallel::map(universe.groups(), of_group).into_iter().flatten().collect())
}

/// The rows of both tables image by image. Both come with images ascending.
fn cells<'p>(mut truths: &'p [Placed], mut found: &'p [Placed]) -> Vec<(u32, &'p [Placed], &'p [Placed])> {
    let mut cells = Vec::new();
    while let Some(image) = [truths.first(), found.first()].into_iter().flatten().map(|row| row.image).min() {
        cells.push((image, take_image(&mut truths, image), take_image(&mut found, image)));
    }
    cells
}

/// Splits off the leading rows that lie on `image`.
fn take_image<'p>(rows: &mut &'p [Placed], image: u32) -> &'p [Placed] {
    let end = rows.partition_point(|row| row.image <= image);
    let (here, rest) = rows.split_at(end);
    *rows = rest;
    here
}

/// One category on one image.
struct Cell<'a> {
    ground_truth: &'a GroundTruth,
    detections: &'a Detections,
    params: &'a EvalParams,
    truths: &'a [Placed],
    found: &'a [Placed],
}

impl Cell<'_> {
    fn matches(&self, image_id: i64, category_id: Option<i64>, area_range: usize) -> CellMatches {
        let detections = self.ranked();
        let ground_truths: Vec<u32> = self.truths.iter().map(|truth| truth.row).collect();
        let crowd: Vec<bool> =
            ground_truths.iter().map(|&row| self.ground_truth.crowds()[row as usize]).collect();
        let inside = |area: f64| ranges_around(area, self.params) >> area_range & 1 == 1;
        let areas = self.ground_truth.areas();
        let ignored: Vec<bool> = ground_truths
            .iter()
            .zip(&crowd)
            .map(|(&row, &crowd)| crowd || !inside(areas[row as usize]))
            .collect();
        let overlaps = self.overlaps(&detections, &ground_truths, &crowd);
        let at_threshold = |&threshold: &f64| {
            let mut matches = vec![None; detections.len()];
            let found = Matcher::default().matches(&overlaps, &ignored, &crowd, threshold).to_vec();
            let rows = overlaps.rows().iter().map(|row| row.detection as usize);
            rows.zip(found).for_each(|(detection, found)| matches[detection] = found);
            matches
        };
        let matches: Vec<Vec<Option<u32>>> = self.params.iou_thresholds.iter().map(at_threshold).collect();
        let judge = |(&row, matched): (&u32, &Option<u32>)| {
            let [_, _, width, height] = self.detections.boxes()[row as usize];
            let matched = matched.map(|g| {
                let id = self.ground_truth.ids()[ground_truths[g as usize] as usize];
                (counts_as_match(id, self.params.id_zero), ignored[g as usize])
            });
            outcome(matched, inside(width * height))
        };
        let outcomes =
            matches.iter().map(|matches| detections.iter().zip(matches).map(judge).collect()).collect();
        CellMatches {
            image_id,
            category_id,
            area_range,
            detections,
            ground_truths,
            ignored,
            matches,
            outcomes,
        }
    }

    fn ranked(&self) -> Vec<u32> {
        let key = |(row, i): (&Placed, u32)| ranking_key(self.detections.scores()[row.row as usize], 0, i);
        let mut keys: Vec<u128> = self.found.iter().zip(0..).map(key).collect();
        keys.sort_unstable();
        keys.truncate(self.params.max_detections.last().map_or(0, |&cap| cap));
        keys.into_iter().map(|key| self.found[index_of(key)].row).collect()
    }

    fn overlaps(&self, detections: &[u32], ground_truths: &[u32], crowd: &[bool]) -> Overlaps {
        let boxes = |boxes: &[[f64; 4]], rows: &[u32]| {
            rows.iter().map(|&row| boxes[row as usize]).collect::<Vec<_>>()
        };
        let lowest = self.params.iou_thresholds.iter().copied().fold(f64::INFINITY, f64::min);
        let mut overlaps = Overlaps::default();
        let (found, truths) =
            (boxes(self.detections.boxes(), detections), boxes(self.ground_truth.boxes(), ground_truths));
        overlaps.fill(&found, &truths, crowd, required_iou(lowest));
        overlaps
    }
}
