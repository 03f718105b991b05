//! From a network and its raw file to a program.
//!
//! Float stages become float programs in real numbers: the ratios of a normalised network are undone in its weights. Integer stages become
//! programs of the accelerator's arithmetic: sums are cut to twice the bits, biases added, the result scaled and clamped; activations are
//! tables; feature maps of unequal ratios are joined as they are, since the convolutions that read them have the ratios in their weights.
//! The image, RGB in `[0, 1]`, is transformed by the program's first step.

use super::operation::{FILTER, PADDING_VALUE, POOL, SCALE, number, pair, real, transform};
use super::{InputTransform, ProgramError};
use crate::{
    ElementType, FeatureMap, Network, Operation, Param, PerAxis, RawElement, RawFile, RawType, Scale, Scales,
    StorageType, to_framework_layout,
};
use quant_core::{
    Accelerator, Activation, AddScales, Constant, ConvGeometry, Cut, Description, Format, Program,
    QuantParams, Rounding, Step, StepOp, TensorInfo,
};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// What is not known of the accelerator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Simulation {
    /// How sums are cut to twice the bits.
    pub cut: Rounding,
    /// How results are scaled, in convolutions and additions.
    pub scale: Rounding,
    /// Whether activations are done with their convolutions, whose results are then not seen; the values are the same.
    pub fused: bool,
}

impl Default for Simulation {
    /// From one half up, by both.
    fn default() -> Self {
        Self { cut: Rounding::HalfUp, scale: Rounding::HalfUp, fused: true }
    }
}

/// The attribute of a network whose entries become the program's metadata: what Icraft's files have no place for, like the geometry of a head.
pub const NOTES: &str = "notes";

/// The program of a network of the stages parsed to quantized, with its raw file. Its metadata is what the network has under [`NOTES`].
///
/// # Errors
/// [`ProgramError`] names the operation or tensor.
pub fn program(network: &Network, raw: &RawFile, simulation: Simulation) -> Result<Program, ProgramError> {
    check_sizes(network)?;
    let mut lowering = Lowering::new(network, raw, simulation);
    for (index, operation) in network.operations.iter().enumerate() {
        lowering.operation(index, operation)?;
    }
    let description =
        Description { tensors: lowering.tensors, steps: lowering.steps, outputs: lowering.outputs };
    let mut program = Program::new(description, lowering.constants)?;
    if let Some(Value::Object(notes)) = network.attributes.get(NOTES) {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        program.metadata = notes.iter().map(|(key, value)| (key.clone(), text(value))).collect();
    }
    Ok(program)
}

struct Lowering<'a> {
    network: &'a Network,
    raw: &'a RawFile,
    simulation: Simulation,
    /// How often a feature map is read.
    readers: HashMap<Option<i64>, usize>,
    /// The program's tensor of a feature map.
    tensor_of: HashMap<Option<i64>, usize>,
    tensors: Vec<TensorInfo>,
    steps: Vec<Step>,
    constants: BTreeMap<String, Constant>,
    outputs: Vec<usize>,
}

impl<'a> Lowering<'a> {
    fn new(network: &'a Network, raw: &'a RawFile, simulation: Simulation) -> Self {
        let mut readers = HashMap::new();
        for map in network.operations.iter().flat_map(|operation| &operation.inputs) {
            *readers.entry(map.id).or_insert(0) += 1;
        }
        Self {
            network,
            raw,
            simulation,
            readers,
            tensor_of: HashMap::new(),
            tensors: Vec::new(),
            steps: Vec::new(),
            constants: BTreeMap::new(),
            outputs: Vec::new(),
        }
    }

