//! A precision for every layer within a budget, from sensitivities.

use crate::analysis::accuracy::{average_precisions, float_average_precision};
use crate::analysis::files::{AnalysisFile, SensitivityPart};
use crate::analysis::job::Job;
use crate::error::Result;
use crate::output::note;
use ptq::analysis::{
    Candidate, Chain, Combination, Cost, Layer, Precision, PrecisionConfig, Quantizers, SensitivityRow,
    greedy, knapsack,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// How candidates are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Strategy {
    /// By gain per cost.
    Greedy,
    /// The best sum of gains for every cost.
    Knapsack,
}

/// What must not be exceeded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// Loss in AP beside the float network, at the least of this cost.
    Map(f64, Cost),
    /// More of this than the network of the analysis takes.
    Cost(Cost, u64),
}

impl Budget {
    fn cost(self) -> Cost {
        match self {
            Budget::Map(_, cost) | Budget::Cost(cost, _) => cost,
        }
    }
}

/// A selection in progress.
struct Selection<'a> {
    job: &'a Job,
    quantizers: Quantizers,
    rows: &'a [SensitivityRow],
    candidates: Vec<Candidate>,
    measured: usize,
}

/// Chooses precisions, and measures what they give.
///
/// # Errors
/// Sensitivities that don't fit the model, a budget that can't be kept, and errors of running networks.
pub fn select(
    file: &AnalysisFile<SensitivityPart>,
    job: &Job,
    strategy: Strategy,
    budget: Budget,
) -> Result<PrecisionConfig> {
    let sensitivity = &file.analysis.sensitivity;
    let candidates = sensitivity.candidates(&job.layers, budget.cost())?;
    let most = if let Budget::Cost(_, most) = budget { most } else { u64::MAX };
    let chain = match strategy {
        Strategy::Greedy => greedy(&candidates, most)?,
        Strategy::Knapsack => knapsack(&candidates, most)?,
    };
    let measured = matches!(budget, Budget::Map(..));
    let chain = if measured { chain.extended(&candidates) } else { chain };
    let quantizers = job.quantizers()?;
    let float = float_average_precision(job)?;
    let rows = &sensitivity.rows;
    let mut selection = Selection { job, quantizers, rows, candidates, measured: 0 };
    let (combination, ap) = selection.choose(&chain, budget, float)?;
    let mut config = selection.config(&combination);
    config.asked = selection.asked(file, strategy, budget, &combination, [float, ap]);
    Ok(config)
}

impl Selection<'_> {
    fn choose(&mut self, chain: &Chain, budget: Budget, float: f64) -> Result<(Combination, f64)> {
        if let Budget::Map(drop, _) = budget {
            let (combination, ap) = chain.cheapest(float - drop, |c| self.measure(c))?;
            return Ok((combination.clone(), ap));
        }
        // A chain begins with what is free, and ends with the best that the budget allows.
        let empty = Combination { chosen: Vec::new(), gain: 0.0, cost: 0 };
        let combination = chain.combinations().last().cloned().unwrap_or(empty);
        let ap = self.measure(&combination)?;
        Ok((combination, ap))
    }

    fn measure(&mut self, combination: &Combination) -> Result<f64> {
        let raised = self.raised(combination);
        let config = self.job.config(&self.quantizers, |layer| raised.get(layer.name.as_str()).copied());
        let ap = average_precisions(self.job, &[&self.job.network(&config)?])?[0];
        note(format_args!("{} layers raised, cost {}: AP {ap:.4}", raised.len(), combination.cost));
        self.measured += 1;
        Ok(ap)
    }

    /// The layers whose precision changes.
    fn raised(&self, combination: &Combination) -> BTreeMap<&str, Precision> {
        let chosen = combination.chosen.iter().map(|&index| &self.candidates[index]);
        let layers = |candidate: &Candidate| {
            let row = self.rows.iter().find(|row| row.name == candidate.scope);
            row.map_or(&[][..], |row| &row.layers)
        };
        chosen.flat_map(|c| layers(c).iter().map(move |name| (name.as_str(), c.precision))).collect()
    }

    fn config(&self, combination: &Combination) -> PrecisionConfig {
        let raised = self.raised(combination);
        let of = |layer: &Layer| self.job.precision(layer, raised.get(layer.name.as_str()).copied());
        PrecisionConfig::new(&self.job.hashes.weights_sha256, &self.job.layers, of)
    }

    fn asked(
        &self,
        file: &AnalysisFile<SensitivityPart>,
        strategy: Strategy,
        budget: Budget,
        combination: &Combination,
        [float, ap]: [f64; 2],
    ) -> BTreeMap<String, Value> {
        let names = |combination: &Combination| -> BTreeSet<String> {
            combination.chosen.iter().map(|&index| self.candidates[index].scope.clone()).collect()
        };
        let settings = &file.settings;
        let (wanted, limit) = match budget {
            Budget::Map(drop, _) => ("map", json!(drop)),
            Budget::Cost(Cost::Bytes, most) => ("bytes", json!(most)),
            Budget::Cost(Cost::Macs, most) => ("macs", json!(most)),
            Budget::Cost(Cost::Layers, most) => ("layers", json!(most)),
        };
        let strategy = if strategy == Strategy::Greedy { "greedy" } else { "knapsack" };
        let entries = [
            ("strategy", json!(strategy)),
            ("budget", json!({ wanted: limit })),
            ("cost", json!(budget.cost())),
            ("score", json!(file.analysis.sensitivity.score)),
            ("method", json!(settings.method)),
            ("scheme", json!(settings.scheme)),
            ("concat", json!(settings.concat)),
            ("raised", json!(names(combination))),
            ("cost_added", json!(combination.cost)),
            ("gain_expected", json!(combination.gain)),
            ("ap_float", json!(float)),
            ("ap_measured", json!(ap)),
            ("networks_measured", json!(self.measured)),
            ("images", json!(self.job.dataset.images.len())),
        ];
        entries.map(|(key, value)| (key.to_owned(), value)).into()
    }
}
