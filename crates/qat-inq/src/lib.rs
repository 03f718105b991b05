#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod error;
mod grid;
mod partition;
mod ratios;
mod stages;
#[cfg(feature = "train")]
mod train;

pub use error::Error;
pub use grid::{Grid, UniformGrid};
pub use partition::{Nesting, Partition, partition};
pub use ratios::Ratios;
pub use stages::{Inq, Masks, Projection};
#[cfg(feature = "train")]
pub use train::{
    FakeQuantization, KernelQuantizer, LearnedSteps, MapQuantizer, Masked, Quantizers, StepForm, StepUnit,
    Taps, block_outputs, distillation_loss, fake_quantize_ste, head_distillation_loss, learned_quantize,
};
