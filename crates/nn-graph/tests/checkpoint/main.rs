//! Checkpoints: archives built here byte by byte, hostile ones, and released models where they are at hand.

// The helpers are test code too, but the lints' exception covers only functions marked as tests.
#![allow(clippy::panic, clippy::unwrap_used)]

mod builder;
mod formats;
mod hostile;
mod released;
