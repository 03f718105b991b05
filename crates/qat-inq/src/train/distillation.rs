//! Knowledge distillation: the quantised network learns what the float network computes, without labels.

use burn::tensor::Tensor;
use burn::tensor::activation::{sigmoid, softplus};
use nn_graph::{Graph, Node, Op, TensorId};
use std::collections::{BTreeMap, BTreeSet};
use yolo_model::{Head, Hook};

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

/// What a quantised head gives beside a float one, weighed by what detection makes of it: with probabilities `p = sigmoid(s)` of the student and `t` of the
/// teacher, and the teacher's objectness `o`,
///
/// ```text
/// ( sum over anchors of KL(t_obj, p_obj) + o sum over classes of KL(t_class, p_class) + 4 o sum over x, y, w, h of (t - p)^2 ) / sum of o
/// ```
///
/// where `KL(t, p) = t ln(t / p) + (1 - t) ln((1 - t) / (1 - p))`. Where the teacher sees nothing, only the objectness counts. Outputs are those of the levels,
/// `(batch, anchors (5 + classes), rows, columns)`; gradients go to the student.
#[must_use]
pub fn head_distillation_loss(
    student: &[Tensor<4>],
    teacher: &[Tensor<4>],
    head: &Head,
) -> Option<Tensor<1>> {
    let values = head.values_per_anchor();
    let mut sums: Option<[Tensor<1>; 2]> = None;
    for (student, teacher) in student.iter().zip(teacher) {
        let [batch, channels, rows, columns] = student.dims();
        let by_anchor =
            |level: &Tensor<4>| level.clone().reshape([batch * channels / values, values, rows * columns]);
        let (s, t) = (by_anchor(student), by_anchor(teacher).detach());
        let part = |tensor: &Tensor<3>, from: usize, to: usize| tensor.clone().narrow(1, from, to - from);
        let objects = sigmoid(part(&t, 4, 5));
        let seen = divergence(part(&s, 4, 5), part(&t, 4, 5)).sum();
        let classes = (divergence(part(&s, 5, values), part(&t, 5, values)) * objects.clone()).sum();
        let boxes = sigmoid(part(&s, 0, 4)) - sigmoid(part(&t, 0, 4));
        let boxes = (boxes.square() * objects.clone()).sum().mul_scalar(4.0);
        let level = [seen + classes + boxes, objects.sum()];
        sums = Some(match sums {
            Some([loss, count]) => {
                let [more, others] = level;
                [loss + more, count + others]
            }
            None => level,
        });
    }
    sums.map(|[loss, count]| loss / count.add_scalar(1.0))
}

/// `KL(sigmoid(t), sigmoid(s))` of every value, stable for large ones.
fn divergence(s: Tensor<3>, t: Tensor<3>) -> Tensor<3> {
    // -ln(1 - sigmoid(x)) = softplus(x), and ln(sigmoid(t) / sigmoid(s)) = (t - s) - (softplus(t) - softplus(s)).
    let p = sigmoid(t.clone());
    softplus(s.clone(), 1.0) - softplus(t.clone(), 1.0) - p * (s - t)
}
