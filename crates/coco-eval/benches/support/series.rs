//! Repeated runs on one set with one number of threads.

use std::fmt;

use serde::Serialize;

use crate::Failure;
use crate::evaluation_run::{EvaluationJob, EvaluationRun};
use crate::measurement::Measurement;
use crate::resources::Cost;
use crate::sets::{Set, SetFiles};

/// A job and the runs of it so far.
pub(crate) struct Series {
    pub(crate) set: &'static Set,
    pub(crate) threads: usize,
    measurement: Measurement,
    runs: Vec<EvaluationRun>,
}

impl Series {
    pub(crate) fn new(set: &'static Set, files: &SetFiles, threads: usize) -> Self {
        let (ground_truth, detections) = (files.ground_truth.clone(), files.detections.clone());
        let measurement = Measurement::Evaluation(EvaluationJob { ground_truth, detections, threads });
        Self { set, threads, measurement, runs: Vec::new() }
    }

    /// Measures once more; a run with wrong figures is an error.
    pub(crate) fn run(&mut self) -> Result<(), Failure> {
        let run: EvaluationRun = self.measurement.in_fresh_process()?;
        self.set.check(&run.figures)?;
        self.runs.push(run);
        Ok(())
    }

    pub(crate) fn spread(&self, value: impl Fn(&EvaluationRun) -> f64) -> Spread {
        Spread::of(self.runs.iter().map(value).collect())
    }

    pub(crate) fn cost(&self, of: impl Fn(&EvaluationRun) -> Cost) -> CostSpread {
        CostSpread {
            wall_seconds: self.spread(|run| of(run).wall_seconds),
            cpu_seconds: self.spread(|run| of(run).cpu_seconds),
        }
    }
}

/// Middle and least of some values.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) minimum: f64,
}

impl Spread {
    /// Of at least one value.
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let (lower, upper) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Self { median: f64::midpoint(lower, upper), minimum: values[0] }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.3} ({:.3})", self.median, self.minimum))
    }
}

/// Middle and least of costs.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct CostSpread {
    pub(crate) wall_seconds: Spread,
    pub(crate) cpu_seconds: Spread,
}
