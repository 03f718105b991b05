//! What can go wrong.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing was observed.
    #[error("no finite value was observed")]
    NoValues,
    /// NaN or infinite values.
    #[error("{count} values are NaN or infinite")]
    NonFinite {
        /// How many.
        count: u64,
    },
    /// A percentile out of range.
    #[error("the percentile {percent} is not in (0, 100]")]
    Percent {
        /// The value.
        percent: f64,
    },
    /// Something is wrong with one tensor.
    #[error("{tensor}: {source}")]
    Tensor {
        /// Its name.
        tensor: String,
        /// What.
        source: Box<Error>,
    },
    /// An operator has no integer form.
    #[error("{node}: a {kind} can't be lowered; fold BatchNorm first")]
    Unsupported {
        /// The node.
        node: String,
        /// Its operator.
        kind: &'static str,
    },
    /// A parameter is missing.
    #[error("parameter {name} is missing")]
    Parameter {
        /// Its name.
        name: String,
    },
    /// The configuration has no quantiser for a tensor that needs one.
    #[error("{tensor}: the configuration has no quantiser for it")]
    NoQuantizer {
        /// Its name.
        tensor: String,
    },
    /// Statistics of a tensor are missing.
    #[error("{tensor}: no statistics were collected for it")]
    NoStatistics {
        /// Its name.
        tensor: String,
    },
    /// Arithmetic or program error.
    #[error(transparent)]
    Core(#[from] quant_core::Error),
}

impl Error {
    /// The same error with the name of the tensor that it is about.
    pub(crate) fn of(self, tensor: &str) -> Self {
        Error::Tensor { tensor: tensor.to_owned(), source: Box::new(self) }
    }
}
