//! What `compare` finds: the verdict in words, and everything as JSON and CSV.

use crate::annotations::{Annotations, category_label};
use crate::csv;
use crate::error::Result;
use crate::output::sha256_file;
use coco_eval::{CategoryDifference, Comparison, FigureDifference, ImageInfluence, Interval, Verdict};
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A file that was read.
#[derive(Serialize)]
pub struct InputFile {
    /// Where it is.
    path: PathBuf,
    /// Its SHA-256.
    sha256: String,
}

impl InputFile {
    /// Hashes a file.
    ///
    /// # Errors
    /// Names the file.
    pub fn new(path: &Path) -> Result<Self> {
        Ok(Self { path: path.to_owned(), sha256: sha256_file(path)? })
    }
}

/// The files of a comparison.
#[derive(Serialize)]
pub struct Inputs {
    /// Annotations.
    pub annotations: InputFile,
    /// Results of the first detector.
    pub baseline: InputFile,
    /// Results of the second.
    pub candidate: InputFile,
}

/// A comparison with the names of what it tells of.
#[derive(Serialize)]
pub struct Report {
    /// This program.
    tool: &'static str,
    /// Its version.
    version: &'static str,
    /// Loss in AP that is accepted.
    tolerance: f64,
    /// Whether the loss stays within that.
    pub verdict: Verdict,
    /// The same in words.
    pub sentence: String,
    /// Images compared on.
    pub images: usize,
    /// Samples drawn.
    pub samples: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// Share of the samples that an interval holds.
    pub confidence: f64,
    /// The twelve figures.
    pub figures: Vec<FigureDifference>,
    /// The categories, those that add most to a loss first.
    pub categories: Vec<CategoryRow>,
    /// The images that add most to a loss, the worst first.
    pub worst_images: Vec<ImageRow>,
    /// The files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Inputs>,
}

/// A category's part in the difference.
#[derive(Serialize)]
pub struct CategoryRow {
    /// Its name, else its id.
    pub name: String,
    /// What it adds to the difference in AP, as a share of that; null without a difference.
    pub share: Option<f64>,
    /// Figures of both detectors.
    #[serde(flatten)]
    pub row: CategoryDifference,
}

/// An image's part in the difference.
#[derive(Serialize)]
pub struct ImageRow {
    /// Its file, where the annotations name one.
    pub file_name: Option<String>,
    /// Its id and influence.
    #[serde(flatten)]
    pub row: ImageInfluence,
}

impl Report {
    /// A comparison as users read it; `worst` are images by falling cost.
    #[must_use]
    pub fn new(
        comparison: Comparison,
        tolerance: f64,
        worst: &[ImageInfluence],
        annotations: &Annotations,
    ) -> Self {
        let verdict = comparison.verdict(tolerance);
        let Comparison { figures, categories, images, samples, seed, confidence, .. } = comparison;
        let total = figures.first().and_then(|figure| figure.difference);
        let image = |row: &ImageInfluence| ImageRow {
            file_name: annotations.image_name(row.image_id).map(str::to_owned),
            row: *row,
        };
        Self {
            tool: "compare",
            version: env!("CARGO_PKG_VERSION"),
            tolerance,
            verdict,
            sentence: figures.first().map_or_else(String::new, |ap| {
                sentence((ap.difference, ap.interval), verdict, tolerance, confidence)
            }),
            images,
            samples,
            seed,
            confidence,
            figures,
            categories: category_rows(categories, total, annotations),
            worst_images: worst.iter().map(image).collect(),
            inputs: None,
        }
    }

    /// Figures, categories and images as rows of one table.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut text =
            "kind,id,name,baseline,candidate,difference,low,high,standard_error,share_worse,contribution\n"
                .to_owned();
        for row in &self.figures {
            let FigureDifference { name, baseline, candidate, .. } = row;
            let [low, high] =
                row.interval.map_or([None; 2], |i| [Some(i.low), Some(i.high)]).map(csv::optional);
            let rest = [row.standard_error, row.share_worse].map(csv::optional).join(",");
            let difference = csv::optional(row.difference);
            _ = writeln!(text, "figure,,{name},{baseline},{candidate},{difference},{low},{high},{rest},");
        }
        for CategoryRow { name, row, .. } in &self.categories {
            let (id, name) = (csv::optional(row.category_id), csv::field(name));
            let (before, after) = (row.baseline.ap, row.candidate.ap);
            let [low, high] =
                row.interval.map_or([None; 2], |i| [Some(i.low), Some(i.high)]).map(csv::optional);
            let [difference, adds] = [row.difference, row.contribution].map(csv::optional);
            _ = writeln!(text, "category,{id},{name},{before},{after},{difference},{low},{high},,,{adds}");
        }
        for ImageRow { file_name, row } in &self.worst_images {
            let name = csv::field(file_name.as_deref().unwrap_or_default());
            _ = writeln!(text, "image,{},{name},,,,,,,,{}", row.image_id, row.influence);
        }
        text
    }
}

