//! The programs as a user meets them: run on the demonstration, and on every kind of bad input.

// The helpers are test code too, but the lints' exception covers only functions marked as tests.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod analyze;
mod bad_checkpoints;
mod bad_data;
mod bad_results;
mod bench;
mod calibrate;
mod compare;
mod evaluate;
mod icraft;
mod icraft_compile;
mod icraft_pairs;
mod icraft_tables;
mod programs;
mod quantize;
mod rows;
mod support;
