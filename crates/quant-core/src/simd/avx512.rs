//! Variants for x86-64 with AVX-512 and VNNI.
//!
//! A tile has its sums in 24 registers (12 pixels x 32 channels); each step reads two registers of weights and one group of values of each
//! pixel, broadcast. `vpdpbusd` multiplies four unsigned by four signed bytes and adds the products to 32 bits without saturation.

use super::avx2::PAIRS;
use super::{
    Bytes, Integer, Requantize, Rows, Sum, TILE_CHANNELS, TILE_PIXELS, Target, Tile, Weights, Words, Work,
    portable,
};
use crate::{Activation, Rounding};
use std::arch::asm;
use std::arch::x86_64::*;
use std::hint::black_box;

recompile! {
    "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni":
    bias_activation(sums: &mut Tile<f32>, pixels: usize, bias: &[f32], activation: Option<Activation>);
    activate(values: &mut [f32], activation: Activation);
    quantize(values: &[f32], out: &mut [i32], scale: f32, zero_point: i32, range: (i32, i32));
}

#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn run<W: Work>(work: W) -> W::Output {
    work.run()
}

#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn add<A: Integer, B: Integer, O: Integer>(a: &[A], b: &[B], how: &Sum, out: &mut [O]) {
    portable::add(a, b, how, out);
}

/// Values in a register.
const LANES: usize = 16;

/// Registers of sums.
const SUMS: usize = TILE_PIXELS * TILE_CHANNELS / LANES;

/// `vpdpbusd` on as many sums as a tile has; tells how many products a repetition has.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn multiply_i8(repetitions: u32) -> usize {
    // Sums of different values, unknown to the compiler, which would keep but one of equal ones.
    let mut sums: [__m512i; SUMS] = std::array::from_fn(|n| _mm512_set1_epi32(black_box(n as i32)));
    let (x, w) = (_mm512_set1_epi32(black_box(0x0102_0304)), _mm512_set1_epi32(black_box(0x0506_0708)));
    for _ in 0..repetitions {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, x, w);
        }
    }
    black_box(sums);
    SUMS * LANES * 4
}

/// As [`multiply_i8`], `vpdpwssd`.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn multiply_i16(repetitions: u32) -> usize {
    let mut sums: [__m512i; SUMS] = std::array::from_fn(|n| _mm512_set1_epi32(black_box(n as i32)));
    let (x, w) = (_mm512_set1_epi32(black_box(0x0102_0304)), _mm512_set1_epi32(black_box(0x0005_0007)));
    for _ in 0..repetitions {
        for sum in &mut sums {
            *sum = dot_pairs(*sum, x, w);
        }
    }
    black_box(sums);
    SUMS * LANES * 2
}

/// As [`multiply_i8`], `vfmadd231ps`.
#[target_feature(enable = "avx512f")]
pub(super) fn multiply_f32(repetitions: u32) -> usize {
    let mut sums: [__m512; SUMS] = std::array::from_fn(|n| _mm512_set1_ps(black_box(n as f32)));
    let (x, w) = (_mm512_set1_ps(black_box(0.5)), _mm512_set1_ps(black_box(1.0)));
    for _ in 0..repetitions {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(x, w, *sum);
        }
    }
    black_box(sums);
    SUMS * LANES
}

