//! The inner loops, per instruction set.
//!
//! [`portable`] holds them as plain Rust. Some of the same functions are compiled again with more instructions enabled, and others are
//! written with intrinsics: on x86-64 the tiles, the requantisation and the look-up (AVX2, alone and with VNNI; AVX-512 with VNNI), on
//! aarch64 the tiles (NEON with dot products). Every variant gives the same bits: integer sums are exact, float sums have one fixed
//! order of fused multiply-adds per output value. Its unsafe code: the calls of functions that need an
//! instruction set which [`Isa::detect`] has found, their vector loads and stores, and one instruction that has no intrinsic.

#[macro_use]
mod macros;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(test)]
mod tests;

use crate::layout::OFFSET;
use crate::{Activation, Rounding};
use std::ops::RangeInclusive;
use std::sync::OnceLock;

pub use peak::Operands;

/// Pixels of one tile.
pub(crate) const TILE_PIXELS: usize = 12;
/// Output channels of one tile; those of a narrow tile are half as many.
pub(crate) const TILE_CHANNELS: usize = 32;

/// Sums of one tile, `[pixel][channel]`.
pub(crate) type Tile<T> = [[T; TILE_CHANNELS]; TILE_PIXELS];

/// Consecutive pixels as rows of a matrix: row `p` is `values[p * stride..][..depth]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a, T> {
    pub(crate) values: &'a [T],
    pub(crate) stride: usize,
    pub(crate) depth: usize,
}

impl<T> Rows<'_, T> {
    /// Whether `pixels` rows are there.
    pub(crate) fn holds(&self, pixels: usize) -> bool {
        let last = pixels.saturating_sub(1).checked_mul(self.stride);
        let end = last.and_then(|last| last.checked_add(self.depth));
        pixels == 0 || end.is_some_and(|end| self.values.len() >= end)
    }
}

/// Weights of a tile's channels, for all rows one after the other, and how many pixels and channels the tile has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weights<'a, W> {
    /// `[depth / group][channels][group]`.
    pub(crate) values: &'a [W],
    /// [`TILE_CHANNELS`] or half of them.
    pub(crate) channels: usize,
}

/// Whether rows and weights have the lengths that a tile of `pixels` reads.
///
/// The one check in front of all unchecked reads.
fn fits<T, W: Copy>(rows: &[Rows<'_, T>], weights: Weights<'_, W>, pixels: usize) -> bool {
    // Without overflow, however wrong the lengths are.
    let depth = rows.iter().try_fold(0usize, |depth, rows| depth.checked_add(rows.depth));
    let count = depth.and_then(|depth| depth.checked_mul(weights.channels));
    (1..=TILE_PIXELS).contains(&pixels)
        && [TILE_CHANNELS, TILE_CHANNELS / 2].contains(&weights.channels)
        && count.is_some_and(|count| weights.values.len() >= count)
        && rows.iter().all(|rows| rows.holds(pixels))
}

/// An instruction set that this machine has; a value is the proof of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Isa(Level);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx2Vnni,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "aarch64")]
    NeonDotprod,
}

impl Isa {
    /// All that this machine has, slowest first; the portable one is always there.
    #[must_use]
    pub fn available() -> Vec<Isa> {
        let mut list = vec![Isa(Level::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx2 {
                list.push(Isa(Level::Avx2));
            }
            if avx2 && is_x86_feature_detected!("avxvnni") {
                list.push(Isa(Level::Avx2Vnni));
            }
            let wide = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni");
            if avx2 && wide {
                list.push(Isa(Level::Avx512Vnni));
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("dotprod") {
            list.push(Isa(Level::NeonDotprod));
        }
        list
    }

    /// The fastest.
    #[must_use]
    pub fn detect() -> Isa {
        static DETECTED: OnceLock<Isa> = OnceLock::new();
        *DETECTED.get_or_init(|| Self::available().pop().unwrap_or(Isa(Level::Portable)))
    }

    /// A name for reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2Vnni => "avx2-vnni",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni => "avx512-vnni",
            #[cfg(target_arch = "aarch64")]
            Level::NeonDotprod => "neon-dotprod",
        }
    }
}

/// A loop to be compiled for an instruction set: see [`Isa::run`].
pub trait Work {
    /// What it gives.
    type Output;

