//! What is switched: convolutions with their activation, alone or by top-level block.

use super::{AnalysisError, LayerPattern};
use crate::placement::is_fused;
use nn_graph::{Conv, Graph, Op, TensorId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A convolution with the activation that is fused with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Name of the convolution: `model.2.cv1.conv`.
    pub name: String,
    /// The tensor that its step makes: the activation's where there is one.
    pub result: String,
    /// The top-level module that it belongs to: `model.2`.
    pub block: String,
    /// Number of weights.
    pub weights: u64,
    /// Output channels, each with a bias.
    pub channels: u64,
    /// Multiplications for one image of the size asked for.
    pub macs: u64,
}

/// What changes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// Every convolution by itself.
    Layer,
    /// All convolutions of a top-level module.
    Block,
}

/// Layers that change together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Name of the layer or block.
    pub name: String,
    /// Names of its layers.
    pub layers: BTreeSet<String>,
}

/// All convolutions of a graph in order, for images of `height` x `width`.
///
/// # Errors
/// If the image size does not fit the graph.
pub fn layers(graph: &Graph, height: usize, width: usize) -> Result<Vec<Layer>, AnalysisError> {
    let shapes = graph.infer_shapes(height, width)?;
    let consumers = graph.consumers();
    let layer = |id: TensorId| match &graph.node(id).op {
        Op::Conv(conv) => Some(layer(graph, &consumers, id, conv, shapes[id.index()])),
        _ => None,
    };
    Ok(graph.tensors().filter_map(layer).collect())
}

fn layer(graph: &Graph, consumers: &[Vec<TensorId>], id: TensorId, conv: &Conv, shape: [usize; 3]) -> Layer {
    let node = graph.node(id);
    let result = if is_fused(graph, consumers, id) { consumers[id.index()][0] } else { id };
    let weights = conv.weight_shape().iter().product::<usize>() as u64;
    Layer {
        name: node.name.clone(),
        result: graph.node(result).name.clone(),
        block: node.layer.map_or_else(|| node.name.clone(), |layer| graph.layers()[layer].name.clone()),
        weights,
        channels: conv.out_channels as u64,
        macs: weights * (shape[1] * shape[2]) as u64,
    }
}

/// The scopes of an analysis in order, and the names of the layers that `ignore` takes out.
///
/// # Errors
/// [`AnalysisError::NoMatch`] for a pattern that matches no layer, [`AnalysisError::Nothing`] if no scope is left.
pub fn scopes(
    layers: &[Layer],
    by: By,
    ignore: &[LayerPattern],
) -> Result<(Vec<Scope>, BTreeSet<String>), AnalysisError> {
    let mut ignored = BTreeSet::new();
    for pattern in ignore {
        ignored.extend(pattern.select(layers)?.into_iter().map(|layer| layer.name.clone()));
    }
    let mut scopes: Vec<Scope> = Vec::new();
    for layer in layers.iter().filter(|layer| !ignored.contains(&layer.name)) {
        let name = match by {
            By::Layer => &layer.name,
            By::Block => &layer.block,
        };
        match scopes.iter_mut().find(|scope| scope.name == *name) {
            Some(scope) => {
                scope.layers.insert(layer.name.clone());
            }
            None => scopes.push(Scope { name: name.clone(), layers: [layer.name.clone()].into() }),
        }
    }
    if scopes.is_empty() {
        return Err(AnalysisError::Nothing { what: "all layers are ignored" });
    }
    Ok((scopes, ignored))
}
