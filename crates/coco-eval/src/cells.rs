//! Which rows are evaluated, and where: by group (a category, or the pool of all), and in it by image.

use crate::detections::Detections;
use crate::error::Error;
use crate::ground_truth::GroundTruth;
use crate::params::{EvalParams, Pooling};
use crate::positions::Positions;

/// A row of a table and the image it lies on, by position in the [`Universe`].
#[derive(Clone, Copy, Default)]
pub(crate) struct Placed {
    pub(crate) image: u32,
    pub(crate) row: u32,
}

/// The selected images and categories; rows of anything else are dropped on both sides (quirk
/// `unknown-dropped`).
pub(crate) struct Universe {
    pooling: Pooling,
    /// The images that are evaluated.
    images: Positions,
    pub(crate) image_ids: Vec<i64>,
    /// All that the parameters select, when only a part of them is evaluated.
    selected: Option<Positions>,
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
            image_ids,
            selected: None,
            categories: Positions::of(&mut category_ids),
            category_ids,
        }
    }

    /// Evaluates some of the selected images only.
    ///
    /// # Errors
    ///
    /// An image that is not selected.
    pub(crate) fn part(mut self, image_ids: &[i64]) -> Result<Self, Error> {
        if let Some(&image_id) = image_ids.iter().find(|&&id| self.images.find(id).is_none()) {
            return Err(Error::ImageNotSelected { image_id });
        }
        self.image_ids = image_ids.to_vec();
        self.image_ids.sort_unstable();
        let part = Positions::of(&mut self.image_ids);
        self.selected = Some(std::mem::replace(&mut self.images, part));
        Ok(self)
    }

    fn selects(&self, image_id: i64) -> bool {
        self.selected.as_ref().unwrap_or(&self.images).find(image_id).is_some()
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

    /// The parameters with the subsets filled in.
    pub(crate) fn full_params(&self, params: &EvalParams) -> EvalParams {
        EvalParams {
            image_ids: Some(self.image_ids.clone()),
            category_ids: Some(self.category_ids.clone()),
            ..params.clone()
        }
    }

    /// The detections by group, in a group (by category if pooled, then) in the order they came.
    ///
    /// # Errors
    ///
    /// A detection on an image that the ground truth does not list, selected or not (quirk
    /// `unknown-image-refused`).
    pub(crate) fn place_detections(
        &self,
        ground_truth: &GroundTruth,
        detections: &Detections,
    ) -> Result<Groups, Error> {
        check_images(ground_truth, detections)?;
        let ids = || (0u32..).zip(detections.image_ids().iter().zip(detections.category_ids()));
        Ok(self.group(|| {
            let mut last = None;
            ids().filter_map(move |(row, (&image_id, &category_id))| {
                // detections mostly come image by image, so that one lookup serves many
                let image = match last {
                    Some((id, image)) if id == image_id => image,
                    _ => last.insert((image_id, self.images.find(image_id))).1,
                };
                Some((self.categories.find(category_id)?, Placed { image: image?, row }))
            })
        }))
    }

    /// The ground truths by group, in a group by image, in an image (by category if pooled, then) in file
    /// order (quirk `pool-order`).
    ///
    /// A row with a stand-in is selected by its own image and category and then evaluated where the
    /// stand-in lies; pycocotools collects rows image by image, so that order decides among stand-ins
    /// from several images.
    pub(crate) fn place_ground_truth(&self, ground_truth: &GroundTruth) -> Groups {
        let (image_ids, category_ids) = (ground_truth.image_ids(), ground_truth.category_ids());
        let mut rows: Vec<u32> = (0..ground_truth.len() as u32).collect();
        if !ground_truth.duplicate_ids().is_empty() {
            rows.sort_by_key(|&row| image_ids[row as usize]);
        }
        let selected = |&row: &u32| {
            let (image, category) = (image_ids[row as usize], category_ids[row as usize]);
            let category_counts = self.pooling == Pooling::PerCategory;
            self.selects(image) && (!category_counts || self.categories.find(category).is_some())
        };
        rows.retain(selected);
        let place = |&row: &u32| {
            let row = ground_truth.stand_in(row);
            let image = self.images.find(image_ids[row as usize])?;
            Some((self.categories.find(category_ids[row as usize])?, Placed { image, row }))
        };
        let mut groups = self.group(|| rows.iter().filter_map(place));
        groups.sort_by_image();
        groups
    }

    /// A counting sort by category, which keeps the order of a category's rows. `rows` is asked twice for
    /// the same categories and rows.
    fn group<Rows: Iterator<Item = (u32, Placed)>>(&self, rows: impl Fn() -> Rows) -> Groups {
        let categories = self.category_ids.len();
        let mut starts = vec![0; categories + 1];
        rows().for_each(|(category, _)| starts[category as usize + 1] += 1);
        for category in 0..categories {
            starts[category + 1] += starts[category];
        }
        let mut next = starts.clone();
        let mut placed = vec![Placed::default(); starts[categories]];
        for (category, row) in rows() {
            let at = &mut next[category as usize];
            placed[*at] = row;
            *at += 1;
        }
        if self.pooling == Pooling::ClassAgnostic {
            starts = vec![0, placed.len()];
        }
        Groups { placed, starts }
    }
}

/// Refuses a detection on an image that the ground truth does not list.
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

/// Placed rows, group after group.
pub(crate) struct Groups {
    placed: Vec<Placed>,
    starts: Vec<usize>,
}

impl Groups {
    /// Sorts the rows of each group by image and keeps the order of an image's rows.
    pub(crate) fn sort_by_image(&mut self) {
        for group in self.starts.windows(2) {
            self.placed[group[0]..group[1]].sort_by_key(|row| row.image);
        }
    }

    /// Rows of one group.
    pub(crate) fn group(&self, group: usize) -> &[Placed] {
        &self.placed[self.starts[group]..self.starts[group + 1]]
    }
}
