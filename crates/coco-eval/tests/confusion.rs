//! The confusion matrix: a case by hand, a slow twin on random sets, and what holds for every matrix.

#![allow(clippy::unwrap_used, reason = "helpers outside test functions")]

#[path = "support/naive_confusion.rs"]
mod naive_confusion;
#[path = "support/scenes.rs"]
mod scenes;

use coco_eval::{
    Annotation, Category, ConfusionMatrix, ConfusionParams, Detections, GroundTruth, Image, InputPolicy,
    confusion_matrix,
};
use naive_confusion::Counts;
use scenes::{Random, Scenes, random_scenes, ranked};

const SETS: u64 = 2000;

fn random_params(random: &mut Random) -> ConfusionParams {
    ConfusionParams {
        iou: random.pick(&[0.5, 0.5, 0.2, 0.75, 1.0]),
        score: random.pick(&[0.25, 0.0, 0.5, f64::NEG_INFINITY]),
        max_detections: random.pick(&[0, 1, 7, 100, usize::MAX]),
        image_ids: random.one_in(4).then(|| vec![12, 40, 12, -3]),
        category_ids: random.one_in(4).then(|| vec![30, 5, 77]),
    }
}

fn matrix_of(scenes: &Scenes, params: &ConfusionParams) -> ConfusionMatrix {
    confusion_matrix(&scenes.ground_truth(), &scenes.detections(), params).unwrap()
}

/// The categories and the background.
fn labels(matrix: &ConfusionMatrix) -> Vec<Option<i64>> {
    matrix.category_ids().iter().copied().map(Some).chain([None]).collect()
}

fn counts_of(matrix: &ConfusionMatrix) -> Counts {
    let labels = labels(matrix);
    let pairs = labels.iter().flat_map(|&truth| labels.iter().map(move |&predicted| (truth, predicted)));
    pairs
        .map(|(truth, predicted)| ((truth, predicted), matrix.get(truth, predicted).unwrap()))
        .filter(|&(_, count)| count > 0)
        .collect()
}

