//! Intervals from samples.

use serde::Serialize;

/// A range of values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// The central part of a sample of finite values that holds the share `confidence` of it, in (0, 1);
    /// `None` with fewer than two values.
    ///
    /// The ends are the quantiles at `(1 - confidence) / 2` and `(1 + confidence) / 2`, between two values
    /// by linear interpolation.
    #[must_use]
    pub fn of_sample(values: &[f64], confidence: f64) -> Option<Self> {
        if values.len() < 2 {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - confidence) / 2.0;
        Some(Self { low: quantile(&sorted, tail), high: quantile(&sorted, 1.0 - tail) })
    }
}

/// Quantile of ascending values, `share` in [0, 1]: position `share * (n - 1)`, linear between values.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let below = at as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (at - below as f64)
}

/// Standard deviation of a sample, with n - 1 in the denominator; `None` with fewer than two values.
pub(crate) fn standard_deviation(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numpys() {
        let values: Vec<f64> = [3.0, 1.0, 2.0, 5.0, 4.0].into();
        // numpy.quantile([1, 2, 3, 4, 5], [0.05, 0.95])
        let interval = Interval::of_sample(&values, 0.9).unwrap();
        assert!((interval.low - 1.2).abs() < 1e-12 && (interval.high - 4.8).abs() < 1e-12, "{interval:?}");
        assert_eq!(Interval::of_sample(&[7.0; 3], 0.95), Some(Interval { low: 7.0, high: 7.0 }));
        assert_eq!(Interval::of_sample(&[7.0], 0.95), None);
        assert_eq!(standard_deviation(&[1.0, 3.0]), Some(2.0_f64.sqrt()));
        assert_eq!(standard_deviation(&[1.0]), None);
    }
}
