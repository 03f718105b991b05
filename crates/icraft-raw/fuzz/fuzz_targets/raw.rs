//! Raw files: no panic, and the same answer in every way of asking.
#![no_main]

#[path = "../../tests/raw/exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
