//! What to analyse and how: everything that determines the results.

use ptq::analysis::{By, Mode, Precision};
use ptq::{ConcatPolicy, Method, WeightConfig};
use quant_core::Scheme;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use yolo_model::ImageSize;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// The quantised network, one layer or block in higher precision.
    LeaveOneOut,
    /// The float network, one layer or block quantised.
    OnlyOneOn,
    /// The error of every layer's result.
    Errors,
}

impl Task {
    /// How variants are made; `None` for errors, which have none.
    #[must_use]
    pub fn mode(self) -> Option<Mode> {
        match self {
            Task::LeaveOneOut => Some(Mode::LeaveOneOut),
            Task::OnlyOneOn => Some(Mode::OnlyOneOn),
            Task::Errors => None,
        }
    }
}

/// How a variant is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Score {
    /// COCO's average precision.
    Map,
    /// Signal-to-noise ratio of the outputs beside the float network's, in dB.
    Sqnr,
    /// Cosine of the angle between the outputs and the float network's.
    Cosine,
    /// Divergence of the outputs' sigmoids from the float network's.
    Kl,
}

impl Settings {
    /// Whether some candidate differs from what it is compared with.
    #[must_use]
    pub fn has_variants(&self) -> bool {
        let rest = if self.task == Task::OnlyOneOn { Precision::F32 } else { self.precision };
        self.task == Task::Errors || self.candidates.iter().any(|&candidate| candidate != rest)
    }
}

impl Score {
    /// Name in files and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Score::Map => "map",
            Score::Sqnr => "sqnr",
            Score::Cosine => "cosine",
            Score::Kl => "kl",
        }
    }
}

/// Everything that determines the results, but for the content of the files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Checkpoint.
    pub weights: PathBuf,
    /// Architecture, where the checkpoint does not describe it.
    pub model: Option<String>,
    /// Folder of the images to analyse on.
    pub images: PathBuf,
    /// Their annotations.
    pub annotations: PathBuf,
    /// Folder of the images to calibrate on, or a file of their statistics.
    pub calibration: PathBuf,
    /// Size of the network's input.
    pub size: ImageSize,
    /// What is looked at.
    pub task: Task,
    /// How a variant is judged.
    pub score: Score,
    /// What changes together.
    pub by: By,
    /// How ranges are chosen.
    pub method: Method,
    /// Scheme of the 8-bit activations.
    pub scheme: Scheme,
    /// Ties at concatenations.
    pub concat: ConcatPolicy,
    /// How weights get their scale.
    pub weight: WeightConfig,
    /// Precision of the quantised layers.
    pub precision: Precision,
    /// Precisions of the layer or block that is changed.
    pub candidates: Vec<Precision>,
    /// Patterns of layers that stay in f32 everywhere.
    pub ignore: Vec<String>,
    /// Images to analyse on at most, the first by name.
    pub num_images: Option<usize>,
    /// Images to calibrate on at most, the first by name.
    pub num_calib: Option<u32>,
    /// Score threshold of detections.
    pub conf: f32,
    /// IoU threshold of non-maximum suppression.
    pub iou: f32,
    /// Go on without images that can't be read.
    pub skip_bad: bool,
    /// Sets of images drawn for intervals.
    pub samples: usize,
}

/// SHA-256 of all that is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hashes {
    /// Of the checkpoint.
    pub weights_sha256: String,
    /// Of the annotations.
    pub annotations_sha256: String,
    /// Of names and contents of the images analysed on.
    pub images_sha256: String,
    /// Of names and contents of the calibration images, or of the file of their statistics.
    pub calibration_sha256: String,
}
