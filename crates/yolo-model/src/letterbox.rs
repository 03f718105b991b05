//! Letterbox: fit an image into the network's input without changing its aspect ratio.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::image_size::{CHANNELS, ImageSize};
use crate::resize::{Window, resize_into};

/// Grey level around the picture, on all three channels.
pub const LETTERBOX_GREY: u8 = 114;

/// An image resized and padded to the network's input, with the way back.
#[derive(Clone, Debug, PartialEq)]
pub struct Letterboxed {
    /// RGB, height x width x 3.
    pub pixels: Vec<u8>,
    /// Rows of `pixels`.
    pub height: usize,
    /// Pixels per row of `pixels`.
    pub width: usize,
    /// How the picture was placed.
    pub transform: LetterboxTransform,
}

/// How a picture was scaled and placed in the network's input.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LetterboxTransform {
    /// Network pixels per source pixel: `min(H / h, W / w)`.
    pub ratio: f64,
    /// Columns of grey on the left.
    pub left: usize,
    /// Rows of grey on top.
    pub top: usize,
    /// Size of the picture inside the borders.
    pub resized: ImageSize,
    /// Size of the source image.
    pub source: ImageSize,
    /// Size of the network's input.
    pub target: ImageSize,
}

/// Fits an RGB image into `target`.
///
/// With a source of `h x w` and a target of `H x W`: `ratio = min(H / h, W / w)` (above one enlarges); the picture
/// becomes `round(h * ratio) x round(w * ratio)`, at least one pixel each way; what is left over, `2 * d` in a
/// direction, is split into `round(d - 0.1)` before and the rest after the picture, filled with [`LETTERBOX_GREY`].
/// All of it in f64, `round` taking halves to even. Pixels are interpolated with 11-bit integer weights, to the bit
/// as OpenCV's `INTER_LINEAR`.
///
/// # Errors
/// When a side is zero, a size overflows, or `pixels` is not `height * width * 3` values.
pub fn letterbox(pixels: &[u8], source: ImageSize, target: ImageSize) -> Result<Letterboxed> {
    source.check_rgb("source image", pixels.len())?;
    let count = target.value_count("letterbox target", CHANNELS)?;
    let transform = LetterboxTransform::new(source, target)?;
    let mut output = vec![LETTERBOX_GREY; count];
    let window = Window {
        pixels: &mut output,
        row_values: target.width * CHANNELS,
        left: transform.left,
        top: transform.top,
        size: transform.resized,
    };
    resize_into(pixels, source, window);
    Ok(Letterboxed { pixels: output, height: target.height, width: target.width, transform })
}

impl LetterboxTransform {
    /// The placement that [`letterbox`] gives an image of `source` in `target`, without touching a pixel.
    ///
    /// # Errors
    /// When a side is zero or a size overflows.
    pub fn new(source: ImageSize, target: ImageSize) -> Result<Self> {
        source.value_count("source image", CHANNELS)?;
        target.value_count("letterbox target", CHANNELS)?;
        let [height, width] = [source.height as f64, source.width as f64];
        let ratio = (target.height as f64 / height).min(target.width as f64 / width);
        let resized = ImageSize {
            height: resized_side(height * ratio, target.height),
            width: resized_side(width * ratio, target.width),
        };
        Ok(Self {
            ratio,
            left: border_before(target.width - resized.width),
            top: border_before(target.height - resized.height),
            resized,
            source,
            target,
        })
    }

    /// Maps a box `[x1, y1, x2, y2]` from network pixels to source pixels and clips it to the source image.
    ///
    /// `x = (x - left) / ratio`, `y = (y - top) / ratio` in f32, both constants rounded to f32 first: the border that
    /// was painted is the one that is taken off.
    pub fn to_source(&self, bbox: [f32; 4]) -> [f32; 4] {
        self.map_back(bbox, [self.left as f64, self.top as f64])
    }

    /// The same as YOLOv5's `scale_boxes` maps when it is not told the border: with
    /// `(W - w * ratio) / 2` and `(H - h * ratio) / 2`, not rounded to pixels, in place of `left` and `top`.
    ///
    /// That is up to a network pixel off where the grey splits unevenly.
    pub fn to_source_yolov5(&self, bbox: [f32; 4]) -> [f32; 4] {
        let border = |target: usize, source: usize| (target as f64 - source as f64 * self.ratio) / 2.0;
        let left = border(self.target.width, self.source.width);
        let top = border(self.target.height, self.source.height);
        self.map_back(bbox, [left, top])
    }

