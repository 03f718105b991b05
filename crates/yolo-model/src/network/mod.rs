//! The network as a Burn module: a graph's parameters on a device, and the walk that computes its outputs.

mod error;
mod hook;
mod module;
mod named;
mod operators;
mod shapes;
#[cfg(feature = "train")]
mod training;
mod walk;

pub use error::NetworkError;
pub use hook::{Hook, NoHook};
#[cfg(feature = "train")]
pub use training::BatchStatistics;

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};
use named::Named;
use nn_graph::{Graph, Params, TensorId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use walk::Walk;

/// An operator graph with its parameters on a device.
///
/// As a Burn module it shows each parameter under its name in the graph (`model.0.conv.weight`), so visitors, parameter groups,
/// records and reparameterisations speak the names of the checkpoint. Weights and biases take part in training; the running statistics
/// of BatchNorm never require a gradient, and [`Module::unfreeze`](burn::module::Module::unfreeze) must not be used on the whole network.
///
/// A parameter's id is its place among the graph's parameters, so that the state of an optimizer fits a network that was made anew.
///
/// BatchNorm uses its running statistics, on devices with autodiff too; with the feature `train`, `forward_train` uses those of the batch. Images, cached feature maps and parameters have to be on one
/// device; as everywhere in Burn, an operation on tensors of different devices panics.
#[derive(Clone, Debug)]
pub struct Network {
    graph: Arc<Graph>,
    /// Convolution weights, `(out, in / groups, kh, kw)`.
    kernels: Named<Param<Tensor<4>>>,
    /// Biases, and the four vectors of BatchNorm.
    vectors: Named<Param<Tensor<1>>>,
}

impl Network {
    /// Copies to `device` what `graph` reads of `params`.
    ///
    /// # Errors
    /// [`NetworkError::Graph`] with every name that is missing, extra or wrongly shaped.
    pub fn new(graph: &Graph, params: &Params, device: &Device) -> Result<Self, NetworkError> {
        graph.check_params(params)?;
        let mut network =
            Self { graph: Arc::new(graph.clone()), kernels: Named::default(), vectors: Named::default() };
        for (place, spec) in graph.parameters().into_iter().enumerate() {
            let id = ParamId::from(place as u64);
            let Some(stored) = params.get(&spec.name) else { continue };
            let data = TensorData::new(stored.data().to_vec(), stored.shape().to_vec());
            match stored.shape().len() {
                4 => network.kernels.insert(spec.name, parameter(id, data, device, spec.learnable)),
                1 => network.vectors.insert(spec.name, parameter(id, data, device, spec.learnable)),
                rank => return Err(NetworkError::Rank { name: spec.name, rank }),
            }
        }
        Ok(network)
    }

    /// The graph that it computes.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The graph's outputs for `image`, `(batch, channels, height, width)`, RGB in `[0, 1]`: of a detector the head's levels, each
    /// `(batch, anchors * (5 + classes), rows, columns)`, before the sigmoid.
    ///
    /// # Errors
    /// [`NetworkError::Shapes`] if the image has another number of channels or a size that does not fit.
    pub fn forward(&self, image: Tensor<4>) -> Result<Vec<Tensor<4>>, NetworkError> {
        self.forward_with(image, &mut NoHook)
    }

    /// As [`Network::forward`], with `hook` between the operators. The image is the first feature map that the hook sees.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn forward_with<H: Hook + ?Sized>(
        &self,
        image: Tensor<4>,
        hook: &mut H,
    ) -> Result<Vec<Tensor<4>>, NetworkError> {
        Walk::new(self, hook, Some(image), &BTreeMap::new())?.run()
    }

    /// The outputs from feature maps that are known already: only what the outputs need and `cached` lacks is computed.
    ///
    /// Cached feature maps are used as they are; `hook` sees the computed ones only. To see what a change of feature map `id` does to
    /// the outputs, cache everything once, drop what [`Network::descendants`] lists, and replace `id`.
    ///
    /// # Errors
    /// [`NetworkError::Missing`] if the image is needed and not cached; [`NetworkError::Shapes`] if cached feature maps don't fit each
    /// other; [`NetworkError::Foreign`] for an id that is not of this graph.
    pub fn forward_from<H: Hook + ?Sized>(
        &self,
        cached: &BTreeMap<TensorId, Tensor<4>>,
        hook: &mut H,
    ) -> Result<Vec<Tensor<4>>, NetworkError> {
        Walk::new(self, hook, None, cached)?.run()
    }

    /// All feature maps that depend on feature map `id`, without itself.
    #[must_use]
    pub fn descendants(&self, id: TensorId) -> BTreeSet<TensorId> {
        let mut found = BTreeSet::new();
        for (reader, node) in self.graph.tensors().zip(self.graph.nodes()) {
            if node.inputs.iter().any(|input| *input == id || found.contains(input)) {
                found.insert(reader);
            }
        }
        found
    }

    /// The parameters that the network reads, as it computes with them (a reparameterisation is applied), under their names in the
    /// graph. The anchor buffers of a checkpoint are not among them: to write one, extend the parameters that were read.
    ///
    /// # Errors
    /// [`NetworkError::Read`] if the device fails.
    pub fn to_params(&self) -> Result<Params, NetworkError> {
        let kernels = self.kernels.iter().map(|(name, parameter)| read(name, parameter.val()));
        let vectors = self.vectors.iter().map(|(name, parameter)| read(name, parameter.val()));
        kernels.chain(vectors).collect()
    }
}

/// A parameter that training may change, or a buffer that it may not change by gradient.
fn parameter<const D: usize>(
    id: ParamId,
    data: TensorData,
    device: &Device,
    learnable: bool,
) -> Param<Tensor<D>> {
    let value = Param::from_data(data, device).val();
    Param::initialized(id, value).set_require_grad(learnable)
}

/// Brings one parameter back from its device.
fn read<const D: usize>(name: &str, value: Tensor<D>) -> Result<(String, nn_graph::Tensor), NetworkError> {
    let shape = value.dims().to_vec();
    let fault = |reason: String| NetworkError::Read { name: name.to_owned(), reason };
    let data = value.try_into_vec_as::<f32>().map_err(|error| fault(error.to_string()))?;
    let tensor = nn_graph::Tensor::new(shape, data).ok_or_else(|| fault("its length changed".to_owned()))?;
    Ok((name.to_owned(), tensor))
}
