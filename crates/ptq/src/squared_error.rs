//! Ranges of the least squared error.

use crate::{Error, Range, Statistics};
use quant_core::{QuantParams, QuantSpec, Scheme};
use std::ops;

/// Sum of the squared errors of quantising values, given as `(value, count)`; those of values that are clipped count `clip_weight` times.
fn squared_error(bins: &[(f64, f64)], params: QuantParams, spec: &QuantSpec, clip_weight: f64) -> f64 {
    let (scale, per_scale) = (f64::from(params.scale), 1.0 / f64::from(params.scale));
    let (q_min, q_max) = centred_integers(params, spec);
    let (q_min, q_max) = (f64::from(q_min), f64::from(q_max));
    // Only candidates are compared here, so the product may stand for the division of the real quantiser.
    let error = |&(centre, count): &(f64, f64)| {
        let nearest = quant_core::round(centre * per_scale, quant_core::Rounding::HalfUp);
        let q = nearest.clamp(q_min, q_max);
        let weight = if q == nearest { 1.0 } else { clip_weight };
        count * weight * (q * scale - centre) * (q * scale - centre)
    };
    bins.iter().map(error).sum()
}

/// The lowest and the highest integer, counted from the one that stands for zero.
fn centred_integers(params: QuantParams, spec: &QuantSpec) -> (i32, i32) {
    (spec.q_min() - params.zero_point, spec.q_max() - params.zero_point)
}

/// A histogram's bins by rising centre, with running sums.
///
/// Values are taken to be at the centres of their bins, `x`. The squared error of all that becomes the level `v` is
/// `sum c x^2 - 2 v sum c x + v^2 sum c`, three differences of running sums: a quantiser costs a step per level, not per bin.
/// Exact zeros are left out: every quantiser has an exact zero.
pub(crate) struct Moments {
    width: f64,
    /// Bins below zero.
    below: usize,
    /// Running `[sum c, sum c x, sum c x^2]`, one more than bins.
    sums: Vec<[f64; 3]>,
    /// Occupied bins as `(x, c)`.
    occupied: Vec<(f64, f64)>,
}

impl Moments {
    pub(crate) fn new(statistics: &Statistics) -> Self {
        let histogram = statistics.histogram();
        let width = histogram.width();
        let negative = histogram.negative().iter().rev();
        let mut bins: Vec<u64> = negative.chain(histogram.positive()).copied().collect();
        let below = histogram.negative().len();
        if let Some(first) = bins.get_mut(below) {
            *first = first.saturating_sub(statistics.zeros());
        }
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

    /// Values other than zero as `(centre of the bin, count)`, by rising centre.
    pub(crate) fn values(&self) -> &[(f64, f64)] {
        &self.occupied
    }

    /// Sum of the squared errors of a quantiser, less what all quantisers have in common; the errors of values whose nearest integer
    /// lies outside of the range count `clip_weight` times.
    pub(crate) fn squared_error(&self, params: QuantParams, spec: &QuantSpec, clip_weight: f64) -> f64 {
        let (q_min, q_max) = centred_integers(params, spec);
        let scale = f64::from(params.scale);
        if scale < self.width {
            let (first, end) = (self.border(q_min, scale), self.border(q_max + 1, scale));
            return self.fine_error(first..end, scale)
                + clip_weight * self.clipping_error(first..end, q_min, q_max, scale);
        }
        if (q_max - q_min) as usize >= self.occupied.len() {
            return squared_error(&self.occupied, params, spec, clip_weight);
        }
        let error = self.error_of_levels(q_min, q_max, scale);
        if clip_weight == 1.0 {
            return error;
        }
        let inside = self.border(q_min, scale)..self.border(q_max + 1, scale);
        error + (clip_weight - 1.0) * self.clipping_error(inside, q_min, q_max, scale)
    }

    /// The first bin whose centre is not below the border between the integers `q - 1` and `q`, counted from the one of zero.
    fn border(&self, q: i32, scale: f64) -> usize {
        let bins = self.sums.len() - 1;
        let place = (f64::from(q) - 0.5) * (scale / self.width) + (self.below as f64 - 0.5);
        // Rounded up by way of an integer: `ceil` is a call on CPUs without SSE4.1, and this is the innermost loop.
        let place = place.clamp(0.0, bins as f64);
        let floor = place as i32;
        floor as usize + usize::from(f64::from(floor) < place)
    }

    /// Sum of the squared errors if every bin becomes its nearest level.
    ///
    /// Over the levels `v_q`, `sum -2 v_q (S1[b_q+1] - S1[b_q]) + v_q^2 (S0[b_q+1] - S0[b_q])` with the running sums `S0` and `S1` at
    /// borders `b` is summed by parts: a border then costs a look at one place instead of two, and none waits for the one before.
    fn error_of_levels(&self, q_min: i32, q_max: i32, scale: f64) -> f64 {
        let Some([count, sum, squares]) = self.sums.last() else { return 0.0 };
        // Twice the sums and the counts below borders, each times what a step up changes, in units of the scale.
        let below = (q_min + 1..=q_max).fold([0.0; 2], |[twice, counts], q| {
            let [c, s, _] = self.sums[self.border(q, scale)];
            [twice + s, counts + f64::from(2 * q - 1) * c]
        });
        let top = f64::from(q_max) * scale;
        squares - top * (2.0 * sum - top * count) + scale * (2.0 * below[0] - scale * below[1])
    }

    /// Sum of the squared errors of these bins if all their values become `level`.
    fn error_of_level(&self, bins: ops::Range<usize>, level: f64) -> f64 {
        let part = |i: usize| self.sums[bins.end][i] - self.sums[bins.start][i];
        part(2) - level * (2.0 * part(1) - level * part(0))
    }

    /// The error of bins that a finer step than their width divides, where centres say nothing: their values are taken to be spread
    /// evenly, so that each costs `scale^2 / 12`, less the `width^2 / 12` that an error at the centre leaves out.
    fn fine_error(&self, bins: ops::Range<usize>, scale: f64) -> f64 {
        let count = self.sums[bins.end][0] - self.sums[bins.start][0];
        count * (scale * scale - self.width * self.width) / 12.0
    }

    /// The error of the bins outside of `inside`, which become the lowest or the highest level.
    fn clipping_error(&self, inside: ops::Range<usize>, q_min: i32, q_max: i32, scale: f64) -> f64 {
        let low = self.error_of_level(0..inside.start, f64::from(q_min) * scale);
        low + self.error_of_level(inside.end..self.sums.len() - 1, f64::from(q_max) * scale)
    }
}

/// Candidates for a bound are multiples of this part of the extreme, from a tenth of the extreme on.
const MSE_CANDIDATES: usize = 200;

/// Candidates for a bound whose extreme is `extreme`, the widest first, so that ties keep more.
fn candidates(extreme: f32) -> impl Iterator<Item = f32> {
    (MSE_CANDIDATES / 10..=MSE_CANDIDATES).rev().map(move |i| extreme * (i as f32 / MSE_CANDIDATES as f32))
}

/// The outcome of a search for a bound.
struct Found {
    bound: f32,
    curve: Curve,
}

/// What the errors of the candidates of a search looked like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Curve {
    /// How many there were.
    pub(crate) candidates: usize,
    least: f64,
    most: f64,
    /// Whether the narrowest candidate for an end won.
    pub(crate) narrowest: bool,
}

