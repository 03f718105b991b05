//! The inner loops in plain Rust. They are always inlined, so that variants can be compiled for the instructions of a CPU.

use super::{
    Bytes, CutSums, Integer, Requantize, Rows, Sum, SumOfProducts, Target, Tile, Weights, Words, Work,
};
use crate::{Activation, Multiplier, Rounding, saturate, shift_right};
use std::hint::black_box;

/// Sums that are independent of each other: those of a pixel.
const SUMS: usize = super::TILE_CHANNELS;

/// Multiplies and adds, and tells how many products a repetition has. Each sum is a factor of its next product, so that none can be left out.
#[inline(always)]
pub(super) fn multiply_i8(repetitions: u32) -> usize {
    let mut sums: [i32; SUMS] = black_box(std::array::from_fn(|n| n as i32));
    let (x, w) = black_box((3, 5));
    for _ in 0..repetitions {
        sums.iter_mut().for_each(|sum| *sum = sum.wrapping_mul(x).wrapping_add(w));
    }
    black_box(sums);
    SUMS
}

/// The same operations.
#[inline(always)]
pub(super) fn multiply_i16(repetitions: u32) -> usize {
    multiply_i8(repetitions)
}

#[inline(always)]
pub(super) fn multiply_f32(repetitions: u32) -> usize {
    let mut sums: [f32; SUMS] = black_box(std::array::from_fn(|n| n as f32));
    let (x, w) = black_box((0.5, 1.0));
    for _ in 0..repetitions {
        sums.iter_mut().for_each(|sum| *sum = sum.mul_add(x, w));
    }
    black_box(sums);
    SUMS
}

#[inline(always)]
pub(super) fn tile_f32(
    rows: &[Rows<'_, f32>],
    weights: Weights<'_, f32>,
    pixels: usize,
    sums: &mut Tile<f32>,
) {
    for (p, sums) in sums[..pixels].iter_mut().enumerate() {
        let sums = &mut sums[..weights.channels];
        sums.fill(0.0);
        let row = rows.iter().flat_map(|rows| &rows.values[p * rows.stride..][..rows.depth]);
        for (&x, weights) in row.zip(weights.values.chunks_exact(weights.channels)) {
            sums.iter_mut().zip(weights).for_each(|(sum, &w)| *sum = x.mul_add(w, *sum));
        }
    }
}

#[inline(always)]
pub(super) fn tile_u8(rows: &[Rows<'_, u8>], weights: Weights<'_, i8>, pixels: usize, sums: &mut Tile<i32>) {
    for (p, sums) in sums[..pixels].iter_mut().enumerate() {
        let sums = &mut sums[..weights.channels];
        sums.fill(0);
        let row =
            rows.iter().flat_map(|rows| rows.values[p * rows.stride..][..rows.depth].as_chunks::<4>().0);
        for (x, weights) in row.zip(weights.values.chunks_exact(4 * weights.channels)) {
            for (sum, w) in sums.iter_mut().zip(weights.as_chunks::<4>().0) {
                let products = x.iter().zip(w).map(|(&x, &w)| i32::from(x) * i32::from(w));
                *sum = sum.wrapping_add(products.sum());
            }
        }
    }
}

#[inline(always)]
pub(super) fn tile_i16(
    rows: &[Rows<'_, i16>],
    weights: Weights<'_, i16>,
    pixels: usize,
    sums: &mut Tile<i64>,
    shift: u32,
) {
    for (p, sums) in sums[..pixels].iter_mut().enumerate() {
        let sums = &mut sums[..weights.channels];
        let row =
            rows.iter().flat_map(|rows| rows.values[p * rows.stride..][..rows.depth].as_chunks::<2>().0);
        for (x, weights) in row.zip(weights.values.chunks_exact(2 * weights.channels)) {
            for (sum, w) in sums.iter_mut().zip(weights.as_chunks::<2>().0) {
                let pair = i32::from(x[0]) * i32::from(w[0]) + i32::from(x[1]) * i32::from(w[1]);
                *sum += i64::from(pair) << shift;
            }
        }
    }
}

/// The cut of a tile.
pub(super) struct CutTile<'a, S> {
    pub(super) sums: &'a mut [[S; super::TILE_CHANNELS]],
    pub(super) how: &'a CutSums<'a, S>,
}

impl<S: SumOfProducts> Work for CutTile<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        match self.how.rounding {
            Rounding::HalfEven => self.run_with(Rounding::HalfEven),
            Rounding::HalfAway => self.run_with(Rounding::HalfAway),
            Rounding::HalfUp => self.run_with(Rounding::HalfUp),
            Rounding::Floor => self.run_with(Rounding::Floor),
            Rounding::Truncate => self.run_with(Rounding::Truncate),
        }
    }
}

