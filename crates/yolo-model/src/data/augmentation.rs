//! What is changed at random about a training picture.

use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};

use super::affine::Affine;
use super::hsv::apply_gains;
use super::mosaic::mosaic;
use super::random::{chance, uniform};
use super::{DataError, Label, Labelled, Picture, Result, Samples};
use crate::{ImageSize, letterbox};

/// Boxes of this width or height and less, in pixels, are dropped after the affine map.
const MIN_SIDE: f64 = 2.0;
/// Boxes that keep this share of their area and less are dropped: the rest left the picture.
const MIN_AREA_SHARE: f64 = 0.1;
/// Boxes whose sides have this ratio and more are dropped.
const MAX_ASPECT: f64 = 100.0;
/// Keeps the two quotients above finite.
const EPSILON: f64 = 1e-16;

/// How far training pictures are changed at random. The default is YOLOv5's, as are the names.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Hue is multiplied by 1 ± this, in [0, 1].
    pub hsv_h: f64,
    /// Saturation is multiplied by 1 ± this, in [0, 1].
    pub hsv_s: f64,
    /// Value is multiplied by 1 ± this, in [0, 1].
    pub hsv_v: f64,
    /// Rotation by ± this, in degrees, in [0, 180].
    pub degrees: f64,
    /// Movement by ± this share of the picture's width and height, in [0, 1].
    pub translate: f64,
    /// Scaling by 1 ± this, in [0, 1).
    pub scale: f64,
    /// Shear by ± this along both axes, in degrees, in [0, 45).
    pub shear: f64,
    /// Probability that top and bottom change places.
    pub flipud: f64,
    /// Probability that left and right change places.
    pub fliplr: f64,
    /// Probability that a picture is put together from four.
    pub mosaic: f64,
}

impl Default for Augmentation {
    fn default() -> Self {
        let colour = Self { hsv_h: 0.015, hsv_s: 0.7, hsv_v: 0.4, ..Self::none() };
        Self { translate: 0.1, scale: 0.5, fliplr: 0.5, mosaic: 1.0, ..colour }
    }
}

impl Augmentation {
    /// Nothing is changed: pictures are letterboxed, and all labels stay.
    pub const fn none() -> Self {
        Self {
            hsv_h: 0.0,
            hsv_s: 0.0,
            hsv_v: 0.0,
            degrees: 0.0,
            translate: 0.0,
            scale: 0.0,
            shear: 0.0,
            flipud: 0.0,
            fliplr: 0.0,
            mosaic: 0.0,
        }
    }

    /// Makes a training picture of `size` from sample `index`.
    ///
    /// 1. With probability `mosaic`, the sample and three random ones are scaled to fit into `size` and put around a random
    ///    point on a grey canvas of twice `size`; else the sample is letterboxed.
    /// 2. The map `T S R C` of coordinates: `C` moves the centre to the origin; `R` rotates by `a` and scales by `s`,
    ///    `s [[cos a, sin a], [-sin a, cos a]]`; `S = [[1, tan x], [tan y, 1]]` shears; `T` moves the origin to `size` times
    ///    0.5 ± `translate`. Pixels are interpolated linearly, grey around them. A box becomes the upright one around its four
    ///    corners, clipped; it stays if both sides are above 2 pixels, its area is above 0.1 times `s^2` times the one before, and
    ///    its sides have a ratio below 100. Where the map is the identity, nothing is dropped.
    /// 3. Hue, saturation and value are multiplied, on OpenCV's scales of 180, 256 and 256 steps.
    /// 4. Rows, then columns, change places with probabilities `flipud` and `fliplr`.
    ///
    /// All random numbers are drawn in the order of this text (`a`, `s`, `x`, `y`, then `T` along the width and the height),
    /// also those that settings of zero have no use for; only the mosaic's depend on whether there is one.
    ///
    /// # Errors
    /// A setting outside its range, a sample that does not exist or cannot be decoded, a size that is zero or too large.
    pub fn draw<R: Rng + ?Sized>(
        &self,
        samples: &Samples,
        index: usize,
        size: ImageSize,
        random: &mut R,
    ) -> Result<Labelled> {
        self.check()?;
        let whole = if chance(random, self.mosaic) {
            mosaic(samples, index, size, random)?
        } else {
            letterboxed(&samples.picture(index)?, size)?
        };
        let mut result = self.draw_geometry(random).apply(whole, size)?;
        let mut gain = |range: f64| 1.0 + uniform(random, -1.0, 1.0) * range;
        let gains = [gain(self.hsv_h), gain(self.hsv_s), gain(self.hsv_v)];
        if gains != [1.0; 3] {
            apply_gains(&mut result.picture, gains);
        }
        if chance(random, self.flipud) {
            result.flip_rows();
        }
        if chance(random, self.fliplr) {
            result.flip_columns();
        }
        Ok(result)
    }