impl Curve {
    /// That of no search.
    const NONE: Curve =
        Curve { candidates: 0, least: f64::INFINITY, most: f64::NEG_INFINITY, narrowest: false };
    /// Part of the largest error that the errors of candidates have to differ by.
    const FLAT: f64 = 1e-9;

    /// Whether the errors tell no candidate from another.
    pub(crate) fn is_flat(&self) -> bool {
        self.most - self.least <= Self::FLAT * self.most.abs().max(self.least.abs())
    }

    /// That of two searches in a row.
    fn and(self, next: Curve) -> Curve {
        Curve {
            candidates: self.candidates + next.candidates,
            least: self.least.min(next.least),
            most: self.most.max(next.most),
            narrowest: self.narrowest || next.narrowest,
        }
    }
}

/// The candidate with the least error.
fn least(extreme: f32, error: impl Fn(f32) -> Result<f64, Error>) -> Result<Found, Error> {
    let mut curve = Curve::NONE;
    let mut best = extreme;
    for bound in candidates(extreme) {
        let error = error(bound)?;
        curve.candidates += 1;
        curve.most = curve.most.max(error);
        curve.narrowest = error < curve.least; // of the last candidate in the end
        if error < curve.least {
            (curve.least, best) = (error, bound);
        }
    }
    Ok(Found { bound: best, curve })
}

/// The range of the least squared error, clipping errors counted `clip_weight` times, for a quantiser of `spec`.
pub(crate) fn least_error(
    statistics: &Statistics,
    spec: &QuantSpec,
    clip_weight: f64,
) -> Result<(Range, Curve), Error> {
    let moments = Moments::new(statistics);
    let error = |low, high| {
        let params = spec.params_for_range(low, high)?;
        Ok(moments.squared_error(params, spec, clip_weight))
    };
    if spec.scheme() == Scheme::Symmetric {
        let found = least(statistics.absolute_maximum(), |bound| error(-bound, bound))?;
        return Ok((Range::symmetric(found.bound), found.curve));
    }
    let (low, high) = statistics.bounds().ok_or(Error::NoValues)?;
    let extremes = Range { low: low.min(0.0), high: high.max(0.0) };
    let ends = least_of_ends(extremes, extremes, error)?;
    if spec.bits() > COUPLED_BITS {
        return Ok(ends);
    }
    let scaled = |part: f32| Range { low: extremes.low * part, high: extremes.high * part };
    let both = least(1.0, |part| error(scaled(part).low, scaled(part).high))?;
    let from_both = least_of_ends(extremes, scaled(both.bound), error)?;
    let (range, curve) = if from_both.1.least < ends.1.least { from_both } else { ends };
    let narrowest = curve.narrowest;
    Ok((range, Curve { narrowest, ..ends.1.and(both.curve).and(from_both.1) }))
}

