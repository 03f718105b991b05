//! A picture and what is on it.

use super::Result;
use crate::image_size::CHANNELS;
use crate::{ImageSize, LETTERBOX_GREY, clip};
use image::{DynamicImage, ImageDecoder, ImageReader};
use std::path::Path;

/// An RGB image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// RGB, height x width x 3.
    pub pixels: Vec<u8>,
    /// Rows and pixels per row.
    pub size: ImageSize,
}

/// An object on a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Label {
    /// What it is, below the number of classes.
    pub class: usize,
    /// `[x1, y1, x2, y2]` in pixels; pixel (0, 0) covers [0, 1] x [0, 1].
    pub bbox: [f32; 4],
}

/// A picture with labels in its pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// The picture.
    pub picture: Picture,
    /// What is on it, each with a positive area within the picture.
    pub labels: Vec<Label>,
}

impl Picture {
    /// Decodes an image file: 8 bits per channel, RGB, turned as its EXIF data says (as OpenCV reads it).
    ///
    /// # Errors
    /// A file that cannot be read or decoded.
    pub fn decode(path: &Path) -> image::ImageResult<Self> {
        let mut decoder = ImageReader::open(path)?.with_guessed_format()?.into_decoder()?;
        let orientation = decoder.orientation()?;
        let mut image = DynamicImage::from_decoder(decoder)?;
        image.apply_orientation(orientation);
        let image = image.into_rgb8();
        let size = ImageSize::new(image.height() as usize, image.width() as usize);
        Ok(Self { pixels: image.into_raw(), size })
    }

    /// A picture of nothing but [`LETTERBOX_GREY`].
    pub(super) fn grey(size: ImageSize) -> Result<Self> {
        let count = size.value_count("picture", CHANNELS)?;
        Ok(Self { pixels: vec![LETTERBOX_GREY; count], size })
    }
}

impl Label {
    /// The part within a picture of `size`, if it has an area.
    pub(super) fn clipped(self, size: ImageSize) -> Option<Self> {
        let bbox = clip(self.bbox, size);
        let [x1, y1, x2, y2] = bbox;
        (x1 < x2 && y1 < y2).then_some(Self { bbox, ..self })
    }

    /// The label where its picture is scaled by `[x, y]` and then moved by `[x, y]` pixels.
    pub(super) fn placed(self, scale: [f64; 2], offset: [f64; 2]) -> Self {
        let place = |value: f32, axis: usize| (f64::from(value) * scale[axis] + offset[axis]) as f32;
        let [x1, y1, x2, y2] = self.bbox;
        Self { bbox: [place(x1, 0), place(y1, 1), place(x2, 0), place(y2, 1)], ..self }
    }
}

impl Labelled {
    /// Left and right exchanged.
    pub(super) fn flip_columns(&mut self) {
        let size = self.picture.size;
        for row in self.picture.pixels.chunks_exact_mut(size.width * CHANNELS) {
            let (pixels, _) = row.as_chunks_mut::<CHANNELS>();
            pixels.reverse();
        }
        let width = size.width as f32;
        for Label { bbox: [x1, _, x2, _], .. } in &mut self.labels {
            (*x1, *x2) = (width - *x2, width - *x1);
        }
    }

    /// Top and bottom exchanged.
    pub(super) fn flip_rows(&mut self) {
        let size = self.picture.size;
        let row_values = size.width * CHANNELS;
        let (upper, lower) = self.picture.pixels.split_at_mut(size.height / 2 * row_values);
        let from_below = lower.chunks_exact_mut(row_values).rev();
        for (above, below) in upper.chunks_exact_mut(row_values).zip(from_below) {
            above.swap_with_slice(below);
        }
        let height = size.height as f32;
        for Label { bbox: [_, y1, _, y2], .. } in &mut self.labels {
            (*y1, *y2) = (height - *y2, height - *y1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pixels that all differ, with two boxes at quarters of a pixel, which f32 flips exactly.
    fn example(height: usize, width: usize) -> Labelled {
        let pixels = (0..height * width * CHANNELS).map(|value| value as u8).collect();
        let labels = vec![
            Label { class: 3, bbox: [0.0, 0.25, 1.5, 2.0] },
            Label { class: 1, bbox: [2.0, 1.0, 2.75, 3.0] },
        ];
        Labelled { picture: Picture { pixels, size: ImageSize::new(height, width) }, labels }
    }

    #[test]
    fn flips_exchange_sides() {
        let mut flipped = example(3, 4);
        flipped.flip_columns();
        assert_eq!(flipped.picture.pixels[..6], [9, 10, 11, 6, 7, 8]);
        assert_eq!(flipped.labels[0].bbox, [2.5, 0.25, 4.0, 2.0]);
        flipped.flip_rows();
        assert_eq!(flipped.picture.pixels[..3], [33, 34, 35]);
        assert_eq!(flipped.labels[0].bbox, [2.5, 1.0, 4.0, 2.75]);
    }

    #[test]
    fn flipping_twice_changes_nothing() {
        for (height, width) in [(3, 4), (4, 3), (5, 5), (1, 6), (6, 1)] {
            let before = example(height, width);
            for flip in [Labelled::flip_columns, Labelled::flip_rows] {
                let mut after = before.clone();
                flip(&mut after);
                assert_ne!(after.labels, before.labels, "{height} x {width}");
                flip(&mut after);
                assert_eq!(after, before, "{height} x {width}");
            }
        }
    }

    #[test]
    fn labels_without_a_part_in_the_picture_are_none() {
        let size = ImageSize::new(10, 20);
        let clipped = |bbox| Label { class: 0, bbox }.clipped(size).map(|label| label.bbox);
        assert_eq!(clipped([-5.0, 2.0, 30.0, 12.0]), Some([0.0, 2.0, 20.0, 10.0]));
        let nothing = [[20.0, 0.0, 25.0, 5.0], [3.0, -5.0, 4.0, 0.0], [3.0, 3.0, 3.0, 4.0], [f32::NAN; 4]];
        assert_eq!(nothing.map(clipped), [None; 4]);
    }
}
