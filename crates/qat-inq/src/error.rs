//! What can be wrong with a schedule, a grid or a mask.

/// Errors of this crate.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// No stage at all.
    #[error("there is no ratio: at least one stage is needed")]
    NoRatio,
    /// A share that is none, or no more than that of the stage before.
    #[error("ratio {ratio} of stage {stage} must be above {above} and at most 1")]
    Ratio {
        /// The stage, from 1.
        stage: usize,
        /// Its ratio.
        ratio: f64,
        /// What it has to exceed.
        above: f64,
    },
    /// A last stage that leaves parameters free.
    #[error(
        "the last ratio is {ratio}, which leaves parameters off the grid; it must be 1 unless that is wanted"
    )]
    OpenEnded {
        /// The last ratio.
        ratio: f64,
    },
    /// A step of a grid that is none.
    #[error("the step {step} of channel {channel} is not a positive number")]
    Step {
        /// The step.
        step: f32,
        /// The row that it is for.
        channel: usize,
    },
    /// A range of integers without any.
    #[error("the grid goes from {low} to {high}")]
    Range {
        /// The lowest integer.
        low: i32,
        /// The highest.
        high: i32,
    },
    /// Rows that don't divide the values.
    #[error("{values} values can't be {rows} rows")]
    Rows {
        /// Values.
        values: usize,
        /// Rows.
        rows: usize,
    },
    /// Values that are NaN or infinite.
    #[error("{count} values are not finite")]
    NotFinite {
        /// How many.
        count: usize,
    },
    /// A mask of another parameter or model.
    #[error("{parameter} has {found} values, its mask {expected}: the mask is for another model")]
    Mask {
        /// Name of the parameter.
        parameter: String,
        /// Values of the mask.
        expected: usize,
        /// Values of the parameter.
        found: usize,
    },
}
