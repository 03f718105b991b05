//! The graph's operators on Burn's tensors, `(batch, channels, height, width)` all of them.

use burn::tensor::{Tensor, activation, module, ops::ConvOptions, ops::MaxPoolOptions};
use nn_graph::{Activation, Conv, MaxPool};

/// `y[o, i, j] = bias[o] + sum over c, u, v of weight[o, c, u, v] x[group(o) + c, i sy + u dy - py, j sx + v dx - px]`,
/// zero outside of `x`.
pub(super) fn convolve(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, conv: &Conv) -> Tensor<4> {
    module::conv2d(x, weight, bias, ConvOptions::new(conv.stride, conv.padding, conv.dilation, conv.groups))
}

/// What BatchNorm divides and shifts by, per channel.
pub(super) struct Statistics {
    pub(super) mean: Tensor<1>,
    /// Biased: divided by the number of values.
    pub(super) variance: Tensor<1>,
}

/// `y = (x - mean) / sqrt(variance + epsilon) * weight + bias`, per channel. Whose statistics is for the caller to say: the running ones
/// for inference, those of the batch for training.
pub(super) fn normalise(
    x: Tensor<4>,
    statistics: Statistics,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f32,
) -> Tensor<4> {
    module::batch_norm(x, weight, bias, statistics.mean, statistics.variance, f64::from(epsilon))
}

/// The non-linearity, element by element.
pub(super) fn activate(x: Tensor<4>, kind: Activation) -> Tensor<4> {
    match kind {
        Activation::Silu => activation::silu(x),
        Activation::Relu => activation::relu(x),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::LeakyRelu { slope } => activation::leaky_relu(x, f64::from(slope)),
        Activation::Sigmoid => activation::sigmoid(x),
        Activation::Hardswish => x.clone() * (x + 3.0).clamp(0.0, 6.0) / 6.0,
    }
}

/// The largest value of each window; what lies outside of `x` is no candidate.
pub(super) fn max_pool(x: Tensor<4>, pool: &MaxPool) -> Tensor<4> {
    let options = MaxPoolOptions::new([pool.kernel; 2]);
    module::max_pool2d(x, options.with_stride([pool.stride; 2]).with_padding([pool.padding; 2]))
}

/// `y[c, i, j] = x[c, i / scale, j / scale]`. By copying: Burn's interpolation computes the index in floating point.
pub(super) fn upsample(x: Tensor<4>, scale: usize) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let cells: Tensor<6> = x.reshape([batch, channels, height, 1, width, 1]);
    let copies = cells.expand([batch, channels, height, scale, width, scale]);
    copies.reshape([batch, channels, height * scale, width * scale])
}

/// `y[(2 v + u) C + c, i, j] = x[c, 2 i + u, 2 j + v]` with `C` channels: 2x2 blocks to channels, offsets down first.
pub(super) fn space_to_depth(x: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let blocks: Tensor<6> = x.reshape([batch, channels, height / 2, 2, width / 2, 2]);
    blocks.permute([0, 5, 3, 1, 2, 4]).reshape([batch, 4 * channels, height / 2, width / 2])
}

#[cfg(test)]
mod tests;
