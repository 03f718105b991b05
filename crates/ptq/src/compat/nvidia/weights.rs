//! `calibrate_weights`: histograms of weights, per channel or per tensor.

use super::{Histogram, IntegerFormat, Search, mse, percentile};
use crate::compat::axis::Axis;
use crate::compat::{Error, numeric};

/// How `amax` of weights is found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WeightMethod {
    /// [`percentile`]; the reference's default is 99.99.
    Percentile(f64),
    /// [`mse`] with the default search.
    Mse,
}

/// `calibrate_weights` for one tensor: `amax` of each index along `axis`, or one of all without an axis.
///
/// Each histogram is `numpy.histogram(|w|, bins, range=(0, max))`. quirk `zero-channel-raises`: all-zero weights have the range
/// `[-1/2, 1/2]`, on which mse fails.
///
/// # Errors
/// [`Error::Shape`], [`Error::NonFiniteRange`] and those of [`percentile`] and [`mse`].
pub fn calibrate_weights(
    weights: &[f32],
    shape: &[usize],
    axis: Option<isize>,
    bins: usize,
    method: WeightMethod,
    format: IntegerFormat,
) -> Result<Vec<f32>, Error> {
    let Some(axis) = axis else {
        let size = shape.iter().try_fold(1usize, |size, &d| size.checked_mul(d));
        if size != Some(weights.len()) || weights.is_empty() {
            return Err(Error::Shape { shape: shape.to_vec(), values: weights.len(), axis: None });
        }
        return Ok(vec![amax(weights, PER_TENSOR_BINS, method, format)?]);
    };
    let axis = Axis::new(weights.len(), shape, axis)?;
    axis.channels(weights).iter().map(|channel| amax(channel, bins, method, format)).collect()
}

/// quirk `per-tensor-2048`: without an axis the number of bins is not heeded.
const PER_TENSOR_BINS: usize = 2048;

fn amax(weights: &[f32], bins: usize, method: WeightMethod, format: IntegerFormat) -> Result<f32, Error> {
    let magnitudes: Vec<f32> = weights.iter().map(|w| w.abs()).collect();
    let (_, maximum) = numeric::extremes(&magnitudes).ok_or(Error::EmptyBatch)?;
    let (counts, edges) = numeric::numpy::histogram_from_zero(&magnitudes, bins, maximum)?;
    let histogram = Histogram::new(counts, edges.into_iter().map(f64::from).collect())?;
    match method {
        WeightMethod::Percentile(percent) => percentile(&histogram, percent),
        WeightMethod::Mse => mse(&histogram, format, Search::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_channels_are_zero_or_an_error() {
        let weights = [0.0, 0.0, 1.0, -2.0];
        let run = |method| calibrate_weights(&weights, &[2, 2], Some(0), 2048, method, IntegerFormat::INT8);
        assert_eq!(run(WeightMethod::Percentile(100.0)).unwrap()[0], 0.0);
        assert!(matches!(run(WeightMethod::Mse), Err(Error::NegativeAmax { .. })));
    }

    #[test]
    fn bins_count_per_channel_only() {
        let weights = [0.3, -2.0];
        let run = |axis, bins| {
            let method = WeightMethod::Percentile(99.0);
            calibrate_weights(&weights, &[1, 2], axis, bins, method, IntegerFormat::INT8).unwrap()
        };
        assert_eq!(run(None, 4), run(None, 2048));
        assert_eq!(run(Some(0), 4), [1.5]);
        assert!(calibrate_weights(&weights, &[3], None, 4, WeightMethod::Mse, IntegerFormat::INT8).is_err());
    }
}
