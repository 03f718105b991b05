//! The arrays that an evaluation gives, and means over parts of them.

use serde::Serialize;

use crate::curve::Curve;
use crate::mean::mean_of_defined;
use crate::params::EvalParams;

/// Sizes of the arrays' dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// T, IoU thresholds.
    pub iou_thresholds: usize,
    /// R, recall thresholds.
    pub recall_thresholds: usize,
    /// K, categories; 1 for a class-agnostic evaluation.
    pub categories: usize,
    /// A, area ranges.
    pub area_ranges: usize,
    /// M, caps on the detections.
    pub max_detections: usize,
}

impl Shape {
    /// Position in an array `[T, K, A, M]`.
    fn recall_index(&self, t: usize, k: usize, a: usize, m: usize) -> usize {
        ((t * self.categories + k) * self.area_ranges + a) * self.max_detections + m
    }

    /// Position in an array `[T, R, K, A, M]`.
    fn precision_index(&self, t: usize, r: usize, k: usize, a: usize, m: usize) -> usize {
        self.recall_index(t * self.recall_thresholds + r, k, a, m)
    }
}

/// Which entries a mean is taken over.
///
/// The default is the first of the twelve figures: all thresholds and categories, the area range `all`, 100
/// detections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Selection<'a> {
    /// One IoU threshold, compared for equality, or all.
    pub iou_threshold: Option<f64>,
    /// One category, or all.
    pub category_id: Option<i64>,
    /// Name of an area range.
    pub area_range: &'a str,
    /// A cap on the detections, as in [`EvalParams::max_detections`].
    pub max_detections: usize,
}

impl Default for Selection<'_> {
    fn default() -> Self {
        Self { iou_threshold: None, category_id: None, area_range: "all", max_detections: 100 }
    }
}

/// Figures of one category at the largest cap; -1 where there is nothing to find.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CategoryFigures {
    /// The category, `None` for the pool of a class-agnostic evaluation.
    pub category_id: Option<i64>,
    /// Ground truths that count in the first area range.
    pub positives: u64,
    /// Average precision over all IoU thresholds, area range `all`.
    pub ap: f64,
    /// Average precision at IoU 0.5.
    pub ap50: f64,
    /// Average precision at IoU 0.75.
    pub ap75: f64,
    /// Average precision, area range `small`.
    pub ap_small: f64,
    /// Average precision, area range `medium`.
    pub ap_medium: f64,
    /// Average precision, area range `large`.
    pub ap_large: f64,
    /// Average recall over all IoU thresholds, area range `all`.
    pub ar: f64,
}

/// Precision, recall and scores at every threshold, category, area range and cap.
///
/// Arrays are f64 in C order; an entry is -1 where a category has no ground truth that counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    params: EvalParams,
    category_ids: Vec<i64>,
    shape: Shape,
    precision: Vec<f64>,
    scores: Vec<f64>,
    recall: Vec<f64>,
    positives: Vec<u64>,
}

impl Evaluation {
    /// All entries -1, no positives.
    pub(crate) fn undefined(params: EvalParams, category_ids: Vec<i64>, categories: usize) -> Self {
        let shape = Shape {
            iou_thresholds: params.iou_thresholds.len(),
            recall_thresholds: params.recall_thresholds.len(),
            categories,
            area_ranges: params.area_ranges.len(),
            max_detections: params.max_detections.len(),
        };
        let recall_len = shape.recall_index(shape.iou_thresholds, 0, 0, 0);
        let precision_len = shape.precision_index(shape.iou_thresholds, 0, 0, 0, 0);
        Self {
            params,
            category_ids,
            shape,
            precision: vec![-1.0; precision_len],
            scores: vec![-1.0; precision_len],
            recall: vec![-1.0; recall_len],
            positives: vec![0; categories * shape.area_ranges],
        }
    }