    fn map_back(&self, bbox: [f32; 4], border: [f64; 2]) -> [f32; 4] {
        let [left, top] = border.map(|border| border as f32);
        let ratio = self.ratio as f32;
        let [x1, y1, x2, y2] = bbox;
        clip([(x1 - left) / ratio, (y1 - top) / ratio, (x2 - left) / ratio, (y2 - top) / ratio], self.source)
    }
}

/// Clips `[x1, y1, x2, y2]` to `[0, width] x [0, height]`; NaN stays NaN.
pub fn clip(bbox: [f32; 4], size: ImageSize) -> [f32; 4] {
    let [width, height] = [size.width as f32, size.height as f32];
    let [x1, y1, x2, y2] = bbox;
    [x1.clamp(0.0, width), y1.clamp(0.0, height), x2.clamp(0.0, width), y2.clamp(0.0, height)]
}

/// Nearest whole number of pixels, half to even, within the target and at least one.
fn resized_side(exact: f64, target: usize) -> usize {
    (exact.round_ties_even() as usize).clamp(1, target)
}

/// Grey before the picture when `total` is left over: the smaller half.
fn border_before(total: usize) -> usize {
    (total as f64 / 2.0 - 0.1).round_ties_even() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn every_wrong_argument_is_named() {
        let size = ImageSize::new;
        let cases = [
            ("no row", letterbox(&[], size(0, 4), size(8, 8)), "source image is empty"),
            ("no target", letterbox(&[0; 12], size(2, 2), size(8, 0)), "letterbox target is empty"),
            ("short", letterbox(&[0; 11], size(2, 2), size(8, 8)), "source image holds 11 values"),
            ("huge", letterbox(&[0; 3], size(usize::MAX, 2), size(8, 8)), "source image is too large"),
        ];
        for (name, result, message) in cases {
            let found = result.map(|_| ()).unwrap_err().to_string();
            assert!(found.starts_with(message), "{name}: {found}");
        }
        assert!(matches!(LetterboxTransform::new(size(1, 0), size(1, 1)), Err(Error::EmptyImage { .. })));
    }

    #[test]
    fn a_thin_image_keeps_one_pixel() {
        let result = letterbox(&[7; 3000], ImageSize::new(1, 1000), ImageSize::new(16, 16)).unwrap();
        assert_eq!(result.transform.resized, ImageSize::new(1, 16));
        assert_eq!(result.pixels.iter().filter(|&&value| value == 7).count(), 48);
    }

    #[test]
    fn a_halved_image_is_the_mean_of_four() {
        let pixels: Vec<u8> = (0..4 * 4 * 3).map(|value| value as u8 * 5).collect();
        let result = letterbox(&pixels, ImageSize::new(4, 4), ImageSize::new(2, 2)).unwrap();
        let at = |y: usize, x: usize, c: usize| u32::from(pixels[(y * 4 + x) * 3 + c]);
        for (index, &value) in result.pixels.iter().enumerate() {
            let (y, x, c) = (index / 6 * 2, index / 3 % 2 * 2, index % 3);
            let sum = at(y, x, c) + at(y, x + 1, c) + at(y + 1, x, c) + at(y + 1, x + 1, c);
            assert_eq!(u32::from(value), (sum + 2) / 4, "value {index}");
        }
    }

    #[test]
    fn a_constant_image_stays_constant() {
        for grey in [0_u8, 1, 127, 255] {
            let result = letterbox(&[grey; 7 * 5 * 3], ImageSize::new(7, 5), ImageSize::new(9, 7)).unwrap();
            assert_eq!((result.transform.resized, result.transform.left), (ImageSize::new(9, 6), 0));
            for row in result.pixels.chunks_exact(7 * 3) {
                assert_eq!(row, [[grey; 18].as_slice(), &[LETTERBOX_GREY; 3]].concat());
            }
        }
    }

    #[test]
    fn boxes_come_back_and_are_clipped() {
        let transform = LetterboxTransform::new(ImageSize::new(480, 640), ImageSize::new(640, 640)).unwrap();
        assert_eq!(transform.to_source([10.0, 90.0, 630.0, 550.0]), [10.0, 10.0, 630.0, 470.0]);
        assert_eq!(transform.to_source([-5.0, 0.0, 700.0, 640.0]), [0.0, 0.0, 640.0, 480.0]);
    }

    #[test]
    fn an_uneven_border_maps_back_in_two_ways() {
        let transform = LetterboxTransform::new(ImageSize::new(427, 640), ImageSize::new(640, 640)).unwrap();
        assert_eq!((transform.left, transform.top), (0, 106));
        let bbox = [10.0, 206.0, 20.0, 306.0];
        assert_eq!(transform.to_source(bbox), [10.0, 100.0, 20.0, 200.0]);
        assert_eq!(transform.to_source_yolov5(bbox), [10.0, 99.5, 20.0, 199.5]);
    }
}
