//! Sensitivities by leaving one layer out, or quantising it alone.
//!
//! Images are the outer loop and variants the inner one: a base is recorded once per image, and every variant runs from its first tensor that
//! differs. With variants outside, either every variant would run whole, or recordings of all images would have to be kept.

use crate::analysis::accuracy::defined;
use crate::analysis::files::SensitivityPart;
use crate::analysis::job::Job;
use crate::analysis::settings::Score;
use crate::analysis::state::State;
use crate::error::{Error, Result};
use crate::images::{decode, prepare};
use crate::network::detections;
use crate::progress::bar;
use crate::run::coco_row;
use crate::workers;
use coco_eval::{Bootstrap, BootstrapParams, Comparison, Detections, EvalParams, InputPolicy, Outcomes};
use ptq::Fusion;
use ptq::analysis::{
    Agreement, AnalysisError, Mode, Plan, Scores, Sensitivity, SensitivityRow, Session, Sums, VariantRuns,
};
use quant_core::Executor;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use yolo_model::{Head, LetterboxTransform};

/// Share of the sets of images that an interval holds.
const CONFIDENCE: f64 = 0.95;

/// What a block of images gives, by network: the float one, the base unless that is the float one, the variants.
#[derive(Serialize, Deserialize)]
struct Block {
    /// Images that could be read.
    used: usize,
    /// For average precision; none if no image could be read.
    outcomes: Vec<Outcomes>,
    /// For the other scores.
    agreements: Vec<Agreement>,
}

/// What one network gives on one image.
enum Found {
    Detections(Vec<coco_eval::Detection>),
    Sums(Sums),
}

/// What a thread needs.
struct Worker<'r, 'p> {
    float: Executor<'p>,
    session: Session<'r, 'p>,
}

/// Programs and everything else that threads share.
struct Shared<'a, 'p> {
    job: &'a Job,
    head: Head,
    float: Executor<'p>,
    runs: VariantRuns<'p>,
    mode: Mode,
}

/// Sensitivities of all scopes; `None` if the run is to end before.
///
/// # Errors
/// Calibration, lowering, images that can't be read (unless skipped).
pub fn sensitivity(job: &Job, mode: Mode, state: &State) -> Result<Option<SensitivityPart>> {
    let settings = &job.settings;
    let (model, size) = (&job.model, settings.size);
    let scopes = (&job.scopes[..], &job.ignored);
    let quantizers = job.quantizers()?;
    let (base, candidates) = (settings.precision, &settings.candidates);
    let plan = Plan::new(mode, &model.graph, &job.layers, &quantizers, base, scopes, candidates);
    let (base, variants) = plan.lower(&model.graph, &model.params)?;
    let float = job.float(Fusion::Fused)?;
    let shared = Shared {
        job,
        head: model.head()?,
        float: Executor::new(&float, size.height, size.width)?,
        runs: VariantRuns::new(&base, &variants, size.height, size.width)?,
        mode,
    };
    let Some(blocks) = state.blocks(|range| shared.block(range))? else { return Ok(None) };
    let mut sensitivity = shared.empty(&plan, blocks.iter().map(|block| block.used).sum())?;
    match settings.score {
        Score::Map => shared.judge_precisions(&mut sensitivity, blocks)?,
        score => shared.judge_agreements(&mut sensitivity, score, blocks)?,
    }
    sensitivity.sort();
    Ok(Some(SensitivityPart { sensitivity }))
}

