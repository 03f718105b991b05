//! Stored outcomes: no panic on reading, nor in what is made of those that are believed.
#![no_main]

use coco_eval::Outcomes;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(outcomes) = serde_json::from_slice::<Outcomes>(bytes) else { return };
    let again = Outcomes::merge([outcomes]).ok();
    let ones = again.as_ref().map(|outcomes| vec![1; outcomes.image_ids().len()]);
    let _ = again.zip(ones).map(|(outcomes, ones)| outcomes.weighted_summary(&ones));
});
