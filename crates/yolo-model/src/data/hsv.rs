//! Gains of hue, saturation and value, on the 8-bit scales of OpenCV.
//!
//! With `v = max(r, g, b)` and `d = v - min(r, g, b)`, all in whole numbers:
//!
//! - saturation is `255 d / v` in [0, 255], taken as `(d * S[v] + 2^11) >> 12` with `S[v] = round(2^12 * 255 / v)`, `S[0] = 0`;
//! - hue is `30 p / d` modulo 180, steps of two degrees, taken as `(p * H[d] + 2^11) >> 12` with `H[d] = round(2^12 * 30 / d)`,
//!   `H[0] = 0`; `p` is `g - b` when red is the largest, else `b - r + 2 d` when green is, else `r - g + 4 d`. 180 is added to
//!   what is negative.
//!
//! `round` takes halves to even. These are OpenCV's own numbers.
//!
//! The gains `[a_h, a_s, a_v]` act as tables: `h' = trunc(a_h h mod 180)`, `s' = min(trunc(a_s s), 255)`, likewise `v'`.
//!
//! Back, with sector `h / 30` and `f = h % 30`: the largest channel is `v`, the smallest `v (255 - s) / 255`, the one between falls
//! as `v (7650 - s f) / 7650` in odd sectors and rises as `v (7650 - s (30 - f)) / 7650` in even ones, all rounded to the
//! nearest. OpenCV computes them in f32 and cuts off or rounds by where in the row a pixel lies: one level of difference.
//!
//! Steps of two degrees move a saturated channel by up to 255 / 60 levels: there and back is not the identity.

use super::Picture;
use crate::image_size::CHANNELS;

const HUES: u16 = 180;

/// `S` of the text above.
const SATURATION_PER_SPREAD: [i32; 256] = reciprocals(255 << RECIPROCAL_BITS);
/// `H` of the text above.
const HUE_PER_PLACE: [i32; 256] = reciprocals(30 << RECIPROCAL_BITS);
const RECIPROCAL_BITS: u32 = 12;

/// `numerator / index`, to the nearest, halves to even; 0 for 0.
const fn reciprocals(numerator: i32) -> [i32; 256] {
    let mut table = [0; 256];
    let mut index = 1;
    while index < 256 {
        let (quotient, twice_rest) = (numerator / index, numerator % index * 2);
        let up = twice_rest > index || (twice_rest == index && quotient % 2 == 1);
        table[index as usize] = quotient + up as i32;
        index += 1;
    }
    table
}

/// Applies gains of hue, saturation and value, none of them negative, to every pixel.
pub(super) fn apply_gains(picture: &mut Picture, gains: [f64; 3]) {
    let tables = Tables::new(gains);
    let (pixels, _) = picture.pixels.as_chunks_mut::<CHANNELS>();
    for pixel in pixels {
        let [hue, saturation, value] = to_hsv(*pixel).map(usize::from);
        *pixel = to_rgb([tables.hue[hue], tables.saturation[saturation], tables.value[value]]);
    }
}

struct Tables {
    hue: [u8; HUES as usize],
    saturation: [u8; 256],
    value: [u8; 256],
}

impl Tables {
    fn new([hue, saturation, value]: [f64; 3]) -> Self {
        let clipped = |gain: f64| std::array::from_fn(|index| (index as f64 * gain).min(255.0) as u8);
        let turned = |index: usize| (index as f64 * hue % f64::from(HUES)) as u8;
        Self { hue: std::array::from_fn(turned), saturation: clipped(saturation), value: clipped(value) }
    }
}

/// `[hue in [0, 180), saturation, value]`.
fn to_hsv([r, g, b]: [u8; CHANNELS]) -> [u8; 3] {
    let value = r.max(g).max(b);
    let spread = value - r.min(g).min(b);
    let [red, green, blue] = [r, g, b].map(i32::from);
    let place = match value {
        _ if value == r => green - blue,
        _ if value == g => blue - red + 2 * i32::from(spread),
        _ => red - green + 4 * i32::from(spread),
    };
    let hue = scaled(place, HUE_PER_PLACE[usize::from(spread)]); // in [-30, 150]
    let hue = if hue < 0 { hue + i32::from(HUES) } else { hue };
    let saturation = scaled(i32::from(spread), SATURATION_PER_SPREAD[usize::from(value)]);
    [hue as u8, saturation as u8, value]
}

/// `factor * reciprocal / 2^12`, to the nearest, halves upwards.
fn scaled(factor: i32, reciprocal: i32) -> i32 {
    (factor * reciprocal + (1 << (RECIPROCAL_BITS - 1))) >> RECIPROCAL_BITS
}

