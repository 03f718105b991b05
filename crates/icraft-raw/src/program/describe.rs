//! From a graph to the network of a stage.

use super::ProgramError;
use super::operation::{FILTER, MOVED, PADDING_VALUE, POOL, SCALE};
use crate::{
    Attributes, BitWidth, ElementType, FeatureMap, Generation, Network, NormRatios, Normalized, Operation,
    Param, ParamSlot, PerAxis, Quantized, RawType, Role, Scale, Scales, Stage, StorageType, TensorAttributes,
    legacy_feature_map_ids, payload, raw_shape, to_raw_layout,
};
use nn_graph::{Activation, Conv, Graph, Node, Op, Params};
use quant_core::ConvScales;
use serde_json::json;

const FLOAT: ElementType = ElementType::Storage(StorageType::Float(32));

/// How the image reaches the network: `value = image * scale - offset`, its channels in another order.
#[derive(Debug, Clone, PartialEq)]
pub struct InputTransform {
    /// Factor of the image, whose values are in `[0, 1]`: 255 for pixels.
    pub scale: f32,
    /// Taken off: 128 for pixels that are centred.
    pub offset: f32,
    /// Channel `i` of the network is channel `order[i]` of the image.
    pub order: Vec<usize>,
}

/// The parsed network of a graph whose BatchNorm is folded: f32 throughout. Feature maps have the ids of the earlier generation and the names
/// of the graph's nodes; parameters have the names of the graph's and follow one another, weights before biases.
///
/// # Errors
/// [`ProgramError::Operator`], and [`ProgramError::Graph`] for images of a size that does not fit.
pub fn describe(
    graph: &Graph,
    name: &str,
    image: [usize; 2],
    generation: Generation,
) -> Result<Network, ProgramError> {
    let shapes = graph.infer_shapes(image[0], image[1])?;
    let kinds = graph.nodes().iter().map(kind).collect::<Result<Vec<_>, _>>()?;
    let ids = legacy_feature_map_ids(kinds.iter().copied());
    let map = |index: usize| {
        let [channels, height, width] = shapes[index];
        FeatureMap {
            id: ids[index],
            name: graph.nodes()[index].name.clone(),
            shape: vec![1, height, width, channels],
            element: FLOAT,
            layout: "@layout(NHWC)".parse().ok(),
            attributes: TensorAttributes::default(),
        }
    };
    // The later generation numbers feature maps and parameters together.
    let mut next = if generation == Generation::Xir { ids.len() as i64 } else { 0 };
    let mut operations = Vec::new();
    for (index, node) in graph.nodes().iter().enumerate() {
        let inputs: Vec<FeatureMap> = node.inputs.iter().map(|id| map(id.index())).collect();
        let params = match &node.op {
            Op::Conv(conv) => conv_params(node, conv, &mut next)?,
            _ => Vec::new(),
        };
        operations.push(Operation {
            id: index as i64,
            kind: kinds[index].to_owned(),
            namespace: namespace(generation),
            name: node.name.clone(),
            inputs,
            params,
            outputs: vec![map(index)],
            attributes: attributes(&node.op),
        });
    }
    operations.push(Operation {
        id: operations.len() as i64,
        kind: "Output".to_owned(),
        namespace: namespace(generation),
        name: "output".to_owned(),
        inputs: graph.outputs().iter().map(|id| map(id.index())).collect(),
        params: Vec::new(),
        outputs: Vec::new(),
        attributes: Attributes::new(),
    });
    Ok(Network {
        generation,
        name: name.to_owned(),
        operations,
        checksum: None,
        raw_length: None,
        attributes: Attributes::new(),
    })
}

fn namespace(generation: Generation) -> String {
    match generation {
        Generation::Legacy => String::new(),
        Generation::Xir => "icraft::xir".to_owned(),
    }
}

