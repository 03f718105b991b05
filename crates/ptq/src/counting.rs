//! The loops that statistics spend their time in.
//!
//! The plain way is to look at one value after another: special or not, smaller or larger than all before, which bin, one more in it.
//! Departures, each of which keeps the result, but for the last bits of sums:
//!
//! 1. Values are taken in blocks that stay in the first-level cache, and each step runs over a whole block: without branches and in
//!    lanes, so that compilers turn it into vector instructions.
//! 2. Blocks are first taken to be finite; one that is not, which its sum of squares tells, is looked at again in the plain way.
//! 3. Conversion to an integer rounds down by way of the nearest integer (adding 2^23 leaves it in the low bits) and one comparison.
//! 4. Sums start in single precision, over so few values that this costs no more than a few of its last bits.
//! 5. Neighbouring values are counted in tables of their own, since one more in the bin just written has to wait for that. Zeros, of
//!    which a ReLU leaves many, would wait even so: they have a place for each lane.
//! 6. The loops are compiled for each instruction set. Results are the same to the bit.

use crate::BINS;
use quant_core::{Isa, Work};

/// Codes of values: the bin if it is `> 0`, [`BINS`] more if it is negative, and [`ZERO`] and the lane more if it is zero.
const CODES: usize = 4 * BINS;
/// See [`CODES`], which is a power of two, so that a masked code is in range.
const ZERO: usize = 2 * BINS;
/// Tables that neighbouring values are counted in.
const COPIES: usize = 4;
/// Values in a block.
pub(crate) const BLOCK: usize = 1024;
/// Values looked at together.
const LANES: usize = 16;
/// Runs of [`LANES`] values that are added in single precision before a sum goes on in double precision.
const SUM_RUNS: usize = 8;
/// Where no magnitude in a block is above this, 2^-40, squares in single precision could lose too much below its range.
const SMALL: f32 = f32::from_bits((127 - 40) << 23);

/// What a block holds besides its distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Survey {
    pub(crate) zeros: u32,
    pub(crate) nan: u32,
    pub(crate) infinite: u32,
    /// Extremes of the finite values; `low > high` if there are none.
    pub(crate) low: f32,
    pub(crate) high: f32,
    /// Sum of the finite values, rounded (see [`survey_finite`]).
    pub(crate) sum: f64,
    /// Sum of their squares, rounded.
    pub(crate) squares: f64,
}

/// Looks at at most [`BLOCK`] values.
pub(crate) fn survey(block: &[f32]) -> Survey {
    let found = survey_finite(block);
    let largest = found.high.max(-found.low);
    // NaN and infinities leave no finite sum of squares; neither do numbers that are too large for single precision.
    if found.squares.is_finite() && (largest > SMALL || largest == 0.0) { found } else { survey_any(block) }
}

/// The plain way, in double precision, with special values told apart.
fn survey_any(block: &[f32]) -> Survey {
    let finite = || block.iter().copied().filter(|x| x.is_finite());
    let count = |wanted: fn(&&f32) -> bool| block.iter().filter(wanted).count() as u32;
    Survey {
        zeros: count(|x| **x == 0.0),
        nan: count(|x| x.is_nan()),
        infinite: count(|x| x.is_infinite()),
        low: finite().fold(f32::INFINITY, f32::min),
        high: finite().fold(f32::NEG_INFINITY, f32::max),
        sum: finite().map(f64::from).sum(),
        squares: finite().map(|x| f64::from(x) * f64::from(x)).sum(),
    }
}

/// The same, but if there is NaN or an infinity before the last values that fill no run, only that `squares` is not finite means
/// anything.
///
/// In the order of addition there are at most 13 roundings to single precision above a value, so that the errors are below 2^-20 of
/// the sum of magnitudes and of the sum of squares.
fn survey_finite(block: &[f32]) -> Survey {
    Isa::detect().run(SurveyRuns(block))
}

