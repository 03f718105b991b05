//! Training data: labelled pictures read, augmented and batched, as YOLOv5 v6 and v7 prepare them. Feature `data`.
//!
//! [`Samples`] knows which pictures there are and what is on them, [`Augmentation`] makes a training picture from one or
//! four of them, [`Batches`] goes through an epoch on all threads.
//!
//! Every random choice comes from a generator of its own for (seed, epoch, sample): see [`sample_random`]. Neither the
//! number of threads nor the order in which samples are made changes a byte.
//!
//! What differs from YOLOv5, apart from the random numbers:
//!
//! - The affine map takes the centre of pixel (0, 0) to lie at (0.5, 0.5), as labels do; OpenCV's takes it to lie at (0, 0).
//! - Pictures of a mosaic are scaled to the nearest size in whole pixels, not the next larger, and may be fitted into a rectangle.
//! - Where nothing moves, no label is dropped.
//! - A bad label file is an error; YOLOv5 leaves its picture out with a warning. Polygons in label files are refused.
//! - Perspective, mixup, copy-paste and the Albumentations are not there; all of them are off in YOLOv5's default settings, but
//!   for the last.

mod affine;
mod augmentation;
mod batches;
mod coco;
mod error;
mod hsv;
mod labelled;
mod mosaic;
mod random;
mod samples;
#[cfg(test)]
mod testing;
mod yolo_text;

pub use augmentation::Augmentation;
pub use batches::{Batch, BatchParams, Batches};
pub use error::{DataError, LineFault};
pub use labelled::{Label, Labelled, Picture};
pub use rand_chacha::ChaCha8Rng;
pub use rand_chacha::rand_core::Rng;
pub use random::sample_random;
pub use samples::Samples;

/// Result with this module's [`DataError`].
pub type Result<T, E = DataError> = std::result::Result<T, E>;
