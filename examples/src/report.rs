//! What `evaluate --json` prints.

use crate::annotations::{Annotations, category_label};
use crate::figures::{area_figures, further_areas};
use crate::output::sha256_numbers;
use coco_eval::{
    CategoryFigures, ConfusionMatrix, ConfusionParams, EvalParams, Evaluation, Summary, TideFigure, TideKind,
    TideReport,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// An evaluation with everything that was asked for.
#[derive(Serialize)]
pub struct Report {
    /// This program.
    pub tool: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The twelve figures; -1 where there is nothing to measure.
    pub stats: [f64; 12],
    /// All numbers behind them.
    pub arrays: Arrays,
    /// Images looked at.
    pub images: usize,
    /// Objects that count, of any size.
    pub objects: u64,
    /// Rows of the results file; absent where outcomes were merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detections: Option<usize>,
    /// Figures of area ranges beside COCO's four.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub areas: Vec<AreaRow>,
    /// Figures of each category.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_category: Option<Vec<CategoryRow>>,
    /// What TIDE says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tide: Option<TideRows>,
    /// Which category is taken for which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confusion: Option<ConfusionRows>,
    /// The parameters as evaluated, but for the images.
    pub parameters: EvalParams,
}

impl Report {
    /// A report without what has to be asked for.
    #[must_use]
    pub fn new(evaluation: &Evaluation, summary: &Summary, detections: Option<usize>) -> Self {
        let params = evaluation.params();
        let areas = further_areas(evaluation).map(|range| {
            let [ap, ar] = area_figures(evaluation, &range.name);
            AreaRow { name: range.name.clone(), low: range.low, high: range.high, ap, ar }
        });
        Self {
            tool: "evaluate",
            version: env!("CARGO_PKG_VERSION"),
            stats: summary.to_array(),
            arrays: Arrays::new(evaluation),
            images: params.image_ids.as_ref().map_or(0, Vec::len),
            objects: evaluation.per_category().iter().map(|row| row.positives).sum(),
            detections,
            areas: areas.collect(),
            per_category: None,
            tide: None,
            confusion: None,
            parameters: EvalParams { image_ids: None, ..params.clone() },
        }
    }
}

/// Hashes of the arrays of an evaluation.
#[derive(Serialize)]
pub struct Arrays {
    precision: Array,
    recall: Array,
    scores: Array,
}

/// One array: its sizes, and the SHA-256 of its numbers as little-endian f64 in C order.
#[derive(Serialize)]
struct Array {
    shape: Vec<usize>,
    sha256: String,
}

impl Arrays {
    fn new(evaluation: &Evaluation) -> Self {
        let shape = evaluation.shape();
        let columns = [shape.categories, shape.area_ranges, shape.max_detections];
        let array = |rows: &[usize], numbers: &[f64]| Array {
            shape: rows.iter().chain(&columns).copied().collect(),
            sha256: sha256_numbers(numbers),
        };
        let curves = [shape.iou_thresholds, shape.recall_thresholds];
        Self {
            precision: array(&curves, evaluation.precision()),
            recall: array(&curves[..1], evaluation.recall()),
            scores: array(&curves, evaluation.scores()),
        }
    }
}

/// Figures of an area range.
#[derive(Serialize)]
pub struct AreaRow {
    name: String,
    low: f64,
    high: f64,
    ap: f64,
    ar: f64,
}

/// Figures of a category, with its name.
#[derive(Serialize)]
pub struct CategoryRow {
    name: String,
    #[serde(flatten)]
    figures: CategoryFigures,
}

impl CategoryRow {
    /// The figures with a name from the annotations, where there are any.
    #[must_use]
    pub fn new(figures: &CategoryFigures, annotations: Option<&Annotations>) -> Self {
        Self { name: category_label(annotations, figures.category_id), figures: *figures }
    }
}

/// How many errors there are and what they cost.
#[derive(Serialize)]
struct TideRow {
    count: u64,
    importance: f64,
}

impl From<TideFigure> for TideRow {
    fn from(figure: TideFigure) -> Self {
        Self { count: figure.count, importance: figure.importance }
    }
}

/// TIDE's figures over all categories.
#[derive(Serialize)]
pub struct TideRows {
    positive_iou: f64,
    ap: f64,
    errors: BTreeMap<&'static str, TideRow>,
    false_positives: TideRow,
    false_negatives: TideRow,
}

impl From<&TideReport> for TideRows {
    fn from(report: &TideReport) -> Self {
        let row = |kind: TideKind| (kind.short_name(), report.figures.of(kind).into());
        Self {
            positive_iou: report.positive_iou,
            ap: report.ap,
            errors: TideKind::ALL.into_iter().map(row).collect(),
            false_positives: report.figures.false_positives.into(),
            false_negatives: report.figures.false_negatives.into(),
        }
    }
}

/// A confusion matrix in short: the file has all of it.
#[derive(Serialize)]
pub struct ConfusionRows {
    iou: f64,
    score: f64,
    categories: Vec<ConfusionRow>,
}

#[derive(Serialize)]
struct ConfusionRow {
    category_id: i64,
    objects: u64,
    predicted: u64,
    correct: u64,
    precision: Option<f64>,
    recall: Option<f64>,
}

impl ConfusionRows {
    /// Sums of the categories of a matrix that was made with `params`.
    #[must_use]
    pub fn new(matrix: &ConfusionMatrix, params: &ConfusionParams) -> Self {
        let row = |figures: coco_eval::ConfusionFigures| ConfusionRow {
            category_id: figures.category_id,
            objects: figures.truths,
            predicted: figures.predicted,
            correct: figures.correct,
            precision: figures.precision,
            recall: figures.recall,
        };
        let categories = matrix.per_category().into_iter().map(row).collect();
        Self { iou: params.iou, score: params.score, categories }
    }
}
