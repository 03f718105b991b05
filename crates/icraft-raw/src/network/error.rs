//! What can be wrong with a network's json.

use crate::ExpressionError;
use std::io;
use std::path::PathBuf;

/// A reason why the json of a network is refused. Paths start at the root: `$.ops[3].inputs[0].dtype`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The operating system refused to read a file.
    #[error("cannot access {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// Text that is not JSON, or is nested more than 127 deep.
    #[error("not usable as JSON: {cause}")]
    Syntax {
        /// What the reader said, with line and column.
        cause: serde_json::Error,
    },
    /// JSON without a list of operations.
    #[error("neither `ops` nor `operations` at the top of the json; this is no network of Icraft")]
    NotANetwork,
    /// A value of another type than its key asks for.
    #[error("{path}: expected {expected}, found {found}")]
    WrongType {
        /// Where.
        path: String,
        /// What must stand there.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// An object without a key that is needed.
    #[error("{path}: no `{key}`, which is needed here")]
    Missing {
        /// The object.
        path: String,
        /// The absent key.
        key: &'static str,
    },
    /// A number or word that its key has no room for.
    #[error("{path}: {found} is not {expected}")]
    Value {
        /// Where.
        path: String,
        /// What stands there, cut short.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// A string that is not the expression it should be.
    #[error("{path}: {cause}")]
    Expression {
        /// Where.
        path: String,
        /// What is wrong with it.
        cause: ExpressionError,
    },
    /// Two operations of one id, or two operations that give the same feature map.
    #[error("{path}: {what} {id} is there already; ids must differ")]
    DuplicateId {
        /// The second one.
        path: String,
        /// What the id is of.
        what: &'static str,
        /// The id.
        id: i64,
    },
    /// A key that stands in the outermost object more than once, so that readers differ on its value.
    #[error("`{key}` is given {count} times; remove all but one")]
    Ambiguous {
        /// The key.
        key: String,
        /// How often.
        count: usize,
    },
    /// A document without the field that is to be renewed.
    #[error("no `{key}` at the top of the json, so there is nothing to renew")]
    NoChecksum {
        /// The absent key.
        key: &'static str,
    },
    /// The later generation needs an id on every tensor.
    #[error(
        "operation {operation}: a feature map has no id; number the feature maps before writing this generation"
    )]
    MissingId {
        /// The operation.
        operation: i64,
    },
    /// A feature map that a table of norm ratios needs has none.
    #[error(
        "operation {operation}: feature map {feature_map:?} has no norm ratio; is this the quantised stage?"
    )]
    NoRatio {
        /// The operation.
        operation: i64,
        /// The feature map.
        feature_map: Option<i64>,
    },
    /// A feature map that a table of norm ratios needs one of has several.
    #[error("operation {operation}: the channels of feature map {feature_map:?} differ in their norm ratio")]
    RatioNotShared {
        /// The operation.
        operation: i64,
        /// The feature map.
        feature_map: Option<i64>,
    },
    /// An operation with another number of tensors than its kind asks for.
    #[error("operation {operation} ({kind}): {inputs} inputs and {outputs} outputs, expected {expected}")]
    Arity {
        /// The operation.
        operation: i64,
        /// Its kind.
        kind: String,
        /// Feature maps that it reads.
        inputs: usize,
        /// Feature maps that it writes.
        outputs: usize,
        /// What its kind has.
        expected: &'static str,
    },
    /// A checksum that is not 32 hexadecimal digits.
    #[error("{text:?} is no MD5 checksum of 32 hexadecimal digits")]
    Checksum {
        /// The text, cut short.
        text: String,
    },
}
