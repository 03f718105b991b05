//! The crate against its slow twin on random sets that are full of ties and odd cases.

#![allow(clippy::unwrap_used, reason = "helpers outside test functions")]

#[path = "support/naive.rs"]
mod naive;
#[path = "support/sets.rs"]
mod sets;

use coco_eval::{
    Annotation, Category, Detection, Detections, DuplicateIds, EvalParams, GroundTruth, Image, InputPolicy,
    NegativeSizes, evaluate,
};

const SETS: u64 = 600;

#[test]
fn equal_to_the_bit() {
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let mut faults = Vec::new();
    let mut defined = 0;
    for seed in 0..SETS {
        let random = &mut sets::Random(seed);
        let set = sets::random_set(random);
        let params = sets::random_params(random);
        let slow = naive::evaluate(&set.images, &set.categories, &set.annotations, &set.detections, &params);
        let (truth, detections) = set.tables();
        let fast = evaluate(&truth, &detections, &params).unwrap();
        defined += fast.precision().iter().filter(|&&value| value > 0.0).count();
        for (name, fast, slow) in [
            ("precision", fast.precision(), slow.precision),
            ("scores", fast.scores(), slow.scores),
            ("recall", fast.recall(), slow.recall),
        ] {
            if bits(fast) != bits(&slow) {
                faults.push(format!("seed {seed}: {name}"));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    assert!(defined > 100_000, "the sets hardly score: {defined}");
}

#[test]
fn policies_for_duplicate_ids() {
    let annotation = |x: f64, image_id| Annotation {
        id: 7,
        image_id,
        category_id: 1,
        bbox: [x, 0.0, 50.0, 50.0],
        area: 2500.0,
        crowd: false,
    };
    let build = |duplicate_ids| {
        let images = vec![Image { id: 1, file_name: None }, Image { id: 2, file_name: None }];
        let policy =
            InputPolicy { duplicate_ids, negative_sizes: NegativeSizes::Reject, ..InputPolicy::default() };
        let annotations = [annotation(0.0, 1), annotation(100.0, 2)];
        GroundTruth::new(images, vec![Category { id: 1, name: None }], annotations, policy)
    };
    let mut detections = Detections::new(InputPolicy::default());
    detections.push_image(1, [(1, [0.0, 0.0, 50.0, 50.0], 0.5)]).unwrap();
    detections.push_image(2, [(1, [100.0, 0.0, 50.0, 50.0], 0.5)]).unwrap();
    let recall = |truth: &GroundTruth| {
        evaluate(truth, &detections, &EvalParams::default()).unwrap().summarize().unwrap().ar100
    };
    let kept = build(DuplicateIds::KeepAll).unwrap();
    let stood_in = build(DuplicateIds::LastStandsIn).unwrap();
    assert_eq!((recall(&kept), kept.duplicate_ids()), (1.0, &[7][..]));
    assert_eq!((recall(&stood_in), stood_in.duplicate_ids()), (0.5, &[7][..]));
    let refused = build(DuplicateIds::Reject).unwrap_err().to_string();
    assert!(refused.contains("annotation id 7 (index 1)"), "{refused}");
}

/// Two annotations of image 3 stand in for namesakes on images 2 and 1 as well. Their order in the cell, by image of
/// the namesake and not by file, decides which are left for the last detection.
#[test]
fn stand_ins_are_in_image_order() {
    let upper = [0.0, 0.0, 100.0, 50.0];
    let lower = [0.0, 50.0, 100.0, 50.0];
    let rows = [(7, 2, upper), (8, 1, lower), (7, 3, upper), (8, 3, lower)];
    let annotations = rows.map(|(id, image_id, bbox)| Annotation {
        id,
        image_id,
        category_id: 1,
        bbox,
        area: 5000.0,
        crowd: false,
    });
    let images: Vec<Image> = (1..=3).map(|id| Image { id, file_name: None }).collect();
    let categories = vec![Category { id: 1, name: None }];
    let both = [0.0, 0.0, 100.0, 100.0];
    let mut detections = Detections::new(InputPolicy::default());
    detections.push_image(3, [(1, both, 0.9), (1, both, 0.8), (1, both, 0.7), (1, lower, 0.6)]).unwrap();
    let rows: Vec<Detection> = detections.iter().collect();
    let params = EvalParams { iou_thresholds: vec![0.5], ..EvalParams::default() };
    let slow = naive::evaluate(&images, &categories, &annotations, &rows, &params);
    let truth = GroundTruth::new(images, categories, annotations, InputPolicy::default()).unwrap();
    let fast = evaluate(&truth, &detections, &params).unwrap();
    assert_eq!(fast.recall(), slow.recall);
    assert_eq!(fast.mean_recall(&coco_eval::Selection::default()), 1.0);
}