impl<S: SumOfProducts> CutTile<'_, S> {
    #[inline(always)]
    fn run_with(self, rounding: Rounding) {
        let (low, high) = self.how.range;
        for sums in self.sums {
            for (sum, &zero) in sums.iter_mut().zip(self.how.zero) {
                let quotient = shift_right(sum.plus(zero), self.how.shift, rounding);
                *sum = S::from_wide(quotient.max(low).min(high));
            }
        }
    }
}

#[inline(always)]
pub(super) fn requantize_wide(
    sums: &Tile<i64>,
    pixels: usize,
    how: &Requantize<'_, i64>,
    out: &mut Tile<i32>,
) {
    let Requantize { bias, raise, mantissa, shift, rounding, zero_point, low, high, .. } = *how;
    for (sums, out) in sums[..pixels].iter().zip(out) {
        let channels = bias.iter().zip(raise).zip(mantissa.iter().zip(shift));
        for ((out, &sum), ((&bias, &raise), (&mantissa, &shift))) in out.iter_mut().zip(sums).zip(channels) {
            // What pads a tile is not of the sums that validation has looked at.
            let sum = sum.wrapping_add(bias) << raise;
            let scaled = Multiplier { mantissa, shift: shift as u8 }.apply_wide(sum, rounding);
            *out = saturate(scaled.saturating_add(zero_point.into()), low, high);
        }
    }
}

#[inline(always)]
pub(super) fn store_i16(q: &Tile<i32>, pixels: usize, table: Option<&Words>, target: &mut Target<'_, i16>) {
    for (q, out) in q[..pixels].iter().zip(target.values.chunks_mut(target.stride)) {
        let pairs = out[..target.channels].iter_mut().zip(q);
        match table {
            Some(table) => pairs.for_each(|(out, &q)| *out = table.get(q as usize)),
            None => pairs.for_each(|(out, &q)| *out = q as i16),
        }
    }
}

#[inline(always)]
pub(super) fn requantize(sums: &mut Tile<i32>, pixels: usize, how: &Requantize<'_, i32>) {
    // One loop per mode, so that each is free of branches.
    let sums = &mut sums[..pixels];
    match how.rounding {
        Rounding::HalfUp if how.moderate => requantize_moderate(sums, how),
        Rounding::HalfEven => requantize_with(sums, how, Rounding::HalfEven),
        Rounding::HalfAway => requantize_with(sums, how, Rounding::HalfAway),
        Rounding::HalfUp => requantize_with(sums, how, Rounding::HalfUp),
        Rounding::Floor => requantize_with(sums, how, Rounding::Floor),
        Rounding::Truncate => requantize_with(sums, how, Rounding::Truncate),
    }
}

#[inline(always)]
fn requantize_with(sums: &mut [[i32; super::TILE_CHANNELS]], how: &Requantize<'_, i32>, rounding: Rounding) {
    let Requantize { bias, raise, mantissa, shift, zero_point, low, high, .. } = *how;
    for sums in sums {
        let channels = bias.iter().zip(raise).zip(mantissa.iter().zip(shift));
        for (sum, ((&bias, &raise), (&mantissa, &shift))) in sums.iter_mut().zip(channels) {
            // Validation has shown that the sum with its bias stays within 32 bits.
            let product = i64::from(sum.wrapping_add(bias) << raise) * i64::from(mantissa);
            let scaled = shift_right(product, shift as u32, rounding);
            *sum = saturate(scaled + i64::from(zero_point), low, high);
        }
    }
}

