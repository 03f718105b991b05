//! Drawing detections on an image.

use crate::font::{GLYPH_HEIGHT, GLYPH_WIDTH, glyph};
use crate::image_size::{CHANNELS, ImageSize};
use crate::{Detection, Result};

type Colour = [u8; CHANNELS];

/// Pixels between a label's text and the edge of its background, before scaling.
const LABEL_MARGIN: i64 = 1;
/// Side above which lines are 3 pixels and text is doubled.
const LARGE_SIDE: usize = 480; // pixels

/// Draws boxes with `name score` labels on an RGB image (height x width x 3), in place.
///
/// Boxes are in pixels of this image. Lines are drawn inwards from the box's outline, 2 pixels wide, 3 on an image with
/// a side above 480; the colour goes by class. The label stands above the box, or inside where there is no room
/// above. A class beyond `names` is labelled with its number; characters beyond ASCII are drawn as question marks.
/// What lies outside the image is left out. A box with a NaN, turned inside out, or wholly outside is not drawn.
///
/// # Errors
/// When `pixels` is not `height * width * 3` values, or a side is zero.
pub fn draw_detections<S: AsRef<str>>(
    pixels: &mut [u8],
    size: ImageSize,
    detections: &[Detection],
    names: &[S],
) -> Result<()> {
    size.check_rgb("image to draw on", pixels.len())?;
    let mut canvas = Canvas { pixels, size };
    for detection in detections {
        let outline = Rectangle::around(&detection.bbox).filter(|outline| canvas.shows(outline));
        if let Some(outline) = outline {
            let name = names.get(detection.class).map_or_else(|| detection.class.to_string(), text_of);
            let label = format!("{name} {:.2}", detection.score);
            canvas.draw_labelled(outline, class_colour(detection.class), &label);
        }
    }
    Ok(())
}

fn text_of<S: AsRef<str>>(name: &S) -> String {
    name.as_ref().to_owned()
}

/// Colour of a class: hues a golden ratio apart, so that neighbours differ, at full saturation.
///
/// Integers throughout: the hue goes round in 6 sectors of 256 steps.
pub fn class_colour(class: usize) -> [u8; 3] {
    const GOLDEN_STEP: usize = 949; // 1536 / 1.618
    let hue = class % 1536 * GOLDEN_STEP % 1536;
    let rising = (hue % 256) as u8;
    let falling = 255 - rising;
    match hue / 256 {
        0 => [255, rising, 0],
        1 => [falling, 255, 0],
        2 => [0, 255, rising],
        3 => [0, falling, 255],
        4 => [rising, 0, 255],
        _ => [255, 0, falling],
    }
}

/// Black on bright colours, white on dark ones, by ITU-R BT.601 luma.
fn text_colour([red, green, blue]: Colour) -> Colour {
    let luma = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
    if luma > 128_000 { [0; CHANNELS] } else { [255; CHANNELS] }
}

/// Pixels `left..right` of rows `top..bottom`; may reach beyond any image.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rectangle {
    left: i64,
    top: i64,
    right: i64,
    bottom: i64,
}

impl Rectangle {
    /// The pixels of a box, corners rounded; `None` for NaN. Infinities saturate far outside every image.
    fn around(bbox: &[f32; 4]) -> Option<Self> {
        const FAR: f32 = 1e9;
        if bbox.iter().any(|value| value.is_nan()) {
            return None;
        }
        let [left, top, right, bottom] = bbox.map(|value| value.clamp(-FAR, FAR).round() as i64);
        Some(Self { left, top, right: right + 1, bottom: bottom + 1 })
    }

    fn sized(left: i64, top: i64, width: i64, height: i64) -> Self {
        Self { left, top, right: left + width, bottom: top + height }
    }
}

struct Canvas<'a> {
    pixels: &'a mut [u8],
    size: ImageSize,
}

