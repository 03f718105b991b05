//! COCO: class names, category ids, and its form of a detection.

use serde::{Deserialize, Serialize};

use crate::{Detection, Error, LetterboxTransform, Result};

/// Names of the 80 detection classes, by class index.
#[rustfmt::skip]
pub const COCO_NAMES: [&str; 80] = [
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
    "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear",
    "hair drier", "toothbrush",
];

/// Category ids below 91 that no detection class has.
const UNUSED_CATEGORIES: [u32; 10] = [12, 26, 29, 30, 45, 66, 68, 69, 71, 83];

/// Category id in COCO's annotation files, by class index: 1 to 90 without the ten that were never annotated.
pub const COCO_CATEGORY_IDS: [u32; 80] = category_ids();

const fn category_ids() -> [u32; 80] {
    let mut ids = [0; 80];
    let [mut class, mut skipped] = [0, 0];
    let mut id = 1;
    while class < ids.len() {
        if skipped < UNUSED_CATEGORIES.len() && UNUSED_CATEGORIES[skipped] == id {
            skipped += 1;
        } else {
            ids[class] = id;
            class += 1;
        }
        id += 1;
    }
    ids
}

/// Category id of a class index below 80.
pub fn coco_category_id(class: usize) -> Option<u32> {
    COCO_CATEGORY_IDS.get(class).copied()
}

/// A detection as COCO's result files hold it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CocoDetection {
    /// Id of the image.
    pub image_id: u64,
    /// Id of the category.
    pub category_id: u32,
    /// `[x, y, width, height]` in pixels of the source image; x and y are the upper left corner.
    pub bbox: [f64; 4],
    /// Confidence, in [0, 1].
    pub score: f64,
}

/// A box `[x1, y1, x2, y2]` in network pixels as COCO's `[x, y, width, height]` in pixels of the source image, clipped to it.
///
/// The corner is `centre - size / 2` with `centre = (x1 + x2) / 2`, in f32, as YOLOv5 writes it; that differs from `x1` by
/// rounding only.
#[must_use]
pub fn coco_box(bbox: [f32; 4], transform: &LetterboxTransform) -> [f64; 4] {
    let [x1, y1, x2, y2] = transform.to_source(bbox);
    let [width, height] = [x2 - x1, y2 - y1];
    let corner = [(x1 + x2) / 2.0 - width / 2.0, (y1 + y2) / 2.0 - height / 2.0];
    [corner[0], corner[1], width, height].map(f64::from)
}

impl CocoDetection {
    /// A detection in network pixels as a COCO result: box by [`coco_box`], category id looked up. Nothing is rounded to
    /// decimals.
    ///
    /// # Errors
    /// When the class is not one of the 80.
    pub fn new(detection: &Detection, transform: &LetterboxTransform, image_id: u64) -> Result<Self> {
        let class = detection.class;
        let unknown = Error::UnknownClass { class, count: COCO_CATEGORY_IDS.len() };
        let category_id = coco_category_id(class).ok_or(unknown)?;
        let bbox = coco_box(detection.bbox, transform);
        Ok(Self { image_id, category_id, bbox, score: f64::from(detection.score) })
    }

    /// The same with 3 decimals of a pixel and 5 of the score, as YOLOv5's result files have them.
    ///
    /// Nearest decimal of the exact binary value, as Python's `round`.
    pub fn rounded_as_yolov5(self) -> Self {
        let bbox = self.bbox.map(|value| round_decimals(value, 3));
        Self { bbox, score: round_decimals(self.score, 5), ..self }
    }
}

/// Nearest number with `decimals` digits after the point. Formatting is exact, scaling by a power of ten is not.
fn round_decimals(value: f64, decimals: usize) -> f64 {
    format!("{value:.decimals$}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageSize;

    #[test]
    fn category_ids_of_known_classes() {
        for (name, id) in
            [("person", 1), ("stop sign", 13), ("tv", 72), ("chair", 62), ("bowl", 51), ("toothbrush", 90)]
        {
            let class = COCO_NAMES.iter().position(|&other| other == name).unwrap();
            assert_eq!(coco_category_id(class), Some(id), "{name}");
        }
        assert_eq!(coco_category_id(80), None);
        assert!(COCO_CATEGORY_IDS.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_detection_becomes_a_result() {
        let transform = LetterboxTransform::new(ImageSize::new(480, 640), ImageSize::new(320, 320)).unwrap();
        let mut detection = Detection { bbox: [10.0, 50.0, 30.25, 100.0], score: 0.123_456_7, class: 62 };
        let result = CocoDetection::new(&detection, &transform, 139).unwrap();
        assert_eq!(result.bbox, [20.0, 20.0, 40.5, 100.0]);
        assert_eq!((result.image_id, result.category_id), (139, 72));
        assert_eq!(result.rounded_as_yolov5().score, 0.12346);
        detection.class = 80;
        let error = CocoDetection::new(&detection, &transform, 139).unwrap_err();
        assert_eq!(error, Error::UnknownClass { class: 80, count: 80 });
    }

    #[test]
    fn rounding_is_of_the_exact_value() {
        for (value, expected) in [(0.0005, 0.001), (0.0015, 0.002), (2.6755, 2.675), (1.0625, 1.062)] {
            assert_eq!(round_decimals(value, 3), expected, "{value}");
        }
        assert_eq!(round_decimals(2.675, 2), 2.67);
        assert!(round_decimals(f64::NAN, 3).is_nan());
        assert_eq!(round_decimals(f64::INFINITY, 3), f64::INFINITY);
    }
}
