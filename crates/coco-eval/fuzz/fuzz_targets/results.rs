//! The reader of results: no panic, and the same rows or error in one go, through a small window, and in parts.
#![no_main]

use coco_eval::{Detections, InputPolicy, ReadLimits};

const SMALL: ReadLimits = ReadLimits { buffer_bytes: 7, ..ReadLimits::DEFAULT };

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let narrow = InputPolicy { limits: SMALL, ..InputPolicy::default() };
    let whole = Detections::from_json(bytes, InputPolicy::default()).map(|table| table.boxes().to_vec());
    let pieces = Detections::from_json_reader(bytes, narrow).map(|table| table.boxes().to_vec());
    let parts = Detections::from_json(bytes, narrow).map(|table| table.boxes().to_vec());
    assert_eq!((format!("{whole:?}"), format!("{whole:?}")), (format!("{pieces:?}"), format!("{parts:?}")));
});
