//! Lowering: the walker that turns a graph, its parameters and a configuration into a program.

use crate::placement::is_fused;
use crate::weights::{MAX_BIAS_I8, MAX_BIAS_I16, QuantizedWeight, quantize_weight};
use crate::{Error, QuantConfig};
use nn_graph::{Activation, Conv, Graph, Node, Op, Params, TensorId};
use quant_core::{
    Constant, ConvGeometry, Description, Format, Multiplier, Program, Rounding, SharedMultipliers, Step,
    StepOp, TensorInfo,
};
use std::collections::BTreeMap;

/// Whether a convolution and its activation become one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fusion {
    /// One step; the argument of the activation never exists in memory.
    Fused,
    /// Two steps, so that every tensor of the graph can be observed.
    EveryTensor,
}

/// The float program of a graph whose BatchNorm is folded.
///
/// # Errors
/// [`Error::Unsupported`] for a BatchNorm, [`Error::Parameter`] for a missing parameter.
pub fn lower_float(graph: &Graph, params: &Params, fusion: Fusion) -> Result<Program, Error> {
    Lowering::new(graph, params, None, fusion).run()
}

/// The program of a graph whose BatchNorm is folded, in integers but for the convolutions and tensors that `config` leaves in f32.
///
/// The image enters as f32 and is quantised by the first step, and outputs stay integers, unless they are kept in f32.
///
/// # Errors
/// As [`lower_float`]; also if a tensor has no quantiser, a weight is not finite, scales can't be represented, or an operator
/// other than a convolution would join tensors in f32 and in integers.
pub fn lower_integer(graph: &Graph, params: &Params, config: &QuantConfig) -> Result<Program, Error> {
    Lowering::new(graph, params, Some(config), Fusion::Fused).run()
}

/// The activation of quant-core with the meaning of the graph's.
pub(crate) fn activation(activation: Activation) -> quant_core::Activation {
    match activation {
        Activation::Silu => quant_core::Activation::Silu,
        Activation::Relu => quant_core::Activation::Relu,
        Activation::Relu6 => quant_core::Activation::Relu6,
        Activation::LeakyRelu { slope } => quant_core::Activation::LeakyRelu { slope },
        Activation::Sigmoid => quant_core::Activation::Sigmoid,
        Activation::Hardswish => quant_core::Activation::Hardswish,
    }
}

pub(crate) fn geometry(conv: &Conv) -> ConvGeometry {
    ConvGeometry {
        in_channels: conv.in_channels,
        out_channels: conv.out_channels,
        kernel: conv.kernel,
        stride: conv.stride,
        padding: conv.padding,
        dilation: conv.dilation,
        groups: conv.groups,
        border: 0,
    }
}

/// The activation that a convolution is fused with.
#[derive(Clone, Copy)]
struct Fused {
    function: quant_core::Activation,
    /// The tensor that the activation produces.
    result: TensorId,
}

struct Lowering<'a> {
    graph: &'a Graph,
    params: &'a Params,
    config: Option<&'a QuantConfig>,
    fusion: Fusion,
    consumers: Vec<Vec<TensorId>>,
    /// The program's tensor of every tensor of the graph.
    tensor_of: Vec<usize>,
    tensors: Vec<TensorInfo>,
    steps: Vec<Step>,
    constants: BTreeMap<String, Constant>,
}

impl<'a> Lowering<'a> {
    fn new(graph: &'a Graph, params: &'a Params, config: Option<&'a QuantConfig>, fusion: Fusion) -> Self {
        Self {
            graph,
            params,
            config,
            fusion,
            consumers: graph.consumers(),
            tensor_of: vec![usize::MAX; graph.nodes().len()],
            tensors: Vec::new(),
            steps: Vec::new(),
            constants: BTreeMap::new(),
        }
    }

    fn run(mut self) -> Result<Program, Error> {
        let graph = self.graph;
        for id in graph.tensors() {
            // A fused activation was lowered with its convolution.
            if self.tensor_of[id.index()] == usize::MAX {
                self.node(id, graph.node(id))?;
            }
        }
        let outputs = graph.outputs().iter().map(|id| self.tensor_of[id.index()]).collect();
        let description = Description { tensors: self.tensors, steps: self.steps, outputs };
        Ok(Program::new(description, self.constants)?)
    }

