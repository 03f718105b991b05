//! Evaluation of networks on annotated images.

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::images::{Picture, decode, prepare};
use crate::network::Network;
use crate::progress::bar;
use crate::workers;
use coco_eval::{
    Bootstrap, BootstrapParams, Detections, EvalParams, GroundTruth, InputPolicy, Outcomes, Summary,
};
use indicatif::ProgressBar;
use quant_core::{Executor, StepTimes};
use std::time::Instant;
use yolo_model::{Detection, ImageSize, LetterboxTransform, NmsParams, coco_box};

/// What one network found.
pub struct Outcome {
    /// All its detections, in COCO's form.
    pub detections: Detections,
    /// The twelve figures.
    pub summary: Summary,
    /// Figures of sets of images drawn from those evaluated, the same sets for every network; none without [`Options::samples`].
    pub bootstrap: Option<Bootstrap>,
    /// Median time of a forward pass on one core, in milliseconds.
    pub ms_per_image: f64,
}

/// A network's executor on one thread, and what its steps took if they are timed.
struct Runner<'n> {
    executor: Executor<'n>,
    times: Option<StepTimes>,
}

impl<'n> Runner<'n> {
    fn new(network: &'n Network, profile: bool) -> Result<Self> {
        let mut executor = network.executor()?;
        if profile {
            // Weights are packed in the first run, which is not to be counted.
            let values = executor.shapes()[0].iter().product();
            executor.run(&vec![0.0; values])?;
        }
        Ok(Self { executor, times: profile.then(StepTimes::default) })
    }

    fn run(&mut self, input: &[f32]) -> Result<()> {
        match &mut self.times {
            Some(times) => self.executor.run_timed(input, times)?,
            None => self.executor.run(input)?,
        }
        Ok(())
    }
}

/// How the images were treated.
pub struct Options {
    /// Thresholds of non-maximum suppression.
    pub nms: NmsParams,
    /// Threads, of one core each.
    pub threads: usize,
    /// Go on without images that can't be read.
    pub skip_bad: bool,
    /// Sets of images to draw for intervals; 0 for none.
    pub samples: usize,
    /// Time every step.
    pub profile: bool,
}

/// What all networks found.
pub struct Evaluated {
    /// One per network.
    pub outcomes: Vec<Outcome>,
    /// Ids of the images that could be read.
    pub image_ids: Vec<i64>,
    /// Number of the others.
    pub skipped: usize,
    /// What the steps of each network took on all images together; empty without [`Options::profile`].
    pub times: Vec<StepTimes>,
}

/// What a network found on one image, and how long its forward pass took in milliseconds.
type Found = (Vec<coco_eval::Detection>, f64);

/// Runs all `networks` on every image of `dataset` (each is decoded once, and prepared once for networks of one
/// size that follow each other) and evaluates each.
///
/// # Errors
/// An image that can't be read (unless skipped), and all errors of running and evaluating.
pub fn evaluate(
    networks: &[&Network],
    dataset: &Dataset,
    category_ids: &[i64],
    options: &Options,
) -> Result<Evaluated> {
    let state = || networks.iter().map(|n| Runner::new(n, options.profile)).collect::<Result<Vec<_>>>();
    let images = &dataset.images;
    let work = |runners: &mut Vec<Runner<'_>>, index: usize| -> Result<Option<Vec<Found>>> {
        let image = &images[index];
        let Some(picture) = workers::skip_bad(decode(&image.path), options.skip_bad)? else {
            return Ok(None);
        };
        let mut prepared: Option<Input> = None;
        let mut found = Vec::with_capacity(networks.len());
        for (network, runner) in networks.iter().zip(runners) {
            let input = match prepared.take() {
                Some(input) if input.transform.target == network.size => input,
                _ => Input::new(&picture, network.size)?,
            };
            found.push(run_on(network, runner, &input, image.id, category_ids, &options.nms)?);
            prepared = Some(input);
        }
        Ok(Some(found))
    };
    let (found, states) = workers::for_each(options.threads, images.len(), "evaluating", state, work)?;
    let skipped = found.iter().filter(|f| f.is_none()).count();
    let used: Vec<i64> =
        images.iter().zip(&found).filter(|(_, f)| f.is_some()).map(|(image, _)| image.id).collect();
    if used.is_empty() {
        return Err(Error::AllBad { count: images.len() });
    }
    let params = EvalParams { image_ids: Some(used.clone()), ..EvalParams::default() };
    let per_image: Vec<Vec<Found>> = found.into_iter().flatten().collect();
    let progress = bar(networks.len() * options.samples, "sampling");
    let outcome =
        |network| outcome(network, &per_image, &dataset.ground_truth, &params, options.samples, &progress);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build()?;
    let outcomes = pool.install(|| (0..networks.len()).map(outcome).collect::<Result<Vec<_>>>())?;
    progress.finish_and_clear();
    Ok(Evaluated { outcomes, image_ids: used, skipped, times: sum_of_times(&states) })
}

