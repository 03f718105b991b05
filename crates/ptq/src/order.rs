//! Ranges that keep the largest of each row of scores the largest.

use crate::{Error, Range};
use quant_core::{QuantParams, QuantSpec, Rounding};

/// A range, and how many rows keep their first place under it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct OrderReport {
    /// The range.
    pub range: Range,
    /// Rows whose largest value is still larger than every other one once quantised.
    pub kept: usize,
    /// All rows.
    pub rows: usize,
}

/// Candidates per octave of a bound.
const PER_OCTAVE: u32 = 16;
/// Octaves below the extreme.
const OCTAVES: u32 = 16;

/// The range under which the largest value of most rows stays apart from the second, for outputs of which only the best class matters.
///
/// `rows` holds `classes` scores per row. A row with the two largest scores `a >= b` is kept if `q(a) > q(b)`, with the quantiser that
/// `spec` has for the range, rounding halves to even: all its saturation, its zero point and its signs count. Rows with `a = b` can't
/// be kept. Candidates for an end are `extreme * 2^(-j / 16)`, `j` from 0 to 256; the most rows win, the widest among equals. Symmetric:
/// one bound, from the largest magnitude among the `a` and `b`. Affine: the upper end from the largest `a`, the lower from the smallest
/// `b`, where they are on their side of zero, since all that lies below can saturate; in turn, twice.
///
/// The idea is that of PPQ's *isotone* observer, which counts intervals of scales that may keep a row where this counts rows
/// (the module `compat` repeats it to the bit).
///
/// # Errors
/// [`Error::Length`] if `classes` is below 2 or does not divide the number of scores, [`Error::NoValues`] if there are none,
/// [`Error::NonFinite`] if some are NaN or infinite.
pub fn order_preserving(rows: &[f32], classes: usize, spec: &QuantSpec) -> Result<OrderReport, Error> {
    let pairs = largest_pairs(rows, classes)?;
    let (low, high) = pairs.iter().fold((0f32, 0f32), |(low, high), &(a, b)| (low.min(b), high.max(a)));
    let kept = |low: f32, high: f32| -> Result<usize, Error> {
        let params = spec.params_for_range(low, high)?;
        Ok(pairs.iter().filter(|pair| stays_apart(**pair, params, spec)).count())
    };
    let range = match spec.scheme() {
        quant_core::Scheme::Symmetric => Range::symmetric(most(high.max(-low), |bound| kept(-bound, bound))?),
        quant_core::Scheme::Affine => {
            let mut range = Range { low, high };
            for _ in 0..2 {
                range.high = most(high, |end| kept(range.low, end))?;
                range.low = most(low, |end| kept(end, range.high))?;
            }
            range
        }
    };
    Ok(OrderReport { range, kept: kept(range.low, range.high)?, rows: pairs.len() })
}

/// The two largest scores of every row.
fn largest_pairs(rows: &[f32], classes: usize) -> Result<Vec<(f32, f32)>, Error> {
    if rows.is_empty() {
        return Err(Error::NoValues);
    }
    if classes < 2 || !rows.len().is_multiple_of(classes) {
        let what = "scores in whole rows of two or more";
        return Err(Error::Length { what, expected: classes, found: rows.len() });
    }
    Error::check_finite(rows)?;
    Ok(rows.chunks_exact(classes).map(largest_pair).collect())
}

fn largest_pair(row: &[f32]) -> (f32, f32) {
    row.iter().fold((f32::NEG_INFINITY, f32::NEG_INFINITY), |(first, second), &x| {
        if x > first { (x, first) } else { (first, second.max(x)) }
    })
}

fn stays_apart((first, second): (f32, f32), params: QuantParams, spec: &QuantSpec) -> bool {
    let quantize = |x: f32| params.quantize(f64::from(x), spec.q_min(), spec.q_max(), Rounding::HalfEven);
    quantize(first) > quantize(second)
}

