//! Error types: tidecv's figures on fixtures and on two detectors' results, a slow twin on random sets, and
//! one example of each type.

#![allow(clippy::unwrap_used, reason = "helpers outside test functions")]

#[path = "support/naive_tide.rs"]
mod naive_tide;
#[path = "support/scenes.rs"]
mod scenes;

use std::fs;
use std::path::{Path, PathBuf};

use coco_eval::{
    Annotation, Category, Detections, GroundTruth, Image, InputPolicy, TideFigure, TideFigures, TideKind,
    TideParams, TideReport, tide,
};
use scenes::{Random, random_scenes};
use serde_json::Value;

const SETS: u64 = 2000;
/// Rounding of sums of at most a hundred terms, and of tidecv's percent.
const TOLERANCE: f64 = 1e-13;

fn named(figures: &TideFigures) -> Vec<(&'static str, TideFigure)> {
    let mut named: Vec<_> = TideKind::ALL.map(|kind| (kind.short_name(), figures.of(kind))).into();
    named.push(("FalsePos", figures.false_positives));
    named.push(("FalseNeg", figures.false_negatives));
    named
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= TOLERANCE
}

#[test]
fn figures_of_tidecv() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let expected = fs::read(fixtures.join("coco-errors/expected.json")).unwrap();
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    let mut roots = vec![fixtures.join("coco-errors"), fixtures.join("coco")];
    roots.extend(std::env::var_os("QUANT_GOLDENS").map(|root| PathBuf::from(root).join("coco")));
    let mut faults = Vec::new();
    let mut checked = 0;
    for (case, expected) in expected.as_object().unwrap() {
        let Some(folder) = roots.iter().map(|root| root.join(case)).find(|folder| folder.is_dir()) else {
            println!("skipped: no folder {case}");
            continue;
        };
        let policy = InputPolicy::PYCOCOTOOLS;
        let ground_truth = GroundTruth::from_json_file(folder.join("gt.json"), policy).unwrap();
        let detections = Detections::from_json_file(folder.join("dt.json"), policy).unwrap();
        let report = tide(&ground_truth, &detections, &TideParams::default()).unwrap();
        faults.extend(check(&report, expected).into_iter().map(|fault| format!("{case}: {fault}")));
        checked += 1;
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    assert!(checked >= 19, "only {checked} cases");
}

/// Percentages of tidecv, null where it divides by zero: nothing is left to average, AP 0 here.
fn check(report: &TideReport, expected: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let mut compare = |what: String, found: f64, expected: &Value| {
        if !close(found, expected.as_f64().unwrap_or(0.0) / 100.0) {
            faults.push(format!("{what} {found}, expected {expected} %"));
        }
    };
    compare("AP".into(), report.ap, &expected["ap"]);
    for (name, figure) in named(&report.figures) {
        compare(name.into(), figure.importance, &expected["importances"][name]);
        compare(format!("{name} count"), figure.count as f64 / 100.0, &expected["counts"][name]);
    }
    for row in &report.categories {
        let id = row.category_id.to_string();
        let expected_ap = &expected["category_ap"][&id];
        compare(format!("AP of {id}"), row.ap.unwrap_or(0.0), expected_ap);
        compare(
            format!("AP of {id} is defined"),
            f64::from(u8::from(row.ap.is_some())),
            &Value::from(100 * u8::from(!expected_ap.is_null())),
        );
        for kind in TideKind::ALL {
            let expected = &expected["category_counts"][&id][kind.short_name()];
            compare(format!("{kind:?} of {id}"), row.figures.of(kind).count as f64 / 100.0, expected);
        }
    }
    faults
}

