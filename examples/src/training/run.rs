//! A training from its arguments to its files.

use super::arguments::TrainArguments;
use super::curves;
use super::log::{self, Epoch};
use super::trainer::{AVERAGE_OF, Task, Trainer};
use crate::arguments::thread_count;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::network::{Model, find_weights, head_of, named_graph};
use crate::output::{check_writable, create_folder, note, print, write_atomic};
use crate::progress::bar;
use crate::run::{Options, evaluate};
use nn_graph::{Checkpoint, Graph, Params, write_safetensors};
use ptq::{Fusion, lower_float};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use yolo_model::data::{BatchParams, Batches, Samples};
use yolo_model::{NmsParams, Progress, TrainingState, initial_params};

/// A training whose data is open.
struct Run<'a> {
    arguments: &'a TrainArguments,
    samples: Arc<Samples>,
    validation: Dataset,
    class_names: Vec<String>,
    category_ids: Vec<i64>,
}

/// Trains, and writes to the folder: `last.state`, from which a training goes on; `last.safetensors` and `best.safetensors`, the averaged parameters;
/// `epochs.json`, `epochs.csv` and, drawn, `epochs.svg`.
///
/// # Errors
/// All that can go wrong; what was written before stays.
pub fn train(arguments: &TrainArguments) -> Result<()> {
    check_writable(&arguments.out)?;
    let graph = named_graph(&arguments.model)?;
    let head = head_of(&graph)?;
    let run = Run::open(arguments, head.class_count)?;
    let steps = run.samples.len().div_ceil(arguments.batch.into()) as u64;
    let task = Task {
        size: arguments.imgsz,
        decay: arguments.decay,
        loss: arguments.loss(&head),
        schedule: arguments.schedule(steps),
        device: arguments.device.device(),
        graph,
        head,
    };
    let state = arguments.out.join("last.state");
    let mut trainer = if arguments.resume {
        Trainer::resume(task, &read_state(&state)?)?
    } else {
        if state.exists() {
            let expected = "it holds a training; choose another folder, or go on with --resume";
            let value = arguments.out.display().to_string();
            return Err(Error::Argument { option: "--out", value, expected });
        }
        let params = match &arguments.weights {
            Some(path) => started(&find_weights(path))?,
            None => initial_params(&task.graph, &task.head, arguments.seed),
        };
        Trainer::new(task, &params)?
    };
    create_folder(&arguments.out)?;
    note(format_args!(
        "{} parameters; {} images with {} objects, {steps} steps an epoch",
        trainer.parameter_count(),
        run.samples.len(),
        run.samples.label_count()
    ));
    let threads = thread_count(arguments.threads);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| run.epochs(&mut trainer, steps))
}

/// Parameters of a checkpoint.
fn started(path: &Path) -> Result<Params> {
    Ok(Checkpoint::open(path).map_err(|error| Error::model(path)(error.into()))?.params)
}

fn read_state(path: &Path) -> Result<TrainingState<Progress>> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    Ok(TrainingState::from_bytes(&bytes)?)
}

impl<'a> Run<'a> {
    fn open(arguments: &'a TrainArguments, classes: usize) -> Result<Self> {
        let samples = match &arguments.annotations {
            Some(annotations) => Samples::from_coco(annotations, &arguments.images)?,
            None => Samples::from_yolo(&arguments.images, classes)?,
        };
        if samples.class_count() > classes {
            let found = samples.class_count();
            return Err(Error::TrainingClasses { images: arguments.images.clone(), found, classes });
        }
        let validation = Dataset::open(&arguments.val_images, &arguments.val_annotations, false)?;
        let mut categories: Vec<_> = validation.ground_truth.categories().iter().collect();
        categories.sort_by_key(|category| category.id);
        let name = |index: usize| categories.get(index).and_then(|category| category.name.clone());
        let class_names: Vec<String> =
            (0..classes).map(|index| name(index).unwrap_or_else(|| index.to_string())).collect();
        let category_ids = validation.category_ids(&class_names, &arguments.val_annotations)?;
        Ok(Self { arguments, samples: Arc::new(samples), validation, class_names, category_ids })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.arguments.out.join(name)
    }

