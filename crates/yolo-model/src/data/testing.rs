//! Pictures for this module's tests.

use super::random::below;
use super::{Label, Labelled, Picture, sample_random};
use crate::ImageSize;

/// A picture of random bytes.
pub(super) fn noise(size: ImageSize, seed: u64) -> Picture {
    let mut random = sample_random(seed, u64::MAX, 0);
    let pixels = (0..size.height * size.width * 3).map(|_| below(&mut random, 256) as u8).collect();
    Picture { pixels, size }
}

/// A picture of one colour with labels.
pub(super) fn painted(size: ImageSize, colour: [u8; 3], labels: &[Label]) -> Labelled {
    Labelled {
        picture: Picture { pixels: colour.repeat(size.height * size.width), size },
        labels: labels.to_vec(),
    }
}

/// The colour of a pixel.
pub(super) fn pixel(picture: &Picture, x: usize, y: usize) -> &[u8] {
    &picture.pixels[(y * picture.size.width + x) * 3..][..3]
}