/// Calls `$tile::<pixels, registers>` for a number of pixels and the width of the weights.
macro_rules! by_size {
    ($tile:ident, $pixels:expr, $rows:expr, $weights:expr, $sums:expr, $($n:literal)*) => {
        match ($pixels, $weights.channels == TILE_CHANNELS) {
            $(($n, true) => $tile::<$n, 2>($rows, $weights.values, $sums),)*
            $(($n, false) => $tile::<$n, 1>($rows, $weights.values, $sums),)*
            _ => {}
        }
    };
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn tile_u8(rows: &[Rows<'_, u8>], weights: Weights<'_, i8>, pixels: usize, sums: &mut Tile<i32>) {
    by_size!(dot_u8, pixels, rows, weights, sums, 1 2 3 4 5 6 7 8 9 10 11 12);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
#[allow(unsafe_code)]
fn dot_u8<const P: usize, const V: usize>(rows: &[Rows<'_, u8>], weights: &[i8], sums: &mut Tile<i32>) {
    let mut acc = [[_mm512_setzero_si512(); V]; P];
    let mut w = weights.as_ptr();
    for rows in rows {
        let (mut a, stride) = (rows.values.as_ptr(), rows.stride);
        for _ in 0..rows.depth / 4 {
            // SAFETY: the caller has checked (`fits`) that `P` rows of `depth` bytes are there, `stride` apart, and `64 V` bytes of weights
            // for every four of the depths of all rows. Loads are unaligned.
            unsafe {
                let b: [__m512i; V] = std::array::from_fn(|v| _mm512_loadu_si512(w.add(64 * v).cast()));
                for (p, acc) in acc.iter_mut().enumerate() {
                    let x = _mm512_set1_epi32(a.add(p * stride).cast::<i32>().read_unaligned());
                    for (acc, &b) in acc.iter_mut().zip(&b) {
                        *acc = _mm512_dpbusd_epi32(*acc, x, b);
                    }
                }
                a = a.add(4);
                w = w.add(64 * V);
            }
        }
    }
    for (sums, acc) in sums.iter_mut().zip(acc) {
        for (sums, acc) in sums.chunks_exact_mut(LANES).zip(acc) {
            // SAFETY: `sums` holds 16 values of 32 bits: one unaligned store of 512 bits.
            unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), acc) };
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn tile_i16(
    rows: &[Rows<'_, i16>],
    weights: Weights<'_, i16>,
    pixels: usize,
    sums: &mut Tile<i64>,
    shift: u32,
) {
    let sums = &mut Shifted { sums, shift };
    by_size!(dot_i16, pixels, rows, weights, sums, 1 2 3 4 5 6 7 8 9 10 11 12);
}

/// Sums of 64 bits, and how many bits higher those of 32 bits are added.
struct Shifted<'a> {
    sums: &'a mut Tile<i64>,
    shift: u32,
}

/// `vpdpwssd` multiplies two pairs and adds the products to 32 bits; these are added to 64 bits before they could overflow.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
#[allow(unsafe_code)]
fn dot_i16<const P: usize, const V: usize>(rows: &[Rows<'_, i16>], weights: &[i16], sums: &mut Shifted<'_>) {
    let mut acc = [[_mm512_setzero_si512(); V]; P];
    let mut w = weights.as_ptr();
    let mut room = PAIRS;
    for rows in rows {
        let (mut a, stride) = (rows.values.as_ptr(), rows.stride);
        let mut left = rows.depth / 2;
        while left > 0 {
            let now = left.min(room);
            for _ in 0..now {
                // SAFETY: as in `dot_u8`, with `P` rows of `depth` values of 16 bits, and `32 V` weights for every two of the depths.
                unsafe {
                    let b: [__m512i; V] =
                        std::array::from_fn(|v| _mm512_loadu_si512(w.add(2 * LANES * v).cast()));
                    for (p, acc) in acc.iter_mut().enumerate() {
                        let x = _mm512_set1_epi32(a.add(p * stride).cast::<i32>().read_unaligned());
                        for (acc, &b) in acc.iter_mut().zip(&b) {
                            *acc = dot_pairs(*acc, x, b);
                        }
                    }
                    a = a.add(2);
                    w = w.add(2 * LANES * V);
                }
            }
            (left, room) = (left - now, room - now);
            if room == 0 {
                sums.add(acc);
                (acc, room) = ([[_mm512_setzero_si512(); V]; P], PAIRS);
            }
        }
    }
    sums.add(acc);
}

/// `vpdpwssd`, which the compiler's own intrinsic becomes two instructions of.
#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
#[allow(unsafe_code)]
fn dot_pairs(mut sums: __m512i, a: __m512i, b: __m512i) -> __m512i {
    // SAFETY: the instruction reads and writes the named registers only, and this function's features are what it needs.
    unsafe {
        asm!(
            "vpdpwssd {sums}, {a}, {b}",
            sums = inout(zmm_reg) sums,
            a = in(zmm_reg) a,
            b = in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

impl Shifted<'_> {
    /// Adds sums of 32 bits.
    #[target_feature(enable = "avx512f")]
    #[inline]
    #[allow(unsafe_code)]
    fn add<const P: usize, const V: usize>(&mut self, acc: [[__m512i; V]; P]) {
        let shift = _mm_cvtsi32_si128(self.shift as i32);
        for (sums, acc) in self.sums.iter_mut().zip(acc) {
            for (sums, acc) in sums.chunks_exact_mut(LANES).zip(acc) {
                let halves = [_mm512_castsi512_si256(acc), _mm512_extracti64x4_epi64::<1>(acc)];
                for (sums, half) in sums.chunks_exact_mut(LANES / 2).zip(halves) {
                    let wide = _mm512_sll_epi64(_mm512_cvtepi32_epi64(half), shift);
                    // SAFETY: `sums` holds 8 values of 64 bits: one unaligned load and store of 512 bits.
                    unsafe {
                        let before = _mm512_loadu_si512(sums.as_ptr().cast());
                        _mm512_storeu_si512(sums.as_mut_ptr().cast(), _mm512_add_epi64(before, wide));
                    }
                }
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
pub(super) fn tile_f32(
    rows: &[Rows<'_, f32>],
    weights: Weights<'_, f32>,
    pixels: usize,
    sums: &mut Tile<f32>,
) {
    by_size!(dot_f32, pixels, rows, weights, sums, 1 2 3 4 5 6 7 8 9 10 11 12);
}

#[target_feature(enable = "avx512f")]
#[inline]
#[allow(unsafe_code)]
fn dot_f32<const P: usize, const V: usize>(rows: &[Rows<'_, f32>], weights: &[f32], sums: &mut Tile<f32>) {
    let mut acc = [[_mm512_setzero_ps(); V]; P];
    let mut w = weights.as_ptr();
    for rows in rows {
        let (mut a, stride) = (rows.values.as_ptr(), rows.stride);
        for _ in 0..rows.depth {
            // SAFETY: as in `dot_u8`, with `16 V` weights for every one of the depths.
            unsafe {
                let b: [__m512; V] = std::array::from_fn(|v| _mm512_loadu_ps(w.add(LANES * v)));
                for (p, acc) in acc.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(*a.add(p * stride));
                    for (acc, &b) in acc.iter_mut().zip(&b) {
                        *acc = _mm512_fmadd_ps(x, b, *acc);
                    }
                }
                a = a.add(1);
                w = w.add(LANES * V);
            }
        }
    }
    for (sums, acc) in sums.iter_mut().zip(acc) {
        for (sums, acc) in sums.chunks_exact_mut(LANES).zip(acc) {
            // SAFETY: `sums` holds 16 values of 32 bits: one unaligned store of 512 bits.
            unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), acc) };
        }
    }
}

/// How 16 channels are requantised, where all factors are moderate.
#[derive(Clone, Copy)]
struct Channels {
    bias: __m512i,
    raise: __m512i,
    /// Of even and odd lanes, in 64 bits.
    mantissas: [__m512i; 2],
    /// One half, before the shift.
    halves: [__m512i; 2],
    /// The odd lanes' is smaller by 32, which leaves their results where they belong.
    shifts: [__m512i; 2],
    zero_point: __m512i,
    low: __m512i,
    high: __m512i,
}

impl Channels {
    /// Those from `first` on.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn new(how: &Requantize<'_, i32>, first: usize) -> Self {
        let [bias, raise, mantissa, shift] = [
            load_i32(&how.bias[first..first + LANES]),
            load_i32(&how.raise[first..first + LANES]),
            load_i32(&how.mantissa[first..first + LANES]),
            load_i32(&how.shift[first..first + LANES]),
        ];
        let one = _mm512_set1_epi64(1);
        let shifts =
            [_mm512_and_si512(shift, _mm512_set1_epi64(0xffff_ffff)), _mm512_srli_epi64::<32>(shift)];
        let half = |shift: __m512i| _mm512_sllv_epi64(one, _mm512_sub_epi64(shift, one));
        Self {
            bias,
            raise,
            mantissas: [mantissa, _mm512_srli_epi64::<32>(mantissa)],
            halves: [half(shifts[0]), half(shifts[1])],
            zero_point: _mm512_set1_epi32(how.zero_point),
            shifts: [shifts[0], _mm512_sub_epi64(shifts[1], _mm512_set1_epi64(32))],
            low: _mm512_set1_epi32(how.low),
            high: _mm512_set1_epi32(how.high),
        }
    }

    /// `clamp(floor((sums + bias) 2^raise mantissa / 2^shift + 1/2) + zero_point, low, high)`.
    ///
    /// Results before the limits fit 32 bits, since factors are below one half.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn apply(&self, sums: __m512i) -> __m512i {
        let even = _mm512_sllv_epi32(_mm512_add_epi32(sums, self.bias), self.raise);
        let odd = _mm512_srli_epi64::<32>(even);
        let even = _mm512_add_epi64(_mm512_mul_epi32(even, self.mantissas[0]), self.halves[0]);
        let odd = _mm512_add_epi64(_mm512_mul_epi32(odd, self.mantissas[1]), self.halves[1]);
        let even = _mm512_srav_epi64(even, self.shifts[0]);
        let odd = _mm512_srav_epi64(odd, self.shifts[1]);
        let q = _mm512_add_epi32(_mm512_mask_blend_epi32(0xaaaa, even, odd), self.zero_point);
        _mm512_min_epi32(_mm512_max_epi32(q, self.low), self.high)
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
#[allow(unsafe_code)]
fn load_i32(values: &[i32]) -> __m512i {
    assert!(values.len() >= LANES);
    // SAFETY: `values` holds 16 values of 32 bits: one unaligned load of 512 bits.
    unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
}

/// Rounding up from one half and moderate factors, which is what networks have; all else is left to the compiler.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[allow(unsafe_code)]
pub(super) fn requantize(sums: &mut Tile<i32>, pixels: usize, how: &Requantize<'_, i32>) {
    if how.rounding != Rounding::HalfUp || !how.moderate {
        return portable::requantize(sums, pixels, how);
    }
    for first in (0..TILE_CHANNELS).step_by(LANES) {
        let channels = Channels::new(how, first);
        for sums in &mut sums[..pixels] {
            let sums = &mut sums[first..first + LANES];
            let q = channels.apply(load_i32(sums));
            // SAFETY: `sums` holds 16 values of 32 bits: one unaligned store of 512 bits.
            unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), q) };
        }
    }
}

/// As [`requantize`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn finish_u8(
    sums: &mut Tile<i32>,
    pixels: usize,
    how: &Requantize<'_, i32>,
    table: Option<&Bytes>,
    target: &mut Target<'_, u8>,
) {
    if how.rounding != Rounding::HalfUp || !how.moderate {
        return portable::finish_u8(sums, pixels, how, table, target);
    }
    for first in (0..target.channels).step_by(LANES) {
        let channels = Channels::new(how, first);
        let last = target.channels.min(first + LANES);
        for (sums, out) in sums[..pixels].iter().zip(target.values.chunks_mut(target.stride)) {
            let q = channels.apply(load_i32(&sums[first..first + LANES]));
            let q = match table {
                Some(table) => look_up(q, table),
                None => q,
            };
            store_u8(q, &mut out[first..last]);
        }
    }
}

/// With `s = hi 2^32 + lo` and `u = hi m + floor(lo m / 2^32)`, which stays below 2^47: `floor((s m + 2^(shift - 1)) / 2^shift)` is
/// `floor((u + 2^(shift - 33)) / 2^(shift - 32))` for shifts from 33 on, since the rest of the product is below one in the units of `u`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[allow(unsafe_code)]
pub(super) fn requantize_wide(
    sums: &Tile<i64>,
    pixels: usize,
    how: &Requantize<'_, i64>,
    out: &mut Tile<i32>,
) {
    if how.rounding != Rounding::HalfUp || !how.moderate {
        return portable::requantize_wide(sums, pixels, how, out);
    }
    const WIDE: usize = LANES / 2;
    let [zero_point, low, high] = [how.zero_point, how.low, how.high].map(|v| _mm512_set1_epi64(v.into()));
    let one = _mm512_set1_epi64(1);
    for first in (0..TILE_CHANNELS).step_by(WIDE) {
        let (bias, raises, mantissas, shifts) = (
            &how.bias[first..first + WIDE],
            &how.raise[first..first + WIDE],
            &how.mantissa[first..first + WIDE],
            &how.shift[first..first + WIDE],
        );
        // SAFETY: each holds 8 values, of 64 or 32 bits: unaligned loads of 512 and 256 bits.
        let (bias, raise, mantissa, shift) = unsafe {
            (
                _mm512_loadu_si512(bias.as_ptr().cast()),
                _mm512_cvtepi32_epi64(_mm256_loadu_si256(raises.as_ptr().cast())),
                _mm512_cvtepi32_epi64(_mm256_loadu_si256(mantissas.as_ptr().cast())),
                _mm512_cvtepi32_epi64(_mm256_loadu_si256(shifts.as_ptr().cast())),
            )
        };
        let shift = _mm512_sub_epi64(shift, _mm512_set1_epi64(32));
        let half = _mm512_sllv_epi64(one, _mm512_sub_epi64(shift, one));
        for (sums, out) in sums[..pixels].iter().zip(&mut *out) {
            let (sums, out) = (&sums[first..first + WIDE], &mut out[first..first + WIDE]);
            // SAFETY: `sums` holds 8 values of 64 bits: one unaligned load of 512 bits.
            let sum = _mm512_add_epi64(unsafe { _mm512_loadu_si512(sums.as_ptr().cast()) }, bias);
            let sum = _mm512_sllv_epi64(sum, raise);
            let low_part = _mm512_srli_epi64::<32>(_mm512_mul_epu32(sum, mantissa));
            let high_part = _mm512_mul_epi32(_mm512_srli_epi64::<32>(sum), mantissa);
            let product = _mm512_add_epi64(_mm512_add_epi64(high_part, low_part), half);
            let scaled = _mm512_add_epi64(_mm512_srav_epi64(product, shift), zero_point);
            let q = _mm512_min_epi64(_mm512_max_epi64(scaled, low), high);
            // SAFETY: `out` holds 8 values of 32 bits: one unaligned store of 256 bits.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm512_cvtepi64_epi32(q)) };
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
#[allow(unsafe_code)]
pub(super) fn store_i16(q: &Tile<i32>, pixels: usize, table: Option<&Words>, target: &mut Target<'_, i16>) {
    for (q, out) in q[..pixels].iter().zip(target.values.chunks_mut(target.stride)) {
        for (q, out) in q.chunks_exact(LANES).zip(out[..target.channels].chunks_mut(LANES)) {
            let q = load_i32(q);
            let q = match table {
                Some(table) => {
                    let arguments = _mm512_min_epu32(q, _mm512_set1_epi32(table.len() as i32 - 1));
                    // SAFETY: arguments are those of the table, and one value follows the last one, so each read of 32 bits lies within it.
                    unsafe { _mm512_i32gather_epi32::<2>(arguments, table.values.as_ptr().cast()) }
                }
                None => q,
            };
            let q = _mm512_cvtepi32_epi16(q);
            // SAFETY: only lanes are stored, unaligned, that `out` has values for.
            unsafe { _mm256_mask_storeu_epi16(out.as_mut_ptr(), first_lanes(out.len()), q) };
        }
    }
}

/// A mask of the first lanes, or all.
fn first_lanes(count: usize) -> __mmask16 {
    (1u32 << count.min(LANES)).wrapping_sub(1) as u16
}

/// Values of the table in the low bytes; arguments beyond it give the last.
#[target_feature(enable = "avx512f")]
#[inline]
#[allow(unsafe_code)]
fn look_up(arguments: __m512i, table: &Bytes) -> __m512i {
    let arguments = _mm512_min_epu32(arguments, _mm512_set1_epi32(table.len() as i32 - 1));
    // SAFETY: arguments are those of the table, and three bytes follow the last one, so each read of 32 bits lies within it.
    unsafe { _mm512_i32gather_epi32::<1>(arguments, table.values.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
#[inline]
#[allow(unsafe_code)]
fn store_u8(values: __m512i, out: &mut [u8]) {
    let values = _mm512_cvtepi32_epi8(values);
    // SAFETY: only lanes are stored, unaligned, that `out` has bytes for.
    unsafe { _mm_mask_storeu_epi8(out.as_mut_ptr().cast(), first_lanes(out.len()), values) };
}