/// Categories by rising contribution; those without one last.
fn category_rows(
    mut rows: Vec<CategoryDifference>,
    total: Option<f64>,
    annotations: &Annotations,
) -> Vec<CategoryRow> {
    let key = |row: &CategoryDifference| row.contribution.unwrap_or(f64::INFINITY);
    rows.sort_by(|a, b| key(a).total_cmp(&key(b)));
    let named = |row: CategoryDifference| CategoryRow {
        name: category_label(Some(annotations), row.category_id),
        share: row.contribution.zip(total.filter(|total| *total != 0.0)).map(|(part, total)| part / total),
        row,
    };
    rows.into_iter().map(named).collect()
}

/// A verdict on the first figure in plain words.
fn sentence(
    (difference, interval): (Option<f64>, Option<Interval>),
    verdict: Verdict,
    tolerance: f64,
    confidence: f64,
) -> String {
    let Some((difference, interval)) = difference.zip(interval) else {
        return "undecided: AP or its interval is not defined on these images".to_owned();
    };
    if [difference, interval.low, interval.high] == [0.0; 3] {
        return format!("within the tolerance of {tolerance}: AP is the same in every sample");
    }
    let change =
        format!("the {} in AP is {:.4}", if difference < 0.0 { "loss" } else { "gain" }, difference.abs());
    let confidence = format!("with {} % confidence", percent(confidence));
    let bound = match interval.low {
        low if difference < 0.0 => format!(", at most {:.4}", (-low).max(0.0)),
        low if low >= 0.0 => format!(", at least {low:.4}"),
        low => format!("; a loss is at most {:.4}", -low),
    };
    match verdict {
        Verdict::Within => format!("within the tolerance of {tolerance}: {change}{bound} {confidence}"),
        Verdict::Beyond => {
            let least = -interval.high;
            format!("beyond the tolerance of {tolerance}: {change}, at least {least:.4} {confidence}")
        }
        _ => {
            let ends = format!("[{:+.4}, {:+.4}]", interval.low, interval.high);
            format!("undecided: the interval {ends} holds {}; more images would tell", 0.0 - tolerance)
        }
    }
}

/// A share in percent without trailing zeros.
#[must_use]
pub fn percent(share: f64) -> String {
    let text = format!("{:.3}", share * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_read_as_sentences() {
        let rows = [
            (
                [-0.0007, -0.0031, 0.0012],
                0.005,
                "within the tolerance of 0.005: the loss in AP is 0.0007, at most 0.0031",
            ),
            (
                [0.0001, -0.0031, 0.0012],
                0.005,
                "within the tolerance of 0.005: the gain in AP is 0.0001; a loss is at most 0.0031",
            ),
            (
                [0.01, 0.005, 0.015],
                0.0,
                "within the tolerance of 0: the gain in AP is 0.0100, at least 0.0050",
            ),
            ([0.0, 0.0, 0.0], 0.0, "within the tolerance of 0: AP is the same in every sample"),
            (
                [-0.03, -0.04, -0.02],
                0.005,
                "beyond the tolerance of 0.005: the loss in AP is 0.0300, at least 0.0200",
            ),
            (
                [-0.004, -0.008, 0.001],
                0.005,
                "undecided: the interval [-0.0080, +0.0010] holds -0.005; more images would tell",
            ),
            (
                [-0.001, -0.002, 0.001],
                0.0,
                "undecided: the interval [-0.0020, +0.0010] holds 0; more images would tell",
            ),
        ];
        let mut wrong = Vec::new();
        for ([difference, low, high], tolerance, expected) in rows {
            let interval = Some(Interval { low, high });
            let verdict = Verdict::of(interval, tolerance);
            let found = sentence((Some(difference), interval), verdict, tolerance, 0.95);
            if found.trim_end_matches(" with 95 % confidence") != expected {
                wrong.push((found, expected));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert_eq!([0.95, 0.999, 0.5].map(percent), ["95", "99.9", "50"]);
    }
}
