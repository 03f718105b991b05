//! What can go wrong.

use crate::Format;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A width that is not supported.
    #[error("{bits} bits are not supported here (quantisers: 2 to 16, mantissas: 1 to 31)")]
    Bits {
        /// The width.
        bits: u8,
    },
    /// A range that no quantiser can cover.
    #[error("the range [{low}, {high}] is not finite and ordered")]
    Range {
        /// Lower bound.
        low: f32,
        /// Upper bound.
        high: f32,
    },
    /// A factor that can't be represented.
    #[error("the factor {factor} is not positive and finite, or too large for its form")]
    Factor {
        /// The factor.
        factor: f64,
    },
    /// Quantisers don't fit the values.
    #[error(
        "{quantizers} quantisers don't fit {values} values: give one, or one per channel of a per-channel specification"
    )]
    Channels {
        /// Number of values.
        values: usize,
        /// Number of quantisers.
        quantizers: usize,
    },
    /// A step reads or writes a tensor that does not exist (yet), or a tensor is written twice.
    #[error("{step}: uses tensor {tensor}, which no earlier step has produced, or produces it again")]
    TensorOrder {
        /// The step.
        step: String,
        /// Index of the tensor.
        tensor: usize,
    },
    /// An output is not produced, or there is none.
    #[error("output tensor {tensor} is not produced by any step")]
    Output {
        /// Index of the tensor.
        tensor: usize,
    },
    /// A tensor's format is not one that the operator takes or gives.
    #[error("{step}: can't work on {found:?}: {expected}")]
    Format {
        /// The step.
        step: String,
        /// The format.
        found: Format,
        /// What is needed.
        expected: &'static str,
    },
    /// Numbers of a step contradict each other.
    #[error("{step}: {rule} (found {found})")]
    Step {
        /// The step.
        step: String,
        /// What must hold.
        rule: &'static str,
        /// The offending number.
        found: i64,
    },
    /// A constant is missing or has another type or length.
    #[error("{step}: constant `{name}` must hold {expected} values of {element}")]
    Constant {
        /// The step.
        step: String,
        /// Name of the constant.
        name: String,
        /// Number of values.
        expected: usize,
        /// Their type.
        element: &'static str,
    },
    /// Integer sums could leave the range that they are computed in.
    #[error("{step}: the sums of output channel {channel} can reach {bound}, beyond {limit}")]
    Accumulator {
        /// The step.
        step: String,
        /// The channel.
        channel: usize,
        /// The largest magnitude possible.
        bound: i64,
        /// The largest magnitude allowed.
        limit: i64,
    },
    /// Sizes of a run don't fit.
    #[error("{step}: sizes don't fit: {rule} (channels, height, width: {shape:?})")]
    Shape {
        /// The step.
        step: String,
        /// What must hold.
        rule: &'static str,
        /// The offending shape.
        shape: [usize; 3],
    },
    /// A run would take too much memory.
    #[error("the feature maps need {bytes} bytes for this image size; the limit is {limit}")]
    Memory {
        /// Bytes needed.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The input slice has the wrong length.
    #[error("the input has {found} values, the program needs {expected} (channels x height x width)")]
    InputLength {
        /// Length found.
        found: usize,
        /// Length needed.
        expected: usize,
    },
    /// A recording does not fit the program that is to be resumed from it.
    #[error(
        "the recording has no tensor that fits {tensor:?}; record and resume the programs that the remainder was made for, at one image size"
    )]
    Recording {
        /// The tensor that is needed; empty if the remainder is of another program.
        tensor: String,
    },
    /// Reading or writing a file failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a saved program.
    #[error("{path}: not a saved program, or a damaged one: {reason}")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: FileFault,
    },
}

/// What is wrong with a saved program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileFault {
    /// Not a safetensors container.
    #[error("{0}")]
    Container(#[from] safetensors::SafeTensorError),
    /// A container of something else.
    #[error("the container's metadata has no key `quant-program`")]
    NotAProgram,
    /// Another version of the format.
    #[error("format version {found}; this program reads version {supported}")]
    Version {
        /// Version of the file.
        found: u32,
        /// Version that is read.
        supported: u32,
    },
    /// The description is not valid.
    #[error("its description can't be read: {0}")]
    Description(#[from] serde_json::Error),
    /// The checksum differs.
    #[error("its checksum differs")]
    Checksum,
    /// A constant has a type that programs don't use.
    #[error("constant `{0}` has an unknown type")]
    ConstantType(String),
    /// The description breaks a rule of programs.
    #[error("{0}")]
    Invalid(Box<Error>),
}