fn kind(node: &Node) -> Result<&'static str, ProgramError> {
    Ok(match &node.op {
        Op::Input { .. } => "Input",
        Op::Conv(conv) if conv.bias => "Conv2d",
        Op::Activation(Activation::Silu) => "SiLU",
        Op::Activation(Activation::Relu) => "ReLU",
        Op::Activation(Activation::Sigmoid) => "Sigmoid",
        Op::Activation(Activation::Hardswish) => "Hardswish",
        Op::Add => "Add",
        Op::Concat => "Concat",
        Op::MaxPool(_) => "MaxPool2d",
        Op::Upsample { .. } => "Upsample",
        other => return Err(ProgramError::Operator { name: node.name.clone(), kind: other.kind() }),
    })
}

fn attributes(op: &Op) -> Attributes {
    let pairs = |keys: [[&'static str; 2]; 3], values: [[usize; 2]; 3]| {
        let all = keys.into_iter().zip(values);
        all.flat_map(|(keys, values)| keys.into_iter().zip(values))
            .map(|(key, value)| (key.to_owned(), json!(value)))
            .collect::<Attributes>()
    };
    match op {
        Op::Conv(conv) => {
            let mut all = pairs(FILTER, [conv.stride, conv.padding, conv.dilation]);
            all.insert("groups".to_owned(), json!(conv.groups));
            all
        }
        Op::MaxPool(pool) => pairs(POOL, [[pool.kernel; 2], [pool.stride; 2], [pool.padding; 2]]),
        Op::Upsample { scale } => [(SCALE.to_owned(), json!(scale))].into(),
        Op::Concat => [("axis".to_owned(), json!(-1))].into(),
        Op::Add => [("alpha".to_owned(), json!(1)), ("beta".to_owned(), json!(1))].into(),
        _ => Attributes::new(),
    }
}

fn conv_params(node: &Node, conv: &Conv, next: &mut i64) -> Result<Vec<Param>, ProgramError> {
    let shapes =
        [("weight", conv.weight_shape(), "@layout(HWIO)"), ("bias", vec![conv.out_channels], "@layout(O)")];
    let mut params = Vec::new();
    for (position, (kind, shape, layout)) in shapes.into_iter().enumerate() {
        let name = format!("{}.{kind}", node.name);
        let shape =
            raw_shape(&shape).map_err(|source| ProgramError::Layout { tensor: name.clone(), source })?;
        params.push(Param {
            id: *next,
            name,
            shape,
            element: FLOAT,
            layout: layout.parse().ok(),
            slot: ParamSlot::Input(1 + position),
            attributes: TensorAttributes::default(),
        });
        *next += 1;
    }
    Ok(params)
}

/// Notes on the input how the image reaches it, and on the convolutions that read it what they see beyond its borders: the value of an image
/// of zeros.
pub fn transformed(network: &mut Network, transform: &InputTransform) {
    let mut read = None;
    for operation in &mut network.operations {
        if operation.kind == "Input" {
            let value =
                json!({ "scale": transform.scale, "offset": transform.offset, "order": transform.order });
            operation.attributes.insert(MOVED.to_owned(), value);
            read = operation.outputs.first().and_then(|map| map.id);
        } else if operation.kind == "Conv2d" && operation.inputs.iter().any(|map| map.id == read) {
            operation.attributes.insert(PADDING_VALUE.to_owned(), json!(-transform.offset));
        }
    }
}

/// The network after normalisation: every feature map has the ratios that `ratios` gives for its name.
#[must_use]
pub fn normalized<'r>(mut network: Network, ratios: impl Fn(&str) -> Option<&'r [f32]>) -> Network {
    for map in feature_maps(&mut network) {
        if let Some(ratios) = ratios(&map.name) {
            let ratio = NormRatios(PerAxis::from_values(Some(-1), ratios));
            map.element = ElementType::Normalized(Normalized { ratio, attributes: Attributes::new() });
        }
    }
    network
}

