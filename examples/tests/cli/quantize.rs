//! `quantize` without arguments: on the demonstration.

use crate::support::{quantized, read_json, runs, succeed, text};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// Names, hashes of detections, and bytes of the saved networks.
fn results(folder: &Path) -> Vec<(String, String, Vec<u8>)> {
    let of = |run: &Value| {
        let field = |key: &str| run[key].as_str().unwrap().to_owned();
        (field("name"), field("detections_sha256"), std::fs::read(folder.join(field("file"))).unwrap())
    };
    runs(&read_json(&folder.join("summary.json"))).iter().map(of).collect()
}

#[test]
fn results_depend_neither_on_threads_nor_on_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, threads: &str| {
        let out = folder.path().join(name);
        succeed("quantize", &["--threads", threads, "--out", text(&out)]);
        results(&out)
    };
    let first = run("first", "1");
    assert_eq!(first.len(), 6);
    for (name, threads) in [("two threads", "2"), ("again", "1")] {
        for (expected, found) in first.iter().zip(run(name, threads)) {
            assert_eq!(expected.1, found.1, "{name}: detections of {}", expected.0);
            assert!(*expected == found, "{name}: saved network {}", expected.0);
        }
    }
}

#[test]
fn summary_has_every_documented_field() {
    let summary = quantized().summary();
    let top =
        ["best", "cpu_seconds", "peak_rss_bytes", "phases", "images", "images_skipped", "rules", "inputs"];
    let manifest = ["tool", "version", "weights_sha256", "images_sha256", "calibration_sha256", "threads"];
    let row = ["name", "precision", "ap", "ap50", "delta_ap", "ms_per_image", "model_bytes"];
    let mut absent = Vec::new();
    let mut check = |value: &Value, place: &str, keys: &[&str]| {
        let missing = keys.iter().filter(|key| value[**key].is_null());
        absent.extend(missing.map(|key| format!("{place}{key}")));
    };
    check(&summary, "", &top);
    check(&summary["manifest"], "manifest.", &manifest);
    runs(&summary).iter().for_each(|run| check(run, "runs[].", &row));
    assert!(absent.is_empty(), "{absent:?}");
    assert!(summary["cpu_seconds"].as_f64().unwrap() > 0.0);
    assert!(summary["peak_rss_bytes"].as_u64().unwrap() > 1 << 20);
    assert_eq!(summary["images"], 40);
    assert_eq!(summary["calibration_images"], 16);
}

#[test]
fn figures_of_the_runs_fit_together() {
    let quantized = quantized();
    let summary = quantized.summary();
    let runs = runs(&summary);
    assert_eq!((runs[0]["name"].as_str(), runs[0]["precision"].as_str()), (Some("float"), Some("f32")));
    assert!((0.6..0.65).contains(&runs[0]["ap"].as_f64().unwrap()));
    for run in runs {
        let number = |key: &str| run[key].as_f64().unwrap();
        assert_eq!(number("delta_ap"), number("ap") - runs[0]["ap"].as_f64().unwrap(), "{run}");
        assert_eq!(run["stats"][0], run["ap"], "{run}");
        assert!(number("ms_per_image") > 0.0, "{run}");
        let bytes = std::fs::metadata(quantized.folder.join(run["file"].as_str().unwrap())).unwrap().len();
        assert_eq!(run["model_bytes"], bytes, "{run}");
    }
    assert!(runs[0]["interval_ap"].is_null());
    for run in &runs[1..] {
        let number = |value: &Value| value.as_f64().unwrap();
        let (low, high) = (number(&run["interval_ap"]["low"]), number(&run["interval_ap"]["high"]));
        assert!(low < high && number(&run["standard_error"]) > 0.0, "{run}");
        assert!((low..=high).contains(&number(&run["delta_ap"])), "{run}");
    }
    let best = runs[1..].iter().map(|run| run["ap"].as_f64().unwrap()).fold(0.0, f64::max);
    assert!(best > 0.3, "the best integer network has AP {best}");
}

#[test]
fn tables_fit_a_screen_and_name_the_next_command() {
    let folder = tempfile::tempdir().unwrap();
    let out = text(folder.path());
    let table =
        |options: &[&str]| succeed("quantize", &[&["--methods", "max", "--out", out], options].concat());
    let full = table(&["--save-detections"]);
    let rows: Vec<&str> = full.lines().skip(1).take(3).collect();
    assert!(rows[0].contains("interval of dAP") && rows[2].starts_with("max "), "{full}");
    assert!(rows.iter().all(|row| row.len() <= 110), "{full}");
    let next = full.lines().last().unwrap().strip_prefix("next: compare ").unwrap();
    assert!(succeed("compare", &next.split(' ').collect::<Vec<_>>()).contains("40 images"), "{full}");
    let plain = table(&["--samples", "0"]);
    assert!(!plain.contains("next:") && !plain.contains("drawn in pairs"), "{plain}");
    assert!(runs(&read_json(&folder.path().join("summary.json")))[1]["interval_ap"].is_null());
}

#[test]
fn json_prints_the_summary() {
    let quantized = quantized();
    assert_eq!(serde_json::from_str::<Value>(&quantized.stdout).unwrap(), quantized.summary());
}

