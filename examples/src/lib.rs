//! Shared parts of the example programs: arguments, loading, images, evaluation on threads, reports.
//!
//! Each program in `src/bin` is one step of the work: `calibrate`, `quantize`, `val`, `detect`, `inspect`; `analyze`, which finds the
//! layers that quantisation hurts; `bench`, which measures how fast networks run; `evaluate` and `compare`, which take any detector's results; `raw2ckpt`, `ckpt2raw`,
//! `icraft-params` and `icraft-plot`, which read and write files of Icraft; `train`, `inq` and `qat`, which train; and `draw-shapes`, which draws what
//! `fixtures/demo` was trained on.

#![forbid(unsafe_code)]

pub mod analysis;
pub mod annotations;
pub mod arguments;
pub mod bench;
pub mod calibration;
pub mod calibration_file;
pub mod calibration_source;
pub mod calibration_table;
pub mod candidates;
pub mod comparison;
pub mod comparison_text;
pub mod coverage_table;
pub mod csv;
pub mod curves;
pub mod dataset;
pub mod demo;
pub mod drawing;
pub mod drawn;
pub mod error;
pub mod figures;
pub mod icraft;
pub mod images;
pub mod inputs;
pub mod methods;
pub mod model_inputs;
pub mod network;
pub mod npy;
pub mod output;
pub mod plot;
pub mod precision;
pub mod progress;
pub mod protocol;
pub mod report;
pub mod resources;
pub mod run;
pub mod shapes;
pub mod shards;
mod stream;
pub mod summary;
#[cfg(feature = "train")]
pub mod training;
#[cfg(feature = "train")]
pub mod tuning;
pub mod weights;
pub mod workers;
