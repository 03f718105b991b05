//! Statistics of a float network over images.

use crate::error::{Error, Result};
use crate::images::{decode, prepare};
use crate::network::Model;
use crate::output::{sha256_file, sha256_list};
use crate::workers;
use ptq::coverage::{Coverage, CoverageRule};
use ptq::{CalibrationFile, CalibrationImage, Collection, Fusion, Placement, lower_float};
use quant_core::Executor;
use std::path::{Path, PathBuf};
use yolo_model::ImageSize;

/// How calibration went.
pub struct Calibration {
    /// Statistics of every tensor that a placement needs.
    pub collection: Collection,
    /// Images used, with their hashes.
    pub images: Vec<CalibrationImage>,
    /// Images that could not be read.
    pub skipped: u64,
}

impl Calibration {
    /// Whether the images were enough.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        Coverage::new(&self.images, &self.collection, CoverageRule::default())
    }

    /// SHA-256 over names and contents of the images used, as of [`crate::output::sha256_files`].
    #[must_use]
    pub fn images_sha256(&self) -> String {
        images_sha256(&self.images)
    }
}

impl From<&CalibrationFile> for Calibration {
    fn from(file: &CalibrationFile) -> Self {
        let (collection, images) = (file.collection().clone(), file.images().to_vec());
        Self { collection, images, skipped: file.images_skipped() }
    }
}

/// SHA-256 over names and contents of images, as of [`crate::output::sha256_files`].
#[must_use]
pub fn images_sha256(images: &[CalibrationImage]) -> String {
    sha256_list(images.iter().map(|image| (image.name.as_bytes(), image.sha256.as_str())))
}

/// Runs the float network on `images` and collects statistics; memory does not depend on the number of images.
///
/// # Errors
/// An image that can't be read (unless `skip_bad`), or none that can.
pub fn calibrate(
    model: &Model,
    placements: &[&Placement],
    images: &[PathBuf],
    size: ImageSize,
    threads: usize,
    skip_bad: bool,
) -> Result<Calibration> {
    let program = lower_float(&model.graph, &model.params, Fusion::EveryTensor)?;
    let state = || {
        let executor = Executor::new(&program, size.height, size.width)?;
        Ok((executor, Collection::new(&model.graph, placements)))
    };
    let (used, states) =
        workers::for_each(threads, images.len(), "calibrating", state, |(executor, collection), index| {
            let Some(picture) = workers::skip_bad(decode(&images[index]), skip_bad)? else {
                return Ok(None);
            };
            let (input, _) = prepare(&picture, size)?;
            let maxima = collection.observe_image(&program, executor, &input)?;
            collection.check_values().map_err(Error::activations(&images[index]))?;
            listed(&images[index], maxima).map(Some)
        })?;
    let used: Vec<CalibrationImage> = used.into_iter().flatten().collect();
    if used.is_empty() {
        return Err(Error::AllBad { count: images.len() });
    }
    let mut collection = Collection::default();
    states.into_iter().for_each(|(_, part)| collection.merge(part));
    let skipped = (images.len() - used.len()) as u64;
    Ok(Calibration { collection, images: used, skipped })
}

/// An image with its name and hash.
///
/// # Errors
/// Names the file that can't be read.
pub fn listed(path: &Path, maxima: Vec<f32>) -> Result<CalibrationImage> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(CalibrationImage { name, sha256: sha256_file(path)?, maxima })
}