    fn operation(&mut self, index: usize, operation: &Operation) -> Result<(), ProgramError> {
        let done = operation.outputs.first().is_some_and(|map| self.tensor_of.contains_key(&map.id));
        match operation.kind.as_str() {
            // An activation that was done with its convolution.
            _ if done => Ok(()),
            "Input" => self.input(operation),
            "Output" => {
                for map in &operation.inputs {
                    let tensor = self.read(operation, map)?;
                    self.outputs.push(tensor);
                }
                Ok(())
            }
            "Conv2d" => self.conv(index, operation),
            "Add" => self.add(operation),
            "Concat" => self.concat(operation),
            "MaxPool2d" => self.max_pool(operation),
            "Upsample" => {
                let scale = number(operation, SCALE, 2)?;
                self.moving(operation, StepOp::Upsample { scale })
            }
            _ => match activation(operation) {
                Some(function) => {
                    operation.inputs.iter().try_for_each(|map| uniform(map).map(drop))?;
                    self.simple(operation, StepOp::Activation(function))
                }
                None => {
                    let (operation, kind) = (operation.id, operation.kind.clone());
                    Err(ProgramError::Operation { operation, kind })
                }
            },
        }
    }

    fn read(&self, operation: &Operation, map: &FeatureMap) -> Result<usize, ProgramError> {
        let missing = || ProgramError::Order { operation: operation.id, id: map.id };
        self.tensor_of.get(&map.id).copied().ok_or_else(missing)
    }

    fn read_all(&self, operation: &Operation) -> Result<Vec<usize>, ProgramError> {
        operation.inputs.iter().map(|map| self.read(operation, map)).collect()
    }

    fn tensor(&mut self, name: &str, channels: usize, format: Format) -> usize {
        self.tensors.push(TensorInfo { name: name.to_owned(), channels, format });
        self.tensors.len() - 1
    }

    fn step(&mut self, name: &str, op: StepOp, inputs: Vec<usize>, output: usize) {
        self.steps.push(Step { name: name.to_owned(), op, inputs, output });
    }

    /// Makes the tensor of a feature map.
    fn produce(&mut self, map: &FeatureMap, format: Format) -> usize {
        let tensor = self.tensor(&tensor_name(map), channels(map), format);
        self.tensor_of.insert(map.id, tensor);
        tensor
    }

    fn simple(&mut self, operation: &Operation, op: StepOp) -> Result<(), ProgramError> {
        let map = output(operation)?;
        let inputs = self.read_all(operation)?;
        let tensor = self.produce(map, format(map)?);
        self.step(&name(operation), op, inputs, tensor);
        Ok(())
    }

    /// As [`Self::simple`], for what keeps its input's format.
    fn moving(&mut self, operation: &Operation, op: StepOp) -> Result<(), ProgramError> {
        let map = output(operation)?;
        let inputs = self.read_all(operation)?;
        let format = inputs.first().map_or(Format::F32, |&id| self.tensors[id].format);
        let tensor = self.produce(map, format);
        self.step(&name(operation), op, inputs, tensor);
        Ok(())
    }

    fn input(&mut self, operation: &Operation) -> Result<(), ProgramError> {
        let map = output(operation)?;
        let wanted = format(map)?;
        let transform = transform(operation)?;
        if wanted == Format::F32 && transform.is_none() {
            self.produce(map, wanted);
            return Ok(());
        }
        let mut image = self.tensor("image", channels(map), Format::F32);
        if let Some(transform) = transform {
            let name = if wanted == Format::F32 { tensor_name(map) } else { "transformed".to_owned() };
            image = self.transformed(operation, map, &transform, (image, &name))?;
        }
        if wanted == Format::F32 {
            self.tensor_of.insert(map.id, image);
        } else {
            let tensor = self.produce(map, wanted);
            self.step(&name(operation), StepOp::Quantize, vec![image], tensor);
        }
        Ok(())
    }

