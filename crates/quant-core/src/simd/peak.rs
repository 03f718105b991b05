//! How fast this machine multiplies at most: the instruction of an inner loop, and nothing else.

#[cfg(target_arch = "aarch64")]
use super::neon;
use super::{Level, portable};
#[cfg(target_arch = "x86_64")]
use super::{avx_vnni, avx2, avx512};
use crate::Isa;

/// Numbers that an inner loop multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operands {
    /// Unsigned by signed bytes, added up in 32 bits.
    I8,
    /// 16-bit numbers by those of 8 bits, added up in 32. Weights of more than 8 bits take two such products each, which count as one: the
    /// peak of a convolution with them is half of this.
    I16,
    /// Single precision, by fused multiply-adds.
    F32,
}

impl Isa {
    /// Multiplies and adds without reading or storing anything, `repetitions` times for as many independent sums as the inner loop for
    /// `operands` keeps in registers, and tells how many products that were. Divided by the time that a thread takes for it, this is a
    /// bound on what a convolution can reach on this instruction set.
    ///
    /// The instructions are `vpdpbusd` (AVX-512 with VNNI) and `vpmaddwd` (AVX2, without the addition that has to follow it there) for
    /// bytes, `vpdpwssd` and `vpmaddwd` for 16 bits, `vfmadd` for floats. Portable code has a multiplication and an addition of 32 bits for integers, and [`f32::mul_add`].
    ///
    /// ```
    /// use quant_core::{Isa, Operands};
    /// use std::time::Instant;
    ///
    /// let start = Instant::now();
    /// let products = Isa::detect().multiply(Operands::F32, 100_000);
    /// println!("{:.1} GMAC/s", products as f64 / start.elapsed().as_secs_f64() / 1e9);
    /// ```
    #[must_use]
    pub fn multiply(self, operands: Operands, repetitions: u32) -> u64 {
        let products = match operands {
            Operands::I8 => dispatch!(self, multiply_i8(repetitions)),
            Operands::I16 => dispatch!(self, multiply_i16(repetitions)),
            Operands::F32 => dispatch!(self, multiply_f32(repetitions)),
        };
        products as u64 * u64::from(repetitions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_counted_by_repetition() {
        for isa in Isa::available() {
            for operands in [Operands::I8, Operands::I16, Operands::F32] {
                let one = isa.multiply(operands, 1);
                assert!(one > 0, "{}", isa.name());
                assert_eq!(isa.multiply(operands, 1000), 1000 * one, "{} {operands:?}", isa.name());
                assert_eq!(isa.multiply(operands, 0), 0, "{} {operands:?}", isa.name());
            }
        }
    }
}
