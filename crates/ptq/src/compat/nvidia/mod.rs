//! The calibrators of NVIDIA's pytorch-quantization 2.2.1 (`calib` and `tensor_quant`), as they run on a CPU with torch 2.8.0, numpy
//! 2.2.6 and scipy 1.17.1. nvidia-modelopt has the same max, entropy and percentile; its `mse` of 0.29 and later passes its arguments in
//! the wrong order and is not repeated here.
//!
//! A [`HistogramCalibrator`] collects; [`entropy`], [`mse`] and [`percentile`] are functions of its [`Histogram`] alone.
//!
//! ```
//! use ptq::compat::nvidia::{HistogramCalibrator, HistogramPath, IntegerFormat, Search};
//!
//! # fn main() -> Result<(), ptq::compat::Error> {
//! let values: Vec<f32> = (0..10_000).map(|i| (i % 1000) as f32 * 0.01).collect();
//! let mut calibrator = HistogramCalibrator::new(2048, HistogramPath::Torch)?;
//! calibrator.collect(&values)?;
//! let amax = calibrator.mse(IntegerFormat::INT8, Search::default())?;
//! assert!((9.9..10.0).contains(&amax));
//! # Ok(())
//! # }
//! ```

mod calibrator;
mod entropy;
mod fake_quant;
mod histogram;
mod max;
mod mse;
mod weights;

pub use calibrator::{HistogramCalibrator, HistogramPath};
pub use entropy::entropy;
pub use fake_quant::{IntegerFormat, RangeLimit, fake_tensor_quant, tensor_quant};
pub use histogram::{Histogram, Search, percentile};
pub use max::{MaxCalibrator, channel_maxima};
pub use mse::mse;
pub use weights::{WeightMethod, calibrate_weights};
