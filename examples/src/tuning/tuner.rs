//! A network in training towards integers.

use super::arguments::{LossArgument, OptimizerArgument, TuneArguments};
use super::target::Target;
use crate::error::{Error, Result};
use burn::module::Module;
use burn::optim::{AdamConfig, AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Bytes, Device, Tensor, TensorData};
use nn_graph::{Params, TensorId};
use qat_inq::{
    FakeQuantization, LearnedSteps, Masked, Masks, Quantizers, Taps, block_outputs, distillation_loss,
    head_distillation_loss,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use yolo_model::data::Batch;
use yolo_model::{DetectionLoss, ImageSize, LossConfig, Network, NoHook, Rates, sgd};

/// Share of the learning rate that learned steps have: they are factors near 1, which need larger steps than weights.
const STEP_RATE: f64 = 10.0;

/// What is quantised in the forward pass.
pub(super) enum Quantised {
    /// Feature maps alone, with steps as they are.
    Maps,
    /// Nothing.
    Nothing,
    /// Feature maps and weights, with steps as they are.
    All,
    /// Feature maps and weights, with steps that are learned.
    Learned,
}

/// Optimizers, by what they move.
pub(super) type Optimizers = BTreeMap<String, Vec<u8>>;
/// Names of optimizers.
const NETWORK: &str = "network";
const STEPS: &str = "steps";

/// Steps in training.
struct Learner {
    steps: LearnedSteps,
    optimizer: ModuleOptimizer,
}

/// A network with all that its training needs.
pub(super) struct Tuner<'t> {
    target: &'t Target,
    device: Device,
    network: Network,
    masked: Masked,
    rates: Option<Arc<Mutex<Rates>>>,
    learner: Option<Learner>,
    hook: FakeQuantization,
    teacher: Option<Network>,
    taps: Vec<TensorId>,
    block_weight: f64,
    head_weight: f64,
    detection: Option<DetectionLoss>,
}

impl<'t> Tuner<'t> {
    /// Begins with parameters, of which `masks` are frozen.
    ///
    /// # Errors
    /// If they don't fit the graph.
    pub(super) fn new(
        target: &'t Target,
        arguments: &TuneArguments,
        (params, masks): (&Params, &Masks),
        quantised: &Quantised,
    ) -> Result<Self> {
        let model = target.model();
        let device = arguments.device.device();
        let network = Network::new(&model.graph, params, &device)?;
        let fixed = || FakeQuantization::new(&model.graph, &target.quantizers, &device);
        let hook = match quantised {
            Quantised::Maps => fixed()?.without_kernels(),
            Quantised::All => fixed()?,
            Quantised::Nothing | Quantised::Learned => FakeQuantization::default(),
        };
        let learner = matches!(quantised, Quantised::Learned).then(|| Learner {
            steps: LearnedSteps::new(&target.quantizers, &device),
            optimizer: AdamConfig::new().init(),
        });
        let teacher = match arguments.loss {
            LossArgument::Labels => None,
            _ => Some(Network::new(&model.graph, &model.params, &device)?.valid()),
        };
        let head = model.head()?;
        let detection = match arguments.loss {
            LossArgument::Distillation => None,
            _ => Some(DetectionLoss::new(&head, LossConfig::scaled(&head, target.size))?),
        };
        let (optimizer, rates) = optimizer(&network, arguments);
        let masked = Masked::new(optimizer, &network, masks)?;
        let taps = block_outputs(&model.graph);
        let [block_weight, head_weight] = [arguments.block_weight, arguments.head_weight];
        Ok(Self {
            target,
            device,
            network,
            masked,
            rates,
            learner,
            hook,
            teacher,
            taps,
            block_weight,
            head_weight,
            detection,
        })
    }

    /// Goes on with what optimizers knew, and with learned steps.
    ///
    /// # Errors
    /// If they are of another network.
    pub(super) fn resume(
        mut self,
        arguments: &TuneArguments,
        masks: &Masks,
        (optimizers, steps): (&Optimizers, Option<&Params>),
    ) -> Result<Self> {
        let damaged = |reason: String| yolo_model::Error::State { reason };
        let bytes = |name: &str| {
            let missing = || damaged(format!("it has no state of the {name}'s optimizer"));
            optimizers.get(name).map(|bytes| Bytes::from_bytes_vec(bytes.clone())).ok_or_else(missing)
        };
        let (fresh, rates) = optimizer(&self.network, arguments);
        let loaded = fresh.from_bytes(bytes(NETWORK)?).map_err(|error| damaged(error.to_string()))?;
        self.masked = Masked::new(loaded, &self.network, masks)?;
        self.rates = rates;
        if let Some(learner) = &mut self.learner {
            let factors = |name: &str| {
                let found = steps.and_then(|steps| steps.get(name)).map(|values| values.data().to_vec());
                found.ok_or_else(|| damaged(format!("it has no steps of {name}")))
            };
            learner.steps = LearnedSteps::of_factors([factors("maps")?, factors("kernels")?], &self.device);
            learner.steps.quantizers(&self.target.quantizers)?;
            let fresh: ModuleOptimizer = AdamConfig::new().init();
            learner.optimizer =
                fresh.from_bytes(bytes(STEPS)?).map_err(|error| damaged(error.to_string()))?;
        }
        Ok(self)
    }

