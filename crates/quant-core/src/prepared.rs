//! What steps need beyond their description: weights in the order of the inner loop, factors by channel, tables.

use crate::kernels::conv::PackedWeights;
use crate::kernels::elementwise;
use crate::layout::OFFSET;
use crate::simd::{CutSums, MODERATE, MODERATE_WIDE, MODERATE_ZERO, Requantize, TILE_CHANNELS};
use crate::table::Table;
use crate::validate::{MAX_WIDE_SUM, largest_sum};
use crate::{Cut, Format, Multiplier, Program, Rounding, Step, StepOp};
use std::ops::RangeInclusive;

/// Prepared once, when a step first runs.
pub(crate) enum Prepared {
    ConvF32 {
        weights: PackedWeights<f32>,
        bias: Vec<f32>,
    },
    ConvI8 {
        weights: PackedWeights<u8>,
        channels: Channels<i32>,
        cut: Option<CutChannels<i32>>,
        table: Option<Table>,
    },
    ConvI16 {
        weights: PackedWeights<i16>,
        channels: Channels<i64>,
        cut: Option<CutChannels<i64>>,
        table: Option<Table>,
    },
    Table(Option<Table>),
    Rescale(Vec<Option<Rescale>>),
    Nothing,
}

/// How an input of a concatenation is re-scaled.
pub(crate) enum Rescale {
    /// Stored bytes by stored bytes.
    Bytes(Box<[u8; 256]>),
    /// `clamp(round((q - from) * factor) + to)`.
    Words { from: i32, to: i32, range: (i32, i32), factor: Multiplier, rounding: Rounding },
}

/// How an integer convolution's sums become integers, by output channel, with as many more channels as a tile may read.
pub(crate) struct Channels<B> {
    bias: Vec<B>,
    raise: Vec<i32>,
    mantissa: Vec<i32>,
    shift: Vec<i32>,
    rounding: Rounding,
    zero_point: i32,
    low: i32,
    high: i32,
    moderate: bool,
}

impl<B> Channels<B> {
    /// Those of a tile, whose first channel is given.
    pub(crate) fn from(&self, first: usize) -> Requantize<'_, B> {
        let Self { bias, raise, mantissa, shift, rounding, zero_point, low, high, moderate } = self;
        Requantize {
            bias: &bias[first..],
            raise: &raise[first..],
            mantissa: &mantissa[first..],
            shift: &shift[first..],
            rounding: *rounding,
            zero_point: *zero_point,
            low: *low,
            high: *high,
            moderate: *moderate,
        }
    }
}

/// How sums are cut before their bias is added, and by output channel what the zero point's share of them is.
pub(crate) struct CutChannels<B> {
    zero: Vec<B>,
    how: Cut,
}

impl<B> CutChannels<B> {
    /// Those of a tile, whose first channel is given.
    pub(crate) fn from(&self, first: usize) -> CutSums<'_, B> {
        let Cut { shift, rounding, .. } = self.how;
        CutSums { zero: &self.zero[first..], shift: shift.into(), rounding, range: self.how.range() }
    }
}

/// Where a convolution's sums go: the format that they saturate in, what stands for zero in what is stored, how they are rounded.
struct Goal {
    zero_point: i32,
    low: i32,
    high: i32,
    rounding: Rounding,
}

impl Goal {
    /// What comes out is an argument of `table`, or else a stored value of the output.
    fn new(program: &Program, step: &Step, table: Option<&Table>) -> Option<Self> {
        let (StepOp::ConvI8 { rounding, activation, .. } | StepOp::ConvI16 { rounding, activation, .. }) =
            &step.op
        else {
            return None;
        };
        let output = program.tensors()[step.output].format;
        let target = activation.map_or(output, |(_, argument)| argument);
        let (params, (low, high)) = (target.params()?, target.range()?);
        let base = match (table, output) {
            (Some(table), _) => table.first,
            (None, Format::I8(_)) => -i32::from(OFFSET),
            (None, _) => 0,
        };
        Some(Self {
            zero_point: params.zero_point - base,
            low: low - base,
            high: high - base,
            rounding: *rounding,
        })
    }
}

/// `2^raise mantissa / 2^shift`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Factor {
    raise: i32,
    mantissa: i32,
    shift: i32,
}

