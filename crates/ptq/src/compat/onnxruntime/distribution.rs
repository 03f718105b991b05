//! Mean and spread of a histogram, for float8.

use super::signed::State;
use super::{Bounds, SignedHistogram};
use crate::compat::{Error, numeric};
use numeric::numpy;

/// The `scenario` of the distribution calibrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Power {
    /// `"same"`: of the values.
    #[default]
    One,
    /// `"p3"`: of their signed cube roots.
    Third,
}

/// Mean and standard deviation of a histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distribution {
    /// Mean.
    pub average: f32,
    /// Standard deviation; NaN where rounding leaves a negative variance.
    pub deviation: f32,
    /// The outermost edges.
    pub bounds: Bounds,
}

/// Fewest bins to start with.
const LEAST_BINS: usize = 512;

impl SignedHistogram {
    /// `compute_distribution`: moments of the bin centres. Centres, their powers and squares are f32, sums f64.
    ///
    /// # Errors
    /// [`Error::NoCandidate`] for fewer than 512 bins to start with, [`Error::NoData`].
    pub fn distribution(&self, power: Power) -> Result<Distribution, Error> {
        if self.initial_bins() < LEAST_BINS {
            return Err(Error::NoCandidate { end: self.initial_bins(), start: LEAST_BINS });
        }
        let State { counts, edges, .. } = self.state()?;
        let centre = |pair: &[f32]| (pair[0] + pair[1]) * 0.5;
        let centres: Vec<f32> = edges.windows(2).map(|pair| raised(centre(pair), power)).collect();
        let total = counts.iter().sum::<u64>() as f64;
        let mean = |value: fn(f32) -> f32| {
            let weighted = |(&count, &x): (&u64, &f32)| count as f64 * f64::from(value(x));
            numpy::sum(&counts.iter().zip(&centres).map(weighted).collect::<Vec<_>>()) / total
        };
        let average = mean(|x| x);
        let deviation = (mean(|x| x * x) - average * average).sqrt();
        let bounds = Bounds { lowest: edges[0], highest: edges[counts.len()] };
        Ok(Distribution { average: average as f32, deviation: deviation as f32, bounds })
    }
}

/// The signed power of a centre, correctly rounded.
///
/// quirk `power-by-vector-unit`: numpy's `power` of f32 is within one unit in the last place of that, but with AVX-512 it is another one for
/// every fifth value than without.
fn raised(x: f32, power: Power) -> f32 {
    match power {
        Power::One => x,
        // The exponent is the float next to 1/3.
        Power::Third => {
            f64::from(x.abs()).powf(f64::from(1.0f32 / 3.0)) as f32 * if x < 0.0 { -1.0 } else { 1.0 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_centres() {
        let mut histogram = SignedHistogram::new(512).unwrap();
        histogram.collect(&[-256.0, 255.5, 255.6]).unwrap();
        // Two bins are occupied: [-256, -255) once and [255, 256] twice.
        let found = histogram.distribution(Power::One).unwrap();
        let mean = 255.5 / 3.0;
        let deviation = (255.5f64 * 255.5 - mean * mean).sqrt();
        assert_eq!((found.average, found.deviation), (mean as f32, deviation as f32));
        assert_eq!(found.bounds, Bounds { lowest: -256.0, highest: 256.0 });
        let roots = histogram.distribution(Power::Third).unwrap();
        assert!((f64::from(roots.average) - 255.5f64.cbrt() / 3.0).abs() < 1e-5);
    }

    #[test]
    fn too_few_bins_are_refused() {
        let mut histogram = SignedHistogram::new(511).unwrap();
        histogram.collect(&[1.0]).unwrap();
        assert!(matches!(histogram.distribution(Power::One), Err(Error::NoCandidate { .. })));
        let empty = SignedHistogram::new(512).unwrap();
        assert_eq!(empty.distribution(Power::One), Err(Error::NoData));
    }
}