/// Up to this width, zero points are so far apart that moving one end at a time gets stuck; the search then also starts from the best range
/// with both ends moved alike.
const COUPLED_BITS: u8 = 4;

/// The two ends in turn, twice: the best upper end for the lower one at hand, then the other way round.
fn least_of_ends(
    extremes: Range,
    start: Range,
    error: impl Fn(f32, f32) -> Result<f64, Error>,
) -> Result<(Range, Curve), Error> {
    let Range { mut low, mut high } = start;
    let mut curve = Curve::NONE;
    for _ in 0..2 {
        curve.narrowest = false; // only the last choices count
        if extremes.high > 0.0 {
            let found = least(extremes.high, |high| error(low, high))?;
            (high, curve) = (found.bound, curve.and(found.curve));
        }
        if extremes.low < 0.0 {
            let found = least(extremes.low, |low| error(low, high))?;
            (low, curve) = (found.bound, curve.and(found.curve));
        }
    }
    Ok((Range { low, high }, curve))
}

/// The scale factor in `(0, 1]` on `max |w|` that gives the least squared error for the weights themselves, times that maximum.
///
/// # Errors
/// [`Error::NonFinite`] if a weight is not finite.
pub(crate) fn weight_bound(weights: &[f32], spec: &QuantSpec, search: bool) -> Result<f32, Error> {
    Error::check_finite(weights)?;
    let extreme = weights.iter().fold(0f32, |m, w| m.max(w.abs()));
    if !search || extreme == 0.0 {
        return Ok(extreme);
    }
    let values: Vec<(f64, f64)> = weights.iter().map(|&w| (f64::from(w), 1.0)).collect();
    let found =
        least(extreme, |bound| Ok(squared_error(&values, spec.params_for_range(-bound, bound)?, spec, 1.0)))?;
    Ok(found.bound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quant_core::Granularity;

    #[test]
    fn running_sums_give_the_errors_of_single_bins() {
        let mut statistics = Statistics::default();
        let values: Vec<f32> =
            (0..50_000).map(|i| ((i * 7919 % 50_000) as f32 / 9000.0 - 2.0).powi(3)).collect();
        statistics.observe(&values);
        let moments = Moments::new(&statistics);
        let mut compared = 0;
        for (bits, scheme) in
            [(8, Scheme::Symmetric), (8, Scheme::Affine), (4, Scheme::Affine), (2, Scheme::Symmetric)]
        {
            let spec = QuantSpec::new(bits, true, scheme, true, Granularity::PerTensor).unwrap();
            for high in [0.5, 3.0, 30.0, 44.0] {
                for low in [-8.0, -1.0, 0.0] {
                    let (low, high) = if scheme == Scheme::Symmetric { (-high, high) } else { (low, high) };
                    let params = spec.params_for_range(low, high).unwrap();
                    if f64::from(params.scale) < moments.width {
                        continue;
                    }
                    for clip_weight in [1.0, 3.0] {
                        let plain = squared_error(&moments.occupied, params, &spec, clip_weight);
                        let found = moments.squared_error(params, &spec, clip_weight);
                        let row = format!("{bits} bits, {low}..{high}, weight {clip_weight}");
                        assert!((found - plain).abs() <= 1e-9 * plain, "{row}: {found} {plain}");
                        compared += 1;
                    }
                }
            }
        }
        assert!(compared > 80, "{compared}");
        assert!(moments.occupied.len() > 1000);
    }

    #[test]
    fn steps_finer_than_bins_are_told_apart_by_the_values_themselves() {
        let values: Vec<f32> = (0..200_000).map(|i| (i as f32 / 1e5 - 1.0).powi(3) * 0.99).collect();
        let mut statistics = Statistics::default();
        statistics.observe(&values);
        let moments = Moments::new(&statistics);
        let common = moments.width * moments.width / 12.0 * values.len() as f64;
        let spec = QuantSpec::int16();
        let mut faults = Vec::new();
        for bound in [0.05, 0.3, 0.7, 0.99] {
            let params = spec.params_for_range(-bound, bound).unwrap();
            assert!(f64::from(params.scale) < moments.width);
            for clip_weight in [1.0, 3.0] {
                let exact: Vec<(f64, f64)> = values.iter().map(|&x| (f64::from(x), 1.0)).collect();
                let plain = squared_error(&exact, params, &spec, clip_weight);
                let found = moments.squared_error(params, &spec, clip_weight) + common;
                if (found / plain - 1.0).abs() > 0.02 {
                    faults.push(format!("{bound}, weight {clip_weight}: {found} for {plain}"));
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}