    fn epochs(&self, trainer: &mut Trainer, steps: u64) -> Result<()> {
        let log_path = self.path("epochs.json");
        let mut epochs = if self.arguments.resume { log::read(&log_path)? } else { Vec::new() };
        // A log may be an epoch ahead of the state.
        epochs.truncate(trainer.progress.epochs as usize);
        while trainer.progress.epochs < self.arguments.epochs && !self.tired(&trainer.progress) {
            let start = Instant::now();
            let losses = self.epoch(trainer, steps)?;
            let rate =
                self.arguments.schedule(steps).at(trainer.progress.steps, trainer.progress.epochs).weights;
            trainer.progress.epochs += 1;
            let done = trainer.progress.epochs;
            let due = done.is_multiple_of(self.arguments.val_every) || done == self.arguments.epochs;
            let mut state = trainer.state()?;
            let ap = if due {
                Some(self.evaluate(trainer.graph(), state.parameters_of(AVERAGE_OF)?)?)
            } else {
                None
            };
            self.keep(trainer.graph().name(), &mut state, ap)?;
            trainer.progress = state.progress;
            let seconds = start.elapsed().as_secs_f64();
            epochs.push(Epoch { epoch: done, steps: trainer.progress.steps, losses, rate, ap, seconds });
            log::write(&log_path, &epochs)?;
            curves::write(&log_path.with_extension("svg"), &epochs)?;
            note(line(&epochs[epochs.len() - 1]));
        }
        let Progress { epochs, best, best_epoch, .. } = trainer.progress;
        print(format_args!(
            "{epochs} epochs; best fitness {best:.4} after epoch {best_epoch}: {}",
            self.path("best.safetensors").display()
        ))
    }

    /// Whether the fitness has not risen for long.
    fn tired(&self, progress: &Progress) -> bool {
        progress.best >= 0.0 && progress.epochs >= progress.best_epoch + self.arguments.patience
    }

    /// All steps of an epoch; returns the mean losses.
    fn epoch(&self, trainer: &mut Trainer, steps: u64) -> Result<[f64; 3]> {
        let TrainArguments { imgsz: size, batch, seed, .. } = *self.arguments;
        let epoch = trainer.progress.epochs;
        let params = BatchParams { size, batch: batch.into(), seed, epoch };
        let progress = bar(steps as usize, &format!("epoch {}", epoch + 1));
        let mut sums = [0.0; 3];
        let batches = Batches::new(Arc::clone(&self.samples), self.arguments.augmentation(), params)?;
        for (index, batch) in batches.enumerate() {
            let parts = trainer.step(batch?)?;
            sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += f64::from(part));
            let mean = sums.map(|sum| sum / (index + 1) as f64);
            let [boxes, objectness, classes] = mean;
            progress.set_message(format!(
                "epoch {} box {boxes:.4} obj {objectness:.4} cls {classes:.4}",
                epoch + 1
            ));
            progress.inc(1);
        }
        progress.finish_and_clear();
        Ok(sums.map(|sum| sum / steps.max(1) as f64))
    }

    /// AP and AP50 of the averaged network.
    fn evaluate(&self, graph: &Graph, average: &Params) -> Result<[f64; 2]> {
        let model = self.model(graph, average)?;
        let program = lower_float(&model.graph, &model.params, Fusion::Fused)?;
        let network = model.network(program, self.arguments.imgsz)?;
        let options = Options {
            nms: NmsParams::default(),
            threads: thread_count(self.arguments.threads),
            skip_bad: false,
            samples: 0,
            profile: false,
        };
        let evaluated = evaluate(&[&network], &self.validation, &self.category_ids, &options)?;
        let summary = &evaluated.outcomes[0].summary;
        Ok([summary.ap, summary.ap50])
    }

    fn model(&self, graph: &Graph, average: &Params) -> Result<Model> {
        let wrong = |source| Error::Model { path: self.arguments.model.clone().into(), source };
        let (graph, params) = graph.fold_batch_norm(average).map_err(wrong)?;
        Ok(Model {
            graph,
            params,
            class_names: self.class_names.clone(),
            expected_inputs: Default::default(),
        })
    }

    /// Writes the state, and the averaged parameters.
    fn keep(&self, model: &str, state: &mut TrainingState<Progress>, ap: Option<[f64; 2]>) -> Result<()> {
        let metadata = BTreeMap::from([("model".to_owned(), model.to_owned())]);
        let save = |name: &str, state: &TrainingState<Progress>| {
            let path = self.path(name);
            let written = write_safetensors(&path, state.parameters_of(AVERAGE_OF)?, &metadata);
            written.map_err(|error| Error::model(&path)(error.into()))?;
            Ok::<_, Error>(())
        };
        // YOLOv5's fitness.
        if let Some(fitness) = ap.map(|[ap, ap50]| 0.9 * ap + 0.1 * ap50)
            && fitness > state.progress.best
        {
            save("best.safetensors", state)?;
            (state.progress.best, state.progress.best_epoch) = (fitness, state.progress.epochs);
        }
        save("last.safetensors", state)?;
        write_atomic(&self.path("last.state"), &state.to_bytes()?)
    }
}

fn line(epoch: &Epoch) -> String {
    let [boxes, objectness, classes] = epoch.losses;
    let ap = epoch.ap.map_or_else(String::new, |[ap, ap50]| format!("  AP {ap:.4}  AP50 {ap50:.4}"));
    format!(
        "epoch {}: box {boxes:.4} obj {objectness:.4} cls {classes:.4}{ap}  {:.1} s",
        epoch.epoch, epoch.seconds
    )
}
