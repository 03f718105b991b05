#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod error;
mod grid;
mod partition;
mod ratios;

pub use error::Error;
pub use grid::{Grid, UniformGrid};
pub use partition::{Nesting, Partition, partition};
pub use ratios::Ratios;
