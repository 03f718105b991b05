//! Detections to be scored.

use serde::Serialize;

use crate::error::{Error, Record};
use crate::json::rows::Field;
use crate::policy::InputPolicy;
use crate::refusal::{Refusal, check_box, check_finite, check_row_count};

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
        self.add(detection).map_err(|refusal| refusal.into_error(record, None))
    }

    #[inline]
    pub(crate) fn add(&mut self, detection: &Detection) -> Result<(), Refusal> {
        check_box(&detection.bbox, self.policy.negative_sizes)?;
        check_finite(Field::Score, 0, detection.score)?;
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

    pub(crate) fn policy(&self) -> InputPolicy {
        self.policy
    }

    /// Makes room for `rows` more if it is to be had; without it the columns grow as they fill.
    pub(crate) fn reserve(&mut self, rows: usize) {
        let _ = self.image_ids.try_reserve(rows);
        let _ = self.category_ids.try_reserve(rows);
        let _ = self.boxes.try_reserve(rows);
        let _ = self.scores.try_reserve(rows);
    }

    /// Takes all rows away but keeps their room.
    #[cfg(feature = "rayon")]
    pub(crate) fn clear(&mut self) {
        self.image_ids.clear();
        self.category_ids.clear();
        self.boxes.clear();
        self.scores.clear();
    }

    /// Moves all rows of `others`, which have been checked, behind these; `others` keeps its room.
    #[cfg(feature = "rayon")]
    pub(crate) fn append(&mut self, others: &mut Self) {
        let Self { image_ids, category_ids, boxes, scores, .. } = self;
        let narrow = || {
            image_ids.append(&mut others.image_ids);
            category_ids.append(&mut others.category_ids);
            scores.append(&mut others.scores);
        };
        rayon::join(|| boxes.append(&mut others.boxes), narrow);
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
