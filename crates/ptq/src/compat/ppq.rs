//! Calibrators of PPQ 0.6.6 (OpenPPL), its path without CUDA: `ppq/quantization/observer`.
//!
//! PPQ quantises as `q = clamp(round(x / scale) + offset, quant_min, quant_max)`, halves to even.

mod histogram;
mod isotone;

use super::numeric_ppq_aimet::{extremes, largest, least, strided_sum};
use crate::Error;
use quant_core::Scheme;

pub use histogram::{Histogram, kl, mse};
pub use isotone::isotone;

/// The least scale that a calibrator gives.
const MINIMUM_SCALE: f64 = 1e-8;

/// Whether zero is in the middle, and the integers that a tensor is quantised to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    scheme: Scheme,
    quant_min: i32,
    quant_max: i32,
}

impl Grid {
    /// Integers from `quant_min` to `quant_max`.
    ///
    /// # Errors
    /// [`Error::QuantRange`] unless `quant_min < quant_max` and both are in `[-2^24, 2^24]`.
    pub fn new(scheme: Scheme, quant_min: i32, quant_max: i32) -> Result<Self, Error> {
        const LIMIT: i32 = 1 << 24;
        if quant_min < quant_max && quant_min >= -LIMIT && quant_max <= LIMIT {
            Ok(Self { scheme, quant_min, quant_max })
        } else {
            Err(Error::QuantRange { quant_min, quant_max })
        }
    }

    /// Steps between the lowest and the highest integer.
    fn steps(&self) -> f64 {
        f64::from(self.quant_max - self.quant_min)
    }
}

/// What a calibrator of PPQ gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScaleOffset {
    /// Real value of one step, at least 1e-8 but from [`isotone`]. Infinite or NaN if the values are, where the original lets that
    /// pass.
    pub scale: f32,
    /// The integer that stands for zero. Not limited to the quantiser's integers (quirk `ppq-offset-unclamped`).
    pub offset: i32,
}

/// The quantiser of `[low, high]`, zero included.
///
/// Symmetric: `scale = 2 max(|low|, |high|) / (quant_max - quant_min)`: 127.5 steps a side for int8 (quirk `ppq-half-step`).
/// Asymmetric: `scale = (high - low) / (quant_max - quant_min)`, `offset = round(-low / scale)`, halves to even. In f64, `scale` then
/// rounded to f32.
///
/// # Errors
/// [`Error::NonFinite`] if an asymmetric offset would be NaN. Symmetric NaN and infinities pass (quirk `ppq-nan-passes`).
pub fn range_to_scale_offset(low: f64, high: f64, grid: Grid) -> Result<ScaleOffset, Error> {
    // Comparisons, not `min` and `max`: NaN has to stay.
    let low = if low > 0.0 { 0.0 } else { low };
    let high = if high < 0.0 { 0.0 } else { high };
    let range = match grid.scheme {
        Scheme::Symmetric if low.abs() > high.abs() => 2.0 * low.abs(),
        Scheme::Symmetric => 2.0 * high.abs(),
        Scheme::Affine => high - low,
    };
    let scale = range / grid.steps();
    let scale = if scale < MINIMUM_SCALE { MINIMUM_SCALE } else { scale };
    let offset = match grid.scheme {
        Scheme::Symmetric => 0.0,
        Scheme::Affine => (-low / scale).round_ties_even(),
    };
    if offset.is_nan() {
        return Err(Error::NonFinite { count: 1 });
    }
    Ok(ScaleOffset { scale: scale as f32, offset: offset as i32 })
}

/// Smallest and largest value of all batches, NaN if one is NaN.
fn range_of(batches: &[&[f32]]) -> Result<(f32, f32), Error> {
    if batches.is_empty() || batches.iter().any(|b| b.is_empty()) {
        return Err(Error::NoValues);
    }
    let start = (f32::INFINITY, f32::NEG_INFINITY);
    Ok(batches.iter().map(|b| extremes(b)).fold(start, |a, b| (least(a.0, b.0), largest(a.1, b.1))))
}

/// `minmax`: the range of all values.
///
/// # Errors
/// [`Error::NoValues`] if a batch is empty; those of [`range_to_scale_offset`].
pub fn min_max(batches: &[&[f32]], grid: Grid) -> Result<ScaleOffset, Error> {
    let (low, high) = range_of(batches)?;
    range_to_scale_offset(f64::from(low), f64::from(high), grid)
}

/// `minmax` per index of dimension `axis`; `values` in C order of `shape`.
///
/// An asymmetric grid makes the original fail on an assertion about the type of a number; here it gives what the formula says
/// (quirk `ppq-per-channel-asymmetric`).
///
/// # Errors
/// [`Error::Axis`] if there is no such dimension, [`Error::Length`] if `values` does not have the shape, [`Error::NoValues`] if
/// there are none; those of [`range_to_scale_offset`].
pub fn min_max_per_channel(
    values: &[f32],
    shape: &[usize],
    axis: usize,
    grid: Grid,
) -> Result<Vec<ScaleOffset>, Error> {
    let (channels, inner) = channel_layout(values.len(), shape, axis)?;
    let mut ranges = vec![(f32::INFINITY, f32::NEG_INFINITY); channels];
    for (run, values) in values.chunks_exact(inner).enumerate() {
        let (low, high) = extremes(values);
        let range = &mut ranges[run % channels];
        *range = (least(range.0, low), largest(range.1, high));
    }
    ranges.iter().map(|r| range_to_scale_offset(f64::from(r.0), f64::from(r.1), grid)).collect()
}

