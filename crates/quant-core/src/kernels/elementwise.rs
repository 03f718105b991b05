//! Operators on single values: addition, re-scaling, tables.

use crate::{Multiplier, QuantParams, Rounding, SharedMultipliers, saturate, shift_right};
use rayon::prelude::*;

/// Values handled by one task.
const CHUNK: usize = 1 << 14;

/// An integer element of a tensor.
pub(crate) trait Integer: Copy + Into<i32> + Send + Sync {
    /// The value, which is known to fit.
    fn narrow(value: i32) -> Self;
}

impl Integer for i8 {
    fn narrow(value: i32) -> Self {
        value as i8
    }
}

impl Integer for i16 {
    fn narrow(value: i32) -> Self {
        value as i16
    }
}

/// `f` of every value, chunks in parallel.
pub(crate) fn map<I: Copy + Sync, O: Send>(input: &[I], output: &mut [O], f: impl Fn(I) -> O + Sync) {
    output.par_chunks_mut(CHUNK).zip(input.par_chunks(CHUNK)).for_each(|(output, input)| {
        output.iter_mut().zip(input).for_each(|(out, &v)| *out = f(v));
    });
}

/// One input of an integer sum.
#[derive(Clone, Copy)]
pub(crate) struct Term<'a, T> {
    pub(crate) values: &'a [T],
    pub(crate) zero_point: i32,
}

/// How an integer sum is scaled and stored.
pub(crate) struct Sum<'a> {
    pub(crate) multipliers: &'a SharedMultipliers,
    pub(crate) rounding: Rounding,
    pub(crate) zero_point: i32,
    pub(crate) range: (i32, i32),
}

/// `clamp(round((m_a (a - z_a) + m_b (b - z_b)) / 2^shift) + zero_point)`.
pub(crate) fn add<A: Integer, B: Integer, O: Integer>(
    a: Term<'_, A>,
    b: Term<'_, B>,
    how: &Sum<'_>,
    output: &mut [O],
) {
    let (m_a, m_b) = (i64::from(how.multipliers.mantissas[0]), i64::from(how.multipliers.mantissas[1]));
    let shift = u32::from(how.multipliers.shift);
    let inputs = a.values.par_chunks(CHUNK).zip(b.values.par_chunks(CHUNK));
    output.par_chunks_mut(CHUNK).zip(inputs).for_each(|(output, (x, y))| {
        for (out, (&x, &y)) in output.iter_mut().zip(x.iter().zip(y)) {
            let sum = m_a * i64::from(x.into() - a.zero_point) + m_b * i64::from(y.into() - b.zero_point);
            let scaled = shift_right(sum, shift, how.rounding) + i64::from(how.zero_point);
            *out = O::narrow(saturate(scaled, how.range.0, how.range.1));
        }
    });
}

/// The re-scaling of 8-bit values as a table, indexed by the value's bits.
pub(crate) fn rescale_table(
    from: QuantParams,
    to: QuantParams,
    factor: Multiplier,
    rounding: Rounding,
) -> [i8; 256] {
    std::array::from_fn(|bits| {
        let q = i32::from(bits as u8 as i8);
        let scaled = factor.apply(q - from.zero_point, rounding) + i64::from(to.zero_point);
        saturate(scaled, i32::from(i8::MIN), i32::from(i8::MAX)) as i8
    })
}
