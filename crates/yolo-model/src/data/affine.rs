//! Affine maps of pictures and boxes.
//!
//! The simple algorithm: the centre of target pixel (x, y) lies at `inverse(x + 0.5, y + 0.5)` in the source; the value
//! there is the average of the four pixels whose centres surround it, weighted by nearness, grey counting where there
//! is no pixel. The departures from it:
//!
//! 1. Source coordinates are rounded to multiples of 2^-11 of a pixel, halves upwards, so that weights are whole numbers that
//!    add up to 2^22; the average is rounded once, halves upwards. The bytes are the same on every platform.
//! 2. Pixels whose four neighbours all exist, which are most, read them without looking for edges.
//!
//! OpenCV's `warpAffine`, which YOLOv5 calls, takes pixel centres to lie on whole numbers, while labels count from the edges
//! of pixels: there, pictures and boxes differ by up to half of what the scale differs from one. Here they agree.

use crate::image_size::CHANNELS;
use crate::{ImageSize, LETTERBOX_GREY};

use super::Picture;

/// Bits of a coordinate's fraction, and of a weight along one axis.
const FRACTION_BITS: u32 = 11;
const ONE: i64 = 1 << FRACTION_BITS;

/// Further away than any pixel, in 2^-11 pixels; up to here f64 holds every whole number.
const FAR: f64 = (1_i64 << 52) as f64;

/// `(x, y)` to `(a x + b y + c, d x + e y + f)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Affine {
    /// `[[a, b], [d, e]]`.
    pub(super) linear: [[f64; 2]; 2],
    /// `[c, f]`, in pixels.
    pub(super) offset: [f64; 2],
}

impl Affine {
    /// The map that leaves everything where it is.
    pub(super) const IDENTITY: Self = Self { linear: [[1.0, 0.0], [0.0, 1.0]], offset: [0.0; 2] };

    pub(super) fn apply(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let along = |axis: usize| {
            let [by_x, by_y] = self.linear[axis];
            by_x * x + by_y * y + self.offset[axis]
        };
        [along(0), along(1)]
    }

    /// The way back, by the adjugate. The caller has seen to it that the determinant is not zero.
    fn inverse(&self) -> Self {
        let [[a, b], [d, e]] = self.linear;
        let determinant = a * e - b * d;
        let linear = [[e / determinant, -b / determinant], [-d / determinant, a / determinant]];
        let [c, f] = self.offset;
        let offset = [-(linear[0][0] * c + linear[0][1] * f), -(linear[1][0] * c + linear[1][1] * f)];
        Self { linear, offset }
    }

    /// The smallest upright box around the four corners of a mapped box.
    pub(super) fn apply_to_box(&self, bbox: [f32; 4]) -> [f32; 4] {
        let [x1, y1, x2, y2] = bbox.map(f64::from);
        let corners = [[x1, y1], [x2, y1], [x1, y2], [x2, y2]].map(|corner| self.apply(corner));
        let least = |axis: usize| corners.iter().map(|corner| corner[axis]).fold(f64::INFINITY, f64::min);
        let most = |axis: usize| corners.iter().map(|corner| corner[axis]).fold(f64::NEG_INFINITY, f64::max);
        [least(0), least(1), most(0), most(1)].map(|value| value as f32)
    }

    /// The picture under the map, in a frame of `size`, grey around it; see the module's text.
    pub(super) fn apply_to_picture(&self, source: &Picture, size: ImageSize) -> crate::Result<Picture> {
        let mut pixels = vec![0; size.value_count("warped picture", CHANNELS)?];
        let inverse = self.inverse();
        for (y, row) in pixels.chunks_exact_mut(size.width * CHANNELS).enumerate() {
            let (row, _) = row.as_chunks_mut::<CHANNELS>();
            for (x, pixel) in row.iter_mut().enumerate() {
                let [column, row] = inverse.apply([x as f64 + 0.5, y as f64 + 0.5]);
                *pixel = sample(source, fixed_point(column), fixed_point(row));
            }
        }
        Ok(Picture { pixels, size })
    }
}

/// Distance from the first pixel's centre in 2^-11 pixels, rounded, halves upwards; at most 2^52 either way.
///
/// A conversion and a comparison in place of `floor`, which is a call on CPUs without SSE4.1.
fn fixed_point(coordinate: f64) -> i64 {
    let exact = ((coordinate - 0.5) * ONE as f64 + 0.5).clamp(-FAR, FAR);
    let towards_zero = exact as i64;
    towards_zero - i64::from(towards_zero as f64 > exact)
}

/// The average of four neighbours: `(sum of weight * value + 2^21) >> 22`.
fn sample(source: &Picture, x: i64, y: i64) -> [u8; CHANNELS] {
    let neighbours = neighbours(source, x >> FRACTION_BITS, y >> FRACTION_BITS);
    let [right, lower] = [(x & (ONE - 1)) as u32, (y & (ONE - 1)) as u32];
    let [left, upper] = [ONE as u32 - right, ONE as u32 - lower];
    let weights = [upper * left, upper * right, lower * left, lower * right];
    let mut pixel = [0; CHANNELS];
    for (channel, value) in pixel.iter_mut().enumerate() {
        let products = neighbours.iter().zip(weights).map(|(near, weight)| u32::from(near[channel]) * weight);
        *value = ((products.sum::<u32>() + (1 << 21)) >> 22) as u8; // below 2^31 before the shift
    }
    pixel
}