impl Factor {
    /// The same factor as `mantissa / 2^shift`. Its shift is moderate, if that can be had from a mantissa below 2^31 and sums that `largest`
    /// bounds, raised to no more than `limit`.
    fn new(pair: &[i32], moderate: &RangeInclusive<i32>, largest: i64, limit: i64) -> Self {
        let (mantissa, shift) = (pair[0], pair[1]);
        if mantissa == 0 || largest == 0 {
            return Self { raise: 0, mantissa: 0, shift: *moderate.start() };
        }
        let room = mantissa.leading_zeros() as i32 - 1;
        let more = room.min(moderate.start() - shift).max(0);
        let (mantissa, shift) = (mantissa << more, shift + more);
        let raise = (moderate.start() - shift).max(0);
        if largest <= limit >> raise {
            Self { raise, mantissa, shift: shift + raise }
        } else {
            Self { raise: 0, mantissa, shift }
        }
    }
}

impl<B: Clone + Default> Channels<B> {
    fn new(goal: &Goal, bias: Vec<B>, factors: Vec<Factor>, moderate: RangeInclusive<i32>) -> Self {
        let moderate = goal.zero_point.unsigned_abs() <= MODERATE_ZERO
            && factors.iter().all(|factor| moderate.contains(&factor.shift));
        // Padding is nothing out of the ordinary, which would cost the others their fast way.
        let factors = padded(factors, Factor { raise: 0, mantissa: 0, shift: 40 });
        Self {
            bias: padded(bias, B::default()),
            raise: factors.iter().map(|factor| factor.raise).collect(),
            mantissa: factors.iter().map(|factor| factor.mantissa).collect(),
            shift: factors.iter().map(|factor| factor.shift).collect(),
            rounding: goal.rounding,
            zero_point: goal.zero_point,
            low: goal.low,
            high: goal.high,
            moderate,
        }
    }
}

fn conv_i8(program: &Program, step: &Step) -> Option<Prepared> {
    let StepOp::ConvI8 { geometry, weight, bias, cut, multipliers, activation, .. } = &step.op else {
        return None;
    };
    let table = activation
        .and_then(|(f, argument)| Table::activation(f, argument, program.tensors()[step.output].format));
    let goal = Goal::new(program, step, table.as_ref())?;
    let input = program.tensors()[step.inputs[0]].format;
    let input_zero = input.params().map_or(0, |p| p.zero_point);
    let rows = program.i8(weight).chunks_exact(geometry.depth()).zip(program.i32(bias));
    let pairs = program.i32(multipliers).chunks_exact(2).zip(rows.clone());
    let factors = pairs.map(|(pair, (row, &bias))| {
        let largest = largest_sum(row, bias.into(), input, *cut);
        Factor::new(pair, &MODERATE, largest, i32::MAX.into())
    });
    let zero = rows.clone().map(|(row, _)| {
        let weights: i32 = row.iter().map(|&w| i32::from(w)).sum();
        // Modulo 2^32, as the sums are; what they add up to fits.
        weights.wrapping_mul(input_zero + i32::from(OFFSET)).wrapping_neg()
    });
    let (bias, cut) = with_zero(zero.collect(), program.i32(bias), *cut, i32::wrapping_add);
    let channels = Channels::new(&goal, bias, factors.collect(), MODERATE);
    let weights = PackedWeights::new(*geometry, program.i8(weight));
    Some(Prepared::ConvI8 { weights, channels, cut, table })
}

fn conv_i16(program: &Program, step: &Step) -> Option<Prepared> {
    let StepOp::ConvI16 { geometry, weight, bias, cut, multipliers, activation, .. } = &step.op else {
        return None;
    };
    let table = activation
        .and_then(|(f, argument)| Table::activation(f, argument, program.tensors()[step.output].format));
    let goal = Goal::new(program, step, table.as_ref())?;
    let input = program.tensors()[step.inputs[0]].format;
    let input_zero = input.params().map_or(0, |p| p.zero_point);
    let weight = program.i16(weight);
    let rows = weight.chunks_exact(geometry.depth()).zip(program.i64(bias));
    let pairs = program.i32(multipliers).chunks_exact(2).zip(rows.clone());
    let factors = pairs.map(|(pair, (row, &bias))| {
        Factor::new(pair, &MODERATE_WIDE, largest_sum(row, bias, input, *cut), MAX_WIDE_SUM)
    });
    let zero =
        rows.clone().map(|(row, _)| -row.iter().map(|&w| i64::from(w)).sum::<i64>() * i64::from(input_zero));
    let (bias, cut) = with_zero(zero.collect(), program.i64(bias), *cut, i64::wrapping_add);
    let channels = Channels::new(&goal, bias, factors.collect(), MODERATE_WIDE);
    Some(Prepared::ConvI16 { weights: PackedWeights::new(*geometry, &weight), channels, cut, table })
}