/// The candidate for an end with the most rows.
fn most(extreme: f32, kept: impl Fn(f32) -> Result<usize, Error>) -> Result<f32, Error> {
    let (mut best, mut end) = (kept(extreme)?, extreme);
    if extreme == 0.0 {
        return Ok(end);
    }
    for step in 1..=OCTAVES * PER_OCTAVE {
        let candidate = extreme * (-f64::from(step) / f64::from(PER_OCTAVE)).exp2() as f32;
        let count = kept(candidate)?;
        if count > best {
            (best, end) = (count, candidate);
        }
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quant_core::{Granularity, Scheme, fake_quantize};

    fn spec(bits: u8, signed: bool, scheme: Scheme) -> QuantSpec {
        QuantSpec::new(bits, signed, scheme, false, Granularity::PerTensor).unwrap()
    }

    /// Rows of scores of very different size, some near to ties.
    fn scores(rows: usize, classes: usize, shift: f32) -> Vec<f32> {
        let mut state = 5u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32
        };
        (0..rows)
            .flat_map(|_| {
                let size = uniform().powi(4) * 20.0;
                (0..classes).map(|_| uniform() * size + shift).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Rows kept, by quantising all their scores.
    fn plainly_kept(rows: &[f32], classes: usize, range: Range, spec: &QuantSpec) -> usize {
        let params = spec.params_for_range(range.low, range.high).unwrap();
        let keeps = |row: &&[f32]| {
            let mut quantized = row.to_vec();
            fake_quantize(&mut quantized, &[params], spec, Rounding::HalfEven).unwrap();
            let largest = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
            (0..row.len()).all(|k| k == largest || quantized[k] < quantized[largest])
        };
        rows.chunks_exact(classes).filter(keeps).count()
    }

    #[test]
    fn no_range_of_a_grid_keeps_many_more_rows() {
        let mut faults = Vec::new();
        for (shift, bits, signed, scheme) in [
            (0.0, 4, true, Scheme::Symmetric),
            (0.0, 4, false, Scheme::Symmetric),
            (0.0, 4, true, Scheme::Affine),
            (-10.0, 4, true, Scheme::Affine),
            (-10.0, 8, true, Scheme::Symmetric),
            (-30.0, 8, true, Scheme::Affine),
            (0.0, 2, true, Scheme::Affine),
        ] {
            let (rows, spec) = (scores(400, 5, shift), spec(bits, signed, scheme));
            let found = order_preserving(&rows, 5, &spec).unwrap();
            let kept = plainly_kept(&rows, 5, found.range, &spec);
            assert_eq!((found.kept, found.rows), (kept, 400), "{found:?}");
            let bounds = || (1..=40).map(|i| 30.0 * (f64::from(i) / 40.0).powi(3) as f32);
            let symmetric = scheme == Scheme::Symmetric;
            let lows =
                |high: f32| if symmetric { vec![-high] } else { bounds().map(|x| -x).chain([0.0]).collect() };
            let ranges = bounds().flat_map(|high| lows(high).into_iter().map(move |low| Range { low, high }));
            let best = ranges.map(|range| plainly_kept(&rows, 5, range, &spec)).max().unwrap();
            if kept * 100 < best * 97 {
                faults.push(format!("{shift}, {bits} bits, {scheme:?}: {kept} for {best}"));
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    #[test]
    fn large_rows_saturate_where_that_keeps_more_small_ones() {
        let mut rows = vec![100.0, 0.0];
        for _ in 0..10 {
            rows.extend([0.02, 0.01]);
        }
        let found = order_preserving(&rows, 2, &spec(8, true, Scheme::Symmetric)).unwrap();
        assert_eq!((found.kept, found.rows), (11, 11));
        assert!(found.range.high < 10.0, "{found:?}");
    }

    #[test]
    fn ties_are_lost_and_zeros_have_an_empty_range() {
        let spec = spec(8, true, Scheme::Affine);
        let found = order_preserving(&[0.0; 6], 3, &spec).unwrap();
        assert_eq!(found, OrderReport { range: Range { low: 0.0, high: 0.0 }, kept: 0, rows: 2 });
        assert_eq!(order_preserving(&[2.0, 2.0, 1.0, 0.0], 2, &spec).unwrap().kept, 1);
    }

    #[test]
    fn unusable_rows_are_refused() {
        let spec = spec(8, true, Scheme::Affine);
        assert!(matches!(order_preserving(&[], 2, &spec), Err(Error::NoValues)));
        for classes in [0, 1, 2] {
            assert!(
                matches!(order_preserving(&[1.0; 3], classes, &spec), Err(Error::Length { .. })),
                "{classes}"
            );
        }
        let rows = [f32::NAN, 1.0, f32::INFINITY, 0.0];
        assert!(matches!(order_preserving(&rows, 2, &spec), Err(Error::NonFinite { count: 2 })));
    }
}