    fn node(&mut self, id: TensorId, node: &Node) -> Result<(), Error> {
        match &node.op {
            Op::Input { channels } => self.input(id, *channels),
            Op::Conv(conv) => self.conv(id, node, conv),
            Op::BatchNorm { .. } => Err(Error::Unsupported { node: node.name.clone(), kind: node.op.kind() }),
            Op::Activation(function) => self.simple(id, StepOp::Activation(activation(*function))),
            Op::MaxPool(pool) => {
                let op = StepOp::MaxPool { kernel: pool.kernel, stride: pool.stride, padding: pool.padding };
                self.simple(id, op)
            }
            Op::Upsample { scale } => self.simple(id, StepOp::Upsample { scale: *scale }),
            Op::SpaceToDepth => self.simple(id, StepOp::SpaceToDepth),
            Op::Add => self.add(id, node),
            Op::Concat => self.concat(id, node),
        }
    }

    fn rounding(&self) -> Rounding {
        self.config.map_or_else(Rounding::default, |c| c.rounding)
    }

    /// How a tensor is kept in memory.
    fn format(&self, id: TensorId) -> Result<Format, Error> {
        let kept_in_f32 = |config: &QuantConfig| config.float_tensors.contains(&self.graph.node(id).name);
        if self.config.is_some_and(kept_in_f32) { Ok(Format::F32) } else { self.quantizer(id) }
    }

    /// What a tensor is for integer convolutions that read or write it.
    fn quantizer(&self, id: TensorId) -> Result<Format, Error> {
        let Some(config) = self.config else { return Ok(Format::F32) };
        let name = &self.graph.node(id).name;
        config.formats.get(name).copied().ok_or_else(|| Error::NoQuantizer { tensor: name.clone() })
    }

    fn tensor(&mut self, name: String, channels: usize, format: Format) -> usize {
        self.tensors.push(TensorInfo { name, channels, format });
        self.tensors.len() - 1
    }

    /// The program's tensor for a tensor of the graph.
    fn produce(&mut self, id: TensorId) -> Result<usize, Error> {
        let format = self.format(id)?;
        let node = self.graph.node(id);
        let tensor = self.tensor(node.name.clone(), node.channels, format);
        self.tensor_of[id.index()] = tensor;
        Ok(tensor)
    }

    fn step(&mut self, name: &str, op: StepOp, inputs: Vec<usize>, output: usize) {
        self.steps.push(Step { name: name.to_owned(), op, inputs, output });
    }

    fn input(&mut self, id: TensorId, channels: usize) -> Result<(), Error> {
        if self.format(id)? != Format::F32 {
            let image = self.tensor("image".to_owned(), channels, Format::F32);
            let output = self.produce(id)?;
            self.step("input", StepOp::Quantize, vec![image], output);
            return Ok(());
        }
        self.produce(id).map(|_| ())
    }

    /// A step that reads the node's inputs as they are.
    fn simple(&mut self, id: TensorId, op: StepOp) -> Result<(), Error> {
        let node = self.graph.node(id);
        self.check_alike(id, node)?;
        let inputs = node.inputs.iter().map(|i| self.tensor_of[i.index()]).collect();
        let output = self.produce(id)?;
        self.step(&node.name, op, inputs, output);
        Ok(())
    }

    /// Only convolutions can pass from integers to f32 and back.
    fn check_alike(&self, id: TensorId, node: &Node) -> Result<(), Error> {
        let is_float = |id: TensorId| Ok::<_, Error>(self.format(id)? == Format::F32);
        let result = is_float(id)?;
        for &input in &node.inputs {
            if is_float(input)? != result {
                let (kind, tensor) = (node.op.kind(), self.graph.node(input).name.clone());
                return Err(Error::MixedTensors { node: node.name.clone(), kind, tensor });
            }
        }
        Ok(())
    }

