//! What can be wrong with a schedule, a grid or a mask.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
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
    /// A grid or a mask of a parameter that the network does not have.
    #[error("there is no parameter {parameter}: grids and masks are for another model")]
    Missing {
        /// Its name.
        parameter: String,
    },
    /// A frozen weight that is no longer what it was.
    #[error("value {index} of {parameter} is frozen at {expected} but has become {found}")]
    Moved {
        /// Name of the parameter.
        parameter: String,
        /// Its place in the parameter.
        index: usize,
        /// What it was.
        expected: f32,
        /// What it is.
        found: f32,
    },
    /// A convolution in groups whose input channels have several steps.
    #[error(
        "{layer} is a convolution in groups that reads feature maps of different steps, for which there is no step of its weights"
    )]
    Groups {
        /// Its name.
        layer: String,
    },
    /// Learned steps of other quantisers.
    #[error("{found:?} steps of feature maps and of weights can't be those of {expected:?}")]
    Steps {
        /// How many there should be, of feature maps and of weights.
        expected: [usize; 2],
        /// How many there are.
        found: [usize; 2],
    },
    /// A parameter could not be copied from its device.
    #[error("{parameter} can't be read from its device: {reason}")]
    Device {
        /// Name of the parameter.
        parameter: String,
        /// What the device says.
        reason: String,
    },
    /// What placement and calibration find wrong.
    #[cfg(feature = "train")]
    #[error(transparent)]
    Ptq(#[from] ptq::Error),
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
