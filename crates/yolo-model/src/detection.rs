//! A detected box, and how boxes overlap.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A box with a score and a class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// `[x1, y1, x2, y2]` in pixels.
    pub bbox: [f32; 4],
    /// Confidence, in [0, 1].
    pub score: f32,
    /// Index of the class.
    pub class: usize,
}

/// Intersection over union of two boxes `[x1, y1, x2, y2]`, in f32.
///
/// `inter / (area_a + area_b - inter)`, the sum from left to right; 0 when the boxes share no area. Continuous
/// coordinates: a side is `x2 - x1`.
#[inline]
pub fn iou(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let width = a[2].min(b[2]) - a[0].max(b[0]);
    let height = a[3].min(b[3]) - a[1].max(b[1]);
    if width > 0.0 && height > 0.0 {
        let inter = width * height;
        inter / (area(a) + area(b) - inter)
    } else {
        0.0
    }
}

#[inline]
fn area(bbox: &[f32; 4]) -> f32 {
    (bbox[2] - bbox[0]) * (bbox[3] - bbox[1])
}

/// Checks that a threshold lies in [0, 1].
pub(crate) fn check_unit(name: &'static str, value: f32) -> Result<()> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(Error::OutOfRange { name, value }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_overlaps() {
        let unit = [0.0, 0.0, 2.0, 2.0];
        let cases = [
            ("itself", unit, 1.0),
            ("half", [1.0, 0.0, 3.0, 2.0], 1.0 / 3.0),
            ("inside", [0.5, 0.5, 1.5, 1.5], 0.25),
            ("touching", [2.0, 0.0, 4.0, 2.0], 0.0),
            ("apart", [5.0, 5.0, 6.0, 6.0], 0.0),
            ("a point", [1.0, 1.0, 1.0, 1.0], 0.0),
            ("turned inside out", [2.0, 2.0, 0.0, 0.0], 0.0),
        ];
        for (name, other, expected) in cases {
            assert_eq!(iou(&unit, &other), expected, "{name}");
            assert_eq!(iou(&other, &unit), expected, "{name}, swapped");
        }
    }
}
