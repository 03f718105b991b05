//! Weights and biases that make the quantised layers' outputs those of the float network, layer after layer.

mod flow;
mod network;

use crate::patches::{Patches, sampled};
use crate::{
    AdaRound, CoordinateDescent, Error, Fusion, LinearReconstruction, QuantConfig, SoftRounding, lower_float,
};
use flow::Flow;
use network::Configured;
use nn_graph::{Graph, Params};
use quant_core::{Executor, Program, Recording, Step, StepOp, TensorInfo, Values};
use serde::Serialize;
use std::collections::BTreeMap;

pub use network::{Adjustable, Adjusted, Inputs, WeightGrid};

/// How weights are put on their grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WeightRounding {
    /// Each weight by itself, halves to even.
    Nearest,
    /// AdaRound: up or down, learned.
    AdaRound(AdaRound),
    /// To the integers with the least output error, weight by weight.
    CoordinateDescent(CoordinateDescent),
}

/// What the biases of convolutions make up for (empirical bias correction; Nagel et al., arXiv 1906.04721). Convolutions without a bias
/// keep none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BiasCorrection {
    /// Nothing.
    None,
    /// The shift of an output's mean that rounding the layer's own weights causes.
    Weights,
    /// Every shift of an output's mean, also that of clipping and of the layers before. Where activations are clipped the shift comes from
    /// few positions, and taking it back moves all others: on trained detectors this can do more harm than good.
    Outputs,
}

/// What is done to each integer convolution, in graph order.
///
/// A layer is looked at with what the layers before, already treated, make of the images, and with the outputs of the float network
/// as its target. So it makes up for part of the errors before it, and its successors see what it has made up for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reconstruct {
    /// Rounding of weights.
    pub rounding: WeightRounding,
    /// Correction of biases. Rounding need not care about the means that it sets right.
    pub bias_correction: BiasCorrection,
    /// Share of the errors of earlier layers, 0 to 1, that weights and biases make up for. With few images these errors are as much accidents of
    /// the images as of the network, and making up for all of them does harm elsewhere.
    pub compensation: f64,
    /// Positions of every image and layer that are looked at, at least 1.
    pub positions: usize,
}

/// What became of one convolution. Errors are mean squares of its output over the samples, summed over channels, in the units of the outputs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReconstructedLayer {
    /// Its name.
    pub name: String,
    /// Mean square of the float output without bias, which the errors compare with.
    pub signal: f64,
    /// Error with weights rounded to nearest and the bias as it was.
    pub before: f64,
    /// Error now.
    pub after: f64,
    /// Largest change of a bias.
    pub bias_change: f64,
}

/// A network's new parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconstructed {
    /// All parameters; weights of treated layers are on their grid.
    pub params: Params,
    /// Scales of these weights per output channel, as [`QuantConfig::weight_scales`] wants them.
    pub weight_scales: BTreeMap<String, Vec<f32>>,
    /// What was gained, in graph order.
    pub layers: Vec<ReconstructedLayer>,
    /// Images used.
    pub images: usize,
}

/// An integer convolution before it is treated.
struct Layer {
    conv: Adjusted,
    patches: Patches,
    /// The float outputs at the sampled positions, per image.
    targets: Vec<Vec<f32>>,
}

impl Reconstruct {
    /// Rounds the weights of all integer convolutions and corrects their biases, so that the network of `graph`, `params` and `config`
    /// does what its float form does on `images` (planar, of the given height and width). Scales stay as `config` has them.
    ///
    /// As [`Reconstruct::adjust`] otherwise.
    ///
    /// # Errors
    /// As there.
    pub fn run<E: From<Error>>(
        &self,
        graph: &Graph,
        params: &Params,
        config: &QuantConfig,
        size: [usize; 2],
        images: impl IntoIterator<Item = Result<Vec<f32>, E>>,
        progress: impl FnMut(&ReconstructedLayer, usize),
    ) -> Result<Reconstructed, E> {
        let float = lower_float(graph, params, Fusion::EveryTensor)?;
        let mut network = Configured::new(graph, params, config)?;
        let (layers, images) = self.adjust(&mut network, &float, size, images, progress)?;
        let Configured { params, config, .. } = network;
        Ok(Reconstructed { params, weight_scales: config.weight_scales, layers, images })
    }

