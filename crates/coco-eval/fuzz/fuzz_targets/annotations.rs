//! The reader of annotations: no panic, and the same rows or error through a small window.
#![no_main]

use coco_eval::{GroundTruth, InputPolicy, ReadLimits};

const SMALL: ReadLimits = ReadLimits { buffer_bytes: 7, ..ReadLimits::DEFAULT };

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let narrow = InputPolicy { limits: SMALL, ..InputPolicy::default() };
    let whole = GroundTruth::from_json(bytes, InputPolicy::default()).map(|table| table.boxes().to_vec());
    let pieces = GroundTruth::from_json_reader(bytes, narrow).map(|table| table.boxes().to_vec());
    assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
});
