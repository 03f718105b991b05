//! What the convolutions of a network multiply.

use quant_core::{ConvGeometry, Executor, Operands, Step, StepOp};
use std::collections::BTreeMap;

/// The products of a convolution whose output is `(channels, height, width)`: of what numbers, and how many, those with padding
/// included; `None` for other steps.
#[must_use]
pub fn products(step: &Step, output: [usize; 3]) -> Option<(Operands, u64)> {
    let (operands, geometry) = convolution(&step.op)?;
    let values: usize = output.iter().product();
    Some((operands, (values as u64).saturating_mul(geometry.depth() as u64)))
}

fn convolution(op: &StepOp) -> Option<(Operands, &ConvGeometry)> {
    match op {
        StepOp::ConvI8 { geometry, .. } => Some((Operands::I8, geometry)),
        StepOp::ConvI16 { geometry, .. } => Some((Operands::I16, geometry)),
        StepOp::ConvF32 { geometry, .. } => Some((Operands::F32, geometry)),
        _ => None,
    }
}

/// What kind of step it is, in a few words: `conv i8 3x3/2` has a kernel of 3x3 and a stride of 2.
#[must_use]
pub(super) fn kind(op: &StepOp) -> String {
    if let Some((operands, geometry)) = convolution(op) {
        let numbers = match operands {
            Operands::I8 => "i8",
            Operands::I16 => "i16",
            Operands::F32 => "f32",
        };
        let ([kernel_height, kernel_width], [stride, _]) = (geometry.kernel, geometry.stride);
        return format!("conv {numbers} {kernel_height}x{kernel_width}/{stride}");
    }
    let name = match op {
        StepOp::Quantize => "quantize",
        StepOp::Dequantize => "dequantize",
        StepOp::Activation(_) => "activation",
        StepOp::Add { .. } => "add",
        StepOp::Concat { .. } | StepOp::Join => "concat",
        StepOp::MaxPool { .. } => "max-pool",
        StepOp::Upsample { .. } => "upsample",
        StepOp::SpaceToDepth => "space-to-depth",
        StepOp::ConvF32 { .. } | StepOp::ConvI8 { .. } | StepOp::ConvI16 { .. } => "conv",
    };
    name.to_owned()
}

/// Products of a run by what they multiply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Products(BTreeMap<Operands, u64>);

impl Products {
    /// Those of all steps that `executor` runs.
    #[must_use]
    pub fn of(executor: &Executor<'_>) -> Self {
        let mut counts = BTreeMap::new();
        let steps = executor.program().steps().iter();
        for (operands, count) in steps.filter_map(|step| products(step, executor.shapes()[step.output])) {
            *counts.entry(operands).or_default() += count;
        }
        Self(counts)
    }

    /// What is multiplied.
    pub fn operands(&self) -> impl Iterator<Item = Operands> {
        self.0.keys().copied()
    }

    /// All products, in 10^9.
    #[must_use]
    pub fn giga(&self) -> f64 {
        self.0.values().sum::<u64>() as f64 / 1e9
    }

    /// Products per second, in 10^9, of a thread that does each kind at its `peak`: all products divided by the sum of the times.
    #[must_use]
    pub fn giga_per_second_at(&self, peak: impl Fn(Operands) -> f64) -> f64 {
        let seconds: f64 = self.0.iter().map(|(&operands, &count)| count as f64 / 1e9 / peak(operands)).sum();
        self.giga() / seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_of_a_mixture_is_that_of_the_time_it_takes() {
        let products =
            Products(BTreeMap::from([(Operands::I8, 3_000_000_000), (Operands::F32, 1_000_000_000)]));
        // 3 at 6 per second and 1 at 2 per second: one second for 4.
        let peak = |operands| if operands == Operands::I8 { 6.0 } else { 2.0 };
        assert!((products.giga() - 4.0).abs() < 1e-12);
        assert!((products.giga_per_second_at(peak) - 4.0).abs() < 1e-12);
    }
}