    /// The image as the network takes it, by a pointwise convolution.
    fn transformed(
        &mut self,
        operation: &Operation,
        map: &FeatureMap,
        transform: &InputTransform,
        (image, name): (usize, &str),
    ) -> Result<usize, ProgramError> {
        let count = channels(map);
        let mut sorted = transform.order.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..count) {
            let expected = "an object whose order names each channel once";
            return Err(ProgramError::Attribute {
                operation: operation.id,
                key: "image_transform",
                expected,
            });
        }
        let mut weight = vec![0.0; count * count];
        transform
            .order
            .iter()
            .enumerate()
            .for_each(|(to, &from)| weight[to * count + from] = transform.scale);
        let bias = vec![-transform.offset; count];
        let [weight, bias] = [("weight", weight), ("bias", bias)]
            .map(|(kind, values)| self.constant(&format!("image.{kind}"), Constant::F32(values)));
        let geometry = ConvGeometry {
            in_channels: count,
            out_channels: count,
            kernel: [1; 2],
            stride: [1; 2],
            padding: [0; 2],
            dilation: [1; 2],
            groups: 1,
            border: 0,
        };
        let tensor = self.tensor(name, count, Format::F32);
        let op = StepOp::ConvF32 { geometry, weight, bias, activation: None };
        self.step("image.transform", op, vec![image], tensor);
        Ok(tensor)
    }

    fn constant(&mut self, name: &str, values: Constant) -> String {
        self.constants.insert(name.to_owned(), values);
        name.to_owned()
    }

    /// The activation that alone reads a convolution's result.
    fn fused(&self, index: usize, map: &FeatureMap) -> Option<(Activation, &'a FeatureMap)> {
        if !self.simulation.fused || self.readers.get(&map.id) != Some(&1) {
            return None;
        }
        let later = &self.network.operations[index + 1..];
        let reader =
            later.iter().find(|operation| operation.inputs.iter().any(|input| input.id == map.id))?;
        Some((activation(reader)?, reader.outputs.first()?))
    }

    fn conv(&mut self, index: usize, operation: &Operation) -> Result<(), ProgramError> {
        let ([input], [weight, bias]) = (operation.inputs.as_slice(), operation.params.as_slice()) else {
            return Err(arity(operation, "one feature map, a weight and a bias"));
        };
        let sums = output(operation)?;
        let tensor = self.read(operation, input)?;
        let geometry = geometry(operation, input, weight)?;
        let fused = self.fused(index, sums);
        let result = fused.map_or(sums, |(_, result)| result);
        let op = if format(input)? == Format::F32 {
            self.conv_f32(operation, (input, sums), (weight, bias), geometry, fused.map(|f| f.0))?
        } else {
            let argument = uniform(sums)?;
            let activation = fused.map(|(function, _)| (function, argument));
            self.conv_integer(operation, input, (weight, bias), geometry, activation)?
        };
        let made = self.produce(result, format(result)?);
        self.step(&name(operation), op, vec![tensor], made);
        Ok(())
    }

    fn conv_f32(
        &mut self,
        operation: &Operation,
        (input, sums): (&FeatureMap, &FeatureMap),
        (weight, bias): (&Param, &Param),
        mut geometry: ConvGeometry,
        activation: Option<Activation>,
    ) -> Result<StepOp, ProgramError> {
        geometry.border = real(operation, PADDING_VALUE)?.round() as i32;
        let (mut weights, mut biases) = (self.values::<f32>(weight)?, self.values::<f32>(bias)?);
        if let (Some(from), Some(to)) = (ratios(input)?, ratios(sums)?) {
            let window = geometry.kernel[0] * geometry.kernel[1];
            let per_group = geometry.in_channels / geometry.groups;
            let rows = weights.chunks_exact_mut(geometry.depth().max(1)).zip(&mut biases).zip(&to);
            for (channel, ((row, bias), &to)) in rows.enumerate() {
                let first = channel / (geometry.out_channels / geometry.groups) * per_group;
                for (window, &from) in row.chunks_exact_mut(window.max(1)).zip(&from[first..]) {
                    window
                        .iter_mut()
                        .for_each(|w| *w = (f64::from(*w) * f64::from(to) / f64::from(from)) as f32);
                }
                *bias = (f64::from(*bias) * f64::from(to)) as f32;
            }
        }
        let [weight, bias] = [(weight, weights), (bias, biases)]
            .map(|(param, values)| self.constant(&param_label(param), Constant::F32(values)));
        Ok(StepOp::ConvF32 { geometry, weight, bias, activation })
    }

    fn conv_integer(
        &mut self,
        operation: &Operation,
        input: &FeatureMap,
        (weight, bias): (&Param, &Param),
        mut geometry: ConvGeometry,
        activation: Option<(Activation, Format)>,
    ) -> Result<StepOp, ProgramError> {
        let reads = format(input)?;
        let wide = reads.is_wide();
        let step = reads.params().map_or(1.0, |params| f64::from(params.scale));
        geometry.border = (real(operation, PADDING_VALUE)? / step).round() as i32;
        let (cut, pairs) = stages(weight, bias, geometry.out_channels)?;
        let cut = Some(Cut { shift: cut, bits: 2 * reads.bits(), rounding: self.simulation.cut });
        let weights = match wide {
            true => Constant::I16(self.values(weight)?),
            false => Constant::I8(self.values(weight)?),
        };
        let biases = match wide {
            true => Constant::I64(self.values::<i32>(bias)?.into_iter().map(i64::from).collect()),
            false => Constant::I32(self.values::<i16>(bias)?.into_iter().map(i32::from).collect()),
        };
        let (weight, bias) =
            (self.constant(&param_label(weight), weights), self.constant(&param_label(bias), biases));
        let multipliers = self.constant(&format!("{}.multipliers", name(operation)), Constant::I32(pairs));
        let rounding = self.simulation.scale;
        Ok(if wide {
            StepOp::ConvI16 { geometry, weight, bias, cut, multipliers, rounding, activation }
        } else {
            StepOp::ConvI8 { geometry, weight, bias, cut, multipliers, rounding, activation }
        })
    }

    /// The elements of a parameter, in the framework's order.
    fn values<T: RawElement + Default>(&self, param: &Param) -> Result<Vec<T>, ProgramError> {
        let tensor = || param_label(param);
        let (wanted, expected): (&[StorageType], _) = match T::TYPE {
            RawType::I8 => (&[StorageType::Signed(8)], "integers of 8 bits"),
            RawType::I16 => {
                (&[StorageType::Signed(12), StorageType::Signed(16)], "integers of 12 or 16 bits")
            }
            RawType::I32 => {
                (&[StorageType::Signed(24), StorageType::Signed(32)], "integers of 24 or 32 bits")
            }
            RawType::F32 => (&[StorageType::Float(32)], "f32"),
        };
        if !param.element.storage().is_some_and(|found| wanted.contains(&found)) {
            let found =
                param.element.storage().map_or("of no known type".to_owned(), |found| found.to_string());
            return Err(ProgramError::Element { tensor: tensor(), found, expected });
        }
        let count = param.shape.iter().try_fold(1u64, |count, &side| count.checked_mul(side as u64));
        let id = u32::try_from(param.id).unwrap_or(u32::MAX);
        let view = self.raw.view_sized::<T>(id, count.unwrap_or(u64::MAX));
        let view = view.map_err(|source| ProgramError::Raw { tensor: tensor(), source })?;
        let shape: Vec<usize> = match param.shape.as_slice() {
            &[height, width, inputs, outputs] => vec![outputs, inputs, height, width],
            other => other.to_vec(),
        };
        to_framework_layout(&view, &shape).map_err(|source| ProgramError::Layout { tensor: tensor(), source })
    }

    fn add(&mut self, operation: &Operation) -> Result<(), ProgramError> {
        let [left, right] = operation.inputs.as_slice() else {
            return Err(arity(operation, "two feature maps"));
        };
        let sum = output(operation)?;
        let rounding = self.simulation.scale;
        let ratio =
            |map: &FeatureMap| Ok::<_, ProgramError>(uniform(map)?.params().map(|p| f64::from(p.scale)));
        let multipliers = match (ratio(left)?, ratio(right)?, ratio(sum)?) {
            (Some(left), Some(right), Some(out)) => {
                let bits = format(sum)?.bits();
                let accelerator = Accelerator::of_width(bits);
                Some(AddScales::new([left / out, right / out], bits, accelerator)?.multipliers())
            }
            _ => None,
        };
        self.simple(operation, StepOp::Add { multipliers, rounding })
    }

    fn concat(&mut self, operation: &Operation) -> Result<(), ProgramError> {
        let inputs = self.read_all(operation)?;
        let formats: Vec<Format> = inputs.iter().map(|&id| self.tensors[id].format).collect();
        let unequal = formats.iter().any(|format| *format != formats[0]);
        let op = if unequal {
            StepOp::Join
        } else {
            StepOp::Concat { rescale: vec![None; inputs.len()], rounding: self.simulation.scale }
        };
        self.moving(operation, op)
    }

    fn max_pool(&mut self, operation: &Operation) -> Result<(), ProgramError> {
        let [kernel, stride, padding] =
            [pair(operation, POOL[0], 1)?, pair(operation, POOL[1], 1)?, pair(operation, POOL[2], 0)?];
        if [kernel, stride, padding].iter().any(|pair| pair[0] != pair[1]) {
            return Err(arity(operation, "a square window with equal strides and paddings"));
        }
        let op = StepOp::MaxPool { kernel: kernel[0], stride: stride[0], padding: padding[0] };
        self.moving(operation, op)
    }
}

