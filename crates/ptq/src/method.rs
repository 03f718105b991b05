//! Calibrators: pure functions from statistics to the range that a quantiser covers.

use crate::entropy::entropy;
use crate::squared_error::{mse_affine, mse_symmetric};
use crate::{Error, Histogram, Statistics};
use quant_core::{QuantSpec, Scheme};
use serde::{Deserialize, Serialize};

/// How the range of a tensor is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
pub enum Method {
    /// `[-m, m]`, `m = max |x|`. Symmetric whatever the specification says.
    Max,
    /// `[min x, max x]`. Affine whatever the specification says.
    MinMax,
    /// Clips so that this share of the values lies inside: of magnitudes if symmetric, else half of the rest is cut from each end.
    Percentile {
        /// In `(0, 100]`.
        percent: f64,
    },
    /// Least Kullback-Leibler divergence between the clipped distribution and its quantised form (Migacz, GTC 2017, S7310).
    Entropy,
    /// Least mean squared error of quantising the histogram.
    Mse,
}

/// A range `[low, high]` of real values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Lower end.
    pub low: f32,
    /// Upper end.
    pub high: f32,
}

impl Range {
    pub(crate) fn symmetric(bound: f32) -> Self {
        Self { low: -bound, high: bound }
    }
}

impl Method {
    /// All methods, the percentile being the customary 99.99.
    pub const ALL: [Method; 5] =
        [Method::Max, Method::MinMax, Method::Percentile { percent: 99.99 }, Method::Entropy, Method::Mse];

    /// Name as programs take it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Method::Max => "max",
            Method::MinMax => "minmax",
            Method::Percentile { .. } => "percentile",
            Method::Entropy => "entropy",
            Method::Mse => "mse",
        }
    }

    /// The method of that name, with its default parameters.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// The scheme that is used where `requested` is asked for: max and min-max are one idea under two schemes.
    #[must_use]
    pub fn scheme(&self, requested: Scheme) -> Scheme {
        match self {
            Method::Max => Scheme::Symmetric,
            Method::MinMax => Scheme::Affine,
            Method::Percentile { .. } | Method::Entropy | Method::Mse => requested,
        }
    }

    /// The range that the method chooses for a quantiser of `spec`: no end is further from zero than the largest magnitude seen, and it
    /// is not empty unless all values are zero.
    ///
    /// # Errors
    /// [`Error::NoValues`] and [`Error::NonFinite`] for statistics without finite values or with others,
    /// [`Error::Percent`] for a percentile outside of `(0, 100]`.
    pub fn range(&self, statistics: &Statistics, spec: &QuantSpec) -> Result<Range, Error> {
        if statistics.non_finite() > 0 {
            return Err(Error::NonFinite { count: statistics.non_finite() });
        }
        let (low, high) = statistics.bounds().ok_or(Error::NoValues)?;
        let bound = statistics.absolute_maximum();
        if bound == 0.0 {
            return Ok(Range { low: 0.0, high: 0.0 });
        }
        let symmetric = self.scheme(spec.scheme()) == Scheme::Symmetric;
        match *self {
            Method::Max => Ok(Range::symmetric(bound)),
            Method::MinMax => Ok(Range { low, high }),
            Method::Percentile { percent } if !(percent > 0.0 && percent <= 100.0) => {
                Err(Error::Percent { percent })
            }
            Method::Percentile { percent } if symmetric => {
                Ok(Range::symmetric(percentile(statistics, percent)))
            }
            Method::Percentile { percent } => Ok(percentile_range(statistics, (low, high), percent)),
            Method::Entropy => {
                let bound = entropy(statistics, spec);
                let clipped = Range { low: low.max(-bound), high: high.min(bound) };
                Ok(if symmetric { Range::symmetric(bound) } else { clipped })
            }
            Method::Mse if symmetric => mse_symmetric(statistics, spec),
            Method::Mse => mse_affine(statistics, (low, high), spec),
        }
    }
}

/// Counts by magnitude, both signs together.
pub(crate) fn magnitudes(histogram: &Histogram) -> Vec<u64> {
    histogram.positive().iter().zip(histogram.negative()).map(|(p, n)| p + n).collect()
}

/// Upper edge of the first bin at which the count from the start reaches `count`, at most `limit`.
fn edge_reaching(bins: impl Iterator<Item = u64>, count: f64, width: f64, limit: f32) -> f32 {
    let mut total = 0u64;
    for (k, bin) in bins.enumerate() {
        total += bin;
        if total as f64 >= count {
            return (((k + 1) as f64 * width) as f32).min(limit);
        }
    }
    limit
}

fn percentile(statistics: &Statistics, percent: f64) -> f32 {
    let bins = magnitudes(statistics.histogram());
    let count = statistics.count() as f64 * percent / 100.0;
    edge_reaching(bins.into_iter(), count, statistics.histogram().width(), statistics.absolute_maximum())
}

