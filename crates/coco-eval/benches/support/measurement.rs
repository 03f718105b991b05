//! Jobs that are measured in a process of their own.

use std::process::{Command, Stdio};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::bootstrap_run::BootstrapJob;
use crate::evaluation_run::EvaluationJob;
use crate::options::MEASURE;

/// A job for a fresh process, where no earlier job's memory or warm caches count.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Measurement {
    /// Load, evaluate and summarise; ends in an `EvaluationRun`.
    Evaluation(EvaluationJob),
    /// Compare two detectors; ends in a `BootstrapRun`.
    Bootstrap(BootstrapJob),
}

impl Measurement {
    /// Starts this program again for the job and reads the line of JSON it prints.
    pub(crate) fn in_fresh_process<R: DeserializeOwned>(&self) -> Result<R, Failure> {
        let output = Command::new(std::env::current_exe()?)
            .arg(MEASURE)
            .arg(serde_json::to_string(self)?)
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(format!("the measuring process ended with {}", output.status).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Does the job and prints its result.
    pub(crate) fn run_here(&self) -> Result<(), Failure> {
        let result = match self {
            Self::Evaluation(job) => serde_json::to_string(&job.run()?)?,
            Self::Bootstrap(job) => serde_json::to_string(&job.run()?)?,
        };
        println!("{result}");
        Ok(())
    }
}