/// By how many bits sums are cut, and mantissa and shift of every channel.
fn stages(weight: &Param, bias: &Param, channels: usize) -> Result<(u8, Vec<i32>), ProgramError> {
    let (weights, biases) = (exponents(weight, channels)?, exponents(bias, channels)?);
    let mut cut = None;
    let mut pairs = Vec::with_capacity(2 * channels);
    for (channel, (w, b)) in weights.into_iter().zip(biases).enumerate() {
        let shift = w.shift.checked_sub(b.shift).filter(|&shift| shift <= 31 && w.mantissa == b.mantissa);
        match shift {
            Some(shift) if *cut.get_or_insert(shift) == shift => {
                pairs.extend([w.mantissa as i32, b.shift as i32]);
            }
            _ => {
                let (weight_scale, bias_scale) = (w.to_string(), b.to_string());
                let tensor = param_label(weight);
                return Err(ProgramError::Scales { tensor, channel, weight: weight_scale, bias: bias_scale });
            }
        }
    }
    Ok((cut.unwrap_or(0) as u8, pairs))
}

fn exponents(param: &Param, channels: usize) -> Result<Vec<Scale>, ProgramError> {
    match param.element.scale() {
        Some(Scales::Exponent(list)) => expand(list, channels, || param_label(param)),
        _ => Err(ProgramError::Element {
            tensor: param_label(param),
            found: "without @exp_scales".to_owned(),
            expected: "integers with @exp_scales",
        }),
    }
}

