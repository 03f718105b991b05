//! Variants for x86-64: AVX2 with FMA, and AVX-512 with VNNI.
//!
//! The float tile is written out because the compiler does not keep its accumulators in registers by itself. The integer tile: pairs of 16-bit values are multiplied and added into 32 bits by one instruction (`vpmaddwd` and an addition;
//! `vpdpwssd` with VNNI). With all values in `[-128, 127]` a pair's sum is far from overflow, so both equal the portable loop.

use super::{MR, NR, Requantize, Tile, Work, portable};
use crate::Activation;
use std::arch::x86_64::*;

macro_rules! recompile {
    ($features:literal: $($name:ident = $body:path => ($($arg:ident: $kind:ty),*);)*) => {
        $(
            #[target_feature(enable = $features)]
            pub(super) fn $name($($arg: $kind),*) {
                $body($($arg),*);
            }
        )*
    };
}

recompile! { "avx2,fma":
    requantize_avx2 = portable::requantize => (sums: &mut [i32], how: &Requantize);
    bias_activation_avx2 = portable::bias_activation => (values: &mut [f32], bias: f32, activation: Option<Activation>);
    quantize_avx2 = portable::quantize => (values: &[f32], out: &mut [i32], scale: f32, zero_point: i32, range: (i32, i32));
}

recompile! { "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni":
    requantize_avx512 = portable::requantize => (sums: &mut [i32], how: &Requantize);
    bias_activation_avx512 = portable::bias_activation => (values: &mut [f32], bias: f32, activation: Option<Activation>);
    quantize_avx512 = portable::quantize => (values: &[f32], out: &mut [i32], scale: f32, zero_point: i32, range: (i32, i32));
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn run_avx2<W: Work>(work: W) -> W::Output {
    work.run()
}

#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn run_avx512<W: Work>(work: W) -> W::Output {
    work.run()
}