#[test]
fn equal_to_the_twin() {
    let mut faults = Vec::new();
    let (mut confused, mut correct) = (0, 0);
    for seed in 0..SETS {
        let random = &mut Random(seed);
        let scenes = random_scenes(random);
        let params = random_params(random);
        let matrix = matrix_of(&scenes, &params);
        let (fast, slow) = (counts_of(&matrix), naive_confusion::confusion(&scenes, &params));
        if fast != slow {
            faults.push(format!("seed {seed}: {fast:?}\nexpected {slow:?}"));
        }
        confused += matrix.most_confused(usize::MAX).iter().map(|row| row.2).sum::<u64>();
        correct += matrix.per_category().iter().map(|row| row.correct).sum::<u64>();
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    assert!(confused > 300 && correct > 1000, "{confused} confused, {correct} correct");
}

#[test]
fn sums() {
    let mut faults = Vec::new();
    for seed in 0..SETS {
        let random = &mut Random(seed);
        let mut scenes = random_scenes(random);
        scenes.annotations.iter_mut().for_each(|annotation| annotation.crowd = false);
        let params = ConfusionParams { image_ids: None, ..random_params(random) };
        let matrix = matrix_of(&scenes, &params);
        let categories = matrix.category_ids();
        let objects = |id: i64| {
            let here = scenes.annotations.iter().filter(|g| scenes.image_ids.contains(&g.image_id));
            here.filter(|g| g.category_id == id).count() as u64
        };
        let kept: Vec<usize> = scenes
            .image_ids
            .iter()
            .flat_map(|&image| {
                ranked(&scenes.detections, image, categories, params.score, params.max_detections)
            })
            .collect();
        let predictions =
            |id: i64| kept.iter().filter(|&&row| scenes.detections[row].category_id == id).count() as u64;
        for row in matrix.per_category() {
            let id = row.category_id;
            if (row.truths, row.predicted) != (objects(id), predictions(id)) {
                faults.push(format!("seed {seed}: {row:?}"));
            }
        }
        let in_pairs: u64 = counts_of(&matrix)
            .iter()
            .filter(|((truth, predicted), _)| truth.is_some() && predicted.is_some())
            .map(|(_, count)| count)
            .sum();
        let rows: u64 = categories.iter().map(|&id| objects(id)).sum();
        if matrix.counts().iter().sum::<u64>() + in_pairs != rows + kept.len() as u64 {
            faults.push(format!("seed {seed}: sum of {matrix}"));
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn order_of_images_plays_no_part() {
    for seed in 0..200 {
        let random = &mut Random(seed);
        let scenes = random_scenes(random);
        let params = random_params(random);
        let mut other = scenes.clone();
        let mut order: Vec<i64> = [40, -3, 7, 0, 12].into();
        order.rotate_left(random.below(5) as usize);
        order.swap(0, 1 + random.below(4) as usize);
        let place = |id: i64| order.iter().position(|&other| other == id);
        other.image_ids.sort_by_key(|&id| place(id));
        other.annotations.sort_by_key(|g| place(g.image_id));
        other.detections.sort_by_key(|d| place(d.image_id));
        assert_eq!(matrix_of(&scenes, &params), matrix_of(&other, &params), "seed {seed}");
    }
}

const CAT: i64 = 3;
const DOG: i64 = 5;
const HORSE: i64 = 8;

/// Boxes of height 10: `(x, width, category, crowd)`.
fn truth_of(objects: &[(f64, f64, i64, bool)]) -> GroundTruth {
    let annotation = |(id, &(x, width, category_id, crowd)): (i64, &(f64, f64, i64, bool))| Annotation {
        id,
        image_id: 1,
        category_id,
        bbox: [x, 0.0, width, 10.0],
        area: 10.0 * width,
        crowd,
    };
    let categories = [CAT, DOG, HORSE].map(|id| Category { id, name: None }).into();
    let images = vec![Image { id: 1, file_name: None }];
    GroundTruth::new(images, categories, (1..).zip(objects).map(annotation), InputPolicy::STRICT).unwrap()
}

fn found_of(boxes: &[(f64, f64, i64, f64)]) -> Detections {
    let mut detections = Detections::new(InputPolicy::STRICT);
    let rows = boxes.iter().map(|&(x, width, category, score)| (category, [x, 0.0, width, 10.0], score));
    detections.push_image(1, rows).unwrap();
    detections
}

fn by_hand() -> ConfusionMatrix {
    let truth = truth_of(&[
        (0.0, 10.0, DOG, false),
        (0.0, 10.0, CAT, false),
        (100.0, 10.0, DOG, false),
        (200.0, 10.0, DOG, false),
        (300.0, 100.0, CAT, true),
        (500.0, 10.0, HORSE, false),
    ]);
    let found = found_of(&[
        (0.0, 10.0, CAT, 0.9),   // both fit alike: the cat, though the dog comes first
        (1.0, 10.0, HORSE, 0.8), // the dog is left
        (0.0, 10.0, DOG, 0.7),   // nothing is left
        (100.0, 5.0, CAT, 0.6),  // IoU 0.5 is enough
        (200.0, 4.0, DOG, 0.6),  // IoU 0.4 is not
        (310.0, 10.0, CAT, 0.5), // in the crowd of cats: left out
        (310.0, 10.0, DOG, 0.5), // no crowd of dogs
        (500.0, 10.0, HORSE, 0.25),
        (500.0, 10.0, CAT, 0.249), // below the threshold
    ]);
    confusion_matrix(&truth, &found, &ConfusionParams::default()).unwrap()
}

#[test]
fn rules_by_hand() {
    let matrix = by_hand();
    #[rustfmt::skip]
    let expected = [
        1, 0, 0, 0,
        1, 0, 1, 1,
        0, 0, 1, 0,
        0, 3, 0, 0,
    ];
    assert_eq!(matrix.counts(), expected);
    assert_eq!(matrix.category_ids(), [CAT, DOG, HORSE]);
    assert_eq!(matrix.get(Some(DOG), Some(HORSE)), Some(1));
    assert_eq!((matrix.get(None, Some(DOG)), matrix.get(Some(DOG), None)), (Some(3), Some(1)));
    assert_eq!((matrix.get(None, None), matrix.get(Some(4), None)), (Some(0), None));
    assert_eq!(matrix.most_confused(9), [(DOG, CAT, 1), (DOG, HORSE, 1)]);
    assert_eq!(matrix.most_confused(1), [(DOG, CAT, 1)]);
    let third = 1.0 / 3.0;
    #[rustfmt::skip]
    let normalised = [
        1.0, 0.0, 0.0, 0.0,
        third, 0.0, third, third,
        0.0, 0.0, 1.0, 0.0,
        0.0, 1.0, 0.0, 0.0,
    ];
    assert_eq!(matrix.normalised_by_truth(), normalised);
    let rows: Vec<_> = matrix
        .per_category()
        .iter()
        .map(|row| (row.truths, row.predicted, row.correct, row.precision, row.recall))
        .collect();
    assert_eq!(rows[0], (1, 2, 1, Some(0.5), Some(1.0)));
    assert_eq!(rows[1], (3, 3, 0, Some(0.0), Some(0.0)));
    assert_eq!(rows[2], (1, 2, 1, Some(0.5), Some(1.0)));
}

#[test]
fn texts() {
    let mut csv = Vec::new();
    by_hand().write_csv(&mut csv).unwrap();
    let expected = "truth,3,5,8,background\n3,1,0,0,0\n5,1,0,1,1\n8,0,0,1,0\nbackground,0,3,0,0\n";
    assert_eq!(String::from_utf8(csv).unwrap(), expected);
    let whole = by_hand().to_string();
    let lines: Vec<&str> = whole.lines().collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["truth", "3", "5", "8", "background"]);
    assert_eq!(lines[2].split_whitespace().collect::<Vec<_>>(), ["5", "1", "0", "1", "1"]);
    let truth = truth_of(&[(0.0, 10.0, DOG, false), (50.0, 10.0, CAT, false), (80.0, 10.0, CAT, false)]);
    let found = found_of(&[(0.0, 10.0, CAT, 0.9), (50.0, 10.0, CAT, 0.9), (0.0, 10.0, DOG, 0.8)]);
    let category_ids = Some((0..20).collect());
    let params = ConfusionParams { category_ids, ..ConfusionParams::default() };
    let sums = confusion_matrix(&truth, &found, &params).unwrap().to_string();
    let expected =
        "20 categories\n1 right, 1 confused, 1 missed, 1 on background\n       1 of category 5 taken for 3\n";
    assert_eq!(sums, expected);
}

#[test]
fn nothing_to_divide_by() {
    let matrix = confusion_matrix(&truth_of(&[]), &found_of(&[]), &ConfusionParams::default()).unwrap();
    assert!(matrix.normalised_by_truth().iter().all(|&value| value == 0.0));
    assert!(matrix.per_category().iter().all(|row| row.precision.is_none() && row.recall.is_none()));
}

#[test]
fn faults_are_named() {
    type Change = fn(&mut ConfusionParams);
    let rows: [(Change, &str); 4] = [
        (|p| p.iou = 0.0, "`iou` is 0"),
        (|p| p.iou = f64::INFINITY, "`iou` is inf"),
        (|p| p.score = f64::NAN, "`score` is NaN"),
        (|p| p.category_ids = Some((0..5000).collect()), "5000 categories"),
    ];
    let mut faults = Vec::new();
    for (change, clause) in rows {
        let mut params = ConfusionParams::default();
        change(&mut params);
        let message = confusion_matrix(&truth_of(&[]), &found_of(&[]), &params).unwrap_err().to_string();
        if !message.contains(clause) {
            faults.push(format!("{message} lacks {clause}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