impl Canvas<'_> {
    /// Whether any pixel of a rectangle lies in the image.
    fn shows(&self, area: &Rectangle) -> bool {
        let Rectangle { left, top, right, bottom } = *area;
        let overlaps = |start: i64, end: i64, side: usize| start.max(0) < end.min(side as i64);
        overlaps(left, right, self.size.width) && overlaps(top, bottom, self.size.height)
    }

    fn draw_labelled(&mut self, outline: Rectangle, colour: Colour, label: &str) {
        let large = self.size.height.max(self.size.width) > LARGE_SIDE;
        let (thickness, scale) = if large { (3, 2) } else { (2, 1) };
        self.draw_outline(outline, thickness, colour);
        self.draw_label(outline, scale, colour, label);
    }

    /// Four bars; a box thinner than two lines is filled.
    fn draw_outline(&mut self, outline: Rectangle, thickness: i64, colour: Colour) {
        let Rectangle { left, top, right, bottom } = outline;
        self.fill(Rectangle { bottom: bottom.min(top + thickness), ..outline }, colour);
        self.fill(Rectangle { top: top.max(bottom - thickness), ..outline }, colour);
        self.fill(Rectangle { right: right.min(left + thickness), ..outline }, colour);
        self.fill(Rectangle { left: left.max(right - thickness), ..outline }, colour);
    }

    fn draw_label(&mut self, outline: Rectangle, scale: i64, colour: Colour, label: &str) {
        let advance = (GLYPH_WIDTH as i64 + 1) * scale;
        let margin = LABEL_MARGIN * scale;
        let height = GLYPH_HEIGHT as i64 * scale + 2 * margin;
        let width = label.chars().count() as i64 * advance - scale + 2 * margin;
        let above = outline.top - height;
        let top = if above >= 0 { above } else { outline.top.max(0) };
        let left = outline.left.clamp(0, (self.size.width as i64 - width).max(0));
        self.fill(Rectangle::sized(left, top, width, height), colour);
        for (index, character) in label.chars().enumerate() {
            let corner = (left + margin + index as i64 * advance, top + margin);
            self.draw_glyph(character, corner, scale, text_colour(colour));
        }
    }

    fn draw_glyph(&mut self, character: char, (left, top): (i64, i64), scale: i64, colour: Colour) {
        for (row, bits) in glyph(character).iter().enumerate() {
            let inked = (0..GLYPH_WIDTH).filter(|column| bits >> (GLYPH_WIDTH - 1 - column) & 1 == 1);
            for column in inked {
                let corner = (left + column as i64 * scale, top + row as i64 * scale);
                self.fill(Rectangle::sized(corner.0, corner.1, scale, scale), colour);
            }
        }
    }

    /// Paints the part of a rectangle that lies in the image.
    fn fill(&mut self, area: Rectangle, colour: Colour) {
        let within = |value: i64, side: usize| usize::try_from(value).unwrap_or(0).min(side);
        let columns = within(area.left, self.size.width)..within(area.right, self.size.width);
        let rows = within(area.top, self.size.height)..within(area.bottom, self.size.height);
        if columns.is_empty() || rows.is_empty() {
            return;
        }
        let values = columns.start * CHANNELS..columns.end * CHANNELS;
        for row in self.pixels.chunks_exact_mut(self.size.width * CHANNELS).take(rows.end).skip(rows.start) {
            for pixel in row[values.clone()].chunks_exact_mut(CHANNELS) {
                pixel.copy_from_slice(&colour);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: ImageSize = ImageSize::new(40, 60);

    fn drawn(bbox: [f32; 4]) -> Vec<u8> {
        let mut pixels = vec![9; SIZE.height * SIZE.width * CHANNELS];
        let detection = Detection { bbox, score: 0.5, class: 1 };
        draw_detections(&mut pixels, SIZE, &[detection], &["cat", "dog"]).unwrap();
        pixels
    }

    fn pixel(pixels: &[u8], x: usize, y: usize) -> &[u8] {
        &pixels[(y * SIZE.width + x) * CHANNELS..][..CHANNELS]
    }

    #[test]
    fn a_box_is_two_pixels_thick_and_hollow() {
        let pixels = drawn([5.0, 12.0, 50.0, 35.0]);
        let colour = class_colour(1);
        for (x, y) in [(5, 12), (6, 20), (50, 35), (49, 20), (30, 13), (30, 34)] {
            assert_eq!(pixel(&pixels, x, y), colour, "{x},{y} is on the line");
        }
        for (x, y) in [(4, 20), (7, 20), (51, 20), (48, 20), (30, 14), (30, 33), (30, 36)] {
            assert_eq!(pixel(&pixels, x, y), [9; 3], "{x},{y} is off the line");
        }
    }

    #[test]
    fn the_label_stands_above_the_box() {
        let pixels = drawn([5.0, 12.0, 50.0, 35.0]);
        let ink = text_colour(class_colour(1));
        let row = |y| (0..SIZE.width).filter(|&x| pixel(&pixels, x, y) == ink).count();
        let glyph_row = |row: usize| "dog 0.50".chars().map(|c| glyph(c)[row].count_ones() as usize).sum();
        let expected: Vec<usize> = (0..GLYPH_HEIGHT).map(glyph_row).collect();
        assert_eq!((4..11).map(row).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_cannot_be_seen_is_not_labelled() {
        let nothing = [
            ("NaN", [f32::NAN, 0.0, 9.0, 9.0]),
            ("NaN at the end", [0.0, 0.0, 9.0, f32::NAN]),
            ("below", [5.0, 900.0, 50.0, 950.0]),
            ("left", [-50.0, 20.0, -5.0, 30.0]),
            ("inside out", [30.0, 20.0, 10.0, 30.0]),
        ];
        for (name, bbox) in nothing {
            assert!(drawn(bbox).iter().all(|&value| value == 9), "{name}");
        }
    }

    #[test]
    fn lines_outside_the_image_are_left_out() {
        let around = drawn([f32::NEG_INFINITY, f32::NEG_INFINITY, f32::INFINITY, f32::INFINITY]);
        assert_eq!(pixel(&around, 30, 30), [9; 3]);
    }

    #[test]
    fn neighbouring_classes_differ() {
        let distance =
            |a: Colour, b: Colour| a.iter().zip(b).map(|(&x, y)| x.abs_diff(y) as u32).sum::<u32>();
        for class in 0..80 {
            let [this, next] = [class_colour(class), class_colour(class + 1)];
            assert!(distance(this, next) > 150, "{class}: {this:?} {next:?}");
        }
    }
}
