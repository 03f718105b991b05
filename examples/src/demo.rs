//! The demonstration in `fixtures/demo`: a small network without training, and images drawn by a seeded generator.

use std::path::{Path, PathBuf};
use yolo_model::ImageSize;

/// What the programs say when they run on it.
pub const NOTE: &str = "demonstration: an untrained network with formula-made weights, whose own float detections are the \
                        annotations: AP tells how well the integer networks agree with it, not how well it detects";

/// Size of its images.
pub const SIZE: ImageSize = ImageSize::new(160, 160);

/// The folder.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/demo")
}
