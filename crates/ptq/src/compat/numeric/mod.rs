//! Arithmetic that the references do in their array libraries, rounded as those round it.

pub(crate) mod numpy;
pub(crate) mod torch;

use super::Error;

/// The most bins of a histogram: numbers of bins, and some more, are exact in single precision.
pub(crate) const MAX_BINS: usize = 1 << 23;

/// Refuses numbers of bins that no histogram here may have.
pub(crate) fn check_bins(bins: usize) -> Result<usize, Error> {
    if (1..=MAX_BINS).contains(&bins) { Ok(bins) } else { Err(Error::Bins { bins, limit: MAX_BINS }) }
}

/// A computed number of bins or edges; NaN and negative numbers are none.
pub(crate) fn to_count(number: f64) -> Result<usize, Error> {
    let count = number as usize;
    if count > MAX_BINS { Err(Error::Bins { bins: count, limit: MAX_BINS }) } else { Ok(count) }
}

/// `(min, max)` of values without NaN; NaN where one is, as numpy's and torch's extremes have it. `None` without values.
pub(crate) fn extremes(values: &[f32]) -> Option<(f32, f32)> {
    let first = *values.first()?;
    // Comparisons written so that the compiler can keep several lanes; one NaN is looked for apart.
    let (mut low, mut high, mut nan) = (first, first, false);
    for &x in values {
        low = if x < low { x } else { low };
        high = if x > high { x } else { high };
        nan |= x.is_nan();
    }
    Some(if nan { (f32::NAN, f32::NAN) } else { (low, high) })
}

/// The nearest integer of `x` in `[-2^22, 2^22]`, halves to even, with the sign of `x`; NaN stays. `round_ties_even` in a form that
/// compilers vectorise for any x86-64.
#[inline]
pub(crate) fn round_small(x: f32) -> f32 {
    const UNIT: f32 = (1 << 23) as f32;
    ((x.abs() + UNIT) - UNIT).copysign(x)
}

/// Calls `count` with the place of each value, a number in `[0, 2^23 + 1]`, without its fraction.
///
/// Places are computed for a block at a time, apart from counting, so that compilers compute several at once.
fn by_place(values: &[f32], place: impl Fn(f32) -> f32, mut count: impl FnMut(usize)) {
    const BLOCK: usize = 256;
    let mut block = [0i32; BLOCK];
    for chunk in values.chunks(BLOCK) {
        for (slot, &x) in block.iter_mut().zip(chunk) {
            *slot = place(x) as i32;
        }
        block[..chunk.len()].iter().for_each(|&place| count(place as usize));
    }
}

/// The index of `numpy.argmin` (2.2.6): the first least value, or the first NaN.
///
/// This is quirk `nan-wins-argmin`: a candidate whose loss is NaN beats all others.
pub(crate) fn argmin(losses: impl IntoIterator<Item = f64>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (index, loss) in losses.into_iter().enumerate() {
        if loss.is_nan() {
            return Some(index);
        }
        if best.is_none_or(|(_, least)| loss < least) {
            best = Some((index, loss));
        }
    }
    best.map(|(index, _)| index)
}

/// The bin that percentile calibrators stop at: `numpy.searchsorted(numpy.cumsum(counts / counts.sum()), share)` (2.2.6).
///
/// Shares are doubles, added up one after the other; the bin is the first whose running sum is not below `share`, or the number of
/// bins.
pub(crate) fn reaching(counts: &[u64], share: f64) -> usize {
    let total = counts.iter().sum::<u64>() as f64;
    let mut sum = 0.0;
    for (index, &count) in counts.iter().enumerate() {
        sum += count as f64 / total;
        // Without values the sum is NaN, which numpy sorts last.
        if sum >= share || sum.is_nan() {
            return index;
        }
    }
    counts.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argmin_is_that_of_numpy() {
        let nan = f64::NAN;
        assert_eq!(argmin([3.0, 1.0, 1.0]), Some(1));
        assert_eq!(argmin([3.0, 1.0, nan, 0.0, nan]), Some(2));
        assert_eq!(argmin([f64::INFINITY, f64::INFINITY]), Some(0));
        assert_eq!(argmin([]), None);
    }

    #[test]
    fn shares_are_reached_from_the_left() {
        assert_eq!(reaching(&[1, 1, 2], 0.5), 1);
        assert_eq!(reaching(&[1, 1, 2], 0.51), 2);
        assert_eq!(reaching(&[1, 1, 1], 1.0), 2);
        // 6 times 1/6 is less than 1 in doubles.
        assert_eq!(reaching(&[1; 6], 1.0), 6);
        assert_eq!(reaching(&[0, 0], 0.5), 0);
    }

    proptest::proptest! {
        #[test]
        fn small_numbers_are_rounded_as_all_are(x in -4_194_304.0f32..=4_194_304.0, halves in -1000i32..1000) {
            for x in [x, x / 1024.0, halves as f32 / 2.0] {
                proptest::prop_assert_eq!(round_small(x).to_bits(), x.round_ties_even().to_bits());
            }
        }
    }

    #[test]
    fn extremes_pass_nan_on() {
        assert_eq!(extremes(&[2.0, -1.0]), Some((-1.0, 2.0)));
        assert!(extremes(&[2.0, f32::NAN, 3.0]).is_some_and(|(low, high)| low.is_nan() && high.is_nan()));
        assert_eq!(extremes(&[]), None);
    }
}
