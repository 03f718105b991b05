//! Rows of both tables by image, for what looks at all categories of an image at once.

use std::cmp::Ordering;

use crate::detections::Detections;
use crate::error::Error;
use crate::ground_truth::GroundTruth;
use crate::iou::{Overlap, Overlaps, box_iou};
use crate::positions::Positions;

/// Ids of the images and categories to look at, both ascending; rows of anything else are left out.
pub(crate) struct Subset {
    images: Positions,
    image_count: usize,
    categories: Positions,
    category_ids: Vec<i64>,
}

/// A row of a table, with its category by position in [`Subset::category_ids`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    pub(crate) row: u32,
    pub(crate) category: u32,
}

/// The rows of a table image by image.
pub(crate) struct ByImage {
    items: Vec<Item>,
    starts: Vec<usize>,
}

impl Subset {
    /// What is not chosen is all that the ground truth lists.
    pub(crate) fn new(
        ground_truth: &GroundTruth,
        image_ids: Option<&[i64]>,
        category_ids: Option<&[i64]>,
    ) -> Self {
        let all_images = || ground_truth.images().iter().map(|image| image.id).collect();
        let all_categories = || ground_truth.categories().iter().map(|category| category.id).collect();
        let mut image_ids = image_ids.map_or_else(all_images, <[i64]>::to_vec);
        let mut category_ids = category_ids.map_or_else(all_categories, <[i64]>::to_vec);
        image_ids.sort_unstable();
        category_ids.sort_unstable();
        Self {
            images: Positions::of(&mut image_ids),
            image_count: image_ids.len(),
            categories: Positions::of(&mut category_ids),
            category_ids,
        }
    }

    pub(crate) fn images(&self) -> usize {
        self.image_count
    }

    pub(crate) fn category_ids(&self) -> &[i64] {
        &self.category_ids
    }

    /// Annotations of each image in file order, each as it was written: ids play no part.
    pub(crate) fn ground_truth(&self, ground_truth: &GroundTruth) -> ByImage {
        let ids = ground_truth.image_ids().iter().zip(ground_truth.category_ids());
        self.group((0u32..).zip(ids).map(|(row, (&image, &category))| (row, image, category)))
    }

    /// Detections of each image with `score >= at_least`, by falling score; equal scores in the order they
    /// came.
    pub(crate) fn detections(&self, detections: &Detections, at_least: f64) -> ByImage {
        let ids = detections.image_ids().iter().zip(detections.category_ids());
        let scores = detections.scores();
        let rows = (0u32..).zip(ids).map(|(row, (&image, &category))| (row, image, category));
        let mut grouped = self.group(rows.filter(|&(row, ..)| scores[row as usize] >= at_least));
        for bounds in grouped.starts.windows(2) {
            grouped.items[bounds[0]..bounds[1]]
                .sort_by(|a, b| by_falling_score(scores[a.row as usize], scores[b.row as usize]));
        }
        grouped
    }

    fn group(&self, rows: impl Iterator<Item = (u32, i64, i64)>) -> ByImage {
        let mut placed = Vec::new();
        for (row, image_id, category_id) in rows {
            let (image, category) = (self.images.find(image_id), self.categories.find(category_id));
            if let (Some(image), Some(category)) = (image, category) {
                placed.push((image, Item { row, category }));
            }
        }
        placed.sort_by_key(|&(image, _)| image);
        let start = |image| placed.partition_point(|&(other, _)| (other as usize) < image);
        let starts = (0..=self.images()).map(start).collect();
        ByImage { items: placed.into_iter().map(|(_, item)| item).collect(), starts }
    }
}

impl ByImage {
    pub(crate) fn image(&self, image: usize) -> &[Item] {
        &self.items[self.starts[image]..self.starts[image + 1]]
    }
}

/// By falling score, -0.0 equal to 0.0; scores are never NaN.
pub(crate) fn by_falling_score(a: f64, b: f64) -> Ordering {
    b.partial_cmp(&a).unwrap_or(Ordering::Equal)
}

/// Refuses an overlap threshold outside (0, 1]. At 0 boxes far apart would overlap enough.
pub(crate) fn check_overlap(parameter: &'static str, value: f64) -> Result<(), Error> {
    if value > 0.0 && value <= 1.0 {
        return Ok(());
    }
    Err(Error::ParameterOutOfRange { parameter, value, range: "above 0 and at most 1" })
}

/// One image at a time: its objects, crowd regions and detections, and what overlaps what.
///
/// Buffers serve one image after another, and only overlaps that matter are kept.
pub(crate) struct Scene<'a> {
    ground_truth: &'a GroundTruth,
    found: &'a Detections,
    truths: Vec<Item>,
    crowds: Vec<Item>,
    detections: Vec<Item>,
    truth_boxes: Vec<[f64; 4]>,
    detection_boxes: Vec<[f64; 4]>,
    overlaps: Overlaps,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(ground_truth: &'a GroundTruth, found: &'a Detections) -> Self {
        Self {
            ground_truth,
            found,
            truths: Vec::new(),
            crowds: Vec::new(),
            detections: Vec::new(),
            truth_boxes: Vec::new(),
            detection_boxes: Vec::new(),
            overlaps: Overlaps::default(),
        }
    }

    /// Replaces the contents by another image's, with the overlaps of at least `at_least`.
    pub(crate) fn fill(&mut self, annotations: &[Item], detections: &[Item], at_least: f64) {
        let crowd = |item: &&Item| self.ground_truth.crowds()[item.row as usize];
        let truth_box = |item: &Item| self.ground_truth.boxes()[item.row as usize];
        replace(&mut self.crowds, annotations.iter().filter(crowd).copied());
        replace(&mut self.truths, annotations.iter().filter(|item| !crowd(item)).copied());
        replace(&mut self.detections, detections.iter().copied());
        replace(&mut self.truth_boxes, self.truths.iter().map(truth_box));
        let found_box = |item: &Item| self.found.boxes()[item.row as usize];
        replace(&mut self.detection_boxes, detections.iter().map(found_box));
        self.overlaps.fill(&self.detection_boxes, &self.truth_boxes, &[], at_least);
    }

    /// Objects in file order; crowd regions are not among them.
    pub(crate) fn truths(&self) -> &[Item] {
        &self.truths
    }

    /// Detections by falling score, each with its overlaps, objects in file order.
    pub(crate) fn detections(&self) -> impl Iterator<Item = (Item, &[Overlap])> {
        let mut rows = self.overlaps.rows().iter().peekable();
        (0u32..).zip(&self.detections).map(move |(position, &item)| {
            let row = rows.next_if(|row| row.detection == position);
            (item, row.map_or(&[][..], |row| self.overlaps.of(row)))
        })
    }

    /// The largest part of a detection that a crowd region of its category covers, in [0, 1].
    pub(crate) fn crowd_overlap(&self, detection: Item) -> f64 {
        let bbox = &self.found.boxes()[detection.row as usize];
        let same_category = self.crowds.iter().filter(|crowd| crowd.category == detection.category);
        same_category
            .map(|crowd| box_iou(bbox, &self.ground_truth.boxes()[crowd.row as usize], true))
            .fold(0.0, f64::max)
    }
}

fn replace<T>(buffer: &mut Vec<T>, items: impl Iterator<Item = T>) {
    buffer.clear();
    buffer.extend(items);
}