    /// The loop itself. Mark it, and what it calls, `#[inline(always)]`: only what is inlined gets the instructions.
    fn run(self) -> Self::Output;
}

impl Isa {
    /// Does `work` with code that was compiled for this instruction set. Rust keeps to the order of floating-point operations, so the
    /// result is the same on every instruction set.
    ///
    /// ```
    /// use quant_core::{Isa, Work};
    ///
    /// struct Largest<'a>(&'a [f32]);
    ///
    /// impl Work for Largest<'_> {
    ///     type Output = f32;
    ///
    ///     #[inline(always)]
    ///     fn run(self) -> f32 {
    ///         self.0.iter().fold(0.0, |a, &b| if b > a { b } else { a })
    ///     }
    /// }
    ///
    /// assert_eq!(Isa::detect().run(Largest(&[1.0, 3.0, 2.0])), 3.0);
    /// ```
    #[inline]
    pub fn run<W: Work>(self, work: W) -> W::Output {
        match self.0 {
            Level::Portable => work.run(),
            // SAFETY: an `Isa` of this level exists only where `Isa::available` has found its instructions.
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code)]
            Level::Avx2 => unsafe { avx2::run(work) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code)]
            Level::Avx2Vnni => unsafe { avx_vnni::run(work) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code)]
            Level::Avx512Vnni => unsafe { avx512::run(work) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            #[allow(unsafe_code)]
            Level::NeonDotprod => unsafe { neon::run(work) },
        }
    }
}

/// Calls the variant of a function for an instruction set.
macro_rules! dispatch {
    ($isa:expr, $name:ident($($arg:expr),*)) => {
        match $isa.0 {
            Level::Portable => portable::$name($($arg),*),
            // SAFETY: an `Isa` of this level exists only where `Isa::available` has found its instructions.
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code)]
            Level::Avx2 => unsafe { avx2::$name($($arg),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code)]
            Level::Avx2Vnni => unsafe { avx_vnni::$name($($arg),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code)]
            Level::Avx512Vnni => unsafe { avx512::$name($($arg),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            #[allow(unsafe_code)]
            Level::NeonDotprod => unsafe { neon::$name($($arg),*) },
        }
    };
}

mod peak;

// Below the macro, which it uses.

/// `sums[p][n] = sum over k of rows[p][k] * weights[k][n]`, the rows of all `rows` one after the other, `k` rising, by fused
/// multiply-adds from zero on.
///
/// # Panics
/// If slices are too short.
pub(crate) fn tile_f32(
    isa: Isa,
    rows: &[Rows<'_, f32>],
    weights: Weights<'_, f32>,
    pixels: usize,
    sums: &mut Tile<f32>,
) {
    assert!(fits(rows, weights, pixels));
    dispatch!(isa, tile_f32(rows, weights, pixels, sums));
}

/// As [`tile_f32`], modulo 2^32, with weights in groups of four; depths are multiples of four.
///
/// # Panics
/// If slices are too short.
pub(crate) fn tile_u8(
    isa: Isa,
    rows: &[Rows<'_, u8>],
    weights: Weights<'_, i8>,
    pixels: usize,
    sums: &mut Tile<i32>,
) {
    assert!(fits(rows, weights, pixels) && rows.iter().all(|rows| rows.depth.is_multiple_of(4)));
    dispatch!(isa, tile_u8(rows, weights, pixels, sums));
}

/// As [`tile_f32`], with exact sums of 64 bits and weights in groups of two; depths are even. Weights come in planes of 8 bits, low and, where
/// there are two, high: `w = low + 256 high`, each in `[-128, 128]`.
///
/// # Panics
/// If slices are too short.
pub(crate) fn tile_i16(
    isa: Isa,
    rows: &[Rows<'_, i16>],
    weights: Weights<'_, i16>,
    pixels: usize,
    sums: &mut Tile<i64>,
) {
    assert!(fits(rows, weights, pixels) && rows.iter().all(|rows| rows.depth.is_multiple_of(2)));
    sums[..pixels].as_flattened_mut().fill(0);
    let plane = weights.channels * rows.iter().map(|rows| rows.depth).sum::<usize>();
    for (index, values) in weights.values.chunks_exact(plane.max(1)).enumerate() {
        let weights = Weights { values, ..weights };
        dispatch!(isa, tile_i16(rows, weights, pixels, sums, 8 * index as u32));
    }
}

/// An integer that products are added up in.
pub(crate) trait SumOfProducts: Copy {
    /// `sum + zero`, modulo the width of the sums.
    fn plus(self, zero: Self) -> i64;
    /// A number that fits.
    fn from_wide(value: i64) -> Self;
}

impl SumOfProducts for i32 {
    #[inline(always)]
    fn plus(self, zero: Self) -> i64 {
        self.wrapping_add(zero).into()
    }

    #[inline(always)]
    fn from_wide(value: i64) -> Self {
        value as i32
    }
}

impl SumOfProducts for i64 {
    #[inline(always)]
    fn plus(self, zero: Self) -> i64 {
        self.wrapping_add(zero)
    }

    #[inline(always)]
    fn from_wide(value: i64) -> Self {
        value
    }
}

/// How sums are cut to fewer bits; one entry per output channel, at least as many as a tile has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CutSums<'a, S> {
    /// Added before.
    pub(crate) zero: &'a [S],
    pub(crate) shift: u32,
    pub(crate) rounding: Rounding,
    /// Fits the sums.
    pub(crate) range: (i64, i64),
}

/// `sums[p][n] = clamp(round((sums[p][n] + zero[n]) / 2^shift), range)` for all channels of the tile.
///
/// # Panics
/// If slices are too short.
pub(crate) fn cut<S: SumOfProducts>(isa: Isa, sums: &mut Tile<S>, pixels: usize, how: &CutSums<'_, S>) {
    assert!(pixels <= TILE_PIXELS && how.zero.len() >= TILE_CHANNELS);
    isa.run(portable::CutTile { sums: &mut sums[..pixels], how });
}

/// How sums become integers of a format; one entry per output channel, at least as many as a tile reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Requantize<'a, B> {
    /// As wide as the sums.
    pub(crate) bias: &'a [B],
    /// Bits that a sum with its bias is shifted to the left by; the result still fits the type of the sums.
    pub(crate) raise: &'a [i32],
    pub(crate) mantissa: &'a [i32],
    pub(crate) shift: &'a [i32],
    pub(crate) rounding: Rounding,
    pub(crate) zero_point: i32,
    pub(crate) low: i32,
    pub(crate) high: i32,
    /// Whether the zero point is [moderate](MODERATE_ZERO) and all shifts are [moderate](MODERATE), or for sums of 64 bits
    /// [`MODERATE_WIDE`].
    pub(crate) moderate: bool,
}

impl<B> Requantize<'_, B> {
    /// Whether there are entries for all channels of a tile.
    fn fits(&self) -> bool {
        let lengths = [self.bias.len(), self.raise.len(), self.mantissa.len(), self.shift.len()];
        lengths.iter().all(|&length| length >= TILE_CHANNELS)
    }
}

