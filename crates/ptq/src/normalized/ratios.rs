//! The ratios of all tensors of a graph.

use crate::Error;
use nn_graph::{Activation, Graph, Op, TensorId};

/// Norm ratios of every tensor, by channel.
#[derive(Debug, Clone, PartialEq)]
pub struct NormRatios {
    channels: Vec<Vec<f32>>,
}

/// Ratios on both sides of an activation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SiluRatios {
    /// Of the argument.
    pub input: f32,
    /// Of the result.
    pub output: f32,
}

/// Ratios around an addition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AddRatios {
    /// Of the first operand, the shortcut.
    pub left: f32,
    /// Of the second, the branch.
    pub right: f32,
    /// Of the sum.
    pub sum: f32,
}

/// Whether a tensor has a ratio of its own, instead of those of what it is made of: pooling, upsampling, rearranging and concatenation only
/// move values.
#[must_use]
pub fn has_own_ratio(op: &Op) -> bool {
    !matches!(op, Op::MaxPool(_) | Op::Upsample { .. } | Op::SpaceToDepth | Op::Concat)
}

impl NormRatios {
    /// Takes the ratio of every tensor that [has its own](has_own_ratio) from `own`, and passes it on. Tensors of a [group](ratio_groups) all get
    /// the largest of their ratios.
    ///
    /// # Errors
    /// Those of `own`; [`Error::Step`] for a ratio that is not positive and finite.
    pub fn new(graph: &Graph, mut own: impl FnMut(TensorId) -> Result<f32, Error>) -> Result<Self, Error> {
        let mut ratio_of = vec![None; graph.nodes().len()];
        for group in ratio_groups(graph) {
            let ratios = group.iter().map(|&id| positive(own(id)?)).collect::<Result<Vec<_>, _>>()?;
            let largest = ratios.into_iter().fold(0.0, f32::max);
            group.iter().for_each(|id| ratio_of[id.index()] = Some(largest));
        }
        let mut channels: Vec<Vec<f32>> = Vec::with_capacity(graph.nodes().len());
        for id in graph.tensors() {
            let node = graph.node(id);
            let inputs = || node.inputs.iter().map(|input| channels[input.index()].as_slice());
            let ratios = match (&node.op, ratio_of[id.index()]) {
                (_, Some(own)) => vec![own; node.channels],
                (Op::SpaceToDepth, _) => inputs().next().unwrap_or_default().repeat(4),
                _ => inputs().flatten().copied().collect(),
            };
            channels.push(ratios);
        }
        Ok(Self { channels })
    }

    /// The ratio of every channel of a tensor.
    #[must_use]
    pub fn channels(&self, tensor: TensorId) -> &[f32] {
        &self.channels[tensor.index()]
    }

    /// The ratio of a tensor all of whose channels have the same.
    #[must_use]
    pub fn uniform(&self, tensor: TensorId) -> Option<f32> {
        let channels = self.channels(tensor);
        let first = channels.first().copied()?;
        channels.iter().all(|&ratio| ratio == first).then_some(first)
    }

    /// Ratios around every SiLU, in the order of execution.
    #[must_use]
    pub fn silu(&self, graph: &Graph) -> Vec<SiluRatios> {
        let silu = graph.tensors().filter(|&id| graph.node(id).op == Op::Activation(Activation::Silu));
        silu.filter_map(|id| {
            let input = self.uniform(*graph.node(id).inputs.first()?)?;
            Some(SiluRatios { input, output: self.uniform(id)? })
        })
        .collect()
    }

    /// Ratios around every addition, in the order of execution.
    #[must_use]
    pub fn additions(&self, graph: &Graph) -> Vec<AddRatios> {
        let additions = graph.tensors().filter(|&id| graph.node(id).op == Op::Add);
        additions
            .filter_map(|id| {
                let &[left, right] = graph.node(id).inputs.as_slice() else { return None };
                let [left, right, sum] = [left, right, id].map(|id| self.uniform(id));
                Some(AddRatios { left: left?, right: right?, sum: sum? })
            })
            .collect()
    }

    /// Ratios of the outputs: what integers are multiplied by.
    #[must_use]
    pub fn outputs(&self, graph: &Graph) -> Vec<f32> {
        graph.outputs().iter().filter_map(|&id| self.uniform(id)).collect()
    }
}

/// Tensors with ratios of their own, in groups that have to have the same: where additions, activations or outputs read channels that come from several
/// tensors, there is one ratio for all of them. Groups and their tensors are in the order of the graph.
#[must_use]
pub fn ratio_groups(graph: &Graph) -> Vec<Vec<TensorId>> {
    let mut read_together: Vec<Vec<usize>> = Vec::new();
    for node in graph.nodes().iter().filter(|node| matches!(node.op, Op::Add | Op::Activation(_))) {
        read_together.extend(node.inputs.iter().map(|&input| sources(graph, input)));
    }
    read_together.extend(graph.outputs().iter().map(|&output| sources(graph, output)));
    // The group of a tensor is the first of its tensors.
    let mut first_of: Vec<usize> = (0..graph.nodes().len()).collect();
    let mut changed = true;
    while std::mem::take(&mut changed) {
        for tensors in &read_together {
            let first = tensors.iter().map(|&index| first_of[index]).min().unwrap_or_default();
            for &index in tensors {
                changed |= std::mem::replace(&mut first_of[index], first) != first;
            }
        }
    }
    let mut groups: Vec<Vec<TensorId>> = vec![Vec::new(); graph.nodes().len()];
    for id in graph.tensors().filter(|&id| has_own_ratio(&graph.node(id).op)) {
        groups[first_of[id.index()]].push(id);
    }
    groups.retain(|group| !group.is_empty());
    groups
}

/// The tensors with ratios of their own that the channels of a tensor come from, by index.
fn sources(graph: &Graph, tensor: TensorId) -> Vec<usize> {
    let node = graph.node(tensor);
    if has_own_ratio(&node.op) {
        return vec![tensor.index()];
    }
    let mut found: Vec<usize> = node.inputs.iter().flat_map(|&input| sources(graph, input)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn positive(ratio: f32) -> Result<f32, Error> {
    if ratio > 0.0 && ratio.is_finite() { Ok(ratio) } else { Err(Error::Step { step: ratio }) }
}
