//! Where a quantiser's statistics come from: images, or a file that was made of them.

use crate::calibration::{Calibration, calibrate};
use crate::calibration_file::SavedCalibration;
use crate::error::Result;
use crate::images::first_images;
use crate::network::Model;
use ptq::Placement;
use std::path::{Path, PathBuf};
use yolo_model::ImageSize;

/// Images to run the float network on, or statistics of such runs.
pub enum CalibrationSource {
    /// Images.
    Images(Vec<PathBuf>),
    /// A calibration file that fits the model.
    File(Box<SavedCalibration>),
}

impl CalibrationSource {
    /// The first images of a folder.
    ///
    /// # Errors
    /// As [`first_images`].
    pub fn images(folder: &Path, most: Option<u32>) -> Result<Self> {
        first_images(folder, most).map(Self::Images)
    }

    /// A file, which has to be of `model`, read from `weights`, at this size. Placements that differ in widths only have the same
    /// tensors, so one stands for all.
    ///
    /// # Errors
    /// Names the file, and the first thing that does not fit.
    pub fn file(
        file: SavedCalibration,
        weights: &Path,
        model: &Model,
        size: ImageSize,
        placement: &Placement,
    ) -> Result<Self> {
        file.check(weights, model, size, placement)?;
        Ok(Self::File(Box::new(file)))
    }

    /// How many images there are, or were.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Images(paths) => paths.len(),
            Self::File(file) => file.content.images().len(),
        }
    }

    /// SHA-256 of the file, if it is one.
    #[must_use]
    pub fn file_sha256(&self) -> Option<String> {
        match self {
            Self::Images(_) => None,
            Self::File(file) => Some(file.sha256.clone()),
        }
    }

    /// The statistics: read, or collected now.
    ///
    /// # Errors
    /// As [`calibrate`].
    pub fn statistics(
        &self,
        model: &Model,
        placements: &[Placement],
        size: ImageSize,
        threads: usize,
        skip_bad: bool,
    ) -> Result<Calibration> {
        match self {
            Self::File(file) => Ok(Calibration::from(&file.content)),
            Self::Images(images) => {
                let placements: Vec<&Placement> = placements.iter().collect();
                calibrate(model, &placements, images, size, threads, skip_bad)
            }
        }
    }
}
