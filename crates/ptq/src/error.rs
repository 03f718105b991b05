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
    /// A weight of clipping errors out of range.
    #[error(
        "the weight {weight} of clipping errors is not positive and finite; 1 is the mean squared error, 3 is customary"
    )]
    ClipWeight {
        /// The weight.
        weight: f64,
    },
    /// A decay out of range.
    #[error("the decay {decay} is not in [0, 1)")]
    Decay {
        /// The decay.
        decay: f64,
    },
    /// A width of mantissas out of range.
    #[error("a mantissa of {bits} bits is not possible, take 1 to 15")]
    MantissaBits {
        /// The width.
        bits: u8,
    },
    /// A histogram cannot cover the values.
    #[error(
        "a histogram from {low} to {high} is not possible: the range has to be finite and not turned round"
    )]
    HistogramRange {
        /// Lower end.
        low: f32,
        /// Upper end.
        high: f32,
    },
    /// A number of bins out of range.
    #[error("{bins} bins are not possible, take 1 to 2^24")]
    Bins {
        /// The number.
        bins: usize,
    },
    /// A histogram may not grow by less than its own range.
    #[error("a growth limit of {limit} is below 1")]
    GrowthLimit {
        /// The limit.
        limit: f32,
    },
    /// Integers of a quantiser.
    #[error(
        "integers from {quant_min} to {quant_max} are not possible: they have to ascend and stay within 2^24"
    )]
    QuantRange {
        /// The lowest.
        quant_min: i32,
        /// The highest.
        quant_max: i32,
    },
    /// A number of quantisation steps out of range.
    #[error("{steps} steps are not possible, take 2 to 2^24")]
    StepCount {
        /// The number.
        steps: u32,
    },
    /// Levels that do not divide the histogram.
    #[error("{levels} levels do not divide a histogram of {bins} bins, or the width is not in [2, 16]")]
    Levels {
        /// Levels on one side of zero; 0 if the width is out of range.
        levels: usize,
        /// Bins.
        bins: usize,
    },
    /// A calibrator cannot do this scheme.
    #[error("{calibrator} can't do the scheme {scheme:?}")]
    Scheme {
        /// Its name.
        calibrator: &'static str,
        /// The scheme.
        scheme: quant_core::Scheme,
    },
    /// A search without candidates or with far too many.
    #[error(
        "a search with {deltas} steps and {offsets} offsets is not possible: at least 2 and 3, at most 65536 of each"
    )]
    SqnrSearch {
        /// Steps, of the scheme that has fewer.
        deltas: u32,
        /// Offsets.
        offsets: u32,
    },
    /// A dimension that a tensor lacks.
    #[error("there is no dimension {axis}, the tensor has {dimensions}")]
    Axis {
        /// The dimension, from 0.
        axis: usize,
        /// How many there are.
        dimensions: usize,
    },
    /// A width that weights can't have.
    #[error("weights of {bits} bits are not possible, take 2 to 8, or to 16 where their inputs have 16")]
    WeightBits {
        /// The width.
        bits: u8,
    },
    /// A quantiser's step.
    #[error("a step of {step} is not possible, it has to be positive and finite, and so has its reciprocal")]
    Step {
        /// The step.
        step: f32,
    },
    /// A length of optimisation.
    #[error(
        "{iterations} iterations with a warm start of {warm_start} are not possible, take at least 1 and [0, 1)"
    )]
    Iterations {
        /// The number.
        iterations: u32,
        /// The part of them that warms up.
        warm_start: f64,
    },
    /// A descent that can't descend.
    #[error(
        "a descent of {sweeps} sweeps with a damping of {damping} is not possible, take at least 1 and at least 0"
    )]
    Descent {
        /// Sweeps.
        sweeps: u32,
        /// The damping.
        damping: f64,
    },
    /// Layers looked at nowhere.
    #[error("layers have to be looked at in at least 1 position of every image")]
    NoPositions,
    /// A share is not one.
    #[error("{share} as the share of errors to make up for: expected a number from 0 to 1")]
    Compensation {
        /// The share.
        share: f64,
    },
    /// A program without a step for a layer.
    #[error("{layer}: the integer program has no step of that name")]
    NoStep {
        /// The layer.
        layer: String,
    },
    /// Slices that do not fit together.
    #[error("{found} {what} for {expected}")]
    Length {
        /// What they are.
        what: &'static str,
        /// How many there should be.
        expected: usize,
        /// How many there are.
        found: usize,
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
    /// An operator reads or writes tensors in f32 and in integers.
    #[error(
        "{node}: a {kind} can't join integers and f32: {tensor} is not kept as its result is; keep both in f32 or none"
    )]
    MixedTensors {
        /// The node.
        node: String,
        /// Its operator.
        kind: &'static str,
        /// The first of its inputs that is not kept as its result is.
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
    #[must_use]
    pub fn of(self, tensor: &str) -> Self {
        Error::Tensor { tensor: tensor.to_owned(), source: Box::new(self) }
    }

    /// [`Error::NonFinite`] if there are NaNs or infinities.
    pub(crate) fn check_finite<'v>(values: impl IntoIterator<Item = &'v f32>) -> Result<(), Self> {
        match values.into_iter().filter(|value| !value.is_finite()).count() {
            0 => Ok(()),
            count => Err(Error::NonFinite { count: count as u64 }),
        }
    }
}
