//! The clipping bound of OCTAV (Sakr et al., ICML 2022, arXiv 2206.06501): Newton-Raphson on the bound, over the histogram.
//!
//! With `ends` ends of the range moving with the bound `t` and the rest of the range fixed, a step is `(ends t + fixed) / steps`. The
//! error to be least is, values taken to be at the centres of their bins, those of the outermost at the extreme,
//!
//! ```text
//! J(t) = noise (ends t + fixed)^2 count(0 < |x| <= t) + sum over |x| > t of (|x| - t)^2        noise = 1 / (12 steps^2)
//! ```
//!
//! Counts held, `J' / 2 = noise ends (ends t + fixed) inside + t outside - sum over |x| > t of |x|`, which rises with `t`: each value
//! passed adds to the first term and takes from the others. So there is one root, Newton's step
//!
//! ```text
//! t' = (sum over |x| > t of |x| - noise ends fixed inside) / (noise ends^2 inside + outside)
//! ```
//!
//! is the paper's for `ends = 1, fixed = 0`, and a bracket around the root makes it end in all cases.

use super::magnitudes;
use crate::{Range, Statistics};
use quant_core::{QuantSpec, Scheme};

/// Steps by Newton's rule, which takes fewer than ten; what is left is halved.
const NEWTON_STEPS: usize = 20;
/// Halvings after which a bracket is as narrow as f32 can tell.
const HALVINGS: usize = 40;

/// The range for values from `low` to `high`, not all of them zero.
pub(super) fn octav(statistics: &Statistics, (low, high): (f32, f32), spec: &QuantSpec) -> Range {
    let limit = statistics.absolute_maximum();
    let (histogram, zeros) = (statistics.histogram(), statistics.zeros());
    let tail = |bins: &[u64], limit: f32| Tail::new(bins, zeros, histogram.width(), f64::from(limit));
    if spec.scheme() == Scheme::Symmetric {
        // Unsigned integers have nothing to say of negative values.
        let (tail, to) = if spec.q_min() == 0 && high > 0.0 {
            (tail(histogram.positive(), high), high)
        } else {
            (tail(&magnitudes(histogram), limit), limit)
        };
        let regime = Regime { from: 0.0, to: f64::from(to), ends: 1.0, fixed: 0.0 };
        return Range::symmetric(tail.newton(regime, noise(spec.q_max())) as f32);
    }
    let tail = tail(&magnitudes(histogram), limit);
    let noise = noise(spec.q_max() - spec.q_min());
    // Up to the nearer extreme both ends move; beyond it, one.
    let nearer = f64::from(high.max(0.0).min((-low).max(0.0)));
    let both = Regime { from: 0.0, to: nearer, ends: 2.0, fixed: 0.0 };
    let one = Regime { from: nearer, to: f64::from(limit), ends: 1.0, fixed: nearer };
    let regimes = [one, both].into_iter().filter(|regime| regime.from < regime.to);
    let bounds = regimes.map(|regime| {
        let bound = tail.newton(regime, noise);
        (tail.error(bound, regime, noise), bound as f32)
    });
    let bound = bounds.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(limit, |(_, bound)| bound);
    Range { low: low.max(-bound).min(0.0), high: high.min(bound).max(0.0) }
}

/// Mean squared error of rounding to one of `steps + 1` levels over a range of 1.
fn noise(steps: i32) -> f64 {
    1.0 / (12.0 * f64::from(steps).powi(2))
}

/// Bounds in `[from, to]` for which the range is `ends t + fixed` wide.
#[derive(Debug, Clone, Copy)]
struct Regime {
    from: f64,
    to: f64,
    ends: f64,
    fixed: f64,
}

/// Magnitudes other than zero by bin, summed from the largest down.
struct Tail {
    width: f64,
    /// The largest magnitude, where all values of the last bin are taken to be.
    limit: f64,
    /// `[sum c, sum c x, sum c x^2]` of the bins from this one on, up to the last that is occupied, and of none.
    sums: Vec<[f64; 3]>,
}

impl Tail {
    fn new(bins: &[u64], zeros: u64, width: f64, limit: f64) -> Self {
        let occupied = bins.iter().rposition(|&count| count > 0).map_or(1, |last| last + 1);
        let mut sums = vec![[0.0; 3]; occupied + 1];
        for (k, &count) in bins.iter().enumerate().take(occupied).rev() {
            let count = if k == 0 { count.saturating_sub(zeros) } else { count };
            let x = if k + 1 == occupied { limit } else { (k as f64 + 0.5) * width };
            let (c, next) = (count as f64, sums[k + 1]);
            sums[k] = [next[0] + c, next[1] + c * x, next[2] + c * x * x];
        }
        Self { width, limit, sums }
    }

