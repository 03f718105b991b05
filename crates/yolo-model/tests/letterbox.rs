//! Letterboxed images against cv2's.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::path::{Path, PathBuf};

use yolo_model::{ImageSize, LetterboxTransform, letterbox};

fn read(path: &Path) -> (Vec<u8>, ImageSize) {
    let image = image::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).to_rgb8();
    let size = ImageSize::new(image.height() as usize, image.width() as usize);
    (image.into_raw(), size)
}

/// Every value that differs: file name, how many, of how many, largest difference.
fn differences(folder: &Path, input: &str, output: &str) -> Option<String> {
    let (pixels, source) = read(&folder.join(input));
    let (expected, target) = read(&folder.join(output));
    let found = letterbox(&pixels, source, target).unwrap();
    let pairs = found.pixels.iter().zip(&expected);
    let differing: Vec<u8> =
        pairs.map(|(a, b)| a.abs_diff(*b)).filter(|&difference| difference > 0).collect();
    let worst = differing.iter().max()?;
    Some(format!("{output}: {} of {} values differ, by up to {worst}", differing.len(), expected.len()))
}

fn assert_equal(folder: &Path, cases: &[(String, String)]) {
    let failures: Vec<String> = cases.iter().filter_map(|(i, o)| differences(folder, i, o)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn fixtures_are_equal_to_the_bit() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/letterbox");
    let input = "in_61x97.png".to_owned();
    let cases = ["64x64", "160x160", "96x160"].map(|to| (input.clone(), format!("out_61x97_to_{to}.png")));
    assert_equal(&folder, &cases);
}

#[test]
fn goldens_are_equal_to_the_bit() {
    let Some(goldens) = std::env::var_os("QUANT_GOLDENS") else { return };
    let folder = PathBuf::from(goldens).join("letterbox");
    let text = std::fs::read_to_string(folder.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&text).unwrap();
    let cases = index["cases"].as_array().unwrap();
    let name = |case: &serde_json::Value, key: &str| case[key].as_str().unwrap().to_owned();
    let pairs: Vec<_> = cases.iter().map(|case| (name(case, "input"), name(case, "output"))).collect();
    assert_equal(&folder, &pairs);
    for case in cases {
        check_transform(&folder, case);
    }
}

fn check_transform(folder: &Path, case: &serde_json::Value) {
    let (_, source) = read(&folder.join(case["input"].as_str().unwrap()));
    let [height, width] = [0, 1].map(|i| case["target_hw"][i].as_u64().unwrap() as usize);
    let found = LetterboxTransform::new(source, ImageSize::new(height, width)).unwrap();
    assert_eq!(Some(found.ratio), case["ratio"].as_f64(), "{case}");
    assert_eq!(
        [found.left, found.top].map(|v| Some(v as u64)),
        [0, 1].map(|i| case["left_top"][i].as_u64()),
        "{case}"
    );
}
