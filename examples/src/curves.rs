//! Precision-recall curves of an evaluation as files.

use crate::annotations::{Annotations, category_label};
use crate::csv;
use crate::drawing::DrawingFile;
use crate::error::{Error, Result};
use crate::plot::{Line, LinePlot};
use coco_eval::{Evaluation, Selection, Summary};
use std::fmt::Write;
use std::path::Path;

/// Kind of file for curves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CurveFile {
    /// Comma-separated values.
    Csv,
    /// A drawing.
    Drawing(DrawingFile),
}

impl CurveFile {
    /// The kind that a path's extension asks for.
    ///
    /// # Errors
    /// [`Error::Argument`] for another extension.
    pub fn of(path: &Path) -> Result<Self> {
        let is_csv = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("csv"));
        let kind = if is_csv { Some(Self::Csv) } else { DrawingFile::of(path).map(Self::Drawing) };
        kind.ok_or_else(|| Error::Argument {
            option: "--pr-curve",
            value: path.display().to_string(),
            expected: "the name must end in .csv, .svg or .png",
        })
    }
}

/// The selection of the curve at one IoU threshold: all areas, the largest cap.
fn at(evaluation: &Evaluation, iou_threshold: f64, category_id: Option<i64>) -> Selection<'static> {
    let max_detections = evaluation.params().max_detections.last().copied().unwrap_or_default();
    Selection { iou_threshold: Some(iou_threshold), category_id, max_detections, ..Selection::default() }
}

/// A row per recall threshold, a column per IoU threshold: precision, mean over the categories; -1 where none has an object.
#[must_use]
pub fn mean_csv(evaluation: &Evaluation) -> String {
    let params = evaluation.params();
    let of_threshold = |&iou: &f64| evaluation.precision_curve(&at(evaluation, iou, None));
    let curves: Vec<Vec<f64>> = params.iou_thresholds.iter().map(of_threshold).collect();
    let mut text = "recall".to_owned();
    for &iou in &params.iou_thresholds {
        let _ = write!(text, ",iou_{}", threshold_label(iou));
    }
    for (r, recall) in params.recall_thresholds.iter().enumerate() {
        let _ = write!(text, "\n{recall}");
        curves.iter().for_each(|curve| _ = write!(text, ",{}", curve[r]));
    }
    text.push('\n');
    text
}

/// A row per category with objects, IoU threshold and recall threshold: precision, and the score at which to cut for that recall.
#[must_use]
pub fn category_csv(evaluation: &Evaluation, annotations: Option<&Annotations>) -> String {
    let params = evaluation.params();
    let mut text = "category_id,category,iou_threshold,recall,precision,score\n".to_owned();
    for figures in evaluation.per_category().iter().filter(|figures| figures.positives > 0) {
        let name = csv::field(&category_label(annotations, figures.category_id));
        let id = csv::optional(figures.category_id);
        for &iou in &params.iou_thresholds {
            let selection = at(evaluation, iou, figures.category_id);
            let scores = evaluation.score_curve(&selection);
            let curve = evaluation.precision_curve(&selection).into_iter().zip(scores);
            for (recall, (precision, score)) in params.recall_thresholds.iter().zip(curve) {
                let _ = writeln!(text, "{id},{name},{},{recall},{precision},{score}", threshold_label(iou));
            }
        }
    }
    text
}

/// A drawing with a line per IoU threshold: precision, mean over the categories.
#[must_use]
pub fn drawing(evaluation: &Evaluation, summary: &Summary) -> LinePlot {
    let params = evaluation.params();
    let line = |&iou: &f64| {
        let precision = evaluation.precision_curve(&at(evaluation, iou, None));
        let points = params.recall_thresholds.iter().copied().zip(precision);
        Line {
            label: format!("IoU {}", threshold_label(iou)),
            points: points.filter(|p| p.1 >= 0.0).collect(),
        }
    };
    let lines: Vec<Line> = params.iou_thresholds.iter().map(line).collect();
    let title = match summary.ap {
        ap if ap > -1.0 => format!("Precision and recall, AP {ap:.4}"),
        _ => "Precision and recall".to_owned(),
    };
    LinePlot { title, axes: ["recall", "precision"], end: 1.0, lines }
}

/// Two decimals, up to four where they differ: COCO's ninth threshold, 0.8999999999999999, is 0.90.
fn threshold_label(iou: f64) -> String {
    let long = format!("{iou:.4}");
    let short = long.trim_end_matches('0');
    if short.len() < 4 { format!("{iou:.2}") } else { short.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_named_as_people_write_them() {
        let rows =
            [(0.5, "0.50"), (0.8999999999999999, "0.90"), (0.625, "0.625"), (1.0, "1.00"), (0.0, "0.00")];
        let wrong: Vec<_> = rows.iter().filter(|(iou, label)| threshold_label(*iou) != *label).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
