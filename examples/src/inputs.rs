//! What to work on: what was given, else the assets, else the demonstration.

use crate::arguments::EvaluationArguments;
use crate::demo;
use crate::error::Result;
use crate::model_inputs::ModelInputs;
use crate::summary::Inputs;
use std::path::{Path, PathBuf};
use yolo_model::ImageSize;

/// Folder of the images to evaluate on, and their annotations: what was given, else the demonstration's or the assets'.
///
/// # Errors
/// [`crate::error::Error::Missing`] names the option that is needed.
pub fn evaluation_paths(given: &EvaluationArguments, demonstration: bool) -> Result<(PathBuf, PathBuf)> {
    if !demonstration {
        return given.paths();
    }
    let or = |given: &Option<PathBuf>, name| given.clone().unwrap_or_else(|| demo::folder().join(name));
    Ok((or(&given.images, "images"), or(&given.annotations, "annotations.json")))
}

/// Options that name what to work on, as they were given.
pub struct Given<'a> {
    /// Checkpoint.
    pub weights: Option<&'a Path>,
    /// Architecture.
    pub model: Option<&'a str>,
    /// Images and annotations.
    pub evaluation: &'a EvaluationArguments,
    /// Folder of the images to calibrate on.
    pub calibration: Option<&'a Path>,
    /// Statistics in place of those images.
    pub calibration_file: Option<&'a Path>,
    /// Size of the network's input.
    pub size: Option<ImageSize>,
}

impl Given<'_> {
    /// All inputs. Without weights, and without those of the assets, whatever was not given is the demonstration's.
    ///
    /// # Errors
    /// [`crate::error::Error::Missing`] names the option that is needed.
    pub fn inputs(&self) -> Result<Inputs> {
        let found = ModelInputs::find(self.weights, self.model, self.size);
        let (images, annotations) = evaluation_paths(self.evaluation, found.demonstration)?;
        let calibration = match self.calibration_file {
            Some(file) => file.to_owned(),
            None => found.calibration_folder(self.calibration.map(Path::to_owned))?,
        };
        let ModelInputs { weights, model, size, demonstration } = found;
        Ok(Inputs { weights, model, images, annotations, calibration, size, demonstration })
    }
}
