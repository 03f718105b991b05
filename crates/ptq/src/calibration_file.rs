//! The statistics of a calibration as a file that says what it was made from.

mod error;
mod json;
mod manifest;

use crate::statistics::MAX_COUNT;
use crate::{Collection, Statistics, StatisticsFault};
pub use error::CalibrationFileError;
pub use manifest::CalibrationManifest;
use manifest::check_sha256;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most tensors of a file. One takes few bytes there, but two histograms in memory, so that a small file could ask for a lot.
const MAX_TENSORS: usize = 4096;

/// An image that was calibrated on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationImage {
    /// Its file name, without the folder.
    pub name: String,
    /// SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// The largest magnitude of each tensor on this image, in the order of the tensors' names ([`Collection::observe_image`]).
    pub maxima: Vec<f32>,
}

impl CalibrationImage {
    /// Checks that there are images, that their hashes are some, and that no content is there twice: its values would count twice.
    ///
    /// # Errors
    /// [`CalibrationFileError::Empty`], [`CalibrationFileError::Field`], [`CalibrationFileError::SameImage`].
    pub fn check_all(images: &[Self]) -> Result<(), CalibrationFileError> {
        if images.is_empty() {
            return Err(CalibrationFileError::Empty { what: "images" });
        }
        let mut by_content = BTreeMap::new();
        for Self { name, sha256, .. } in images {
            check_sha256("an image's sha256", sha256)?;
            if let Some(other) = by_content.insert(sha256, name) {
                let (name, other, sha256) = (name.clone(), String::clone(other), sha256.clone());
                return Err(CalibrationFileError::SameImage { name, other, sha256 });
            }
        }
        Ok(())
    }
}

/// The statistics of a calibration: what was collected, from which images, for which model.
///
/// Every image is listed with its hash, so that parts that share one are told when they are merged; and nothing else tells of the
/// parts, so that the file does not depend on how the images were split.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrationFile {
    manifest: CalibrationManifest,
    images: Vec<CalibrationImage>,
    images_skipped: u64,
    collection: Collection,
}

impl CalibrationFile {
    /// Puts together what was collected on `images`, in any order; `images_skipped` could not be read.
    ///
    /// # Errors
    /// Hashes that are not 64 hexadecimal digits, a size out of range, no image, no tensor or more than 4096, two images of the same
    /// content (whatever their names), more than 2^53 values, a number of values that is no multiple of the number of images,
    /// or images' largest magnitudes that are not one per tensor or have another maximum than its bounds.
    pub fn new(
        manifest: CalibrationManifest,
        mut images: Vec<CalibrationImage>,
        images_skipped: u64,
        collection: Collection,
    ) -> Result<Self, CalibrationFileError> {
        images.sort_unstable_by(|a, b| (&a.name, &a.sha256).cmp(&(&b.name, &b.sha256)));
        let file = Self { manifest, images, images_skipped, collection };
        file.manifest.check()?;
        CalibrationImage::check_all(&file.images)?;
        file.check_collection()?;
        file.check_maxima()?;
        Ok(file)
    }

    /// What the statistics belong to.
    #[must_use]
    pub fn manifest(&self) -> &CalibrationManifest {
        &self.manifest
    }

    /// The images, by name and hash in ascending order.
    #[must_use]
    pub fn images(&self) -> &[CalibrationImage] {
        &self.images
    }

    /// How many images could not be read.
    #[must_use]
    pub fn images_skipped(&self) -> u64 {
        self.images_skipped
    }

    /// The statistics.
    #[must_use]
    pub fn collection(&self) -> &Collection {
        &self.collection
    }

    /// Joins the statistics of disjoint sets of images. The result depends neither on the order nor on the split.
    ///
    /// # Errors
    /// No part; parts of different manifests or tensors; an image whose content is in two parts; and as [`Self::new`].
    pub fn merge(parts: impl IntoIterator<Item = Self>) -> Result<Self, CalibrationFileError> {
        let mut parts = parts.into_iter();
        let mut whole = parts.next().ok_or(CalibrationFileError::Empty { what: "parts" })?;
        parts.try_for_each(|part| whole.add(part))?;
        Self::new(whole.manifest, whole.images, whole.images_skipped, whole.collection)
    }

