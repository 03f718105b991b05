//! One whole run: load both files, evaluate, summarise.

use std::path::PathBuf;
use std::time::Instant;

use coco_eval::{Detections, Error, EvalParams, GroundTruth, InputPolicy, evaluate};
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::resources::{Cost, peak_bytes, process_cpu_seconds, timed};

/// What to run on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EvaluationJob {
    pub(crate) ground_truth: PathBuf,
    pub(crate) detections: PathBuf,
    pub(crate) threads: usize,
}

/// What a run cost, and the figures it found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EvaluationRun {
    /// Wall time from `main` until all data are freed; CPU time from the start of the process.
    pub(crate) whole: Cost,
    pub(crate) stages: Stages,
    pub(crate) peak_bytes: u64,
    /// In the order of `Summary::NAMES`.
    pub(crate) figures: [f64; 12],
}

/// The parts of a run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stages {
    pub(crate) load: Cost,
    pub(crate) evaluate: Cost,
    pub(crate) summarise: Cost,
}

impl EvaluationJob {
    pub(crate) fn run(&self) -> Result<EvaluationRun, Failure> {
        let start = Instant::now();
        let (stages, figures) = with_threads(self.threads, || self.stages())?;
        let whole = Cost { wall_seconds: start.elapsed().as_secs_f64(), cpu_seconds: process_cpu_seconds()? };
        Ok(EvaluationRun { whole, stages, peak_bytes: peak_bytes()?, figures })
    }

    fn stages(&self) -> Result<(Stages, [f64; 12]), Failure> {
        let ((ground_truth, detections), load) = timed(|| self.load())?;
        let params = EvalParams::default();
        let (evaluation, evaluate) = timed(|| evaluate(&ground_truth, &detections, &params))?;
        let (summary, summarise) = timed(|| evaluation.summarize())?;
        Ok((Stages { load, evaluate, summarise }, summary.to_array()))
    }

    fn load(&self) -> Result<(GroundTruth, Detections), Error> {
        let policy = InputPolicy::default();
        let (ground_truth, detections) = both(
            || GroundTruth::from_json_file(&self.ground_truth, policy),
            || Detections::from_json_file(&self.detections, policy),
        );
        Ok((ground_truth?, detections?))
    }
}

/// Does the work in a pool of as many threads.
#[cfg(feature = "rayon")]
pub(crate) fn with_threads<R: Send>(
    threads: usize,
    work: impl FnOnce() -> Result<R, Failure> + Send,
) -> Result<R, Failure> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build()?.install(work)
}

/// Does the work here; the options refused more than one thread.
#[cfg(not(feature = "rayon"))]
pub(crate) fn with_threads<R>(
    _threads: usize,
    work: impl FnOnce() -> Result<R, Failure>,
) -> Result<R, Failure> {
    work()
}

/// Does both, at once where the pool has a thread to spare.
#[cfg(feature = "rayon")]
fn both<A: Send, B: Send>(first: impl FnOnce() -> A + Send, second: impl FnOnce() -> B + Send) -> (A, B) {
    rayon::join(first, second)
}

#[cfg(not(feature = "rayon"))]
fn both<A, B>(first: impl FnOnce() -> A, second: impl FnOnce() -> B) -> (A, B) {
    (first(), second())
}
