//! Which rows are evaluated, and where: the occupied (category, image) cells, in evaluation order.

use crate::detections::Detections;
use crate::error::Error;
use crate::ground_truth::GroundTruth;
use crate::params::{EvalParams, Pooling};

/// A row of a table and the cell it belongs to, by position in the [`Universe`].
#[derive(Clone, Copy)]
pub(crate) struct Placed {
    category: u32,
    pub(crate) image: u32,
    pub(crate) row: u32,
}

/// The selected images and categories; rows of anything else are dropped on both sides (quirk
/// `unknown-dropped`).
pub(crate) struct Universe {
    pooling: Pooling,
    images: Positions,
    categories: Positions,
    category_ids: Vec<i64>,
}

impl Universe {
    /// Images ascend by id whatever the order they are given in; categories too, except in a pool, where
    /// the given order counts. Repeats count once (quirk `subsets-unique`).
    pub(crate) fn new(ground_truth: &GroundTruth, params: &EvalParams) -> Self {
        let all_images = || ground_truth.images().iter().map(|image| image.id).collect();
        let all_categories = || ground_truth.categories().iter().map(|category| category.id).collect();
        let mut image_ids: Vec<i64> = params.image_ids.clone().unwrap_or_else(all_images);
        let mut category_ids: Vec<i64> = params.category_ids.clone().unwrap_or_else(all_categories);
        image_ids.sort_unstable();
        if params.pooling == Pooling::PerCategory {
            category_ids.sort_unstable();
        }
        Self {
            pooling: params.pooling,
            images: Positions::of(&mut image_ids),
            categories: Positions::of(&mut category_ids),
            category_ids,
        }
    }

    /// Number of groups evaluated on their own: categories, or 1 for a pool.
    pub(crate) fn groups(&self) -> usize {
        match self.pooling {
            Pooling::PerCategory => self.category_ids.len(),
            Pooling::ClassAgnostic => 1,
        }
    }

    /// The id of each group; none for a pool.
    pub(crate) fn group_ids(&self) -> Vec<i64> {
        match self.pooling {
            Pooling::PerCategory => self.category_ids.clone(),
            Pooling::ClassAgnostic => Vec::new(),
        }
    }

    fn place(&self, image_id: i64, category_id: i64, row: u32) -> Option<Placed> {
        let image = self.images.find(image_id)?;
        Some(Placed { image, category: self.categories.find(category_id)?, row })
    }

    /// Cells of the detections, in the order they came.
    pub(crate) fn place_detections(&self, detections: &Detections) -> Cells {
        let ids = detections.image_ids().iter().zip(detections.category_ids());
        let placed =
            (0u32..).zip(ids).filter_map(|(row, (&image, &category))| self.place(image, category, row));
        Cells::new(placed.collect(), self)
    }

    /// Cells of the ground truths, in file order.
    ///
    /// A row with a stand-in is selected by its own image and category and then evaluated where the
    /// stand-in lies; pycocotools collects rows image by image, so that order decides among stand-ins
    /// from several images.
    pub(crate) fn place_ground_truth(&self, ground_truth: &GroundTruth) -> Cells {
        let (image_ids, category_ids) = (ground_truth.image_ids(), ground_truth.category_ids());
        let mut rows: Vec<u32> = (0..ground_truth.len() as u32).collect();
        if !ground_truth.duplicate_ids().is_empty() {
            rows.sort_by_key(|&row| image_ids[row as usize]);
        }
        let selected = |&row: &u32| {
            let (image, category) = (image_ids[row as usize], category_ids[row as usize]);
            let category_counts = self.pooling == Pooling::PerCategory;
            self.images.find(image).is_some()
                && (!category_counts || self.categories.find(category).is_some())
        };
        let place = |row| {
            let row = ground_truth.stand_in(row);
            self.place(image_ids[row as usize], category_ids[row as usize], row)
        };
        Cells::new(rows.into_iter().filter(selected).filter_map(place).collect(), self)
    }
}

/// Placed rows by group, in a group by image, in an image (by category if pooled, then) in the order they
/// came (quirk `pool-order`).
pub(crate) struct Cells {
    placed: Vec<Placed>,
    starts: Vec<usize>,
}

impl Cells {
    fn new(mut placed: Vec<Placed>, universe: &Universe) -> Self {
        if universe.pooling == Pooling::ClassAgnostic {
            placed.sort_by_key(|cell| (cell.image, cell.category));
            let starts = vec![0, placed.len()];
            return Self { placed, starts };
        }
        placed.sort_by_key(|cell| (cell.category, cell.image));
        let start = |group| placed.partition_point(|cell| (cell.category as usize) < group);
        let starts = (0..=universe.groups()).map(start).collect();
        Self { placed, starts }
    }

    /// Rows of one group, images ascending.
    pub(crate) fn group(&self, group: usize) -> &[Placed] {
        &self.placed[self.starts[group]..self.starts[group + 1]]
    }
}

/// From an id to its position in a list of unique ids.
struct Positions {
    /// (id, position) by id.
    sorted: Vec<(i64, u32)>,
}

impl Positions {
    /// Removes later repeats from `ids` and indexes the rest.
    fn of(ids: &mut Vec<i64>) -> Self {
        let mut sorted: Vec<(i64, u32)> = ids.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        sorted.dedup_by_key(|pair| pair.0);
        sorted.sort_unstable_by_key(|pair| pair.1);
        *ids = sorted.iter().map(|pair| pair.0).collect();
        let mut sorted: Vec<(i64, u32)> = ids.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        Self { sorted }
    }

    fn find(&self, id: i64) -> Option<u32> {
        let at = self.sorted.binary_search_by_key(&id, |pair| pair.0).ok()?;
        Some(self.sorted[at].1)
    }
}

/// Refuses detections on images that the ground truth does not list, selected or not (quirk
/// `unknown-image-refused`).
pub(crate) fn check_images(ground_truth: &GroundTruth, detections: &Detections) -> Result<(), Error> {
    let images = ground_truth.images();
    let mut known = None;
    for (index, &image_id) in detections.image_ids().iter().enumerate() {
        if known == Some(image_id) {
            continue;
        }
        if images.binary_search_by_key(&image_id, |image| image.id).is_err() {
            return Err(Error::UnknownImage { index, image_id });
        }
        known = Some(image_id);
    }
    Ok(())
}
