//! PPQ's order-preserving calibrator, for tensors of which only the largest class matters.

use super::{Grid, ScaleOffset, range_to_scale_offset};
use crate::Error;
use quant_core::Scheme;
use std::cmp::Ordering;

/// `isotone`: the scale at which the largest value of most rows stays apart from the second largest.
///
/// `rows` has `classes` values per row. With the two largest `a >= b` of a row (their magnitudes, taken after choosing them, if
/// symmetric: quirk `ppq-isotone-magnitudes`), scales from `max(b / (quant_max - 0.51), 0)` to `2 (a - max(b, 0))` keep them apart. Rows
/// without such a scale or with `a <= 0` do not count. The result is the least scale that lies in most intervals, which is 0 if in
/// most rows only `a` is positive (quirk `ppq-isotone-zero`); if there are none, that of `[0, a]` with the last row's `a`. The offset
/// is 0.
///
/// # Errors
/// [`Error::Length`] if `classes` is below 2 or does not divide the number of values; [`Error::NoValues`] if there are none.
pub fn isotone(rows: &[f32], classes: usize, grid: Grid) -> Result<ScaleOffset, Error> {
    if rows.is_empty() {
        return Err(Error::NoValues);
    }
    if classes < 2 || !rows.len().is_multiple_of(classes) {
        return Err(Error::Length {
            what: "values in whole rows of two or more",
            expected: classes,
            found: rows.len(),
        });
    }
    let mut ends = Vec::new();
    let mut last = 0.0;
    for row in rows.chunks_exact(classes) {
        let (largest, second) = two_largest(row, grid.scheme);
        last = largest;
        let low = (second / (f64::from(grid.quant_max) - 0.51) as f32).max(0.0);
        let high = 2.0 * (largest - second.max(0.0));
        if high > low && largest > 0.0 {
            ends.extend([(low, End::Low), (high, End::High)]);
        }
    }
    match fullest(ends) {
        Some(scale) => Ok(ScaleOffset { scale, offset: 0 }),
        None => range_to_scale_offset(0.0, f64::from(last), grid),
    }
}

/// Ends of an interval; an upper end sorts before a lower end of equal value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    High,
    Low,
}

/// The two largest values, NaN above all; then their magnitudes if symmetric.
fn two_largest(row: &[f32], scheme: Scheme) -> (f32, f32) {
    let above = |a: f32, b: f32| a.is_nan() || a > b;
    let mut top = (f32::NEG_INFINITY, f32::NEG_INFINITY);
    for &x in row {
        if above(x, top.0) {
            top = (x, top.0);
        } else if above(x, top.1) {
            top.1 = x;
        }
    }
    match scheme {
        Scheme::Symmetric => (top.0.abs(), top.1.abs()),
        Scheme::Affine => top,
    }
}

/// The least lower end at which most intervals are open.
fn fullest(mut ends: Vec<(f32, End)>) -> Option<f32> {
    ends.sort_by(|a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    let (mut open, mut most, mut best) = (0, 0, None);
    for (value, end) in ends {
        open += if end == End::Low { 1 } else { -1 };
        if open > most {
            (most, best) = (open, Some(value));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid::new(Scheme::Affine, -128, 127).unwrap()
    }

    #[test]
    fn the_scale_lies_in_most_intervals() {
        // Intervals 1.26/126.49 .. 7.48, 0.63/126.49 .. 0.74 and 2.53/126.49 .. 14.94.
        let rows = [5.0, 1.2649, 1.0, 0.63245, 10.0, 2.5298];
        let got = isotone(&rows, 2, grid()).unwrap();
        assert!((got.scale - 0.02).abs() < 1e-6, "{got:?}");
    }

    #[test]
    fn rows_that_cannot_be_told_apart_fall_back_to_the_last_maximum() {
        let got = isotone(&[2.0, 2.0, 255.0, 255.0], 2, grid()).unwrap();
        assert_eq!(got, ScaleOffset { scale: 1.0, offset: 0 });
    }

    #[test]
    fn signs_count_in_choosing_but_not_in_comparing() {
        let symmetric = Grid::new(Scheme::Symmetric, -1, 1).unwrap();
        // 2 and -3 become 2 and 3, which no scale can tell apart in that order.
        assert_eq!(isotone(&[2.0, -3.0], 2, symmetric).unwrap().scale, 2.0);
        assert_eq!(isotone(&[2.0, -3.0], 2, grid()).unwrap().scale, 0.0);
    }

    #[test]
    fn unusable_rows_are_refused() {
        assert!(matches!(isotone(&[], 2, grid()), Err(Error::NoValues)));
        for classes in [0, 1, 2] {
            assert!(matches!(isotone(&[1.0; 3], classes, grid()), Err(Error::Length { .. })), "{classes}");
        }
        assert!(isotone(&[f32::NAN, 1.0, f32::INFINITY, -1.0], 2, grid()).is_ok());
    }
}