/// What the steps of each network took on all threads together.
fn sum_of_times(states: &[Vec<Runner<'_>>]) -> Vec<StepTimes> {
    let mut sums: Vec<StepTimes> = Vec::new();
    for times in states.iter().map(|runners| runners.iter().filter_map(|runner| runner.times.as_ref())) {
        for (index, times) in times.enumerate() {
            sums.resize_with(sums.len().max(index + 1), StepTimes::default);
            sums[index] += times;
        }
    }
    sums
}

/// A picture as networks of one size read it.
struct Input {
    values: Vec<f32>,
    transform: LetterboxTransform,
}

impl Input {
    fn new(picture: &Picture, size: ImageSize) -> Result<Self> {
        let (values, transform) = prepare(picture, size)?;
        Ok(Self { values, transform })
    }
}

fn run_on(
    network: &Network,
    runner: &mut Runner<'_>,
    input: &Input,
    image_id: i64,
    category_ids: &[i64],
    nms: &NmsParams,
) -> Result<Found> {
    let start = Instant::now();
    runner.run(&input.values)?;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    let detections = network.detections(&runner.executor, nms)?;
    let rows = detections.iter().map(|d| coco_row(d, &input.transform, image_id, category_ids)).collect();
    Ok((rows, milliseconds))
}

/// A detection in network pixels as a row of COCO's result files.
#[must_use]
pub fn coco_row(
    detection: &Detection,
    transform: &LetterboxTransform,
    image_id: i64,
    category_ids: &[i64],
) -> coco_eval::Detection {
    coco_eval::Detection {
        image_id,
        category_id: category_ids[detection.class],
        bbox: coco_box(detection.bbox, transform),
        score: f64::from(detection.score),
    }
}

/// Detections and figures of one network. Of what its detections are, only the figures of the samples are kept.
fn outcome(
    network: usize,
    per_image: &[Vec<Found>],
    ground_truth: &GroundTruth,
    params: &EvalParams,
    samples: usize,
    progress: &ProgressBar,
) -> Result<Outcome> {
    let mut detections = Detections::new(InputPolicy::default());
    let mut times = Vec::with_capacity(per_image.len());
    for (rows, milliseconds) in per_image.iter().map(|image| &image[network]) {
        rows.iter().try_for_each(|row| detections.push(row))?;
        times.push(*milliseconds);
    }
    times.sort_by(f64::total_cmp);
    let ms_per_image = times[times.len() / 2];
    if samples == 0 {
        let summary = coco_eval::evaluate(ground_truth, &detections, params)?.summarize()?;
        return Ok(Outcome { summary, detections, bootstrap: None, ms_per_image });
    }
    let found = Outcomes::collect(ground_truth, &detections, params)?;
    let draws = BootstrapParams { samples, ..BootstrapParams::default() };
    let bootstrap = found.bootstrap(draws, || progress.inc(1))?;
    Ok(Outcome { summary: *bootstrap.summary(), detections, bootstrap: Some(bootstrap), ms_per_image })
}
