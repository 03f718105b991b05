//! Shared parts of the example programs: arguments, loading, images, evaluation on threads, reports.
//!
//! Each program in `src/bin` is one step of the work: `quantize`, `val`, `detect`, `inspect`, and `make-fixtures`, which made
//! the files in `fixtures/demo`.

#![forbid(unsafe_code)]

pub mod arguments;
pub mod calibration;
pub mod dataset;
pub mod demo;
pub mod error;
pub mod images;
pub mod network;
pub mod npy;
pub mod output;
pub mod resources;
pub mod run;
pub mod summary;
pub mod workers;