#[test]
fn both_widths_add_runs_with_8_bits() {
    let summary = quantized().summary();
    let names: BTreeSet<&str> = runs(&summary).iter().map(|run| run["name"].as_str().unwrap()).collect();
    let methods = ["max", "minmax", "percentile", "entropy", "mse"];
    let narrow = methods.map(|name| format!("{name}-pre8"));
    let expected = methods.into_iter().chain(narrow.iter().map(String::as_str)).chain(["float"]);
    assert_eq!(names, expected.collect());
    for run in &runs(&summary)[1..] {
        let bits = if run["name"].as_str().unwrap().ends_with("-pre8") { 8 } else { 16 };
        assert_eq!(run["preactivation_bits"], bits, "{run}");
    }
}

#[test]
fn options_replace_parts_of_the_demonstration() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("one");
    std::fs::create_dir(&images).unwrap();
    let image = crate::support::workspace().join(crate::support::IMAGES).join("images-03.png");
    std::fs::copy(image, images.join("images-03.png")).unwrap();
    let out = folder.path().join("out");
    let methods = "max,sqnr,octav,aciq,aciq-laplace";
    succeed("quantize", &["--images", text(&images), "--methods", methods, "--out", text(&out)]);
    let summary = read_json(&out.join("summary.json"));
    assert_eq!(summary["images"], 1);
    let names: Vec<&str> = runs(&summary)[1..].iter().map(|run| run["name"].as_str().unwrap()).collect();
    assert_eq!(names.join(","), methods);
}

/// 16 bits throughout come close to f32, and weights of more than 8 bits need them.
#[test]
fn networks_of_16_bits_agree_with_the_float_one() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--methods", "mse", "--samples", "0", "--weight-bits", "16"];
    let wide = [&options[..], &["--activations", "16", "--out", text(folder.path())]].concat();
    succeed("quantize", &wide);
    let summary = read_json(&folder.path().join("summary.json"));
    let [float, wide] = [0, 1].map(|run| &runs(&summary)[run]);
    assert_eq!((wide["name"].as_str(), wide["precision"].as_str()), (Some("mse-16"), Some("int16")));
    let ap = |run: &Value| run["ap"].as_f64().unwrap();
    assert!((ap(wide) - ap(float)).abs() < 0.002, "{} {}", ap(float), ap(wide));
    let refused = crate::support::run("quantize", &[&options[..], &["--out", text(folder.path())]].concat());
    assert!(refused.code == Some(2) && refused.stderr.contains("weights of 16 bits"), "{}", refused.stderr);
}

/// `auto`, and everything that is done to weights.
#[test]
fn layers_can_be_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, arguments: &[&str]| {
        let out = folder.path().join(name);
        succeed("quantize", &[&["--samples", "0", "--out", text(&out)], arguments].concat());
        (runs(&read_json(&out.join("summary.json"))).to_vec(), results(&out))
    };
    let per_tensor = ["--weight-granularity", "tensor", "--weight-bits", "5"];
    let (auto, files) = run("auto", &["--methods", "auto,mse", "--preactivation", "8"]);
    assert_eq!((&auto[1]["name"], &auto[2]["name"]), (&"auto-pre8".into(), &"mse-pre8".into()));
    let choices = auto[1]["choices"].as_array().unwrap();
    assert!(choices.len() > 20 && choices.iter().all(|c| c["methods"].as_array().unwrap().len() == 8));
    assert!(auto[2]["choices"].is_null() && files[1].2 != files[2].2);
    let ap = |rows: &[Value]| rows[1]["ap"].as_f64().unwrap();
    let (nearest, _) = run("nearest", &[&["--methods", "mse"], &per_tensor[..]].concat());
    for rounding in ["descent", "adaround"] {
        let options = ["--methods", "mse", "--rounding", rounding, "--bias-correction", "weights"];
        let (rows, files) = run(rounding, &[&options[..], &per_tensor].concat());
        assert!(ap(&rows) > ap(&nearest), "{rounding}: {} {}", ap(&rows), ap(&nearest));
        let layers = rows[1]["layers"].as_array().unwrap();
        let gained = layers.iter().filter(|l| l["after"].as_f64().unwrap() < l["before"].as_f64().unwrap());
        assert!(gained.count() * 10 >= layers.len() * 9, "{rounding}: {layers:?}");
        let again = run("again", &[&options[..], &per_tensor, &["--threads", "1"]].concat()).1;
        assert!(again == files, "{rounding}: results depend on threads");
    }
    let scales = |grid: &'static str| [&["--methods", "mse", "--scale-grid", grid], &per_tensor[..]].concat();
    let (coarse, _) = run("grid", &scales("power-of-two"));
    let (fine, _) = run("mantissa", &scales("mantissa:6"));
    assert!(ap(&fine) > ap(&coarse), "{} {}", ap(&fine), ap(&coarse));
    let analytic = ["--methods", "mse", "--bias-correction", "analytic"];
    let (rows, _) = run("analytic", &[&analytic[..], &per_tensor].concat());
    assert!(rows[1]["ap"] != nearest[1]["ap"]);
}