fn expand<T: Copy + PartialEq>(
    list: &PerAxis<T>,
    channels: usize,
    tensor: impl Fn() -> String,
) -> Result<Vec<T>, ProgramError> {
    list.expand(channels).map_err(|source| ProgramError::Expression { tensor: tensor(), source })
}

/// The ratio of every channel of a normalised feature map.
fn ratios(map: &FeatureMap) -> Result<Option<Vec<f32>>, ProgramError> {
    map.element.norm_ratio().map(|list| expand(list, channels(map), || tensor_name(map))).transpose()
}

/// How a feature map is kept. Where channels have unequal ratios the scale is that of the first.
fn format(map: &FeatureMap) -> Result<Format, ProgramError> {
    let other = || ProgramError::Element {
        tensor: tensor_name(map),
        found: format!("{:?}", map.element),
        expected: "f32, normalised, or normalised integers of 8, 12 or 16 bits",
    };
    match &map.element {
        ElementType::Storage(StorageType::Float(32)) | ElementType::Normalized(_) => Ok(Format::F32),
        ElementType::NormalizedQuantized { ratio, quantized } => {
            let (_, scale) = *ratio.0.runs().first().ok_or_else(other)?;
            let params = QuantParams { scale, zero_point: 0 };
            match quantized.storage {
                StorageType::Signed(8) => Ok(Format::I8(params)),
                StorageType::Signed(12) => Ok(Format::I12(params)),
                StorageType::Signed(16) => Ok(Format::I16(params)),
                _ => Err(other()),
            }
        }
        _ => Err(other()),
    }
}

