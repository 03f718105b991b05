//! The readers of csv logs: no panic, and what is read survives being written.
#![no_main]

#[path = "../../tests/support/properties.rs"]
#[allow(dead_code, reason = "each target checks one kind of text")]
mod properties;

libfuzzer_sys::fuzz_target!(|text: &str| properties::logs(text));
