//! A network in training.

use crate::error::{Error, Result};
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Bytes, Device, Tensor, TensorData};
use nn_graph::{Graph, Params};
use std::sync::{Arc, Mutex, PoisonError};
use yolo_model::data::Batch;
use yolo_model::{
    DetectionLoss, Ema, Head, ImageSize, LossConfig, Network, NoHook, Progress, Rates, Schedule,
    TrainingState, sgd,
};

/// Momentum of BatchNorm's running statistics.
const STATISTICS_MOMENTUM: f64 = 0.03;
/// Decay and time of the network's average.
const AVERAGE: [f64; 2] = [0.9999, 2000.0];

/// Names in the state.
const NETWORK: &str = "network";
/// As above.
pub(super) const AVERAGE_OF: &str = "average";

/// What stays the same during a training.
pub struct Task {
    /// The network's graph, BatchNorm and all.
    pub graph: Graph,
    /// Its head.
    pub head: Head,
    /// Size of its input.
    pub size: ImageSize,
    /// Decay of weights.
    pub decay: f64,
    /// Its loss.
    pub loss: LossConfig,
    /// Rates.
    pub schedule: Schedule,
    /// Where it is trained.
    pub device: Device,
}

/// A network with all that its training needs.
pub struct Trainer {
    task: Task,
    network: Network,
    average: Ema,
    optimizer: ModuleOptimizer,
    rates: Arc<Mutex<Rates>>,
    loss: DetectionLoss,
    /// How far it has come.
    pub progress: Progress,
}

impl Trainer {
    /// Begins with parameters.
    ///
    /// # Errors
    /// If they don't fit the graph.
    pub fn new(task: Task, params: &Params) -> Result<Self> {
        let network = Network::new(&task.graph, params, &task.device)?;
        let (optimizer, rates) = sgd(&network, task.decay);
        let average = Ema::new(&network, 0, AVERAGE[0], AVERAGE[1]);
        let loss = DetectionLoss::new(&task.head, task.loss.clone())?;
        Ok(Self { task, network, average, optimizer, rates, loss, progress: Progress::default() })
    }

    /// Goes on from a state.
    ///
    /// # Errors
    /// If it is that of another network.
    pub fn resume(task: Task, state: &TrainingState<Progress>) -> Result<Self> {
        let mut trainer = Self::new(task, state.parameters_of(NETWORK)?)?;
        let average =
            Network::new(&trainer.task.graph, state.parameters_of(AVERAGE_OF)?, &trainer.task.device)?;
        trainer.average = Ema::new(&average, state.progress.updates, AVERAGE[0], AVERAGE[1]);
        let bytes = Bytes::from_bytes_vec(state.optimizer_of(NETWORK)?.to_vec());
        let damaged = |reason: String| yolo_model::Error::State { reason };
        trainer.optimizer =
            trainer.optimizer.from_bytes(bytes).map_err(|error| damaged(error.to_string()))?;
        trainer.progress = state.progress;
        Ok(trainer)
    }

    /// All that the training knows.
    ///
    /// # Errors
    /// If the device fails.
    pub fn state(&self) -> Result<TrainingState<Progress>> {
        let optimizer = self.optimizer.into_bytes();
        let optimizer = optimizer.map_err(|error| yolo_model::Error::State { reason: error.to_string() })?;
        Ok(TrainingState {
            parameters: [
                (NETWORK.to_owned(), self.network.to_params()?),
                (AVERAGE_OF.to_owned(), self.average.network().to_params()?),
            ]
            .into(),
            optimizers: [(NETWORK.to_owned(), optimizer.to_vec())].into(),
            progress: self.progress,
        })
    }

    /// The graph that is trained.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.task.graph
    }

    /// Takes a step on a batch; returns the parts of its loss: boxes, objectness, classes.
    ///
    /// # Errors
    /// [`Error::Diverged`] if the loss is no number: the network has not been changed then.
    pub fn step(&mut self, batch: Batch) -> Result<[f32; 3]> {
        let device = &self.task.device;
        let rates = self.task.schedule.at(self.progress.steps, self.progress.epochs);
        *self.rates.lock().unwrap_or_else(PoisonError::into_inner) = rates;
        let ImageSize { height, width } = self.task.size;
        let shape = [batch.indices.len(), 3, height, width];
        let images = Tensor::<4>::from_data(TensorData::new(batch.images, shape), device);
        let (outputs, statistics) = self.network.forward_train(images, &mut NoHook)?;
        let found = self.loss.evaluate(&outputs, &batch.labels, self.task.size)?;
        let parts = found.parts.map(Tensor::into_scalar::<f32>);
        if parts.iter().any(|part| !part.is_finite()) {
            let Progress { epochs, steps, .. } = self.progress;
            return Err(Error::Diverged { epoch: epochs + 1, step: steps + 1, images: batch.indices });
        }
        let gradients = GradientsParams::from_grads(found.total.backward(), &self.network);
        let network = self.optimizer.step(1.0, self.network.clone(), gradients);
        self.network = network.update_statistics(&statistics, STATISTICS_MOMENTUM);
        self.average.update(&self.network);
        self.progress.steps += 1;
        self.progress.updates = self.average.updates();
        Ok(parts)
    }

    /// Values of all parameters, to tell how large the network is.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.network.num_params()
    }
}
