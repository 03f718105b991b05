//! Weights and biases that make the quantised layers' outputs those of the float network, layer after layer.

use crate::patches::{Patches, sampled};
use crate::{
    AdaRound, CoordinateDescent, Error, Fusion, LinearReconstruction, QuantConfig, SoftRounding, lower_float,
    lower_integer,
};
use nn_graph::{Graph, Op, Params};
use quant_core::{Executor, Program, Recording, Remainder, Values};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;

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
    /// Positions of every image and layer that are looked at, at least 1.
    pub positions: usize,
}

/// What became of one convolution. Errors are mean squares of its output over the samples, summed over channels.
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
    name: String,
    patches: Patches,
    /// Of the float network; zeros where there is none.
    bias: Vec<f32>,
    has_bias: bool,
    /// The float outputs at the sampled positions, per image.
    targets: Vec<Vec<f32>>,
}

impl Reconstruct {
    /// Rounds the weights of all integer convolutions and corrects their biases, so that the network of `graph`, `params` and `config`
    /// does what its float form does on `images` (planar, of the given height and width). Scales stay as `config` has them.
    ///
    /// The result does not depend on the number of threads (those of the current rayon pool). Per image the live tensors and
    /// `4 positions` bytes per output channel are kept, and for the layer at hand twice `8 features^2` bytes; collecting costs
    /// `features^2 / 2` multiplications per sample. After each layer `progress(layer, total)` is called.
    ///
    /// # Errors
    /// [`Error::NoValues`] without images, [`Error::NoPositions`]; the errors of `images`, of lowering, running and rounding, with the layer's name.
    pub fn run<E: From<Error>>(
        &self,
        graph: &Graph,
        params: &Params,
        config: &QuantConfig,
        size: [usize; 2],
        images: impl IntoIterator<Item = Result<Vec<f32>, E>>,
        mut progress: impl FnMut(&ReconstructedLayer, usize),
    ) -> Result<Reconstructed, E> {
        if self.positions == 0 {
            return Err(Error::NoPositions.into());
        }
        let mut layers = integer_layers(graph, params, config);
        let config = &with_scales(config, params, &layers)?;
        let program = lower_integer(graph, params, config)?;
        let mut flow = Flow::new(&program);
        self.look_at_images(graph, params, size, images, &mut layers, &mut flow, &program)?;
        let mut result = Reconstructed {
            params: params.clone(),
            weight_scales: config.weight_scales.clone(),
            layers: Vec::new(),
            images: flow.recordings.len(),
        };
        let total = layers.len();
        for layer in layers {
            let done = self
                .treat(graph, config, size, &layer, &mut flow, &mut result)
                .map_err(|error| error.of(&layer.name))?;
            progress(&done, total);
            result.layers.push(done);
        }
        Ok(result)
    }

