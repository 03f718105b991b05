//! The workflow of Icraft: its configurations, stages and files.

pub mod compile;
pub mod evaluate;
pub mod saturation;
