//! Training of detectors in Burn.

mod arguments;
pub mod log;
mod run;
pub mod trainer;

pub use arguments::{DeviceArgument, TrainArguments};
pub use run::train;
