//! `bench` and `val --profile`: times that fit together, whatever they are.

use crate::rows::{Row, check};
use crate::support::{ANNOTATIONS, IMAGES, MODEL, WEIGHTS, quantized, run, succeed, succeed_json};
use serde_json::Value;

const KEYS: [&str; 11] = [
    "network",
    "precision",
    "threads",
    "imgsz",
    "ms",
    "gmac_per_s",
    "peak_share",
    "cpu_ms",
    "peak_gmac_per_s",
    "instructions",
    "buffer_bytes",
];

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("not a number: {value}"))
}

fn rows(arguments: &[&str]) -> Vec<Value> {
    succeed_json("bench", arguments).as_array().unwrap().clone()
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap()
}

#[track_caller]
fn assert_close(a: f64, b: f64, what: &str) {
    assert!((a - b).abs() <= 1e-9 * a.abs().max(b.abs()), "{what}: {a} and {b}");
}

#[test]
fn every_configuration_has_a_row_with_the_documented_keys() {
    let rows = rows(&["--runs", "2", "--threads", "1,2", "--imgsz", "96,160x128"]);
    let found: Vec<(String, u64, Value)> = rows
        .iter()
        .map(|row| {
            (text(row, "precision").to_owned(), row["threads"].as_u64().unwrap(), row["imgsz"].clone())
        })
        .collect();
    let mut expected = Vec::new();
    for precision in ["i8", "i8-pre8", "i16", "f32"] {
        for size in [Value::from(96), Value::from("160x128")] {
            expected.extend([1, 2].map(|threads| (precision.to_owned(), threads, size.clone())));
        }
    }
    assert_eq!(found, expected);
    for row in &rows {
        let keys: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        let mut wanted = KEYS.to_vec();
        wanted.sort_unstable();
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, wanted);
        assert_eq!(row["network"], "model");
        assert_eq!(row["instructions"], quant_core::Isa::detect().name());
    }
}

#[test]
fn figures_are_positive_and_fit_together() {
    for row in rows(&["--runs", "3", "--threads", "1,2", "--layers"]) {
        for key in ["ms", "gmac_per_s", "peak_share", "peak_gmac_per_s", "buffer_bytes"] {
            assert!(number(&row[key]) > 0.0, "{key}: {row}");
        }
        let layers = row["layers"].as_array().unwrap();
        let gmac = layers.iter().map(|layer| number(&layer["mac"])).sum::<f64>() / 1e9;
        assert_close(number(&row["gmac_per_s"]), gmac / (number(&row["ms"]) / 1e3), "GMAC/s");
        let peak = number(&row["peak_gmac_per_s"]) * number(&row["threads"]);
        assert_close(number(&row["peak_share"]), number(&row["gmac_per_s"]) / peak, "share of the peak");
    }
}

#[test]
fn layers_are_the_steps_of_the_network() {
    let rows = rows(&["--runs", "3", "--layers", "--precision", "i8,f32", "--imgsz", "96"]);
    for (row, convolution) in rows.iter().zip(["conv i8 ", "conv f32 "]) {
        let layers = row["layers"].as_array().unwrap();
        let total: f64 = layers.iter().map(|layer| number(&layer["ms"])).sum();
        let mut convolutions = 0;
        for layer in layers {
            let (kind, mac, ms) = (text(layer, "kind"), number(&layer["mac"]), number(&layer["ms"]));
            assert_close(number(&layer["share"]), ms / total, text(layer, "name"));
            assert_eq!(kind.starts_with("conv "), mac > 0.0, "{layer}");
            if mac > 0.0 {
                convolutions += 1;
                assert!(kind.starts_with(convolution), "{layer}");
                assert_close(number(&layer["gmac_per_s"]), mac / ms / 1e6, text(layer, "name"));
            }
        }
        assert!(convolutions > 20, "{convolutions}");
        // 3 channels of 96x96, six rows and columns of weights, every second pixel: the first convolution of the demonstration.
        let first = layers.iter().find(|layer| number(&layer["mac"]) > 0.0).unwrap();
        let [channels, height, width] = [0, 1, 2].map(|axis| number(&first["shape"][axis]));
        assert_eq!([height, width], [48.0, 48.0]);
        assert_close(number(&first["mac"]), channels * height * width * 3.0 * 36.0, "products");
    }
}

#[test]
fn tables_tell_sizes_layers_and_megapixels() {
    let one = succeed("bench", &["--runs", "1", "--precision", "f32"]);
    assert!(one.contains("160x160") && !one.contains("megapixel"), "{one}");
    let several = ["--runs", "1", "--precision", "i8", "--imgsz", "64,96", "--layers"];
    let printed = succeed("bench", &several);
    for expected in ["64x64", "96x96", "ms/megapixel", "model.0.conv", "conv i8 6x6/2", "image and outputs"] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
}

#[test]
fn saved_networks_are_taken_as_they_are() {
    for (name, precision) in [("max", "i8"), ("max-pre8", "i8-pre8"), ("float", "f32")] {
        let rows = rows(&["--runs", "1", "--weights", &quantized().network(name)]);
        assert_eq!(rows.len(), 1, "{name}");
        assert_eq!(
            (text(&rows[0], "network"), text(&rows[0], "precision"), &rows[0]["imgsz"]),
            (name, precision, &Value::from(160))
        );
    }
}

#[test]
fn val_tells_what_layers_cost() {
    let weights = quantized().network("max");
    let arguments = ["--weights", &weights, "--images", IMAGES, "--annotations", ANNOTATIONS, "--profile"];
    let printed = succeed("val", &arguments);
    let figures = printed.find("images (0 skipped)").unwrap();
    assert!(printed.find("conv i8 3x3/2").unwrap() > figures, "{printed}");
    let ended = run("val", &[&arguments[..], &["--json"]].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(number(&report["ms_per_image"]) > 0.0);
    assert!(ended.stderr.contains("conv i8 3x3/2") && ended.stderr.contains("image and outputs"));
}

#[test]
fn what_can_not_be_timed_is_refused() {
    let saved = quantized().network("max");
    let checkpoint = ["--weights", WEIGHTS, "--model", MODEL];
    let rows = [
        Row::new(
            "saved network",
            "bench",
            &["--weights", &saved, "--precision", "f32"],
            &["--precision f32"],
        ),
        Row::new("calibrated", "bench", &["--weights", &saved, "--calibration", "x"], &["--calibration x"]),
        Row::new("architecture", "bench", &["--weights", &saved, "--model", "yolov5n"], &["--model yolov5n"]),
        Row::new("no images", "bench", &checkpoint, &["--calibration is needed"]),
        Row::new("no file", "bench", &["--weights", "nowhere.pt"], &["nowhere.pt"]),
        Row::new("size", "bench", &["--imgsz", "160,100"], &["100 x 100"]),
    ];
    let folder = tempfile::tempdir().unwrap();
    check(&rows, folder.path());
}

#[test]
fn unusable_values_are_refused_by_name() {
    let cases: [(&[&str], &str); 4] = [
        (&["--precision", "i4"], "i8-pre8"),
        (&["--runs", "0"], "--runs"),
        (&["--threads", "1,100000"], "100000"),
        (&["--imgsz", "0"], "a side in pixels"),
    ];
    for (arguments, says) in cases {
        let ended = run("bench", arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("error:") && ended.stderr.contains(says), "{}", ended.stderr);
    }
}
