//! Cross-layer equalisation: channels of a layer made alike, at the cost of the layers that read them.
//!
//! `f(s x) = s f(x)` holds for `s > 0` where `f` is the identity, ReLU or leaky ReLU, and pooling, upsampling and concatenation keep
//! channels apart. So an output channel can be divided by any `s` if the convolutions that read it multiply their weights by `s`. The
//! factor that gives both sides the same range is `s = sqrt(r1 / r2)`, `r1` the largest weight that makes the channel and `r2` the
//! largest that reads it (Nagel et al., *Data-Free Quantization through Weight Equalization and Bias Correction*, ICCV 2019,
//! arXiv 1906.04721). It serves weights that share one scale per tensor.
//!
//! SiLU, Sigmoid, Hardswish and ReLU6 have no such property: `SiLU(s x)` is not `s SiLU(x)` for any `s` but 1, so that equalising
//! across them changes what the network computes. They are refused, each with its reason.

use crate::parameters::parameter_mut;
use crate::{Error, parameter};
use nn_graph::{Activation, Conv, Graph, Op, Params, TensorId};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// A convolution whose output channels were equalised.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EqualizedLayer {
    /// Its name.
    pub name: String,
    /// The convolutions that read its channels, by name.
    pub readers: Vec<String>,
    /// The largest factor by which a channel was scaled, up or down.
    pub largest_factor: f64,
}

/// Why a convolution's channels can't be scaled without changing the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EqualizationBarrier {
    /// They leave the network.
    Output,
    /// They are added to others, whose scale would have to follow.
    Addition,
    /// They pass an activation with `f(s x) != s f(x)`.
    Activation(&'static str),
    /// They pass another operator than pooling, upsampling and concatenation.
    Operator(&'static str),
    /// Nothing reads them.
    Unread,
}

impl fmt::Display for EqualizationBarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output => f.write_str("its channels leave the network"),
            Self::Addition => {
                f.write_str("its channels are added to others, whose scale would have to follow")
            }
            Self::Activation(name) => {
                write!(
                    f,
                    "its channels pass {name}, which does not commute with scaling: f(s x) is not s f(x)"
                )
            }
            Self::Operator(kind) => write!(f, "its channels pass a {kind}"),
            Self::Unread => f.write_str("nothing reads its channels"),
        }
    }
}

/// What equalisation did.
#[derive(Debug, Clone, PartialEq)]
pub struct Equalized {
    /// All parameters; the network computes what it did, but for rounding.
    pub params: Params,
    /// Convolutions that were equalised, in graph order.
    pub layers: Vec<EqualizedLayer>,
    /// The others, and why not.
    pub refused: Vec<(String, EqualizationBarrier)>,
}

/// A convolution that reads channels of another, from channel `offset` of its input on.
struct Reader<'g> {
    name: &'g str,
    conv: &'g Conv,
    offset: usize,
}

/// Equalises all convolutions of a graph whose BatchNorm is folded, in turn, until no factor is more than a thousandth from 1, at most 20
/// times. Factors are computed in f64. Channels without weights on either side stay as they are.
///
/// # Errors
/// [`Error::Parameter`] for a missing weight, [`Error::Length`] for one of a wrong length.
pub fn equalize(graph: &Graph, params: &Params) -> Result<Equalized, Error> {
    let consumers = graph.consumers();
    let mut result = Equalized { params: params.clone(), layers: Vec::new(), refused: Vec::new() };
    let mut pairs = Vec::new();
    for id in graph.tensors() {
        let node = graph.node(id);
        let Op::Conv(conv) = &node.op else { continue };
        check_weight(params, &node.name, conv)?;
        match readers(graph, &consumers, id, 0) {
            Ok(readers) if readers.is_empty() => {
                result.refused.push((node.name.clone(), EqualizationBarrier::Unread));
            }
            Ok(readers) => pairs.push((node.name.as_str(), conv, readers)),
            Err(barrier) => result.refused.push((node.name.clone(), barrier)),
        }
    }
    let mut totals: Vec<Vec<f64>> = pairs.iter().map(|(_, conv, _)| vec![1.0; conv.out_channels]).collect();
    for _ in 0..20 {
        let mut largest = 1.0f64;
        for ((name, conv, readers), totals) in pairs.iter().zip(&mut totals) {
            let factors = factors(&result.params, name, conv, readers)?;
            scale(&mut result.params, name, conv, readers, &factors)?;
            totals.iter_mut().zip(&factors).for_each(|(total, factor)| *total *= factor);
            largest = factors.iter().fold(largest, |m, s| m.max(s.max(1.0 / s)));
        }
        if largest < 1.001 {
            break;
        }
    }
    let reports = pairs.iter().zip(&totals).map(|((name, _, readers), totals)| EqualizedLayer {
        name: (*name).to_owned(),
        // A reader of several joined copies is named once.
        readers: readers.iter().map(|r| r.name.to_owned()).collect::<BTreeSet<_>>().into_iter().collect(),
        largest_factor: totals.iter().fold(1.0, |m, s| m.max(s.max(1.0 / s))),
    });
    result.layers = reports.collect();
    Ok(result)
}

