//! Figures of an evaluation as text: the lines that pycocotools prints, and a table of categories.

use crate::annotations::{Annotations, category_label};
use coco_eval::{AreaRange, CategoryFigures, Evaluation, Selection, Summary};
use std::fmt::Write;

/// The cap that pycocotools names in its first line, whatever the caps are.
const FIRST_CAP: usize = 100;
/// Names of COCO's area ranges, which the twelve figures tell of.
const COCO_AREAS: [&str; 4] = ["all", "small", "medium", "large"];

/// What a line says its figure is a mean of.
#[derive(Clone, Copy)]
enum Quantity {
    Precision,
    Recall,
}

/// The twelve figures in pycocotools' words, then a line of precision and one of recall for each further area range.
#[must_use]
pub fn lines(evaluation: &Evaluation, summary: &Summary) -> Vec<String> {
    use Quantity::{Precision, Recall};
    let params = evaluation.params();
    let caps = &params.max_detections;
    let cap = |at: usize| caps.get(at).copied().unwrap_or_default();
    let (first, last) = (params.iou_thresholds.first(), params.iou_thresholds.last());
    let all = first.zip(last).map_or_else(String::new, |(first, last)| format!("{first:.2}:{last:.2}"));
    let of_areas = |quantity| COCO_AREAS[1..].iter().map(move |area| (quantity, None, *area, cap(2)));
    let rows = [
        (Precision, None, "all", FIRST_CAP),
        (Precision, Some("0.50"), "all", cap(2)),
        (Precision, Some("0.75"), "all", cap(2)),
    ];
    let recalls = (0..3).map(|at| (Recall, None, "all", cap(at)));
    let rows = rows.into_iter().chain(of_areas(Precision)).chain(recalls).chain(of_areas(Recall));
    let named = rows.zip(summary.to_array());
    let mut lines: Vec<String> = named
        .map(|((quantity, iou, area, cap), value)| line(quantity, iou.unwrap_or(&all), area, cap, value))
        .collect();
    for range in further_areas(evaluation) {
        let [precision, recall] = area_figures(evaluation, &range.name);
        lines.push(line(Precision, &all, &range.name, cap(2), precision));
        lines.push(line(Recall, &all, &range.name, cap(2), recall));
    }
    lines
}

fn line(quantity: Quantity, iou: &str, area: &str, cap: usize, value: f64) -> String {
    let (title, short) = match quantity {
        Quantity::Precision => ("Average Precision", "(AP)"),
        Quantity::Recall => ("Average Recall", "(AR)"),
    };
    format!(" {title:<18} {short} @[ IoU={iou:<9} | area={area:>6} | maxDets={cap:>3} ] = {value:.3}")
}

/// Area ranges beside COCO's four.
pub fn further_areas(evaluation: &Evaluation) -> impl Iterator<Item = &AreaRange> {
    evaluation.params().area_ranges.iter().filter(|range| !COCO_AREAS.contains(&range.name.as_str()))
}

/// Average precision and recall of an area range at the third cap.
#[must_use]
pub fn area_figures(evaluation: &Evaluation, area_range: &str) -> [f64; 2] {
    let max_detections = evaluation.params().max_detections.get(2).copied().unwrap_or_default();
    let selection = Selection { area_range, max_detections, ..Selection::default() };
    [evaluation.mean_precision(&selection), evaluation.mean_recall(&selection)]
}

/// The order of categories in a table.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub enum CategoryOrder {
    /// By ascending id
    #[default]
    Id,
    /// By falling AP, categories without one last
    Ap,
}

/// Figures of all categories in an order.
#[must_use]
pub fn categories(evaluation: &Evaluation, order: CategoryOrder) -> Vec<CategoryFigures> {
    let mut rows = evaluation.per_category();
    if matches!(order, CategoryOrder::Ap) {
        rows.sort_by(|a, b| b.ap.total_cmp(&a.ap));
    }
    rows
}

/// A table with a row per category.
#[must_use]
pub fn category_table(rows: &[CategoryFigures], annotations: Option<&Annotations>) -> String {
    let mut table = format!(
        "{:<20} {:>8} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}",
        "category", "objects", "AP", "AP50", "AP75", "APs", "APm", "APl", "AR"
    );
    for row in rows {
        let _ = write!(table, "\n{:<20} {:>8}", category_label(annotations, row.category_id), row.positives);
        for value in [row.ap, row.ap50, row.ap75, row.ap_small, row.ap_medium, row.ap_large, row.ar] {
            let _ = write!(table, " {:>7}", decimals(value));
        }
    }
    table
}

/// Four decimals, or `-` for a figure that is undefined.
#[must_use]
pub fn decimals(value: f64) -> String {
    if value > -1.0 { format!("{value:.4}") } else { "-".to_owned() }
}
