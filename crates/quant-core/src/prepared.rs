//! What steps need beyond their description: weights in the order of the inner loop, factors by channel, tables.

use crate::kernels::conv::PackedWeights;
use crate::kernels::elementwise;
use crate::layout::OFFSET;
use crate::simd::{Requantize, TILE_CHANNELS, is_moderate};
use crate::table::Table;
use crate::{Format, Program, Rounding, Step, StepOp};

/// Prepared once, when a step first runs.
pub(crate) enum Prepared {
    ConvF32 { weights: PackedWeights<f32>, bias: Vec<f32> },
    ConvI8 { weights: PackedWeights<u8>, channels: Channels, table: Option<Table> },
    Table(Option<Table>),
    Rescale(Vec<Option<Box<[u8; 256]>>>),
    Nothing,
}

/// How an integer convolution's sums become integers, by output channel, with as many more channels as a tile may read.
pub(crate) struct Channels {
    bias: Vec<i32>,
    mantissa: Vec<i32>,
    shift: Vec<i32>,
    rounding: Rounding,
    zero_point: i32,
    low: i32,
    high: i32,
    moderate: bool,
}

impl Channels {
    /// Those of a tile, whose first channel is given.
    pub(crate) fn from(&self, first: usize) -> Requantize<'_> {
        let Self { bias, mantissa, shift, rounding, zero_point, low, high, moderate } = self;
        Requantize {
            bias: &bias[first..],
            mantissa: &mantissa[first..],
            shift: &shift[first..],
            rounding: *rounding,
            zero_point: *zero_point,
            low: *low,
            high: *high,
            moderate: *moderate,
        }
    }

    /// What comes out is an argument of `table`, or else a stored value of `output`.
    fn new(program: &Program, step: &Step, table: Option<&Table>) -> Option<Self> {
        let StepOp::ConvI8 { geometry, weight, bias, multipliers, rounding, activation } = &step.op else {
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
        let input_zero = program.tensors()[step.inputs[0]].format.params().map_or(0, |p| p.zero_point);
        let rows = program.i8(weight).chunks_exact(geometry.depth());
        let bias = rows.zip(program.i32(bias)).map(|(row, &bias)| {
            let weights: i32 = row.iter().map(|&w| i32::from(w)).sum();
            // Modulo 2^32, as the sums are; what they add up to fits.
            bias.wrapping_sub(weights.wrapping_mul(input_zero + i32::from(OFFSET)))
        });
        let pairs = program.i32(multipliers).chunks_exact(2);
        let (mantissa, shift): (Vec<i32>, Vec<i32>) = pairs.map(|pair| (pair[0], pair[1])).unzip();
        let zero_point = params.zero_point - base;
        let moderate = is_moderate(&shift, zero_point);
        Some(Self {
            bias: padded(bias.collect(), 0),
            mantissa: padded(mantissa, 0),
            // Not out of the ordinary, which would cost the others their fast way.
            shift: padded(shift, 32),
            rounding: *rounding,
            zero_point,
            low: low - base,
            high: high - base,
            moderate,
        })
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
        StepOp::ConvI8 { geometry, weight, activation, .. } => {
            let table =
                activation.and_then(|(f, argument)| Table::activation(f, argument, format(step.output)));
            let weights = PackedWeights::new(*geometry, program.i8(weight));
            match Channels::new(program, step, table.as_ref()) {
                Some(channels) => Prepared::ConvI8 { weights, channels, table },
                None => Prepared::Nothing,
            }
        }
        StepOp::Activation(f) => {
            Prepared::Table(Table::activation(*f, format(step.inputs[0]), format(step.output)))
        }
        StepOp::Concat { rescale, rounding } => {
            let table = |(&id, &factor): (&usize, &Option<crate::Multiplier>)| {
                let (from, to) = (format(id).params()?, format(step.output).params()?);
                Some(Box::new(elementwise::rescale_table(from, to, factor?, *rounding)))
            };
            Prepared::Rescale(step.inputs.iter().zip(rescale).map(table).collect())
        }
        _ => Prepared::Nothing,
    }
}
