#![doc = include_str!("../README.md")]

mod activation;
mod error;
mod executor;
mod file;
mod kernels;
mod layout;
mod mapped;
mod multiplier;
mod plan;
mod pool;
mod prepared;
mod program;
mod quantizer;
mod recording;
mod resume;
mod rounding;
mod simd;
mod steps;
mod table;
mod timing;
mod validate;
mod values;

pub use activation::Activation;
pub use error::{Error, FileFault};
pub use executor::Executor;
pub use multiplier::{Multiplier, ScaleForm, SharedMultipliers};
pub use program::{Constant, ConvGeometry, Cut, Description, Format, Program, Step, StepOp, TensorInfo};
pub use quantizer::{Granularity, QuantParams, QuantSpec, Scheme, fake_quantize};
pub use recording::Recording;
pub use resume::Remainder;
pub use rounding::{Rounding, round, saturate, shift_right};
pub use simd::{Isa, Operands, Work};
pub use timing::StepTimes;
pub use values::Values;
