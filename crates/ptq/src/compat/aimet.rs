//! Calibrators ("encoding analyzers") of AIMET, aimet-torch 2.42.0: `aimet_torch/quantization/encoding_analyzer.py`.
//!
//! AIMET quantises as `q = clamp(round(x / delta - offset), 0, steps)` with `delta = (max - min) / steps` and `offset = min / delta`,
//! halves to even. All arithmetic here is single precision, as there.

mod histogram;
mod lp_norm;

use super::numeric_ppq_aimet::{extremes, largest, least};
use crate::Error;
use quant_core::Scheme;

pub use histogram::HistogramObserver;
pub use lp_norm::{SqnrSearch, sqnr};

/// Steps of the quantiser and whether zero is in their middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    scheme: Scheme,
    steps: u32,
}

impl Grid {
    /// A grid of `steps + 1` values: 255 steps for 8 bits, 254 for 8 bits with as many values below zero as above.
    ///
    /// # Errors
    /// [`Error::StepCount`] unless `steps` is in `[2, 2^24]`.
    pub fn new(scheme: Scheme, steps: u32) -> Result<Self, Error> {
        if (2..=1 << 24).contains(&steps) {
            Ok(Self { scheme, steps })
        } else {
            Err(Error::StepCount { steps })
        }
    }

    fn steps(&self) -> f32 {
        self.steps as f32
    }

    /// Steps above zero if symmetric.
    fn upper_steps(&self) -> f32 {
        (self.steps / 2) as f32
    }

    /// Steps below zero if symmetric: one more than above where their number is odd.
    fn lower_steps(&self) -> f32 {
        self.steps.div_ceil(2) as f32
    }

    /// The least width of a step: `2^-23`, or less if 0.01 would not hold all steps.
    fn minimum_delta(&self) -> f64 {
        f64::from(f32::EPSILON).min(0.01 / f64::from(self.steps))
    }
}

/// What a calibrator of AIMET gives: the real values of the first and last step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Encoding {
    /// Real value of the lowest integer.
    pub min: f32,
    /// Real value of the highest integer.
    pub max: f32,
}

impl Encoding {
    /// Real value of one step.
    #[must_use]
    pub fn delta(&self, grid: Grid) -> f32 {
        ((f64::from(self.max) - f64::from(self.min)) / f64::from(grid.steps)) as f32
    }
}

/// `MinMaxEncodingAnalyzer`: the range of all values and zero.
///
/// Symmetric: `delta = max(high / floor(steps / 2), -low / ceil(steps / 2))`, so the lower end is a step longer where the number of
/// steps is odd (quirk `aimet-odd-steps`); with 3 steps `high` is divided by 2 instead of 1 (quirk `aimet-two-bits`).
/// Infinite ends become the largest finite number, NaN gives NaN (quirk `aimet-nan-passes`).
///
/// # Errors
/// [`Error::NoValues`] if there are none.
pub fn min_max(batches: &[&[f32]], grid: Grid) -> Result<Encoding, Error> {
    if batches.is_empty() || batches.iter().any(|b| b.is_empty()) {
        return Err(Error::NoValues);
    }
    let start = (f32::INFINITY, f32::NEG_INFINITY);
    let (low, high) =
        batches.iter().map(|b| extremes(b)).fold(start, |a, b| (least(a.0, b.0), largest(a.1, b.1)));
    let (low, high) = widened(least(low, 0.0), largest(high, 0.0), grid);
    let (low, high) = match grid.scheme {
        Scheme::Symmetric => {
            let extra = if grid.steps == 3 { 1.0 } else { 0.0 };
            symmetric_ends(low, high, grid.upper_steps() + extra, grid)
        }
        Scheme::Affine => (low, high),
    };
    Ok(Encoding { min: largest(low, f32::MIN), max: least(high, f32::MAX) })
}

/// A range of less than the least step per step gets that much more.
fn widened(low: f32, high: f32, grid: Grid) -> (f32, f32) {
    let minimum = grid.minimum_delta() as f32;
    let narrow = (high - low) / grid.steps() < minimum;
    match grid.scheme {
        Scheme::Symmetric if narrow => {
            (low - grid.lower_steps() * minimum, high + grid.upper_steps() * minimum)
        }
        Scheme::Affine if narrow => (low, high + grid.steps() * minimum),
        Scheme::Symmetric | Scheme::Affine => (low, high),
    }
}