fn to_rgb([hue, saturation, value]: [u8; 3]) -> [u8; CHANNELS] {
    let part = |numerator: u32| ((u32::from(value) * numerator + 3825) / 7650) as u8; // of 255 * 30
    let [sector, within] = [hue / 30, hue % 30].map(u32::from);
    let saturation = u32::from(saturation);
    let low = part(7650 - saturation * 30);
    let falling = part(7650 - saturation * within);
    let rising = part(7650 - saturation * (30 - within));
    match sector {
        0 => [value, rising, low],
        1 => [falling, value, low],
        2 => [low, value, rising],
        3 => [low, falling, value],
        4 => [rising, low, value],
        _ => [value, low, falling],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every fifth level of each channel, 0 and 255 among them.
    fn colours() -> impl Iterator<Item = [u8; 3]> {
        let levels = || (0..=255).step_by(5);
        levels().flat_map(move |r| levels().flat_map(move |g| levels().map(move |b| [r, g, b])))
    }

    /// The definition in reals: `[hue in [0, 180), saturation, value]`.
    fn naive_hsv(pixel: [u8; 3]) -> [f64; 3] {
        let [r, g, b] = pixel.map(f64::from);
        let value = r.max(g).max(b);
        let spread = value - r.min(g).min(b);
        if spread == 0.0 {
            return [0.0, 0.0, value];
        }
        let degrees = if value == r {
            (60.0 * (g - b) / spread).rem_euclid(360.0)
        } else if value == g {
            60.0 * (b - r) / spread + 120.0
        } else {
            60.0 * (r - g) / spread + 240.0
        };
        [degrees / 2.0, 255.0 * spread / value, value]
    }

    /// Off the nearest by no more than the reciprocals' rounding.
    #[test]
    fn hue_saturation_and_value_are_nearly_the_nearest() {
        for pixel in colours() {
            let (found, exact) = (to_hsv(pixel).map(f64::from), naive_hsv(pixel));
            let turn = (found[0] - exact[0]).abs();
            assert!(
                turn.min(180.0 - turn) <= 0.5 + 5.0 * 255.0 * 0.5 / 4096.0,
                "{pixel:?}: {found:?}, not {exact:?}"
            );
            assert!(
                (found[1] - exact[1]).abs() <= 0.5 + 255.0 * 0.5 / 4096.0,
                "{pixel:?}: {found:?}, not {exact:?}"
            );
            assert_eq!(found[2], exact[2], "{pixel:?}");
        }
    }

    /// There and back costs half a step of hue (255 / 60 levels), half a step of saturation, and half a level for rounding.
    #[test]
    fn there_and_back_differs_by_what_a_step_of_hue_is() {
        let mut worst = 0;
        for pixel in colours() {
            let back = to_rgb(to_hsv(pixel));
            let difference = pixel.iter().zip(back).map(|(&a, b)| a.abs_diff(b)).max().unwrap();
            assert!(difference <= 5, "{pixel:?} came back as {back:?}");
            worst = worst.max(difference);
            if pixel[0] == pixel[1] && pixel[1] == pixel[2] {
                assert_eq!(back, pixel);
            }
        }
        assert!(worst >= 4, "hue is finer than documented: {worst}");
    }

    /// cv2 5.0.0: `cvtColor` to HSV, tables for the gains below as YOLOv5 makes them, and back.
    #[rustfmt::skip]
    const OPENCV: [([u8; 3], [u8; 3]); 24] = [
        ([0, 0, 0], [0, 0, 0]), ([255, 255, 255], [181, 181, 181]),
        ([114, 114, 114], [80, 80, 80]), ([255, 0, 1], [181, 0, 0]),
        ([1, 0, 255], [6, 0, 181]), ([200, 199, 198], [142, 141, 140]),
        ([236, 148, 151], [167, 71, 67]), ([123, 169, 183], [61, 111, 129]),
        ([233, 91, 102], [165, 5, 5]), ([220, 101, 27], [156, 62, 0]),
        ([212, 81, 187], [150, 2, 110]), ([132, 167, 72], [79, 118, 11]),
        ([161, 31, 77], [114, 0, 34]), ([29, 168, 234], [0, 105, 166]),
        ([89, 235, 105], [2, 166, 18]), ([62, 89, 182], [0, 26, 129]),
        ([217, 56, 247], [152, 0, 175]), ([213, 141, 6], [151, 101, 0]),
        ([159, 88, 14], [112, 56, 0]), ([234, 209, 52], [166, 144, 0]),
        ([36, 16, 61], [20, 0, 43]), ([117, 186, 171], [53, 132, 116]),
        ([255, 179, 101], [181, 94, 6]), ([0, 84, 198], [0, 56, 140]),
    ];

    #[test]
    fn colours_are_opencvs_within_a_level() {
        let pixels = OPENCV.map(|(before, _)| before).concat();
        let mut picture = Picture { pixels, size: crate::ImageSize::new(1, OPENCV.len()) };
        apply_gains(&mut picture, [1.013, 1.6, 0.71]);
        for ((before, expected), found) in OPENCV.iter().zip(picture.pixels.chunks_exact(3)) {
            let difference = expected.iter().zip(found).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(difference <= 1, "{before:?} became {found:?}, not {expected:?}");
        }
    }

    /// Pure colours are steps of the scales, so that gains on them are known.
    #[test]
    fn gains_turn_bleach_and_darken() {
        let changed = |pixel: [u8; 3], gains| {
            let mut picture = Picture { pixels: pixel.to_vec(), size: crate::ImageSize::new(1, 1) };
            apply_gains(&mut picture, gains);
            picture.pixels
        };
        assert_eq!(changed([0, 255, 0], [1.0, 1.0, 1.0]), [0, 255, 0]);
        assert_eq!(changed([0, 255, 0], [2.0, 1.0, 1.0]), [0, 0, 255]); // 120 to 240 degrees
        assert_eq!(changed([0, 0, 255], [1.5, 1.0, 1.0]), [255, 0, 0]); // 240 to 360 degrees, which are 0
        assert_eq!(changed([255, 0, 0], [1.0, 0.0, 1.0]), [255, 255, 255]);
        assert_eq!(changed([200, 0, 0], [1.0, 1.0, 0.5]), [100, 0, 0]);
        assert_eq!(changed([200, 100, 100], [1.0, 3.0, 3.0]), [255, 0, 0]);
    }
}
