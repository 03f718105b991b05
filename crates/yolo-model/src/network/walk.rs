//! The forward pass: nodes in graph order, each feature map dropped after its last reader.

use super::operators::{self, Statistics};
use super::{Hook, Network, NetworkError, shapes};
use burn::tensor::Tensor;
use nn_graph::{Node, Op, TensorId};
use std::collections::BTreeMap;

/// A forward pass under way.
pub(super) struct Walk<'a, H: ?Sized> {
    network: &'a Network,
    hook: &'a mut H,
    image: Option<Tensor<4>>,
    /// Feature maps that are there and still needed, by index of their node.
    values: Vec<Option<Tensor<4>>>,
    /// How often each feature map will still be read; leaving the graph counts as reading.
    readers: Vec<usize>,
    /// Those of the batch, where BatchNorm is to use them.
    #[cfg(feature = "train")]
    statistics: Option<&'a mut super::BatchStatistics>,
}

impl<'a, H: Hook + ?Sized> Walk<'a, H> {
    pub(super) fn new(
        network: &'a Network,
        hook: &'a mut H,
        image: Option<Tensor<4>>,
        cached: &BTreeMap<TensorId, Tensor<4>>,
    ) -> Result<Self, NetworkError> {
        let graph = network.graph();
        let count = graph.nodes().len();
        let mut values = vec![None; count];
        for (id, value) in cached {
            let index = id.index();
            *values.get_mut(index).ok_or(NetworkError::Foreign { index, count })? = Some(value.clone());
        }
        let readers = count_readers(network, &values);
        values
            .iter_mut()
            .zip(&readers)
            .filter(|(_, readers)| **readers == 0)
            .for_each(|(value, _)| *value = None);
        Ok(Self {
            network,
            hook,
            image,
            values,
            readers,
            #[cfg(feature = "train")]
            statistics: None,
        })
    }

    /// The same with BatchNorm as in training, which leaves the statistics of the batch in `statistics`.
    #[cfg(feature = "train")]
    pub(super) fn training(mut self, statistics: &'a mut super::BatchStatistics) -> Self {
        self.statistics = Some(statistics);
        self
    }

    pub(super) fn run(mut self) -> Result<Vec<Tensor<4>>, NetworkError> {
        let graph = self.network.graph();
        for (id, node) in graph.tensors().zip(graph.nodes()) {
            if self.readers[id.index()] == 0 || self.values[id.index()].is_some() {
                continue;
            }
            shapes::check(graph, node, &self.input_shapes(node))?;
            let value = self.compute(node)?;
            self.values[id.index()] = Some(self.hook.feature_map(id, node, value));
        }
        graph.outputs().iter().map(|id| self.take(*id)).collect()
    }

    fn input_shapes(&self, node: &Node) -> Vec<[usize; 4]> {
        let inputs = node.inputs.iter().filter_map(|id| self.values[id.index()].as_ref());
        let image = self.image.as_ref().filter(|_| node.inputs.is_empty());
        inputs.chain(image).map(Tensor::dims).collect()
    }

    fn compute(&mut self, node: &Node) -> Result<Tensor<4>, NetworkError> {
        Ok(match &node.op {
            Op::Input { .. } => self.image.take().ok_or_else(|| missing(&node.name))?,
            Op::Conv(conv) => {
                let weight = self.kernel(node, "weight")?;
                let bias = if conv.bias { Some(self.vector(node, "bias")?) } else { None };
                operators::convolve(self.input(node, 0)?, weight, bias, conv)
            }
            Op::BatchNorm { epsilon } => {
                let (weight, bias) = (self.vector(node, "weight")?, self.vector(node, "bias")?);
                let x = self.input(node, 0)?;
                #[cfg(feature = "train")]
                if let Some(statistics) = self.statistics.as_deref_mut() {
                    return Ok(statistics.normalise(&node.name, x, weight, bias, *epsilon));
                }
                operators::normalise(x, self.running_statistics(node)?, weight, bias, *epsilon)
            }
            Op::Activation(kind) => operators::activate(self.input(node, 0)?, *kind),
            Op::Add => self.input(node, 0)? + self.input(node, 1)?,
            Op::Concat => {
                Tensor::cat(node.inputs.iter().map(|id| self.take(*id)).collect::<Result<_, _>>()?, 1)
            }
            Op::MaxPool(pool) => operators::max_pool(self.input(node, 0)?, pool),
            Op::Upsample { scale } => operators::upsample(self.input(node, 0)?, *scale),
            Op::SpaceToDepth => operators::space_to_depth(self.input(node, 0)?),
        })
    }

    fn running_statistics(&mut self, node: &Node) -> Result<Statistics, NetworkError> {
        Ok(Statistics {
            mean: self.vector(node, "running_mean")?,
            variance: self.vector(node, "running_var")?,
        })
    }

    fn kernel(&mut self, node: &Node, suffix: &str) -> Result<Tensor<4>, NetworkError> {
        let name = format!("{}.{suffix}", node.name);
        let parameter = self.network.kernels.get(&name).ok_or_else(|| missing(&name))?;
        Ok(self.hook.kernel(&name, parameter.val()))
    }

    fn vector(&mut self, node: &Node, suffix: &str) -> Result<Tensor<1>, NetworkError> {
        let name = format!("{}.{suffix}", node.name);
        let parameter = self.network.vectors.get(&name).ok_or_else(|| missing(&name))?;
        Ok(self.hook.vector(&name, parameter.val()))
    }

    /// What `node` reads at `position`.
    fn input(&mut self, node: &Node, position: usize) -> Result<Tensor<4>, NetworkError> {
        let id = node.inputs.get(position).ok_or_else(|| missing(&node.name))?;
        self.take(*id)
    }

    /// A feature map for one of its readers; the last one gets the walk's own copy, so that Burn may compute in place.
    fn take(&mut self, id: TensorId) -> Result<Tensor<4>, NetworkError> {
        let (value, readers) = (&mut self.values[id.index()], &mut self.readers[id.index()]);
        *readers = readers.saturating_sub(1);
        let taken = if *readers == 0 { value.take() } else { value.clone() };
        taken.ok_or_else(|| missing(&self.network.graph().node(id).name))
    }
}

/// How often each feature map will be read, if only what the outputs need is computed and `values` are there already.
fn count_readers(network: &Network, values: &[Option<Tensor<4>>]) -> Vec<usize> {
    let graph = network.graph();
    let mut readers = vec![0; values.len()];
    graph.outputs().iter().for_each(|id| readers[id.index()] += 1);
    for (index, node) in graph.nodes().iter().enumerate().rev() {
        if readers[index] > 0 && values[index].is_none() {
            node.inputs.iter().for_each(|id| readers[id.index()] += 1);
        }
    }
    readers
}

fn missing(name: &str) -> NetworkError {
    NetworkError::Missing { name: name.to_owned() }
}
