//! What the stages cost in average precision.

use super::compile::Compiled;
use crate::error::{Error, Result};
use crate::network::Network;
use crate::output::sha256_file;
use crate::run::{Evaluated, Outcome};
use crate::summary::Run;
use icraft_raw::{Simulation, Stage};
use std::path::PathBuf;

/// A network to be evaluated.
pub struct Entry {
    /// `float`, `normed`, `fixed16`, `fixed8`; a second one of a width is `fixed8-2`.
    pub name: String,
    /// Width of its integers.
    pub bits: Option<u8>,
    /// Its json.
    pub json: PathBuf,
    /// The network.
    pub network: Network,
}

/// The float and normed networks of the first compilation, and the integers of all.
///
/// # Errors
/// As [`Network::load_pair`].
pub fn entries(compiled_all: &[(Compiled, u8)], simulation: Simulation) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut add = |compiled: &Compiled, stage: Stage, name: String, bits: Option<u8>| -> Result<()> {
        let Some(json) = compiled.json(stage) else { return Ok(()) };
        let network = Network::load_pair(json, simulation)?;
        entries.push(Entry { name, bits, json: json.to_owned(), network });
        Ok(())
    };
    for (index, (compiled, bits)) in compiled_all.iter().enumerate() {
        if index == 0 {
            add(compiled, Stage::Parsed, "float".to_owned(), None)?;
            add(compiled, Stage::Normed, "normed".to_owned(), None)?;
        }
        let before = compiled_all[..index].iter().filter(|(_, width)| width == bits).count();
        let name = if before == 0 { format!("fixed{bits}") } else { format!("fixed{bits}-{}", before + 1) };
        add(compiled, Stage::Quantized, name, Some(*bits))?;
    }
    Ok(entries)
}

/// The rows of `summary.json`, as `quantize` writes them.
///
/// # Errors
/// If files can't be read, or intervals can't be computed.
pub fn runs(entries: &[Entry], evaluated: &Evaluated, confidence: f64) -> Result<Vec<Run>> {
    let float = &evaluated.outcomes[0];
    entries
        .iter()
        .zip(&evaluated.outcomes)
        .map(|(entry, outcome)| run(entry, outcome, float, confidence))
        .collect()
}

fn run(entry: &Entry, outcome: &Outcome, float: &Outcome, confidence: f64) -> Result<Run> {
    let mut detections = Vec::new();
    outcome.detections.write_json(&mut detections)?;
    let raw = entry.json.with_extension("raw");
    let model_bytes = std::fs::metadata(&raw).map_err(Error::io(raw))?.len();
    let file = (entry.json.display().to_string(), model_bytes);
    let run = Run::new(entry.name.clone(), [outcome, float], confidence, &detections, file)?;
    Ok(Run {
        precision: match entry.bits {
            None => "f32",
            Some(12) => "int12",
            Some(16) => "int16",
            Some(_) => "int8",
        },
        preactivation_bits: entry.bits,
        scheme: entry.bits.map(|_| quant_core::Scheme::Symmetric),
        ..run
    })
}

/// What determines the results.
#[derive(Debug, serde::Serialize)]
pub struct Manifest {
    /// This program.
    pub tool: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Arguments as they were given.
    pub command: Vec<String>,
    /// Configurations and their hashes.
    pub configs: Vec<(PathBuf, String)>,
    /// How sums are cut, and results scaled.
    pub simulation: [quant_core::Rounding; 2],
    /// Score threshold.
    pub conf: f32,
    /// IoU threshold of non-maximum suppression.
    pub iou: f32,
    /// Instructions used; they don't change the results.
    pub instruction_set: &'static str,
}

impl Manifest {
    /// Of this call of the program.
    ///
    /// # Errors
    /// If a configuration can't be read.
    pub fn new(configs: &[PathBuf], simulation: Simulation, conf: f32, iou: f32) -> Result<Self> {
        let hashed = |path: &PathBuf| Ok((path.clone(), sha256_file(path)?));
        Ok(Self {
            tool: "icraft-compile",
            version: env!("CARGO_PKG_VERSION"),
            command: std::env::args().skip(1).collect(),
            configs: configs.iter().map(hashed).collect::<Result<_>>()?,
            simulation: [simulation.cut, simulation.scale],
            conf,
            iou,
            instruction_set: quant_core::Isa::detect().name(),
        })
    }
}

/// The content of `summary.json`.
#[derive(serde::Serialize)]
pub struct SummaryFile {
    /// The float network, the normed one, then integers.
    pub runs: Vec<Run>,
    /// Images evaluated.
    pub images: usize,
    /// Images that could not be read.
    pub images_skipped: usize,
    /// What determines the results.
    pub manifest: Manifest,
}
