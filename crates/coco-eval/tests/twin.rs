//! The crate against its slow twin on random sets that are full of ties and odd cases.

#![allow(clippy::unwrap_used, reason = "helpers outside test functions")]

#[path = "support/naive.rs"]
mod naive;

use coco_eval::{
    Annotation, AreaRange, Category, Detection, Detections, DuplicateIds, EvalParams, GroundTruth, IdZero,
    Image, InputPolicy, NegativeSizes, Pooling, evaluate, linspace,
};

const SETS: u64 = 600;

/// Splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In [0, n).
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}

struct Set {
    images: Vec<Image>,
    categories: Vec<Category>,
    annotations: Vec<Annotation>,
    detections: Vec<Detection>,
}

fn random_box(random: &mut Random) -> [f64; 4] {
    let fraction = if random.one_in(2) { 0.0 } else { random.below(100) as f64 / 100.0 };
    let corner = [random.below(4) as f64 * 20.0 + fraction, random.below(3) as f64 * 20.0];
    let sides: [f64; 2] = std::array::from_fn(|_| match random.below(20) {
        0 => 0.0,
        1 => -15.0,
        2 => 96.0,
        3 => 200.0,
        n => 10.0 + n as f64 * 2.0 + fraction,
    });
    [corner[0], corner[1], sides[0], sides[1]]
}

fn random_set(random: &mut Random) -> Set {
    let image_ids = [40, -3, 7, 0, 12, 9];
    let category_ids = [5, 1, 0, 30];
    let images: Vec<Image> =
        image_ids[..1 + random.below(6) as usize].iter().map(|&id| Image { id, file_name: None }).collect();
    let categories =
        category_ids[..1 + random.below(4) as usize].iter().map(|&id| Category { id, name: None }).collect();
    let duplicates = random.one_in(3);
    let mut annotations = Vec::new();
    for n in 0..random.below(40) {
        let bbox = random_box(random);
        let area = if random.one_in(3) {
            random.pick(&[0.0, 1024.0, 9216.0, -1.0, 2e10])
        } else {
            bbox[2] * bbox[3]
        };
        annotations.push(Annotation {
            id: if duplicates { random.below(25) as i64 - 5 } else { n as i64 },
            image_id: random.pick(&image_ids),
            category_id: random.pick(&category_ids),
            bbox,
            area,
            crowd: random.one_in(8),
        });
    }
    let mut detections = Vec::new();
    for _ in 0..random.below(120) {
        let near = !annotations.is_empty() && !random.one_in(3);
        let mut bbox = random_box(random);
        let (mut image_id, mut category_id) =
            (random.pick(&images.iter().map(|i| i.id).collect::<Vec<_>>()), 5);
        if near {
            let target = annotations[random.below(annotations.len() as u64) as usize];
            bbox = target.bbox;
            bbox[0] += random.below(4) as f64;
            category_id = target.category_id;
            image_id =
                if images.iter().any(|i| i.id == target.image_id) { target.image_id } else { image_id };
        }
        let score = random.pick(&[0.0, -0.0, 0.1, 0.1, 0.5, 0.9, 1.0, -2.0]);
        detections.push(Detection { image_id, category_id, bbox, score });
    }
    Set { images, categories, annotations, detections }
}

fn random_params(random: &mut Random) -> EvalParams {
    let mut params = EvalParams::default();
    if random.one_in(2) {
        params.max_detections = (0..3 + random.below(2)).map(|_| random.below(12) as usize).collect();
    }
    if random.one_in(3) {
        params.iou_thresholds = random.pick(&[&[0.75, 0.5, 1.0][..], &[0.0, 0.5], &[0.9]]).to_vec();
    }
    if random.one_in(4) {
        params.recall_thresholds = linspace(0.0, 1.0, 11);
    }
    if random.one_in(4) {
        params.area_ranges = vec![AreaRange::new("all", -1e9, 1e10), AreaRange::new("small", 0.0, 1024.0)];
    }
    if random.one_in(3) {
        params.pooling = Pooling::ClassAgnostic;
    }
    if random.one_in(4) {
        params.image_ids = Some(vec![12, 40, 12, 99, -3]);
    }
    if random.one_in(4) {
        params.category_ids = Some(vec![30, 5, 77, 5]);
    }
    if random.one_in(4) {
        params.id_zero = IdZero::Ordinary;
    }
    params
}

#[test]
fn equal_to_the_bit() {
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let mut faults = Vec::new();
    let mut defined = 0;
    for seed in 0..SETS {
        let random = &mut Random(seed);
        let set = random_set(random);
        let params = random_params(random);
        let slow = naive::evaluate(&set.images, &set.categories, &set.annotations, &set.detections, &params);
        let policy = InputPolicy::PYCOCOTOOLS;
        let truth = GroundTruth::new(set.images, set.categories, set.annotations, policy).unwrap();
        let mut detections = Detections::new(policy);
        set.detections.iter().for_each(|detection| detections.push(detection).unwrap());
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
        let policy = InputPolicy { duplicate_ids, negative_sizes: NegativeSizes::Reject };
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
