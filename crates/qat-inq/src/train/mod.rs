//! Training in Burn.

mod distillation;
mod fake_quant;
mod hook;
mod masked;
mod quantizers;
mod steps;

pub use distillation::{Taps, block_outputs, distillation_loss, head_distillation_loss};
pub use fake_quant::{fake_quantize_ste, learned_quantize};
pub use hook::FakeQuantization;
pub use masked::Masked;
pub use quantizers::{KernelQuantizer, MapQuantizer, Quantizers, StepForm, StepUnit};
pub use steps::LearnedSteps;
