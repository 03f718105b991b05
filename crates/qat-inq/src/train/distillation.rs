//! Knowledge distillation: the quantised network learns what the float network computes, without labels.

use burn::tensor::Tensor;
use nn_graph::{Graph, Node, Op, TensorId};
use std::collections::{BTreeMap, BTreeSet};
use yolo_model::Hook;

/// What a network's blocks give: of every top-level module of a YOLO (`model.N`) that computes something the last feature map, and the outputs of the
/// graph.
#[must_use]
pub fn block_outputs(graph: &Graph) -> Vec<TensorId> {
    let mut last: BTreeMap<&str, TensorId> = BTreeMap::new();
    let computes = |op: &Op| matches!(op, Op::Conv(_) | Op::Activation(_) | Op::Add);
    for id in graph.tensors().filter(|&id| computes(&graph.node(id).op)) {
        let name = graph.node(id).name.as_str();
        let end = name.match_indices('.').nth(1).map_or(name.len(), |(end, _)| end);
        last.insert(&name[..end], id);
    }
    let found: BTreeSet<TensorId> = last.into_values().chain(graph.outputs().iter().copied()).collect();
    found.into_iter().collect()
}

/// A hook that also keeps some feature maps, as they are after it.
#[derive(Debug, Clone)]
pub struct Taps<H> {
    hook: H,
    wanted: BTreeSet<TensorId>,
    /// What was seen.
    pub seen: BTreeMap<TensorId, Tensor<4>>,
}

impl<H: Hook> Taps<H> {
    /// Keeps feature maps that `hook` gives.
    #[must_use]
    pub fn new(hook: H, wanted: &[TensorId]) -> Self {
        Self { hook, wanted: wanted.iter().copied().collect(), seen: BTreeMap::new() }
    }
}

impl<H: Hook> Hook for Taps<H> {
    fn feature_map(&mut self, id: TensorId, node: &Node, value: Tensor<4>) -> Tensor<4> {
        let value = self.hook.feature_map(id, node, value);
        if self.wanted.contains(&id) {
            self.seen.insert(id, value.clone());
        }
        value
    }

    fn kernel(&mut self, name: &str, value: Tensor<4>) -> Tensor<4> {
        self.hook.kernel(name, value)
    }

    fn vector(&mut self, name: &str, value: Tensor<1>) -> Tensor<1> {
        self.hook.vector(name, value)
    }
}

/// The mean over blocks of `mean((student - teacher)^2) / mean(teacher^2)`: NVIDIA's recipe for YOLOv7 has the mean squared errors of blocks, which are divided here
/// by the size of the block's values, so that none drowns the others. Gradients go to the student.
///
/// Feature maps that only one of them has are left out; none at all gives `None`.
#[must_use]
pub fn distillation_loss(
    student: &BTreeMap<TensorId, Tensor<4>>,
    teacher: &BTreeMap<TensorId, Tensor<4>>,
) -> Option<Tensor<1>> {
    let both: Vec<(&Tensor<4>, &Tensor<4>)> =
        student.iter().filter_map(|(id, value)| teacher.get(id).map(|target| (value, target))).collect();
    let count = both.len() as f64;
    let errors = both.into_iter().map(|(value, target)| {
        let target = target.clone().detach();
        // Of a block that is silent, nothing is asked.
        let size = target.clone().square().mean().add_scalar(1e-12);
        (value.clone() - target).square().mean() / size
    });
    errors.reduce(|sum, error| sum + error).map(|sum| sum.div_scalar(count))
}
