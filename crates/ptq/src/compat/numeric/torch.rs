//! torch 2.8.0 on an x86-64 CPU, one thread.

use super::{by_place, check_bins, extremes, to_count};
use crate::compat::Error;

/// `torch.histc(values, bins, min=0, max=high)`: counts of the values in `[0, high]`, NaN and others left out.
///
/// # Errors
/// [`Error::NonFiniteRange`] as torch; [`Error::Unresolved`] where the product overflows, for which torch's result is undefined.
pub(crate) fn histc(values: &[f32], bins: usize, high: f32) -> Result<Vec<u64>, Error> {
    let (low, high) = histc_range(values, high)?;
    let (scale, span) = (check_bins(bins)? as f32, high - low);
    if !(span * scale).is_finite() {
        return Err(Error::Unresolved { low, high, bins });
    }
    Ok(counts_between(values, bins, low, high))
}

/// Counts of the values in `bins` equal bins over `[low, high]`, `low < high`; what lies outside and NaN is skipped.
///
/// The bin is `trunc(f32(f32(f32(x - low) * bins) / f32(high - low)))`, the last one closed; no value is compared with an edge. Counts
/// are exact, where the original counts in f32 (quirk `counts-stop-at-2-24`).
pub(crate) fn counts_between(values: &[f32], bins: usize, low: f32, high: f32) -> Vec<u64> {
    let (scale, span) = (bins as f32, high - low);
    // Two places more: the closed end, which belongs to the last bin, and what is left out.
    let mut counts = vec![0u64; bins + 2];
    let place = |x: f32| {
        let bin = (x - low) * scale / span;
        if (x >= low) & (x <= high) { bin.min(scale) } else { scale + 1.0 }
    };
    by_place(values, place, |bin| counts[bin] += 1);
    counts[bins - 1] += counts[bins];
    counts.truncate(bins);
    counts
}

/// quirk `zeros-in-the-middle`: an empty range is replaced by that of the data, and if that is empty too, widened by 1 on both sides.
/// So zeros alone are counted in the middle bin, whatever the edges say.
fn histc_range(values: &[f32], high: f32) -> Result<(f32, f32), Error> {
    let (mut low, mut high) = (0.0, high);
    if low == high {
        (low, high) = extremes(values).unwrap_or((0.0, 0.0));
    }
    if low == high {
        (low, high) = (low - 1.0, high + 1.0);
    }
    if !high.is_finite() || !low.is_finite() || low > high {
        return Err(Error::NonFiniteRange { low: low.into(), high: high.into() });
    }
    Ok((low, high))
}

/// `torch.linspace(0, end, bins + 1)` in f32: from the start up to the middle, from the end after it, each with one rounding.
pub(crate) fn linspace(end: f32, bins: usize) -> Vec<f32> {
    let step = end / bins as f32;
    let half = bins.div_ceil(2);
    let edge = |i: usize| {
        if i < half { step.mul_add(i as f32, 0.0) } else { (-step).mul_add((bins - i) as f32, end) }
    };
    (0..=bins).map(edge).collect()
}

/// `torch.arange(0, end, step)` in f32, as x86-64 builds make it up to 32768 values.
///
/// quirk `arange-blocks`: pairs of vectors of eight are made from a base that is rounded to f32, `f32(f32(step * 8 * floor(i / 8)) + step *
/// (i mod 8))`, the rest, fewer than 16, as `f32(step * i)`; products and sums in f64.
pub(crate) fn arange(end: f32, step: f32) -> Result<Vec<f32>, Error> {
    let step = f64::from(step);
    let count = to_count((f64::from(end) / step).ceil())?;
    let blocks = count - count % 16;
    let value = |i: usize| {
        if i >= blocks {
            return (step * i as f64) as f32;
        }
        let base = (step * (i - i % 8) as f64) as f32;
        (f64::from(base) + step * (i % 8) as f64) as f32
    };
    Ok((0..count).map(value).collect())
}

/// Lanes of the vector unit that `sum` works with: AVX2, also where AVX-512 is there.
const LANES: usize = 8;
/// Vectors summed side by side.
const SIDE_BY_SIDE: usize = 4;
const LEVELS: usize = 4;

/// `torch.mean(values)` in f32: the cascade sum divided by the number of values.
pub(crate) fn mean(values: &[f32]) -> f32 {
    sum(values) / values.len() as f32
}

/// `torch.sum` in f32 over a dimension that is not the last, for fewer than four columns.
pub(crate) fn strided_sum(values: &[f32]) -> f32 {
    let [sum] = row_sum::<1>(values);
    sum
}

/// `torch.sum(values)` in f32 (`aten/src/ATen/native/cpu/SumKernel.cpp`), contiguous.
///
/// Four vectors of eight lanes are summed side by side, with partial sums that are passed up one level every 16 (or more) steps; then
/// the vectors are added, then, to the values that fill no vector, the lanes one after the other.
pub(crate) fn sum(values: &[f32]) -> f32 {
    if values.len() < LANES {
        return strided_sum(values);
    }
    let (vectors, rest) = values.split_at(values.len() - values.len() % LANES);
    let mut total = rest.iter().fold(0.0f32, |total, x| total + x);
    for lane in row_sum::<LANES>(vectors) {
        total += lane;
    }
    total
}

