//! Images, categories and annotations.

use std::collections::HashMap;

use crate::error::{Error, Record};
use crate::json::rows::Field;
use crate::policy::{DuplicateIds, InputPolicy, UnknownIds};
use crate::refusal::{Refusal, check_box, check_finite, check_row_count, check_size};

/// An image of the data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its id, any integer.
    pub id: i64,
    /// Its file, when the annotations name one.
    pub file_name: Option<String>,
}

/// A category of the data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    /// Its id, any integer.
    pub id: i64,
    /// Its name, when the annotations give one.
    pub name: Option<String>,
}

/// One annotated object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Annotation {
    /// Its id, any integer. See [`IdZero`](crate::IdZero) for 0.
    pub id: i64,
    /// Image that it lies on.
    pub image_id: i64,
    /// What it is.
    pub category_id: i64,
    /// `[x, y, width, height]` in pixels.
    pub bbox: [f64; 4],
    /// Area in square pixels that decides on area ranges; in COCO that of the mask, not `width * height`
    /// (quirk `area-field`).
    pub area: f64,
    /// Whether it is a region of many objects, which is never counted and may be matched many times.
    pub crowd: bool,
}

/// Annotations in columns, with the images and categories they refer to.
#[derive(Debug, Clone, Default)]
pub struct GroundTruth {
    policy: InputPolicy,
    images: Vec<Image>,
    categories: Vec<Category>,
    ids: Vec<i64>,
    image_ids: Vec<i64>,
    category_ids: Vec<i64>,
    boxes: Vec<[f64; 4]>,
    areas: Vec<f64>,
    crowds: Vec<bool>,
    /// The row that stands for each row; empty when every row stands for itself.
    stand_ins: Vec<u32>,
    duplicate_ids: Vec<i64>,
}

impl GroundTruth {
    /// Takes annotations from memory.
    ///
    /// Images and categories are sorted by id; of equal ids the last is kept.
    ///
    /// # Errors
    ///
    /// A number that is not finite, or what `policy` refuses: negative sizes, duplicate ids.
    pub fn new(
        images: Vec<Image>,
        categories: Vec<Category>,
        annotations: impl IntoIterator<Item = Annotation>,
        policy: InputPolicy,
    ) -> Result<Self, Error> {
        let mut ground_truth = Self::empty(policy);
        for annotation in annotations {
            ground_truth.push(&annotation)?;
        }
        ground_truth.finish(images, categories)
    }

    /// Images by ascending id.
    #[must_use]
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// Categories by ascending id.
    #[must_use]
    pub fn categories(&self) -> &[Category] {
        &self.categories
    }

