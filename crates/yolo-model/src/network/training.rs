//! What training needs of the network: BatchNorm by the batch, running statistics, averages of networks.

use super::walk::Walk;
use super::{Hook, Network, NetworkError};
use burn::module::Param;
use burn::tensor::{Tensor, module::batch_norm_train};
use std::collections::BTreeMap;

/// Mean and variance of what every BatchNorm of a network read in one batch, per channel.
#[derive(Debug, Clone, Default)]
pub struct BatchStatistics {
    /// By name of the node: the mean, and the variance as PyTorch keeps it, divided by one less than the number of values.
    nodes: BTreeMap<String, [Tensor<1>; 2]>,
}

impl BatchStatistics {
    /// `(x - mean) / sqrt(variance + epsilon) * weight + bias` with mean and (biased) variance of `x`, which are noted.
    pub(super) fn normalise(
        &mut self,
        node: &str,
        x: Tensor<4>,
        weight: Tensor<1>,
        bias: Tensor<1>,
        epsilon: f32,
    ) -> Tensor<4> {
        let [batch, _, height, width] = x.dims();
        let count = (batch * height * width) as f64;
        let normalised = batch_norm_train(x, weight, bias, f64::from(epsilon));
        let unbiased = normalised.variance.inner().mul_scalar(count / (count - 1.0).max(1.0));
        self.nodes.insert(node.to_owned(), [normalised.mean.inner(), unbiased]);
        normalised.output
    }
}

impl Network {
    /// As [`Network::forward_with`], with BatchNorm as in training: by the statistics of the batch, through which gradients pass. They are
    /// returned for [`Network::update_statistics`].
    ///
    /// # Errors
    /// As [`Network::forward_with`].
    pub fn forward_train<H: Hook + ?Sized>(
        &self,
        image: Tensor<4>,
        hook: &mut H,
    ) -> Result<(Vec<Tensor<4>>, BatchStatistics), NetworkError> {
        let mut statistics = BatchStatistics::default();
        let outputs =
            Walk::new(self, hook, Some(image), &BTreeMap::new())?.training(&mut statistics).run()?;
        Ok((outputs, statistics))
    }

    /// The network with running statistics `(1 - momentum) running + momentum batch`. YOLOv5's momentum is 0.03.
    #[must_use]
    pub fn update_statistics(mut self, batch: &BatchStatistics, momentum: f64) -> Self {
        for (node, values) in &batch.nodes {
            for (suffix, value) in ["running_mean", "running_var"].into_iter().zip(values) {
                self.vectors.change(&format!("{node}.{suffix}"), |running| {
                    mixed(running, Tensor::from_inner(value.clone()), 1.0 - momentum)
                });
            }
        }
        self
    }

    /// `share * self + (1 - share) * other` for all parameters and running statistics; both have the same graph. What the mean needs is no part
    /// of any gradient's path.
    #[must_use]
    pub fn interpolate(mut self, other: &Self, share: f64) -> Self {
        for (name, parameter) in other.kernels.iter() {
            let value = parameter.val();
            self.kernels.change(name, |own| mixed(own, value, share));
        }
        for (name, parameter) in other.vectors.iter() {
            let value = parameter.val();
            self.vectors.change(name, |own| mixed(own, value, share));
        }
        self
    }
}

/// `share * parameter + (1 - share) * value`, with the parameter's id and its need of a gradient.
fn mixed<const D: usize>(parameter: Param<Tensor<D>>, value: Tensor<D>, share: f64) -> Param<Tensor<D>> {
    parameter.map(|own| {
        let tracked = own.is_require_grad();
        let (own, value) = (own.detach(), value.detach());
        let value = value.to_device(&own.device());
        (own.mul_scalar(share) + value.mul_scalar(1.0 - share)).set_require_grad(tracked)
    })
}
