//! The inner loops, per instruction set.
//!
//! [`portable`] holds them as plain Rust. For x86-64 the same functions are compiled again with wider instructions enabled, and the
//! integer tile is written with the dot-product instructions. Every variant gives the same bits: integer sums are exact, float sums have
//! one fixed order of fused multiply-adds per output value. This is the only module with unsafe code: the calls of functions that need
//! an instruction set which [`Isa::detect`] has found, and their vector loads and stores.

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::{Activation, Rounding};
use std::sync::OnceLock;

/// Output channels of one tile.
pub(crate) const MR: usize = 8;
/// Output pixels of one tile.
pub(crate) const NR: usize = 32;

/// Sums of one tile, `[channel][pixel]`.
pub(crate) type Tile<T> = [[T; NR]; MR];

/// An instruction set that this machine has; a value is the proof of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Isa(Level);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
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
            let wide = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni");
            if avx2 && wide {
                list.push(Isa(Level::Avx512Vnni));
            }
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
            Level::Avx512Vnni => "avx512-vnni",
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
            Level::Avx2 => unsafe { x86::run_avx2(work) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code)]
            Level::Avx512Vnni => unsafe { x86::run_avx512(work) },
        }
    }
}

/// Calls the variant of a function for an instruction set.
macro_rules! dispatch {
    ($isa:expr, $portable:path, $avx2:ident, $avx512:ident, ($($arg:expr),*)) => {
        match $isa.0 {
            Level::Portable => $portable($($arg),*),
            // SAFETY: an `Isa` of this level exists only where `Isa::available` has found its instructions.
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code)]
            Level::Avx2 => unsafe { x86::$avx2($($arg),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code)]
            Level::Avx512Vnni => unsafe { x86::$avx512($($arg),*) },
        }
    };
}

/// `sums[m][n] = fma(a[k][m], b[k][n], sums[m][n])` for k = 0, 1, ... in order; `a` holds MR, `b` NR values per k.
pub(crate) fn tile_f32(isa: Isa, a: &[f32], b: &[f32], sums: &mut Tile<f32>) {
    dispatch!(isa, portable::tile_f32, tile_f32_avx2, tile_f32_avx512, (a, b, sums));
}

/// `sums[m][n] += a[k][m][0] b[k][n][0] + a[k][m][1] b[k][n][1]` over all pairs k; all values in `[-128, 127]`.
pub(crate) fn tile_i16(isa: Isa, a: &[i16], b: &[i16], sums: &mut Tile<i32>) {
    dispatch!(isa, portable::tile_i16, tile_i16_avx2, tile_i16_avx512, (a, b, sums));
}

/// How 32-bit sums become integers of a format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Requantize {
    pub(crate) bias: i32,
    pub(crate) mantissa: i32,
    pub(crate) shift: u32,
    pub(crate) rounding: Rounding,
    pub(crate) zero_point: i32,
    pub(crate) low: i32,
    pub(crate) high: i32,
}

/// `sums[n] = clamp(round((sums[n] + bias) * mantissa / 2^shift) + zero_point, low, high)`.
pub(crate) fn requantize(isa: Isa, sums: &mut [i32], how: &Requantize) {
    dispatch!(isa, portable::requantize, requantize_avx2, requantize_avx512, (sums, how));
}

/// `values = activation(values + bias)`.
pub(crate) fn bias_activation(isa: Isa, values: &mut [f32], bias: f32, activation: Option<Activation>) {
    dispatch!(
        isa,
        portable::bias_activation,
        bias_activation_avx2,
        bias_activation_avx512,
        (values, bias, activation)
    );
}

/// `out[n * D + part] = widen(line[n])` for every `n`.
pub(crate) fn interleave<const D: usize>(isa: Isa, lines: [&[i8]; D], out: &mut [i16]) {
    dispatch!(isa, portable::interleave::<D>, interleave_avx2, interleave_avx512, (lines, out));
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
    dispatch!(
        isa,
        portable::quantize,
        quantize_avx2,
        quantize_avx512,
        (values, out, scale, zero_point, range)
    );
}