    /// Runs the float network on all images, keeps what layers give, and takes the images into the integer network.
    #[expect(clippy::too_many_arguments, reason = "one loop over the images feeds everything")]
    fn look_at_images<E: From<Error>>(
        &self,
        graph: &Graph,
        params: &Params,
        size: [usize; 2],
        images: impl IntoIterator<Item = Result<Vec<f32>, E>>,
        layers: &mut [Layer],
        flow: &mut Flow,
        program: &Program,
    ) -> Result<(), E> {
        let float = lower_float(graph, params, Fusion::EveryTensor)?;
        let mut float = Executor::new(&float, size[0], size[1]).map_err(Error::from)?;
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
            let layer = layers.iter_mut().find(|layer| layer.name == *name);
            if let (Some(layer), Values::F32(values)) = (layer, values) {
                let positions = sampled(self.positions, values.len() / layer.bias.len(), index);
                layer.targets.push(layer.patches.outputs(values, &layer.bias, &positions));
            }
        })?;
        Ok(())
    }

    fn treat(
        &self,
        graph: &Graph,
        config: &QuantConfig,
        size: [usize; 2],
        layer: &Layer,
        flow: &mut Flow,
        result: &mut Reconstructed,
    ) -> Result<ReconstructedLayer, Error> {
        let program = lower_integer(graph, &result.params, config)?;
        let integer = Executor::new(&program, size[0], size[1])?;
        let step = flow.advance(&integer, &layer.name)?;
        let rows = layer.bias.len();
        let weight = param(&mut result.params, &layer.name, "weight")?;
        let mut sums = layer.sums(weight)?;
        let input = program.steps()[step].inputs[0];
        let (format, shape) = (program.tensors()[input].format, integer.shapes()[input]);
        for (index, (recording, targets)) in flow.recordings.iter().zip(&layer.targets).enumerate() {
            let values = recording.get(input).map(|values| values.to_f32(format)).unwrap_or_default();
            let positions = sampled(self.positions, layer.patches.pixels(shape), index);
            add_samples(&mut sums, &layer.patches.inputs(&values, shape, &positions), targets)?;
        }
        let scales = config.weight_scales(&layer.name, weight, rows)?;
        let correction = if layer.has_bias { self.bias_correction } else { BiasCorrection::None };
        let mut report = self.round_groups(config, correction, weight, &scales, &sums)?;
        report.0.name.clone_from(&layer.name);
        report.0.signal = layer.signal();
        if layer.has_bias && self.bias_correction != BiasCorrection::None {
            report.0.bias_change = correct_bias(&layer.name, &report.1, &mut result.params);
        }
        Ok(report.0)
    }

    /// Rounds weights group by group; the report, and the shift that each output is left with.
    fn round_groups(
        &self,
        config: &QuantConfig,
        correction: BiasCorrection,
        weight: &mut [f32],
        scales: &[f32],
        sums: &[LinearReconstruction],
    ) -> Result<(ReconstructedLayer, Vec<f64>), Error> {
        let spec = config.weights.spec()?;
        let mut report = ReconstructedLayer {
            name: String::new(),
            signal: 0.0,
            before: 0.0,
            after: 0.0,
            bias_change: 0.0,
        };
        let mut shifts = Vec::with_capacity(scales.len());
        let weights = weight.chunks_exact_mut(weight.len() / sums.len());
        let scales = scales.chunks_exact(scales.len() / sums.len());
        for ((weight, scales), sums) in weights.zip(scales).zip(sums) {
            let rounding = SoftRounding::new(weight, scales, spec.q_min(), spec.q_max())?;
            report.before += sums.mean_squared_error(&rounding.nearest())?;
            let centred = match correction {
                BiasCorrection::None => None,
                BiasCorrection::Weights | BiasCorrection::Outputs => Some(sums.centred()),
            };
            let objective = centred.as_ref().unwrap_or(sums);
            weight.copy_from_slice(&self.rounded(&rounding, objective)?);
            let error = objective.mean_squared_error(weight)?;
            let [own, all] = sums.mean_shifts(weight)?;
            let unexplained: f64 = own.iter().zip(&all).map(|(own, all)| (all - own) * (all - own)).sum();
            let (after, shift) = match correction {
                BiasCorrection::None => (error, vec![0.0; own.len()]),
                BiasCorrection::Weights => (error + unexplained, own),
                BiasCorrection::Outputs => (error, all),
            };
            report.after += after;
            shifts.extend(shift);
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
    /// Sums without samples, one per group.
    fn sums(&self, weight: &[f32]) -> Result<Vec<LinearReconstruction>, Error> {
        let groups = weight.chunks_exact((weight.len() / self.patches.groups()).max(1));
        groups.map(|weight| LinearReconstruction::new(weight, self.patches.rows())).collect()
    }

    /// Mean square of the targets, summed over outputs.
    fn signal(&self) -> f64 {
        let samples = self.targets.iter().map(Vec::len).sum::<usize>() / self.bias.len();
        let squares = self.targets.iter().flatten().map(|t| f64::from(*t) * f64::from(*t));
        squares.sum::<f64>() / samples.max(1) as f64
    }
}

/// The images on their way through the integer network: of each the tensors that are still to be read.
struct Flow {
    recordings: Vec<Recording>,
    /// Steps that have run.
    done: usize,
    /// Per tensor the last step that reads it; outputs are read afterwards.
    last_reader: Vec<usize>,
}

impl Flow {
    fn new(program: &Program) -> Self {
        let mut last_reader = vec![0; program.tensors().len()];
        for (index, step) in program.steps().iter().enumerate() {
            step.inputs.iter().for_each(|&input| last_reader[input] = index);
        }
        program.outputs().iter().for_each(|&output| last_reader[output] = usize::MAX);
        Self { recordings: Vec::new(), done: 1, last_reader }
    }

    /// Takes an image through the first step, which makes integers of it and so a quarter of its size.
    fn enter(&mut self, executor: &Executor<'_>, image: &[f32]) -> Result<(), quant_core::Error> {
        let mut recording = Recording::default();
        recording.set(0, Values::F32(image));
        self.run(executor, &mut recording, 0..1)?;
        self.recordings.push(recording);
        Ok(())
    }

    /// Takes all images to just before the step `name`; its index.
    fn advance(&mut self, executor: &Executor<'_>, name: &str) -> Result<usize, Error> {
        let steps = executor.program().steps();
        let target = steps.iter().position(|step| step.name == name);
        let target = target.ok_or_else(|| Error::NoStep { layer: name.to_owned() })?;
        if target > self.done {
            let mut recordings = std::mem::take(&mut self.recordings);
            recordings
                .par_iter_mut()
                .try_for_each(|recording| self.run(executor, recording, self.done..target))?;
            self.recordings = recordings;
            self.done = target;
        }
        Ok(target)
    }

    fn run(
        &self,
        executor: &Executor<'_>,
        recording: &mut Recording,
        steps: std::ops::Range<usize>,
    ) -> Result<(), quant_core::Error> {
        let part = Remainder::part(executor.program(), steps.clone());
        let mut made = Recording::default();
        executor.clone().resume_with(&part, recording, |tensor, values| made.set(tensor, values))?;
        for (tensor, &last) in self.last_reader.iter().enumerate() {
            if last < steps.end {
                recording.forget(tensor);
            } else if let Some(values) = made.get(tensor).filter(|values| !values.is_empty()) {
                recording.set(tensor, values);
            }
        }
        Ok(())
    }
}

fn integer_layers(graph: &Graph, params: &Params, config: &QuantConfig) -> Vec<Layer> {
    let mut layers = Vec::new();
    for node in graph.nodes() {
        let Op::Conv(conv) = &node.op else { continue };
        if config.float.contains(&node.name) {
            continue;
        }
        let bias = params.get(&format!("{}.bias", node.name)).filter(|_| conv.bias);
        layers.push(Layer {
            name: node.name.clone(),
            patches: Patches::new(*conv),
            has_bias: bias.is_some(),
            bias: bias.map_or_else(|| vec![0.0; conv.out_channels], |bias| bias.data().to_vec()),
            targets: Vec::new(),
        });
    }
    layers
}

/// The same with the scales of all `layers` worked out, so that the network can be lowered again and again without searching for them.
fn with_scales(config: &QuantConfig, params: &Params, layers: &[Layer]) -> Result<QuantConfig, Error> {
    let mut result = config.clone();
    for layer in layers {
        let name = format!("{}.weight", layer.name);
        let weight = params.get(&name).ok_or(Error::Parameter { name })?.data();
        let scales = config.weight_scales(&layer.name, weight, layer.bias.len());
        result.weight_scales.insert(layer.name.clone(), scales.map_err(|error| error.of(&layer.name))?);
    }
    Ok(result)
}

fn param<'p>(params: &'p mut Params, layer: &str, suffix: &str) -> Result<&'p mut [f32], Error> {
    let name = format!("{layer}.{suffix}");
    Ok(params.get_mut(&name).ok_or(Error::Parameter { name })?.data_mut())
}

fn add_samples(sums: &mut [LinearReconstruction], inputs: &[f32], targets: &[f32]) -> Result<(), Error> {
    let groups = sums.len();
    let inputs = inputs.chunks_exact((inputs.len() / groups).max(1));
    let targets = targets.chunks_exact((targets.len() / groups).max(1));
    sums.iter_mut()
        .zip(inputs.zip(targets))
        .try_for_each(|(sums, (inputs, targets))| sums.add(inputs, targets))
}

/// Adds `shifts` to the biases of a convolution, where it has any; the largest change.
fn correct_bias(layer: &str, shifts: &[f64], params: &mut Params) -> f64 {
    let Ok(bias) = param(params, layer, "bias") else { return 0.0 };
    for (bias, shift) in bias.iter_mut().zip(shifts) {
        *bias = (f64::from(*bias) + shift) as f32;
    }
    shifts.iter().fold(0.0, |largest, shift| largest.max(shift.abs()))
}
