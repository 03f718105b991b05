//! Variants for x86-64 with AVX2, FMA and AVX-VNNI: [`avx2`](super::avx2)'s, but for the tile of bytes, for which there is an exact
//! product here. `vpdpbusd` multiplies four unsigned by four signed bytes and adds the products to 32 bits without saturation.

pub(super) use super::avx2::{
    activate, add, bias_activation, finish_u8, multiply_f32, multiply_i16, quantize, requantize,
    requantize_wide, run, store_i16, tile_f32, tile_i16,
};

use super::avx2::LANES;
use super::{Rows, TILE_CHANNELS, Tile, Weights};
use std::arch::x86_64::*;
use std::hint::black_box;

/// Registers of sums per pixel, and their channels.
const REGISTERS: usize = 2;
const CHANNELS: usize = REGISTERS * LANES;

/// Registers of sums of a part.
const SUMS: usize = 6 * REGISTERS;

/// `vpdpbusd` on as many sums as a part has; tells how many products a repetition has.
#[target_feature(enable = "avx2,fma,avxvnni")]
pub(super) fn multiply_i8(repetitions: u32) -> usize {
    // Sums of different values, unknown to the compiler, which would keep but one of equal ones.
    let mut sums: [__m256i; SUMS] = std::array::from_fn(|n| _mm256_set1_epi32(black_box(n as i32)));
    let (x, w) = (_mm256_set1_epi32(black_box(0x0102_0304)), _mm256_set1_epi32(black_box(0x0506_0708)));
    for _ in 0..repetitions {
        for sum in &mut sums {
            *sum = _mm256_dpbusd_avx_epi32(*sum, x, w);
        }
    }
    black_box(sums);
    SUMS * LANES * 4
}

#[target_feature(enable = "avx2,fma,avxvnni")]
pub(super) fn tile_u8(rows: &[Rows<'_, u8>], weights: Weights<'_, i8>, pixels: usize, sums: &mut Tile<i32>) {
    parts!(dot_u8, pixels, weights.channels, CHANNELS, (rows, weights, sums));
}

#[target_feature(enable = "avx2,fma,avxvnni")]
#[inline]
#[allow(unsafe_code)]
fn dot_u8<const P: usize>(
    pixel: usize,
    channel: usize,
    rows: &[Rows<'_, u8>],
    weights: Weights<'_, i8>,
    sums: &mut Tile<i32>,
) {
    let mut acc = [[_mm256_setzero_si256(); REGISTERS]; P];
    let mut group = 0;
    for rows in rows {
        for k in 0..rows.depth / 4 {
            // SAFETY: the caller has checked (`fits`) that all rows of the tile have `depth` bytes, `stride` apart, and that there are
            // `4 channels` bytes of weights for every four of the depths of all rows. Loads are unaligned.
            unsafe {
                let w = weights.values.as_ptr().add(4 * (group * weights.channels + channel));
                let b: [__m256i; REGISTERS] =
                    std::array::from_fn(|v| _mm256_loadu_si256(w.add(4 * LANES * v).cast()));
                for (p, acc) in acc.iter_mut().enumerate() {
                    let a = rows.values.as_ptr().add((pixel + p) * rows.stride + 4 * k);
                    let x = _mm256_set1_epi32(a.cast::<i32>().read_unaligned());
                    for (acc, &b) in acc.iter_mut().zip(&b) {
                        *acc = _mm256_dpbusd_avx_epi32(*acc, x, b);
                    }
                }
            }
            group += 1;
        }
    }
    for (p, acc) in acc.into_iter().enumerate() {
        let sums = &mut sums[pixel + p][channel..channel + CHANNELS];
        for (sums, acc) in sums.chunks_exact_mut(LANES).zip(acc) {
            // SAFETY: `sums` holds 8 values of 32 bits: one unaligned store of 256 bits.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), acc) };
        }
    }
}
