//! Variants for aarch64 with NEON's dot products.
//!
//! A tile is worked off in parts of 6 pixels x 16 channels (24 registers of sums). `udot` multiplies four unsigned by four unsigned bytes
//! and adds the products to 32 bits without saturation. Values are stored unsigned, weights are signed: with the top bit flipped a
//! weight `w` becomes the unsigned number `w + 128`, and `sum x w = sum x (w + 128) - 128 sum x`. The sums start from the last term, which
//! is one number per pixel, so all of a weight's pixels share the flip, and all of a pixel's channels the correction.

use super::{
    Bytes, Integer, Requantize, Rows, Sum, TILE_CHANNELS, TILE_PIXELS, Target, Tile, Weights, Words, Work,
    portable,
};
use crate::Activation;
use crate::layout::OFFSET;
use std::arch::{aarch64::*, asm};
use std::hint::black_box;

recompile! {
    "neon,dotprod":
    requantize_wide(sums: &Tile<i64>, pixels: usize, how: &Requantize<'_, i64>, out: &mut Tile<i32>);
    store_i16(q: &Tile<i32>, pixels: usize, table: Option<&Words>, target: &mut Target<'_, i16>);
    tile_i16(rows: &[Rows<'_, i16>], weights: Weights<'_, i16>, pixels: usize, sums: &mut Tile<i64>, shift: u32);
    requantize(sums: &mut Tile<i32>, pixels: usize, how: &Requantize<'_, i32>);
    finish_u8(sums: &mut Tile<i32>, pixels: usize, how: &Requantize<'_, i32>, table: Option<&Bytes>, target: &mut Target<'_, u8>);
    bias_activation(sums: &mut Tile<f32>, pixels: usize, bias: &[f32], activation: Option<Activation>);
    activate(values: &mut [f32], activation: Activation);
    quantize(values: &[f32], out: &mut [i32], scale: f32, zero_point: i32, range: (i32, i32));
}

#[target_feature(enable = "neon,dotprod")]
pub(super) fn run<W: Work>(work: W) -> W::Output {
    work.run()
}

/// Registers of sums of a part.
const SUMS: usize = 6 * REGISTERS;

/// `udot` on as many sums as a part has; tells how many products a repetition has.
#[target_feature(enable = "neon,dotprod")]
pub(super) fn multiply_i8(repetitions: u32) -> usize {
    // Sums of different values, unknown to the compiler, which would keep but one of equal ones.
    let mut sums: [uint32x4_t; SUMS] = std::array::from_fn(|n| vdupq_n_u32(black_box(n as u32)));
    let (x, w) = (vdupq_n_u8(black_box(3)), vdupq_n_u8(black_box(5)));
    for _ in 0..repetitions {
        for sum in &mut sums {
            *sum = udot(*sum, x, w);
        }
    }
    black_box(sums);
    SUMS * LANES * 4
}

#[target_feature(enable = "neon,dotprod")]
pub(super) fn multiply_i16(repetitions: u32) -> usize {
    portable::multiply_i16(repetitions)
}

#[target_feature(enable = "neon,dotprod")]
pub(super) fn multiply_f32(repetitions: u32) -> usize {
    portable::multiply_f32(repetitions)
}

#[target_feature(enable = "neon,dotprod")]
pub(super) fn add<A: Integer, B: Integer, O: Integer>(a: &[A], b: &[B], how: &Sum, out: &mut [O]) {
    portable::add(a, b, how, out);
}

/// Values of 32 bits in a register.
const LANES: usize = 4;
/// Registers of sums per pixel, and their channels.
const REGISTERS: usize = 4;
const CHANNELS: usize = REGISTERS * LANES;

#[target_feature(enable = "neon,dotprod")]
pub(super) fn tile_u8(rows: &[Rows<'_, u8>], weights: Weights<'_, i8>, pixels: usize, sums: &mut Tile<i32>) {
    let starts = corrections(rows, pixels);
    parts!(dot_u8, pixels, weights.channels, CHANNELS, (rows, weights, &starts, sums));
}

/// What flipping the weights adds to the sums of a pixel, to be taken off: `-128 sum x`, modulo 2^32.
#[target_feature(enable = "neon,dotprod")]
fn corrections(rows: &[Rows<'_, u8>], pixels: usize) -> [i32; TILE_PIXELS] {
    let mut corrections = [0i32; TILE_PIXELS];
    for (p, correction) in corrections[..pixels].iter_mut().enumerate() {
        let values = rows.iter().flat_map(|rows| &rows.values[p * rows.stride..][..rows.depth]);
        let sum = values.fold(0i32, |sum, &x| sum.wrapping_add(x.into()));
        *correction = sum.wrapping_mul(-i32::from(OFFSET));
    }
    corrections
}

#[target_feature(enable = "neon,dotprod")]
#[inline]
#[allow(unsafe_code)]
fn dot_u8<const P: usize>(
    pixel: usize,
    channel: usize,
    rows: &[Rows<'_, u8>],
    weights: Weights<'_, i8>,
    starts: &[i32; TILE_PIXELS],
    sums: &mut Tile<i32>,
) {
    let flip = vdupq_n_u8(OFFSET);
    let mut acc: [[uint32x4_t; REGISTERS]; P] =
        std::array::from_fn(|p| [vdupq_n_u32(starts[pixel + p] as u32); REGISTERS]);
    let mut group = 0;
    for rows in rows {
        for k in 0..rows.depth / 4 {
            // SAFETY: the caller has checked (`fits`) that all rows of the tile have `depth` bytes, `stride` apart, and that there are
            // `4 channels` bytes of weights for every four of the depths of all rows. Loads are unaligned.
            unsafe {
                let w = weights.values.as_ptr().add(4 * (group * weights.channels + channel)).cast::<u8>();
                let b: [uint8x16_t; REGISTERS] =
                    std::array::from_fn(|v| veorq_u8(vld1q_u8(w.add(4 * LANES * v)), flip));
                for (p, acc) in acc.iter_mut().enumerate() {
                    let a = rows.values.as_ptr().add((pixel + p) * rows.stride + 4 * k);
                    let x = vreinterpretq_u8_u32(vdupq_n_u32(a.cast::<u32>().read_unaligned()));
                    for (acc, &b) in acc.iter_mut().zip(&b) {
                        *acc = udot(*acc, x, b);
                    }
                }
            }
            group += 1;
        }
    }
    for (p, acc) in acc.into_iter().enumerate() {
        let sums = &mut sums[pixel + p][channel..channel + CHANNELS];
        for (sums, acc) in sums.chunks_exact_mut(LANES).zip(acc) {
            // SAFETY: `sums` holds 4 values of 32 bits: one unaligned store of 128 bits.
            unsafe { vst1q_s32(sums.as_mut_ptr(), vreinterpretq_s32_u32(acc)) };
        }
    }
}

/// `sums[i] + x[4 i] w[4 i] + ... + x[4 i + 3] w[4 i + 3]` in each lane `i`, modulo 2^32. The intrinsic for it is not stable yet.
#[target_feature(enable = "neon,dotprod")]
#[inline]
#[allow(unsafe_code)]
fn udot(mut sums: uint32x4_t, x: uint8x16_t, w: uint8x16_t) -> uint32x4_t {
    // SAFETY: the instruction is there, as `dotprod` is enabled; it reads these three registers, writes the first, and does nothing else.
    unsafe {
        asm!(
            "udot {sums:v}.4s, {x:v}.16b, {w:v}.16b",
            sums = inout(vreg) sums,
            x = in(vreg) x,
            w = in(vreg) w,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

#[target_feature(enable = "neon,dotprod")]
pub(super) fn tile_f32(
    rows: &[Rows<'_, f32>],
    weights: Weights<'_, f32>,
    pixels: usize,
    sums: &mut Tile<f32>,
) {
    parts!(dot_f32, pixels, weights.channels, CHANNELS, (rows, weights, sums));
}

#[target_feature(enable = "neon,dotprod")]
#[inline]
#[allow(unsafe_code)]
fn dot_f32<const P: usize>(
    pixel: usize,
    channel: usize,
    rows: &[Rows<'_, f32>],
    weights: Weights<'_, f32>,
    sums: &mut Tile<f32>,
) {
    let mut acc = [[vdupq_n_f32(0.0); REGISTERS]; P];
    let mut group = 0;
    for rows in rows {
        for k in 0..rows.depth {
            // SAFETY: as in `dot_u8`, with `channels` weights for every one of the depths.
            unsafe {
                let w = weights.values.as_ptr().add(group * weights.channels + channel);
                let b: [float32x4_t; REGISTERS] = std::array::from_fn(|v| vld1q_f32(w.add(LANES * v)));
                for (p, acc) in acc.iter_mut().enumerate() {
                    let x = *rows.values.as_ptr().add((pixel + p) * rows.stride + k);
                    for (acc, &b) in acc.iter_mut().zip(&b) {
                        *acc = vfmaq_n_f32(*acc, b, x);
                    }
                }
            }
            group += 1;
        }
    }
    for (p, acc) in acc.into_iter().enumerate() {
        let sums = &mut sums[pixel + p][channel..channel + CHANNELS];
        for (sums, acc) in sums.chunks_exact_mut(LANES).zip(acc) {
            // SAFETY: `sums` holds 4 values of 32 bits: one unaligned store of 128 bits.
            unsafe { vst1q_f32(sums.as_mut_ptr(), acc) };
        }
    }
}