/// The normalised network as integers of `bits` bits: feature maps with scale 1, and weights and biases with the scales that `scales` gives
/// for the name of their operation.
#[must_use]
pub fn integers<'s>(
    mut network: Network,
    bits: u8,
    scales: impl Fn(&str) -> Option<&'s ConvScales>,
) -> Network {
    for map in feature_maps(&mut network) {
        if let ElementType::Normalized(Normalized { ratio, .. }) = &map.element {
            let one = Scale { mantissa: 1, shift: 0, value: 1.0 };
            let list = PerAxis::uniform(Some(-1), ratio.0.count(), one);
            let (ratio, quantized) = (ratio.clone(), quantized(list, bits));
            map.element = ElementType::NormalizedQuantized { ratio, quantized };
        }
    }
    for operation in &mut network.operations {
        let Some(scales) = scales(&operation.name) else { continue };
        let list = |scales: Vec<Scale>| PerAxis::from_values(Some(-1), &scales);
        let form = |scale: quant_core::MantissaScale| Scale::new(scale.mantissa.into(), scale.shift.into());
        let lists = [scales.weights.iter().copied().map(form).collect(), scales.biases().map(form).collect()];
        for (param, (scales, bits)) in
            operation.params.iter_mut().zip(lists.into_iter().zip([bits, 2 * bits]))
        {
            param.element = ElementType::Quantized(quantized(list(scales), bits));
        }
    }
    network
}

fn quantized(scales: PerAxis<Scale>, bits: u8) -> Quantized {
    Quantized {
        scale: Scales::Exponent(scales),
        storage: StorageType::Signed(bits.into()),
        expressed: Some(StorageType::Float(32)),
        zero_points: Vec::new(),
        attributes: Attributes::new(),
    }
}

fn feature_maps(network: &mut Network) -> impl Iterator<Item = &mut FeatureMap> {
    network
        .operations
        .iter_mut()
        .flat_map(|operation| operation.inputs.iter_mut().chain(&mut operation.outputs))
}

/// The payloads of a quantised network's parameters, in its order: weights of `bits` bits and biases of twice as many, which `values` gives
/// for the name of their operation in the framework's layout. They have to fit.
///
/// # Errors
/// [`ProgramError::Parameter`] for an operation without values; [`ProgramError::Layout`].
pub fn integer_payloads<'v>(
    network: &Network,
    bits: BitWidth,
    values: impl Fn(&str) -> Option<(&'v [i32], &'v [i64])>,
) -> Result<Vec<(u32, Vec<u8>)>, ProgramError> {
    let mut all = Vec::new();
    for operation in &network.operations {
        for param in &operation.params {
            let missing = || ProgramError::Parameter { name: param.name.clone() };
            let (weight, bias) = values(&operation.name).ok_or_else(missing)?;
            let bytes = match param.shape.as_slice() {
                &[height, width, inputs, outputs] => {
                    let values = to_raw_layout(weight, &[outputs, inputs, height, width])
                        .map_err(|source| ProgramError::Layout { tensor: param.name.clone(), source })?;
                    stored(values.iter().map(|&q| q.into()), bits, Role::Weight)
                }
                _ => stored(bias.iter().copied(), bits, Role::Bias),
            };
            all.push((param.id as u32, bytes));
        }
    }
    Ok(all)
}

/// Integers as wide as a quantised raw file has them.
fn stored(values: impl Iterator<Item = i64>, bits: BitWidth, role: Role) -> Vec<u8> {
    match Stage::Quantized.element_type(bits, role) {
        RawType::I8 => payload(&values.map(|q| q as i8).collect::<Vec<_>>()).into_owned(),
        RawType::I16 => payload(&values.map(|q| q as i16).collect::<Vec<_>>()).into_owned(),
        RawType::I32 | RawType::F32 => payload(&values.map(|q| q as i32).collect::<Vec<_>>()).into_owned(),
    }
}

/// The f32 payloads of a network's parameters, in its order.
///
/// # Errors
/// [`ProgramError::Parameter`] for one that is not among `params`; [`ProgramError::Layout`].
pub fn payloads(network: &Network, params: &Params) -> Result<Vec<(u32, Vec<u8>)>, ProgramError> {
    let all = network.operations.iter().flat_map(|operation| &operation.params);
    all.map(|param| {
        let tensor =
            params.get(&param.name).ok_or_else(|| ProgramError::Parameter { name: param.name.clone() })?;
        let values = to_raw_layout(tensor.data(), tensor.shape())
            .map_err(|source| ProgramError::Layout { tensor: param.name.clone(), source })?;
        Ok((param.id as u32, payload(&values).into_owned()))
    })
    .collect()
}
