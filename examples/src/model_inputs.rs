//! Which model to work on, and at what size, where options leave that open.

use crate::arguments::{asset, given_or_asset};
use crate::demo;
use crate::error::Result;
use crate::network::find_weights;
use std::path::{Path, PathBuf};
use yolo_model::ImageSize;

/// A model: the one that was named, else the assets' yolov5n, else the demonstration.
pub struct ModelInputs {
    /// Checkpoint.
    pub weights: PathBuf,
    /// Architecture, where the checkpoint does not describe it.
    pub model: Option<String>,
    /// Size of the network's input.
    pub size: ImageSize,
    /// Whether this is the demonstration in `fixtures/demo`.
    pub demonstration: bool,
}

impl ModelInputs {
    /// Fills in what was not given.
    #[must_use]
    pub fn find(weights: Option<&Path>, model: Option<&str>, size: Option<ImageSize>) -> Self {
        let model = model.map(str::to_owned);
        match weights.map(find_weights).or_else(|| asset("weights/yolov5n.pt")) {
            Some(weights) => {
                let size = size.unwrap_or(ImageSize::new(640, 640));
                Self { weights, model, size, demonstration: false }
            }
            None => Self {
                weights: demo::folder().join("model.safetensors"),
                model: model.or_else(|| Some(demo::folder().join("model.yaml").display().to_string())),
                size: size.unwrap_or(demo::SIZE),
                demonstration: true,
            },
        }
    }

    /// Folder of the images to calibrate on: `given`, else that of the demonstration or of the assets.
    ///
    /// # Errors
    /// [`crate::error::Error::Missing`] where none is there.
    pub fn calibration_folder(&self, given: Option<PathBuf>) -> Result<PathBuf> {
        if self.demonstration {
            return Ok(given.unwrap_or_else(|| demo::folder().join("calibration")));
        }
        given_or_asset(given, "--calibration", "coco/train128")
    }
}