/// As [`format`], for what has one scale for all channels.
fn uniform(map: &FeatureMap) -> Result<Format, ProgramError> {
    match map.element.norm_ratio().map(PerAxis::runs) {
        Some([(_, first), rest @ ..]) if rest.iter().any(|(_, other)| other != first) => {
            Err(ProgramError::Ratios { tensor: tensor_name(map) })
        }
        _ => format(map),
    }
}

/// Sides that no tensor exceeds, before anything is made as long as a file says.
fn check_sizes(network: &Network) -> Result<(), ProgramError> {
    const MOST: usize = 1 << 16;
    let check = |shape: &[usize], tensor: &dyn Fn() -> String| match shape.iter().find(|&&side| side > MOST) {
        Some(&side) => Err(ProgramError::Size { tensor: tensor(), side }),
        None => Ok(()),
    };
    for operation in &network.operations {
        for map in operation.inputs.iter().chain(&operation.outputs) {
            check(&map.shape, &|| tensor_name(map))?;
        }
        for param in &operation.params {
            check(&param.shape, &|| param_label(param))?;
        }
    }
    Ok(())
}

fn geometry(operation: &Operation, input: &FeatureMap, weight: &Param) -> Result<ConvGeometry, ProgramError> {
    let &[height, width, per_group, outputs] = weight.shape.as_slice() else {
        return Err(arity(operation, "a weight of four axes"));
    };
    let (inputs, groups) = (channels(input), number(operation, "groups", 1)?.max(1));
    if inputs != groups * per_group || !outputs.is_multiple_of(groups) {
        return Err(arity(operation, "groups that divide its channels, and a weight that fits them"));
    }
    Ok(ConvGeometry {
        in_channels: inputs,
        out_channels: outputs,
        kernel: [height, width],
        stride: pair(operation, FILTER[0], 1)?,
        padding: pair(operation, FILTER[1], 0)?,
        dilation: pair(operation, FILTER[2], 1)?,
        groups,
        border: 0,
    })
}

fn activation(operation: &Operation) -> Option<Activation> {
    Some(match operation.kind.to_ascii_lowercase().as_str() {
        "silu" => Activation::Silu,
        "relu" => Activation::Relu,
        "sigmoid" => Activation::Sigmoid,
        "hardswish" => Activation::Hardswish,
        _ => return None,
    })
}

fn output(operation: &Operation) -> Result<&FeatureMap, ProgramError> {
    operation.outputs.first().ok_or_else(|| arity(operation, "an output"))
}

fn arity(operation: &Operation, expected: &'static str) -> ProgramError {
    ProgramError::Arity { operation: operation.id, kind: operation.kind.clone(), expected }
}

fn channels(map: &FeatureMap) -> usize {
    map.shape.last().copied().unwrap_or(0)
}

/// The name of a feature map's tensor in a program: its own, or one made of its id.
#[must_use]
pub fn tensor_name(map: &FeatureMap) -> String {
    if map.name.is_empty() { format!("ftmp.{}", map.id.unwrap_or(-1)) } else { map.name.clone() }
}

fn param_label(param: &Param) -> String {
    if param.name.is_empty() { format!("raw.{}", param.id) } else { param.name.clone() }
}

fn name(operation: &Operation) -> String {
    if operation.name.is_empty() { format!("op.{}", operation.id) } else { operation.name.clone() }
}
