//! Decoding against reference predictions.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use yolo_model::{Head, HeadLevel, HeadValues, ImageSize, decode_all, sigmoid};

/// The reference files hold a few values of each head and of the decoded rows; those that belong together are compared.
#[test]
fn reference_predictions() {
    let Some(goldens) = std::env::var_os("QUANT_GOLDENS") else { return };
    let folder = std::path::PathBuf::from(goldens).join("graph");
    let mut checked = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        check_reference(&serde_json::from_str(&text).unwrap());
        checked += 1;
    }
    assert!(checked > 0);
}

fn numbers(value: &serde_json::Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

/// Head tensors of one golden: known first and last values, zeros between.
fn tensors(golden: &serde_json::Value) -> Vec<Vec<f32>> {
    let tensor = |head: &serde_json::Value| {
        let mut values = vec![0.0; numbers(&head["shape"]).iter().product::<f32>() as usize];
        let (first, last) = (numbers(&head["first"]), numbers(&head["last"]));
        let start = values.len() - last.len();
        values[start..].copy_from_slice(&last);
        values[..first.len()].copy_from_slice(&first);
        values
    };
    golden["heads"].as_array().unwrap().iter().map(tensor).collect()
}

fn head_of(golden: &serde_json::Value) -> Head {
    let pairs = |level| numbers(level).chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
    Head {
        class_count: numbers(&golden["decoded"]["shape"])[2] as usize - 5,
        anchors: golden["anchors_pixels"].as_array().unwrap().iter().map(pairs).collect(),
        strides: numbers(&golden["stride"]).iter().map(|&stride| stride as usize).collect(),
    }
}

fn check_reference(golden: &serde_json::Value) {
    let (name, decoded, head) = (&golden["model"], &golden["decoded"], head_of(golden));
    let input = numbers(&golden["input"]);
    let sizes = head.level_sizes(ImageSize::new(input[2] as usize, input[3] as usize)).unwrap();
    let tensors = tensors(golden);
    let pairs = tensors.iter().zip(&sizes);
    let levels: Vec<_> = pairs
        .map(|(values, size)| HeadLevel {
            values: HeadValues::F32(values),
            rows: size.height,
            columns: size.width,
        })
        .collect();
    let rows = decode_all(&head, &levels).unwrap();
    let shape = numbers(&decoded["shape"]);
    assert_eq!(rows.len() as f32, shape[1] * shape[2], "{name}");
    assert_close(rows[0], numbers(&decoded["first_row"])[0], &format!("{name}: first x"));
    let last_score = sigmoid(*tensors.last().unwrap().last().unwrap());
    assert_eq!(rows.last(), Some(&last_score), "{name}: last score");
    // The files cut long rows short; where the last class is there, it is compared too.
    if let Some(&expected) = numbers(&decoded["last_row"]).get(head.values_per_anchor() - 1) {
        assert_close(last_score, expected, &format!("{name}: last score"));
    }
}

fn assert_close(found: f32, expected: f32, what: &str) {
    assert!((found - expected).abs() <= 2e-6 * expected.abs(), "{what} is {found}, not {expected}");
}
