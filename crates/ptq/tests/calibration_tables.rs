//! Calibration tables that other tools have written, and TensorRT's scales by its own rule.
#![allow(clippy::unwrap_used, clippy::panic)]

use ptq::{OrtMaxima, OrtRanges, TensorRtCache};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The folder of real files, if there is one.
fn assets() -> Option<PathBuf> {
    let assets = std::env::var_os("YOLO_ASSETS").map(|folder| Path::new(&folder).join("int8"));
    if assets.is_none() {
        println!("skipped: YOLO_ASSETS is not set");
    }
    assets
}

#[test]
fn real_tensorrt_caches_come_back_byte_for_byte() {
    let Some(assets) = assets() else { return };
    let mut names = Vec::new();
    for file in std::fs::read_dir(assets.join("trt_caches")).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let cache = TensorRtCache::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(cache.to_text(), text, "{}", path.display());
        assert_eq!(cache.entries().len() + 1, text.lines().count(), "{}", path.display());
        names.push((
            cache.version(),
            cache.entries().len(),
            cache.entries().iter().filter(|e| e.1.is_none()).count(),
        ));
    }
    names.sort_unstable();
    println!("version, tensors, without scale: {names:?}");
    assert_eq!(names.len(), 6);
    assert!(names.iter().any(|n| n.2 > 0), "none has a zero");
}

#[test]
fn real_onnxruntime_tables_come_back_byte_for_byte() {
    let Some(assets) = assets() else { return };
    let read = |name: &str| std::fs::read_to_string(assets.join(name)).unwrap();
    let json = read("ort_trt_ep_resnet50_calibration.json");
    let ranges = OrtRanges::parse(&json).unwrap();
    assert_eq!(ranges.to_text(), json);
    assert_eq!(ranges.entries().len(), 175);
    let text = read("ort_trt_ep_resnet50_calibration.cache");
    assert_eq!(OrtMaxima::parse(&text).unwrap().to_text(), text);
    assert_eq!(ranges.maxima().unwrap().to_text(), text);
}

fn bits(value: &Value) -> u32 {
    let hex = value.as_str().or_else(|| value["hex"].as_str()).unwrap();
    u32::from_str_radix(hex.trim_start_matches("0x"), 16).unwrap()
}

#[test]
fn golden_tensorrt_scales() {
    let fixtures =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/calibrators-ppq-aimet/index.json");
    let index: Value = serde_json::from_slice(&std::fs::read(fixtures).unwrap()).unwrap();
    let table = &index["misc_trt_cache"];
    let mut failures = Vec::new();
    let mut cases = 0;
    for sample in table["public_samples"].as_object().unwrap().values().flat_map(|v| v.as_array().unwrap()) {
        let text = format!("TRT-8501-EntropyCalibration2\nx: {}\n", sample["hex"].as_str().unwrap());
        let scale = TensorRtCache::parse(&text).unwrap().entries()[0].1.unwrap();
        let same = scale.to_bits() == bits(&sample["scale"])
            && TensorRtCache::amax_of(scale).to_bits() == bits(&sample["amax_scale_x127"]);
        cases += 1;
        if !same {
            failures.push(sample.to_string());
        }
    }
    for row in table["roundtrip"].as_array().unwrap() {
        let amax = f32::from_bits(bits(&row["amax"]));
        let mut cache = TensorRtCache::new(8501, "EntropyCalibration2").unwrap();
        let written = cache.set("x", amax).is_ok();
        cases += 1;
        let want = format!("TRT-8501-EntropyCalibration2\nx: {}\n", row["hex"].as_str().unwrap());
        // A zero is not written.
        if written != (amax > 0.0) || (written && cache.to_text() != want) {
            failures.push(row.to_string());
        }
    }
    println!("{cases} scales");
    assert!(cases > 25 && failures.is_empty(), "{} of {cases}:\n{}", failures.len(), failures.join("\n"));
}
