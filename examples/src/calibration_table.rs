//! What a calibration file tells of every tensor: as a table, or as JSON.

use crate::calibration::images_sha256;
use crate::calibration_file::SavedCalibration;
use ptq::{CalibrationManifest, Method, Range, Statistics};
use quant_core::{QuantSpec, Scheme};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;

/// The range of each method of a scheme, by the method's name; none where the method refuses the values.
type Ranges = BTreeMap<&'static str, Option<Range>>;

/// A tensor's statistics in short.
#[derive(Serialize)]
struct TensorRow<'a> {
    name: &'a str,
    count: u64,
    zeros: u64,
    /// NaN and infinite values.
    non_finite: u64,
    min: Option<f32>,
    max: Option<f32>,
    mean: Option<f64>,
    /// Standard deviation.
    deviation: Option<f64>,
    /// Ranges of symmetric int8 quantisers.
    symmetric: Ranges,
    /// Ranges of affine int8 quantisers.
    affine: Ranges,
}

/// A calibration file in short.
#[derive(Serialize)]
pub struct CalibrationTable<'a> {
    sha256: &'a str,
    manifest: &'a CalibrationManifest,
    images: usize,
    images_sha256: String,
    images_skipped: u64,
    tensors: Vec<TensorRow<'a>>,
}

impl<'a> CalibrationTable<'a> {
    /// Computes all ranges, with the threads of the current pool.
    #[must_use]
    pub fn new(file: &'a SavedCalibration) -> Self {
        let content = &file.content;
        let tensors: Vec<_> = content.collection().iter().collect();
        Self {
            sha256: &file.sha256,
            manifest: content.manifest(),
            images: content.images().len(),
            images_sha256: images_sha256(content.images()),
            images_skipped: content.images_skipped(),
            tensors: tensors.into_par_iter().map(|(name, statistics)| row(name, statistics)).collect(),
        }
    }

    /// The table, and what it is of.
    #[must_use]
    pub fn text(&self) -> String {
        let manifest = self.manifest;
        let [height, width] = manifest.size;
        let widest = self.tensors.iter().map(|row| row.name.len()).max().unwrap_or(0).max(6);
        let mut lines = vec![
            format!("{} at {height}x{width}, checkpoint sha256 {}", manifest.model, manifest.model_sha256),
            format!(
                "{} images ({} skipped), sha256 {}",
                self.images, self.images_skipped, self.images_sha256
            ),
            "int8 ranges: symmetric as +-bound, affine as low..high; that of minmax is min..max".to_owned(),
            format!(
                "{:<widest$} {:>10} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>18} {:>18} {:>18}",
                "tensor",
                "count",
                "zero %",
                "min",
                "max",
                "mean",
                "deviation",
                "+-max",
                "+-percent",
                "+-entropy",
                "+-mse",
                "percentile",
                "entropy",
                "mse"
            ),
        ];
        lines.extend(self.tensors.iter().map(|row| row.line(widest)));
        lines.join("\n")
    }
}

fn row<'a>(name: &'a str, statistics: &Statistics) -> TensorRow<'a> {
    let ranges = |scheme: Scheme| {
        let methods = Method::ALL.into_iter().filter(|method| method.scheme(scheme) == scheme);
        let range = |method: Method| method.range(statistics, &QuantSpec::int8(scheme)).ok();
        methods.map(|method| (method.name(), range(method))).collect()
    };
    TensorRow {
        name,
        count: statistics.count(),
        zeros: statistics.zeros(),
        non_finite: statistics.non_finite(),
        min: statistics.bounds().map(|bounds| bounds.0),
        max: statistics.bounds().map(|bounds| bounds.1),
        mean: statistics.mean(),
        deviation: statistics.variance().map(f64::sqrt),
        symmetric: ranges(Scheme::Symmetric),
        affine: ranges(Scheme::Affine),
    }
}

impl TensorRow<'_> {
    fn line(&self, widest: usize) -> String {
        let symmetric = |name| cell(range(&self.symmetric, name).map(|range| range.high));
        let affine = |name| {
            range(&self.affine, name).map_or_else(
                || "-".to_owned(),
                |range| format!("{}..{}", short(range.low), short(range.high)),
            )
        };
        format!(
            "{:<widest$} {:>10} {:>6.2} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>18} {:>18} {:>18}",
            self.name,
            self.count,
            self.zeros as f64 * 100.0 / self.count as f64,
            cell(self.min),
            cell(self.max),
            cell(self.mean.map(|mean| mean as f32)),
            cell(self.deviation.map(|deviation| deviation as f32)),
            symmetric("max"),
            symmetric("percentile"),
            symmetric("entropy"),
            symmetric("mse"),
            affine("percentile"),
            affine("entropy"),
            affine("mse"),
        )
    }
}

fn range(ranges: &Ranges, name: &str) -> Option<Range> {
    ranges.get(name).copied().flatten()
}

fn cell(value: Option<f32>) -> String {
    value.map_or_else(|| "-".to_owned(), short)
}

/// Four decimals where they tell enough, else a power of ten.
fn short(value: f32) -> String {
    let is_plain = value == 0.0 || (0.01..1000.0).contains(&value.abs());
    if is_plain { format!("{value:.4}") } else { format!("{value:.2e}") }
}
