//! One home per rule: functions that define how something is computed exist once in the libraries, under the names that the field uses.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use std::path::{Path, PathBuf};

/// A function, and the only file that may define it. `iou` is in single precision over corners, as suppression wants it; `box_iou`
/// in double precision over sizes, in pycocotools' order of operations.
const HOMES: [(&str, &str); 12] = [
    ("round", "crates/quant-core/src/rounding.rs"),
    ("shift_right", "crates/quant-core/src/rounding.rs"),
    ("saturate", "crates/quant-core/src/rounding.rs"),
    ("fake_quantize", "crates/quant-core/src/quantizer.rs"),
    ("params_for_range", "crates/quant-core/src/quantizer.rs"),
    ("fold_batch_norm", "crates/nn-graph/src/fold.rs"),
    ("letterbox", "crates/yolo-model/src/letterbox.rs"),
    ("iou", "crates/yolo-model/src/detection.rs"),
    ("nms", "crates/yolo-model/src/nms.rs"),
    ("decode_all", "crates/yolo-model/src/decode.rs"),
    ("box_iou", "crates/coco-eval/src/iou.rs"),
    ("pairwise_sum", "crates/coco-eval/src/mean.rs"),
];

/// Crates that must not depend on Burn, directly or through another of ours.
const WITHOUT_BURN: [&str; 4] = ["quant-core", "nn-graph", "ptq", "coco-eval"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Library and program sources, as path below the root and text.
fn all_sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        sources(&entry.unwrap().path().join("src"), &mut files);
    }
    sources(&root().join("examples/src"), &mut files);
    let relative = |path: &Path| path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
    files.iter().map(|path| (relative(path), std::fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn every_rule_has_one_home() {
    let files = all_sources();
    let mut wrong = Vec::new();
    for (name, home) in HOMES {
        let defines =
            |text: &str| text.contains(&format!("fn {name}(")) || text.contains(&format!("fn {name}<"));
        let homes: Vec<&str> =
            files.iter().filter(|(_, text)| defines(text)).map(|(path, _)| path.as_str()).collect();
        if homes != [home] {
            wrong.push(format!("{name}: defined in {homes:?}, belongs to {home}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn unsafe_code_stays_in_the_kernels_and_the_map_of_a_file() {
    let allowed = [
        "crates/quant-core/src/simd/",
        "crates/quant-core/src/mapped.rs",
        "crates/icraft-raw/src/raw/content.rs",
    ];
    let uses = |text: &str| text.lines().any(|line| line.contains("unsafe {") || line.contains("unsafe fn"));
    let outside: Vec<String> = all_sources()
        .into_iter()
        .filter(|(path, text)| uses(text) && !allowed.iter().any(|place| path.starts_with(place)))
        .map(|f| f.0)
        .collect();
    assert!(outside.is_empty(), "{outside:?}");
}

#[test]
fn calibration_and_simulation_do_not_need_burn() {
    let burn = |name: &&str| {
        let manifest = root().join("crates").join(name).join("Cargo.toml");
        std::fs::read_to_string(manifest).unwrap().lines().any(|line| line.starts_with("burn"))
    };
    let dependent: Vec<&str> = WITHOUT_BURN.into_iter().filter(burn).collect();
    assert!(dependent.is_empty(), "{dependent:?} depend on Burn");
}