#[inline(always)]
fn survey_runs(block: &[f32]) -> Survey {
    let (runs, rest) = block.as_chunks::<LANES>();
    let mut found = survey_any(rest);
    let mut zeros = [0u32; LANES];
    let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    for part in runs.chunks(SUM_RUNS) {
        let (mut sums, mut squares) = ([0f32; LANES], [0f32; LANES]);
        for values in part {
            for (lane, &x) in values.iter().enumerate() {
                zeros[lane] += u32::from(x == 0.0);
                low[lane] = if x < low[lane] { x } else { low[lane] };
                high[lane] = if x > high[lane] { x } else { high[lane] };
                sums[lane] += x;
                squares[lane] += x * x;
            }
        }
        found.sum += f64::from(add_halves(sums));
        found.squares += f64::from(add_halves(squares));
    }
    found.zeros += zeros.iter().sum::<u32>();
    found.low = low.into_iter().fold(found.low, f32::min);
    found.high = high.into_iter().fold(found.high, f32::max);
    found
}

/// Adds the upper half of the lanes to the lower until one is left.
#[inline(always)]
fn add_halves(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Where values are counted.
pub(crate) struct Tally {
    /// Room for the codes of a block.
    codes: [u32; BLOCK],
    /// Counts by code.
    tables: [[u32; CODES]; COPIES],
}

impl Tally {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self { codes: [0; BLOCK], tables: [[0; CODES]; COPIES] })
    }

    /// Adds the counts to those of the bins of values `>= 0` and `< 0`, and clears them.
    pub(crate) fn move_to(&mut self, positive: &mut [u64], negative: &mut [u64]) {
        for table in &mut self.tables {
            let (bins, zeros) = table.split_at_mut(ZERO);
            let (above, below) = bins.split_at_mut(BINS);
            for (side, counts) in [(&mut *positive, above), (&mut *negative, below)] {
                for (total, count) in side.iter_mut().zip(counts) {
                    *total += u64::from(std::mem::take(count));
                }
            }
            for count in &mut zeros[..LANES] {
                positive[0] += u64::from(std::mem::take(count));
            }
        }
    }
}

/// Counts the finite ones of at most [`BLOCK`] values by code, for bins over `[0, 2^exponent)`, which holds their magnitudes.
pub(crate) fn count(block: &[f32], all_finite: bool, exponent: i32, tally: &mut Tally) {
    if all_finite {
        return count_finite(block, exponent, tally);
    }
    let (mut finite, mut length) = ([0.0; BLOCK], 0);
    for (place, x) in finite.iter_mut().zip(block.iter().filter(|x| x.is_finite())) {
        *place = *x;
        length += 1;
    }
    count_finite(&finite[..length], exponent, tally);
}

fn count_finite(block: &[f32], exponent: i32, tally: &mut Tally) {
    Isa::detect().run(CountCodes { block, exponent, tally });
}

#[inline(always)]
fn count_codes(block: &[f32], exponent: i32, Tally { codes, tables }: &mut Tally) {
    // 2^(12 - exponent) with exponent in [-100, 128]: a normal number, so the product is exact but for underflow to bin 0.
    let per_width = f32::from_bits(((BINS.ilog2() as i32 - exponent + 127) as u32) << 23);
    let codes = &mut codes[..block.len()];
    let (runs, rest) = block.as_chunks::<LANES>();
    let (run_codes, rest_codes) = codes.as_chunks_mut::<LANES>();
    for (codes, values) in run_codes.iter_mut().zip(runs) {
        for (lane, (code, &x)) in codes.iter_mut().zip(values).enumerate() {
            *code = code_of(x, per_width, lane);
        }
    }
    rest_codes.iter_mut().zip(rest).for_each(|(code, &x)| *code = code_of(x, per_width, 0));
    let (groups, rest) = codes.as_chunks::<COPIES>();
    for group in groups {
        for (table, &code) in tables.iter_mut().zip(group) {
            table[code as usize % CODES] += 1;
        }
    }
    rest.iter().for_each(|&code| tables[0][code as usize % CODES] += 1);
}

/// The code in the low bits; those above it are to be masked off.
#[inline(always)]
fn code_of(x: f32, per_width: f32, lane: usize) -> u32 {
    /// From here on neighbouring numbers are integers.
    const INTEGERS: f32 = (1 << 23) as f32;
    let exact = x.abs() * per_width; // below BINS
    let shifted = exact + INTEGERS;
    let nearest = shifted.to_bits();
    let bin = nearest - u32::from(shifted - INTEGERS > exact);
    let code = bin ^ if x < 0.0 { BINS as u32 } else { 0 };
    if x == 0.0 { (ZERO + lane) as u32 } else { code }
}

