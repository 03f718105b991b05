//! Detections to be scored.

use std::path::Path;

use serde::Serialize;

use crate::error::{Error, Record};
use crate::ground_truth::{check_box, check_finite, check_row_count, required};
use crate::json::{self, Cursor, Row, RowKind, Rows};
use crate::policy::InputPolicy;

/// One detected box, in the field order of a COCO results file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Detection {
    /// Image that it was found on.
    pub image_id: i64,
    /// What it was taken for.
    pub category_id: i64,
    /// `[x, y, width, height]` in pixels of the original image.
    pub bbox: [f64; 4],
    /// Confidence; only its order matters. Any finite number.
    pub score: f64,
}

/// Detections in columns, in the order they came.
///
/// The order matters where scores are equal: inside an image the earlier detection ranks first.
#[derive(Debug, Clone, Default)]
pub struct Detections {
    policy: InputPolicy,
    image_ids: Vec<i64>,
    category_ids: Vec<i64>,
    boxes: Vec<[f64; 4]>,
    scores: Vec<f64>,
}

impl Detections {
    /// An empty set that takes in what `policy` allows.
    #[must_use]
    pub fn new(policy: InputPolicy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// Adds one detection.
    ///
    /// # Errors
    ///
    /// A number that is not finite, or a negative size that the policy refuses; the set is then unchanged.
    pub fn push(&mut self, detection: &Detection) -> Result<(), Error> {
        let record = Record::Result { index: self.len() };
        check_row_count(record, self.len())?;
        check_box(record, &detection.bbox, self.policy.negative_sizes)?;
        check_finite(record, "score", detection.score)?;
        self.image_ids.push(detection.image_id);
        self.category_ids.push(detection.category_id);
        self.boxes.push(detection.bbox);
        self.scores.push(detection.score);
        Ok(())
    }

    /// Adds the detections of one image as `(category id, box, score)`, in the order given.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push); the detections before the faulty one stay.
    pub fn push_image(
        &mut self,
        image_id: i64,
        detections: impl IntoIterator<Item = (i64, [f64; 4], f64)>,
    ) -> Result<(), Error> {
        for (category_id, bbox, score) in detections {
            self.push(&Detection { image_id, category_id, bbox, score })?;
        }
        Ok(())
    }

    /// Reads a COCO results file: a list of objects with `image_id`, `category_id`, `bbox` and `score`.
    ///
    /// Other fields are skipped, `id`, `area` and `iscrowd` among them. An empty list is an empty set
    /// (quirk `empty-results`).
    ///
    /// # Errors
    ///
    /// Text that is not such JSON, with the index and field at fault, and all of [`push`](Self::push)'s.
    pub fn from_json(json: &[u8], policy: InputPolicy) -> Result<Self, Error> {
        let cursor = Cursor::new();
        let mut detections = Self::new(policy);
        let sink = |index, row| detections.push(&detection_of(index, &row)?);
        json::parse(json, &cursor, Rows { cursor: &cursor, kind: RowKind::Result, sink })?;
        Ok(detections)
    }

    /// Reads a COCO results file from disk; see [`from_json`](Self::from_json).
    ///
    /// # Errors
    ///
    /// A file that cannot be read, and all of [`from_json`](Self::from_json)'s.
    pub fn from_json_file(path: impl AsRef<Path>, policy: InputPolicy) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|cause| Error::File { path: path.to_owned(), cause })?;
        Self::from_json(&bytes, policy)
    }

    /// Number of detections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// Detection `row`, in the order they came.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<Detection> {
        Some(Detection {
            image_id: *self.image_ids.get(row)?,
            category_id: *self.category_ids.get(row)?,
            bbox: *self.boxes.get(row)?,
            score: *self.scores.get(row)?,
        })
    }

    /// All detections, in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = Detection> + '_ {
        (0..self.len()).filter_map(|row| self.get(row))
    }

    /// Image of each detection.
    #[must_use]
    pub fn image_ids(&self) -> &[i64] {
        &self.image_ids
    }

    /// Category of each detection.
    #[must_use]
    pub fn category_ids(&self) -> &[i64] {
        &self.category_ids
    }

    /// `[x, y, width, height]` of each detection in pixels.
    #[must_use]
    pub fn boxes(&self) -> &[[f64; 4]] {
        &self.boxes
    }

    /// Score of each detection.
    #[must_use]
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }
}

fn detection_of(index: usize, row: &Row) -> Result<Detection, Error> {
    let record = Record::Result { index };
    Ok(Detection {
        image_id: required(record, "image_id", row.image_id)?,
        category_id: required(record, "category_id", row.category_id)?,
        bbox: required(record, "bbox", row.bbox)?,
        score: required(record, "score", row.score)?,
    })
}
