//! Variants for x86-64 with AVX2 and FMA.
//!
//! A tile is worked off in parts of 6 pixels x 16 channels (12 registers of sums). There is no exact product of bytes: `vpmaddubsw`
//! saturates at 16 bits. So bytes are widened to 16 bits on the way, and `vpmaddwd` multiplies two pairs and adds the products.
//!
//! Requantisation lacks an arithmetic shift of 64 bits: numbers are made positive before the shift. Tables are read by `vpgatherdd`.

use super::{
    Bytes, Integer, Requantize, Rows, Sum, TILE_CHANNELS, Target, Tile, Weights, Words, Work, portable,
};
use crate::{Activation, Rounding};
use std::arch::x86_64::*;
use std::hint::black_box;

recompile! {
    "avx2,fma":
    requantize_wide(sums: &Tile<i64>, pixels: usize, how: &Requantize<'_, i64>, out: &mut Tile<i32>);
    store_i16(q: &Tile<i32>, pixels: usize, table: Option<&Words>, target: &mut Target<'_, i16>);
    bias_activation(sums: &mut Tile<f32>, pixels: usize, bias: &[f32], activation: Option<Activation>);
    activate(values: &mut [f32], activation: Activation);
    quantize(values: &[f32], out: &mut [i32], scale: f32, zero_point: i32, range: (i32, i32));
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn run<W: Work>(work: W) -> W::Output {
    work.run()
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn add<A: Integer, B: Integer, O: Integer>(a: &[A], b: &[B], how: &Sum, out: &mut [O]) {
    portable::add(a, b, how, out);
}

/// Values of 32 bits in a register.
pub(super) const LANES: usize = 8;
/// Registers of sums per pixel.
const REGISTERS: usize = 2;
/// Their channels: a lane each, or two for sums of integers, which are in two parts.
const CHANNELS_F32: usize = REGISTERS * LANES;
const CHANNELS_U8: usize = REGISTERS * LANES / 2;
/// Pixels of a part.
const PIXELS: usize = 6;

/// Pairs of products that a sum of 32 bits takes: a product has at most 2^15 2^7 and a pair 2^23.
pub(super) const PAIRS: usize = 255;

/// Registers of sums of a part.
const SUMS: usize = PIXELS * REGISTERS;

/// `vpmaddwd` on as many registers as a part has sums; tells how many products a repetition has.
#[target_feature(enable = "avx2,fma")]
pub(super) fn multiply_i8(repetitions: u32) -> usize {
    // Different values, unknown to the compiler, which would keep but one of equal ones. Each product is a factor of the next, or it
    // would be computed once.
    let mut products: [__m256i; SUMS] = std::array::from_fn(|n| _mm256_set1_epi32(black_box(n as i32)));
    let w = _mm256_set1_epi32(black_box(0x0003_0005));
    for _ in 0..repetitions {
        for x in &mut products {
            *x = _mm256_madd_epi16(*x, w);
        }
    }
    black_box(products);
    SUMS * LANES * 2
}

/// The same instruction.
#[target_feature(enable = "avx2,fma")]
pub(super) fn multiply_i16(repetitions: u32) -> usize {
    multiply_i8(repetitions)
}

/// `vfmadd231ps` on as many sums as a part has.
#[target_feature(enable = "avx2,fma")]
pub(super) fn multiply_f32(repetitions: u32) -> usize {
    let mut sums: [__m256; SUMS] = std::array::from_fn(|n| _mm256_set1_ps(black_box(n as f32)));
    let (x, w) = (_mm256_set1_ps(black_box(0.5)), _mm256_set1_ps(black_box(1.0)));
    for _ in 0..repetitions {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(x, w, *sum);
        }
    }
    black_box(sums);
    SUMS * LANES
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn tile_u8(rows: &[Rows<'_, u8>], weights: Weights<'_, i8>, pixels: usize, sums: &mut Tile<i32>) {
    parts!(dot_u8, pixels, weights.channels, CHANNELS_U8, (rows, weights, sums));
}

/// Four values and four weights at a time, as two pairs each.
#[target_feature(enable = "avx2,fma")]
#[inline]
#[allow(unsafe_code)]
fn dot_u8<const P: usize>(
    pixel: usize,
    channel: usize,
    rows: &[Rows<'_, u8>],
    weights: Weights<'_, i8>,
    sums: &mut Tile<i32>,
) {
    // The products of the first two and of the last two values of a group have sums of their own, side by side.
    let mut acc = [[_mm256_setzero_si256(); REGISTERS]; P];
    let mut group = 0;
    for rows in rows {
        for k in 0..rows.depth / 4 {
            // SAFETY: the caller has checked (`fits`) that all rows of the tile have `depth` bytes, `stride` apart, and that there are
            // `4 channels` bytes of weights for every four of the depths of all rows. Loads are unaligned.
            unsafe {
                let w = weights.values.as_ptr().add(4 * (group * weights.channels + channel));
                let b: [__m256i; REGISTERS] =
                    std::array::from_fn(|v| _mm256_cvtepi8_epi16(_mm_loadu_si128(w.add(16 * v).cast())));
                for (p, acc) in acc.iter_mut().enumerate() {
                    let a = rows.values.as_ptr().add((pixel + p) * rows.stride + 4 * k);
                    let x = _mm_set1_epi32(a.cast::<i32>().read_unaligned());
                    let x = _mm256_cvtepu8_epi16(x);
                    for (acc, &b) in acc.iter_mut().zip(&b) {
                        *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(x, b));
                    }
                }
            }
            group += 1;
        }
    }
    for (p, acc) in acc.into_iter().enumerate() {
        let sums = &mut sums[pixel + p][channel..channel + CHANNELS_U8];
        // Horizontal addition works on halves of 128 bits; the permutation puts its quarters in order.
        let added = _mm256_hadd_epi32(acc[0], acc[1]);
        let ordered = _mm256_permute4x64_epi64::<0b11_01_10_00>(added);
        // SAFETY: `sums` holds 8 values of 32 bits: one unaligned store of 256 bits.
        unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), ordered) };
    }
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn tile_i16(
    rows: &[Rows<'_, i16>],
    weights: Weights<'_, i16>,
    pixels: usize,
    sums: &mut Tile<i64>,
    shift: u32,
) {
    parts!(dot_i16, pixels, weights.channels, CHANNELS_F32, (rows, weights, sums, shift));
}

#[target_feature(enable = "avx2,fma")]
#[inline]
#[allow(unsafe_code)]
fn dot_i16<const P: usize>(
    pixel: usize,
    channel: usize,
    rows: &[Rows<'_, i16>],
    weights: Weights<'_, i16>,
    sums: &mut Tile<i64>,
    shift: u32,
) {
    let mut acc = [[_mm256_setzero_si256(); REGISTERS]; P];
    let (mut group, mut taken) = (0, 0);
    for rows in rows {
        for k in 0..rows.depth / 2 {
            if taken == PAIRS {
                add_wide(
                    std::mem::replace(&mut acc, [[_mm256_setzero_si256(); REGISTERS]; P]),
                    sums,
                    pixel,
                    channel,
                    shift,
                );
                taken = 0;
            }
            // SAFETY: as in `dot_u8`, with `2 channels` weights for every two of the depths.
            unsafe {
                let w = weights.values.as_ptr().add(2 * (group * weights.channels + channel));
                let b: [__m256i; REGISTERS] =
                    std::array::from_fn(|v| _mm256_loadu_si256(w.add(2 * LANES * v).cast()));
                for (p, acc) in acc.iter_mut().enumerate() {
                    let a = rows.values.as_ptr().add((pixel + p) * rows.stride + 2 * k);
                    let x = _mm256_set1_epi32(a.cast::<i32>().read_unaligned());
                    for (acc, &b) in acc.iter_mut().zip(&b) {
                        *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(x, b));
                    }
                }
            }
            group += 1;
            taken += 1;
        }
    }
    add_wide(acc, sums, pixel, channel, shift);
}

/// Adds sums of 32 bits, `shift` bits higher, to those of 64.
#[target_feature(enable = "avx2,fma")]
#[inline]
#[allow(unsafe_code)]
fn add_wide<const P: usize>(
    acc: [[__m256i; REGISTERS]; P],
    sums: &mut Tile<i64>,
    pixel: usize,
    channel: usize,
    shift: u32,
) {
    for (p, acc) in acc.into_iter().enumerate() {
        let sums = &mut sums[pixel + p][channel..channel + CHANNELS_F32];
        for (sums, acc) in sums.chunks_exact_mut(LANES).zip(acc) {
            let mut narrow = [0i32; LANES];
            // SAFETY: `narrow` holds 8 values of 32 bits: one unaligned store of 256 bits.
            unsafe { _mm256_storeu_si256(narrow.as_mut_ptr().cast(), acc) };
            sums.iter_mut().zip(narrow).for_each(|(sum, narrow)| *sum += i64::from(narrow) << shift);
        }
    }
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn tile_f32(
    rows: &[Rows<'_, f32>],
    weights: Weights<'_, f32>,
    pixels: usize,
    sums: &mut Tile<f32>,
) {
    parts!(dot_f32, pixels, weights.channels, CHANNELS_F32, (rows, weights, sums));
}

#[target_feature(enable = "avx2,fma")]
#[inline]
#[allow(unsafe_code)]
fn dot_f32<const P: usize>(
    pixel: usize,
    channel: usize,
    rows: &[Rows<'_, f32>],
    weights: Weights<'_, f32>,
    sums: &mut Tile<f32>,
) {
    let mut acc = [[_mm256_setzero_ps(); REGISTERS]; P];
    let mut group = 0;
    for rows in rows {
        for k in 0..rows.depth {
            // SAFETY: as in `dot_u8`, with `channels` weights for every one of the depths.
            unsafe {
                let w = weights.values.as_ptr().add(group * weights.channels + channel);
                let b: [__m256; REGISTERS] = std::array::from_fn(|v| _mm256_loadu_ps(w.add(LANES * v)));
                for (p, acc) in acc.iter_mut().enumerate() {
                    let x = _mm256_set1_ps(*rows.values.as_ptr().add((pixel + p) * rows.stride + k));
                    for (acc, &b) in acc.iter_mut().zip(&b) {
                        *acc = _mm256_fmadd_ps(x, b, *acc);
                    }
                }
            }
            group += 1;
        }
    }
    for (p, acc) in acc.into_iter().enumerate() {
        let sums = &mut sums[pixel + p][channel..channel + CHANNELS_F32];
        for (sums, acc) in sums.chunks_exact_mut(LANES).zip(acc) {
            // SAFETY: `sums` holds 8 values of 32 bits: one unaligned store of 256 bits.
            unsafe { _mm256_storeu_ps(sums.as_mut_ptr(), acc) };
        }
    }
}

/// How 8 channels are requantised, where all factors are moderate.
#[derive(Clone, Copy)]
struct Channels {
    bias: __m256i,
    raise: __m256i,
    /// Of even and odd lanes, in 64 bits.
    mantissas: [__m256i; 2],
    /// What is added to the product before the shift: one half, and 2^63.
    added: [__m256i; 2],
    /// The odd lanes' is smaller by 32, which leaves their results where they belong.
    shifts: [__m256i; 2],
    /// What has become of 2^63 behind the shift, less the zero point.
    excess: __m256i,
    low: __m256i,
    high: __m256i,
}

impl Channels {
    /// Those from `first` on.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn new(how: &Requantize<'_, i32>, first: usize) -> Self {
        let [bias, raise, mantissa, shift] = [
            load_i32(&how.bias[first..first + LANES]),
            load_i32(&how.raise[first..first + LANES]),
            load_i32(&how.mantissa[first..first + LANES]),
            load_i32(&how.shift[first..first + LANES]),
        ];
        let one = _mm256_set1_epi64x(1);
        let shifts =
            [_mm256_and_si256(shift, _mm256_set1_epi64x(0xffff_ffff)), _mm256_srli_epi64::<32>(shift)];
        let added = |shift: __m256i| {
            let half = _mm256_sllv_epi64(one, _mm256_sub_epi64(shift, one));
            _mm256_or_si256(half, _mm256_set1_epi64x(i64::MIN))
        };
        let offset = _mm256_sllv_epi32(_mm256_set1_epi32(1), _mm256_sub_epi32(_mm256_set1_epi32(63), shift));
        Self {
            bias,
            raise,
            mantissas: [mantissa, _mm256_srli_epi64::<32>(mantissa)],
            added: [added(shifts[0]), added(shifts[1])],
            shifts: [shifts[0], _mm256_sub_epi64(shifts[1], _mm256_set1_epi64x(32))],
            excess: _mm256_sub_epi32(offset, _mm256_set1_epi32(how.zero_point)),
            low: _mm256_set1_epi32(how.low),
            high: _mm256_set1_epi32(how.high),
        }
    }

    /// `clamp(floor((sums + bias) 2^raise mantissa / 2^shift + 1/2) + zero_point, low, high)`.
    ///
    /// What is shifted, `v`, lies in `[-2^63, 2^63)`, so `v + 2^63` is a number without sign, and since shifts are at most 63,
    /// `floor((v + 2^63) / 2^shift) = floor(v / 2^shift) + 2^(63 - shift)`. The last term fits 32 bits, since shifts are at least 32, and so
    /// do the results before the limits.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn apply(&self, sums: __m256i) -> __m256i {
        let even = _mm256_sllv_epi32(_mm256_add_epi32(sums, self.bias), self.raise);
        let odd = _mm256_srli_epi64::<32>(even);
        let even = _mm256_add_epi64(_mm256_mul_epi32(even, self.mantissas[0]), self.added[0]);
        let odd = _mm256_add_epi64(_mm256_mul_epi32(odd, self.mantissas[1]), self.added[1]);
        let even = _mm256_srlv_epi64(even, self.shifts[0]);
        let odd = _mm256_srlv_epi64(odd, self.shifts[1]);
        let q = _mm256_sub_epi32(_mm256_blend_epi32::<0b1010_1010>(even, odd), self.excess);
        _mm256_min_epi32(_mm256_max_epi32(q, self.low), self.high)
    }
}

#[target_feature(enable = "avx2")]
#[inline]
#[allow(unsafe_code)]
fn load_i32(values: &[i32]) -> __m256i {
    assert!(values.len() >= LANES);
    // SAFETY: `values` holds 8 values of 32 bits: one unaligned load of 256 bits.
    unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
}

/// Rounding up from one half and moderate factors, which is what networks have; all else is left to the compiler.
#[target_feature(enable = "avx2,fma")]
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
            // SAFETY: `sums` holds 8 values of 32 bits: one unaligned store of 256 bits.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), q) };
        }
    }
}

/// As [`requantize`].
#[target_feature(enable = "avx2,fma")]
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

/// Values of the table in the low bytes; arguments beyond it give the last.
#[target_feature(enable = "avx2")]
#[inline]
#[allow(unsafe_code)]
fn look_up(arguments: __m256i, table: &Bytes) -> __m256i {
    let arguments = _mm256_min_epu32(arguments, _mm256_set1_epi32(table.len() as i32 - 1));
    // SAFETY: arguments are those of the table, and three bytes follow the last one, so each read of 32 bits lies within it.
    unsafe { _mm256_i32gather_epi32::<1>(table.values.as_ptr().cast(), arguments) }
}

/// The low bytes of the first values; 8 at most.
#[target_feature(enable = "avx2")]
#[inline]
fn store_u8(values: __m256i, out: &mut [u8]) {
    // The low bytes of each half of 128 bits, then the halves side by side.
    let low = _mm256_shuffle_epi8(values, _mm256_set1_epi64x(0x0c08_0400));
    let halves = _mm256_permutevar8x32_epi32(low, _mm256_setr_epi32(0, 4, 0, 0, 0, 0, 0, 0));
    let bytes = _mm_cvtsi128_si64(_mm256_castsi256_si128(halves)).to_le_bytes();
    match out.first_chunk_mut() {
        Some(out) => *out = bytes,
        None => out.copy_from_slice(&bytes[..out.len()]),
    }
}
