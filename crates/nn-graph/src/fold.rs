//! Folding of BatchNorm into the convolution before it, and the check that parameters fit.

use crate::{Graph, Op, ParamMismatch, Params, Tensor, TensorId, error::Error};
use std::collections::BTreeSet;

/// Buffers of checkpoints that no operator reads: anchors are part of the head's geometry, the batch count of the training state.
const UNREAD_BUFFERS: [&str; 4] = ["anchors", "anchor_grid", "num_batches_tracked", "stride"];

impl Graph {
    /// Checks that `params` holds exactly what the graph reads; the head's anchor buffers and batch counters may be there too.
    ///
    /// # Errors
    /// [`Error::Params`] with *all* names that are missing, extra or wrongly shaped.
    pub fn check_params(&self, params: &Params) -> Result<(), Error> {
        let mut mismatch = ParamMismatch::default();
        let mut known = BTreeSet::new();
        for spec in self.parameters() {
            match params.get(&spec.name) {
                None => mismatch.missing.push(spec.clone()),
                Some(found) if found.shape() != spec.shape => {
                    mismatch.wrong_shape.push((spec.clone(), found.shape().to_vec()));
                }
                Some(_) => {}
            }
            known.insert(spec.name);
        }
        let unread = |name: &str| UNREAD_BUFFERS.iter().any(|b| name.rsplit('.').next() == Some(*b));
        mismatch.extra =
            params.keys().filter(|name| !known.contains(*name) && !unread(name)).cloned().collect();
        if mismatch.is_empty() { Ok(()) } else { Err(Error::Params(mismatch)) }
    }

    /// The same function without BatchNorm: each is folded into the convolution before it,
    /// `w' = w g / sqrt(v + eps)`, `b' = (b - m) g / sqrt(v + eps) + beta`, computed in f64 and rounded once.
    ///
    /// # Errors
    /// If `params` don't fit, a BatchNorm does not directly follow a convolution that nothing else reads, or a folded value is not
    /// finite (a negative variance, or an overflow).
    pub fn fold_batch_norm(&self, params: &Params) -> Result<(Graph, Params), Error> {
        self.check_params(params)?;
        let consumers = self.consumers();
        let mut graph = Graph { nodes: Vec::new(), ..self.clone() };
        let mut folded = Params::new();
        let mut moved: Vec<TensorId> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            if let Op::BatchNorm { epsilon } = node.op {
                let source = node.inputs[0];
                let Op::Conv(_) = self.nodes[source.0].op else {
                    return Err(Error::Fold { node: node.name.clone() });
                };
                if consumers[source.0].len() != 1 || self.outputs.contains(&source) {
                    return Err(Error::Fold { node: node.name.clone() });
                }
                let target = moved[source.0];
                fold_into(&self.nodes[source.0].name, &node.name, epsilon, params, &mut folded);
                if let Op::Conv(conv) = &mut graph.nodes[target.0].op {
                    conv.bias = true;
                }
                moved.push(target);
                continue;
            }
            let mut copy = node.clone();
            copy.inputs = node.inputs.iter().map(|id| moved[id.0]).collect();
            copy_params(&node.name, params, &mut folded);
            graph.nodes.push(copy);
            moved.push(TensorId(graph.nodes.len() - 1));
        }
        if let Some((name, _)) = folded.iter().find(|(_, t)| t.data().iter().any(|v| !v.is_finite())) {
            return Err(Error::NotFinite { name: name.clone() });
        }
        graph.outputs = self.outputs.iter().map(|id| moved[id.0]).collect();
        for layer in &mut graph.layers {
            layer.outputs = layer.outputs.iter().map(|id| moved[id.0]).collect();
        }
        Ok((graph, folded))
    }
}

fn copy_params(node: &str, params: &Params, folded: &mut Params) {
    for suffix in ["weight", "bias"] {
        let name = format!("{node}.{suffix}");
        if let Some(tensor) = params.get(&name) {
            folded.insert(name, tensor.clone());
        }
    }
}

/// Replaces weight and bias of `conv` in `folded` by those with the BatchNorm `norm` folded in. The caller has checked the names.
fn fold_into(conv: &str, norm: &str, epsilon: f32, params: &Params, folded: &mut Params) {
    let get = |name: String| params.get(&name).map(Tensor::data);
    let names = ["weight", "bias", "running_mean", "running_var"].map(|s| get(format!("{norm}.{s}")));
    let [Some(gamma), Some(beta), Some(mean), Some(variance)] = names else { return };
    let bias = get(format!("{conv}.bias"));
    let Some(weight) = params.get(&format!("{conv}.weight")) else { return };
    let scale: Vec<f64> = gamma
        .iter()
        .zip(variance)
        .map(|(&g, &v)| f64::from(g) / (f64::from(v) + f64::from(epsilon)).sqrt())
        .collect();
    let mut weight = weight.clone();
    let per_channel = (weight.data().len() / scale.len().max(1)).max(1);
    for (row, &s) in weight.data_mut().chunks_exact_mut(per_channel).zip(&scale) {
        row.iter_mut().for_each(|w| *w = (f64::from(*w) * s) as f32);
    }
    let channel_bias = |c: usize| {
        let before = bias.map_or(0.0, |b| f64::from(b[c]));
        ((before - f64::from(mean[c])) * scale[c] + f64::from(beta[c])) as f32
    };
    folded.insert(format!("{conv}.weight"), weight);
    folded.insert(format!("{conv}.bias"), Tensor::vector((0..scale.len()).map(channel_bias).collect()));
}