    pub(crate) fn set_category(&mut self, k: usize, curves: &CategoryCurves) {
        let Shape { iou_thresholds, recall_thresholds, area_ranges, .. } = self.shape;
        self.positives[k * area_ranges..(k + 1) * area_ranges].copy_from_slice(&curves.positives);
        let block = curves.block;
        for t in 0..iou_thresholds {
            let at = self.shape.recall_index(t, k, 0, 0);
            self.recall[at..at + block].copy_from_slice(&curves.recall[t * block..(t + 1) * block]);
            for r in 0..recall_thresholds {
                let from = (t * recall_thresholds + r) * block;
                let at = self.shape.precision_index(t, r, k, 0, 0);
                self.precision[at..at + block].copy_from_slice(&curves.precision[from..from + block]);
                self.scores[at..at + block].copy_from_slice(&curves.scores[from..from + block]);
            }
        }
    }

    /// The parameters as evaluated: caps ascending, images and categories listed.
    #[must_use]
    pub fn params(&self) -> &EvalParams {
        &self.params
    }

    /// Ids along dimension K; empty for a class-agnostic evaluation, whose K is 1.
    #[must_use]
    pub fn category_ids(&self) -> &[i64] {
        &self.category_ids
    }

    /// Sizes of the dimensions.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Interpolated precision, `[T, R, K, A, M]`.
    #[must_use]
    pub fn precision(&self) -> &[f64] {
        &self.precision
    }

    /// Score of the first detection to reach each recall threshold, `[T, R, K, A, M]`.
    #[must_use]
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// Recall of the whole ranking, `[T, K, A, M]`.
    #[must_use]
    pub fn recall(&self) -> &[f64] {
        &self.recall
    }

    /// Ground truths that count, `[K, A]`.
    #[must_use]
    pub fn positives(&self) -> &[u64] {
        &self.positives
    }

    /// Mean of the defined precisions in a selection; -1 when it holds none, or names what was not evaluated.
    #[must_use]
    pub fn mean_precision(&self, selection: &Selection<'_>) -> f64 {
        self.mean(selection, &self.precision, self.shape.recall_thresholds)
    }

    /// Mean of the defined recalls in a selection; -1 when it holds none, or names what was not evaluated.
    #[must_use]
    pub fn mean_recall(&self, selection: &Selection<'_>) -> f64 {
        self.mean(selection, &self.recall, 1)
    }

    /// Mean of the defined precisions in a selection at each recall threshold: its precision-recall curve;
    /// -1 when it holds none, or names what was not evaluated.
    #[must_use]
    pub fn precision_curve(&self, selection: &Selection<'_>) -> Vec<f64> {
        self.curve(selection, &self.precision)
    }

    /// Mean score in a selection at each recall threshold. For one category and IoU threshold it is the
    /// score at which a detector has to be cut to reach that recall, 0 where it never does.
    #[must_use]
    pub fn score_curve(&self, selection: &Selection<'_>) -> Vec<f64> {
        self.curve(selection, &self.scores)
    }

    fn curve(&self, selection: &Selection<'_>, values: &[f64]) -> Vec<f64> {
        let steps = self.shape.recall_thresholds;
        let thresholds = self.selected_thresholds(selection);
        let columns = self.selected_columns(selection);
        let at = |r| {
            let rows = thresholds.iter().map(move |t| t * steps + r);
            mean_of_defined(&self.entries(values, rows, &columns))
        };
        (0..steps).map(at).collect()
    }

    /// Mean over `values[T, steps, K, A, M]`, entries in that order.
    fn mean(&self, selection: &Selection<'_>, values: &[f64], steps: usize) -> f64 {
        let thresholds = self.selected_thresholds(selection);
        let rows = thresholds.iter().flat_map(|t| t * steps..(t + 1) * steps);
        mean_of_defined(&self.entries(values, rows, &self.selected_columns(selection)))
    }

    fn selected_thresholds(&self, selection: &Selection<'_>) -> Vec<usize> {
        let wanted = |&t: &f64| selection.iou_threshold.is_none_or(|wanted| wanted == t);
        positions(&self.params.iou_thresholds, wanted)
    }