/// Adds the zero point's share of the sums to the bias, or, where sums are cut before that, leaves it to the cut.
fn with_zero<B: Copy + Default>(
    zero: Vec<B>,
    bias: &[B],
    cut: Option<Cut>,
    add: impl Fn(B, B) -> B,
) -> (Vec<B>, Option<CutChannels<B>>) {
    match cut {
        Some(how) => (bias.to_vec(), Some(CutChannels { zero: padded(zero, B::default()), how })),
        None => (zero.into_iter().zip(bias).map(|(zero, &bias)| add(zero, bias)).collect(), None),
    }
}

fn padded<T: Clone>(mut channels: Vec<T>, with: T) -> Vec<T> {
    channels.resize(channels.len() + TILE_CHANNELS, with);
    channels
}

pub(crate) fn prepare(program: &Program, step: &Step) -> Prepared {
    let format = |id: usize| program.tensors()[id].format;
    match &step.op {
        StepOp::ConvF32 { geometry, weight, bias, .. } => Prepared::ConvF32 {
            weights: PackedWeights::new(*geometry, program.f32(weight)),
            bias: padded(program.f32(bias).to_vec(), 0.0),
        },
        StepOp::ConvI8 { .. } => conv_i8(program, step).unwrap_or(Prepared::Nothing),
        StepOp::ConvI16 { .. } => conv_i16(program, step).unwrap_or(Prepared::Nothing),
        StepOp::Activation(f) => {
            Prepared::Table(Table::activation(*f, format(step.inputs[0]), format(step.output)))
        }
        StepOp::Concat { rescale, rounding } => {
            let rescale_input = |(&id, &factor): (&usize, &Option<Multiplier>)| {
                let (from, to, factor) = (format(id).params()?, format(step.output).params()?, factor?);
                Some(match format(id) {
                    wide if wide.is_wide() => Rescale::Words {
                        from: from.zero_point,
                        to: to.zero_point,
                        range: format(step.output).range()?,
                        factor,
                        rounding: *rounding,
                    },
                    _ => Rescale::Bytes(Box::new(elementwise::rescale_table(from, to, factor, *rounding))),
                })
            };
            Prepared::Rescale(step.inputs.iter().zip(rescale).map(rescale_input).collect())
        }
        StepOp::Join => Prepared::Rescale(step.inputs.iter().map(|_| None).collect()),
        _ => Prepared::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_stay_the_same_and_raised_sums_within_their_limit() {
        let limit = i64::from(i32::MAX);
        let max = i32::MAX;
        for (pair, largest, expected) in [
            // Moderate as it is.
            ([max, 32], limit, (0, max, 32)),
            ([max, 60], limit, (0, max, 60)),
            // By a longer mantissa alone.
            ([200, 16], limit, (0, 200 << 16, 32)),
            // By raised sums, as far as there is room.
            ([max, 31], limit >> 1, (1, max, 32)),
            ([max, 31], (limit >> 1) + 1, (0, max, 31)),
            ([max, 28], limit >> 4, (4, max, 32)),
            ([max, 28], (limit >> 4) + 1, (0, max, 28)),
            ([3, 0], limit >> 3, (3, 3 << 29, 32)),
            // Nothing to scale.
            ([max, 0], 0, (0, 0, 32)),
            ([0, 5], limit, (0, 0, 32)),
        ] {
            let factor = Factor::new(&pair, &MODERATE, largest, limit);
            let (raise, mantissa, shift) = expected;
            assert_eq!(factor, Factor { raise, mantissa, shift }, "{pair:?} for {largest}");
            assert!(largest << raise <= limit);
            if largest > 0 {
                let value = |m: i32, n: i32| f64::from(m) / 2f64.powi(n);
                assert_eq!(value(mantissa, shift - raise), value(pair[0], pair[1]));
            }
        }
    }
}
