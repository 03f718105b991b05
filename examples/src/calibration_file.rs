//! Calibration files on disk, and what they have to fit.

use crate::error::{Error, Result};
use crate::network::Model;
use crate::output::{sha256, sha256_file};
use ptq::{CalibrationFile, CalibrationManifest, Collection, Placement, Ties};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use yolo_model::ImageSize;

/// How images become the network's input.
pub const PREPROCESSING: &str = "letterbox, grey 114; RGB; divided by 255";

/// Most bytes that are read: some ten thousand images. What is longer is another kind of file.
const MAX_BYTES: u64 = 1 << 29;

/// A calibration file that was read.
pub struct SavedCalibration {
    /// Where it is.
    pub path: PathBuf,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// What it holds.
    pub content: CalibrationFile,
}

impl SavedCalibration {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Names the file, and what can't be right in it.
    pub fn read(path: &Path) -> Result<Self> {
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(Error::io(path))?;
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(Error::TooLong { path: path.to_owned(), most: MAX_BYTES });
        }
        let content = CalibrationFile::from_json(&bytes).map_err(Error::calibration_file(path))?;
        Ok(Self { path: path.to_owned(), sha256: sha256(&bytes), content })
    }

    /// The size of the network's input.
    #[must_use]
    pub fn size(&self) -> ImageSize {
        let [height, width] = self.content.manifest().size;
        ImageSize::new(height, width)
    }

    /// Checks that it was made for `model`, read from `weights`, at this size and with the ties of `placement`.
    ///
    /// # Errors
    /// Names the file, and the first difference.
    pub fn check(&self, weights: &Path, model: &Model, size: ImageSize, placement: &Placement) -> Result<()> {
        let wanted = manifest(weights, model, size, placement.options().into())?;
        let needed = Collection::new(&model.graph, &[placement]);
        self.content.check(&wanted, &needed).map_err(Error::calibration_file(&self.path))
    }
}

/// What a calibration of `model`, read from `weights`, belongs to.
///
/// # Errors
/// If the checkpoint can't be read, or the graph does not take images of this size.
pub fn manifest(weights: &Path, model: &Model, size: ImageSize, ties: Ties) -> Result<CalibrationManifest> {
    let listing = model.graph.dump(size.height, size.width).map_err(Error::model(weights))?;
    // The first line has the model's name, which depends on that of a file.
    let architecture = listing.split_once('\n').map_or("", |(_, nodes)| nodes);
    Ok(CalibrationManifest {
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        model: model.graph.name().to_owned(),
        model_sha256: sha256_file(weights)?,
        architecture_sha256: sha256(architecture.as_bytes()),
        preprocessing: PREPROCESSING.to_owned(),
        size: [size.height, size.width],
        ties,
    })
}

/// Joins files.
///
/// # Errors
/// Names the first file that can't be read, or does not belong to those before it.
pub fn merge(paths: &[PathBuf]) -> Result<CalibrationFile> {
    let mut whole: Option<CalibrationFile> = None;
    for path in paths {
        let part = SavedCalibration::read(path)?.content;
        let merged = CalibrationFile::merge(whole.into_iter().chain([part]));
        whole = Some(merged.map_err(Error::calibration_file(path))?);
    }
    Ok(CalibrationFile::merge(whole)?)
}
