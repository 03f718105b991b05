//! Images, categories and annotations.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, Visitor};

use crate::error::{Error, Record};
use crate::json::{self, Cursor, List, Row, RowKind, Rows};
use crate::policy::{DuplicateIds, InputPolicy, NegativeSizes};

/// An image of the data set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Image {
    /// Its id, any integer.
    pub id: i64,
    /// Its file, when the annotations name one.
    pub file_name: Option<String>,
}

/// A category of the data set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
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
        let mut ground_truth = Self { policy, ..Self::default() };
        for annotation in annotations {
            ground_truth.push(&annotation)?;
        }
        ground_truth.finish(images, categories)
    }

    /// Reads a COCO annotations file: an object with `images`, `categories` and `annotations`.
    ///
    /// Each annotation needs `id`, `image_id`, `category_id`, `bbox`, `area` and `iscrowd`; everything
    /// else is skipped.
    ///
    /// # Errors
    ///
    /// Text that is not such JSON, with the record and field at fault, and all of [`new`](Self::new)'s.
    pub fn from_json(json: &[u8], policy: InputPolicy) -> Result<Self, Error> {
        let cursor = Cursor::new();
        let mut ground_truth = Self { policy, ..Self::default() };
        let file = AnnotationsFile { cursor: &cursor, ground_truth: &mut ground_truth };
        let (images, categories) = json::parse(json, &cursor, file)?;
        ground_truth.finish(images, categories)
    }

    /// Reads a COCO annotations file from disk; see [`from_json`](Self::from_json).
    ///
    /// # Errors
    ///
    /// A file that cannot be read, and all of [`from_json`](Self::from_json)'s.
    pub fn from_json_file(path: impl AsRef<Path>, policy: InputPolicy) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|cause| Error::File { path: path.to_owned(), cause })?;
        Self::from_json(&bytes, policy)
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

    fn push(&mut self, annotation: &Annotation) -> Result<(), Error> {
        let record = Record::Annotation { index: self.len(), id: Some(annotation.id) };
        check_row_count(record, self.len())?;
        check_box(record, &annotation.bbox, self.policy.negative_sizes)?;
        check_finite(record, "area", annotation.area)?;
        check_size(record, "area", annotation.area, self.policy.negative_sizes)?;
        self.ids.push(annotation.id);
        self.image_ids.push(annotation.image_id);
        self.category_ids.push(annotation.category_id);
        self.boxes.push(annotation.bbox);
        self.areas.push(annotation.area);
        self.crowds.push(annotation.crowd);
        Ok(())
    }

    fn finish(mut self, images: Vec<Image>, categories: Vec<Category>) -> Result<Self, Error> {
        self.images = sorted_unique(images, |image| image.id);
        self.categories = sorted_unique(categories, |category| category.id);
        self.resolve_duplicates()?;
        Ok(self)
    }

    /// Finds ids used more than once and applies the policy (quirk `duplicate-ids`).
    fn resolve_duplicates(&mut self) -> Result<(), Error> {
        let mut last_row = HashMap::with_capacity(self.len());
        for (row, &id) in (0u32..).zip(&self.ids) {
            if last_row.insert(id, row).is_none() {
                continue;
            }
            if self.policy.duplicate_ids == DuplicateIds::Reject {
                let record = Record::Annotation { index: row as usize, id: Some(id) };
                return Err(Error::DuplicateId { record });
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
}

fn sorted_unique<T>(mut items: Vec<T>, id: impl Fn(&T) -> i64) -> Vec<T> {
    items.reverse(); // a stable sort then has the last of equal ids first
    items.sort_by_key(&id);
    items.dedup_by_key(|item| id(item));
    items
}

/// Refuses a row whose number would not fit 32 bits.
pub(crate) fn check_row_count(record: Record, rows: usize) -> Result<(), Error> {
    if rows >= u32::MAX as usize { Err(Error::TooManyRows { record }) } else { Ok(()) }
}

/// Refuses NaN, infinities and, depending on the policy, negative widths and heights.
pub(crate) fn check_box(record: Record, bbox: &[f64; 4], policy: NegativeSizes) -> Result<(), Error> {
    for value in bbox {
        check_finite(record, "bbox", *value)?;
    }
    check_size(record, "bbox", bbox[2], policy)?;
    check_size(record, "bbox", bbox[3], policy)
}

/// Refuses NaN and infinities.
pub(crate) fn check_finite(record: Record, field: &'static str, value: f64) -> Result<(), Error> {
    if value.is_finite() { Ok(()) } else { Err(Error::NotFinite { record, field, value }) }
}

fn check_size(record: Record, field: &'static str, value: f64, policy: NegativeSizes) -> Result<(), Error> {
    if value < 0.0 && policy == NegativeSizes::Reject {
        return Err(Error::NegativeSize { record, field, value });
    }
    Ok(())
}

/// The value of a field, or the error that names it.
pub(crate) fn required<T>(record: Record, field: &'static str, value: Option<T>) -> Result<T, Error> {
    value.ok_or(Error::MissingField { record, field })
}

fn annotation_of(index: usize, row: &Row) -> Result<Annotation, Error> {
    let record = Record::Annotation { index, id: row.id };
    Ok(Annotation {
        id: required(record, "id", row.id)?,
        image_id: required(record, "image_id", row.image_id)?,
        category_id: required(record, "category_id", row.category_id)?,
        bbox: required(record, "bbox", row.bbox)?,
        area: required(record, "area", row.area)?,
        crowd: required(record, "iscrowd", row.crowd)?,
    })
}

/// The outermost object of an annotations file.
struct AnnotationsFile<'c> {
    cursor: &'c Cursor,
    ground_truth: &'c mut GroundTruth,
}

impl<'de> DeserializeSeed<'de> for AnnotationsFile<'_> {
    type Value = (Vec<Image>, Vec<Category>);

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for AnnotationsFile<'_> {
    type Value = (Vec<Image>, Vec<Category>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `images`, `categories` and `annotations`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Self { cursor, ground_truth } = self;
        let (mut images, mut categories, mut annotations) = (None, None, None);
        while let Some(section) = map.next_key::<String>()? {
            match section.as_str() {
                "images" => {
                    images = Some(map.next_value_seed(List::new(cursor, |index| Record::Image { index }))?);
                }
                "categories" => {
                    let list = List::new(cursor, |index| Record::Category { index });
                    categories = Some(map.next_value_seed(list)?);
                }
                "annotations" => {
                    let sink = |index, row| ground_truth.push(&annotation_of(index, &row)?);
                    annotations =
                        Some(map.next_value_seed(Rows { cursor, kind: RowKind::Annotation, sink })?);
                }
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        let missing = |section| cursor.stop::<A::Error>(Error::MissingSection { section });
        annotations.ok_or_else(|| missing("annotations"))?;
        let images = images.ok_or_else(|| missing("images"))?;
        Ok((images, categories.ok_or_else(|| missing("categories"))?))
    }
}
