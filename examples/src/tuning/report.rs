//! What training towards integers achieved.

use super::session::Session;
use super::target::Target;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::inputs::evaluation_paths;
use crate::network::Network;
use crate::output::{print, write_atomic};
use crate::run::{Options, evaluate};
use crate::summary::Run;
use nn_graph::{Params, Tensor};
use qat_inq::Quantizers;
use quant_core::Rounding;
use serde::Serialize;
use std::path::PathBuf;

/// Share of the sets of images that an interval holds.
const CONFIDENCE: f64 = 0.95;

/// A stage.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Stage {
    /// Its name: `ptq` before training, then `inq-RATIO` or `qat`.
    pub(super) name: String,
    /// Share of the weights that are frozen.
    pub(super) ratio: Option<f64>,
    /// Frozen weights.
    pub(super) frozen: usize,
    /// Weights in all.
    pub(super) weights: usize,
    /// Mean loss of its steps.
    pub(super) loss: Option<f64>,
    /// AP of its network in real numbers, weights as they are after it.
    pub(super) ap_float: Option<f64>,
    /// AP of its network as integers.
    pub(super) ap_integer: Option<f64>,
}

/// What determines the results.
#[derive(Debug, Serialize)]
struct Manifest {
    tool: &'static str,
    version: &'static str,
    command: Vec<String>,
    settings: String,
    training_images: usize,
    calibration_images: usize,
    steps: u64,
    conf: f32,
    iou: f32,
    samples: usize,
    confidence: f64,
    instruction_set: &'static str,
}

/// The content of `summary.json`.
#[derive(Serialize)]
struct SummaryFile {
    /// The float network, then of every stage the network in real numbers and as integers.
    runs: Vec<Run>,
    /// The stages.
    stages: Vec<Stage>,
    images: usize,
    images_skipped: usize,
    manifest: Manifest,
}

/// The files of a stage's networks: in real numbers, and as integers.
fn files(session: &Session<'_>, name: &str) -> [PathBuf; 2] {
    [format!("{name}-float.safetensors"), format!("{name}.safetensors")].map(|file| session.out.join(file))
}

/// Saves the networks before training: as integers what the quantiser makes of the parameters, and in real numbers with weights on their grids.
///
/// # Errors
/// As [`save`].
pub(super) fn save_untrained(session: &Session<'_>) -> Result<()> {
    let (params, quantizers) = (&session.target.model().params, &session.target.quantizers);
    let [float, integer] = files(session, "ptq");
    session.target.float(&on_grid(session.target, params, quantizers)?)?.program.save(&float)?;
    session.target.integer(params, quantizers)?.program.save(&integer)?;
    Ok(())
}

/// Saves the networks of a stage.
///
/// # Errors
/// Parameters that can't be lowered; files that can't be written.
pub(super) fn save(
    session: &Session<'_>,
    name: &str,
    params: &Params,
    quantizers: &Quantizers,
) -> Result<()> {
    let [float, integer] = files(session, name);
    session.target.float(params)?.program.save(&float)?;
    session.target.integer(params, quantizers)?.program.save(&integer)?;
    Ok(())
}

/// Parameters with all weights on their grids.
///
/// # Errors
/// Steps that are none.
pub(super) fn on_grid(target: &Target, params: &Params, quantizers: &Quantizers) -> Result<Params> {
    let mut params = params.clone();
    for (name, grid) in quantizers.grids(&target.model().graph, Rounding::HalfAway)? {
        if let Some(weight) = params.get_mut(&name) {
            let rows = weight.shape().first().copied().unwrap_or(1);
            grid.project(Tensor::data_mut(weight), rows)?;
        }
    }
    Ok(params)
}

