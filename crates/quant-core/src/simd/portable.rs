//! The inner loops in plain Rust. They are always inlined, so that each variant in `x86` is compiled for its instructions.

use super::{MR, NR, Requantize, Tile};
use crate::{Activation, Rounding, saturate, shift_right};

/// A block of the tile small enough to live in registers: rows x columns.
#[inline(always)]
fn block_f32<const ROWS: usize, const COLUMNS: usize>(
    a: &[f32],
    b: &[f32],
    row: usize,
    column: usize,
    sums: &mut Tile<f32>,
) {
    let mut acc = [[0f32; COLUMNS]; ROWS];
    for (m, line) in acc.iter_mut().enumerate() {
        line.copy_from_slice(&sums[row + m][column..column + COLUMNS]);
    }
    for (a, b) in a.chunks_exact(MR).zip(b.chunks_exact(NR)) {
        let a = &a[row..row + ROWS];
        let b = &b[column..column + COLUMNS];
        for m in 0..ROWS {
            for n in 0..COLUMNS {
                acc[m][n] = a[m].mul_add(b[n], acc[m][n]);
            }
        }
    }
    for (m, line) in acc.iter().enumerate() {
        sums[row + m][column..column + COLUMNS].copy_from_slice(line);
    }
}

pub(super) fn tile_f32(a: &[f32], b: &[f32], sums: &mut Tile<f32>) {
    const ROWS: usize = 4;
    const COLUMNS: usize = 8;
    for row in (0..MR).step_by(ROWS) {
        for column in (0..NR).step_by(COLUMNS) {
            block_f32::<ROWS, COLUMNS>(a, b, row, column, sums);
        }
    }
}

#[inline(always)]
pub(super) fn tile_i16(a: &[i16], b: &[i16], sums: &mut Tile<i32>) {
    for (a, b) in a.chunks_exact(2 * MR).zip(b.chunks_exact(2 * NR)) {
        for (line, a) in sums.iter_mut().zip(a.chunks_exact(2)) {
            for (sum, b) in line.iter_mut().zip(b.chunks_exact(2)) {
                *sum += i32::from(a[0]) * i32::from(b[0]) + i32::from(a[1]) * i32::from(b[1]);
            }
        }
    }
}

#[inline(always)]
pub(super) fn requantize(sums: &mut [i32], how: &Requantize) {
    // One loop per mode, so that each is free of branches.
    match how.rounding {
        Rounding::HalfEven => requantize_with(sums, how, Rounding::HalfEven),
        Rounding::HalfAway => requantize_with(sums, how, Rounding::HalfAway),
        Rounding::HalfUp => requantize_with(sums, how, Rounding::HalfUp),
        Rounding::Floor => requantize_with(sums, how, Rounding::Floor),
        Rounding::Truncate => requantize_with(sums, how, Rounding::Truncate),
    }
}

#[inline(always)]
fn requantize_with(sums: &mut [i32], how: &Requantize, rounding: Rounding) {
    let Requantize { bias, mantissa, shift, zero_point, low, high, .. } = *how;
    for sum in sums {
        // Validation has shown that the sum with its bias stays within 32 bits.
        let product = i64::from(sum.wrapping_add(bias)) * i64::from(mantissa);
        *sum = saturate(shift_right(product, shift, rounding) + i64::from(zero_point), low, high);
    }
}

#[inline(always)]
pub(super) fn bias_activation(values: &mut [f32], bias: f32, activation: Option<Activation>) {
    values.iter_mut().for_each(|x| *x += bias);
    if let Some(activation) = activation {
        activation.apply_f32(values);
    }
}

#[inline(always)]
pub(super) fn interleave<const D: usize>(lines: [&[i8]; D], out: &mut [i16]) {
    for (n, group) in out.chunks_exact_mut(D).enumerate() {
        for (value, line) in group.iter_mut().zip(lines) {
            *value = i16::from(line[n]);
        }
    }
}

#[inline(always)]
pub(super) fn quantize(
    values: &[f32],
    out: &mut [i32],
    scale: f32,
    zero_point: i32,
    (low, high): (i32, i32),
) {
    /// Adding and subtracting 1.5 * 2^23 rounds to an integer, half to even, for magnitudes up to 2^22.
    const ROUNDER: f32 = 12_582_912.0;
    let (low, high) = ((low - zero_point) as f32, (high - zero_point) as f32);
    for (q, &x) in out.iter_mut().zip(values) {
        // `max` and `min` rather than `clamp`: they turn NaN into the bound.
        let ratio = (x / scale).max(low).min(high);
        *q = ((ratio + ROUNDER) - ROUNDER) as i32 + zero_point;
    }
}