/// Ends of the least symmetric range that holds `[low, high]`, where `high` is divided by `divisor`.
fn symmetric_ends(low: f32, high: f32, divisor: f32, grid: Grid) -> (f32, f32) {
    let delta = largest(high / divisor, -low / grid.lower_steps());
    (-grid.lower_steps() * delta, grid.upper_steps() * delta)
}

/// `PercentileEncodingAnalyzer`: the left edges of the first bins at which the share of the values reaches `1 - percent / 100` and
/// `percent / 100`; 100 gives the ends of the histogram. The range then gets zero and, if symmetric, equal sides as in [`min_max`].
///
/// # Errors
/// [`Error::Percent`] unless `percent` is in `[50, 100]`; [`Error::NoValues`] if the histogram is empty.
pub fn percentile(histogram: &HistogramObserver, percent: f64, grid: Grid) -> Result<Encoding, Error> {
    if !(50.0..=100.0).contains(&percent) {
        return Err(Error::Percent { percent });
    }
    let (counts, edges) = (histogram.counts(), histogram.edges());
    let cumulated: Vec<f32> = counts
        .iter()
        .scan(0f64, |sum, &c| {
            *sum += f64::from(c);
            Some(*sum as f32)
        })
        .collect();
    let &total = cumulated.last().ok_or(Error::NoValues)?;
    let first = |share: f32| edges[cumulated.partition_point(|&c| c < share)];
    let (low, high) = if percent == 100.0 {
        (edges[0], edges[counts.len()])
    } else {
        (first(total * (1.0 - percent / 100.0) as f32), first(total * percent as f32 / 100.0))
    };
    let (low, high) = widened(least(low, 0.0).max(f32::MIN), largest(high, 0.0).min(f32::MAX), grid);
    let (min, max) = match grid.scheme {
        Scheme::Symmetric => symmetric_ends(low, high, grid.upper_steps(), grid),
        Scheme::Affine => (low, high),
    };
    Ok(Encoding { min, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(scheme: Scheme, steps: u32) -> Grid {
        Grid::new(scheme, steps).unwrap()
    }

    #[test]
    fn odd_numbers_of_steps_have_the_longer_side_below() {
        let got = min_max(&[&[-1.0, 127.0]], grid(Scheme::Symmetric, 255)).unwrap();
        assert_eq!(got, Encoding { min: -128.0, max: 127.0 });
        let got = min_max(&[&[-1.0, 127.0]], grid(Scheme::Symmetric, 254)).unwrap();
        assert_eq!(got, Encoding { min: -127.0, max: 127.0 });
        let got = min_max(&[&[-1.0, 4.0]], grid(Scheme::Symmetric, 3)).unwrap();
        assert_eq!(got, Encoding { min: -4.0, max: 2.0 });
    }

    #[test]
    fn degenerate_values_give_a_narrow_range_or_an_error() {
        let affine = grid(Scheme::Affine, 255);
        let got = min_max(&[&[0.0]], affine).unwrap();
        assert_eq!(got, Encoding { min: 0.0, max: 255.0 * f32::EPSILON });
        assert!(matches!(min_max(&[], affine), Err(Error::NoValues)));
        assert!(min_max(&[&[f32::NAN]], affine).unwrap().max.is_nan());
        assert_eq!(min_max(&[&[f32::INFINITY]], affine).unwrap().max, f32::MAX);
        assert!(matches!(Grid::new(Scheme::Affine, 1), Err(Error::StepCount { .. })));
    }

    #[test]
    fn percentiles_are_left_edges_of_bins() {
        let mut histogram = HistogramObserver::new(10, None).unwrap();
        let values: Vec<f32> = (0..=100).map(|i| i as f32 / 10.0).collect();
        histogram.observe(&values).unwrap();
        let affine = grid(Scheme::Affine, 255);
        assert_eq!(percentile(&histogram, 100.0, affine).unwrap(), Encoding { min: 0.0, max: 10.0 });
        assert_eq!(percentile(&histogram, 75.0, affine).unwrap(), Encoding { min: 0.0, max: 7.0 });
        assert!(matches!(percentile(&histogram, 49.0, affine), Err(Error::Percent { .. })));
        let empty = HistogramObserver::new(10, None).unwrap();
        assert!(matches!(percentile(&empty, 99.0, affine), Err(Error::NoValues)));
    }
}
