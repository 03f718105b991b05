//! What can be wrong with a network and its inputs.

/// Errors of the Burn module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The parameters do not fit the graph.
    #[error(transparent)]
    Graph(#[from] nn_graph::Error),
    /// A parameter that is neither a convolution's weight nor a vector.
    #[error("{name} has {rank} dimensions; only weights of 4 and vectors are known")]
    Rank {
        /// Name of the parameter.
        name: String,
        /// Its number of dimensions.
        rank: usize,
    },
    /// Feature maps that the operator can't read: wrong channels, sizes that differ, or less than its window.
    #[error("{node} can't be computed from shapes {shapes:?} (batch, channels, height, width)")]
    Shapes {
        /// The node; of the image, the input.
        node: String,
        /// Shapes of what it reads.
        shapes: Vec<[usize; 4]>,
    },
    /// The outputs need something that was neither given nor computed.
    #[error("the outputs depend on {name}, which was neither given nor computed")]
    Missing {
        /// Name of the feature map or parameter.
        name: String,
    },
    /// A cached feature map of another graph.
    #[error("cached feature map {index} is not in the graph, which has {count}")]
    Foreign {
        /// Its index.
        index: usize,
        /// Number of feature maps of the graph.
        count: usize,
    },
    /// A parameter could not be copied from its device.
    #[error("{name} can't be read from its device: {reason}")]
    Read {
        /// Name of the parameter.
        name: String,
        /// What the device says.
        reason: String,
    },
}
