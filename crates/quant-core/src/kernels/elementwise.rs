//! Operators on single values: addition, re-scaling, tables.

use crate::simd::{self, Integer, Sum};
use crate::{Isa, Multiplier, QuantParams, Rounding, saturate};
use rayon::prelude::*;

/// Values handled by one task.
const CHUNK: usize = 1 << 14;

/// `f` of every value, chunks in parallel.
pub(crate) fn map<I: Copy + Sync, O: Send>(input: &[I], output: &mut [O], f: impl Fn(I) -> O + Sync) {
    output.par_chunks_mut(CHUNK).zip(input.par_chunks(CHUNK)).for_each(|(output, input)| {
        output.iter_mut().zip(input).for_each(|(out, &v)| *out = f(v));
    });
}

/// `clamp(round((m_a (a - z_a) + m_b (b - z_b)) / 2^shift) + zero_point)`.
pub(crate) fn add<A: Integer, B: Integer, O: Integer>(
    isa: Isa,
    a: &[A],
    b: &[B],
    how: &Sum,
    output: &mut [O],
) {
    let inputs = a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK));
    output.par_chunks_mut(CHUNK).zip(inputs).for_each(|(output, (a, b))| simd::add(isa, a, b, how, output));
}

/// `output = a + b`.
pub(crate) fn add_f32(a: &[f32], b: &[f32], output: &mut [f32]) {
    let inputs = a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK));
    output.par_chunks_mut(CHUNK).zip(inputs).for_each(|(output, (a, b))| {
        output.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (a, b))| *out = a + b);
    });
}

/// The re-scaling of stored 8-bit values as a table.
pub(crate) fn rescale_table(
    from: QuantParams,
    to: QuantParams,
    factor: Multiplier,
    rounding: Rounding,
) -> [u8; 256] {
    std::array::from_fn(|stored| {
        let q = (stored as u8).integer();
        let scaled = factor.apply(q - from.zero_point, rounding) + i64::from(to.zero_point);
        u8::store(saturate(scaled, i32::from(i8::MIN), i32::from(i8::MAX)))
    })
}