    fn add(&mut self, part: Self) -> Result<(), CalibrationFileError> {
        if let Some((what, one, other)) = self.manifest.difference(&part.manifest) {
            return Err(CalibrationFileError::Parts { what, one, other });
        }
        let (one, other) = (&self.collection, &part.collection);
        if let Some(tensor) = one.lacking(other).or_else(|| other.lacking(one)) {
            return Err(CalibrationFileError::Tensors { tensor: tensor.to_owned() });
        }
        self.images.extend(part.images);
        self.images_skipped = self.images_skipped.saturating_add(part.images_skipped);
        self.collection.merge(part.collection);
        // After every part: sums of two checked counts can't overflow.
        self.check_collection_size()
    }

    /// Checks that the statistics are those of the model, preprocessing and placement that `wanted` tells, whose name and version
    /// don't matter, and that they are of the tensors of `needed` ([`Collection::new`] of graph and placement).
    ///
    /// # Errors
    /// [`CalibrationFileError::Mismatch`] with the first difference, [`CalibrationFileError::LacksTensor`],
    /// [`CalibrationFileError::UnknownTensor`].
    pub fn check(
        &self,
        wanted: &CalibrationManifest,
        needed: &Collection,
    ) -> Result<(), CalibrationFileError> {
        if let Some((what, found, expected)) = self.manifest.difference_in_use(wanted) {
            return Err(CalibrationFileError::Mismatch { what, found, expected });
        }
        if let Some(tensor) = self.collection.lacking(needed) {
            return Err(CalibrationFileError::LacksTensor { tensor: tensor.to_owned() });
        }
        match needed.lacking(&self.collection) {
            Some(tensor) => Err(CalibrationFileError::UnknownTensor { tensor: tensor.to_owned() }),
            None => Ok(()),
        }
    }

    fn check_collection(&self) -> Result<(), CalibrationFileError> {
        self.check_collection_size()?;
        check_tensor_count(self.collection.iter().count())?;
        let images = self.images.len();
        let odd = |(_, s): &(&str, &Statistics)| s.count() == 0 || s.count() % images as u64 != 0;
        match self.collection.iter().find(odd) {
            Some((tensor, s)) => {
                Err(CalibrationFileError::Count { tensor: tensor.to_owned(), count: s.count(), images })
            }
            None => Ok(()),
        }
    }

    /// Every image has a magnitude for every tensor, and the largest are those of the bounds.
    fn check_maxima(&self) -> Result<(), CalibrationFileError> {
        let tensors = self.collection.iter().count();
        if let Some(image) = self.images.iter().find(|image| image.maxima.len() != tensors) {
            let (image, found) = (image.name.clone(), image.maxima.len());
            return Err(CalibrationFileError::MaximaCount { image, found, tensors });
        }
        for (place, (tensor, statistics)) in self.collection.iter().enumerate() {
            let maxima = || self.images.iter().map(|image| image.maxima[place]);
            let (found, expected) = (maxima().fold(0.0, f32::max), statistics.absolute_maximum());
            if found != expected || maxima().any(|maximum| maximum.is_nan() || maximum.is_sign_negative()) {
                return Err(CalibrationFileError::Maxima { tensor: tensor.to_owned(), found, expected });
            }
        }
        Ok(())
    }

    fn check_collection_size(&self) -> Result<(), CalibrationFileError> {
        match self.collection.iter().find(|(_, s)| s.count() > MAX_COUNT) {
            Some((tensor, _)) => Err(CalibrationFileError::Statistics {
                tensor: tensor.to_owned(),
                fault: StatisticsFault::TooMany,
            }),
            None => Ok(()),
        }
    }
}

fn check_tensor_count(count: usize) -> Result<(), CalibrationFileError> {
    match count {
        0 => Err(CalibrationFileError::Empty { what: "tensors" }),
        1..=MAX_TENSORS => Ok(()),
        _ => Err(CalibrationFileError::TooManyTensors { count, most: MAX_TENSORS }),
    }
}