fn add<const N: usize>(to: &mut [f32; N], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

/// Sums of the lanes of vectors of `N`.
fn row_sum<const N: usize>(values: &[f32]) -> [f32; N] {
    let row = N * SIDE_BY_SIDE;
    let (rows, rest) = values.split_at(values.len() - values.len() % row);
    let mut sums: [[f32; N]; SIDE_BY_SIDE] = cascade(rows);
    rest.chunks_exact(N).for_each(|vector| add(&mut sums[0], vector));
    let mut total = sums[0];
    sums[1..].iter().for_each(|sum| add(&mut total, sum));
    total
}

/// `multi_row_sum`: sums over rows of four vectors, by levels.
fn cascade<const N: usize>(values: &[f32]) -> [[f32; N]; SIDE_BY_SIDE] {
    let rows: Vec<&[f32]> = values.chunks_exact(N * SIDE_BY_SIDE).collect();
    let power = (ceil_log2(rows.len()) / LEVELS).max(4);
    let step = 1usize << power;
    let mut levels = [[[0.0f32; N]; SIDE_BY_SIDE]; LEVELS];
    for (index, row) in rows.iter().enumerate() {
        for (sum, vector) in levels[0].iter_mut().zip(row.chunks_exact(N)) {
            add(sum, vector);
        }
        let done = index + 1;
        if done % step != 0 {
            continue;
        }
        for level in 1..LEVELS {
            let below = std::mem::replace(&mut levels[level - 1], [[0.0; N]; SIDE_BY_SIDE]);
            for (sum, part) in levels[level].iter_mut().zip(&below) {
                add(sum, part);
            }
            if done & ((step - 1) << (level * power)) != 0 {
                break;
            }
        }
    }
    let mut total = levels[0];
    for level in &levels[1..] {
        for (sum, part) in total.iter_mut().zip(level) {
            add(sum, part);
        }
    }
    total
}

fn ceil_log2(x: usize) -> usize {
    if x <= 2 { 1 } else { (usize::BITS - (x - 1).leading_zeros()) as usize }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_alone_are_in_the_middle() {
        let counts = histc(&[0.0; 3], 8, 0.0).unwrap();
        assert_eq!(counts, [0, 0, 0, 0, 3, 0, 0, 0]);
        assert!(histc(&[1.0], 8, f32::NAN).is_err());
        assert!(histc(&[1.0], 8, f32::INFINITY).is_err());
        assert!(histc(&[1.0], 8, f32::MAX).is_err());
        assert!(histc(&[1.0], 0, 1.0).is_err());
    }

    #[test]
    fn values_outside_and_nan_are_left_out() {
        let counts = histc(&[-0.1, 0.0, 0.5, 1.0, 1.1, f32::NAN], 4, 1.0).unwrap();
        assert_eq!(counts, [1, 0, 1, 1]);
    }

    proptest::proptest! {
        #[test]
        fn counting_in_blocks_is_counting(
            values in proptest::collection::vec(-1.0f32..5.0, 0..600), bins in 1usize..70, high in 0.1f32..4.0
        ) {
            let mut counts = vec![0; bins];
            for &x in values.iter().filter(|&&x| x >= 0.0 && x <= high) {
                let bin = (x * bins as f32 / high).trunc() as usize;
                counts[if bin == bins { bins - 1 } else { bin }] += 1;
            }
            proptest::prop_assert_eq!(histc(&values, bins, high), Ok(counts));
        }
    }

    #[test]
    fn linspace_ends_where_it_should() {
        let edges = linspace(0.7, 2048);
        assert_eq!((edges.len(), edges[0], edges[2048]), (2049, 0.0, 0.7));
        assert!(edges.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn sums_of_whole_numbers_are_exact() {
        for n in [0, 1, 7, 8, 31, 32, 33, 511, 512, 2048, 2049, 70_000] {
            let values: Vec<f32> = (0..n).map(|i| (i % 13) as f32).collect();
            let exact: u32 = (0..n).map(|i| i % 13).sum();
            assert_eq!(sum(&values), exact as f32, "{n}");
        }
    }

    /// Ones beside 2^24 are lost unless they are added to each other first, which tells the order.
    #[test]
    fn sums_are_in_the_order_of_torch() {
        let big = (1 << 24) as f32;
        // Positions of ones; position 0 holds 2^24. Eight lanes, four vectors side by side, 16 rows of 32 values at a time.
        let table: [(&str, usize, &[usize], f32); 5] = [
            ("the same lane of two vectors side by side", 64, &[1, 9], big + 2.0),
            ("neighbouring lanes", 64, &[1, 2], big),
            ("the same lane and vector", 64, &[32, 8], big),
            ("two rows beyond the first 16", 18 * 32, &[16 * 32, 17 * 32], big + 2.0),
            ("two rows within the first 16", 18 * 32, &[32, 15 * 32], big),
        ];
        for (name, len, ones, expected) in table {
            let mut values = vec![0.0; len];
            values[0] = big;
            ones.iter().for_each(|&at| values[at] = 1.0);
            assert_eq!(sum(&values), expected, "{name}");
        }
    }

    /// Blocks of eight start at a rounded base; the rest is rounded once.
    #[test]
    fn ranges_are_made_in_blocks() {
        let step = 0.1f32;
        let values = arange(20.0 * step, step).unwrap();
        let wide = f64::from(step);
        assert_eq!(values.len(), 20);
        assert_eq!(values[15], (f64::from((wide * 8.0) as f32) + wide * 7.0) as f32);
        assert_eq!(values[19], (wide * 19.0) as f32);
        let plain = |i: usize| (wide * i as f64) as f32;
        let many = arange(1000.0, 0.1).unwrap();
        assert!((0..many.len()).any(|i| many[i] != plain(i)));
        assert!((0..many.len()).all(|i| many[i].to_bits().abs_diff(plain(i).to_bits()) <= 1));
    }

    #[test]
    fn impossible_ranges_are_errors() {
        assert!(arange(1.0, 0.0).is_err());
        assert!(arange(f32::NAN, 1.0).is_ok_and(|values| values.is_empty()));
        assert!(arange(1.0, 1e-30).is_err());
    }
}
