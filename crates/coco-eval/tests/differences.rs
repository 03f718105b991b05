//! What a comparison says of categories, samples and odd parameters; curves of an evaluation.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers outside test functions")]

use std::sync::atomic::{AtomicUsize, Ordering};

use coco_eval::{
    Annotation, AreaRange, BootstrapParams, Category, Comparison, Detections, EvalParams, GroundTruth, Image,
    InputPolicy, Outcomes, Pooling, Selection, evaluate,
};

const DRAWS: BootstrapParams = BootstrapParams { samples: 200, seed: 3 };

/// 40 images. Category 1: an object on each. Category 2: an object on every second. Category 3: one object.
fn truth() -> GroundTruth {
    let images = (0..40).map(|id| Image { id, file_name: None }).collect();
    let categories = (1..=4).map(|id| Category { id, name: None }).collect();
    let has =
        |id: i64, category: i64| category == 1 || category == 2 && id % 2 == 0 || category == 3 && id == 7;
    let objects =
        (0..40).flat_map(|id| (1..=3).filter(move |&category| has(id, category)).map(move |c| (id, c)));
    let annotations = objects.zip(1..).map(|((image_id, category_id), id)| Annotation {
        id,
        image_id,
        category_id,
        bbox: [category_id as f64 * 100.0, 0.0, 40.0, 40.0],
        area: 1600.0,
        crowd: false,
    });
    GroundTruth::new(images, categories, annotations, InputPolicy::default()).unwrap()
}

/// Finds every object but those of `missed`, which it puts elsewhere with the highest scores.
fn detector(truth: &GroundTruth, missed: impl Fn(i64, i64) -> bool) -> Detections {
    let mut detections = Detections::new(InputPolicy::default());
    for row in 0..truth.len() {
        let Annotation { image_id, category_id, mut bbox, .. } = truth.get(row).unwrap();
        let miss = missed(image_id, category_id);
        bbox[1] += if miss { 500.0 } else { 0.0 };
        let score = if miss { 2.0 } else { 1.0 } - row as f64 / 1000.0;
        detections.push_image(image_id, [(category_id, bbox, score)]).unwrap();
    }
    detections
}

fn outcomes(missed: impl Fn(i64, i64) -> bool, params: &EvalParams) -> Outcomes {
    let truth = truth();
    Outcomes::collect(&truth, &detector(&truth, missed), params).unwrap()
}

fn pair(params: &EvalParams) -> (Outcomes, Outcomes) {
    (outcomes(|_, _| false, params), outcomes(|image, category| category == 2 && image % 8 == 0, params))
}

#[test]
fn categories_pay_for_the_difference() {
    let (before, after) = pair(&EvalParams::default());
    let comparison = before.compare(&after, DRAWS, 0.9).unwrap();
    let [unchanged, worse, rare, empty] = &comparison.categories[..] else { panic!("four categories") };
    let zero = coco_eval::Interval { low: 0.0, high: 0.0 };
    assert_eq!((unchanged.difference, unchanged.interval, unchanged.samples), (Some(0.0), Some(zero), 200));
    assert!(worse.interval.unwrap().high < -0.1, "{worse:?}");
    assert_eq!(worse.difference, Some(worse.candidate.ap - worse.baseline.ap));
    // its image is missing from a third of the samples
    assert_eq!((rare.difference, rare.interval), (Some(0.0), None));
    assert!((100..170).contains(&rare.samples), "{rare:?}");
    assert_eq!((empty.difference, empty.contribution, empty.samples), (None, None, 0));
    assert_eq!(worse.contribution, worse.difference.map(|difference| difference / 3.0));
    let sum: f64 = comparison.categories.iter().filter_map(|category| category.contribution).sum();
    assert!((sum - comparison.figures[0].difference.unwrap()).abs() < 1e-12);
}

#[test]
fn differences_are_taken_sample_by_sample() {
    let (before, after) = pair(&EvalParams::default());
    let told = AtomicUsize::new(0);
    let count = || _ = told.fetch_add(1, Ordering::Relaxed);
    let (first, second) = (before.bootstrap(DRAWS, count).unwrap(), after.bootstrap(DRAWS, || ()).unwrap());
    assert_eq!(told.into_inner(), 200);
    let comparison = Comparison::new(&first, &second, 0.9).unwrap();
    let mut differences: Vec<f64> =
        first.samples().iter().zip(second.samples()).map(|(a, b)| b.ap - a.ap).collect();
    differences.sort_by(f64::total_cmp);
    let ap = &comparison.figures[0];
    let interval = ap.interval.unwrap();
    // positions 9.95 and 189.05 of 0 to 199
    let at = |i: usize, rest: f64| differences[i] + (differences[i + 1] - differences[i]) * rest;
    assert!((interval.low - at(9, 0.95)).abs() < 1e-12 && (interval.high - at(189, 0.05)).abs() < 1e-12);
    let mean = differences.iter().sum::<f64>() / 200.0;
    let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 199.0;
    assert!((ap.standard_error.unwrap() - variance.sqrt()).abs() < 1e-12);
    let negative = differences.iter().filter(|&&difference| difference < 0.0).count();
    assert_eq!((ap.share_worse, ap.samples), (Some(negative as f64 / 200.0), 200));
    let same = Comparison::new(&first, &first, 0.9).unwrap();
    assert_eq!(same.figures[0].share_worse, Some(0.0), "equal is not worse");
}