impl<'p> Shared<'_, 'p> {
    /// Position of the base among the networks; the float network is the first.
    fn base(&self) -> usize {
        usize::from(self.mode == Mode::LeaveOneOut)
    }

    fn block(&self, range: Range<usize>) -> Result<Block> {
        let label = format!("images from {}", range.start + 1);
        let worker = || Ok(Worker { float: self.float.clone(), session: self.runs.session() });
        let work = |worker: &mut Worker<'_, 'p>, index: usize| self.image(worker, range.start + index);
        let (found, _) = workers::for_each(self.job.threads, range.len(), &label, worker, work)?;
        let used: Vec<(usize, Vec<Found>)> =
            range.zip(found).filter_map(|(index, found)| Some((index, found?))).collect();
        self.gather(used)
    }

    /// What all networks give on an image, unless it is skipped.
    fn image(&self, worker: &mut Worker<'_, 'p>, index: usize) -> Result<Option<Vec<Found>>> {
        let settings = &self.job.settings;
        let image = &self.job.dataset.images[index];
        let Some(picture) = workers::skip_bad(decode(&image.path), settings.skip_bad)? else {
            return Ok(None);
        };
        let (input, transform) = prepare(&picture, settings.size)?;
        let map = settings.score == Score::Map;
        let mut found = Vec::with_capacity(self.runs.variants() + 2);
        let mut reference = Vec::new();
        if self.mode == Mode::LeaveOneOut {
            worker.float.run(&input)?;
            reference = if map { reference } else { real_outputs(&worker.float) };
            found.push(self.judge(&worker.float, &reference, image.id, &transform)?);
        }
        worker.session.run(&input, |which, executor| {
            if which.is_none() && self.mode == Mode::OnlyOneOn && !map {
                reference = real_outputs(executor);
            }
            found.push(self.judge(executor, &reference, image.id, &transform)?);
            Ok::<_, Error>(())
        })?;
        Ok(Some(found))
    }

    fn judge(
        &self,
        executor: &Executor<'_>,
        reference: &[Vec<f32>],
        image_id: i64,
        transform: &LetterboxTransform,
    ) -> Result<Found> {
        if self.job.settings.score == Score::Map {
            let found = detections(&self.head, executor, &self.job.nms_params())?;
            let row = |d| coco_row(d, transform, image_id, &self.job.category_ids);
            return Ok(Found::Detections(found.iter().map(row).collect()));
        }
        let mut sums = Sums::default();
        for (reference, values) in reference.iter().zip(real_outputs(executor)) {
            sums.observe(reference, &values)?;
            if self.job.settings.score == Score::Kl {
                sums.observe_scores(reference, &values, 1, Scores::Sigmoid)?;
            }
        }
        Ok(Found::Sums(sums))
    }

    /// Image by image into network by network.
    fn gather(&self, images: Vec<(usize, Vec<Found>)>) -> Result<Block> {
        let networks = self.runs.variants() + 1 + self.base();
        let used = images.len();
        let ids: Vec<i64> = images.iter().map(|(index, _)| self.job.dataset.images[*index].id).collect();
        let mut rows: Vec<Detections> = vec![Detections::new(InputPolicy::default()); networks];
        let mut agreements = vec![Agreement::default(); networks];
        for (index, found) in images {
            for (network, found) in found.into_iter().enumerate() {
                match found {
                    Found::Detections(found) => {
                        found.iter().try_for_each(|row| rows[network].push(row))?;
                    }
                    Found::Sums(sums) => agreements[network].set(index as u64, sums),
                }
            }
        }
        if self.job.settings.score != Score::Map || used == 0 {
            return Ok(Block { used, outcomes: Vec::new(), agreements });
        }
        let truth = &self.job.dataset.ground_truth;
        let params = EvalParams::default();
        let collect = |rows: &Detections| Outcomes::collect_images(truth, rows, &params, &ids);
        let outcomes = rows.iter().map(collect).collect::<std::result::Result<_, _>>()?;
        Ok(Block { used, outcomes, agreements: Vec::new() })
    }

    /// The result without its scores.
    fn empty(&self, plan: &Plan, images: usize) -> Result<Sensitivity> {
        if images == 0 {
            return Err(Error::AllBad { count: self.job.dataset.images.len() });
        }
        let row = |(index, variant): (usize, &ptq::analysis::Variant)| SensitivityRow {
            name: variant.scope.name.clone(),
            layers: variant.scope.layers.iter().cloned().collect(),
            precision: variant.precision,
            score: None,
            gain: 0.0,
            interval: None,
            recomputed: self.runs.convolutions(index),
        };
        let settings = &self.job.settings;
        let mut sensitivity = Sensitivity {
            mode: self.mode,
            score: settings.score.name().to_owned(),
            by: settings.by,
            precision: settings.precision,
            ignored: self.job.ignored.iter().cloned().collect(),
            images,
            float: None,
            base: None,
            convolutions: [0; 2],
            rows: plan.variants.iter().enumerate().map(row).collect(),
        };
        sensitivity.note(self.runs.savings());
        Ok(sensitivity)
    }

    /// Average precisions, and paired intervals of what each variant differs from the base.
    fn judge_precisions(&self, sensitivity: &mut Sensitivity, blocks: Vec<Block>) -> Result<()> {
        let mut by_network: Vec<Vec<Outcomes>> = Vec::new();
        for block in blocks {
            by_network.resize_with(by_network.len().max(block.outcomes.len()), Vec::new);
            by_network.iter_mut().zip(block.outcomes).for_each(|(all, outcomes)| all.push(outcomes));
        }
        let samples = self.job.settings.samples;
        let progress = bar(by_network.len() * samples, "sampling");
        let draw = |parts: Vec<Outcomes>| -> Result<Bootstrap> {
            let params = BootstrapParams { samples, ..BootstrapParams::default() };
            Ok(Outcomes::merge(parts)?.bootstrap(params, || progress.inc(1))?)
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.job.threads).build()?;
        let drawn = pool.install(|| by_network.into_iter().map(draw).collect::<Result<Vec<Bootstrap>>>())?;
        progress.finish_and_clear();
        let base = &drawn[self.base()];
        sensitivity.float = Some(defined(self.job, drawn[0].summary().ap)?);
        sensitivity.base = Some(defined(self.job, base.summary().ap)?);
        for (row, variant) in sensitivity.rows.iter_mut().zip(&drawn[self.base() + 1..]) {
            let ap = &Comparison::new(base, variant, CONFIDENCE)?.figures[0];
            let (difference, interval) = (ap.difference.unwrap_or(0.0), ap.interval);
            row.score = Some(ap.candidate);
            (row.gain, row.interval) = match self.mode {
                Mode::LeaveOneOut => (difference, interval.map(|i| [i.low, i.high])),
                Mode::OnlyOneOn => (-difference, interval.map(|i| [-i.high, -i.low])),
            };
        }
        Ok(())
    }

    /// Scores of the outputs beside the float network's.
    fn judge_agreements(
        &self,
        sensitivity: &mut Sensitivity,
        score: Score,
        blocks: Vec<Block>,
    ) -> Result<()> {
        let mut by_network: Vec<Agreement> = Vec::new();
        for block in blocks {
            by_network.resize_with(by_network.len().max(block.agreements.len()), Agreement::default);
            by_network.iter_mut().zip(block.agreements).for_each(|(all, part)| all.merge(part));
        }
        let totals: Vec<Sums> = by_network.iter().map(Agreement::total).collect();
        let (base, variants) = (totals[self.base()], &totals[self.base() + 1..]);
        (sensitivity.float, sensitivity.base) = (value(score, &totals[0]), value(score, &base));
        for (row, variant) in sensitivity.rows.iter_mut().zip(variants) {
            row.score = value(score, variant);
            let change = loss(score, &base) - loss(score, variant);
            row.gain = if self.mode == Mode::LeaveOneOut { change } else { -change };
            if !row.gain.is_finite() {
                return Err(AnalysisError::Gain { name: row.name.clone(), gain: row.gain }.into());
            }
        }
        Ok(())
    }
}

fn real_outputs(executor: &Executor<'_>) -> Vec<Vec<f32>> {
    let tensors = executor.program().tensors();
    executor.outputs().map(|(tensor, values)| values.to_f32(tensors[tensor].format)).collect()
}

/// What is shown.
fn value(score: Score, sums: &Sums) -> Option<f64> {
    let value = match score {
        Score::Map => return None,
        Score::Sqnr => sums.sqnr_db(),
        Score::Cosine => sums.cosine(),
        Score::Kl => sums.kl(),
    };
    value.is_finite().then_some(value)
}

/// What quantisation costs, in a unit in which independent errors add up.
fn loss(score: Score, sums: &Sums) -> f64 {
    match score {
        Score::Map => 0.0,
        Score::Sqnr => sums.noise_to_signal(),
        Score::Cosine => 1.0 - sums.cosine(),
        Score::Kl => sums.kl(),
    }
}