/// Shifts with which results fit 32 bits: a product has at most 2^62, a half at most 2^59, and what remains of them at most 2^30 + 1.
pub(crate) const MODERATE: RangeInclusive<i32> = 32..=60;
/// The largest magnitude that can be added to them without a thought.
pub(crate) const MODERATE_ZERO: u32 = 1 << 29;

/// `sums[p][n] = clamp(round((sums[p][n] + bias[n]) 2^raise[n] mantissa[n] / 2^shift[n]) + zero_point, low, high)` for all channels of the
/// tile.
///
/// # Panics
/// If slices are too short.
pub(crate) fn requantize(isa: Isa, sums: &mut Tile<i32>, pixels: usize, how: &Requantize<'_, i32>) {
    assert!(pixels <= TILE_PIXELS && how.fits());
    dispatch!(isa, requantize(sums, pixels, how));
}

/// Where a tile's values go: `values[p * stride + n]` for `channels` channels.
pub(crate) struct Target<'a, T> {
    pub(crate) values: &'a mut [T],
    pub(crate) stride: usize,
    pub(crate) channels: usize,
}

impl<T> Target<'_, T> {
    /// Whether there is room for `pixels`.
    fn holds(&self, pixels: usize) -> bool {
        Rows { values: &*self.values, stride: self.stride, depth: self.channels }.holds(pixels)
    }
}

/// [`requantize`], to a byte or an argument of `table`, whose values are then taken; the sums mean nothing afterwards.
///
/// # Panics
/// If slices are too short, or the table has not all arguments from `low` to `high`.
pub(crate) fn finish_u8(
    isa: Isa,
    sums: &mut Tile<i32>,
    pixels: usize,
    how: &Requantize<'_, i32>,
    table: Option<&Bytes>,
    target: &mut Target<'_, u8>,
) {
    assert!((1..=TILE_PIXELS).contains(&pixels) && how.fits() && target.channels <= TILE_CHANNELS);
    assert!(target.holds(pixels));
    assert!(0 <= how.low && how.low <= how.high && how.high < table.map_or(256, |table| table.len() as i32));
    dispatch!(isa, finish_u8(sums, pixels, how, table, target));
}

/// Shifts with which the lowest bits of a product don't matter, and halves stay within 64 bits.
pub(crate) const MODERATE_WIDE: RangeInclusive<i32> = 33..=60;

