//! Every golden case: arrays and figures equal pycocotools' to the bit.
//!
//! A part of the cases lies in `fixtures/coco`; the whole set is looked for in `$QUANT_GOLDENS/coco`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers outside test functions")]

#[path = "support/sha256.rs"]
mod sha256;

use std::fs;
use std::path::{Path, PathBuf};

use coco_eval::{
    AreaRange, CellMatches, Detections, EvalParams, Evaluation, GroundTruth, InputPolicy, Outcome, Pooling,
    Selection, cell_matches, evaluate,
};
use serde_json::Value;

#[test]
fn sha256_of_known_text() {
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(sha256::hex(b"abc"), abc);
    let sixty = sha256::hex(&[b'a'; 60]); // padding needs a block of its own
    assert!(sixty.starts_with("11ee391211c6256460b6ed375957fadd"), "{sixty}");
}

#[test]
fn fixtures() {
    let checked = check_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/coco"));
    assert_eq!(checked, (15, 10));
}

#[test]
fn all_goldens() {
    let Some(root) = std::env::var_os("QUANT_GOLDENS") else {
        println!("skipped: QUANT_GOLDENS is not set");
        return;
    };
    assert!(check_all(&PathBuf::from(root).join("coco")) >= (15, 10));
}

/// Checks every case below `root` and names all that fail; how many there were, and how many with matches.
fn check_all(root: &Path) -> (usize, usize) {
    let mut cases: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.join("expected.json").is_file());
    cases.sort();
    let (mut checked, mut with_matches) = (0, 0);
    let mut faults = Vec::new();
    for case in &cases {
        let expected = read(&case.join("expected.json"));
        if expected["params"]["iouType"] != "bbox" {
            continue;
        }
        checked += 1;
        with_matches += usize::from(case.join("eval_imgs.json").is_file());
        for fault in check(case, &expected) {
            faults.push(format!("{}: {fault}", case.file_name().unwrap().display()));
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    println!("{checked} cases equal to the bit, {with_matches} with matches");
    (checked, with_matches)
}

fn check(case: &Path, expected: &Value) -> Vec<String> {
    let policy = InputPolicy::PYCOCOTOOLS;
    let ground_truth = GroundTruth::from_json_file(case.join("gt.json"), policy).unwrap();
    let detections = Detections::from_json_file(case.join("dt.json"), policy).unwrap();
    let params = params_of(&expected["params"]["overrides"]);
    let evaluation = evaluate(&ground_truth, &detections, &params).unwrap();
    let mut faults = Vec::new();
    let shape = evaluation.shape();
    let (t, k, a, m) = (shape.iou_thresholds, shape.categories, shape.area_ranges, shape.max_detections);
    let long = vec![t, shape.recall_thresholds, k, a, m];
    let arrays = [
        ("precision", evaluation.precision(), long.clone()),
        ("scores", evaluation.scores(), long),
        ("recall", evaluation.recall(), vec![t, k, a, m]),
    ];
    for (name, values, shape) in arrays {
        faults.extend(check_array(name, values, &shape, &expected["arrays"][name]));
    }
    faults.extend(check_summary(&evaluation, &expected["stats_bits"]));
    faults.extend(check_per_category(&evaluation, &expected["per_category"]));
    let matches = case.join("eval_imgs.json");
    if matches.is_file() {
        let cells = cell_matches(&ground_truth, &detections, &params).unwrap();
        faults.extend(check_matches(&cells, &ground_truth, &params, &read(&matches)));
    }
    faults
}

/// pycocotools tells ids instead of rows, 0 for none; its ids of detections are rows from 1.
fn check_matches(
    cells: &[CellMatches],
    truth: &GroundTruth,
    params: &EvalParams,
    expected: &Value,
) -> Vec<String> {
    let id = |row: u32| truth.ids()[row as usize];
    let found = cells.iter().map(|cell| {
        let range = &params.area_ranges[cell.area_range];
        // ignored ground truths come last, and keep their order
        let mut order: Vec<usize> = (0..cell.ground_truths.len()).collect();
        order.sort_by_key(|&g| cell.ignored[g]);
        let gt_id = |&g: &usize| id(cell.ground_truths[g]);
        let dt_matches =
            cell.matches.iter().map(|row| row.iter().map(|m| m.map_or(0, |g| gt_id(&(g as usize)))));
        let taken_by = |row: &Vec<Option<u32>>, g: usize| {
            let last = row.iter().rposition(|m| *m == Some(g as u32));
            last.map_or(0, |d| cell.detections[d] + 1)
        };
        let gt_matches = cell.matches.iter().map(|row| order.iter().map(move |&g| taken_by(row, g)));
        let dt_ignore = cell.outcomes.iter().map(|row| row.iter().map(|&o| u8::from(o == Outcome::Ignored)));
        serde_json::json!({
            "image_id": cell.image_id,
            "category_id": cell.category_id.unwrap_or(-1),
            "area_range": [range.low, range.high],
            "dt_ids": cell.detections.iter().map(|row| row + 1).collect::<Vec<_>>(),
            "gt_ids": order.iter().map(gt_id).collect::<Vec<_>>(),
            "gt_ignore": order.iter().map(|&g| u8::from(cell.ignored[g])).collect::<Vec<_>>(),
            "dt_matches": dt_matches.map(Iterator::collect::<Vec<_>>).collect::<Vec<_>>(),
            "gt_matches": gt_matches.map(Iterator::collect::<Vec<_>>).collect::<Vec<_>>(),
            "dt_ignore": dt_ignore.map(Iterator::collect::<Vec<_>>).collect::<Vec<_>>(),
        })
    });
    let expected = expected.as_array().unwrap();
    let mut faults = Vec::new();
    let found: Vec<Value> = found.collect();
    if found.len() != expected.len() {
        faults.push(format!("{} cells with matches, expected {}", found.len(), expected.len()));
    }
    for (found, expected) in found.iter().zip(expected) {
        for (field, expected) in expected.as_object().unwrap() {
            if found[field] != *expected {
                faults.push(format!("{field} of {found}, expected {expected}"));
            }
        }
    }
    faults
}

fn check_array(name: &str, values: &[f64], shape: &[usize], expected: &Value) -> Option<String> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let same = expected["sha256"] == sha256::hex(&bytes) && expected["shape"] == serde_json::json!(shape);
    let undefined = values.iter().filter(|&&value| value == -1.0).count();
    let sum: f64 = values.iter().filter(|&&value| value != -1.0).sum();
    (!same).then(|| format!("{name} {shape:?}, {undefined} of -1, rest {sum}; expected {expected}"))
}

