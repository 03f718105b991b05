//! What to evaluate: thresholds, recall grid, area ranges, caps, subsets.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::policy::IdZero;

/// Most entries of the array of precisions: 2 GiB.
pub(crate) const MAX_ENTRIES: u128 = 1 << 28;

/// Most area ranges of one evaluation.
pub(crate) const MAX_AREA_RANGES: usize = 32;

/// A range of areas in square pixels, closed at both ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AreaRange {
    /// Label by which figures are looked up; the twelve figures use `all`, `small`, `medium` and `large`.
    pub name: String,
    /// Smallest area inside, square pixels; finite.
    pub low: f64,
    /// Largest area inside, square pixels; finite ([`f64::MAX`] for no limit).
    pub high: f64,
}

impl AreaRange {
    /// A named range.
    #[must_use]
    pub fn new(name: &str, low: f64, high: f64) -> Self {
        Self { name: name.to_owned(), low, high }
    }

    /// Whether `low <= area <= high`; an area on a border lies in both neighbours (quirk `area-ends-closed`).
    #[must_use]
    pub fn contains(&self, area: f64) -> bool {
        self.low <= area && area <= self.high
    }
}

/// Whether categories are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Pooling {
    /// A detection matches ground truths of its own category only.
    #[default]
    PerCategory,
    /// Class-agnostic: all selected categories are one, named by no id (`useCats = 0` in pycocotools).
    ClassAgnostic,
}

/// Parameters of an evaluation. The default is COCO's for boxes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalParams {
    /// IoU thresholds in [0, 1]; dimension T.
    pub iou_thresholds: Vec<f64>,
    /// Ascending recall thresholds in [0, 1]; dimension R.
    pub recall_thresholds: Vec<f64>,
    /// Area ranges with names of their own; dimension A.
    pub area_ranges: Vec<AreaRange>,
    /// Caps on the detections per image *and category*, by score; dimension M. Evaluated in ascending order.
    pub max_detections: Vec<usize>,
    /// Categories told apart or pooled.
    pub pooling: Pooling,
    /// Images to look at, in any order, repeats allowed; `None` for all of the ground truth's.
    pub image_ids: Option<Vec<i64>>,
    /// Categories to look at, repeats allowed; `None` for all of the ground truth's. The order given
    /// counts only under [`Pooling::ClassAgnostic`], where it orders the boxes of an image before sorting
    /// by score.
    pub category_ids: Option<Vec<i64>>,
    /// Treatment of ground truths whose id is 0.
    pub id_zero: IdZero,
}

impl Default for EvalParams {
    fn default() -> Self {
        Self {
            iou_thresholds: linspace(0.5, 0.95, 10),
            recall_thresholds: linspace(0.0, 1.0, 101),
            area_ranges: coco_area_ranges(),
            max_detections: vec![1, 10, 100],
            pooling: Pooling::PerCategory,
            image_ids: None,
            category_ids: None,
            id_zero: IdZero::CountsAsUnmatched,
        }
    }
}

/// COCO's four ranges, square pixels: all [0, 1e10], small [0, 32²], medium [32², 96²], large [96², 1e10].
#[must_use]
pub fn coco_area_ranges() -> Vec<AreaRange> {
    vec![
        AreaRange::new("all", 0.0, 1e10),
        AreaRange::new("small", 0.0, 1024.0),
        AreaRange::new("medium", 1024.0, 9216.0),
        AreaRange::new("large", 9216.0, 1e10),
    ]
}

/// `count` evenly spaced numbers with numpy's rounding: `i * ((end - start) / (count - 1)) + start`, the
/// last set to `end` (quirk `linspace-bits`).
///
/// COCO's grids carry these bits: IoU threshold 8 is 0.8999999999999999, and ten recall thresholds lie
/// one ulp above the decimal hundredths.
#[must_use]
pub fn linspace(start: f64, end: f64, count: usize) -> Vec<f64> {
    let step = (end - start) / (count.max(2) - 1) as f64;
    let mut values: Vec<f64> = (0..count).map(|i| i as f64 * step + start).collect();
    if let (true, Some(last)) = (count > 1, values.last_mut()) {
        *last = end;
    }
    values
}