    /// Rounds the weights of all convolutions of a network of integers and corrects their biases, so that it does what the `float` program,
    /// whose tensors are all to be seen, does on `images` (planar, of the given height and width). What became of every convolution, and
    /// the number of images.
    ///
    /// The result does not depend on the number of threads (those of the current rayon pool). Per image the live tensors and
    /// `4 positions` bytes per output channel are kept, and for the layer at hand three times `8 features^2` bytes; collecting costs
    /// `features^2 / 2` multiplications per sample. After each layer `progress(layer, total)` is called.
    ///
    /// # Errors
    /// [`Error::NoValues`] without images, [`Error::NoPositions`]; the errors of `images`, of lowering, running and rounding, with the
    /// layer's name.
    pub fn adjust<N: Adjustable, E: From<Error> + From<N::Error>>(
        &self,
        network: &mut N,
        float: &Program,
        size: [usize; 2],
        images: impl IntoIterator<Item = Result<Vec<f32>, E>>,
        mut progress: impl FnMut(&ReconstructedLayer, usize),
    ) -> Result<(Vec<ReconstructedLayer>, usize), E> {
        if self.positions == 0 {
            return Err(Error::NoPositions.into());
        }
        if !(0.0..=1.0).contains(&self.compensation) {
            return Err(Error::Compensation { share: self.compensation }.into());
        }
        let mut layers: Vec<Layer> = network.convolutions().into_iter().map(Layer::new).collect();
        let program = network.program()?;
        let mut flow = Flow::new(&program);
        self.look_at_images(float, &program, size, images, &mut layers, &mut flow)?;
        let mut done = Vec::with_capacity(layers.len());
        for layer in &layers {
            let treated = self.treat(network, size, layer, &mut flow)?;
            progress(&treated, layers.len());
            done.push(treated);
        }
        Ok((done, flow.recordings.len()))
    }

    /// Runs the float network on all images, keeps what layers give, and takes the images into the integer network.
    fn look_at_images<E: From<Error>>(
        &self,
        float: &Program,
        program: &Program,
        size: [usize; 2],
        images: impl IntoIterator<Item = Result<Vec<f32>, E>>,
        layers: &mut [Layer],
        flow: &mut Flow,
    ) -> Result<(), E> {
        let mut float = Executor::new(float, size[0], size[1]).map_err(Error::from)?;
        let integer = Executor::new(program, size[0], size[1]).map_err(Error::from)?;
        for image in images {
            let image = image?;
            self.add_targets(&mut float, &image, flow.recordings.len(), layers)?;
            flow.enter(&integer, &image).map_err(Error::from)?;
        }
        if flow.recordings.is_empty() { Err(Error::NoValues.into()) } else { Ok(()) }
    }

    fn add_targets(
        &self,
        float: &mut Executor<'_>,
        image: &[f32],
        index: usize,
        layers: &mut [Layer],
    ) -> Result<(), Error> {
        let program = float.program();
        float.run_with(image, |tensor, values| {
            let name = &program.tensors()[tensor].name;
            let layer = layers.iter_mut().find(|layer| layer.conv.name == *name);
            if let (Some(layer), Values::F32(values)) = (layer, values) {
                let positions = sampled(self.positions, values.len() / layer.conv.bias.len(), index);
                let Adjusted { bias, unit, .. } = &layer.conv;
                layer.targets.push(layer.patches.outputs(values, bias, unit, &positions));
            }
        })?;
        Ok(())
    }

    fn treat<N: Adjustable>(
        &self,
        network: &mut N,
        size: [usize; 2],
        layer: &Layer,
        flow: &mut Flow,
    ) -> Result<ReconstructedLayer, N::Error> {
        let program = network.program()?;
        let mut grid = network.grid(&layer.conv.name)?;
        let (report, shifts) = self
            .choose(&program, size, layer, flow, &mut grid)
            .map_err(|error| error.of(&layer.conv.name))?;
        network.set(&layer.conv.name, &grid.weights, &shifts)?;
        Ok(report)
    }

    /// Puts the weights on their grid; the report, and the shifts of biases.
    fn choose(
        &self,
        program: &Program,
        size: [usize; 2],
        layer: &Layer,
        flow: &mut Flow,
        grid: &mut WeightGrid,
    ) -> Result<(ReconstructedLayer, Vec<f64>), Error> {
        let integer = Executor::new(program, size[0], size[1])?;
        let step = flow.advance(&integer, &layer.conv.name)?;
        let mut sums = layer.sums(&grid.weights)?;
        let step = &program.steps()[step];
        let (input, shape) = (step.inputs[0], integer.shapes()[step.inputs[0]]);
        for (index, (recording, targets)) in flow.recordings.iter().zip(&layer.targets).enumerate() {
            let (values, border) = layer.inputs(step, recording, &program.tensors()[input]);
            let positions = sampled(self.positions, layer.patches.pixels(shape), index);
            add_samples(&mut sums, &layer.patches.inputs(&values, shape, border, &positions), targets)?;
        }
        let correction = if layer.conv.conv.bias { self.bias_correction } else { BiasCorrection::None };
        let (mut report, shifts) = self.round_groups(correction, grid, &sums)?;
        report.name.clone_from(&layer.conv.name);
        report.signal = layer.signal();
        report.bias_change = shifts.iter().fold(0.0, |largest, shift| largest.max(shift.abs()));
        Ok((report, shifts))
    }

