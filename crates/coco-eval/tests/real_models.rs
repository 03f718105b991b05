//! Two detectors' results on 206 images of COCO val2017: the twelve figures that pycocotools printed in full.

#![allow(clippy::unwrap_used, reason = "helpers outside test functions")]

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use coco_eval::{Detections, EvalParams, GroundTruth, InputPolicy, evaluate};

#[test]
fn twelve_figures_of_yolov5n() {
    let Some(assets) = std::env::var_os("YOLO_ASSETS").map(PathBuf::from) else {
        println!("skipped: YOLO_ASSETS is not set");
        return;
    };
    let annotations = assets.join("coco/instances_val206.json");
    let results = assets.join("eval/yolov5n_val206");
    let mut faults = Vec::new();
    for name in ["fp32_derived", "qdq_selfmade"] {
        let start = Instant::now();
        let policy = InputPolicy::default();
        let ground_truth = GroundTruth::from_json_file(&annotations, policy).unwrap();
        let detections =
            Detections::from_json_file(results.join(format!("{name}_predictions.json")), policy).unwrap();
        let loaded = start.elapsed();
        let evaluation = evaluate(&ground_truth, &detections, &EvalParams::default()).unwrap();
        let found = evaluation.summarize().unwrap().to_array();
        let total = start.elapsed();
        println!("{name}: {} detections, load {loaded:?}, with evaluation {total:?}", detections.len());
        let text = fs::read_to_string(results.join(format!("{name}_pycocotools.txt"))).unwrap();
        let expected = text.split_once("stats=").unwrap().1;
        let expected: [f64; 12] = serde_json::from_str(expected.trim()).unwrap();
        if found.map(f64::to_bits) != expected.map(f64::to_bits) {
            faults.push(format!("{name}: {found:?}\nexpected {expected:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