impl EvalParams {
    /// Checks every list and sorts the caps (quirk `caps-sorted`).
    pub(crate) fn normalised(&self) -> Result<Self, Error> {
        check_thresholds("iou_thresholds", &self.iou_thresholds)?;
        check_thresholds("recall_thresholds", &self.recall_thresholds)?;
        check_ascending(&self.recall_thresholds)?;
        check_ranges(&self.area_ranges)?;
        if self.max_detections.is_empty() {
            return Err(Error::EmptyParameter { parameter: "max_detections" });
        }
        let mut params = self.clone();
        params.max_detections.sort_unstable();
        Ok(params)
    }

    /// Refuses arrays for `categories` categories that no memory would hold.
    pub(crate) fn check_entries(&self, categories: usize) -> Result<(), Error> {
        let sizes = [
            self.iou_thresholds.len(),
            self.recall_thresholds.len(),
            self.area_ranges.len(),
            self.max_detections.len(),
            categories,
        ];
        let entries = sizes.iter().fold(1_u128, |product, &size| product.saturating_mul(size as u128));
        if entries > MAX_ENTRIES { Err(Error::TooManyEntries { entries }) } else { Ok(()) }
    }
}

fn check_thresholds(parameter: &'static str, values: &[f64]) -> Result<(), Error> {
    if values.is_empty() {
        return Err(Error::EmptyParameter { parameter });
    }
    match values.iter().find(|value| !(0.0..=1.0).contains(*value)) {
        Some(&value) => Err(Error::ThresholdOutOfRange { parameter, value }),
        None => Ok(()),
    }
}

fn check_ascending(values: &[f64]) -> Result<(), Error> {
    match values.windows(2).position(|pair| pair[1] < pair[0]) {
        Some(before) => Err(Error::DescendingRecall { index: before + 1, value: values[before + 1] }),
        None => Ok(()),
    }
}

fn check_ranges(ranges: &[AreaRange]) -> Result<(), Error> {
    if ranges.is_empty() {
        return Err(Error::EmptyParameter { parameter: "area_ranges" });
    }
    if ranges.len() > MAX_AREA_RANGES {
        return Err(Error::TooManyAreaRanges { found: ranges.len() });
    }
    for (i, range) in ranges.iter().enumerate() {
        let named_before = ranges[..i].iter().any(|other| other.name == range.name);
        let finite = range.low.is_finite() && range.high.is_finite();
        if named_before || !finite || range.low > range.high {
            let AreaRange { name, low, high } = range.clone();
            return Err(Error::BadAreaRange { name, low, high });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_have_numpys_bits() {
        let iou = linspace(0.5, 0.95, 10);
        let decimal = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.8999999999999999, 0.95];
        assert_eq!(iou, decimal);
        let recall = linspace(0.0, 1.0, 101);
        let off: Vec<usize> = (0..101).filter(|&i| recall[i] != i as f64 / 100.0).collect();
        assert_eq!(off, [35, 41, 47, 57, 69, 70, 82, 83, 94, 95]);
        assert!(off.iter().all(|&i| recall[i] == (i as f64 / 100.0).next_up()));
        assert_eq!((linspace(0.5, 1.0, 1), linspace(0.5, 1.0, 0)), (vec![0.5], vec![]));
    }

    #[test]
    fn faults_are_named() {
        type Change = fn(&mut EvalParams);
        let faulty = |change: Change| {
            let mut params = EvalParams::default();
            change(&mut params);
            params.normalised().unwrap_err().to_string()
        };
        let rows: [(Change, &str); 9] = [
            (|p| p.iou_thresholds.clear(), "`iou_thresholds` is empty"),
            (|p| p.iou_thresholds[2] = f64::NAN, "`iou_thresholds` holds NaN"),
            (|p| p.recall_thresholds[2] = 1.5, "`recall_thresholds` holds 1.5"),
            (|p| p.recall_thresholds[2] = 0.9, "at index 3"),
            (|p| p.area_ranges.clear(), "`area_ranges` is empty"),
            (|p| p.area_ranges[1].high = -1.0, "`small`"),
            (|p| p.area_ranges[1].high = f64::INFINITY, "finite"),
            (|p| p.area_ranges[1].name = "all".into(), "`all`"),
            (|p| p.max_detections.clear(), "`max_detections` is empty"),
        ];
        for (change, clause) in rows {
            let message = faulty(change);
            assert!(message.contains(clause), "{message} lacks {clause}");
        }
    }
}
