//! What can go wrong: mostly what the reference raises.

/// Errors of the compatible calibrators.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A batch without values where the reference takes an extreme of it.
    #[error("the batch has no values (after dropping zeros, if asked for); leave it out")]
    EmptyBatch,
    /// Nothing was collected.
    #[error("nothing was collected; call collect first")]
    NoData,
    /// The range of a histogram is not finite.
    #[error("the range [{low}, {high}] is not finite; remove NaN and infinite values")]
    NonFiniteRange {
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// The range is finite, but arithmetic in single precision on it overflows or does not resolve it.
    #[error("single precision does not resolve {bins} bins of [{low}, {high}]")]
    Unresolved {
        /// Lower end.
        low: f32,
        /// Upper end.
        high: f32,
        /// Number of bins.
        bins: usize,
    },
    /// A histogram of width zero can't grow: the first batch was zero throughout.
    #[error("bins of width 0 can't grow to {maximum}; the first batch must not be all zero")]
    ZeroWidth {
        /// The value that does not fit.
        maximum: f32,
    },
    /// A number of bins out of range.
    #[error("{bins} bins; between 1 and {limit} are possible")]
    Bins {
        /// How many were asked for or would be needed, saturated.
        bins: usize,
        /// The most.
        limit: usize,
    },
    /// Counts whose sum is no exact double.
    #[error("{total} values; sums are exact below 2^53 only")]
    TooManyValues {
        /// The sum of the counts.
        total: u128,
    },
    /// The histogram has no candidate for the search.
    #[error("no candidate: they end before {end}, but the search starts at {start}; take more bins")]
    NoCandidate {
        /// The first number that is none.
        end: usize,
        /// The first candidate.
        start: usize,
    },
    /// A search that starts at zero or does not advance.
    #[error("start {start} and stride {stride} of a search must not be 0")]
    Search {
        /// First candidate.
        start: usize,
        /// Step.
        stride: usize,
    },
    /// A width of integers that the functions do not offer.
    #[error("{bits} bits; integers have 2 to 16 here")]
    Bits {
        /// The width.
        bits: u32,
    },
    /// A percentile out of range.
    #[error("the percentile {percent} is not in [0, 100]")]
    Percent {
        /// The value.
        percent: f64,
    },
    /// An index beyond the edges of the histogram.
    #[error("the result is edge {index}, but the histogram has {edges}")]
    NoEdge {
        /// The edge asked for.
        index: usize,
        /// How many there are.
        edges: usize,
    },
    /// Numbers of edges and counts that do not belong together.
    #[error("{edges} edges don't bound {counts} bins")]
    EdgeCount {
        /// Edges.
        edges: usize,
        /// Bins.
        counts: usize,
    },
    /// Edges that are not finite or decrease.
    #[error("edge {index} is {value}; edges must be finite and not decrease")]
    Edge {
        /// Which.
        index: usize,
        /// Its value.
        value: f64,
    },
    /// A negative maximum of magnitudes.
    #[error("amax is {amax}; it must not be negative")]
    NegativeAmax {
        /// The value.
        amax: f32,
    },
    /// A negative value where unsigned integers are to hold it.
    #[error("{value} is negative, but the integers are unsigned")]
    NegativeInput {
        /// The least value.
        value: f32,
    },
    /// A shape that does not fit the data or the axis.
    #[error("shape {shape:?} doesn't fit {values} values{}", axis.map_or_else(String::new, |axis| format!(" with axis {axis}")))]
    Shape {
        /// The shape.
        shape: Vec<usize>,
        /// Number of values.
        values: usize,
        /// The axis asked for.
        axis: Option<isize>,
    },
    /// Batches of different shape.
    #[error("{got} channels after {expected}; shapes must not change between batches")]
    ChannelCount {
        /// Of this batch.
        got: usize,
        /// Of the first one.
        expected: usize,
    },
    /// NaN where the reference's result hangs on its vector unit.
    #[error("value {index} is NaN; the reference's extreme would depend on the machine")]
    Nan {
        /// Its position in the batch.
        index: usize,
    },
    /// Smoothing takes more from the bins with values than they hold.
    #[error("{zeros} empty and {occupied} occupied bins can't be smoothed; take fewer bins or more values")]
    Smoothing {
        /// Empty bins.
        zeros: usize,
        /// Bins with values.
        occupied: usize,
    },
    /// A constant of a moving average out of range.
    #[error("the averaging constant {constant} is not in [0, 1]")]
    Averaging {
        /// The value.
        constant: f64,
    },
    /// A range from which no scale follows.
    #[error("no scale follows from [{low}, {high}]")]
    NoScale {
        /// Lower end.
        low: f32,
        /// Upper end.
        high: f32,
    },
    /// A zero point that the integer type does not hold.
    #[error("the zero point {zero_point} is not in [{low}, {high}]")]
    ZeroPoint {
        /// The value.
        zero_point: i32,
        /// The least integer of the type.
        low: i32,
        /// The largest.
        high: i32,
    },
    /// A scale that divides to no value.
    #[error("the scale {scale} is not positive and finite")]
    Scale {
        /// The value.
        scale: f32,
    },
}
