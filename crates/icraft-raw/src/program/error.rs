//! What can go wrong between files and programs.

use crate::{ExpressionError, LayoutError, RawError};

/// Why a graph has no description, or a pair of json and raw no program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// An operator that has no counterpart.
    #[error(
        "{name}: networks of Icraft have no {kind}; fold BatchNorm into convolutions, and give these a bias"
    )]
    Operator {
        /// The node.
        name: String,
        /// Its kind.
        kind: &'static str,
    },
    /// A parameter that is not there.
    #[error("there is no parameter {name}")]
    Parameter {
        /// Its name.
        name: String,
    },
    /// An operation that can't be simulated.
    #[error(
        "operation {operation}: {kind} can't be simulated; the stages parsed to quantized can, hardware operations can't"
    )]
    Operation {
        /// Its id.
        operation: i64,
        /// Its kind.
        kind: String,
    },
    /// An operation has other inputs, parameters or outputs than its kind wants.
    #[error("operation {operation}: {kind} wants {expected}")]
    Arity {
        /// Its id.
        operation: i64,
        /// Its kind.
        kind: String,
        /// What it wants.
        expected: &'static str,
    },
    /// An attribute that is missing or not of the type it has to be.
    #[error("operation {operation}: {key} has to be {expected}")]
    Attribute {
        /// The operation's id.
        operation: i64,
        /// The attribute.
        key: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// A side longer than any tensor's.
    #[error("{tensor} has a side of {side}; 65536 is the most")]
    Size {
        /// The tensor.
        tensor: String,
        /// The side.
        side: usize,
    },
    /// Channels of unequal ratios where there can be but one.
    #[error("channels of {tensor} have unequal ratios, which additions and activations can't read")]
    Ratios {
        /// The feature map.
        tensor: String,
    },
    /// A tensor that nothing has computed.
    #[error("operation {operation}: feature map {id:?} is read before an operation has written it")]
    Order {
        /// The operation's id.
        operation: i64,
        /// The feature map's id.
        id: Option<i64>,
    },
    /// A type of elements that is not what its place wants.
    #[error("{tensor}: elements are {found}, they have to be {expected}")]
    Element {
        /// The tensor.
        tensor: String,
        /// Its type.
        found: String,
        /// What is wanted.
        expected: &'static str,
    },
    /// Scales of weight and bias that no shift joins.
    #[error(
        "{tensor}: channel {channel} has weights of {weight} and biases of {bias}; they have to share the mantissa, and differ by 0 to 31 in the shift, equally in all channels"
    )]
    Scales {
        /// The weight.
        tensor: String,
        /// The output channel.
        channel: usize,
        /// Its scale of the weights.
        weight: String,
        /// Its scale of the biases.
        bias: String,
    },
    /// The raw file.
    #[error("{tensor}: {source}")]
    Raw {
        /// The tensor.
        tensor: String,
        /// The cause.
        source: RawError,
    },
    /// The layout of a tensor.
    #[error("{tensor}: {source}")]
    Layout {
        /// The tensor.
        tensor: String,
        /// The cause.
        source: LayoutError,
    },
    /// Scales or ratios that don't fit the channels.
    #[error("{tensor}: {source}")]
    Expression {
        /// The tensor.
        tensor: String,
        /// The cause.
        source: ExpressionError,
    },
    /// The graph.
    #[error(transparent)]
    Graph(#[from] nn_graph::Error),
    /// The program.
    #[error(transparent)]
    Program(#[from] quant_core::Error),
}
