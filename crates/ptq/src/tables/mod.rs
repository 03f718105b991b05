//! Calibration tables of other tools: what is known of each tensor's range, as files.
//!
//! | type | file | value |
//! |---|---|---|
//! | [`TensorRtCache`] | TensorRT's calibration cache | scale `amax / 127`, as the bits of an f32 in hexadecimal |
//! | [`NcnnTable`] | ncnn's `.table` | `127 / amax`, decimal; per output channel for weights |
//! | [`OrtRanges`] | onnxruntime's `calibration.json` | `[low, high]`, decimal |
//! | [`OrtMaxima`] | onnxruntime's `calibration.cache` | `amax`, decimal |
//!
//! Readers take text that may be anything and never panic; writers give back what the tools write, byte for byte.

mod error;
mod ncnn;
mod onnxruntime;
mod tensorrt;

pub use error::TableError;
pub use ncnn::NcnnTable;
pub use onnxruntime::{OrtMaxima, OrtRanges};
pub use tensorrt::TensorRtCache;

use std::collections::BTreeSet;

/// Lines that are not blank, with their numbers from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, line)| (i + 1, line)).filter(|(_, line)| !line.trim().is_empty())
}

/// Refuses a name that occurs twice in a file.
fn check_unique<'a>(names: impl Iterator<Item = (usize, &'a str)>) -> Result<(), TableError> {
    let mut seen = BTreeSet::new();
    for (line, name) in names {
        if !seen.insert(name) {
            return Err(TableError::Duplicate { line, name: name.to_owned() });
        }
    }
    Ok(())
}
