//! Parameters before training.

use crate::Head;
use crate::head::BOX_VALUES;
use nn_graph::{Graph, Op, Params, Tensor, formula_uniform};

/// Parameters to start training with, the same for the same seed on every machine: weights and biases of convolutions uniform in
/// `±1 / sqrt(fan in)`, as PyTorch's layers begin, BatchNorm as the identity. Convolutions that make the graph's outputs get the biases that YOLOv5 gives its
/// detection layers: objectness `ln(8 / (640 / stride)^2)`, for about 8 objects in an image of 640 pixels, classes `ln(0.6 / (classes - 0.99999))`, both
/// added to what is drawn.
#[must_use]
pub fn initial_params(graph: &Graph, head: &Head, seed: u64) -> Params {
    let mut params: Params = graph
        .parameters()
        .into_iter()
        .filter_map(|spec| {
            let count = spec.shape.iter().product();
            let constant = if spec.name.ends_with("running_var") || is_scale(&spec.name, &spec.shape) {
                1.0
            } else {
                0.0
            };
            Some((spec.name, Tensor::new(spec.shape, vec![constant; count])?))
        })
        .collect();
    for node in graph.nodes() {
        let Op::Conv(conv) = node.op else { continue };
        let fan_in = conv.in_channels / conv.groups * conv.kernel[0] * conv.kernel[1];
        let bound = (fan_in as f64).sqrt().recip();
        for kind in ["weight", "bias"] {
            let name = format!("{}.{kind}", node.name);
            let stream = format!("{seed}:{name}");
            let Some(tensor) = params.get_mut(&name) else { continue };
            for (index, value) in tensor.data_mut().iter_mut().enumerate() {
                *value = ((2.0 * formula_uniform(&stream, index as u64) - 1.0) * bound) as f32;
            }
        }
    }
    detection_biases(graph, head, &mut params);
    params
}

/// Whether a parameter is the weight of a BatchNorm.
fn is_scale(name: &str, shape: &[usize]) -> bool {
    name.ends_with("weight") && shape.len() == 1
}

fn detection_biases(graph: &Graph, head: &Head, params: &mut Params) {
    for (&output, &stride) in graph.outputs().iter().zip(&head.strides) {
        let name = format!("{}.bias", graph.node(output).name);
        let Some(bias) = params.get_mut(&name) else { continue };
        let side = 640.0 / stride as f64;
        let objectness = (8.0 / (side * side)).ln();
        let classes = (0.6 / (head.class_count as f64 - 0.99999)).ln();
        for values in bias.data_mut().chunks_exact_mut(head.values_per_anchor()) {
            let (box_values, class_values) = values.split_at_mut(BOX_VALUES);
            let objectness_value = &mut box_values[BOX_VALUES - 1];
            *objectness_value = (f64::from(*objectness_value) + objectness) as f32;
            class_values.iter_mut().for_each(|value| *value = (f64::from(*value) + classes) as f32);
        }
    }
}
