//! The loops that statistics spend their time in.
//!
//! The plain way is to look at one value after another: special or not, smaller or larger than all before, which bin, one more in it.
//! Departures, each of which keeps the result:
//!
//! 1. Values are taken in blocks that stay in the first-level cache, and each step runs over a whole block: without branches and in
//!    lanes, so that compilers turn it into vector instructions.
//! 2. Blocks are first taken to be finite; one that is not is looked at again.
//! 3. Conversion to an integer rounds down by way of the nearest integer (adding 2^23 leaves it in the low bits) and one comparison.
//! 4. Neighbouring values are counted in tables of their own, since one more in the bin just written has to wait for that.

use crate::BINS;

/// Codes of a value: its bin if it is `>= 0`, [`BINS`] more if it is negative. A power of two, so that a masked code is in range.
pub(crate) const CODES: usize = 2 * BINS;
/// Tables that neighbouring values are counted in.
pub(crate) const COPIES: usize = 4;
/// Values in a block.
pub(crate) const BLOCK: usize = 1024;
/// Values looked at together.
const LANES: usize = 16;

/// What a block holds besides its distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Survey {
    pub(crate) zeros: u32,
    pub(crate) nan: u32,
    pub(crate) infinite: u32,
    /// Extremes of the finite values; `low > high` if there are none.
    pub(crate) low: f32,
    pub(crate) high: f32,
}

/// Looks at at most [`BLOCK`] values.
pub(crate) fn survey(block: &[f32]) -> Survey {
    let found = survey_finite(block);
    if found.nan == 0 && found.low > f32::NEG_INFINITY && found.high < f32::INFINITY {
        return found;
    }
    let finite = || block.iter().copied().filter(|x| x.is_finite());
    Survey {
        infinite: block.iter().filter(|x| x.is_infinite()).count() as u32,
        low: finite().fold(f32::INFINITY, f32::min),
        high: finite().fold(f32::NEG_INFINITY, f32::max),
        ..found
    }
}

/// The same for finite values; infinities are taken for extremes.
fn survey_finite(block: &[f32]) -> Survey {
    let (mut zeros, mut nan) = ([0u32; LANES], [0u32; LANES]);
    let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    let (whole, rest) = block.as_chunks::<LANES>();
    for values in whole {
        for (lane, &x) in values.iter().enumerate() {
            zeros[lane] += u32::from(x == 0.0);
            nan[lane] += u32::from(x.is_nan());
            low[lane] = if x < low[lane] { x } else { low[lane] };
            high[lane] = if x > high[lane] { x } else { high[lane] };
        }
    }
    for (lane, &x) in rest.iter().enumerate() {
        zeros[lane] += u32::from(x == 0.0);
        nan[lane] += u32::from(x.is_nan());
        low[lane] = low[lane].min(x);
        high[lane] = high[lane].max(x);
    }
    Survey {
        zeros: zeros.iter().sum(),
        nan: nan.iter().sum(),
        infinite: 0,
        low: low.into_iter().fold(f32::INFINITY, f32::min),
        high: high.into_iter().fold(f32::NEG_INFINITY, f32::max),
    }
}

/// Counts the finite ones of at most [`BLOCK`] values by code, for bins over `[0, 2^exponent)`, which holds their magnitudes.
pub(crate) fn count(block: &[f32], all_finite: bool, exponent: i32, counts: &mut [[u32; CODES]; COPIES]) {
    if all_finite {
        return count_finite(block, exponent, counts);
    }
    let (mut finite, mut length) = ([0.0; BLOCK], 0);
    for (place, x) in finite.iter_mut().zip(block.iter().filter(|x| x.is_finite())) {
        *place = *x;
        length += 1;
    }
    count_finite(&finite[..length], exponent, counts);
}

fn count_finite(block: &[f32], exponent: i32, counts: &mut [[u32; CODES]; COPIES]) {
    // 2^(12 - exponent) with exponent in [-100, 128]: a normal number, so the product is exact but for underflow to bin 0.
    let per_width = f32::from_bits(((BINS.ilog2() as i32 - exponent + 127) as u32) << 23);
    let mut codes = [0; BLOCK];
    codes.iter_mut().zip(block).for_each(|(code, &x)| *code = code_of(x, per_width));
    let (groups, rest) = codes[..block.len()].as_chunks::<COPIES>();
    for group in groups {
        for (table, &code) in counts.iter_mut().zip(group) {
            table[code as usize % CODES] += 1;
        }
    }
    rest.iter().for_each(|&code| counts[0][code as usize % CODES] += 1);
}

fn code_of(x: f32, per_width: f32) -> u32 {
    /// From here on neighbouring numbers are integers.
    const INTEGERS: f32 = (1 << 23) as f32;
    let exact = x.abs() * per_width; // below BINS
    let shifted = exact + INTEGERS;
    let nearest = shifted.to_bits() - INTEGERS.to_bits();
    let bin = nearest - u32::from(shifted - INTEGERS > exact);
    bin + if x < 0.0 { BINS as u32 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of all kinds: special ones, neighbours of bin borders, arbitrary bits.
    fn values() -> Vec<f32> {
        let mut values =
            vec![0.0, -0.0, f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-45, -1e-45];
        for k in 0..BINS {
            let border = k as f32 / BINS as f32;
            values.extend([border, border.next_up(), border.next_down(), -border, -border.next_down()]);
        }
        let mut state = 1u64;
        values.extend((0..20_000).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f32::from_bits((state >> 32) as u32)
        }));
        values
    }

    #[test]
    fn codes_are_floors() {
        let exponent = 0;
        let inside = values().into_iter().filter(|x| !x.is_finite() || x.abs() < 1.0);
        let mut checked = 0;
        for x in inside {
            let bin = (f64::from(x.abs()) * BINS as f64).floor() as usize;
            let mut want = [0; CODES];
            if x.is_finite() {
                want[if x < 0.0 { bin + BINS } else { bin }] = 1;
            }
            let mut counts = Box::new([[0; CODES]; COPIES]);
            count(&[x], x.is_finite(), exponent, &mut counts);
            assert_eq!(counts[0], want, "{x:e}");
            checked += 1;
        }
        assert!(checked > 20_000);
    }

    #[test]
    fn surveys_see_what_a_plain_loop_sees() {
        let values = values();
        for length in [0, 1, 15, 16, 17, 100, BLOCK] {
            for block in values.chunks(length.max(1)).map(|block| &block[..length.min(block.len())]) {
                let finite = || block.iter().copied().filter(|x| x.is_finite());
                let count = |wanted: fn(&&f32) -> bool| block.iter().filter(wanted).count() as u32;
                let found = survey(block);
                assert_eq!(found.zeros, count(|x| **x == 0.0));
                assert_eq!(found.nan, count(|x| x.is_nan()));
                assert_eq!(found.infinite, count(|x| x.is_infinite()));
                if finite().next().is_none() {
                    assert!(found.low > found.high);
                    continue;
                }
                assert_eq!(found.low, finite().fold(f32::INFINITY, f32::min));
                assert_eq!(found.high, finite().fold(f32::NEG_INFINITY, f32::max));
            }
        }
    }
}