    /// Positions along the last three dimensions, `[K, A, M]`.
    fn selected_columns(&self, selection: &Selection<'_>) -> Vec<usize> {
        let categories: Vec<usize> = match selection.category_id {
            None => (0..self.shape.categories).collect(),
            Some(id) => positions(&self.category_ids, |&other| other == id),
        };
        let areas = &positions(&self.params.area_ranges, |range| range.name == selection.area_range);
        let caps = &positions(&self.params.max_detections, |&cap| cap == selection.max_detections);
        let index = |(k, a, m)| self.shape.recall_index(0, k, a, m);
        let of_category = |&k: &usize| areas.iter().flat_map(move |&a| caps.iter().map(move |&m| (k, a, m)));
        categories.iter().flat_map(of_category).map(index).collect()
    }

    /// Entries of `values[rows, K, A, M]`.
    fn entries(&self, values: &[f64], rows: impl Iterator<Item = usize>, columns: &[usize]) -> Vec<f64> {
        let length = self.shape.recall_index(1, 0, 0, 0);
        let mut entries = Vec::new();
        for row in rows {
            let values = &values[row * length..(row + 1) * length];
            entries.extend(columns.iter().map(|&column| values[column]));
        }
        entries
    }

    /// One row of figures per category, in the order of dimension K.
    #[must_use]
    pub fn per_category(&self) -> Vec<CategoryFigures> {
        (0..self.shape.categories).map(|k| self.category_figures(k)).collect()
    }

    fn category_figures(&self, k: usize) -> CategoryFigures {
        let category_id = self.category_ids.get(k).copied();
        let max_detections = self.params.max_detections.last().map_or(0, |&cap| cap);
        let all = Selection { category_id, max_detections, ..Selection::default() };
        let at_iou = |iou| self.mean_precision(&Selection { iou_threshold: Some(iou), ..all });
        let of_area = |area_range| self.mean_precision(&Selection { area_range, ..all });
        CategoryFigures {
            category_id,
            positives: self.positives[k * self.shape.area_ranges],
            ap: self.mean_precision(&all),
            ap50: at_iou(0.5),
            ap75: at_iou(0.75),
            ap_small: of_area("small"),
            ap_medium: of_area("medium"),
            ap_large: of_area("large"),
            ar: self.mean_recall(&all),
        }
    }
}

/// The part of an [`Evaluation`] that belongs to one category: precision and scores `[T, R, A, M]`, recall
/// `[T, A, M]`, positives `[A]`.
pub(crate) struct CategoryCurves {
    pub(crate) positives: Vec<u64>,
    precision: Vec<f64>,
    scores: Vec<f64>,
    recall: Vec<f64>,
    recall_thresholds: usize,
    caps: usize,
    /// A times M.
    block: usize,
}

impl CategoryCurves {
    /// All entries -1, no positives.
    pub(crate) fn undefined(params: &EvalParams) -> Self {
        let caps = params.max_detections.len();
        let block = params.area_ranges.len() * caps;
        let recalls = params.iou_thresholds.len() * block;
        let recall_thresholds = params.recall_thresholds.len();
        Self {
            positives: vec![0; params.area_ranges.len()],
            precision: vec![-1.0; recalls * recall_thresholds],
            scores: vec![-1.0; recalls * recall_thresholds],
            recall: vec![-1.0; recalls],
            recall_thresholds,
            caps,
            block,
        }
    }

    pub(crate) fn set(&mut self, t: usize, area: usize, m: usize, curve: &Curve) {
        let at = area * self.caps + m;
        self.recall[t * self.block + at] = curve.recall;
        for (r, (&precision, &score)) in curve.precision.iter().zip(&curve.scores).enumerate() {
            let at = (t * self.recall_thresholds + r) * self.block + at;
            self.precision[at] = precision;
            self.scores[at] = score;
        }
    }
}

fn positions<T>(values: &[T], wanted: impl Fn(&T) -> bool) -> Vec<usize> {
    values.iter().enumerate().filter(|(_, value)| wanted(value)).map(|(i, _)| i).collect()
}
