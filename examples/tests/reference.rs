//! The float network against recorded predictions of the same weights, where `YOLO_ASSETS` says where they are.

// The helpers are test code too, but the lints' exception covers only functions marked as tests.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use coco_eval::{Detection, Detections, InputPolicy, box_iou};
use examples::dataset::Dataset;
use examples::network::Model;
use examples::run::{Options, Outcome, evaluate};
use ptq::{Fusion, lower_float};
use std::collections::BTreeMap;
use std::path::Path;
use yolo_model::{ImageSize, NmsParams};

/// Reference detections below this score are not looked for: their order, and so what suppresses what, hangs on the last bits.
const SCORE: f64 = 0.25;
/// What counts as the same detection.
const IOU: f64 = 0.99;
const SCORE_TOLERANCE: f64 = 0.005;
/// Decoders of JPEG differ by a grey level here and there, which moves a few boxes.
const SHARE: f64 = 0.99;

/// Evaluates yolov5n as its authors do.
fn evaluate_float(assets: &Path) -> Outcome {
    let model = Model::load(&assets.join("weights/yolov5n.pt"), None).unwrap();
    let program = lower_float(&model.graph, &model.params, Fusion::Fused).unwrap();
    let network = model.network(program, ImageSize::new(640, 640)).unwrap();
    let annotations = assets.join("coco/instances_val206.json");
    let dataset = Dataset::open(&assets.join("coco/val206"), &annotations, false).unwrap();
    assert_eq!(dataset.images.len(), 206);
    let category_ids = dataset.category_ids(&network.class_names, &annotations).unwrap();
    let nms = NmsParams { confidence: 0.001, iou: 0.6, ..NmsParams::default() };
    let options = Options { nms, threads: 2, skip_bad: false };
    let (mut outcomes, skipped) = evaluate(&[&network], &dataset, &category_ids, &options).unwrap();
    assert_eq!(skipped, 0);
    outcomes.remove(0)
}

fn same(a: &Detection, b: &Detection) -> bool {
    (a.score - b.score).abs() <= SCORE_TOLERANCE && box_iou(&a.bbox, &b.bbox, false) >= IOU
}

/// How many of the reference's detections are among ours, of how many; and those that are not.
fn compare(ours: &Detections, reference: &Detections) -> (usize, Vec<Detection>) {
    let mut by_place: BTreeMap<(i64, i64), Vec<Detection>> = BTreeMap::new();
    for detection in ours.iter() {
        by_place.entry((detection.image_id, detection.category_id)).or_default().push(detection);
    }
    let found = |wanted: &Detection| {
        let place = by_place.get(&(wanted.image_id, wanted.category_id));
        place.is_some_and(|candidates| candidates.iter().any(|candidate| same(candidate, wanted)))
    };
    let wanted: Vec<Detection> = reference.iter().filter(|detection| detection.score > SCORE).collect();
    let count = wanted.len();
    (count, wanted.into_iter().filter(|detection| !found(detection)).collect())
}

#[test]
fn yolov5n_finds_what_the_reference_finds() {
    let Some(assets) = std::env::var_os("YOLO_ASSETS") else {
        println!("skipped: YOLO_ASSETS is not set");
        return;
    };
    let assets = Path::new(&assets);
    let recorded = assets.join("eval/yolov5n_val206/fp32_derived_predictions.json");
    let reference = Detections::from_json_file(&recorded, InputPolicy::default()).unwrap();
    let outcome = evaluate_float(assets);
    let (count, missed) = compare(&outcome.detections, &reference);
    let share = 1.0 - missed.len() as f64 / count as f64;
    println!("{} of {count} reference detections found ({:.2} %)", count - missed.len(), 100.0 * share);
    let (ap, ap50) = (outcome.summary.ap, outcome.summary.ap50);
    println!("AP {ap:.4}, AP50 {ap50:.4}, {:.1} ms per image", outcome.ms_per_image);
    assert!(count > 500, "only {count} reference detections above {SCORE}");
    assert!(share >= SHARE, "missed: {missed:#?}");
    assert!((ap - 0.305).abs() <= 0.002, "AP {ap}");
    assert!((ap50 - 0.483).abs() <= 0.003, "AP50 {ap50}");
}