/// AP, counts and importances in percent as tidecv 1.0.1 gives them, in the order of [`named`].
type Recorded = (&'static str, f64, [u64; 8], [f64; 8]);

const YOLOV5N: [Recorded; 2] = [
    (
        "fp32_derived",
        48.036201806661936,
        [2773, 3937, 2841, 1012, 7614, 259, 17398, 465],
        [
            4.822306578692157,
            7.431304333353594,
            0.7912339089583327,
            0.28439957917976955,
            2.852561776763345,
            6.221912224241898,
            24.00587740125887,
            14.315076491252036,
        ],
    ),
    (
        "qdq_selfmade",
        45.68340033065729,
        [2711, 3954, 2949, 1070, 7757, 284, 17668, 509],
        [
            5.720342380030587,
            8.081767362257764,
            0.6904200843126205,
            0.3900726722674648,
            2.859449594185783,
            6.889209680048992,
            23.561649174293223,
            16.219229623729852,
        ],
    ),
];

#[test]
fn figures_of_yolov5n() {
    let Some(assets) = std::env::var_os("YOLO_ASSETS").map(PathBuf::from) else {
        println!("skipped: YOLO_ASSETS is not set");
        return;
    };
    let policy = InputPolicy::default();
    let ground_truth =
        GroundTruth::from_json_file(assets.join("coco/instances_val206.json"), policy).unwrap();
    let mut faults = Vec::new();
    for (name, ap, counts, importances) in YOLOV5N {
        let path = assets.join(format!("eval/yolov5n_val206/{name}_predictions.json"));
        let detections = Detections::from_json_file(path, policy).unwrap();
        let report = tide(&ground_truth, &detections, &TideParams::default()).unwrap();
        if !close(report.ap, ap / 100.0) {
            faults.push(format!("{name}: AP {}, expected {ap} %", report.ap));
        }
        for ((kind, figure), (count, importance)) in
            named(&report.figures).into_iter().zip(counts.into_iter().zip(importances))
        {
            if figure.count != count || !close(figure.importance, importance / 100.0) {
                faults.push(format!("{name} {kind}: {figure:?}, expected {count}, {importance} %"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn random_params(random: &mut Random) -> TideParams {
    let positive_iou = random.pick(&[0.5, 0.5, 0.3, 0.75, 1.0]);
    TideParams {
        positive_iou,
        background_iou: random.pick(&[0.1, 0.25, positive_iou]).min(positive_iou),
        max_detections: random.pick(&[0, 1, 7, 100, usize::MAX]),
        image_ids: random.one_in(4).then(|| vec![12, 40, 12, -3]),
        category_ids: random.one_in(4).then(|| vec![30, 5, 77]),
    }
}

#[test]
fn equal_to_the_twin() {
    let mut faults = Vec::new();
    let mut seen = [0; 8];
    for seed in 0..SETS {
        let random = &mut Random(seed);
        let scenes = random_scenes(random);
        let params = random_params(random);
        let fast = tide(&scenes.ground_truth(), &scenes.detections(), &params).unwrap();
        let slow = naive_tide::tide(&scenes, &params);
        if fast.errors != slow.errors {
            faults.push(format!("seed {seed}: errors {:?}\nexpected {:?}", fast.errors, slow.errors));
        }
        if !close(fast.ap, slow.ap) {
            faults.push(format!("seed {seed}: AP {}, expected {}", fast.ap, slow.ap));
        }
        for (i, ((name, figure), (count, importance))) in
            named(&fast.figures).into_iter().zip(slow.figures).enumerate()
        {
            seen[i] += u64::from(figure.importance.abs() > 1e-6);
            if figure.count != count || !close(figure.importance, importance) {
                faults.push(format!("seed {seed} {name}: {figure:?}, expected {count}, {importance}"));
            }
        }
        for row in &fast.categories {
            let id = row.category_id;
            let counts = TideKind::ALL.map(|kind| row.figures.of(kind).count);
            let expected =
                TideKind::ALL.map(|kind| slow.category_counts.get(&(id, kind)).copied().unwrap_or(0));
            let ap = slow.category_ap.get(&id).copied();
            let same = match (row.ap, ap) {
                (Some(found), Some(expected)) => close(found, expected),
                (found, expected) => found == expected,
            };
            if counts != expected || !same {
                faults.push(format!("seed {seed} category {id}: {row:?}, expected {expected:?}, {ap:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    assert!(seen.iter().all(|&count| count > 50), "some repairs hardly ever matter: {seen:?}");
}

const CAT: i64 = 1;
const DOG: i64 = 2;

/// Boxes of 10 by 10 pixels in a row, `(x, category, crowd)`.
fn truth_of(objects: &[(f64, i64, bool)]) -> GroundTruth {
    let annotation = |(id, &(x, category_id, crowd)): (i64, &(f64, i64, bool))| Annotation {
        id,
        image_id: 1,
        category_id,
        bbox: [x, 0.0, 10.0, 10.0],
        area: 100.0,
        crowd,
    };
    let categories = [CAT, DOG].map(|id| Category { id, name: None }).into();
    let annotations = (1..).zip(objects).map(annotation);
    GroundTruth::new(vec![Image { id: 1, file_name: None }], categories, annotations, InputPolicy::STRICT)
        .unwrap()
}

fn found_of(boxes: &[(f64, i64, f64)]) -> Detections {
    let mut detections = Detections::new(InputPolicy::STRICT);
    let rows = boxes.iter().map(|&(x, category, score)| (category, [x, 0.0, 10.0, 10.0], score));
    detections.push_image(1, rows).unwrap();
    detections
}

#[test]
fn each_type_once() {
    use TideKind::{Background, Both, Classification, Duplicate, Localisation, Missed};
    let truth = truth_of(&[
        (0.0, CAT, false),
        (100.0, DOG, false),
        (200.0, CAT, false),
        (300.0, DOG, false),
        (400.0, CAT, true),
    ]);
    let found = found_of(&[
        (0.0, CAT, 0.9),   // right
        (1.0, CAT, 0.8),   // the same object again
        (100.0, CAT, 0.7), // a dog taken for a cat
        (205.0, CAT, 0.6), // IoU 1/3
        (305.0, CAT, 0.5), // IoU 1/3 with a dog
        (500.0, CAT, 0.4), // on nothing
        (402.0, CAT, 0.3), // in the crowd: no false positive, yet on no object
        (206.0, CAT, 0.2), // badly placed on an object that a better one would find
    ]);
    let report = tide(&truth, &found, &TideParams::default()).unwrap();
    let rows: Vec<_> =
        report.errors.iter().map(|error| (error.kind, error.detection, error.ground_truth)).collect();
    let expected = [
        (Duplicate, Some(1), Some(0)),
        (Classification, Some(2), Some(1)),
        (Localisation, Some(3), Some(2)),
        (Both, Some(4), None),
        (Background, Some(5), None),
        (Background, Some(6), None),
        (Localisation, Some(7), Some(2)),
        (Missed, None, Some(3)),
    ];
    assert_eq!(rows, expected);
    assert_eq!(report.figures.false_positives.count, 6, "the one in the crowd does not count");
    assert_eq!(report.figures.false_negatives.count, 3);
    // cats: one of two found first, 51 of 101 recall thresholds; dogs: none of two
    assert!(close(report.ap, 51.0 / 101.0 / 2.0));
    // a dog more, 51 thresholds at precision 1
    assert!(close(report.figures.of(Classification).importance, 51.0 / 101.0 / 2.0));
    // both cats, the second at rank 4 of 4 by then: 50 thresholds at 2/4
    assert!(close(report.figures.of(Localisation).importance, 50.0 / 101.0 * 0.5 / 2.0));
    // one dog fewer to find changes nothing while none is found
    assert_eq!(report.figures.of(Missed), TideFigure { count: 1, importance: 0.0 });
    let text = report.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "AP at IoU 0.5: 0.2525");
    assert_eq!(lines[2], "Cls              1     0.2525");
    assert_eq!(lines.len(), 10);
}

#[test]
fn the_cap_is_per_image() {
    let truth = truth_of(&[(0.0, CAT, false), (100.0, DOG, false)]);
    let found = found_of(&[(0.0, CAT, 0.9), (100.0, DOG, 0.8)]);
    let ap = |max_detections| {
        tide(&truth, &found, &TideParams { max_detections, ..TideParams::default() }).unwrap().ap
    };
    assert_eq!((ap(0), ap(1), ap(2)), (0.0, 0.5, 1.0));
}

#[test]
fn nothing_at_all() {
    let report = tide(&truth_of(&[]), &found_of(&[]), &TideParams::default()).unwrap();
    assert_eq!(report.ap, 0.0);
    assert!(named(&report.figures).iter().all(|(_, figure)| figure.count == 0 && figure.importance == 0.0));
    assert!(report.categories.iter().all(|row| row.ap.is_none()));
}

#[test]
fn faults_are_named() {
    type Change = fn(&mut TideParams);
    let rows: [(Change, &str); 5] = [
        (|p| p.positive_iou = 0.0, "`positive_iou` is 0"),
        (|p| p.positive_iou = f64::NAN, "`positive_iou` is NaN"),
        (|p| p.positive_iou = 1.5, "`positive_iou` is 1.5"),
        (|p| p.background_iou = -0.1, "`background_iou` is -0.1"),
        (|p| p.background_iou = 0.6, "`background_iou` is 0.6; it must be at most `positive_iou`"),
    ];
    let mut faults = Vec::new();
    for (change, clause) in rows {
        let mut params = TideParams::default();
        change(&mut params);
        let message = tide(&truth_of(&[]), &found_of(&[]), &params).unwrap_err().to_string();
        if !message.contains(clause) {
            faults.push(format!("{message} lacks {clause}"));
        }
    }
    let mut elsewhere = Detections::new(InputPolicy::STRICT);
    elsewhere.push_image(8, [(CAT, [0.0, 0.0, 1.0, 1.0], 0.5)]).unwrap();
    let message = tide(&truth_of(&[]), &elsewhere, &TideParams::default()).unwrap_err().to_string();
    assert!(message.contains("image id 8"), "{message}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
