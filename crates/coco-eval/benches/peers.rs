//! Whole runs on two large synthetic sets, beside published figures of other COCO evaluators.
//!
//! ```sh
//! cargo bench -p coco-eval --bench peers -- [--rounds N] [--set d100,d300] [--json]
//! cargo bench -p coco-eval --features rayon --bench peers -- --threads 1,2
//! cargo bench -p coco-eval --features rayon --bench peers -- --bootstrap 1000 --set d100
//! ```
//!
//! A run is a fresh process: this program started again, which loads both files, evaluates and summarises.
//! Sets and thread counts take turns in every round, so a disturbance of the machine hits all alike. The
//! twelve figures of every run are compared with pycocotools' to the bit. Linux only.

#[path = "support/bootstrap_run.rs"]
mod bootstrap_run;
#[path = "support/evaluation_run.rs"]
mod evaluation_run;
#[path = "support/measurement.rs"]
mod measurement;
#[path = "support/options.rs"]
mod options;
#[path = "support/published.rs"]
mod published;
#[path = "support/report.rs"]
mod report;
#[path = "support/resources.rs"]
mod resources;
#[path = "support/series.rs"]
mod series;
#[path = "support/sets.rs"]
mod sets;
#[allow(clippy::unwrap_used, reason = "of a slice of known length")]
#[path = "../tests/support/sha256.rs"]
mod sha256;
#[path = "support/synthetic.rs"]
mod synthetic;

use std::process::ExitCode;

use bootstrap_run::{BootstrapJob, BootstrapRun};
use measurement::Measurement;
use options::{Command, Options};
use report::Report;
use series::Series;

/// What the program can stop at: wrong arguments, files, a child's failure.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let outcome = match Command::parse(std::env::args().skip(1)) {
        Ok(Command::Measure(measurement)) => measurement.run_here(),
        Ok(Command::Nothing) => Ok(()),
        Ok(Command::Benchmark(options)) => match options.bootstrap {
            Some(samples) => compare(&options, samples),
            None => benchmark(&options),
        },
        Err(fault) => Err(fault),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("error: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options, samples: usize) -> Result<(), Failure> {
    for &set in &options.sets {
        let files = set.prepare()?;
        for &threads in &options.threads {
            let (ground_truth, detections) = (files.ground_truth.clone(), files.detections.clone());
            let job = BootstrapJob { ground_truth, detections, threads, samples };
            let measurement = Measurement::Bootstrap(job);
            let run: BootstrapRun = measurement.in_fresh_process()?;
            if options.json {
                println!("{}", serde_json::to_string(&(set.name, &measurement, &run))?);
            } else if let Measurement::Bootstrap(job) = &measurement {
                bootstrap_run::report(set.name, job, &run);
            }
        }
    }
    Ok(())
}

fn benchmark(options: &Options) -> Result<(), Failure> {
    let mut series = Vec::new();
    for &set in &options.sets {
        let files = set.prepare()?;
        series.extend(options.threads.iter().map(|&threads| Series::new(set, &files, threads)));
    }
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        series.iter_mut().try_for_each(Series::run)?;
    }
    let report = Report::new(options.rounds, &series);
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}