    /// Rounds weights group by group; the report, and the shift that each output is left with.
    fn round_groups(
        &self,
        correction: BiasCorrection,
        WeightGrid { weights, scales, bounds: [lowest, highest] }: &mut WeightGrid,
        sums: &[LinearReconstruction],
    ) -> Result<(ReconstructedLayer, Vec<f64>), Error> {
        let mut report = ReconstructedLayer {
            name: String::new(),
            signal: 0.0,
            before: 0.0,
            after: 0.0,
            bias_change: 0.0,
        };
        let mut shifts = Vec::with_capacity(scales.len());
        let rows = weights.len() / sums.len();
        let weights = weights.chunks_exact_mut(rows);
        let scales = scales.chunks_exact(scales.len() / sums.len());
        for ((weight, scales), sums) in weights.zip(scales).zip(sums) {
            let rounding = SoftRounding::new(weight, scales, *lowest, *highest)?;
            report.before += sums.mean_squared_error(&rounding.nearest())?;
            let centred = match correction {
                BiasCorrection::None => None,
                BiasCorrection::Weights | BiasCorrection::Outputs => Some(sums.centred()),
            };
            let full = centred.as_ref().unwrap_or(sums);
            let objective = full.compensating(self.compensation);
            weight.copy_from_slice(&self.rounded(&rounding, &objective)?);
            let [own, all] = sums.mean_shifts(weight)?;
            let share = match correction {
                BiasCorrection::None | BiasCorrection::Weights => 0.0,
                BiasCorrection::Outputs => self.compensation,
            };
            report.after += full.mean_squared_error(weight)?;
            for (own, all) in own.into_iter().zip(all) {
                if centred.is_none() {
                    shifts.push(0.0);
                } else {
                    let shift = own + share * (all - own);
                    report.after += (all - shift) * (all - shift);
                    shifts.push(shift);
                }
            }
        }
        Ok((report, shifts))
    }

    fn rounded(&self, rounding: &SoftRounding, outputs: &LinearReconstruction) -> Result<Vec<f32>, Error> {
        match self.rounding {
            WeightRounding::Nearest => Ok(rounding.nearest()),
            WeightRounding::AdaRound(learn) => Ok(learn.linear(rounding, outputs)?.weights),
            WeightRounding::CoordinateDescent(descent) => Ok(descent.linear(rounding, outputs)?.weights),
        }
    }
}

impl Layer {
    fn new(conv: Adjusted) -> Self {
        Self { patches: Patches::new(conv.conv), conv, targets: Vec::new() }
    }

    /// Sums without samples, one per group.
    fn sums(&self, weight: &[f32]) -> Result<Vec<LinearReconstruction>, Error> {
        let groups = weight.chunks_exact((weight.len() / self.patches.groups()).max(1));
        groups.map(|weight| LinearReconstruction::new(weight, self.patches.rows())).collect()
    }

    /// Mean square of the targets, summed over outputs.
    fn signal(&self) -> f64 {
        let samples = self.targets.iter().map(Vec::len).sum::<usize>() / self.conv.bias.len();
        let squares = self.targets.iter().flatten().map(|t| f64::from(*t) * f64::from(*t));
        squares.sum::<f64>() / samples.max(1) as f64
    }

    /// What the weights are multiplied with, and what lies around it.
    fn inputs(&self, step: &Step, recording: &Recording, tensor: &TensorInfo) -> (Vec<f32>, f32) {
        let values = recording.get(step.inputs[0]);
        match self.conv.inputs {
            Inputs::Real => (values.map(|values| values.to_f32(tensor.format)).unwrap_or_default(), 0.0),
            Inputs::Integers => {
                let border = match &step.op {
                    StepOp::ConvI8 { geometry, .. } | StepOp::ConvI16 { geometry, .. } => geometry.border,
                    _ => 0,
                };
                (values.map(|values| values.to_numbers()).unwrap_or_default(), border as f32)
            }
        }
    }
}

fn add_samples(sums: &mut [LinearReconstruction], inputs: &[f32], targets: &[f32]) -> Result<(), Error> {
    let groups = sums.len();
    let inputs = inputs.chunks_exact((inputs.len() / groups).max(1));
    let targets = targets.chunks_exact((targets.len() / groups).max(1));
    sums.iter_mut()
        .zip(inputs.zip(targets))
        .try_for_each(|(sums, (inputs, targets))| sums.add(inputs, targets))
}