/// Number of channels, and of contiguous values of one.
fn channel_layout(length: usize, shape: &[usize], axis: usize) -> Result<(usize, usize), Error> {
    let channels = *shape.get(axis).ok_or(Error::Axis { axis, dimensions: shape.len() })?;
    let product =
        |dims: &[usize]| dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).unwrap_or(usize::MAX);
    let expected = product(shape);
    if expected != length {
        return Err(Error::Length { what: "values of that shape", expected, found: length });
    }
    if expected == 0 {
        return Err(Error::NoValues);
    }
    Ok((channels, product(&shape[axis + 1..])))
}

/// The default of [`percentile`].
pub const PERCENTILE: f64 = 0.9999;

/// `percentile`: of every batch the values of rank `int(n (1 - p))` and `int(n p)` in ascending order, from 0, the latter at most `n - 1`;
/// then the mean over batches, in f32.
///
/// NaN counts as the largest value. The mean weighs batches of any size alike (quirk `ppq-percentile-mean`).
///
/// # Errors
/// [`Error::Percent`] unless `p` is in `[0.5, 1]`; [`Error::NoValues`] if a batch is empty; those of [`range_to_scale_offset`].
pub fn percentile(batches: &[&[f32]], p: f64, grid: Grid) -> Result<ScaleOffset, Error> {
    if !(0.5..=1.0).contains(&p) {
        return Err(Error::Percent { percent: 100.0 * p });
    }
    if batches.is_empty() || batches.iter().any(|b| b.is_empty()) {
        return Err(Error::NoValues);
    }
    let (mut low, mut high) = (Vec::new(), Vec::new());
    for batch in batches {
        let count = batch.len() as f64;
        let mut values = batch.to_vec();
        low.push(ranked(&mut values, (count * (1.0 - p)) as usize));
        high.push(ranked(&mut values, ((count * p) as usize).min(batch.len() - 1)));
    }
    let mean = |values: &[f32]| f64::from(strided_sum(values) / values.len() as f32);
    range_to_scale_offset(mean(&low), mean(&high), grid)
}

/// The value of that rank in ascending order, NaN of either sign after all others.
fn ranked(values: &mut [f32], rank: usize) -> f32 {
    let order = |a: &f32, b: &f32| a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
    *values.select_nth_unstable_by(rank, order).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(scheme: Scheme, low: i32, high: i32) -> Grid {
        Grid::new(scheme, low, high).unwrap()
    }

    #[test]
    fn ranges_include_zero_and_are_never_empty() {
        let affine = grid(Scheme::Affine, 0, 255);
        let got = range_to_scale_offset(1.0, 255.0, affine).unwrap();
        assert_eq!(got, ScaleOffset { scale: 1.0, offset: 0 });
        let got = range_to_scale_offset(-255.0, -1.0, affine).unwrap();
        assert_eq!(got, ScaleOffset { scale: 1.0, offset: 255 });
        assert_eq!(range_to_scale_offset(0.0, 0.0, affine).unwrap().scale, 1e-8);
        // Beyond the integers, which end at 127.
        let signed = grid(Scheme::Affine, -128, 127);
        assert_eq!(range_to_scale_offset(-255.0, 0.0, signed).unwrap().offset, 255);
        let symmetric = grid(Scheme::Symmetric, -128, 127);
        assert_eq!(range_to_scale_offset(-127.5, 3.0, symmetric).unwrap().scale, 1.0);
        assert!(range_to_scale_offset(f64::NAN, f64::NAN, affine).is_err());
        assert!(range_to_scale_offset(f64::NAN, f64::NAN, symmetric).unwrap().scale.is_nan());
    }

    #[test]
    fn channels_of_any_axis_have_their_own_range() {
        let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let shape = [2, 3, 4];
        let symmetric = grid(Scheme::Symmetric, -1, 1);
        for axis in 0..3 {
            let got = min_max_per_channel(&values, &shape, axis, symmetric).unwrap();
            let index = |i: usize| [i / 12, i / 4 % 3, i % 4][axis];
            for (channel, got) in got.iter().enumerate() {
                let largest = (0..24).filter(|&i| index(i) == channel).max().unwrap();
                assert_eq!(got.scale, largest as f32, "axis {axis}, channel {channel}");
            }
        }
        assert!(matches!(min_max_per_channel(&values, &shape, 3, symmetric), Err(Error::Axis { .. })));
        assert!(matches!(min_max_per_channel(&values, &[5], 0, symmetric), Err(Error::Length { .. })));
        assert!(matches!(min_max_per_channel(&[], &[0, 3], 1, symmetric), Err(Error::NoValues)));
    }

    #[test]
    fn nothing_to_look_at_is_an_error() {
        let symmetric = grid(Scheme::Symmetric, -128, 127);
        assert!(matches!(min_max(&[], symmetric), Err(Error::NoValues)));
        assert!(matches!(percentile(&[&[]], PERCENTILE, symmetric), Err(Error::NoValues)));
        assert!(matches!(percentile(&[&[1.0]], 2.0, symmetric), Err(Error::Percent { .. })));
        assert!(matches!(Grid::new(Scheme::Affine, 3, 3), Err(Error::QuantRange { .. })));
    }
}