/// Each end is moved inwards over half of the values to be cut, over all of them where the other sign does not occur; no end crosses
/// zero.
fn percentile_range(statistics: &Statistics, (low, high): (f32, f32), percent: f64) -> Range {
    let histogram = statistics.histogram();
    let (positive, negative) = (histogram.positive(), histogram.negative());
    let ends = if low >= 0.0 || high <= 0.0 { 1.0 } else { 2.0 };
    let cut = statistics.count() as f64 * (100.0 - percent) / 100.0 / ends;
    let end = |side: &[u64], limit: f32| {
        let inside = side.iter().sum::<u64>() as f64 - cut;
        if inside <= 0.0 {
            0.0
        } else {
            edge_reaching(side.iter().copied(), inside, histogram.width(), limit)
        }
    };
    Range { low: -end(negative, (-low).max(0.0)), high: end(positive, high.max(0.0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(values: &[f32]) -> Statistics {
        let mut s = Statistics::default();
        s.observe(values);
        s
    }

    /// Sums of twelve uniform numbers: close to a normal distribution of deviation 1.
    fn normal(count: usize) -> Vec<f32> {
        let mut state = 1u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32
        };
        (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
    }

    fn int8(scheme: Scheme) -> QuantSpec {
        QuantSpec::int8(scheme)
    }

    #[test]
    fn every_method_stays_within_the_values_and_covers_most() {
        let values = normal(100_000);
        let s = statistics(&values);
        for method in Method::ALL {
            for scheme in [Scheme::Symmetric, Scheme::Affine] {
                let range = method.range(&s, &int8(scheme)).unwrap();
                let inside = values.iter().filter(|v| (range.low..=range.high).contains(*v)).count();
                assert!(range.high <= s.absolute_maximum(), "{method:?} {scheme:?}: {range:?}");
                assert!(
                    inside as f64 / values.len() as f64 > 0.98,
                    "{method:?} {scheme:?}: {range:?}, {inside}"
                );
            }
        }
    }

    #[test]
    fn one_outlier_is_clipped_by_all_but_the_extremes() {
        let mut values = normal(100_000);
        values.push(60.0);
        let s = statistics(&values);
        for method in Method::ALL {
            let high = method.range(&s, &int8(Scheme::Symmetric)).unwrap().high;
            let keeps = matches!(method, Method::Max | Method::MinMax);
            assert_eq!(high == 60.0, keeps, "{method:?}: {high}");
        }
    }

    #[test]
    fn mse_finds_the_least_error_among_all_bounds() {
        let values = normal(20_000);
        let spec =
            QuantSpec::new(4, true, Scheme::Symmetric, true, quant_core::Granularity::PerTensor).unwrap();
        let found = Method::Mse.range(&statistics(&values), &spec).unwrap().high;
        let error = |bound: f32| {
            let mut copy = values.clone();
            let params = [spec.params_for_range(-bound, bound).unwrap()];
            quant_core::fake_quantize(&mut copy, &params, &spec, quant_core::Rounding::HalfEven).unwrap();
            copy.iter().zip(&values).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
        };
        let best = (1..=300).map(|i| error(i as f32 * 0.02)).fold(f64::INFINITY, f64::min);
        assert!(error(found) <= best * 1.01, "{found}: {} for {best}", error(found));
    }

    #[test]
    fn data_far_from_zero_is_not_clipped_away() {
        // The reference's entropy calibrator clips all of this: an empty Q gives 0/0, which its argmin prefers.
        let values: Vec<f32> = (0..10_000).map(|i| 5.0 + i as f32 / 10_000.0).collect();
        let high = Method::Entropy.range(&statistics(&values), &int8(Scheme::Symmetric)).unwrap().high;
        assert!(high > 5.9, "{high}");
    }

    #[test]
    fn degenerate_statistics_give_an_error_or_an_empty_range() {
        let spec = int8(Scheme::Affine);
        for method in Method::ALL {
            assert!(matches!(method.range(&Statistics::default(), &spec), Err(Error::NoValues)));
            assert!(matches!(
                method.range(&statistics(&[1.0, f32::NAN]), &spec),
                Err(Error::NonFinite { count: 1 })
            ));
            assert_eq!(method.range(&statistics(&[0.0; 8]), &spec).unwrap(), Range { low: 0.0, high: 0.0 });
            let one = method.range(&statistics(&[1e-30]), &spec).unwrap();
            assert!(one.high > 0.0 && one.high <= 1e-30, "{method:?}: {one:?}");
        }
        let percent = Method::Percentile { percent: 0.0 };
        assert!(matches!(percent.range(&statistics(&[1.0]), &spec), Err(Error::Percent { .. })));
    }
}
