//! What is asked of a network whose weights are to be chosen.

use crate::{Error, QuantConfig, adjust_parameters, lower_integer, parameter};
use nn_graph::{Conv, Graph, Op, Params};
use quant_core::Program;

/// A network of integers whose weights can still be chosen, for [`Reconstruct::adjust`](crate::Reconstruct::adjust).
pub trait Adjustable {
    /// What can go wrong in it.
    type Error: From<Error>;

    /// Its integer convolutions, in the order of the program's steps, which have their names.
    fn convolutions(&self) -> Vec<Adjusted>;

    /// The program with the weights that have been set so far; the others are rounded to nearest. Shapes, steps and formats are always the
    /// same.
    ///
    /// # Errors
    /// Those of lowering.
    fn program(&self) -> Result<Program, Self::Error>;

    /// The weights of a convolution before they are rounded, and where they may go.
    ///
    /// # Errors
    /// If there is no such convolution.
    fn grid(&self, convolution: &str) -> Result<WeightGrid, Self::Error>;

    /// Takes weights on their grid, and numbers to be added to the biases, by output channel, in the units of the outputs.
    ///
    /// # Errors
    /// If there is no such convolution.
    fn set(&mut self, convolution: &str, weights: &[f32], shifts: &[f64]) -> Result<(), Self::Error>;
}

/// A convolution that can be adjusted.
#[derive(Debug, Clone, PartialEq)]
pub struct Adjusted {
    /// Its name: of the step, and of the float network's tensor.
    pub name: String,
    /// Its geometry; whether it has a bias that can be corrected.
    pub conv: Conv,
    /// By output channel, what the float outputs hold beside the products of weights and inputs; in the float network's units.
    pub bias: Vec<f32>,
    /// By output channel, the unit of outputs in the float network's units.
    pub unit: Vec<f32>,
    /// What stands for an input.
    pub inputs: Inputs,
}

/// What the weights of a convolution are multiplied with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inputs {
    /// The real numbers of the tensor's format.
    Real,
    /// The integers themselves: ratios of channels are in the weights. The border of the step's geometry is such an integer.
    Integers,
}

/// Weights before they are rounded, and their grid.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightGrid {
    /// `(out, in / groups, kh, kw)`.
    pub weights: Vec<f32>,
    /// By output channel.
    pub scales: Vec<f32>,
    /// The least integer, and the largest.
    pub bounds: [i32; 2],
}

/// A network as [`lower_integer`] makes it.
pub(super) struct Configured<'g> {
    graph: &'g Graph,
    pub(super) params: Params,
    pub(super) config: QuantConfig,
}

impl<'g> Configured<'g> {
    /// Works out all scales of weights, so that the network can be lowered again and again without searching for them.
    pub(super) fn new(graph: &'g Graph, params: &Params, config: &QuantConfig) -> Result<Self, Error> {
        let mut network = Self { graph, params: params.clone(), config: config.clone() };
        for Adjusted { name, bias, .. } in network.convolutions() {
            let scales =
                config.weight_scales(&name, parameter(&network.params, &name, "weight")?, bias.len());
            network.config.weight_scales.insert(name.clone(), scales.map_err(|error| error.of(&name))?);
        }
        Ok(network)
    }
}

impl Adjustable for Configured<'_> {
    type Error = Error;

    fn convolutions(&self) -> Vec<Adjusted> {
        let integers = self.graph.nodes().iter().filter(|node| !self.config.float.contains(&node.name));
        let adjusted = integers.filter_map(|node| {
            let Op::Conv(conv) = node.op else { return None };
            let bias = parameter(&self.params, &node.name, "bias").ok().filter(|_| conv.bias);
            Some(Adjusted {
                name: node.name.clone(),
                conv: Conv { bias: bias.is_some(), ..conv },
                bias: bias.map_or_else(|| vec![0.0; conv.out_channels], <[f32]>::to_vec),
                unit: vec![1.0; conv.out_channels],
                inputs: Inputs::Real,
            })
        });
        adjusted.collect()
    }

    fn program(&self) -> Result<Program, Error> {
        lower_integer(self.graph, &self.params, &self.config)
    }

    fn grid(&self, convolution: &str) -> Result<WeightGrid, Error> {
        let weights = parameter(&self.params, convolution, "weight")?.to_vec();
        let scales = self.config.weight_scales.get(convolution).cloned().unwrap_or_default();
        let spec = self.config.weights.spec()?;
        Ok(WeightGrid { weights, scales, bounds: [spec.q_min(), spec.q_max()] })
    }

    fn set(&mut self, convolution: &str, weights: &[f32], shifts: &[f64]) -> Result<(), Error> {
        adjust_parameters(&mut self.params, convolution, weights, shifts)
    }
}