    /// Checks every setting against its range.
    pub(super) fn check(&self) -> Result<()> {
        let unit = [
            ("hsv_h", self.hsv_h),
            ("hsv_s", self.hsv_s),
            ("hsv_v", self.hsv_v),
            ("translate", self.translate),
            ("flipud", self.flipud),
            ("fliplr", self.fliplr),
            ("mosaic", self.mosaic),
        ]
        .map(|(name, value)| (name, value, (0.0..=1.0).contains(&value), "in [0, 1]"));
        let others = [
            ("degrees", self.degrees, (0.0..=180.0).contains(&self.degrees), "in [0, 180]"),
            ("scale", self.scale, (0.0..1.0).contains(&self.scale), "in [0, 1)"),
            ("shear", self.shear, (0.0..45.0).contains(&self.shear), "in [0, 45)"),
        ];
        match unit.into_iter().chain(others).find(|&(_, _, allowed, _)| !allowed) {
            Some((name, value, _, range)) => Err(DataError::Setting { name, value, range }),
            None => Ok(()),
        }
    }

    fn draw_geometry<R: Rng + ?Sized>(&self, random: &mut R) -> Geometry {
        let mut around = |middle: f64, range: f64| uniform(random, middle - range, middle + range);
        Geometry {
            rotation: around(0.0, self.degrees).to_radians(),
            scale: around(1.0, self.scale),
            shear: [around(0.0, self.shear).to_radians(), around(0.0, self.shear).to_radians()],
            centre: [around(0.5, self.translate), around(0.5, self.translate)],
        }
    }
}

fn letterboxed(labelled: &Labelled, size: ImageSize) -> Result<Labelled> {
    let source = labelled.picture.size;
    let boxed = letterbox(&labelled.picture.pixels, source, size)?;
    let transform = boxed.transform;
    let scale = [
        transform.resized.width as f64 / source.width as f64,
        transform.resized.height as f64 / source.height as f64,
    ];
    let offset = [transform.left as f64, transform.top as f64];
    let labels =
        labelled.labels.iter().filter_map(|label| label.placed(scale, offset).clipped(size)).collect();
    Ok(Labelled { picture: Picture { pixels: boxed.pixels, size }, labels })
}

/// What was drawn for the affine map.
#[derive(Clone, Copy, Debug)]
struct Geometry {
    rotation: f64,    // radians
    scale: f64,       // in (0, 2)
    shear: [f64; 2],  // radians, along x and y
    centre: [f64; 2], // where the centre goes, in shares of width and height
}

impl Geometry {
    fn apply(&self, whole: Labelled, size: ImageSize) -> Result<Labelled> {
        let map = self.map(whole.picture.size, size);
        if map == Affine::IDENTITY && whole.picture.size == size {
            return Ok(whole);
        }
        let picture = map.apply_to_picture(&whole.picture, size)?;
        let labels = whole.labels.iter().filter_map(|label| self.mapped(&map, label, size)).collect();
        Ok(Labelled { picture, labels })
    }

    /// `T S R C`; `libm`'s functions have the same bits on every platform.
    fn map(&self, from: ImageSize, to: ImageSize) -> Affine {
        let [sine, cosine] =
            [libm::sin(self.rotation), libm::cos(self.rotation)].map(|value| self.scale * value);
        let [shear_x, shear_y] = self.shear.map(libm::tan);
        let linear = [
            [cosine - shear_x * sine, sine + shear_x * cosine],
            [shear_y * cosine - sine, shear_y * sine + cosine],
        ];
        let about_centre = Affine { linear, offset: [0.0; 2] };
        let [x, y] = about_centre.apply([from.width as f64 / 2.0, from.height as f64 / 2.0]);
        let offset = [self.centre[0] * to.width as f64 - x, self.centre[1] * to.height as f64 - y];
        Affine { linear, offset }
    }

