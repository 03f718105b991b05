//! Calibrators: pure functions from statistics to the range that a quantiser covers.

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
    fn symmetric(bound: f32) -> Self {
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
fn magnitudes(histogram: &Histogram) -> Vec<u64> {
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

/// The threshold with the least divergence.
///
/// Bins are joined in pairs first, so that between 1024 and 2048 are occupied, as in the published algorithm; its outcome depends on that
/// number. Candidates are all numbers of bins from that of the levels on which keep [`ENTROPY_KEPT`] of the values: the divergence does
/// not see how far an outlier is moved, so that without this bound data in a narrow band away from zero are clipped altogether.
///
/// For the candidate of `i` bins, P is the histogram cut there with all that lies beyond added to its last bin; Q is the cut histogram
/// without the rest, merged to `L` levels and spread again over the occupied bins of each. The first bin is replaced by the second,
/// since exact zeros cost nothing. Candidates where Q is empty where P is not (an infinite divergence) are passed over.
fn entropy(statistics: &Statistics, spec: &QuantSpec) -> f32 {
    let histogram = statistics.histogram();
    let width = 2.0 * histogram.width();
    let limit = statistics.absolute_maximum();
    let occupied = ((f64::from(limit) / width) as usize + 1).min(crate::BINS / 2);
    let pairs = magnitudes(histogram);
    let mut bins: Vec<f64> =
        pairs.chunks_exact(2).take(occupied).map(|pair| (pair[0] + pair[1]) as f64).collect();
    bins[0] = bins.get(1).copied().unwrap_or(bins[0]);
    let levels = entropy_levels(statistics, spec).min(occupied);
    let tails: Vec<f64> = tail_sums(&bins);
    let total = tails[0];
    let enough = |candidate: &usize| total - tails[*candidate] >= ENTROPY_KEPT * total;
    let mut best = (f64::INFINITY, occupied);
    for candidate in (levels..=occupied).filter(enough) {
        let divergence = divergence(&bins[..candidate], tails[candidate], levels);
        if divergence < best.0 {
            best = (divergence, candidate);
        }
    }
    ((best.1 as f64 * width) as f32).min(limit)
}

/// Share of the values that the entropy method keeps inside, at least.
const ENTROPY_KEPT: f64 = 0.99;

/// Steps of the quantiser between zero and the largest magnitude: half of them if symmetric, else the share of that side in the range.
fn entropy_levels(statistics: &Statistics, spec: &QuantSpec) -> usize {
    let (low, high) = statistics.bounds().unwrap_or((0.0, 0.0));
    let steps = f64::from(spec.q_max() - spec.q_min() + 1);
    let range = f64::from(high.max(0.0)) - f64::from(low.min(0.0));
    match spec.scheme() {
        Scheme::Symmetric => spec.q_max() as usize + 1,
        Scheme::Affine => {
            (steps * f64::from(statistics.absolute_maximum()) / range).round().max(1.0) as usize
        }
    }
}

/// `tails[i]`: the sum of `bins[i..]`.
fn tail_sums(bins: &[f64]) -> Vec<f64> {
    let mut tails = vec![0.0; bins.len() + 1];
    for i in (0..bins.len()).rev() {
        tails[i] = tails[i + 1] + bins[i];
    }
    tails
}

/// `sum p ln(p / q)`; infinite if Q lacks something that P has.
fn divergence(bins: &[f64], tail: f64, levels: usize) -> f64 {
    let n = bins.len();
    let inside: f64 = bins.iter().sum();
    let total = inside + tail;
    // The outliers join the last bin of P; if Q has nothing there, the divergence is infinite.
    if inside == 0.0 || (tail > 0.0 && bins[n - 1] == 0.0) {
        return f64::INFINITY;
    }
    let mut sum = 0.0;
    for level in 0..levels {
        let range = (level * n).div_ceil(levels)..((level + 1) * n).div_ceil(levels);
        let members = &bins[range.clone()];
        let used = members.iter().filter(|&&c| c > 0.0).count();
        if used == 0 {
            continue;
        }
        let q = members.iter().sum::<f64>() / used as f64 / inside;
        for (k, &count) in range.zip(members) {
            let p = (count + if k == n - 1 { tail } else { 0.0 }) / total;
            if p > 0.0 {
                sum += p * (p / q).ln();
            }
        }
    }
    sum
}

/// Mean squared error of quantising the histogram's bin centres with the quantiser of `[low, high]`, times the number of values.
fn squared_error(bins: &[(f64, f64)], low: f32, high: f32, spec: &QuantSpec) -> Result<f64, Error> {
    let params = spec.params_for_range(low, high)?;
    let (scale, per_scale) = (f64::from(params.scale), 1.0 / f64::from(params.scale));
    let (q_min, q_max) =
        (f64::from(spec.q_min() - params.zero_point), f64::from(spec.q_max() - params.zero_point));
    // Only candidates are compared here, so the product may stand for the division of the real quantiser.
    let error = |&(centre, count): &(f64, f64)| {
        let q = quant_core::round(centre * per_scale, quant_core::Rounding::HalfUp).clamp(q_min, q_max);
        count * (q * scale - centre) * (q * scale - centre)
    };
    Ok(bins.iter().map(error).sum())
}

/// Occupied bins as (centre, count).
fn centres(histogram: &Histogram) -> Vec<(f64, f64)> {
    let width = histogram.width();
    let side = |bins: &[u64], sign: f64| {
        let occupied = bins.iter().enumerate().filter(|(_, c)| **c > 0);
        occupied.map(|(k, &count)| (sign * (k as f64 + 0.5) * width, count as f64)).collect::<Vec<_>>()
    };
    let mut all = side(histogram.positive(), 1.0);
    all.extend(side(histogram.negative(), -1.0));
    all
}

/// Candidates for a bound are multiples of this part of the extreme, from a tenth of the extreme on.
const MSE_CANDIDATES: usize = 200;

/// Candidates for a bound whose extreme is `extreme`, the widest first, so that ties keep more.
fn candidates(extreme: f32) -> impl Iterator<Item = f32> {
    (MSE_CANDIDATES / 10..=MSE_CANDIDATES).rev().map(move |i| extreme * (i as f32 / MSE_CANDIDATES as f32))
}

/// The candidate with the least error.
fn least(extreme: f32, error: impl Fn(f32) -> Result<f64, Error>) -> Result<f32, Error> {
    let mut best = (f64::INFINITY, extreme);
    for bound in candidates(extreme) {
        let error = error(bound)?;
        if error < best.0 {
            best = (error, bound);
        }
    }
    Ok(best.1)
}

fn mse_symmetric(statistics: &Statistics, spec: &QuantSpec) -> Result<Range, Error> {
    let bins = centres(statistics.histogram());
    let bound = least(statistics.absolute_maximum(), |bound| squared_error(&bins, -bound, bound, spec))?;
    Ok(Range::symmetric(bound))
}

/// The two ends in turn, twice: the best upper end for the lower one at hand, then the other way round.
fn mse_affine(statistics: &Statistics, (min, max): (f32, f32), spec: &QuantSpec) -> Result<Range, Error> {
    let bins = centres(statistics.histogram());
    let (mut low, mut high) = (min.min(0.0), max.max(0.0));
    for _ in 0..2 {
        if max > 0.0 {
            high = least(max, |high| squared_error(&bins, low, high, spec))?;
        }
        if min < 0.0 {
            low = least(min, |low| squared_error(&bins, low, high, spec))?;
        }
    }
    Ok(Range { low, high })
}

/// The scale factor in `(0, 1]` on `max |w|` that gives the least squared error for the weights themselves, times that maximum.
///
/// # Errors
/// [`Error::NonFinite`] if a weight is not finite.
pub(crate) fn weight_bound(weights: &[f32], spec: &QuantSpec, search: bool) -> Result<f32, Error> {
    let non_finite = weights.iter().filter(|w| !w.is_finite()).count();
    if non_finite > 0 {
        return Err(Error::NonFinite { count: non_finite as u64 });
    }
    let extreme = weights.iter().fold(0f32, |m, w| m.max(w.abs()));
    if !search || extreme == 0.0 {
        return Ok(extreme);
    }
    let values: Vec<(f64, f64)> = weights.iter().map(|&w| (f64::from(w), 1.0)).collect();
    least(extreme, |bound| squared_error(&values, -bound, bound, spec))
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
