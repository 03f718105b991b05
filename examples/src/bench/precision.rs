//! Precisions that a checkpoint is timed in.
//!
//! A further precision is a variant here, with its name and what lowering needs, and what its convolutions multiply in
//! [`super::products`].

use nn_graph::Graph;
use ptq::{Placement, PlacementOptions, WeightConfig, Width};
use quant_core::{Format, Program, StepOp};

/// How all convolutions of a network are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum BenchPrecision {
    /// 8-bit integers, 16-bit pre-activations: what `quantize` makes by default
    I8,
    /// 8-bit integers, 8-bit pre-activations
    #[value(name = "i8-pre8")]
    I8Pre8,
    /// 16-bit integers, weights too
    I16,
    /// Single precision
    F32,
}

/// Name of a network whose convolutions are not all of one precision.
const MIXED: &str = "mixed";

impl BenchPrecision {
    /// All of them, as they are timed where none is asked for.
    pub const ALL: [Self; 4] = [Self::I8, Self::I8Pre8, Self::I16, Self::F32];

    /// Name on the command line and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::I8 => "i8",
            Self::I8Pre8 => "i8-pre8",
            Self::I16 => "i16",
            Self::F32 => "f32",
        }
    }

    /// Where quantisers go; none in single precision.
    #[must_use]
    pub fn placement(self, graph: &Graph) -> Option<Placement> {
        let (activations, preactivation) = match self {
            Self::I8 => (Width::Bits8, Width::Bits16),
            Self::I8Pre8 => (Width::Bits8, Width::Bits8),
            Self::I16 => (Width::Bits16, Width::Bits16),
            Self::F32 => return None,
        };
        let options = PlacementOptions { activations, preactivation, ..PlacementOptions::default() };
        Some(Placement::new(graph, options))
    }

    /// How weights are quantised.
    #[must_use]
    pub fn weights(self) -> WeightConfig {
        let bits = if self == Self::I16 { 16 } else { 8 };
        WeightConfig { bits, ..WeightConfig::default() }
    }

    /// Name of the precision of a program's convolutions; `None` where it has none.
    #[must_use]
    pub fn of_program(program: &Program) -> Option<&'static str> {
        let argument_of = |format: Format| match format {
            Format::I8(_) => Self::I8Pre8,
            Format::I12(_) | Format::I16(_) | Format::F32 => Self::I8,
        };
        let mut found = program.steps().iter().filter_map(|step| match &step.op {
            StepOp::ConvF32 { .. } => Some(Self::F32),
            StepOp::ConvI16 { .. } => Some(Self::I16),
            StepOp::ConvI8 { activation: Some((_, argument)), .. } => Some(argument_of(*argument)),
            StepOp::ConvI8 { activation: None, .. } => {
                Some(argument_of(program.tensors()[step.output].format))
            }
            _ => None,
        });
        let first = found.next()?;
        Some(if found.all(|precision| precision == first) { first.name() } else { MIXED })
    }
}
