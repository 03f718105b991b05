//! The float network against recorded predictions of the same weights, and the integer network against the float one, where `YOLO_ASSETS` says where they are.

// The helpers are test code too, but the lints' exception covers only functions marked as tests.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use coco_eval::{Detection, Detections, InputPolicy, box_iou};
use examples::calibration::calibrate;
use examples::dataset::Dataset;
use examples::images::list_images;
use examples::network::{Model, Network};
use examples::run::{Evaluated, Options, Outcome, evaluate};
use ptq::{Fusion, Method, Placement, PlacementOptions, QuantConfig, lower_float, lower_integer};
use quant_core::{Scheme, StepOp};
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

/// The float network, and the one quantised by least squared error with the defaults of `quantize`.
fn networks(assets: &Path) -> [Network; 2] {
    let size = ImageSize::new(640, 640);
    let model = Model::load(&assets.join("weights/yolov5n.pt"), None).unwrap();
    let float = lower_float(&model.graph, &model.params, Fusion::Fused).unwrap();
    let placement = Placement::new(&model.graph, PlacementOptions::default());
    let images = list_images(&assets.join("coco/train128")).unwrap();
    let calibration = calibrate(&model, &[&placement], &images, size, 2, false).unwrap();
    let collection = &calibration.collection;
    let config =
        QuantConfig::calibrate(&model.graph, &placement, collection, Method::Mse, Scheme::Affine).unwrap();
    let integer = lower_integer(&model.graph, &model.params, &config).unwrap();
    assert!(
        !integer.steps().iter().any(|step| matches!(step.op, StepOp::ConvF32 { .. })),
        "all convolutions are integer"
    );
    [model.network(float, size).unwrap(), model.network(integer, size).unwrap()]
}

/// Evaluates both as yolov5n's authors do.
fn evaluate_both(assets: &Path) -> [Outcome; 2] {
    let networks = networks(assets);
    let annotations = assets.join("coco/instances_val206.json");
    let dataset = Dataset::open(&assets.join("coco/val206"), &annotations, false).unwrap();
    assert_eq!(dataset.images.len(), 206);
    let category_ids = dataset.category_ids(&networks[0].class_names, &annotations).unwrap();
    let nms = NmsParams { confidence: 0.001, iou: 0.6, ..NmsParams::default() };
    let options = Options { nms, threads: 2, skip_bad: false, samples: 0, profile: false };
    let Evaluated { outcomes, skipped, .. } =
        evaluate(&networks.each_ref(), &dataset, &category_ids, &options).unwrap();
    assert_eq!(skipped, 0);
    outcomes.try_into().unwrap_or_else(|_| panic!("two networks, two outcomes"))
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
fn yolov5n_finds_what_the_reference_finds_and_loses_little_in_int8() {
    let Some(assets) = std::env::var_os("YOLO_ASSETS") else {
        println!("skipped: YOLO_ASSETS is not set");
        return;
    };
    let assets = Path::new(&assets);
    let recorded = assets.join("eval/yolov5n_val206/fp32_derived_predictions.json");
    let reference = Detections::from_json_file(&recorded, InputPolicy::default()).unwrap();
    let [outcome, integer] = evaluate_both(assets);
    let (count, missed) = compare(&outcome.detections, &reference);
    let share = 1.0 - missed.len() as f64 / count as f64;
    println!("{} of {count} reference detections found ({:.2} %)", count - missed.len(), 100.0 * share);
    let (ap, ap50) = (outcome.summary.ap, outcome.summary.ap50);
    println!("AP {ap:.4}, AP50 {ap50:.4}, {:.1} ms per image", outcome.ms_per_image);
    assert!(count > 500, "only {count} reference detections above {SCORE}");
    assert!(share >= SHARE, "missed: {missed:#?}");
    assert!((ap - 0.305).abs() <= 0.002, "AP {ap}");
    assert!((ap50 - 0.483).abs() <= 0.003, "AP50 {ap50}");
    println!("int8 AP {:.4}, {:.1} ms per image", integer.summary.ap, integer.ms_per_image);
    assert!(integer.summary.ap >= ap - 0.005, "int8 AP {}", integer.summary.ap);
}
