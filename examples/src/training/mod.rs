//! Training of detectors in Burn.

mod arguments;
mod curves;
pub mod log;
mod run;
pub mod trainer;

pub use arguments::{DeviceArgument, TrainArguments};
pub use run::train;