    fn add(&mut self, id: TensorId, node: &Node) -> Result<(), Error> {
        let target = self.format(id)?.params();
        let multipliers = match target {
            None => None,
            Some(target) => {
                let factors = self
                    .input_scales(node)?
                    .into_iter()
                    .map(|s| s / f64::from(target.scale))
                    .collect::<Vec<_>>();
                Some(SharedMultipliers::from_real(&factors)?)
            }
        };
        let rounding = self.rounding();
        self.simple(id, StepOp::Add { multipliers, rounding })
    }

    fn input_scales(&self, node: &Node) -> Result<Vec<f64>, Error> {
        let scale = |&id: &TensorId| Ok(self.format(id)?.params().map_or(1.0, |p| f64::from(p.scale)));
        node.inputs.iter().map(scale).collect()
    }

    fn concat(&mut self, id: TensorId, node: &Node) -> Result<(), Error> {
        let target = self.format(id)?;
        let form = self.config.map(|c| c.scale_form).unwrap_or_default();
        let mut rescale = Vec::new();
        for &input in &node.inputs {
            let format = self.format(input)?;
            rescale.push(match (format.params(), target.params()) {
                (Some(from), Some(to)) if format != target => {
                    Some(Multiplier::from_real(f64::from(from.scale) / f64::from(to.scale), form)?)
                }
                _ => None,
            });
        }
        let rounding = self.rounding();
        self.simple(id, StepOp::Concat { rescale, rounding })
    }

    fn fused(&self, id: TensorId) -> Option<Fused> {
        if self.fusion == Fusion::EveryTensor || !is_fused(self.graph, &self.consumers, id) {
            return None;
        }
        let result = self.consumers[id.index()][0];
        match self.graph.node(result).op {
            Op::Activation(function) => Some(Fused { function: activation(function), result }),
            _ => None,
        }
    }

    fn conv(&mut self, id: TensorId, node: &Node, conv: &Conv) -> Result<(), Error> {
        let fused = self.fused(id);
        match self.config {
            Some(config) if !config.float.contains(&node.name) => {
                self.conv_integer(id, node, conv, fused, config)
            }
            _ => self.conv_f32(id, node, conv, fused),
        }
    }

    /// The input of a convolution as it wants it, by one more step if that is not how it is kept.
    fn conv_input(&mut self, node: &Node, wanted: Format) -> Result<usize, Error> {
        let input = node.inputs[0];
        let (kept, tensor) = (self.format(input)?, self.tensor_of[input.index()]);
        if kept == wanted {
            return Ok(tensor);
        }
        let channels = self.graph.node(input).channels;
        let (op, step, kind) = match wanted {
            Format::F32 => (StepOp::Dequantize, "dequantize", "float_input"),
            _ => (StepOp::Quantize, "quantize_input", "integer_input"),
        };
        let converted = self.tensor(format!("{}.{kind}", node.name), channels, wanted);
        self.step(&format!("{}.{step}", node.name), op, vec![tensor], converted);
        Ok(converted)
    }

    /// The step of a convolution, which makes `format`, and one more if its result is not kept so.
    fn conv_steps(
        &mut self,
        node: &Node,
        op: StepOp,
        input: usize,
        result: TensorId,
        format: Format,
    ) -> Result<(), Error> {
        if self.format(result)? == format {
            let output = self.produce(result)?;
            self.step(&node.name, op, vec![input], output);
            return Ok(());
        }
        let (conversion, step, kind) = match format {
            Format::F32 => (StepOp::Quantize, "quantize", "float_output"),
            _ => (StepOp::Dequantize, "dequantize_output", "integer_output"),
        };
        let made = self.tensor(format!("{}.{kind}", node.name), node.channels, format);
        let output = self.produce(result)?;
        self.step(&node.name, op, vec![input], made);
        self.step(&format!("{}.{step}", node.name), conversion, vec![made], output);
        Ok(())
    }

