//! Arithmetic that PPQ's and AIMET's calibrators inherit from PyTorch (version 2.8, CPU), in single precision.

use crate::Error;

/// `torch.histc`: counts of the values in `bins` equal bins over `[low, high]`; what lies outside and NaN is skipped.
///
/// The bin of `x` is `trunc(((x - low) * bins) / (high - low))`, each operation rounded to f32, not corrected against the edges.
/// With `low == high` the range is that of the values, and if that is empty too, one further on both sides.
///
/// Counts are exact, where the original counts in f32 and so stops at `2^24` in a bin (quirk `histc-saturation`).
///
/// # Errors
/// [`Error::HistogramRange`] if the range is not finite or turned round.
pub(super) fn histc(values: &[f32], bins: usize, low: f64, high: f64) -> Result<Vec<u64>, Error> {
    let (low, high) = histogram_range(values, low, high)?;
    let (width, count) = (high - low, bins as f32);
    let mut counts = vec![0; bins];
    for &x in values.iter().filter(|x| (low..=high).contains(*x)) {
        let bin = ((x - low) * count / width) as usize;
        counts[bin.min(bins - 1)] += 1;
    }
    Ok(counts)
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

/// Lanes of the vector that the original adds at once (AVX2).
const LANES: usize = 8;
/// Vectors, or single numbers, that it adds side by side.
const COLUMNS: usize = 4;
/// Levels of partial sums.
const LEVELS: usize = 4;

/// `torch.sum` of a contiguous row in f32, in its order: the sum of whole vectors, the values that are left, then the lanes.
///
/// Candidates of a flat error curve differ by less than the rounding of such a sum, so its order decides between them.
pub(super) fn sum(values: &[f32]) -> f32 {
    if values.len() < LANES {
        return strided_sum(values);
    }
    let (vectors, rest) = values.split_at(values.len() / LANES * LANES);
    let rest = rest.iter().fold(0.0, |sum, x| sum + x);
    lane_sums::<LANES>(vectors).iter().fold(rest, |sum, x| sum + x)
}

/// `torch.sum` over a dimension that is not the last, for fewer than four columns.
pub(super) fn strided_sum(values: &[f32]) -> f32 {
    let [sum] = lane_sums::<1>(values);
    sum
}

type Columns<const L: usize> = [[f32; L]; COLUMNS];

/// The sum of all `L`-vectors: four interleaved columns by [`cascade`], vectors that do not fill a row to the first, then column by
/// column.
fn lane_sums<const L: usize>(values: &[f32]) -> [f32; L] {
    let (rows, rest) = values.split_at(values.len() / (COLUMNS * L) * COLUMNS * L);
    let [mut total, others @ ..] = cascade::<L>(rows);
    for vector in rest.chunks_exact(L) {
        add(&mut total, vector);
    }
    for other in &others {
        add(&mut total, other);
    }
    total
}

/// Sums of four interleaved columns: runs of `2^power` rows, whose sums go up a level when a run of runs is complete.
fn cascade<const L: usize>(values: &[f32]) -> Columns<L> {
    let rows = values.len() / (COLUMNS * L);
    let power = (rows.max(1).next_power_of_two().ilog2() as usize / LEVELS).max(4);
    let mut levels = [[[0f32; L]; COLUMNS]; LEVELS];
    for (i, row) in values.chunks_exact(COLUMNS * L).enumerate() {
        add(levels[0].as_flattened_mut(), row);
        let done = i + 1;
        if !done.is_multiple_of(1 << power) {
            continue;
        }
        for level in 1..LEVELS {
            let lower = std::mem::replace(&mut levels[level - 1], [[0.0; L]; COLUMNS]);
            add(levels[level].as_flattened_mut(), lower.as_flattened());
            if done & (((1 << power) - 1) << (level * power)) != 0 {
                break;
            }
        }
    }
    let [mut total, others @ ..] = levels;
    for other in &others {
        add(total.as_flattened_mut(), other.as_flattened());
    }
    total
}

fn add(to: &mut [f32], from: &[f32]) {
    for (t, f) in to.iter_mut().zip(from) {
        *t += f;
    }
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