fn check_summary(evaluation: &Evaluation, bits: &Value) -> Option<String> {
    let found = evaluation.summarize().unwrap().to_array().map(|value| format!("{:016x}", value.to_bits()));
    (*bits != serde_json::json!(found)).then(|| format!("figures {found:?}, expected {bits}"))
}

fn check_per_category(evaluation: &Evaluation, expected: &Value) -> Vec<String> {
    let cap = *evaluation.params().max_detections.last().unwrap();
    let mut faults = Vec::new();
    for row in evaluation.per_category() {
        let Some(id) = row.category_id else { continue };
        let expected = &expected[id.to_string()];
        let all = Selection { category_id: Some(id), max_detections: cap, ..Selection::default() };
        let mut compare = |what: &str, found: f64, expected: &Value| {
            if expected.as_f64() != Some(found) {
                faults.push(format!("category {id} {what}: {found}, expected {expected}"));
            }
        };
        compare("AP", row.ap, &expected["AP"]);
        compare("APs", row.ap_small, &expected["AP_by_area"]["small"]);
        compare("APm", row.ap_medium, &expected["AP_by_area"]["medium"]);
        compare("APl", row.ap_large, &expected["AP_by_area"]["large"]);
        compare("AR", row.ar, &expected["AR_by_area"]["all"]);
        for (i, &iou) in evaluation.params().iou_thresholds.iter().enumerate() {
            let found = evaluation.mean_precision(&Selection { iou_threshold: Some(iou), ..all });
            compare("AP by IoU", found, &expected["AP_by_iou"][i]);
        }
        for &cap in &evaluation.params().max_detections {
            let found = evaluation.mean_recall(&Selection { max_detections: cap, ..all });
            compare("AR by cap", found, &expected["AR_by_max_dets"][cap.to_string()]);
        }
    }
    faults
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The default parameters with a case's overrides, under pycocotools' names.
fn params_of(overrides: &Value) -> EvalParams {
    let mut params = EvalParams::default();
    for (name, value) in overrides.as_object().unwrap() {
        match name.as_str() {
            "imgIds" => params.image_ids = Some(from(value)),
            "catIds" => params.category_ids = Some(from(value)),
            "iouThrs" => params.iou_thresholds = from(value),
            "recThrs" => params.recall_thresholds = from(value),
            "maxDets" => params.max_detections = from(value),
            "useCats" if value == 0 => params.pooling = Pooling::ClassAgnostic,
            "areaRng" => params.area_ranges = ranges(value, &overrides["areaRngLbl"]),
            "areaRngLbl" | "useCats" | "iouType" => {}
            other => panic!("unknown override {other}"),
        }
    }
    params
}

fn ranges(ends: &Value, names: &Value) -> Vec<AreaRange> {
    let ends: Vec<[f64; 2]> = from(ends);
    let names: Vec<String> = from(names);
    names.iter().zip(ends).map(|(name, [low, high])| AreaRange::new(name, low, high)).collect()
}

fn from<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    T::deserialize(value).unwrap()
}
