#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod adaround;
pub mod analysis;
mod auto;
mod calibrate;
mod calibration_file;
pub mod compat;
mod counting;
pub mod coverage;
mod entropy;
mod equalize;
mod error;
mod exact_sum;
mod expectation;
mod lower;
mod lsq;
mod method;
mod moving_average;
mod normalized;
mod order;
mod parameters;
mod patches;
mod placement;
mod reconstruct;
mod scale_grid;
mod squared_error;
mod statistics;
mod tables;
mod weights;

pub use adaround::{
    AdaRound, AdaRoundLoss, AdaRounded, CoordinateDescent, Descended, LinearReconstruction, SoftRounding,
    rectified_sigmoid, rectified_sigmoid_inverse, rounding_penalty, rounding_penalty_slope,
};
pub use auto::{ChosenMethods, GroupChoice, MethodError, MethodSearch, NetworkError};
pub use calibrate::{Collection, QuantConfig};
pub use calibration_file::{CalibrationFile, CalibrationFileError, CalibrationImage, CalibrationManifest};
pub use equalize::{EqualizationBarrier, Equalized, EqualizedLayer, equalize};
pub use error::Error;
pub use expectation::{BiasCorrected, correct_biases, expected_inputs};
pub use lower::{Fusion, lower_float, lower_integer};
pub use lsq::{LsqGradients, LsqInside, LsqQuantizer};
pub use method::{Degenerate, Distribution, Method, MethodReport, Range};
pub use moving_average::MovingAverage;
pub use normalized::{
    AddRatios, InputShift, IntegerConv, IntegerConvConfig, MagnitudeHistogram, NormRatios, SaturationMethod,
    SiluRatios, denormalize, has_own_ratio, normalize, ratio_groups, shift_input,
};
pub use order::{OrderReport, order_preserving};
pub use parameters::{adjust_parameters, parameter};
pub use placement::{ConcatPolicy, Group, Placement, PlacementOptions, Rule, Ties, Width};
pub use reconstruct::{
    Adjustable, Adjusted, BiasCorrection, Inputs, Reconstruct, Reconstructed, ReconstructedLayer, WeightGrid,
    WeightRounding,
};
pub use scale_grid::ScaleGrid;
pub use statistics::{BINS, Histogram, Statistics, StatisticsFault};
pub use tables::{NcnnTable, OrtMaxima, OrtRanges, TableError, TensorRtCache};
pub use weights::WeightConfig;
