//! What stored statistics can get wrong.

/// Why stored statistics can't be those of any values.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StatisticsFault {
    /// A histogram's range.
    #[error("the histogram's range 2^{exponent} is not among 2^-100 to 2^128")]
    Exponent {
        /// Its exponent.
        exponent: i32,
    },
    /// A run of bins that is empty, overlaps the one before it or leaves the histogram.
    #[error("a run of {length} counts at bin {first} does not lie in the bins {from} to 4095")]
    Run {
        /// Its first bin.
        first: usize,
        /// How many bins it has.
        length: usize,
        /// The first bin that it may have.
        from: usize,
    },
    /// Counts beyond what a file can hold.
    #[error("more than 2^53 values")]
    TooMany,
    /// Counts that do not add up.
    #[error("the histogram has {binned} values, but {finite} are finite")]
    Sum {
        /// Values in the histogram.
        binned: u64,
        /// Values that are neither NaN nor infinite.
        finite: u64,
    },
    /// More NaN and infinities than values.
    #[error("{special} values are NaN or infinite, of {count}")]
    Special {
        /// NaN and infinities.
        special: u64,
        /// All values.
        count: u64,
    },
    /// More zeros than their bin has values.
    #[error("{zeros} zeros, but {first_bin} values in the bin that they lie in")]
    Zeros {
        /// Zeros.
        zeros: u64,
        /// Values in the first bin `>= 0`.
        first_bin: u64,
    },
    /// Bounds of no values, or none of some.
    #[error("bounds have to be there exactly if there are finite values, of which there are {finite}")]
    Bounds {
        /// How many there are.
        finite: u64,
    },
    /// Bounds that are not finite, or turned round.
    #[error("the bounds {low} and {high} are not finite or turned round")]
    Order {
        /// The lower.
        low: f32,
        /// The upper.
        high: f32,
    },
    /// Bounds and histogram disagree.
    #[error("the bound {bound} does not fit the histogram's range, its outermost counts or the zeros")]
    Bound {
        /// The bound.
        bound: f32,
    },
    /// A sum whose parts are not those that it would be written as.
    #[error("the {what} is not written as finite numbers that each are the nearest to what is left")]
    Parts {
        /// Which sum.
        what: &'static str,
    },
    /// A sum that the histogram's counts can't give.
    #[error("the {what} {value:e} is not possible with the histogram's counts")]
    Moment {
        /// Which sum.
        what: &'static str,
        /// Its value.
        value: f64,
    },
}
