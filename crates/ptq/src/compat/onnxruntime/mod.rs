//! The calibrators of ONNX Runtime 1.31.1 (`onnxruntime.quantization`) with numpy 2.2.6, and its `QuantizeLinear` on a CPU.
//!
//! One `collect` here is one `collect_data` there: all batches of a data reader, put together. Entropy, distribution and the asymmetric
//! percentile use a [`SignedHistogram`], the symmetric percentile a [`MagnitudeHistogram`]; each calibrator is a function of it.
//!
//! ```
//! use ptq::compat::onnxruntime::{IntegerType, SignedHistogram, Symmetry, scale_zero_point};
//!
//! # fn main() -> Result<(), ptq::compat::Error> {
//! let values: Vec<f32> = (0..10_000).map(|i| ((i % 1000) as f32 * 0.01).sin()).collect();
//! let mut histogram = SignedHistogram::new(2048)?;
//! histogram.collect(&values)?;
//! let range = histogram.entropy(128)?;
//! let params = scale_zero_point(range, IntegerType::Uint8, Symmetry::Asymmetric, None)?;
//! assert_eq!(params.quantize(&[0.0])?, [params.zero_point]);
//! # Ok(())
//! # }
//! ```

mod distribution;
mod entropy;
mod magnitudes;
mod minmax;
mod params;
mod signed;

pub use distribution::{Distribution, Power};
pub use magnitudes::MagnitudeHistogram;
pub use minmax::MinMaxCalibrator;
pub use params::{IntegerType, QuantParams, Symmetry, quantize_weights, scale_zero_point};
pub use signed::SignedHistogram;

use crate::compat::numeric::extremes;

/// What a tensor is to cover: `lowest` and `highest`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Lower end.
    pub lowest: f32,
    /// Upper end.
    pub highest: f32,
}

impl Bounds {
    /// `numpy.nanmin` and `nanmax`: without values zero, of nothing but NaN, NaN.
    fn of(values: &[f32]) -> Self {
        let known: Vec<f32> = values.iter().copied().filter(|x| !x.is_nan()).collect();
        let none = if values.is_empty() { 0.0 } else { f32::NAN };
        let (lowest, highest) = extremes(&known).unwrap_or((none, none));
        Self { lowest, highest }
    }

    /// Python's `min` and `max` of two ranges: the old end stays unless the new one is beyond it.
    fn merge(self, new: Self) -> Self {
        Self {
            lowest: if new.lowest < self.lowest { new.lowest } else { self.lowest },
            highest: if new.highest > self.highest { new.highest } else { self.highest },
        }
    }

    /// quirk `clipped-to-seen`: thresholds beyond what was seen are replaced by it, so that a symmetric method has an asymmetric result.
    fn clipped_to(self, seen: Self) -> Self {
        Self {
            lowest: if self.lowest < seen.lowest { seen.lowest } else { self.lowest },
            highest: if self.highest > seen.highest { seen.highest } else { self.highest },
        }
    }
}