/// [`survey_runs`], to be compiled for the CPU's instructions.
struct SurveyRuns<'a>(&'a [f32]);

impl Work for SurveyRuns<'_> {
    type Output = Survey;

    #[inline(always)]
    fn run(self) -> Survey {
        survey_runs(self.0)
    }
}

/// [`count_codes`], likewise.
struct CountCodes<'a> {
    block: &'a [f32],
    exponent: i32,
    tally: &'a mut Tally,
}

impl Work for CountCodes<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        count_codes(self.block, self.exponent, self.tally);
    }
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
        let mut tally = Tally::new();
        for x in inside {
            let bin = (f64::from(x.abs()) * BINS as f64).floor() as usize;
            let (mut found, mut want) = ([[0; BINS]; 2], [[0; BINS]; 2]);
            if x.is_finite() {
                want[usize::from(x < 0.0)][bin] = 1;
            }
            count(&[x], x.is_finite(), exponent, &mut tally);
            let [positive, negative] = &mut found;
            tally.move_to(positive, negative);
            assert_eq!(found, want, "{x:e}");
            checked += 1;
        }
        assert!(checked > 20_000);
    }

    #[test]
    fn every_instruction_set_sees_and_counts_the_same() {
        let values: Vec<f32> = values().into_iter().filter(|x| x.is_finite() && x.abs() < 1.0).collect();
        for block in values.chunks(BLOCK) {
            let seen = Isa::available().into_iter().map(|isa| {
                let (mut tally, mut counts) = (Tally::new(), [[0; BINS]; 2]);
                isa.run(CountCodes { block, exponent: 0, tally: &mut tally });
                let [positive, negative] = &mut counts;
                tally.move_to(positive, negative);
                (isa.run(SurveyRuns(block)), counts)
            });
            let seen: Vec<_> = seen.collect();
            assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
        }
    }

    #[test]
    fn blocks_count_what_their_values_count() {
        let inside: Vec<f32> = values().into_iter().filter(|x| x.is_finite() && x.abs() < 1.0).collect();
        let with_zeros: Vec<f32> =
            inside.iter().enumerate().map(|(k, x)| if k % 3 == 0 { *x } else { 0.0 }).collect();
        for values in [inside, with_zeros] {
            let (mut blocks, mut one_by_one) = ([[0; BINS]; 2], [[0; BINS]; 2]);
            let mut tally = Tally::new();
            let mut counted = |parts: &mut dyn Iterator<Item = &[f32]>,
                               [positive, negative]: &mut [[u64; BINS]; 2]| {
                parts.for_each(|part| count(part, true, 0, &mut tally));
                tally.move_to(positive, negative);
            };
            counted(&mut values.chunks(BLOCK - 3), &mut blocks);
            counted(&mut values.chunks(1), &mut one_by_one);
            assert_eq!(blocks, one_by_one);
        }
    }

    #[test]
    fn surveys_see_what_a_plain_loop_sees() {
        let values = values();
        let moderate: Vec<f32> = values.iter().copied().filter(|x| x.abs() < 1e15).collect();
        let tiny: Vec<f32> = values.iter().copied().filter(|x| x.abs() < 1e-15).collect();
        for values in [values, moderate, tiny] {
            for length in [1, 15, 16, 17, 100, 127, 128, 129, BLOCK] {
                values.chunks(length).for_each(compare);
            }
        }
        assert_eq!(survey(&[]), survey_any(&[]));
    }

    fn compare(block: &[f32]) {
        let (found, expected) = (survey(block), survey_any(block));
        let sums = Survey { sum: found.sum, squares: found.squares, ..expected };
        assert_eq!(found, sums);
        let finite = || block.iter().map(|x| f64::from(*x)).filter(|x| x.is_finite());
        let bound = 2f64.powi(-20);
        let magnitudes: f64 = finite().map(f64::abs).sum();
        assert!((found.sum - expected.sum).abs() <= bound * magnitudes, "{found:?}, {expected:?}");
        assert!(
            (found.squares - expected.squares).abs() <= bound * expected.squares,
            "{found:?}, {expected:?}"
        );
    }
}
