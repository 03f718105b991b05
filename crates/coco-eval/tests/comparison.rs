//! Weighted figures, samples and comparisons.

#![allow(clippy::unwrap_used, reason = "helpers outside test functions")]

#[path = "support/sets.rs"]
#[expect(dead_code, reason = "the parameters are chosen here")]
mod sets;

use coco_eval::{
    Annotation, BootstrapParams, Comparison, Detection, Detections, EvalParams, GroundTruth, InputPolicy,
    Outcomes, Verdict, evaluate,
};
use sets::{Random, Set, random_set};

/// The same set with image `i` present `weights[i]` times. Copies of an image get ids next to each other.
fn repeated(set: &Set, weights: &[u32]) -> (GroundTruth, Detections) {
    let mut sorted: Vec<i64> = set.images.iter().map(|image| image.id).collect();
    sorted.sort_unstable();
    let copies = |image_id: i64| {
        let at = sorted.iter().position(|&id| id == image_id);
        let weight = at.map_or(0, |at| weights[at]);
        (0..i64::from(weight)).map(move |copy| at.unwrap() as i64 * 1000 + copy)
    };
    let mut annotations: Vec<Annotation> = Vec::new();
    for annotation in &set.annotations {
        for image_id in copies(annotation.image_id) {
            annotations.push(Annotation { id: annotations.len() as i64 + 1, image_id, ..*annotation });
        }
    }
    let mut images = Vec::new();
    for image in &set.images {
        images.extend(copies(image.id).map(|id| coco_eval::Image { id, file_name: None }));
    }
    let policy = InputPolicy::PYCOCOTOOLS;
    let truth = GroundTruth::new(images, set.categories.clone(), annotations, policy).unwrap();
    let mut detections = Detections::new(policy);
    for detection in &set.detections {
        for image_id in copies(detection.image_id) {
            detections.push(&Detection { image_id, ..*detection }).unwrap();
        }
    }
    (truth, detections)
}

/// Gives every detection of an image another score: copies of tied detections would otherwise rank copy by
/// copy.
fn untie(set: &mut Set, random: &mut Random) {
    for (i, detection) in set.detections.iter_mut().enumerate() {
        detection.score = random.below(1000) as f64 + i as f64 / 1e6;
    }
}

/// Annotation ids in order, so that neither id 0 nor duplicates change with the copies.
fn renumber(set: &mut Set) {
    (1..).zip(&mut set.annotations).for_each(|(id, annotation)| annotation.id = id);
}