/// Upper left, upper right, lower left, lower right, grey where there is none.
fn neighbours(source: &Picture, left: i64, upper: i64) -> [[u8; CHANNELS]; 4] {
    let ImageSize { height, width } = source.size;
    let (pixels, _) = source.pixels.as_chunks::<CHANNELS>();
    let inner = |value: i64, side: usize| usize::try_from(value).ok().filter(|value| value + 1 < side);
    if let (Some(left), Some(upper)) = (inner(left, width), inner(upper, height)) {
        let [above, below] =
            [&pixels[upper * width + left..][..2], &pixels[(upper + 1) * width + left..][..2]];
        return [above[0], above[1], below[0], below[1]];
    }
    let inside = |value: i64, side: usize| usize::try_from(value).ok().filter(|&value| value < side);
    let at = |x: i64, y: i64| match (inside(x, width), inside(y, height)) {
        (Some(x), Some(y)) => pixels[y * width + x],
        _ => [LETTERBOX_GREY; CHANNELS],
    };
    [at(left, upper), at(left + 1, upper), at(left, upper + 1), at(left + 1, upper + 1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::random::{below, uniform};
    use crate::data::sample_random;
    use crate::data::testing::noise;

    fn random_map(seed: u64) -> Affine {
        let mut random = sample_random(seed, 0, 0);
        let mut draw = |low, high| uniform(&mut random, low, high);
        let linear = [[draw(0.3, 1.6), draw(-0.6, 0.6)], [draw(-0.6, 0.6), draw(-1.6, -0.3)]];
        Affine { linear, offset: [draw(-5.0, 12.0), draw(-2.0, 25.0)] }
    }

    /// One target value, straight from the definition in reals.
    fn naive(map: &Affine, source: &Picture, x: usize, y: usize, channel: usize) -> f64 {
        let [[a, b], [d, e]] = map.linear;
        let [u, v] = [x as f64 + 0.5 - map.offset[0], y as f64 + 0.5 - map.offset[1]];
        let determinant = a * e - b * d;
        let [column, row] = [(e * u - b * v) / determinant - 0.5, (a * v - d * u) / determinant - 0.5];
        let mut sum = 0.0;
        for j in -40..40 {
            for i in -40..40 {
                let weight = (1.0 - (column - f64::from(i)).abs()).max(0.0)
                    * (1.0 - (row - f64::from(j)).abs()).max(0.0);
                let exists =
                    i >= 0 && j >= 0 && i < source.size.width as i32 && j < source.size.height as i32;
                let index = (j * source.size.width as i32 + i) * 3 + channel as i32;
                sum += weight * if exists { f64::from(source.pixels[index as usize]) } else { 114.0 };
            }
        }
        sum
    }

    #[test]
    fn warped_pictures_are_what_the_definition_says() {
        for seed in 0..40 {
            let mut random = sample_random(seed, 1, 0);
            let mut side = || 1 + below(&mut random, 12);
            let source = noise(ImageSize::new(side(), side()), seed);
            let map = random_map(seed);
            let size = ImageSize::new(9, 11);
            let warped = map.apply_to_picture(&source, size).unwrap();
            for (index, &found) in warped.pixels.iter().enumerate() {
                let (x, y, channel) = (index / 3 % 11, index / 33, index % 3);
                let [column, row] = map.inverse().apply([x as f64 + 0.5, y as f64 + 0.5]);
                if column.abs().max(row.abs()) > 38.0 {
                    assert_eq!(found, 114, "seed {seed}, value {index}");
                    continue;
                }
                // half a level for rounding, and what 2^-12 pixels can make of neighbours that differ by 255
                let difference = (f64::from(found) - naive(&map, &source, x, y, channel)).abs();
                assert!(
                    difference <= 0.5 + 2.0 * 255.0 / 4096.0 + 1e-6,
                    "seed {seed}, value {index}: {difference}"
                );
            }
        }
    }

    #[test]
    fn the_identity_and_whole_moves_keep_bytes() {
        let source = noise(ImageSize::new(5, 7), 1);
        assert_eq!(Affine::IDENTITY.apply_to_picture(&source, source.size).unwrap(), source);
        let moved = Affine { offset: [2.0, -1.0], ..Affine::IDENTITY }
            .apply_to_picture(&source, source.size)
            .unwrap();
        assert_eq!(moved.pixels[..6], [114; 6]);
        assert_eq!(moved.pixels[6..21], source.pixels[21..36]);
        assert_eq!(moved.pixels[4 * 21..], [114; 21]);
    }

    #[test]
    fn far_away_all_is_grey() {
        let source = noise(ImageSize::new(5, 7), 1);
        for offset in [1e3, -1e9, 1e30, -1e300] {
            let map = Affine { offset: [offset, 1.0], ..Affine::IDENTITY };
            let warped = map.apply_to_picture(&source, source.size).unwrap();
            assert!(warped.pixels.iter().all(|&value| value == LETTERBOX_GREY), "{offset}");
        }
    }

    #[test]
    fn the_inverse_leads_back() {
        for seed in 0..100 {
            let map = random_map(seed);
            let there = map.apply([3.5, -2.25]);
            let [x, y] = map.inverse().apply(there);
            assert!((x - 3.5).abs() < 1e-9 && (y + 2.25).abs() < 1e-9, "seed {seed}: {x}, {y}");
        }
    }
}