/// Evaluates the networks of all stages, writes `summary.json`, and prints it or a table.
///
/// # Errors
/// All that can go wrong with networks and images.
pub(super) fn finish(
    session: &Session<'_>,
    tool: &'static str,
    mut stages: Vec<Stage>,
    steps: u64,
) -> Result<()> {
    let (arguments, target) = (session.arguments, session.target);
    let (images, annotations) = evaluation_paths(&arguments.evaluation, target.demonstration)?;
    let dataset = Dataset::open(&images, &annotations, arguments.evaluation.skip_bad)?;
    let category_ids = dataset.category_ids(&target.model().class_names, &annotations)?;
    let mut named = vec![("float".to_owned(), None, target.float(&target.model().params)?)];
    for stage in &stages {
        let [float, integer] = files(session, &stage.name);
        named.push((format!("{}-float", stage.name), Some(float.clone()), Network::load_program(&float)?));
        named.push((stage.name.clone(), Some(integer.clone()), Network::load_program(&integer)?));
    }
    let networks: Vec<&Network> = named.iter().map(|(_, _, network)| network).collect();
    let options = Options { samples: arguments.samples, ..arguments.evaluation.options() };
    let evaluated = evaluate(&networks, &dataset, &category_ids, &options)?;
    let mut runs = Vec::new();
    for ((name, file, _), outcome) in named.iter().zip(&evaluated.outcomes) {
        let mut detections = Vec::new();
        outcome.detections.write_json(&mut detections)?;
        let stored = match file {
            Some(path) => {
                let bytes = std::fs::metadata(path).map_err(Error::io(path))?.len();
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                (name.unwrap_or_default(), bytes)
            }
            None => (String::new(), 0),
        };
        let both = [outcome, &evaluated.outcomes[0]];
        let run = Run::new(name.clone(), both, CONFIDENCE, &detections, stored)?;
        let is_integer = file.is_some() && !name.ends_with("-float");
        runs.push(Run { precision: if is_integer { target.precision() } else { "f32" }, ..run });
    }
    for (stage, pair) in stages.iter_mut().zip(runs[1..].chunks_exact(2)) {
        (stage.ap_float, stage.ap_integer) = (Some(pair[0].ap), Some(pair[1].ap));
    }
    let manifest = Manifest {
        tool,
        version: env!("CARGO_PKG_VERSION"),
        command: std::env::args().skip(1).collect(),
        settings: arguments.settings(),
        training_images: session.image_count(),
        calibration_images: target.calibration.len(),
        steps,
        conf: arguments.evaluation.conf,
        iou: arguments.evaluation.iou,
        samples: arguments.samples,
        confidence: CONFIDENCE,
        instruction_set: quant_core::Isa::detect().name(),
    };
    let summary = SummaryFile {
        runs,
        stages,
        images: evaluated.image_ids.len(),
        images_skipped: evaluated.skipped,
        manifest,
    };
    let text = serde_json::to_string_pretty(&summary)?;
    write_atomic(&session.out.join("summary.json"), text.as_bytes())?;
    if arguments.json { print(text) } else { print(table(&summary)) }
}

/// A line for every stage.
fn table(summary: &SummaryFile) -> String {
    let float = &summary.runs[0];
    let mut lines = vec![
        format!("float AP {:.4}", float.ap),
        format!(
            "{:<11} {:>6} {:>9} {:>9}  {:>8}  {:>8}  {:>8}  95 % of the differences",
            "stage", "ratio", "frozen", "of", "AP float", "AP int", "to float"
        ),
    ];
    for (stage, pair) in summary.stages.iter().zip(summary.runs[1..].chunks_exact(2)) {
        let ratio = stage.ratio.map_or_else(String::new, |ratio| format!("{ratio}"));
        let interval = pair[1]
            .interval_ap
            .map_or_else(String::new, |ends| format!("[{:+.4}, {:+.4}]", ends.low, ends.high));
        lines.push(format!(
            "{:<11} {ratio:>6} {:>9} {:>9}  {:>8.4}  {:>8.4}  {:>+8.4}  {interval}",
            stage.name, stage.frozen, stage.weights, pair[0].ap, pair[1].ap, pair[1].delta_ap
        ));
    }
    lines.push(format!("{} images ({} skipped)", summary.images, summary.images_skipped));
    lines.join("\n")
}
