//! Suppression against a naive twin.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::Random;
use yolo_model::{Detection, Error, NmsParams, iou, nms};

/// Mark every candidate that a better, unmarked one of its class overlaps; then cut.
fn naive_nms(candidates: &[Detection], params: &NmsParams) -> Vec<Detection> {
    let mut sorted: Vec<Detection> = candidates.to_vec();
    sorted.retain(|candidate| candidate.score > params.confidence);
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score)); // stable
    sorted.truncate(params.max_candidates);
    let mut suppressed = vec![false; sorted.len()];
    for i in 0..sorted.len() {
        for j in i + 1..sorted.len() {
            let same = params.class_agnostic || sorted[i].class == sorted[j].class;
            if same && !suppressed[i] && iou(&sorted[i].bbox, &sorted[j].bbox) > params.iou {
                suppressed[j] = true;
            }
        }
    }
    let kept = sorted.iter().zip(suppressed).filter(|(_, suppressed)| !suppressed);
    kept.map(|(detection, _)| *detection).take(params.max_detections).collect()
}

/// Boxes on a coarse grid, so that overlaps and equal scores are common; one in 50 coordinates or scores is NaN.
fn random_candidates(count: usize, random: &mut Random) -> Vec<Detection> {
    let candidate = |_| {
        let corner = [random.below(12) as f32 * 4.0, random.below(12) as f32 * 4.0];
        let side = [random.below(6) as f32 * 8.0, random.below(6) as f32 * 8.0];
        let mut bbox = [corner[0], corner[1], corner[0] + side[0], corner[1] + side[1]];
        let mut score = random.below(64) as f32 / 64.0;
        match random.below(100) {
            0 => bbox[random.below(4)] = f32::NAN,
            1 => score = f32::NAN,
            _ => {}
        }
        Detection { bbox, score, class: random.below(5) }
    };
    (0..count).map(candidate).collect()
}

fn same(a: &[Detection], b: &[Detection]) -> bool {
    let bits = |d: &Detection| (d.bbox.map(f32::to_bits), d.score.to_bits(), d.class);
    a.iter().map(bits).eq(b.iter().map(bits))
}

#[test]
fn equals_the_naive_twin() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let count = random.below(200);
        let candidates = random_candidates(count, &mut random);
        let params = NmsParams {
            confidence: random.real(0.0, 0.5),
            iou: [0.0, 0.5, 0.6, 1.0][random.below(4)],
            max_candidates: [0, 1, 50, 30_000][random.below(4)],
            max_detections: [0, 1, 20, 300][random.below(4)],
            class_agnostic: random.below(2) == 1,
        };
        let found = nms(&candidates, &params).unwrap();
        assert!(same(&found, &naive_nms(&candidates, &params)), "seed {seed}: {params:?}");
    }
}

#[test]
fn thresholds_are_strict() {
    let detection = |x: f32, score| Detection { bbox: [x, 0.0, x + 2.0, 2.0], score, class: 0 };
    let candidates = [detection(0.0, 0.5), detection(0.0, 0.25), detection(1.0, 0.75)];
    let params = NmsParams { confidence: 0.25, iou: 1.0 / 3.0, ..NmsParams::default() };
    assert_eq!(nms(&candidates, &params), Ok(vec![candidates[2], candidates[0]]));
}

#[test]
fn thresholds_outside_the_unit_interval_are_errors() {
    for value in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
        let confidence = nms(&[], &NmsParams { confidence: value, ..NmsParams::default() });
        assert!(matches!(confidence, Err(Error::OutOfRange { name: "confidence", .. })), "{value}");
        let iou = nms(&[], &NmsParams { iou: value, ..NmsParams::default() });
        assert!(matches!(iou, Err(Error::OutOfRange { name: "iou", .. })), "{value}");
    }
}