/// Rounds up from one half, which is added before the shift: results before the limits fit 32 bits.
#[inline(always)]
fn requantize_moderate(sums: &mut [[i32; super::TILE_CHANNELS]], how: &Requantize<'_, i32>) {
    let Requantize { bias, raise, mantissa, shift, zero_point, low, high, .. } = *how;
    for sums in sums {
        let channels = bias.iter().zip(raise).zip(mantissa.iter().zip(shift));
        for (sum, ((&bias, &raise), (&mantissa, &shift))) in sums.iter_mut().zip(channels) {
            let product = i64::from(sum.wrapping_add(bias) << raise) * i64::from(mantissa);
            let scaled = ((product + (1i64 << (shift - 1))) >> shift) as i32;
            *sum = (scaled + zero_point).max(low).min(high);
        }
    }
}

#[inline(always)]
pub(super) fn finish_u8(
    sums: &mut Tile<i32>,
    pixels: usize,
    how: &Requantize<'_, i32>,
    table: Option<&Bytes>,
    target: &mut Target<'_, u8>,
) {
    requantize(sums, pixels, how);
    for (sums, out) in sums[..pixels].iter().zip(target.values.chunks_mut(target.stride)) {
        let pairs = out[..target.channels].iter_mut().zip(sums);
        match table {
            Some(table) => pairs.for_each(|(out, &q)| *out = table.get(q as usize)),
            None => pairs.for_each(|(out, &q)| *out = q as u8),
        }
    }
}

#[inline(always)]
pub(super) fn bias_activation(
    sums: &mut Tile<f32>,
    pixels: usize,
    bias: &[f32],
    activation: Option<Activation>,
) {
    for sums in &mut sums[..pixels] {
        sums.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
        if let Some(activation) = activation {
            activation.apply_f32(sums);
        }
    }
}

#[inline(always)]
pub(super) fn activate(values: &mut [f32], activation: Activation) {
    activation.apply_f32(values);
}

#[inline(always)]
pub(super) fn quantize(
    values: &[f32],
    out: &mut [i32],
    scale: f32,
    zero_point: i32,
    (low, high): (i32, i32),
) {
    /// Adding 1.5 * 2^23 rounds to an integer, half to even, for magnitudes up to 2^22.
    const ROUNDER: f32 = 12_582_912.0;
    let (low, high) = ((low - zero_point) as f32, (high - zero_point) as f32);
    for (q, &x) in out.iter_mut().zip(values) {
        // `max` and `min` rather than `clamp`: they turn NaN into the bound.
        let ratio = (x / scale).max(low).min(high);
        // The integer is in the low bits; a cast would look after numbers that don't occur here.
        *q = (ratio + ROUNDER).to_bits() as i32 - ROUNDER.to_bits() as i32 + zero_point;
    }
}

#[inline(always)]
pub(super) fn add<A: Integer, B: Integer, O: Integer>(a: &[A], b: &[B], how: &Sum, out: &mut [O]) {
    match how.rounding {
        Rounding::HalfEven => add_with(a, b, how, Rounding::HalfEven, out),
        Rounding::HalfAway => add_with(a, b, how, Rounding::HalfAway, out),
        Rounding::HalfUp => add_with(a, b, how, Rounding::HalfUp, out),
        Rounding::Floor => add_with(a, b, how, Rounding::Floor, out),
        Rounding::Truncate => add_with(a, b, how, Rounding::Truncate, out),
    }
}

#[inline(always)]
fn add_with<A: Integer, B: Integer, O: Integer>(
    a: &[A],
    b: &[B],
    how: &Sum,
    rounding: Rounding,
    out: &mut [O],
) {
    let ([m_a, m_b], [z_a, z_b, z_out]) = (how.mantissas, how.zero_points);
    for (out, (&a, &b)) in out.iter_mut().zip(a.iter().zip(b)) {
        let (a, b) = (a.integer() - z_a, b.integer() - z_b);
        let sum = i64::from(a) * i64::from(m_a) + i64::from(b) * i64::from(m_b);
        let scaled = shift_right(sum, how.shift, rounding) + i64::from(z_out);
        *out = O::store(saturate(scaled, how.range.0, how.range.1));
    }
}
