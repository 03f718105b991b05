//! Fake quantisation of a network in its forward pass.

use super::quantizers::{KernelQuantizer, Quantizers, convolutions, spread};
use super::{LearnedSteps, fake_quantize_ste, learned_quantize};
use crate::Error;
use burn::tensor::{Device, Tensor, TensorData};
use nn_graph::{Conv, Graph, Node, TensorId};
use ptq::NormRatios;
use std::collections::BTreeMap;
use yolo_model::Hook;

/// The hook that quantises feature maps and weights as integers will, in real numbers with gradients.
#[derive(Debug, Clone, Default)]
pub struct FakeQuantization {
    maps: BTreeMap<TensorId, Map>,
    kernels: BTreeMap<String, Kernel>,
}

#[derive(Debug, Clone)]
struct Map {
    step: f32,
    /// What the step is multiplied by, if it is learned: 1, with a gradient.
    factor: Option<Tensor<1>>,
    /// Ends of the integers less the zero point.
    ends: [f32; 2],
}

#[derive(Debug, Clone)]
struct Kernel {
    /// By output channel, and by input channel where units depend on it.
    steps: Tensor<4>,
    factor: Option<Tensor<4>>,
    high: f32,
}

impl FakeQuantization {
    /// With steps that stay as they are.
    ///
    /// # Errors
    /// [`Error::Ptq`] for steps that are not positive and finite; [`Error::Groups`].
    pub fn new(graph: &Graph, quantizers: &Quantizers, device: &Device) -> Result<Self, Error> {
        Self::with(graph, quantizers, device, None)
    }

    /// With learned steps, for one forward pass and its gradients. Gradients of steps are multiplied by `1 / sqrt(count high)`, as LSQ has it.
    ///
    /// # Errors
    /// As [`FakeQuantization::new`] and [`LearnedSteps::quantizers`].
    pub fn learned(
        graph: &Graph,
        first: &Quantizers,
        steps: &LearnedSteps,
        device: &Device,
    ) -> Result<Self, Error> {
        Self::with(graph, &steps.quantizers(first)?, device, Some(steps))
    }

    /// Of feature maps alone: weights stay as they are.
    #[must_use]
    pub fn without_kernels(mut self) -> Self {
        self.kernels.clear();
        self
    }

    fn with(
        graph: &Graph,
        now: &Quantizers,
        device: &Device,
        learned: Option<&LearnedSteps>,
    ) -> Result<Self, Error> {
        let mut hook = Self::default();
        for (index, map) in now.maps.iter().enumerate() {
            let factor = learned.filter(|_| map.learned).map(|steps| unit(steps.map(index)));
            let ends = [map.low - map.zero_point, map.high - map.zero_point];
            let quantizer = Map { step: map.step, factor, ends };
            hook.maps.extend(map.tensors.iter().map(|&id| (id, quantizer.clone())));
        }
        let channels = now.channel_steps(graph)?;
        let by_name: BTreeMap<String, (TensorId, &Conv)> =
            convolutions(graph).map(|conv| (format!("{}.weight", graph.node(conv.0).name), conv)).collect();
        let mut start = 0;
        for (name, kernel) in &now.kernels {
            let count = kernel.steps.len();
            if let Some(&conv) = by_name.get(name) {
                let steps = hook.steps(graph, now, (&channels, kernel), conv, device)?;
                let factor = learned.map(|steps| unit(steps.kernel(start, count)));
                let factor = factor.map(|factor| factor.reshape([count, 1, 1, 1]));
                hook.kernels.insert(name.clone(), Kernel { steps, factor, high: kernel.high });
            }
            start += count;
        }
        Ok(hook)
    }

    /// The steps of a convolution's weights in real numbers.
    fn steps(
        &self,
        graph: &Graph,
        now: &Quantizers,
        (channels, kernel): (&NormRatios, &KernelQuantizer),
        conv: (TensorId, &Conv),
        device: &Device,
    ) -> Result<Tensor<4>, Error> {
        let [rows, columns] = now.units(graph, channels, conv, kernel.unit)?;
        let height = kernel.steps.len().max(rows.len());
        let entry = |row: usize, column: f32| spread(&kernel.steps, row) * spread(&rows, row) * column;
        let steps: Vec<f32> =
            (0..height).flat_map(|row| columns.iter().map(move |&column| entry(row, column))).collect();
        Ok(Tensor::from_data(TensorData::new(steps, [height, columns.len(), 1, 1]), device))
    }
}

/// 1, with the gradient of a factor.
fn unit(factor: Tensor<1>) -> Tensor<1> {
    let value = factor.clone().detach();
    (factor - value).add_scalar(1.0)
}

/// 1, with a share of the gradient.
fn scaled<const D: usize>(unit: Tensor<D>, share: f64) -> Tensor<D> {
    unit.sub_scalar(1.0).mul_scalar(share).add_scalar(1.0)
}

/// What LSQ multiplies gradients of steps by.
fn gradient_scale(count: usize, high: f32) -> f64 {
    1.0 / (count as f64 * f64::from(high)).sqrt()
}

impl Hook for FakeQuantization {
    fn feature_map(&mut self, id: TensorId, _: &Node, value: Tensor<4>) -> Tensor<4> {
        let Some(Map { step, factor, ends }) = self.maps.get(&id) else { return value };
        let Some(factor) = factor else { return fake_quantize_ste(value, *step, *ends) };
        let [_, channels, height, width] = value.dims();
        let share = gradient_scale(channels * height * width, ends[1]);
        let step = scaled(factor.clone(), share).mul_scalar(*step).reshape([1, 1, 1, 1]);
        learned_quantize(value, step, *ends)
    }

    fn kernel(&mut self, name: &str, value: Tensor<4>) -> Tensor<4> {
        let Some(Kernel { steps, factor, high }) = self.kernels.get(name) else { return value };
        let steps = match factor {
            None => steps.clone(),
            Some(factor) => {
                let share = gradient_scale(value.dims().iter().product(), *high);
                scaled(factor.clone(), share) * steps.clone()
            }
        };
        learned_quantize(value, steps, [-high, *high])
    }
}
