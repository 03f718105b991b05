//! The twelve COCO figures.

use std::fmt;

use crate::error::Error;
use crate::evaluation::{Evaluation, Selection};

/// The first figure is asked for at this cap, whatever the caps are (quirk `ap-cap-is-100`).
const AP_CAP: usize = 100;

/// The twelve COCO figures, each in [0, 1], or -1 when undefined.
///
/// Averages run over the IoU thresholds and categories; "small", "medium" and "large" are area ranges by
/// name. All but the first three recalls and the first precision use the third cap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Average precision at 100 detections; -1 when 100 is not among the caps.
    pub ap: f64,
    /// Average precision at IoU 0.5; -1 when that is not among the thresholds.
    pub ap50: f64,
    /// Average precision at IoU 0.75; -1 when that is not among the thresholds.
    pub ap75: f64,
    /// Average precision of small objects.
    pub ap_small: f64,
    /// Average precision of medium objects.
    pub ap_medium: f64,
    /// Average precision of large objects.
    pub ap_large: f64,
    /// Average recall at the first cap (COCO: 1 detection).
    pub ar1: f64,
    /// Average recall at the second cap (COCO: 10 detections).
    pub ar10: f64,
    /// Average recall at the third cap (COCO: 100 detections).
    pub ar100: f64,
    /// Average recall of small objects.
    pub ar_small: f64,
    /// Average recall of medium objects.
    pub ar_medium: f64,
    /// Average recall of large objects.
    pub ar_large: f64,
}

impl Summary {
    /// Names of the figures, in the order of [`to_array`](Self::to_array).
    pub const NAMES: [&'static str; 12] =
        ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"];

    /// The figures in pycocotools' order.
    #[must_use]
    pub fn to_array(&self) -> [f64; 12] {
        [
            self.ap,
            self.ap50,
            self.ap75,
            self.ap_small,
            self.ap_medium,
            self.ap_large,
            self.ar1,
            self.ar10,
            self.ar100,
            self.ar_small,
            self.ar_medium,
            self.ar_large,
        ]
    }
}

impl fmt::Display for Summary {
    /// One figure a line, three decimals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in Self::NAMES.iter().zip(self.to_array()) {
            writeln!(f, "{name:<5} {value:6.3}")?;
        }
        Ok(())
    }
}

impl Evaluation {
    /// The twelve figures.
    ///
    /// # Errors
    ///
    /// Fewer than three caps on the detections (quirk `three-caps`); more are allowed, and the fourth and
    /// later unused.
    pub fn summarize(&self) -> Result<Summary, Error> {
        let caps = &self.params().max_detections;
        let &[first, second, third, ..] = caps.as_slice() else {
            return Err(Error::TooFewCaps { found: caps.len() });
        };
        let at = |max_detections| Selection { max_detections, ..Selection::default() };
        let at_iou = |iou| self.mean_precision(&Selection { iou_threshold: Some(iou), ..at(third) });
        let area = |area_range| Selection { area_range, ..at(third) };
        Ok(Summary {
            ap: self.mean_precision(&at(AP_CAP)),
            ap50: at_iou(0.5),
            ap75: at_iou(0.75),
            ap_small: self.mean_precision(&area("small")),
            ap_medium: self.mean_precision(&area("medium")),
            ap_large: self.mean_precision(&area("large")),
            ar1: self.mean_recall(&at(first)),
            ar10: self.mean_recall(&at(second)),
            ar100: self.mean_recall(&at(third)),
            ar_small: self.mean_recall(&area("small")),
            ar_medium: self.mean_recall(&area("medium")),
            ar_large: self.mean_recall(&area("large")),
        })
    }
}