#[test]
fn other_parameters_are_compared_as_well() {
    let own = AreaRange::new("own", 0.0, 1e10);
    let rows = [
        EvalParams { area_ranges: vec![own], ..EvalParams::default() },
        EvalParams { max_detections: vec![1, 10, 300], ..EvalParams::default() },
        EvalParams { max_detections: vec![1, 100, 300], ..EvalParams::default() },
        EvalParams { iou_thresholds: vec![0.9, 0.5], ..EvalParams::default() },
        EvalParams { pooling: Pooling::ClassAgnostic, ..EvalParams::default() },
        EvalParams { image_ids: Some(vec![0, 1, 2, 3]), ..EvalParams::default() },
        EvalParams { category_ids: Some(vec![]), ..EvalParams::default() },
        EvalParams { image_ids: Some(vec![]), ..EvalParams::default() },
    ];
    for params in rows {
        let (before, after) = pair(&params);
        let comparison = before.compare(&after, BootstrapParams { samples: 30, seed: 1 }, 0.95).unwrap();
        let evaluations = [before.accumulate(), after.accumulate()];
        let [first, second] =
            evaluations.each_ref().map(|evaluation| evaluation.summarize().unwrap().to_array());
        for (i, figure) in comparison.figures.iter().enumerate() {
            let defined = first[i] > -1.0 && second[i] > -1.0;
            assert_eq!(figure.difference, defined.then_some(second[i] - first[i]), "{params:?}: {figure:?}");
            assert!(figure.interval.is_none_or(|interval| interval.low <= interval.high));
        }
        for category in &comparison.categories {
            let selection = Selection { category_id: category.category_id, ..Selection::default() };
            let [a, b] = evaluations.each_ref().map(|evaluation| evaluation.mean_precision(&selection));
            let defined = a > -1.0 && b > -1.0;
            assert_eq!(category.difference, defined.then_some(b - a), "{params:?}: {category:?}");
            assert!(defined || category.interval.is_none(), "{params:?}: {category:?}");
        }
        match before.image_influences(&after) {
            Ok(influences) => assert!(influences.is_sorted_by(|a, b| a.influence <= b.influence)),
            Err(error) => {
                assert!(error.to_string().contains("AP is undefined"), "{error}");
                assert_eq!(comparison.figures[0].difference, None);
            }
        }
    }
}

#[test]
fn what_differs_is_not_compared() {
    let params = EvalParams::default();
    let (before, _) = pair(&params);
    let error = |other: &Outcomes| {
        let sampled = |outcomes: &Outcomes| outcomes.bootstrap(DRAWS, || ()).unwrap();
        let late = Comparison::new(&sampled(&before), &sampled(other), 0.95).unwrap_err().to_string();
        let early = before.compare(other, DRAWS, 0.95).unwrap_err().to_string();
        assert_eq!(early, late);
        assert_eq!(before.image_influences(other).unwrap_err().to_string(), early);
        early
    };
    let caps = EvalParams { max_detections: vec![1, 2, 100], ..params.clone() };
    assert!(error(&pair(&caps).0).contains("the parameters differ"));
    let images = EvalParams { image_ids: Some((0..39).collect()), ..params.clone() };
    assert!(error(&pair(&images).0).contains("the images differ"));
    let truth = truth();
    let fewer = (0..truth.len() - 1).map(|row| truth.get(row).unwrap());
    let (images, categories) = (truth.images().to_vec(), truth.categories().to_vec());
    let other = GroundTruth::new(images, categories, fewer, InputPolicy::default()).unwrap();
    let other = Outcomes::collect(&other, &Detections::default(), &params).unwrap();
    assert!(error(&other).contains("the ground truths differ"));
}

#[test]
fn weights_stay_within_bounds() {
    let outcomes = outcomes(|_, _| false, &EvalParams::default());
    let ones = outcomes.weighted_summary(&[1; 40]).unwrap();
    let many = outcomes.weighted_summary(&[u32::MAX / 40; 40]).unwrap();
    assert_eq!(many.ar100, ones.ar100);
    assert!((many.ap - ones.ap).abs() < 1e-12);
    let error = outcomes.weighted_summary(&[u32::MAX / 39; 40]).unwrap_err().to_string();
    assert!(error.contains("the weights add up to"), "{error}");
}

#[test]
fn curves_are_slices_of_the_arrays() {
    let truth = truth();
    let detections = detector(&truth, |image, category| category == 2 && image % 8 == 0);
    let evaluation = evaluate(&truth, &detections, &EvalParams::default()).unwrap();
    let all = Selection::default();
    let curve = evaluation.precision_curve(&all);
    assert_eq!(curve.len(), 101);
    let mean = curve.iter().sum::<f64>() / 101.0;
    assert!((mean - evaluation.mean_precision(&all)).abs() < 1e-12);

    let one = Selection { iou_threshold: Some(0.5), category_id: Some(2), ..all };
    let shape = evaluation.shape();
    // [T, R, K, A, M]: threshold 0, category 1, area range 0, cap 2
    let (areas, caps) = (shape.area_ranges, shape.max_detections);
    let index = |r: usize| ((r * shape.categories + 1) * areas) * caps + 2;
    let slice = |values: &[f64]| (0..101).map(|r| values[index(r)]).collect::<Vec<f64>>();
    assert_eq!(evaluation.precision_curve(&one), slice(evaluation.precision()));
    assert_eq!(evaluation.score_curve(&one), slice(evaluation.scores()));
    assert!(evaluation.score_curve(&one)[10] > 0.9);
    let two = Selection { iou_threshold: Some(0.95), ..one };
    assert_eq!(
        evaluation.precision_curve(&two),
        evaluation.precision_curve(&one),
        "boxes are perfect or far off"
    );
    let nothing = Selection { category_id: Some(4), ..all };
    assert_eq!(evaluation.precision_curve(&nothing), vec![-1.0; 101]);
}
