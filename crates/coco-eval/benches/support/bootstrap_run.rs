//! A paired comparison of two detectors: outcomes of both, samples, influences of images.

use std::path::PathBuf;

use coco_eval::{
    BootstrapParams, Comparison, Detection, Detections, Error, EvalParams, FigureDifference, GroundTruth,
    InputPolicy, Outcomes,
};
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::evaluation_run::with_threads;
use crate::published::HOTCOCO_SECONDS_PER_SAMPLE;
use crate::resources::{Cost, peak_bytes, timed};

/// What to compare on; the candidate is made from the detections.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BootstrapJob {
    pub(crate) ground_truth: PathBuf,
    pub(crate) detections: PathBuf,
    pub(crate) threads: usize,
    pub(crate) samples: usize,
}

/// What the comparison cost, and the difference in AP that it found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BootstrapRun {
    collect: Cost,
    samples: Cost,
    influences: Cost,
    peak_bytes: u64,
    difference: Option<f64>,
    interval: Option<[f64; 2]>,
}

impl BootstrapJob {
    pub(crate) fn run(&self) -> Result<BootstrapRun, Failure> {
        let policy = InputPolicy::default();
        let truth = GroundTruth::from_json_file(&self.ground_truth, policy)?;
        let detections = Detections::from_json_file(&self.detections, policy)?;
        let candidate = coarse(&detections)?;
        with_threads(self.threads, || self.compare(&truth, &detections, &candidate))
    }

    fn compare(
        &self,
        truth: &GroundTruth,
        detections: &Detections,
        candidate: &Detections,
    ) -> Result<BootstrapRun, Failure> {
        let params = EvalParams::default();
        let outcomes = |detections| Outcomes::collect(truth, detections, &params);
        let ((before, after), collect) =
            timed(|| Ok::<_, Error>((outcomes(detections)?, outcomes(candidate)?)))?;
        let draws = BootstrapParams { samples: self.samples, seed: 0 };
        let (comparison, samples) = timed(|| before.compare(&after, draws, 0.95))?;
        let (_, influences) = timed(|| before.image_influences(&after))?;
        let Comparison { figures, .. } = comparison;
        let FigureDifference { difference, interval, .. } = figures[0];
        let interval = interval.map(|interval| [interval.low, interval.high]);
        Ok(BootstrapRun { collect, samples, influences, peak_bytes: peak_bytes()?, difference, interval })
    }
}

/// A detector as coarse arithmetic might leave it: scores in steps of 1/256, some boxes moved by a fifth.
fn coarse(detections: &Detections) -> Result<Detections, Error> {
    let mut candidate = Detections::new(InputPolicy::default());
    for (row, Detection { mut bbox, score, image_id, category_id }) in detections.iter().enumerate() {
        if row % 97 == 0 {
            bbox[0] += bbox[2] * 0.2;
        }
        let score = (score * 256.0).round() / 256.0;
        candidate.push(&Detection { bbox, score, image_id, category_id })?;
    }
    Ok(candidate)
}

/// Prints one comparison beside what others need.
pub(crate) fn report(set: &str, job: &BootstrapJob, run: &BootstrapRun) {
    let BootstrapJob { samples, threads, .. } = job;
    let cost = |cost: Cost| format!("{:.2} s CPU, {:.2} s wall", cost.cpu_seconds, cost.wall_seconds);
    println!("\n{set}, {threads} threads: two detectors compared");
    println!("outcomes of both       {}", cost(run.collect));
    println!("{samples} paired samples    {}", cost(run.samples));
    println!("influence of each image {}", cost(run.influences));
    println!("peak memory            {} MiB", run.peak_bytes >> 20);
    println!("difference in AP {:?}, interval {:?}", run.difference, run.interval);
    println!(
        "hotcoco 1.3.1 on d100: {HOTCOCO_SECONDS_PER_SAMPLE} s CPU a sample, {:.0} s for {samples} (images without multiplicity)",
        HOTCOCO_SECONDS_PER_SAMPLE * *samples as f64
    );
}