    fn mapped(&self, map: &Affine, label: &Label, size: ImageSize) -> Option<Label> {
        let after = Label { bbox: map.apply_to_box(label.bbox), ..*label }.clipped(size)?;
        let before = sides(label.bbox).map(|side| side * self.scale);
        is_worth_keeping(before, sides(after.bbox)).then_some(after)
    }
}

/// Width and height, in pixels.
fn sides([x1, y1, x2, y2]: [f32; 4]) -> [f64; 2] {
    [f64::from(x2) - f64::from(x1), f64::from(y2) - f64::from(y1)]
}

/// Whether enough of a box is left; both are width and height.
fn is_worth_keeping(before: [f64; 2], [width, height]: [f64; 2]) -> bool {
    let aspect = (width / (height + EPSILON)).max(height / (width + EPSILON));
    let share = width * height / (before[0] * before[1] + EPSILON);
    width > MIN_SIDE && height > MIN_SIDE && share > MIN_AREA_SHARE && aspect < MAX_ASPECT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::sample_random;
    use crate::data::testing::{noise, painted};

    const RED: [u8; 3] = [255, 0, 0];

    /// A grey picture with a red rectangle, labelled.
    fn rectangle(size: ImageSize, [x1, y1, x2, y2]: [usize; 4]) -> Labelled {
        let bbox = [x1, y1, x2, y2].map(|value| value as f32);
        let mut labelled = painted(size, [114; 3], &[Label { class: 5, bbox }]);
        for y in y1..y2 {
            for x in x1..x2 {
                labelled.picture.pixels[(y * size.width + x) * 3..][..3].copy_from_slice(&RED);
            }
        }
        labelled
    }

    /// Box around what is more red than grey.
    fn red_box(picture: &Picture) -> Option<[f32; 4]> {
        let is_red = |index: &usize| picture.pixels[index * 3] > 184;
        let places = (0..picture.pixels.len() / 3).filter(is_red);
        let boxes = places.map(|index| {
            let [x, y] = [(index % picture.size.width) as f32, (index / picture.size.width) as f32];
            [x, y, x + 1.0, y + 1.0]
        });
        boxes.reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])])
    }

    #[test]
    fn boxes_follow_pixels() {
        let size = ImageSize::new(96, 128);
        let strong = Augmentation { scale: 0.6, translate: 0.3, ..Augmentation::none() };
        let mut checked = 0;
        for seed in 0..400 {
            // an upright box around a turned rectangle is where its corners are, whose red is a few pixels short of them
            let mut random = sample_random(seed, 0, 0);
            let mut side = |low: f64, high: f64| uniform(&mut random, low, high) as usize;
            let [x, y, width, height] = [side(0.0, 90.0), side(0.0, 60.0), side(8.0, 38.0), side(8.0, 36.0)];
            let from = if seed % 2 == 0 { size } else { ImageSize::new(192, 256) };
            let before = rectangle(from, [x, y, x + width, y + height]);
            let after = strong.draw_geometry(&mut random).apply(before, size).unwrap();
            let (Some(label), Some(red)) = (after.labels.first(), red_box(&after.picture)) else { continue };
            let distance = label.bbox.iter().zip(red).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(distance <= 1.5, "seed {seed}: label {:?}, pixels {red:?}", label.bbox);
            checked += 1;
        }
        assert!(checked > 200, "{checked}");
    }

    #[test]
    fn turned_and_sheared_boxes_touch_the_pixels_corners() {
        let size = ImageSize::new(160, 160);
        let strong = Augmentation { degrees: 180.0, shear: 30.0, ..Augmentation::none() };
        for seed in 0..200 {
            let geometry = strong.draw_geometry(&mut sample_random(seed, 0, 0));
            let after = geometry.apply(rectangle(size, [60, 70, 100, 95]), size).unwrap();
            let (label, red) = (after.labels[0].bbox, red_box(&after.picture).unwrap());
            let map = geometry.map(size, size);
            for corner in [[60.0, 70.0], [100.0, 70.0], [60.0, 95.0], [100.0, 95.0]] {
                let [x, y] = map.apply(corner).map(|value| value as f32);
                assert!(
                    x > label[0] - 0.01 && y > label[1] - 0.01 && x < label[2] + 0.01 && y < label[3] + 0.01
                );
            }
            // corners of 30 degrees and less end in less than half a pixel of red some pixels before their tip
            let distance = label.iter().zip(red).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(distance <= 4.0, "seed {seed}: label {label:?}, pixels {red:?}");
        }
    }

    #[test]
    fn rotation_turns_as_opencv_does() {
        let geometry =
            Geometry { rotation: std::f64::consts::FRAC_PI_2, scale: 2.0, shear: [0.0; 2], centre: [0.5; 2] };
        let map = geometry.map(ImageSize::new(10, 20), ImageSize::new(40, 40));
        let [x, y] = map.apply([20.0, 5.0]); // the middle of the right edge goes up: angles are counter-clockwise
        assert!((x - 20.0).abs() < 1e-9 && y.abs() < 1e-9, "{x}, {y}");
    }

    #[test]
    fn boxes_that_are_hardly_left_are_dropped() {
        let cases = [
            ("whole", [10.0, 10.0], [10.0, 10.0], true),
            ("two pixels wide", [10.0, 10.0], [2.0, 10.0], false),
            ("two pixels high", [10.0, 10.0], [10.0, 2.0], false),
            ("a little more", [10.0, 10.0], [2.1, 10.0], true),
            ("a tenth", [10.0, 100.0], [10.0, 9.99], false),
            ("more than a tenth", [10.0, 100.0], [10.0, 10.1], true),
            ("a line", [300.0, 3.0], [300.0, 3.0], false),
            ("nearly a line", [299.0, 3.0], [299.0, 3.0], true),
        ];
        for (name, before, after, kept) in cases {
            assert_eq!(is_worth_keeping(before, after), kept, "{name}");
        }
    }

    #[test]
    fn shrinking_alone_drops_no_box() {
        let shrunk = Geometry { rotation: 0.0, scale: 0.3, shear: [0.0; 2], centre: [0.5; 2] };
        let size = ImageSize::new(100, 100);
        let after = shrunk.apply(rectangle(size, [10, 30, 50, 70]), size).unwrap();
        let [x1, y1, x2, y2] = after.labels[0].bbox;
        let error = [x1 - 38.0, y1 - 44.0, x2 - 50.0, y2 - 56.0].map(f32::abs);
        assert!(error.iter().all(|&error| error < 1e-4), "{error:?}");
    }

    #[test]
    fn no_augmentation_is_the_letterbox() {
        let picture = noise(ImageSize::new(30, 40), 2);
        let label = Label { class: 1, bbox: [10.0, 5.0, 10.5, 30.0] };
        let whole =
            letterboxed(&Labelled { picture: picture.clone(), labels: vec![label] }, ImageSize::new(64, 64))
                .unwrap();
        assert_eq!(whole.labels[0].bbox, [16.0, 16.0, 16.8, 56.0]);
        let geometry = Augmentation::none().draw_geometry(&mut sample_random(0, 0, 0));
        let after = geometry.apply(whole.clone(), ImageSize::new(64, 64)).unwrap();
        assert_eq!(after, whole);
        assert_eq!(
            after.picture.pixels,
            letterbox(&picture.pixels, picture.size, after.picture.size).unwrap().pixels
        );
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let default = Augmentation::default;
        let cases = [
            (Augmentation { hsv_h: -0.1, ..default() }, "`hsv_h` is -0.1; it must be in [0, 1]"),
            (Augmentation { mosaic: f64::NAN, ..default() }, "`mosaic` is NaN; it must be in [0, 1]"),
            (Augmentation { scale: 1.0, ..default() }, "`scale` is 1; it must be in [0, 1)"),
            (
                Augmentation { degrees: f64::INFINITY, ..default() },
                "`degrees` is inf; it must be in [0, 180]",
            ),
            (Augmentation { shear: 45.0, ..default() }, "`shear` is 45; it must be in [0, 45)"),
        ];
        for (settings, message) in cases {
            assert_eq!(settings.check().unwrap_err().to_string(), message);
        }
        default().check().unwrap();
        Augmentation::none().check().unwrap();
    }
}
