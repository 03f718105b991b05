//! The twelve COCO figures.

use std::fmt;

use serde::Serialize;

use crate::error::Error;
use crate::evaluation::{Evaluation, Selection};

/// The first figure is asked for at this cap, whatever the caps are (quirk `ap-cap-is-100`).
const AP_CAP: usize = 100;

/// The twelve COCO figures, each in [0, 1], or -1 when undefined.
///
/// Averages run over the IoU thresholds and categories; "small", "medium" and "large" are area ranges by
/// name. All but the first three recalls and the first precision use the third cap.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
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

    /// Figures from pycocotools' order.
    pub(crate) fn from_array(figures: [f64; 12]) -> Self {
        let [ap, ap50, ap75, ap_small, ap_medium, ap_large, ar1, ar10, ar100, ar_small, ar_medium, ar_large] =
            figures;
        Self {
            ap,
            ap50,
            ap75,
            ap_small,
            ap_medium,
            ap_large,
            ar1,
            ar10,
            ar100,
            ar_small,
            ar_medium,
            ar_large,
        }
    }

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

/// What a figure is a mean of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantity {
    /// Interpolated precision.
    Precision,
    /// Recall of the whole ranking.
    Recall,
}

/// The twelve figures as selections.
///
/// # Errors
///
/// Fewer than three caps on the detections (quirk `three-caps`); more are allowed, and the fourth and
/// later unused.
pub(crate) fn figures(caps: &[usize]) -> Result<[(Quantity, Selection<'static>); 12], Error> {
    use Quantity::{Precision, Recall};
    let &[first, second, third, ..] = caps else {
        return Err(Error::TooFewCaps { found: caps.len() });
    };
    let at = |max_detections| Selection { max_detections, ..Selection::default() };
    let at_iou = |iou| Selection { iou_threshold: Some(iou), ..at(third) };
    let area = |area_range| Selection { area_range, ..at(third) };
    Ok([
        (Precision, at(AP_CAP)),
        (Precision, at_iou(0.5)),
        (Precision, at_iou(0.75)),
        (Precision, area("small")),
        (Precision, area("medium")),
        (Precision, area("large")),
        (Recall, at(first)),
        (Recall, at(second)),
        (Recall, at(third)),
        (Recall, area("small")),
        (Recall, area("medium")),
        (Recall, area("large")),
    ])
}

impl Evaluation {
    /// The twelve figures.
    ///
    /// # Errors
    ///
    /// Fewer than three caps on the detections.
    pub fn summarize(&self) -> Result<Summary, Error> {
        let figures = figures(&self.params().max_detections)?;
        Ok(Summary::from_array(figures.map(|(quantity, selection)| match quantity {
            Quantity::Precision => self.mean_precision(&selection),
            Quantity::Recall => self.mean_recall(&selection),
        })))
    }
}
