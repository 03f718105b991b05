//! Ranges of the least squared error.

use crate::{Error, Histogram, Range, Statistics};
use quant_core::QuantSpec;

/// Sum of the squared errors of quantising values, given as `(value, count)`, with the quantiser of `[low, high]`.
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

/// A histogram's bins by rising centre, with running sums.
///
/// Values are taken to be at the centres of their bins, `x`. The squared error of all that becomes the level `v` is
/// `sum c x^2 - 2 v sum c x + v^2 sum c`, three differences of running sums: a quantiser costs a step per level, not per bin.
struct Moments {
    width: f64,
    /// Bins below zero.
    below: usize,
    /// Running `[sum c, sum c x, sum c x^2]`, one more than bins.
    sums: Vec<[f64; 3]>,
    /// Occupied bins as `(x, c)`.
    occupied: Vec<(f64, f64)>,
}

impl Moments {
    fn new(histogram: &Histogram) -> Self {
        let width = histogram.width();
        let negative = histogram.negative().iter().rev();
        let bins: Vec<u64> = negative.chain(histogram.positive()).copied().collect();
        let below = histogram.negative().len();
        let mut sums = vec![[0.0; 3]];
        let mut occupied = Vec::new();
        let mut sum = [0.0; 3];
        for (k, &count) in bins.iter().enumerate() {
            let (x, c) = ((k as f64 - below as f64 + 0.5) * width, count as f64);
            sum = [sum[0] + c, sum[1] + c * x, sum[2] + c * x * x];
            sums.push(sum);
            if count > 0 {
                occupied.push((x, c));
            }
        }
        Self { width, below, sums, occupied }
    }

    /// Sum of the squared errors of the quantiser of `[low, high]`.
    fn squared_error(&self, low: f32, high: f32, spec: &QuantSpec) -> Result<f64, Error> {
        let params = spec.params_for_range(low, high)?;
        let (q_min, q_max) = (spec.q_min() - params.zero_point, spec.q_max() - params.zero_point);
        if (q_max - q_min) as usize >= self.occupied.len() {
            return squared_error(&self.occupied, low, high, spec);
        }
        let scale = f64::from(params.scale);
        // The first bin whose centre is not below the border between `q - 1` and `q`.
        let bins = self.sums.len() - 1;
        let bins_per_level = scale / self.width;
        let origin = self.below as f64 - 0.5;
        let first =
            |q: i32| ((f64::from(q) - 0.5) * bins_per_level + origin).ceil().clamp(0.0, bins as f64) as usize;
        let mut error = 0.0;
        let mut start = 0;
        for q in q_min..=q_max {
            let end = if q == q_max { bins } else { first(q + 1) };
            let value = f64::from(q) * scale;
            let part = |i: usize| self.sums[end][i] - self.sums[start][i];
            error += part(2) - value * (2.0 * part(1) - value * part(0));
            start = end;
        }
        Ok(error)
    }
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

pub(crate) fn mse_symmetric(statistics: &Statistics, spec: &QuantSpec) -> Result<Range, Error> {
    let moments = Moments::new(statistics.histogram());
    let error = |bound: f32| moments.squared_error(-bound, bound, spec);
    let bound = least(statistics.absolute_maximum(), error)?;
    Ok(Range::symmetric(bound))
}

/// The two ends in turn, twice: the best upper end for the lower one at hand, then the other way round.
pub(crate) fn mse_affine(
    statistics: &Statistics,
    (min, max): (f32, f32),
    spec: &QuantSpec,
) -> Result<Range, Error> {
    let moments = Moments::new(statistics.histogram());
    let (mut low, mut high) = (min.min(0.0), max.max(0.0));
    for _ in 0..2 {
        if max > 0.0 {
            high = least(max, |high| moments.squared_error(low, high, spec))?;
        }
        if min < 0.0 {
            low = least(min, |low| moments.squared_error(low, high, spec))?;
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
    use quant_core::{Granularity, Scheme};

    #[test]
    fn running_sums_give_the_errors_of_single_bins() {
        let mut statistics = Statistics::default();
        let values: Vec<f32> =
            (0..50_000).map(|i| ((i * 7919 % 50_000) as f32 / 9000.0 - 2.0).powi(3)).collect();
        statistics.observe(&values);
        let moments = Moments::new(statistics.histogram());
        let mut compared = 0;
        for (bits, scheme) in
            [(8, Scheme::Symmetric), (8, Scheme::Affine), (4, Scheme::Affine), (2, Scheme::Symmetric)]
        {
            let spec = QuantSpec::new(bits, true, scheme, true, Granularity::PerTensor).unwrap();
            for high in [0.5, 3.0, 30.0, 44.0] {
                for low in [-8.0, -1.0, 0.0] {
                    let (low, high) = if scheme == Scheme::Symmetric { (-high, high) } else { (low, high) };
                    let plain = squared_error(&moments.occupied, low, high, &spec).unwrap();
                    let found = moments.squared_error(low, high, &spec).unwrap();
                    assert!((found - plain).abs() <= 1e-9 * plain, "{bits} {low} {high}: {found} {plain}");
                    compared += 1;
                }
            }
        }
        assert_eq!(compared, 48);
        assert!(moments.occupied.len() > 1000);
    }
}