    /// How many values lie within `bound`, and the sums over those beyond.
    fn split(&self, bound: f64) -> (f64, [f64; 3]) {
        // The first bin whose values lie beyond: whose centre does, or the last one.
        let centre = (bound / self.width + 0.5).floor() as usize;
        let last = self.sums.len() - 2;
        let first = if bound < self.limit { centre.min(last) } else { last + 1 };
        let beyond = self.sums[first];
        (self.sums[0][0] - beyond[0], beyond)
    }

    /// `J`.
    fn error(&self, bound: f64, regime: Regime, noise: f64) -> f64 {
        let (inside, [count, sum, squares]) = self.split(bound);
        let span = regime.ends * bound + regime.fixed;
        noise * span * span * inside + squares - bound * (2.0 * sum - bound * count)
    }

    /// The root of `J'` in a regime, or the end of it that is nearer to the root.
    fn newton(&self, regime: Regime, noise: f64) -> f64 {
        let Regime { from: mut low, to: mut high, ends, fixed } = regime;
        // Newton's step from 0, where nothing is inside: the mean magnitude.
        let [count, sum, _] = self.sums[0];
        let mut bound = (sum / count.max(1.0)).clamp(low, high);
        for step in 0..NEWTON_STEPS + HALVINGS {
            let (inside, [outside, sum, _]) = self.split(bound);
            let slope = noise * ends * (ends * bound + fixed) * inside + bound * outside - sum;
            if slope > 0.0 {
                high = bound;
            } else {
                low = bound;
            }
            let next = (sum - noise * ends * fixed * inside) / (noise * ends * ends * inside + outside);
            if next == bound {
                break;
            }
            let newton = step < NEWTON_STEPS && low < next && next < high;
            bound = if newton { next } else { (low + high) / 2.0 };
        }
        bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quant_core::Granularity;

    fn statistics(values: &[f32]) -> Statistics {
        let mut statistics = Statistics::default();
        statistics.observe(values);
        statistics
    }

    /// `J` over the values themselves, for the range that a bound makes.
    fn plain_error(values: &[f32], bound: f64, spec: &QuantSpec) -> f64 {
        let reach = |sign: f64| values.iter().map(|&x| sign * f64::from(x)).fold(0.0, f64::max).min(bound);
        let step = match spec.scheme() {
            Scheme::Symmetric => bound / f64::from(spec.q_max()),
            Scheme::Affine => (reach(1.0) + reach(-1.0)) / f64::from(spec.q_max() - spec.q_min()),
        };
        let error = |x: f64| if x > bound { (x - bound).powi(2) } else { step * step / 12.0 };
        values.iter().filter(|x| **x != 0.0).map(|&x| error(f64::from(x).abs())).sum()
    }

    #[test]
    fn no_bound_of_a_fine_grid_has_less_error() {
        let symmetric: Vec<f32> = (-5000..5000).map(|i| (i as f32 / 2000.0).powi(5)).collect();
        let skewed: Vec<f32> = symmetric.iter().map(|x| if *x < 0.0 { x / 50.0 } else { *x }).collect();
        let rectified: Vec<f32> = symmetric.iter().map(|x| x.max(0.0)).collect();
        let mut faults = Vec::new();
        for (name, values) in [("symmetric", symmetric), ("skewed", skewed), ("rectified", rectified)] {
            let s = statistics(&values);
            let (bounds, limit) = (s.bounds().unwrap(), s.absolute_maximum());
            for bits in 2..=16 {
                for scheme in [Scheme::Symmetric, Scheme::Affine] {
                    let spec = QuantSpec::new(bits, true, scheme, true, Granularity::PerTensor).unwrap();
                    let Range { low, high } = octav(&s, bounds, &spec);
                    let found = plain_error(&values, f64::from(high.max(-low)), &spec);
                    let grid = (1..=1000).map(|i| f64::from(limit) * f64::from(i) / 1000.0);
                    let best = grid.map(|t| plain_error(&values, t, &spec)).fold(f64::INFINITY, f64::min);
                    if found > best * 1.002 {
                        faults.push(format!(
                            "{name}, {bits} bits, {scheme:?}: {low}..{high}, {found} for {best}"
                        ));
                    }
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    #[test]
    fn the_papers_recursion_has_the_same_fixed_point() {
        let values: Vec<f32> = (1..20_000).map(|i| -(i as f32 / 20_000.0).ln()).collect();
        let spec = QuantSpec::new(4, true, Scheme::Symmetric, true, Granularity::PerTensor).unwrap();
        let noise = 1.0 / (12.0 * 49.0);
        let mut bound = 1.0;
        for _ in 0..100 {
            let beyond = || values.iter().map(|&x| f64::from(x)).filter(|x| *x > bound);
            let outside = beyond().count() as f64;
            bound = beyond().sum::<f64>() / (noise * (values.len() as f64 - outside) + outside);
        }
        let s = statistics(&values);
        let found = octav(&s, s.bounds().unwrap(), &spec).high;
        assert!((f64::from(found) / bound - 1.0).abs() < 1e-3, "{found} for {bound}");
    }
}