    /// Takes a step on a batch; returns its loss.
    ///
    /// # Errors
    /// [`Error::Diverged`] if the loss is no number: the network has not been changed then. That a frozen weight moved.
    pub(super) fn step(&mut self, batch: Batch, rates: Rates, number: u64) -> Result<f32> {
        let ImageSize { height, width } = self.target.size;
        let shape = [batch.indices.len(), 3, height, width];
        let images = Tensor::<4>::from_data(TensorData::new(batch.images.clone(), shape), &self.device);
        let loss = self.loss(images, &batch)?;
        let value = loss.clone().into_scalar::<f32>();
        if !value.is_finite() {
            return Err(Error::Diverged { epoch: 1, step: number + 1, images: batch.indices });
        }
        let mut gradients = loss.backward();
        let own = GradientsParams::from_module(&mut gradients, &self.network);
        if let Some(shared) = &self.rates {
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = rates;
        }
        self.network = self.masked.step(rates.weights, self.network.clone(), own);
        self.masked.check(&self.network)?;
        if let Some(Learner { steps, optimizer }) = &mut self.learner {
            let own = GradientsParams::from_module(&mut gradients, steps);
            *steps = optimizer.step(STEP_RATE * rates.weights, steps.clone(), own);
        }
        Ok(value)
    }

    fn loss(&self, images: Tensor<4>, batch: &Batch) -> Result<Tensor<1>> {
        let (mut target, mut wanted) = (BTreeMap::new(), Vec::new());
        if let Some(teacher) = &self.teacher {
            let mut taps = Taps::new(NoHook, &self.taps);
            let outputs = teacher.forward_with(images.clone().inner(), &mut taps)?;
            wanted = outputs.into_iter().map(Tensor::from_inner).collect();
            target = taps.seen.into_iter().map(|(id, value)| (id, Tensor::from_inner(value))).collect();
        }
        let hook = match &self.learner {
            Some(Learner { steps, .. }) => FakeQuantization::learned(
                &self.target.model().graph,
                &self.target.quantizers,
                steps,
                &self.device,
            )?,
            None => self.hook.clone(),
        };
        let mut taps = Taps::new(hook, &self.taps);
        let outputs = self.network.forward_with(images, &mut taps)?;
        let distilled = distillation_loss(&taps.seen, &target).map(|loss| loss.mul_scalar(self.block_weight));
        let head = head_distillation_loss(&outputs, &wanted, &self.target.model().head()?)
            .map(|loss| loss.mul_scalar(self.head_weight));
        let detected = match &self.detection {
            Some(loss) => Some(loss.evaluate(&outputs, &batch.labels, self.target.size)?.total),
            None => None,
        };
        let parts = distilled.into_iter().chain(head).chain(detected);
        Ok(parts.reduce(|a, b| a + b).unwrap_or_else(|| Tensor::zeros([1], &self.device)))
    }

    /// The parameters.
    ///
    /// # Errors
    /// If the device fails.
    pub(super) fn params(&self) -> Result<Params> {
        Ok(self.network.to_params()?)
    }

    /// The quantisers, with steps as they have been learned.
    ///
    /// # Errors
    /// If the device fails.
    pub(super) fn quantizers(&self) -> Result<Quantizers> {
        match &self.learner {
            Some(learner) => Ok(learner.steps.quantizers(&self.target.quantizers)?),
            None => Ok(self.target.quantizers.clone()),
        }
    }

    /// The learned steps, to be stored.
    ///
    /// # Errors
    /// If the device fails.
    pub(super) fn steps(&self) -> Result<Option<Params>> {
        let Some(learner) = &self.learner else { return Ok(None) };
        let [maps, kernels] = learner.steps.factors()?.map(nn_graph::Tensor::vector);
        Ok(Some([("maps".to_owned(), maps), ("kernels".to_owned(), kernels)].into()))
    }

    /// What the optimizers know.
    ///
    /// # Errors
    /// If the device fails.
    pub(super) fn optimizers(&self) -> Result<Optimizers> {
        let bytes = |optimizer: &ModuleOptimizer| {
            let bytes = optimizer.into_bytes();
            Ok::<_, Error>(
                bytes.map_err(|error| yolo_model::Error::State { reason: error.to_string() })?.to_vec(),
            )
        };
        let mut all = Optimizers::from([(NETWORK.to_owned(), bytes(self.masked.optimizer())?)]);
        if let Some(learner) = &self.learner {
            all.insert(STEPS.to_owned(), bytes(&learner.optimizer)?);
        }
        Ok(all)
    }
}

fn optimizer(network: &Network, arguments: &TuneArguments) -> (ModuleOptimizer, Option<Arc<Mutex<Rates>>>) {
    match arguments.optimizer {
        OptimizerArgument::Sgd => {
            let (optimizer, rates) = sgd(network, arguments.decay);
            (optimizer, Some(rates))
        }
        OptimizerArgument::Adam => (AdamConfig::new().init(), None),
        OptimizerArgument::Adamw => {
            (AdamWConfig::new().with_weight_decay(arguments.decay as f32).init(), None)
        }
    }
}
