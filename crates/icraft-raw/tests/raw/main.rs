//! Raw files, good and damaged, and what their elements stand for.

// The helpers are test code too, but the lints' exception covers only functions marked as tests.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]

mod damaged;
mod exercise;
mod files;
mod layouts;
mod mapping;
mod mutations;
mod rewriting;
mod samples;
mod sizes;
mod values;
mod writing;
