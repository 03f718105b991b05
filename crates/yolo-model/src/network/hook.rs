//! What may happen between the operators of a forward pass.

use burn::tensor::Tensor;
use nn_graph::{Node, TensorId};

/// Sees, and may replace, every feature map and every parameter of a forward pass.
///
/// Observing, fake-quantising, normalising, dumping and caching are hooks. Each method returns what the operators read from then on: its
/// argument by default, otherwise a tensor of the same shape on the same device. What it computes is part of the gradient's path.
#[allow(unused_variables)] // of the defaults
pub trait Hook {
    /// Feature map `id`, `(batch, channels, height, width)`, just computed by `node`. Called once for each, in graph order.
    fn feature_map(&mut self, id: TensorId, node: &Node, value: Tensor<4>) -> Tensor<4> {
        value
    }

    /// The weight of a convolution, `(out, in / groups, kh, kw)`, about to be used. `name` is the parameter's: `model.0.conv.weight`.
    fn kernel(&mut self, name: &str, value: Tensor<4>) -> Tensor<4> {
        value
    }

    /// The bias of a convolution, or `weight`, `bias`, `running_mean` or `running_var` of a BatchNorm, about to be used.
    fn vector(&mut self, name: &str, value: Tensor<1>) -> Tensor<1> {
        value
    }
}

/// The hook that leaves everything as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHook;

impl Hook for NoHook {}