/// `out[p][n] = clamp(round((sums[p][n] + bias[n]) 2^raise[n] mantissa[n] / 2^shift[n]) + zero_point, low, high)` for all channels of the
/// tile.
///
/// Sums with their bias, raised, have magnitudes up to 2^46.
///
/// # Panics
/// If slices are too short.
pub(crate) fn requantize_wide(
    isa: Isa,
    sums: &Tile<i64>,
    pixels: usize,
    how: &Requantize<'_, i64>,
    out: &mut Tile<i32>,
) {
    assert!(pixels <= TILE_PIXELS && how.fits());
    dispatch!(isa, requantize_wide(sums, pixels, how, out));
}

/// Values of a function by its argument: 16 bits per argument, and as many more, so that each can be read as 32 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words {
    values: Vec<i16>,
}

impl Words {
    pub(crate) fn new(values: impl IntoIterator<Item = i16>) -> Self {
        Self { values: values.into_iter().chain([0]).collect() }
    }

    /// How many arguments there are.
    fn len(&self) -> usize {
        self.values.len() - 1
    }

    #[inline(always)]
    pub(crate) fn get(&self, argument: usize) -> i16 {
        self.values[argument]
    }
}

/// `out[p * stride + n] = f(q[p][n])` for `channels` channels, `f` being the table or none; all arguments are those of the table.
///
/// # Panics
/// If slices are too short.
pub(crate) fn store_i16(
    isa: Isa,
    q: &Tile<i32>,
    pixels: usize,
    table: Option<&Words>,
    target: &mut Target<'_, i16>,
) {
    assert!((1..=TILE_PIXELS).contains(&pixels) && target.channels <= TILE_CHANNELS);
    assert!(target.holds(pixels) && table.is_none_or(|table| table.len() > 0));
    dispatch!(isa, store_i16(q, pixels, table, target));
}

/// Values of a function by its argument: a byte per argument, and three more, so that each can be read as 32 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bytes {
    values: Vec<u8>,
}

impl Bytes {
    pub(crate) fn new(values: impl IntoIterator<Item = u8>) -> Self {
        let mut values: Vec<u8> = values.into_iter().collect();
        values.extend([0; 3]);
        Self { values }
    }

    /// How many arguments there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len() - 3
    }

    #[inline(always)]
    pub(crate) fn get(&self, argument: usize) -> u8 {
        self.values[argument]
    }
}

/// `sums[p][n] = activation(sums[p][n] + bias[n])` for all channels of the tile.
///
/// # Panics
/// If `bias` is too short.
pub(crate) fn bias_activation(
    isa: Isa,
    sums: &mut Tile<f32>,
    pixels: usize,
    bias: &[f32],
    activation: Option<Activation>,
) {
    assert!(pixels <= TILE_PIXELS && bias.len() >= TILE_CHANNELS);
    dispatch!(isa, bias_activation(sums, pixels, bias, activation));
}

/// `values = activation(values)`.
pub(crate) fn activate(isa: Isa, values: &mut [f32], activation: Activation) {
    dispatch!(isa, activate(values, activation));
}

/// `out = clamp(rint(values / scale), low - zero_point, high - zero_point) + zero_point`, half to even, in f32; NaN becomes `low`.
pub(crate) fn quantize(
    isa: Isa,
    values: &[f32],
    out: &mut [i32],
    scale: f32,
    zero_point: i32,
    range: (i32, i32),
) {
    dispatch!(isa, quantize(values, out, scale, zero_point, range));
}

/// How an integer sum of two tensors is scaled and stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sum {
    /// Factors in `[0, 2^24]`.
    pub(crate) mantissas: [i32; 2],
    pub(crate) shift: u32,
    pub(crate) rounding: Rounding,
    /// Of both inputs, and of the output.
    pub(crate) zero_points: [i32; 3],
    pub(crate) range: (i32, i32),
}

/// `out = clamp(round((m_a (a - z_a) + m_b (b - z_b)) / 2^shift) + z_out)`.
pub(crate) fn add<A: Integer, B: Integer, O: Integer>(isa: Isa, a: &[A], b: &[B], how: &Sum, out: &mut [O]) {
    dispatch!(isa, add(a, b, how, out));
}

/// An integer element of a stored tensor.
pub(crate) trait Integer: Copy + Send + Sync {
    fn integer(self) -> i32;
    /// The value, which is known to fit.
    fn store(value: i32) -> Self;
}

/// With 128 added.
impl Integer for u8 {
    #[inline(always)]
    fn integer(self) -> i32 {
        i32::from(self) - i32::from(OFFSET)
    }

    #[inline(always)]
    fn store(value: i32) -> Self {
        (value + i32::from(OFFSET)) as u8
    }
}

impl Integer for i16 {
    #[inline(always)]
    fn integer(self) -> i32 {
        self.into()
    }

    #[inline(always)]
    fn store(value: i32) -> Self {
        value as i16
    }
}
