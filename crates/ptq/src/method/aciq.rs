//! Analytic clipping (ACIQ: Banner, Nahshan and Soudry, NeurIPS 2019, arXiv 1810.05723): the clip of least expected error for a
//! distribution of known form, whose one parameter is measured.
//!
//! Values around a centre follow a law of deviation 1, and are clipped at `t` with `steps` steps between the centre and there:
//!
//! ```text
//! expected error = t^2 / (12 steps^2) + E[(|x| - t)^2, |x| > t]
//! Laplace: E = 2 exp(-t)                    condition: exp(-t) = t / (12 steps^2)
//! Gauss:   E = 2 int_t^inf (x - t)^2 phi    condition: 2 int_t^inf (x - t) phi = t / (12 steps^2)
//! ```
//!
//! The paper has `steps = 2^(bits - 1)`, and tabulates `t`. Values without negatives, as ReLU leaves them, are one half of a law centred
//! at zero: exact zeros cost nothing and don't count, and the other values have twice the steps (as one bit more has).

use crate::squared_error::Moments;
use crate::{Error, Range, Statistics};
use quant_core::{QuantSpec, Scheme};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// What [`Method::Aciq`](crate::Method::Aciq) takes the values to follow; the parameter comes from the histogram.
///
/// The clip lies at `t(steps)` deviations from the centre, no further than the values; `t` solves the condition of least expected error,
/// `gain(t) = t / (12 steps^2)`, where `steps` lie between centre and clip: `q_max` if symmetric, else `(q_max - q_min) / 2`. For 2, 3 and
/// 4 bits and the paper's `steps = 2^(bits - 1)`, `t` is 2.83, 3.89, 5.03 (Laplace) and 1.71, 2.15, 2.55 (Gauss).
///
/// The centre is zero if symmetric, else the mean. Values of one sign only (ReLU) are half of a distribution centred at zero, whose deviation
/// is that of the values other than zero, and all `q_max - q_min` steps of an affine quantiser are theirs. Of two signs and a symmetric
/// quantiser of unsigned integers the same holds for the positive values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// Normal; the deviation is the standard deviation. `gain(t) = 2 int_t^inf (x - t) phi(x) dx`.
    Gauss,
    /// Double exponential; the deviation is the mean absolute deviation. `gain(t) = exp(-t)`.
    Laplace,
    /// Whichever of the two clips with the less squared error on the histogram, [`Distribution::Laplace`] among equals. That is a choice
    /// by the result, not by the shape of the distribution.
    Auto,
}

/// A form of distributions.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Law {
    Gauss,
    Laplace,
}

impl Law {
    /// The clip of least expected error, in deviations: the root of `gain(t) = t / (12 steps^2)`, whose left side falls.
    fn clip(self, steps: f64) -> f64 {
        let (mut low, mut high) = (0.0, 64.0);
        for _ in 0..48 {
            let middle = (low + high) / 2.0;
            if self.gain(middle) * 12.0 * steps * steps > middle {
                low = middle;
            } else {
                high = middle;
            }
        }
        (low + high) / 2.0
    }

    /// Half of what clipping a little further out would save.
    fn gain(self, t: f64) -> f64 {
        match self {
            Law::Laplace => (-t).exp(),
            Law::Gauss => 2.0 * normal_loss(t),
        }
    }

    /// The parameter for values given as `(distance from the centre, count)`.
    fn deviation(self, values: impl Iterator<Item = (f64, f64)>) -> f64 {
        let (mut count, mut sum) = (0.0, 0.0);
        for (distance, c) in values {
            count += c;
            sum += c * if self == Law::Gauss { distance * distance } else { distance.abs() };
        }
        let mean = if count > 0.0 { sum / count } else { 0.0 };
        if self == Law::Gauss { mean.sqrt() } else { mean }
    }
}

/// `int_t^inf (x - t) phi(x) dx = int_0^inf u phi(t + u) du` by Simpson's rule, to about 1e-5 of its value; `phi` is the standard normal
/// density. The form `phi(t) - t Q(t)` would cancel.
fn normal_loss(t: f64) -> f64 {
    const INTERVALS: usize = 128;
    let step = 8.0 / (1.0 + t / 4.0) / INTERVALS as f64; // there the integrand is below 1e-10 of its largest value
    let term = |i: usize| {
        let u = i as f64 * step;
        let weight = if i == INTERVALS { 1.0 } else { [2.0, 4.0][i % 2] };
        weight * u * (-t * u - u * u / 2.0).exp()
    };
    let integral = (1..=INTERVALS).map(term).sum::<f64>() * step / 3.0;
    integral * (-t * t / 2.0).exp() / (2.0 * PI).sqrt()
}