    /// Number of annotations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no annotation.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Annotation `row` as it was written, in file order.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<Annotation> {
        Some(Annotation {
            id: *self.ids.get(row)?,
            image_id: *self.image_ids.get(row)?,
            category_id: *self.category_ids.get(row)?,
            bbox: *self.boxes.get(row)?,
            area: *self.areas.get(row)?,
            crowd: *self.crowds.get(row)?,
        })
    }

    /// Annotation ids, in file order.
    #[must_use]
    pub fn ids(&self) -> &[i64] {
        &self.ids
    }

    /// Image of each annotation, in file order.
    #[must_use]
    pub fn image_ids(&self) -> &[i64] {
        &self.image_ids
    }

    /// Category of each annotation, in file order.
    #[must_use]
    pub fn category_ids(&self) -> &[i64] {
        &self.category_ids
    }

    /// `[x, y, width, height]` of each annotation in pixels, in file order.
    #[must_use]
    pub fn boxes(&self) -> &[[f64; 4]] {
        &self.boxes
    }

    /// Area of each annotation in square pixels, in file order.
    #[must_use]
    pub fn areas(&self) -> &[f64] {
        &self.areas
    }

    /// Whether each annotation is a crowd region, in file order.
    #[must_use]
    pub fn crowds(&self) -> &[bool] {
        &self.crowds
    }

    /// Ids that several annotations carry, ascending; worth a warning, since pycocotools scores them
    /// strangely.
    #[must_use]
    pub fn duplicate_ids(&self) -> &[i64] {
        &self.duplicate_ids
    }

    /// Whether an annotation has the id 0; worth a warning, see [`IdZero`](crate::IdZero).
    #[must_use]
    pub fn has_id_zero(&self) -> bool {
        self.ids.contains(&0)
    }

    /// The row that stands for `row` under the policy for duplicate ids.
    pub(crate) fn stand_in(&self, row: u32) -> u32 {
        self.stand_ins.get(row as usize).map_or(row, |&other| other)
    }

    /// An empty table to be filled by [`add`](Self::add) and [`finish`](Self::finish).
    pub(crate) fn empty(policy: InputPolicy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// Takes in one row, in file order.
    pub(crate) fn add(&mut self, annotation: &Annotation) -> Result<(), Refusal> {
        check_box(&annotation.bbox, self.policy.negative_sizes)?;
        check_finite(Field::Area, 0, annotation.area)?;
        check_size(Field::Area, 0, annotation.area, self.policy.negative_sizes)?;
        self.ids.push(annotation.id);
        self.image_ids.push(annotation.image_id);
        self.category_ids.push(annotation.category_id);
        self.boxes.push(annotation.bbox);
        self.areas.push(annotation.area);
        self.crowds.push(annotation.crowd);
        Ok(())
    }

    fn push(&mut self, annotation: &Annotation) -> Result<(), Error> {
        let record = Record::Annotation { index: self.len(), id: Some(annotation.id) };
        check_row_count(record, self.len())?;
        self.add(annotation).map_err(|refusal| refusal.into_error(record, None))
    }

    /// Adds what the rows refer to, and checks what only shows when all is there.
    pub(crate) fn finish(mut self, images: Vec<Image>, categories: Vec<Category>) -> Result<Self, Error> {
        self.images = sorted_unique(images, |image| image.id);
        self.categories = sorted_unique(categories, |category| category.id);
        self.check_known()?;
        self.resolve_duplicates()?;
        Ok(self)
    }

    fn check_known(&self) -> Result<(), Error> {
        if self.policy.unknown_ids == UnknownIds::Drop {
            return Ok(());
        }
        for row in 0..self.len() {
            let (image, category) = (self.image_ids[row], self.category_ids[row]);
            let unknown =
                |field, id| Error::UnknownId { record: self.record(row), position: None, field, id };
            if self.images.binary_search_by_key(&image, |known| known.id).is_err() {
                return Err(unknown("image_id", image));
            }
            if self.categories.binary_search_by_key(&category, |known| known.id).is_err() {
                return Err(unknown("category_id", category));
            }
        }
        Ok(())
    }

    /// Finds ids used more than once and applies the policy (quirk `duplicate-ids`).
    fn resolve_duplicates(&mut self) -> Result<(), Error> {
        let mut last_row = HashMap::with_capacity(self.len());
        for (row, &id) in (0u32..).zip(&self.ids) {
            let Some(earlier) = last_row.insert(id, row) else { continue };
            if self.policy.duplicate_ids == DuplicateIds::Reject {
                let (record, earlier) = (self.record(row as usize), self.record(earlier as usize));
                return Err(Error::DuplicateId { record, position: None, earlier });
            }
            self.duplicate_ids.push(id);
        }
        self.duplicate_ids.sort_unstable();
        self.duplicate_ids.dedup();
        if self.policy.duplicate_ids == DuplicateIds::LastStandsIn && !self.duplicate_ids.is_empty() {
            let own = |(row, id)| last_row.get(id).map_or(row, |&last| last);
            self.stand_ins = (0u32..).zip(&self.ids).map(own).collect();
        }
        Ok(())
    }

    fn record(&self, row: usize) -> Record {
        Record::Annotation { index: row, id: self.ids.get(row).copied() }
    }
}

fn sorted_unique<T>(mut items: Vec<T>, id: impl Fn(&T) -> i64) -> Vec<T> {
    items.reverse(); // a stable sort then has the last of equal ids first
    items.sort_by_key(&id);
    items.dedup_by_key(|item| id(item));
    items
}