#[test]
fn weighted_figures_equal_those_of_copied_images() {
    let mut faults = Vec::new();
    let mut defined = 0;
    for seed in 0..300 {
        let random = &mut Random(seed);
        let mut set = random_set(random);
        untie(&mut set, random);
        renumber(&mut set);
        let (truth, detections) = set.tables();
        let caps = random.pick(&[&[1_usize, 10, 100][..], &[2, 3, 5], &[1, 2, 3, 100], &[4, 100, 300]]);
        let params = EvalParams { max_detections: caps.to_vec(), ..EvalParams::default() };
        let outcomes = Outcomes::collect(&truth, &detections, &params).unwrap();
        let weights: Vec<u32> = outcomes.image_ids().iter().map(|_| random.below(4) as u32).collect();
        let (truth, detections) = repeated(&set, &weights);
        let expected = evaluate(&truth, &detections, &params).unwrap().summarize().unwrap().to_array();
        let found = outcomes.weighted_summary(&weights).unwrap().to_array();
        defined += expected.iter().filter(|&&figure| figure > 0.0).count();
        if found.iter().zip(expected).any(|(found, expected)| (found - expected).abs() > 1e-12) {
            faults.push(format!("seed {seed}, weights {weights:?}:\n{found:?}\n{expected:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(defined > 1500, "the sets hardly score: {defined}");
}

/// One category, 30 images with two objects each; a detector finds an object with the given probability.
fn synthetic(random: &mut Random, found_percent: u64) -> (GroundTruth, Detections) {
    let policy = InputPolicy::default();
    let images: Vec<i64> = (1..=30).collect();
    let bbox = |n: i64| [n as f64 * 100.0, 0.0, 50.0, 50.0];
    let objects = images.iter().flat_map(|&image_id| {
        (0..2).map(move |n| Annotation {
            id: image_id * 2 + n,
            image_id,
            category_id: 1,
            bbox: bbox(n),
            area: 2500.0,
            crowd: false,
        })
    });
    let named = images.iter().map(|&id| coco_eval::Image { id, file_name: None }).collect();
    let categories = vec![coco_eval::Category { id: 1, name: None }];
    let truth = GroundTruth::new(named, categories, objects, policy).unwrap();
    let mut detections = Detections::new(policy);
    for &image_id in &images {
        for n in 0..2 {
            let score = random.below(1 << 30) as f64;
            let shifted = if random.below(100) < found_percent { bbox(n) } else { bbox(n + 10) };
            detections.push_image(image_id, [(1, shifted, score)]).unwrap();
        }
    }
    (truth, detections)
}

fn outcomes(set: &(GroundTruth, Detections)) -> Outcomes {
    Outcomes::collect(&set.0, &set.1, &EvalParams::default()).unwrap()
}

/// Two detectors of the same quality differ by chance alone; an interval of 90 % should hold zero in about
/// nine of ten comparisons.
#[test]
fn intervals_cover_what_they_promise() {
    let params = BootstrapParams { samples: 300, seed: 11 };
    let random = &mut Random(77);
    let trials = 300;
    let covered = (0..trials)
        .filter(|_| {
            let (first, second) = (synthetic(random, 70), synthetic(random, 70));
            let comparison = outcomes(&first).compare(&outcomes(&second), params, 0.9).unwrap();
            let interval = comparison.figures[0].interval.unwrap();
            interval.low <= 0.0 && 0.0 <= interval.high
        })
        .count();
    assert!((250..=290).contains(&covered), "{covered} of {trials}");
}

#[test]
fn a_real_loss_is_told_from_noise() {
    let random = &mut Random(1);
    let (good, poor) = (outcomes(&synthetic(random, 90)), outcomes(&synthetic(random, 30)));
    let params = BootstrapParams { samples: 400, seed: 2 };
    let comparison = good.compare(&poor, params, 0.95).unwrap();
    let ap = &comparison.figures[0];
    assert_eq!((ap.name, ap.share_worse), ("AP", Some(1.0)));
    assert!(ap.interval.unwrap().high < -0.2 && ap.standard_error.unwrap() > 0.01, "{ap:?}");
    assert_eq!(ap.difference, Some(ap.candidate - ap.baseline));
    assert_eq!(comparison.verdict(0.1), Verdict::Beyond);
    assert_eq!(comparison.verdict(1.0), Verdict::Within);
    assert_eq!(comparison.verdict(-ap.difference.unwrap()), Verdict::Undecided);
    // areas are all medium, so the other sizes are undefined
    assert_eq!((comparison.figures[3].difference, comparison.figures[3].interval), (None, None));
    assert_eq!(comparison.categories[0].contribution, ap.difference);

    let same = good.compare(&good, params, 0.95).unwrap();
    let zero = coco_eval::Interval { low: 0.0, high: 0.0 };
    assert_eq!((same.figures[0].interval, same.verdict(0.0)), (Some(zero), Verdict::Within));
}

/// Leaving an image out is the same as evaluating the others.
#[test]
fn influences_equal_evaluations_without_the_image() {
    let mut checked = 0;
    for seed in 0..60 {
        let random = &mut Random(seed);
        let mut set = random_set(random);
        untie(&mut set, random);
        renumber(&mut set);
        let (truth, detections) = set.tables();
        let mut other = Detections::new(InputPolicy::PYCOCOTOOLS);
        for (i, mut detection) in detections.iter().enumerate() {
            detection.bbox[0] += (i % 7) as f64;
            other.push(&detection).unwrap();
        }
        let params = EvalParams::default();
        let collect = |detections| Outcomes::collect(&truth, detections, &params).unwrap();
        let (baseline, candidate) = (collect(&detections), collect(&other));
        let difference = |without: Option<i64>| {
            let kept =
                truth.images().iter().map(|image| image.id).filter(|&id| Some(id) != without).collect();
            let params = EvalParams { image_ids: Some(kept), ..params.clone() };
            let ap = |d| evaluate(&truth, d, &params).unwrap().summarize().unwrap().ap.max(0.0);
            ap(&other) - ap(&detections)
        };
        for row in baseline.image_influences(&candidate).unwrap() {
            let expected = difference(None) - difference(Some(row.image_id));
            assert!((row.influence - expected).abs() < 1e-12, "seed {seed}: {row:?}, expected {expected}");
            checked += usize::from(expected != 0.0);
        }
    }
    assert!(checked > 50, "only {checked} images matter");
}

#[test]
fn samples_are_repeatable_and_paired() {
    let random = &mut Random(4);
    let (first, second) = (outcomes(&synthetic(random, 80)), outcomes(&synthetic(random, 60)));
    let params = BootstrapParams { samples: 50, seed: 9 };
    let sample = |outcomes: &Outcomes, params| outcomes.bootstrap(params, || ()).unwrap();
    assert_eq!(sample(&first, params), sample(&first, params));
    assert_ne!(
        sample(&first, params).samples(),
        sample(&first, BootstrapParams { seed: 10, ..params }).samples()
    );
    let refused = |a, b| Comparison::new(a, b, 0.95).unwrap_err().to_string();
    let (a, b) = (sample(&first, params), sample(&second, BootstrapParams { seed: 10, ..params }));
    assert!(refused(&a, &b).contains("the draws differ"));
    let small = (0..10).collect::<Vec<i64>>();
    let set = synthetic(random, 80);
    let part = Outcomes::collect_images(&set.0, &set.1, &EvalParams::default(), &small[1..]).unwrap();
    assert!(refused(&a, &sample(&part, params)).contains("the images differ"));
    assert!(Comparison::new(&a, &a, 1.0).unwrap_err().to_string().contains("`confidence` is 1"));
    let weights = first.weighted_summary(&[1; 3]).unwrap_err().to_string();
    assert!(weights.contains("3 weights were given for 30 images"), "{weights}");
}
