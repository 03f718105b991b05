//! Size of an image, and the one length check for pixel slices.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Channels of the images that this crate reads and writes (RGB).
pub(crate) const CHANNELS: usize = 3;

/// Size of an image in pixels, rows first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageSize {
    /// Rows.
    pub height: usize,
    /// Pixels per row.
    pub width: usize,
}

impl ImageSize {
    /// `height` rows of `width` pixels.
    pub const fn new(height: usize, width: usize) -> Self {
        Self { height, width }
    }

    /// Number of values of an image of this size with `channels` channels.
    ///
    /// # Errors
    /// [`Error::EmptyImage`] for a zero side, [`Error::TooLarge`] when the product overflows.
    pub(crate) fn value_count(self, name: &'static str, channels: usize) -> Result<usize> {
        let Self { height, width } = self;
        if height == 0 || width == 0 {
            return Err(Error::EmptyImage { name, height, width });
        }
        let count = height.checked_mul(width).and_then(|area| area.checked_mul(channels));
        count.ok_or(Error::TooLarge { name, height, width, channels })
    }

    /// Checks that a slice of `found` values is an RGB image of this size.
    pub(crate) fn check_rgb(self, name: &'static str, found: usize) -> Result<()> {
        check_length(name, self.value_count(name, CHANNELS)?, found)
    }
}

/// `Ok` when `found == expected`.
pub(crate) fn check_length(name: &'static str, expected: usize, found: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(Error::Length { name, expected, found }) }
}
