//! The workflow of Icraft: its configurations, stages and files; pairs of json and raw to checkpoints and back, tables for training, and drawings.

pub mod arguments;
pub mod checkpoints;
pub mod compile;
pub mod drawing;
pub mod dump;
pub mod error;
pub mod errors;
pub mod evaluate;
pub mod feature_maps;
pub mod integers;
pub mod log;
pub mod logs;
pub mod names;
pub mod output;
pub mod pairs;
pub mod params;
pub mod plots;
pub mod python;
pub mod report;
pub mod reversal;
pub mod saturation;
pub mod tensors;
pub mod training;
