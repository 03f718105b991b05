//! Stochastic gradient descent whose rates change from step to step.

use super::schedule::Rates;
use crate::Network;
use burn::module::{Module, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::optim::{LearningRate, ModuleOptimizer, Optimizer, RecordState};
use burn::tensor::{Device, Tensor};
use std::sync::{Arc, Mutex, PoisonError};

/// Rates that the parts of an optimizer share with whom they come from.
pub(super) type Shared = Arc<Mutex<Rates>>;

/// Nesterov's momentum as PyTorch has it: `g += decay w; v = m v + g; w -= r (g + m v)`, with `v = g` at first. Burn's own can't change its
/// momentum, as warm-up does, and has no rates by group that a step could set.
#[derive(Debug, Clone)]
pub struct Sgd {
    rates: Shared,
    decay: f64,
    biases: bool,
}

/// The velocity of a parameter.
#[derive(RecordState, Clone)]
pub struct SgdState<const D: usize> {
    velocity: Tensor<D>,
}

impl Optimizer for Sgd {
    type State<const D: usize> = SgdState<D>;

    /// The learning rate is not looked at: that of the [`Rates`] counts.
    fn step<const D: usize>(
        &self,
        _: LearningRate,
        tensor: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<SgdState<D>>,
    ) -> (Tensor<D>, Option<SgdState<D>>) {
        let rates = *self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = if self.biases { rates.biases } else { rates.weights };
        let gradient =
            if self.decay == 0.0 { gradient } else { gradient + tensor.clone().mul_scalar(self.decay) };
        let velocity = match state {
            Some(state) => state.velocity.mul_scalar(rates.momentum) + gradient.clone(),
            None => gradient.clone(),
        };
        let step = (gradient + velocity.clone().mul_scalar(rates.momentum)).mul_scalar(rate);
        (tensor - step, Some(SgdState { velocity }))
    }

    fn to_device<const D: usize>(state: SgdState<D>, device: &Device) -> SgdState<D> {
        SgdState { velocity: state.velocity.to_device(device) }
    }
}

/// The optimizer that YOLOv5 trains a network with: weights of convolutions decay by `decay`, nothing else does, and biases have a rate of their
/// own. Whoever writes to the rates decides those of the next step.
#[must_use]
pub fn sgd(network: &Network, decay: f64) -> (ModuleOptimizer, Arc<Mutex<Rates>>) {
    let rates = Arc::new(Mutex::new(Rates { weights: 0.0, biases: 0.0, momentum: 0.0 }));
    let mut groups = Groups::default();
    network.visit(&mut groups);
    let with = |decay: f64, biases: bool| Sgd { rates: Arc::clone(&rates), decay, biases };
    let optimizer = ModuleOptimizer::from(with(0.0, false))
        .with_group(ParamGroup::from_ids(groups.kernels), with(decay, false), None)
        .with_group(ParamGroup::from_ids(groups.biases), with(0.0, true), None);
    (optimizer, rates)
}

/// Parameters by what they are to the optimizer.
#[derive(Default)]
struct Groups {
    path: Vec<String>,
    kernels: Vec<ParamId>,
    biases: Vec<ParamId>,
}

impl ModuleVisitor for Groups {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        if D == 4 {
            self.kernels.push(parameter.id);
        } else if self.path.last().is_some_and(|name| name == "bias") {
            self.biases.push(parameter.id);
        }
    }
}