#[target_feature(enable = "avx2")]
pub(super) fn interleave_avx2<const D: usize>(lines: [&[i8]; D], out: &mut [i16]) {
    portable::interleave(lines, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn interleave_avx512<const D: usize>(lines: [&[i8]; D], out: &mut [i16]) {
    portable::interleave(lines, out);
}

/// Both values of a pair as the 32 bits that an instruction broadcasts.
#[inline(always)]
fn pair(values: &[i16]) -> i32 {
    i32::from(values[0]) & 0xffff | i32::from(values[1]) << 16
}

/// 4 channels x 16 pixels at a time: 8 accumulators.
#[target_feature(enable = "avx2")]
#[allow(unsafe_code)]
pub(super) fn tile_i16_avx2(a: &[i16], b: &[i16], sums: &mut Tile<i32>) {
    const ROWS: usize = 4;
    for row in (0..MR).step_by(ROWS) {
        for column in (0..NR).step_by(16) {
            let mut acc = [[_mm256_setzero_si256(); 2]; ROWS];
            for (a, b) in a.chunks_exact(2 * MR).zip(b.chunks_exact(2 * NR)) {
                let b = &b[2 * column..2 * column + 32];
                // SAFETY: `b` holds 32 values of 16 bits: two unaligned loads of 256 bits.
                let b = unsafe {
                    [_mm256_loadu_si256(b.as_ptr().cast()), _mm256_loadu_si256(b.as_ptr().add(16).cast())]
                };
                for (m, acc) in acc.iter_mut().enumerate() {
                    let a = _mm256_set1_epi32(pair(&a[2 * (row + m)..2 * (row + m) + 2]));
                    for (acc, b) in acc.iter_mut().zip(b) {
                        *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(a, b));
                    }
                }
            }
            for (m, acc) in acc.into_iter().enumerate() {
                for (half, acc) in acc.into_iter().enumerate() {
                    let line = &mut sums[row + m][column + 8 * half..column + 8 * half + 8];
                    // SAFETY: `line` holds 8 values of 32 bits: one unaligned load and store of 256 bits.
                    unsafe {
                        let before = _mm256_loadu_si256(line.as_ptr().cast());
                        _mm256_storeu_si256(line.as_mut_ptr().cast(), _mm256_add_epi32(before, acc));
                    }
                }
            }
        }
    }
}

/// The whole tile at once: 8 channels x 32 pixels in 16 accumulators.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[allow(unsafe_code)]
pub(super) fn tile_i16_avx512(a: &[i16], b: &[i16], sums: &mut Tile<i32>) {
    let mut acc = [[_mm512_setzero_si512(); 2]; MR];
    for (a, b) in a.chunks_exact(2 * MR).zip(b.chunks_exact(2 * NR)) {
        // SAFETY: `b` holds 64 values of 16 bits: two unaligned loads of 512 bits.
        let b =
            unsafe { [_mm512_loadu_si512(b.as_ptr().cast()), _mm512_loadu_si512(b.as_ptr().add(32).cast())] };
        for (acc, a) in acc.iter_mut().zip(a.chunks_exact(2)) {
            let a = _mm512_set1_epi32(pair(a));
            for (acc, b) in acc.iter_mut().zip(b) {
                *acc = _mm512_dpwssd_epi32(*acc, a, b);
            }
        }
    }
    for (acc, line) in acc.into_iter().zip(sums) {
        for (acc, line) in acc.into_iter().zip(line.chunks_exact_mut(16)) {
            // SAFETY: `line` holds 16 values of 32 bits: one unaligned load and store of 512 bits.
            unsafe {
                let before = _mm512_loadu_si512(line.as_ptr().cast());
                _mm512_storeu_si512(line.as_mut_ptr().cast(), _mm512_add_epi32(before, acc));
            }
        }
    }
}

/// 4 channels x 16 pixels at a time: 8 accumulators.
#[target_feature(enable = "avx2,fma")]
#[allow(unsafe_code)]
pub(super) fn tile_f32_avx2(a: &[f32], b: &[f32], sums: &mut Tile<f32>) {
    const ROWS: usize = 4;
    for row in (0..MR).step_by(ROWS) {
        for column in (0..NR).step_by(16) {
            let mut acc = [[_mm256_setzero_ps(); 2]; ROWS];
            for (acc, line) in acc.iter_mut().zip(&sums[row..row + ROWS]) {
                for (acc, part) in acc.iter_mut().zip(line[column..column + 16].chunks_exact(8)) {
                    // SAFETY: `part` holds 8 values of 32 bits: one unaligned load of 256 bits.
                    *acc = unsafe { _mm256_loadu_ps(part.as_ptr()) };
                }
            }
            for (a, b) in a.chunks_exact(MR).zip(b.chunks_exact(NR)) {
                let b = &b[column..column + 16];
                // SAFETY: `b` holds 16 values of 32 bits: two unaligned loads of 256 bits.
                let b = unsafe { [_mm256_loadu_ps(b.as_ptr()), _mm256_loadu_ps(b.as_ptr().add(8))] };
                for (acc, &a) in acc.iter_mut().zip(&a[row..row + ROWS]) {
                    let a = _mm256_set1_ps(a);
                    for (acc, b) in acc.iter_mut().zip(b) {
                        *acc = _mm256_fmadd_ps(a, b, *acc);
                    }
                }
            }
            for (acc, line) in acc.into_iter().zip(&mut sums[row..row + ROWS]) {
                for (acc, part) in acc.into_iter().zip(line[column..column + 16].chunks_exact_mut(8)) {
                    // SAFETY: `part` holds 8 values of 32 bits: one unaligned store of 256 bits.
                    unsafe { _mm256_storeu_ps(part.as_mut_ptr(), acc) };
                }
            }
        }
    }
}

/// The whole tile at once: 8 channels x 32 pixels in 16 accumulators.
#[target_feature(enable = "avx512f")]
#[allow(unsafe_code)]
pub(super) fn tile_f32_avx512(a: &[f32], b: &[f32], sums: &mut Tile<f32>) {
    let mut acc = [[_mm512_setzero_ps(); 2]; MR];
    for (acc, line) in acc.iter_mut().zip(sums.iter()) {
        for (acc, part) in acc.iter_mut().zip(line.chunks_exact(16)) {
            // SAFETY: `part` holds 16 values of 32 bits: one unaligned load of 512 bits.
            *acc = unsafe { _mm512_loadu_ps(part.as_ptr()) };
        }
    }
    for (a, b) in a.chunks_exact(MR).zip(b.chunks_exact(NR)) {
        // SAFETY: `b` holds 32 values of 32 bits: two unaligned loads of 512 bits.
        let b = unsafe { [_mm512_loadu_ps(b.as_ptr()), _mm512_loadu_ps(b.as_ptr().add(16))] };
        for (acc, &a) in acc.iter_mut().zip(a) {
            let a = _mm512_set1_ps(a);
            for (acc, b) in acc.iter_mut().zip(b) {
                *acc = _mm512_fmadd_ps(a, b, *acc);
            }
        }
    }
    for (acc, line) in acc.into_iter().zip(sums) {
        for (acc, part) in acc.into_iter().zip(line.chunks_exact_mut(16)) {
            // SAFETY: `part` holds 16 values of 32 bits: one unaligned store of 512 bits.
            unsafe { _mm512_storeu_ps(part.as_mut_ptr(), acc) };
        }
    }
}
