//! What PPQ's and AIMET's calibrators take from PyTorch (version 2.8, CPU) besides [`super::numeric::torch`].

use super::numeric::torch::counts_between;
pub(super) use super::numeric::torch::{strided_sum, sum};
use crate::Error;

/// `torch.histc`: counts of the values in `bins` equal bins over `[low, high]`; what lies outside and NaN is skipped.
///
/// With `low == high` the range is that of the values, and if that is empty too, one further on both sides.
///
/// # Errors
/// [`Error::HistogramRange`] if the range is not finite or turned round.
pub(super) fn histc(values: &[f32], bins: usize, low: f64, high: f64) -> Result<Vec<u64>, Error> {
    let (low, high) = histogram_range(values, low, high)?;
    Ok(counts_between(values, bins, low, high))
}

fn histogram_range(values: &[f32], low: f64, high: f64) -> Result<(f32, f32), Error> {
    let (mut from, mut to) = (low, high);
    if from == to && !values.is_empty() {
        let (least, largest) = extremes(values);
        (from, to) = (f64::from(least), f64::from(largest));
    }
    if from == to {
        (from, to) = (from - 1.0, to + 1.0);
    }
    let (from, to) = (from as f32, to as f32);
    if (to - from).is_finite() && from < to {
        Ok((from, to))
    } else {
        Err(Error::HistogramRange { low: from, high: to })
    }
}

/// Smallest and largest value; NaN if one of them is NaN, `(inf, -inf)` if there are none.
pub(super) fn extremes(values: &[f32]) -> (f32, f32) {
    values
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &x| (least(low, x), largest(high, x)))
}

/// The smaller of two, NaN if one is NaN: `torch.minimum`.
pub(super) fn least(a: f32, b: f32) -> f32 {
    if a.is_nan() || a < b { a } else { b }
}

/// The larger of two, NaN if one is NaN: `torch.maximum`.
pub(super) fn largest(a: f32, b: f32) -> f32 {
    if a.is_nan() || a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_on_both_ends_are_counted_and_those_outside_are_not() {
        let counts = histc(&[-0.1, 0.0, 0.24, 0.25, 1.0, 1.1, f32::NAN, f32::INFINITY], 4, 0.0, 1.0).unwrap();
        assert_eq!(counts, [2, 1, 0, 1]);
    }

    #[test]
    fn an_empty_range_is_that_of_the_values_or_two_wide() {
        assert_eq!(histc(&[1.0, 2.0, 3.0], 2, 0.0, 0.0).unwrap(), [1, 2]);
        assert_eq!(histc(&[0.0; 3], 4, 0.0, 0.0).unwrap(), [0, 0, 3, 0]);
        assert!(matches!(histc(&[1.0], 4, 0.0, f64::INFINITY), Err(Error::HistogramRange { .. })));
        assert!(matches!(histc(&[f32::NAN], 4, 0.0, 0.0), Err(Error::HistogramRange { .. })));
    }

    #[test]
    fn the_sum_is_that_of_all_values_whatever_the_length() {
        // Whole numbers below 2^24 have exact sums in any order.
        for length in [0, 1, 7, 8, 31, 32, 33, 100, 511, 512, 513, 2048, 5000] {
            let values: Vec<f32> = (0..length).map(|i| (i % 57) as f32).collect();
            assert_eq!(sum(&values), values.iter().sum::<f32>(), "{length}");
            assert_eq!(strided_sum(&values), values.iter().sum::<f32>(), "{length}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_sum_is_close_to_the_exact_one(values in proptest::collection::vec(-1e3f32..1e3, 0..3000)) {
            let exact: f64 = values.iter().map(|&x| f64::from(x)).sum();
            let scale: f64 = values.iter().map(|&x| f64::from(x.abs())).sum();
            proptest::prop_assert!((f64::from(sum(&values)) - exact).abs() <= 1e-5 * scale);
        }
    }
}