/// The range for values from `low` to `high`, not all of them zero, and how many ranges were compared.
pub(super) fn aciq(
    statistics: &Statistics,
    bounds: (f32, f32),
    spec: &QuantSpec,
    distribution: Distribution,
) -> Result<(Range, usize), Error> {
    let moments = Moments::new(statistics);
    let range = |law| fitted_range(&moments, statistics, bounds, spec, law);
    let error = |range: Range| {
        Ok::<_, Error>(moments.squared_error(spec.params_for_range(range.low, range.high)?, spec, 1.0))
    };
    Ok(match distribution {
        Distribution::Gauss => (range(Law::Gauss), 1),
        Distribution::Laplace => (range(Law::Laplace), 1),
        Distribution::Auto => {
            let (gauss, laplace) = (range(Law::Gauss), range(Law::Laplace));
            (if error(gauss)? < error(laplace)? { gauss } else { laplace }, 2)
        }
    })
}

fn fitted_range(
    moments: &Moments,
    statistics: &Statistics,
    (low, high): (f32, f32),
    spec: &QuantSpec,
    law: Law,
) -> Range {
    let values = moments.values().iter().copied();
    let symmetric = spec.scheme() == Scheme::Symmetric;
    let steps = if symmetric { spec.q_max() } else { spec.q_max() - spec.q_min() };
    let steps = f64::from(steps);
    let one_sided = low >= 0.0 || high <= 0.0;
    if !one_sided && !symmetric {
        let zeros = std::iter::once((0.0, statistics.zeros() as f64));
        return around_mean(values.chain(zeros), (low, high), law, law.clip(steps / 2.0));
    }
    let clip = law.clip(steps);
    let limit = statistics.absolute_maximum();
    if symmetric {
        let (deviation, limit) = if one_sided {
            (law.deviation(values), limit)
        } else if spec.q_min() == 0 {
            (law.deviation(values.filter(|(x, _)| *x > 0.0)), high)
        } else {
            let zeros = std::iter::once((0.0, statistics.zeros() as f64));
            (law.deviation(values.chain(zeros)), limit)
        };
        return Range::symmetric(((clip * deviation) as f32).min(limit));
    }
    let bound = ((clip * law.deviation(values)) as f32).min(limit);
    Range { low: low.max(-bound).min(0.0), high: high.min(bound).max(0.0) }
}

/// `clip` deviations on both sides of the mean, as far as there are values, and zero.
fn around_mean(
    values: impl Iterator<Item = (f64, f64)> + Clone,
    (low, high): (f32, f32),
    law: Law,
    clip: f64,
) -> Range {
    let (count, sum) = values.clone().fold((0.0, 0.0), |(count, sum), (x, c)| (count + c, sum + c * x));
    let mean = sum / count;
    let reach = clip * law.deviation(values.map(|(x, c)| (x - mean, c)));
    let (lower, upper) = ((mean - reach) as f32, (mean + reach) as f32);
    Range { low: lower.clamp(low, 0.0), high: upper.clamp(0.0, high) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_are_the_tabulated_ones() {
        // The authors' tables, mostly cut off after two digits; those of ReLU are one bit further.
        let laplace = [1.05, 1.86, 2.83, 3.89, 5.03, 6.20, 7.41, 8.64, 9.89, 11.16];
        let gauss = [f64::NAN, 1.24, 1.71, 2.15, 2.55, 2.93, 3.28, 3.61, 3.92, 4.21];
        let mut faults = Vec::new();
        for (law, table) in [(Law::Laplace, laplace), (Law::Gauss, gauss)] {
            for (bits, want) in table.into_iter().enumerate().filter(|(_, want)| want.is_finite()) {
                let found = law.clip(2f64.powi(bits as i32 - 1));
                if (found - want).abs() > 0.01 {
                    faults.push(format!("{law:?}, {bits} bits: {found} for {want}"));
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    #[test]
    fn clips_have_the_least_expected_error() {
        for steps in [1.0, 7.0, 127.0, 32767.0] {
            let noise = |t: f64| t * t / (12.0 * steps * steps);
            let laplace = |t: f64| noise(t) + 2.0 * (-t).exp();
            // int_t^inf (x - t)^2 phi by a plain sum.
            let tail = |t: f64| {
                let terms = (0..60_000).map(|i| (f64::from(i) + 0.5) * 2e-4);
                terms.map(|u| u * u * (-(t + u) * (t + u) / 2.0).exp() * 2e-4).sum::<f64>()
                    / (2.0 * PI).sqrt()
            };
            let gauss = |t: f64| noise(t) + 2.0 * tail(t);
            let rows: [(Law, &dyn Fn(f64) -> f64); 2] = [(Law::Laplace, &laplace), (Law::Gauss, &gauss)];
            for (law, error) in rows {
                let clip = law.clip(steps);
                let least = error(clip);
                for beside in [0.99, 1.01] {
                    assert!(least < error(clip * beside), "{law:?}, {steps} steps: {clip}");
                }
            }
        }
    }

    #[test]
    fn the_loss_of_a_normal_variable_is_known_at_some_places() {
        for (t, want) in
            [(0.0, 0.398_942_280), (1.0, 0.083_315_471), (2.0, 0.008_490_703), (4.0, 7.145_258e-6)]
        {
            assert!((normal_loss(t) / want - 1.0).abs() < 1e-5, "{t}: {}", normal_loss(t));
        }
    }
}