    fn param(&self, name: &str) -> Result<&'a [f32], Error> {
        let tensor = self.params.get(name).ok_or_else(|| Error::Parameter { name: name.to_owned() })?;
        Ok(tensor.data())
    }

    /// The bias, zeros where the convolution has none.
    fn bias(&self, node: &Node, conv: &Conv) -> Result<Vec<f32>, Error> {
        if conv.bias {
            Ok(self.param(&format!("{}.bias", node.name))?.to_vec())
        } else {
            Ok(vec![0.0; conv.out_channels])
        }
    }

    /// A float convolution; among integers it is an island between a dequantisation and a quantisation.
    fn conv_f32(
        &mut self,
        id: TensorId,
        node: &Node,
        conv: &Conv,
        fused: Option<Fused>,
    ) -> Result<(), Error> {
        let (weight, bias) = (format!("{}.weight", node.name), format!("{}.bias", node.name));
        self.constants.insert(weight.clone(), Constant::F32(self.param(&weight)?.to_vec()));
        self.constants.insert(bias.clone(), Constant::F32(self.bias(node, conv)?));
        let activation = fused.map(|f| f.function);
        let op = StepOp::ConvF32 { geometry: geometry(conv), weight, bias, activation };
        let input = self.conv_input(node, Format::F32)?;
        self.conv_steps(node, op, input, fused.map_or(id, |f| f.result), Format::F32)
    }

    /// An integer convolution; among tensors in f32 it is an island between a quantisation and a dequantisation.
    fn conv_integer(
        &mut self,
        id: TensorId,
        node: &Node,
        conv: &Conv,
        fused: Option<Fused>,
        config: &QuantConfig,
    ) -> Result<(), Error> {
        let (weight, bias) = (format!("{}.weight", node.name), format!("{}.bias", node.name));
        let multipliers = format!("{}.multipliers", node.name);
        let (sums_to, reads) = (self.quantizer(id)?, self.quantizer(node.inputs[0])?);
        let wide = reads.is_wide();
        if config.weights.bits > 8 && !wide {
            return Err(Error::WeightBits { bits: config.weights.bits }.of(&weight));
        }
        let max_bias = if wide { MAX_BIAS_I16 } else { MAX_BIAS_I8 };
        let scale_in = reads.params().map_or(1.0, |p| f64::from(p.scale));
        let scale_out = sums_to.params().map_or(1.0, |p| f64::from(p.scale));
        let real_bias = self.bias(node, conv)?;
        let real_weight = self.param(&weight)?;
        let quantized = config
            .weight_scales(&node.name, real_weight, conv.out_channels)
            .and_then(|s| {
                quantize_weight(real_weight, &real_bias, &s, &config.weights.spec()?, scale_in, max_bias)
            })
            .map_err(|e| e.of(&weight))?;
        let mut pairs = Vec::with_capacity(2 * conv.out_channels);
        for &scale in &quantized.scales {
            let multiplier = Multiplier::from_real(scale_in * scale / scale_out, config.scale_form)?;
            pairs.extend([multiplier.mantissa, i32::from(multiplier.shift)]);
        }
        let [weights, biases] = constants(quantized, wide, config.weights.bits);
        self.constants.insert(weight.clone(), weights);
        self.constants.insert(bias.clone(), biases);
        self.constants.insert(multipliers.clone(), Constant::I32(pairs));
        let activation = fused.map(|f| (f.function, sums_to));
        let rounding = config.rounding;
        let geometry = geometry(conv);
        let op = if wide {
            StepOp::ConvI16 { geometry, weight, bias, cut: None, multipliers, rounding, activation }
        } else {
            StepOp::ConvI8 { geometry, weight, bias, cut: None, multipliers, rounding, activation }
        };
        let input = self.conv_input(node, reads)?;
        let result = fused.map_or(id, |f| f.result);
        let makes = self.quantizer(result)?;
        self.conv_steps(node, op, input, result, makes)
    }
}

/// Weights and biases as the step wants them.
fn constants(quantized: QuantizedWeight, wide: bool, weight_bits: u8) -> [Constant; 2] {
    let QuantizedWeight { weight, bias, .. } = quantized;
    let weight = match weight_bits {
        ..=8 => Constant::I8(weight.into_iter().map(|w| w as i8).collect()),
        _ => Constant::I16(weight),
    };
    // `quantize_weight` keeps the narrow ones within 2^29.
    let bias =
        if wide { Constant::I64(bias) } else { Constant::I32(bias.into_iter().map(|b| b as i32).collect()) };
    [weight, bias]
}
