#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod params;

pub use params::{Params, Tensor};
