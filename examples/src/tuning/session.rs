//! Stages of training, and what goes on when one was interrupted.

use super::arguments::{LossArgument, TuneArguments};
use super::target::Target;
use super::tuner::{Optimizers, Tuner};
use crate::error::{Error, Result};
use crate::images::list_images;
use crate::output::write_atomic;
use crate::progress::bar;
use nn_graph::Params;
use qat_inq::Masks;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use yolo_model::TrainingState;
use yolo_model::data::{Augmentation, Batch, BatchParams, Batches, Samples};

/// How far a training has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// What decides on the result.
    pub(super) settings: String,
    /// Stages that are done.
    pub(super) stages: usize,
    /// Steps of the stage after them.
    pub(super) step: u64,
    /// Steps of all stages.
    pub(super) all_steps: u64,
    /// Mean loss of the stages that are done.
    pub(super) losses: Vec<f64>,
    /// Sum of the losses of the stage after them.
    pub(super) sum: f64,
}

/// What is stored.
pub(super) type State = TrainingState<Progress>;

/// A training whose data is open.
pub(super) struct Session<'a> {
    /// Its arguments.
    pub(super) arguments: &'a TuneArguments,
    /// What it is for.
    pub(super) target: &'a Target,
    samples: Arc<Samples>,
    /// Folder of its files.
    pub(super) out: &'a Path,
}

/// Batches one after the other, epoch by epoch.
struct Feed {
    samples: Arc<Samples>,
    params: BatchParams,
    batches: Option<Batches>,
}

impl Feed {
    /// As if `steps` batches had been taken.
    fn new(samples: Arc<Samples>, params: BatchParams, steps: u64) -> Result<Self> {
        let epoch = samples.len().div_ceil(params.batch) as u64;
        let mut feed =
            Self { samples, params: BatchParams { epoch: steps / epoch, ..params }, batches: None };
        for _ in 0..steps % epoch {
            feed.next()?;
        }
        Ok(feed)
    }

    fn next(&mut self) -> Result<Batch> {
        loop {
            let batches = match &mut self.batches {
                Some(batches) => batches,
                None => {
                    // Distillation wants images as they are met; a mirrored one is as good as another image.
                    let augmentation = Augmentation { fliplr: 0.5, ..Augmentation::none() };
                    self.batches.insert(Batches::new(Arc::clone(&self.samples), augmentation, self.params)?)
                }
            };
            if let Some(batch) = batches.next() {
                return Ok(batch?);
            }
            self.params.epoch += 1;
            self.batches = None;
        }
    }
}

impl<'a> Session<'a> {
    /// Opens the images to train on.
    ///
    /// # Errors
    /// Names what can't be read, or does not go together.
    pub(super) fn open(arguments: &'a TuneArguments, target: &'a Target, out: &'a Path) -> Result<Self> {
        let unlabelled = arguments.loss == LossArgument::Distillation;
        let samples = match (&arguments.train_images, &arguments.train_annotations) {
            (Some(images), Some(annotations)) => Samples::from_coco(annotations, images)?,
            (None, _) if !unlabelled => {
                return Err(Error::Missing { option: "--train-images", example: "coco/train128" });
            }
            (Some(images), None) if !unlabelled => {
                Samples::from_yolo(images, target.model().head()?.class_count)?
            }
            (Some(images), None) => Samples::unlabelled(list_images(images)?)?,
            (None, _) => Samples::unlabelled(target.calibration.clone())?,
        };
        let (found, classes) = (samples.class_count(), target.model().head()?.class_count);
        if found > classes {
            let images = arguments.train_images.clone().unwrap_or_default();
            return Err(Error::TrainingClasses { images, found, classes });
        }
        Ok(Self { arguments, target, samples: Arc::new(samples), out })
    }

    /// How many images there are.
    #[must_use]
    pub(super) fn image_count(&self) -> usize {
        self.samples.len()
    }

    /// Where the state is.
    #[must_use]
    pub(super) fn state_path(&self) -> PathBuf {
        self.out.join("last.state")
    }

    /// The state of a training to go on with, if that is wanted; else there must be none.
    ///
    /// # Errors
    /// If there is one unexpectedly, or it is damaged, or of other settings.
    pub(super) fn state(&self, settings: &str) -> Result<Option<State>> {
        let path = self.state_path();
        if !self.arguments.resume {
            if path.exists() {
                let expected = "it holds a training; choose another folder, or go on with --resume";
                let value = self.out.display().to_string();
                return Err(Error::Argument { option: "--out", value, expected });
            }
            return Ok(None);
        }
        let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
        let state = State::from_bytes(&bytes)?;
        if state.progress.settings != settings {
            return Err(Error::OtherState { path });
        }
        Ok(Some(state))
    }

    /// Trains until the stage has had all its steps; the state is written now and then.
    ///
    /// # Errors
    /// What goes wrong on the way; what was written before stays.
    pub(super) fn stage(
        &self,
        tuner: &mut Tuner<'_>,
        progress: &mut Progress,
        (masks, steps): (&Masks, u64),
    ) -> Result<()> {
        let TuneArguments { batch, seed, save_every, .. } = *self.arguments;
        let params = BatchParams { size: self.target.size, batch: batch.into(), seed, epoch: 0 };
        let mut feed = Feed::new(Arc::clone(&self.samples), params, progress.all_steps)?;
        let label = format!("stage {}", progress.stages + 1);
        let shown = bar(steps as usize, &label);
        shown.set_position(progress.step);
        while progress.step < steps {
            let rates = self.arguments.rates(progress.step, steps);
            let loss = tuner.step(feed.next()?, rates, progress.all_steps)?;
            progress.step += 1;
            progress.all_steps += 1;
            progress.sum += f64::from(loss);
            shown.set_message(format!("{label} loss {:.5}", progress.sum / progress.step as f64));
            shown.inc(1);
            if progress.step.is_multiple_of(save_every) && progress.step < steps {
                self.keep(&tuner.params()?, Some(masks), (tuner.steps()?, tuner.optimizers()?), progress)?;
            }
        }
        shown.finish_and_clear();
        progress.losses.push(progress.sum / steps.max(1) as f64);
        (progress.stages, progress.step, progress.sum) = (progress.stages + 1, 0, 0.0);
        Ok(())
    }

    /// Writes the state.
    ///
    /// # Errors
    /// If the file can't be written; the one before stays then.
    pub(super) fn keep(
        &self,
        params: &Params,
        masks: Option<&Masks>,
        (steps, optimizers): (Option<Params>, Optimizers),
        progress: &Progress,
    ) -> Result<()> {
        let masks = masks.map(|masks| ("masks".to_owned(), masks.to_params()));
        let steps = steps.map(|steps| ("steps".to_owned(), steps));
        let network = ("network".to_owned(), params.clone());
        let state = State {
            parameters: [network].into_iter().chain(masks).chain(steps).collect(),
            optimizers,
            progress: progress.clone(),
        };
        write_atomic(&self.state_path(), &state.to_bytes()?)
    }
}
