//! What each change was worth.

use super::{AnalysisError, By, Candidate, Cost, Layer, Mode, Precision, Savings};
use serde::{Deserialize, Serialize};

/// One variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensitivityRow {
    /// The layer or block.
    pub name: String,
    /// Its layers.
    pub layers: Vec<String>,
    /// Their precision in the variant.
    pub precision: Precision,
    /// The variant's score; none where it is not finite.
    pub score: Option<f64>,
    /// What higher precision of this scope is worth, in a unit that adds up; the larger, the more sensitive the scope.
    pub gain: f64,
    /// Confidence interval of the gain, `[low, high]`, where it can be told.
    pub interval: Option<[f64; 2]>,
    /// Convolutions computed for the variant, per image.
    pub recomputed: usize,
}

/// All variants, the most sensitive first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sensitivity {
    /// What is compared with what.
    pub mode: Mode,
    /// Name of the score.
    pub score: String,
    /// What changes together.
    pub by: By,
    /// Precision of the quantised layers that a variant does not change.
    pub precision: Precision,
    /// Layers that are in f32 everywhere.
    pub ignored: Vec<String>,
    /// Images that it was measured on.
    pub images: usize,
    /// Score of the float network; none where it is not finite.
    pub float: Option<f64>,
    /// Score of the base; none where it is not finite.
    pub base: Option<f64>,
    /// Convolutions per image, of all variants: if each ran whole, and those computed.
    pub convolutions: [usize; 2],
    /// The variants.
    pub rows: Vec<SensitivityRow>,
}

impl Sensitivity {
    /// Sorts by falling gain; equal gains stay in the order of the graph.
    pub fn sort(&mut self) {
        self.rows.sort_by(|a, b| b.gain.total_cmp(&a.gain));
    }

    /// Notes what the recorded tensors saved.
    pub fn note(&mut self, savings: Savings) {
        self.convolutions = [savings.whole, savings.run];
    }

    /// The changes that a selection can make from a network in the precision of the base, and what they cost.
    ///
    /// From [`Mode::LeaveOneOut`] these are the variants; from [`Mode::OnlyOneOn`] keeping a scope in f32, where the variant had the base's precision.
    ///
    /// # Errors
    /// [`AnalysisError::OtherLayers`] for a layer that the model lacks; [`AnalysisError::Nothing`] without any change.
    pub fn candidates(&self, layers: &[Layer], cost: Cost) -> Result<Vec<Candidate>, AnalysisError> {
        let rows = self.rows.iter().filter_map(|row| match self.mode {
            Mode::LeaveOneOut => Some((row, row.precision)),
            Mode::OnlyOneOn => (row.precision == self.precision).then_some((row, Precision::F32)),
        });
        let candidate = |(row, precision): (&SensitivityRow, Precision)| {
            let layers = row.layers.iter().map(|name| find(layers, name));
            let costs = layers.map(|layer| Ok(cost.of(layer?, self.precision, precision)));
            let cost = costs.sum::<Result<u64, AnalysisError>>()?;
            Ok(Candidate { scope: row.name.clone(), precision, gain: row.gain, cost })
        };
        let candidates = rows.map(candidate).collect::<Result<Vec<_>, AnalysisError>>()?;
        if candidates.is_empty() {
            return Err(AnalysisError::Nothing { what: "the sensitivities have no row that can be chosen" });
        }
        Ok(candidates)
    }

    /// The `top` most sensitive rows as text, a line each after a headline.
    #[must_use]
    pub fn table(&self, top: usize) -> String {
        let width = self.rows.iter().take(top).map(|row| row.name.len()).max().unwrap_or(0).max(5);
        let mut lines = vec![format!(
            "{:<width$} {:<10} {:>10} {:>11} {:>24} {:>10}",
            "scope", "precision", self.score, "gain", "95 % interval", "recomputed"
        )];
        let line = |row: &SensitivityRow| {
            let score = row.score.map_or_else(|| "-".to_owned(), |score| format!("{score:.5}"));
            let ends = |[low, high]: [f64; 2]| format!("[{low:+.6}, {high:+.6}]");
            let interval = row.interval.map_or_else(|| "-".to_owned(), ends);
            let (name, precision) = (&row.name, row.precision);
            format!(
                "{name:<width$} {precision:<10} {score:>10} {:>+11.6} {interval:>24} {:>10}",
                row.gain, row.recomputed
            )
        };
        lines.extend(self.rows.iter().take(top).map(line));
        lines.join("\n")
    }
}

fn find<'a>(layers: &'a [Layer], name: &str) -> Result<&'a Layer, AnalysisError> {
    let missing = || AnalysisError::OtherLayers { fault: "has", layer: name.to_owned() };
    layers.iter().find(|layer| layer.name == name).ok_or_else(missing)
}
