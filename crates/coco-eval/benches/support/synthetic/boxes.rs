//! Boxes in integer hundredths of a pixel.

use super::draws::{Draws, Knot};

/// Width over height in thousandths.
const ASPECT: [Knot; 5] = [(0, 350), (150, 600), (500, 1000), (850, 1500), (1000, 2600)];

/// Width and height of an image in hundredths of a pixel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) width: i64,
    pub(crate) height: i64,
}

/// A box in hundredths of a pixel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PixelBox {
    pub(crate) x: i64,
    pub(crate) y: i64,
    pub(crate) width: i64,
    pub(crate) height: i64,
}

impl PixelBox {
    /// A box somewhere on the image, of area `side`² unless clipped; takes three streams from `stream` on.
    pub(crate) fn draw(draws: Draws, stream: u64, index: usize, side: i64, image: Extent) -> Self {
        let aspect = draws.by_table(stream, index, &ASPECT);
        let free_width = (side * side * aspect / 1000).isqrt();
        let free_height = side * side / free_width.max(1);
        let width = free_width.clamp(100, image.width);
        let height = free_height.clamp(100, image.height);
        Self {
            x: draws.below(stream + 1, index, image.width - width + 1),
            y: draws.below(stream + 2, index, image.height - height + 1),
            width,
            height,
        }
    }

    /// Moves each edge by up to `amount` thousandths of the side, small moves being likelier; takes eight
    /// streams from `stream` on. At least half a pixel remains.
    pub(crate) fn jitter(self, draws: Draws, stream: u64, index: usize, amount: i64, image: Extent) -> Self {
        let shift = |edge: u64, side: i64| {
            let half = |stream: u64| draws.bits(stream, index) >> 16;
            let triangular = half(stream + edge) + half(stream + edge + 4) - 0xffff;
            ((side * amount / 1000) * triangular) >> 16
        };
        let left = (self.x + shift(0, self.width)).clamp(0, image.width - 100);
        let top = (self.y + shift(1, self.height)).clamp(0, image.height - 100);
        let right = (self.x + self.width + shift(2, self.width)).min(image.width).max(left + 50);
        let bottom = (self.y + self.height + shift(3, self.height)).min(image.height).max(top + 50);
        Self { x: left, y: top, width: right - left, height: bottom - top }
    }

    pub(crate) fn area(self) -> i64 {
        self.width * self.height
    }

    /// Intersection over union in thousandths, rounded down.
    pub(crate) fn overlap(self, other: Self) -> i64 {
        let width = (self.x + self.width).min(other.x + other.width) - self.x.max(other.x);
        let height = (self.y + self.height).min(other.y + other.height) - self.y.max(other.y);
        let shared = width.max(0) * height.max(0);
        shared * 1000 / (self.area() + other.area() - shared).max(1)
    }
}
