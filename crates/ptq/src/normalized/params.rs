//! Parameters of a network whose feature maps are normalised, and those of one whose image is moved.

use super::NormRatios;
use crate::Error;
use nn_graph::{Conv, Graph, Node, Op, Params, Tensor};

/// What a network reads instead of the image that it was trained on: `image = scale * (value + offset)`.
///
/// For pixels less 128 in place of pixels over 255: scale 1/255, offset 128.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputShift {
    /// Factor of all channels.
    pub scale: f64,
    /// Added to all values.
    pub offset: f64,
}

/// Parameters with which a network gives on shifted values what it gave on the image: those of convolutions that read it become
/// `W' = W scale` and `b' = b + sum(W scale) offset`. Padding then has to be `-offset`.
///
/// # Errors
/// [`Error::Parameter`] for one that is missing; [`Error::Unsupported`] if something else than a convolution with a bias reads the image.
pub fn shift_input(graph: &Graph, params: &Params, shift: InputShift) -> Result<Params, Error> {
    let mut params = params.clone();
    for node in
        graph.nodes().iter().filter(|node| node.inputs.iter().any(|id| reads_image(graph, id.index())))
    {
        let Op::Conv(conv) = &node.op else {
            return Err(Error::Unsupported { node: node.name.clone(), kind: node.op.kind() });
        };
        let (mut weight, mut bias) = conv_params(&params, node, conv)?;
        for (row, bias) in weight.data_mut().chunks_exact_mut(row_length(conv)).zip(&mut bias) {
            let sum: f64 = row.iter().map(|&w| f64::from(w)).sum();
            *bias = (f64::from(*bias) + sum * shift.scale * shift.offset) as f32;
            row.iter_mut().for_each(|w| *w = (f64::from(*w) * shift.scale) as f32);
        }
        put(&mut params, node, weight, bias);
    }
    Ok(params)
}

fn reads_image(graph: &Graph, index: usize) -> bool {
    matches!(graph.nodes()[index].op, Op::Input { .. })
}

/// Parameters of the network with normalised feature maps: `W_n = W N_in / N_out`, `b_n = b / N_out`, in double precision, rounded once.
///
/// # Errors
/// [`Error::Parameter`] for a parameter that is missing.
pub fn normalize(graph: &Graph, params: &Params, ratios: &NormRatios) -> Result<Params, Error> {
    scaled(graph, params, ratios, |value, input, output| value * input / output)
}

/// The way back from [`normalize`].
///
/// # Errors
/// As there.
pub fn denormalize(graph: &Graph, params: &Params, ratios: &NormRatios) -> Result<Params, Error> {
    scaled(graph, params, ratios, |value, input, output| value * output / input)
}

fn scaled(
    graph: &Graph,
    params: &Params,
    ratios: &NormRatios,
    f: impl Fn(f64, f64, f64) -> f64,
) -> Result<Params, Error> {
    let mut params = params.clone();
    for id in graph.tensors() {
        let node = graph.node(id);
        let Op::Conv(conv) = &node.op else { continue };
        let (mut weight, mut bias) = conv_params(&params, node, conv)?;
        let (inputs, outputs) = (ratios.channels(node.inputs[0]), ratios.channels(id));
        let (per_group, window) = (conv.in_channels / conv.groups, conv.kernel[0] * conv.kernel[1]);
        let rows = weight.data_mut().chunks_exact_mut(row_length(conv)).zip(&mut bias).zip(outputs);
        for (channel, ((row, bias), &output)) in rows.enumerate() {
            let first = channel / (conv.out_channels / conv.groups) * per_group;
            for (window, &input) in row.chunks_exact_mut(window).zip(&inputs[first..first + per_group]) {
                window.iter_mut().for_each(|w| *w = f((*w).into(), input.into(), output.into()) as f32);
            }
            *bias = f((*bias).into(), 1.0, output.into()) as f32;
        }
        put(&mut params, node, weight, bias);
    }
    Ok(params)
}

/// Weights of an output channel.
fn row_length(conv: &Conv) -> usize {
    (conv.in_channels / conv.groups * conv.kernel[0] * conv.kernel[1]).max(1)
}

/// Weight and bias of a convolution, which has to have one.
fn conv_params(params: &Params, node: &Node, conv: &Conv) -> Result<(Tensor, Vec<f32>), Error> {
    if !conv.bias {
        return Err(Error::Unsupported { node: node.name.clone(), kind: "conv without a bias" });
    }
    let param = |kind: &str| {
        let name = format!("{}.{kind}", node.name);
        params.get(&name).cloned().ok_or(Error::Parameter { name })
    };
    Ok((param("weight")?, param("bias")?.data().to_vec()))
}

fn put(params: &mut Params, node: &Node, weight: Tensor, bias: Vec<f32>) {
    params.insert(format!("{}.weight", node.name), weight);
    params.insert(format!("{}.bias", node.name), Tensor::vector(bias));
}
