//! What can be wrong with a model definition, and with parameters that should fit it.

use crate::{ParamSpec, checkpoint::CheckpointError};
use std::fmt;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The yaml text is not yaml.
    #[error("the model definition is not valid yaml: {0}")]
    Yaml(#[from] serde_yaml_ng::Error),
    /// A key that every definition has is absent or of another type.
    #[error("the model definition has no usable `{key}`: expected {expected}")]
    Key {
        /// The key.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A layer line is not `[from, number, module, args]`.
    #[error("layer {layer}: expected [from, number, module, args]: {reason}")]
    LayerLine {
        /// Index of the layer, from 0.
        layer: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The module is not one that this crate expands.
    #[error("layer {layer}: unknown module `{module}`; known are {}", known.join(", "))]
    UnknownModule {
        /// Index of the layer, from 0.
        layer: usize,
        /// Name in the definition.
        module: String,
        /// Names that are understood.
        known: &'static [&'static str],
    },
    /// A module's argument is absent, of another type, or out of range.
    #[error("layer {layer} ({module}): argument {position} ({name}) must be {expected}")]
    Argument {
        /// Index of the layer, from 0.
        layer: usize,
        /// The module.
        module: String,
        /// Position in `args`, from 0.
        position: usize,
        /// Name of the argument.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// `from` names a layer that does not exist yet.
    #[error("layer {layer}: reads from {from}, which is not an earlier layer with one output")]
    From {
        /// Index of the layer, from 0.
        layer: usize,
        /// The value of `from`.
        from: i64,
    },
    /// Tensors that are joined differ in height or width, or in channels where they are added.
    #[error("{node}: inputs of different shapes {shapes:?} (channels, height, width)")]
    Shapes {
        /// The node.
        node: String,
        /// Shapes of its inputs.
        shapes: Vec<[usize; 3]>,
    },
    /// A kernel does not fit into its padded input.
    #[error("{node}: the input {shape:?} (channels, height, width) is too small for it")]
    TooSmall {
        /// The node.
        node: String,
        /// Shape of its input.
        shape: [usize; 3],
    },
    /// A tensor would have more than 2^40 values.
    #[error("{node}: a tensor of shape {shape:?} (channels, height, width) is too large")]
    TooManyValues {
        /// The node.
        node: String,
        /// The shape.
        shape: [usize; 3],
    },
    /// Height or width of the image is not a positive multiple of the largest stride.
    #[error("image size {height}x{width} is not a positive multiple of the model's stride {stride}")]
    ImageSize {
        /// Height asked for.
        height: usize,
        /// Width asked for.
        width: usize,
        /// The stride.
        stride: usize,
    },
    /// A level of the head has no whole stride.
    #[error("{node}: this output is not a whole power-of-two fraction of the image's size")]
    Stride {
        /// The output.
        node: String,
    },
    /// The checkpoint's anchors have another shape than the head.
    #[error("{name}.anchors has shape {found:?}, the head needs {expected:?} (levels, anchors, 2)")]
    Anchors {
        /// Name of the head.
        name: String,
        /// Shape that fits.
        expected: Vec<usize>,
        /// Shape found.
        found: Vec<usize>,
    },
    /// Parameters do not fit the graph.
    #[error("the parameters do not fit the model: {0}")]
    Params(ParamMismatch),
    /// A BatchNorm that does not follow a convolution of its own.
    #[error(
        "{node}: BatchNorm does not directly follow a convolution that nothing else reads, so it can't be folded"
    )]
    Fold {
        /// The BatchNorm.
        node: String,
    },
    /// NaN or infinity after folding.
    #[error(
        "{name}: not finite after BatchNorm is folded in: a variance is negative, or a value is not finite or overflows"
    )]
    NotFinite {
        /// The folded parameter.
        name: String,
    },
    /// The model is too large.
    #[error("layer {layer}: the model is too large: more than {limit} {what}")]
    TooLarge {
        /// Index of the layer, from 0.
        layer: usize,
        /// The limit.
        limit: usize,
        /// What there is too much of.
        what: &'static str,
    },
    /// The checkpoint can't be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// Every parameter that is missing, unexpected or of the wrong shape.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParamMismatch {
    /// Expected, but not there.
    pub missing: Vec<ParamSpec>,
    /// There, but read by no operator.
    pub extra: Vec<String>,
    /// There with another shape: what is expected, and the shape found.
    pub wrong_shape: Vec<(ParamSpec, Vec<usize>)>,
}

impl ParamMismatch {
    /// Whether all fits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.wrong_shape.is_empty()
    }
}

impl fmt::Display for ParamMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing = self.missing.iter().map(|p| format!("missing {} {:?}", p.name, p.shape));
        let extra = self.extra.iter().map(|name| format!("extra {name}"));
        let wrong =
            self.wrong_shape.iter().map(|(p, found)| format!("{} is {found:?}, not {:?}", p.name, p.shape));
        f.write_str(&missing.chain(wrong).chain(extra).collect::<Vec<_>>().join("; "))
    }
}
