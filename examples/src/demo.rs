//! The demonstration in `fixtures/demo`: a small detector that `train` trained on pictures that `draw-shapes` drew, and more of these pictures.

use std::path::{Path, PathBuf};
use yolo_model::ImageSize;

/// What the programs say when they run on it.
pub const NOTE: &str = "demonstration: fixtures/demo, a small detector of drawn shapes";

/// Size of the network's input.
pub const SIZE: ImageSize = ImageSize::new(160, 160);

/// The folder.
#[must_use]
pub fn folder() -> PathBuf {
    let here = Path::new("fixtures/demo");
    if here.is_dir() {
        here.to_owned()
    } else {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/demo")
    }
}