/// All convolutions that the channels of `id` reach, or what is in the way.
fn readers<'g>(
    graph: &'g Graph,
    consumers: &[Vec<TensorId>],
    id: TensorId,
    offset: usize,
) -> Result<Vec<Reader<'g>>, EqualizationBarrier> {
    if graph.outputs().contains(&id) {
        return Err(EqualizationBarrier::Output);
    }
    let mut found = Vec::new();
    for &consumer in &consumers[id.index()] {
        let node = graph.node(consumer);
        match &node.op {
            Op::Conv(conv) => found.push(Reader { name: &node.name, conv, offset }),
            Op::Activation(Activation::Relu | Activation::LeakyRelu { .. })
            | Op::MaxPool(_)
            | Op::Upsample { .. } => found.extend(readers(graph, consumers, consumer, offset)?),
            Op::Concat => {
                // A tensor that is joined twice is listed twice among the consumers, each time for the first place.
                let before: usize = node
                    .inputs
                    .iter()
                    .take_while(|input| **input != id)
                    .map(|&i| graph.node(i).channels)
                    .sum();
                if node.inputs.iter().filter(|input| **input == id).count() > 1 {
                    return Err(EqualizationBarrier::Operator("concatenation with itself"));
                }
                found.extend(readers(graph, consumers, consumer, offset + before)?);
            }
            Op::Activation(function) => {
                return Err(EqualizationBarrier::Activation(activation_name(*function)));
            }
            Op::Add => return Err(EqualizationBarrier::Addition),
            op => return Err(EqualizationBarrier::Operator(op.kind())),
        }
    }
    Ok(found)
}

fn activation_name(function: Activation) -> &'static str {
    match function {
        Activation::Silu => "SiLU",
        Activation::Relu => "ReLU",
        Activation::Relu6 => "ReLU6",
        Activation::LeakyRelu { .. } => "leaky ReLU",
        Activation::Sigmoid => "Sigmoid",
        Activation::Hardswish => "Hardswish",
    }
}

fn check_weight(params: &Params, name: &str, conv: &Conv) -> Result<(), Error> {
    let (expected, found) = (conv.weight_shape().iter().product(), parameter(params, name, "weight")?.len());
    let wrong = || Error::Length { what: "weights", expected, found }.of(&format!("{name}.weight"));
    if expected == found { Ok(()) } else { Err(wrong()) }
}

/// Index ranges of the weights of `conv` that read its input channel `channel`.
fn columns(conv: &Conv, channel: usize) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
    let (inputs, outputs) = (conv.in_channels / conv.groups, conv.out_channels / conv.groups);
    let kernel = conv.kernel[0] * conv.kernel[1];
    let (group, inner) = (channel / inputs, channel % inputs);
    (group * outputs..(group + 1) * outputs).map(move |row| {
        let start = (row * inputs + inner) * kernel;
        start..start + kernel
    })
}

fn largest(values: impl Iterator<Item = f32>) -> f64 {
    f64::from(values.fold(0f32, |m, w| m.max(w.abs())))
}

/// `sqrt(r1 / r2)` per output channel.
fn factors(params: &Params, name: &str, conv: &Conv, readers: &[Reader<'_>]) -> Result<Vec<f64>, Error> {
    let own = parameter(params, name, "weight")?;
    let per_channel = (own.len() / conv.out_channels).max(1);
    let mut factors = Vec::with_capacity(conv.out_channels);
    for (channel, row) in own.chunks_exact(per_channel).enumerate() {
        let made = largest(row.iter().copied());
        let mut read = 0f64;
        for reader in readers {
            let weights = parameter(params, reader.name, "weight")?;
            let columns = columns(reader.conv, reader.offset + channel);
            read = read.max(largest(columns.flat_map(|range| weights[range].iter().copied())));
        }
        let factor = (made / read).sqrt();
        factors.push(if factor.is_finite() && factor > 0.0 { factor } else { 1.0 });
    }
    Ok(factors)
}

/// Divides output channels by their factors, and multiplies what reads them.
fn scale(
    params: &mut Params,
    name: &str,
    conv: &Conv,
    readers: &[Reader<'_>],
    factors: &[f64],
) -> Result<(), Error> {
    let by = |value: &mut f32, factor: f64| *value = (f64::from(*value) * factor) as f32;
    let own = parameter_mut(params, name, "weight")?;
    let per_channel = (own.len() / conv.out_channels).max(1);
    for (row, factor) in own.chunks_exact_mut(per_channel).zip(factors) {
        row.iter_mut().for_each(|w| by(w, 1.0 / factor));
    }
    if let Ok(bias) = parameter_mut(params, name, "bias") {
        bias.iter_mut().zip(factors).for_each(|(b, factor)| by(b, 1.0 / factor));
    }
    for reader in readers {
        let weights = parameter_mut(params, reader.name, "weight")?;
        for (channel, &factor) in factors.iter().enumerate() {
            for range in columns(reader.conv, reader.offset + channel) {
                weights[range].iter_mut().for_each(|w| by(w, factor));
            }
        }
    }
    Ok(())
}
