//! `analyze` on the demonstration: analyses, interruptions, selections, and what it refuses.

use crate::rows::{Row, check};
use crate::support::{read_json, run, runs, succeed, succeed_json, text};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Sensitivities of all layers by AP, that several tests read: both higher precisions over 8-bit pre-activations.
fn sensitivities() -> &'static PathBuf {
    static ONCE: OnceLock<PathBuf> = OnceLock::new();
    ONCE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-analyze");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        let method = ["--method", "max", "--preactivation", "8"];
        let options = [&method[..], &["--candidates", "int8-pre16,f32", "--samples", "50"]].concat();
        succeed("analyze", &[&options[..], &["--out", text(&folder)]].concat());
        folder.join("sensitivity.json")
    })
}

fn rows(file: &Value) -> &[Value] {
    file["sensitivity"]["rows"].as_array().unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn sensitivities_are_complete_and_sorted() {
    let file = read_json(sensitivities());
    let sensitivity = &file["sensitivity"];
    // 37 convolutions, two precisions each.
    assert_eq!(rows(&file).len(), 74);
    assert_eq!((sensitivity["images"].as_u64(), sensitivity["score"].as_str()), (Some(40), Some("map")));
    assert!(number(&sensitivity["float"]) > 0.6 && number(&sensitivity["base"]) < 0.605, "{sensitivity}");
    let gains: Vec<f64> = rows(&file).iter().map(|row| number(&row["gain"])).collect();
    assert!(gains.is_sorted_by(|a, b| a >= b), "{gains:?}");
    for row in rows(&file) {
        let difference = number(&row["score"]) - number(&sensitivity["base"]);
        assert!((number(&row["gain"]) - difference).abs() < 1e-12, "{row}");
        let ends = row["interval"].as_array().unwrap();
        assert!(number(&ends[0]) <= number(&ends[1]), "{row}");
    }
    let [whole, run] = [0, 1].map(|i| sensitivity["convolutions"][i].as_u64().unwrap());
    assert_eq!(whole, 74 * 37);
    assert!(run < whole * 3 / 5, "{run} of {whole}");
    assert_eq!(file["hashes"]["weights_sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for (mode, score) in
        [("leave-one-out", "map"), ("only-one-on", "sqnr"), ("leave-one-out", "kl"), ("errors", "map")]
    {
        let name = if mode == "errors" { "errors.json" } else { "sensitivity.json" };
        let analyze = |out: &Path, more: &[&str]| {
            let options =
                ["--mode", mode, "--score", score, "--by", "block", "--samples", "20", "--num-images", "20"];
            run("analyze", &[&options[..], &["--out", text(out)], more].concat())
        };
        let [whole, parts] =
            ["whole", "parts"].map(|part| folder.path().join(format!("{mode}-{score}-{part}")));
        assert_eq!(analyze(&whole, &["--threads", "1"]).code, Some(0));
        let stopped = analyze(&parts, &["--stop-after", "1", "--threads", "2"]);
        assert!(stopped.code == Some(0) && stopped.stderr.contains("--resume"), "{}", stopped.stderr);
        assert!(parts.join("state/block-000000.json").exists() && !parts.join(name).exists());
        // Nothing else than the missing block is computed: the first may say what it likes as long as it can be read.
        assert_eq!(analyze(&parts, &["--resume", "--threads", "2"]).code, Some(0));
        if std::fs::read(whole.join(name)).unwrap() != std::fs::read(parts.join(name)).unwrap() {
            wrong.push((mode, score));
        }
        assert!(!parts.join("state").exists(), "the state is removed at the end");
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_calibration_file_stands_for_its_images() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("statistics.json");
    succeed("calibrate", &["--out", text(&file)]);
    let [from_images, from_file] = ["images", "file"].map(|part| folder.path().join(part));
    let options = ["--score", "sqnr", "--by", "block", "--num-images", "4"];
    succeed("analyze", &[&options[..], &["--out", text(&from_images)]].concat());
    succeed(
        "analyze",
        &[&options[..], &["--out", text(&from_file), "--calibration-file", text(&file)]].concat(),
    );
    let [images, file] = [from_images, from_file].map(|out| read_json(&out.join("sensitivity.json")));
    assert_eq!(images["sensitivity"], file["sensitivity"]);
    assert_ne!(images["hashes"]["calibration_sha256"], file["hashes"]["calibration_sha256"]);
}

#[test]
fn a_state_of_another_analysis_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = text(folder.path());
    let base = ["--score", "sqnr", "--by", "block", "--num-images", "20", "--out", out];
    let stop = [&base[..], &["--stop-after", "1"]].concat();
    succeed("analyze", &stop);
    let refused = |more: &[&str]| {
        let ended = run("analyze", &[&base[..], &["--resume"], more].concat());
        ended.code == Some(2) && ended.stderr.contains("not the state of this work")
    };
    for more in [
        &["--method", "max"][..],
        &["--ignore", "model.0"],
        &["--num-calib", "3"],
        &["--mode", "only-one-on"],
    ] {
        assert!(refused(more), "{more:?}");
    }
    let block = folder.path().join("state/block-000000.json");
    let bytes = std::fs::read(&block).unwrap();
    std::fs::write(&block, &bytes[..bytes.len() / 2]).unwrap();
    assert!(refused(&[]), "a block that was cut");
    // Without --resume the state is started anew.
    succeed("analyze", &base);
    // A folder that is no state is not removed.
    std::fs::create_dir(folder.path().join("state")).unwrap();
    std::fs::write(folder.path().join("state/thesis.txt"), "years of work").unwrap();
    assert_eq!(run("analyze", &base).code, Some(2));
    assert!(folder.path().join("state/thesis.txt").exists());
}

#[test]
fn errors_tell_each_layer_alone_and_all_before() {
    let folder = tempfile::tempdir().unwrap();
    let out = ["--mode", "errors", "--num-images", "3", "--out", text(folder.path())];
    let file = succeed_json("analyze", &out);
    assert_eq!(file, read_json(&folder.path().join("errors.json")));
    let layers = file["layers"].as_array().unwrap();
    assert_eq!((layers.len(), file["images"].as_u64()), (37, Some(3)));
    for layer in layers {
        let [own, all] = ["isolated", "accumulated"].map(|key| number(&layer[key]["sqnr_db"]));
        assert!(own > 5.0 && all < own + 0.5, "{layer}");
    }
    let table = succeed("analyze", &[&out[..], &["--top", "2", "--ignore", "model.15"]].concat());
    assert_eq!(table.lines().filter(|line| line.contains(".conv")).count(), 2, "{table}");
    assert!(!table.contains("model.15"), "{table}");
}

#[test]
fn a_selection_is_what_quantize_then_measures() {
    let folder = tempfile::tempdir().unwrap();
    let from = text(sensitivities());
    let base = number(&read_json(sensitivities())["sensitivity"]["base"]);
    let budgets = [
        ("greedy", ["--budget-map", "0.012"]),
        ("knapsack", ["--budget-map", "0.012"]),
        ("greedy", ["--budget-bytes", "15000"]),
        ("knapsack", ["--budget-macs", "3000000"]),
        ("knapsack", ["--budget-layers", "2"]),
    ];
    for (strategy, budget) in budgets {
        let config = folder.path().join(format!("{strategy}{}.json", budget[0]));
        let options = ["--select", strategy, budget[0], budget[1], "--from", from, "--out", text(&config)];
        let chosen = succeed_json("analyze", &options);
        assert_eq!(chosen, read_json(&config));
        let asked = &chosen["asked"];
        let ap = number(&asked["ap_measured"]);
        assert!(ap > base, "{asked}");
        if budget[0] == "--budget-map" {
            assert!(ap >= number(&asked["ap_float"]) - 0.012, "{asked}");
        } else {
            assert!(number(&asked["cost_added"]) <= budget[1].parse().unwrap(), "{asked}");
        }
        let out = folder.path().join("out");
        let quantize = ["--methods", "max", "--samples", "0", "--config", text(&config), "--out", text(&out)];
        succeed("quantize", &quantize);
        let summary = read_json(&out.join("summary.json"));
        let mixed = &runs(&summary)[1];
        assert_eq!((mixed["name"].as_str(), &mixed["preactivation_bits"]), (Some("max-mixed"), &Value::Null));
        assert_eq!(number(&mixed["ap"]), ap, "{strategy} {budget:?}");
        assert!(summary["manifest"]["config_sha256"].is_string());
    }
}

#[test]
fn ignored_layers_stay_in_f32() {
    let folder = tempfile::tempdir().unwrap();
    let out = text(folder.path());
    succeed(
        "analyze",
        &[
            "--score",
            "cosine",
            "--by",
            "block",
            "--num-images",
            "2",
            "--ignore",
            r"model\.(0|15)\.",
            "--out",
            out,
        ],
    );
    let from = folder.path().join("sensitivity.json");
    let file = read_json(&from);
    assert_eq!(file["sensitivity"]["ignored"], json!(["model.0.conv", "model.15.m.0", "model.15.m.1"]));
    let config = folder.path().join("p.json");
    let select =
        ["--select", "greedy", "--budget-layers", "0", "--from", text(&from), "--out", text(&config)];
    // Measured on all images, or as many as are asked for, not on those analysed.
    let few = succeed_json("analyze", &[&select[..], &["--num-images", "5"]].concat());
    assert_eq!(few["asked"]["images"], 5);
    let chosen = succeed_json("analyze", &select);
    assert_eq!(chosen["asked"]["images"], 40);
    let layers = chosen["layers"].as_array().unwrap().clone();
    let float = |layer: &&Value| layer["precision"] == "f32";
    assert_eq!(layers.iter().filter(float).count(), 3);
}

/// A copy of a JSON file after a change.
fn changed(from: &Path, path: &Path, change: impl FnOnce(&mut Value)) -> String {
    let mut value = read_json(from);
    change(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
    text(path).to_owned()
}

#[test]
fn unusable_input_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let from = sensitivities();
    let good = path("good.json");
    succeed(
        "analyze",
        &["--select", "greedy", "--budget-layers", "1", "--from", text(from), "--out", text(&good)],
    );
    let other_model = changed(&good, &path("other.json"), |c| c["model_sha256"] = "0123".into());
    let other_layer =
        changed(&good, &path("layer.json"), |c| c["layers"][3]["name"] = "model.99.conv".into());
    let lacking = changed(&good, &path("lacking.json"), |c| drop(c["layers"].as_array_mut().unwrap().pop()));
    let future = changed(&good, &path("future.json"), |c| c["version"] = 9.into());
    let stale = changed(from, &path("stale.json"), |f| f["hashes"]["images_sha256"] = "0".into());
    let renamed =
        changed(from, &path("renamed.json"), |f| f["sensitivity"]["rows"][0]["layers"] = json!(["nobody"]));
    let older = changed(from, &path("older.json"), |f| f["version"] = 0.into());
    std::fs::write(path("text.json"), "once upon a time").unwrap();
    let broken = text(&path("text.json")).to_owned();
    let config =
        |file: &str, says: &[&str]| Row::new(file, "quantize", &["--config", file, "--methods", "max"], says);
    let select = |file: &str, says: &[&str]| {
        Row::new(file, "analyze", &["--select", "knapsack", "--budget-layers", "1", "--from", file], says)
    };
    let analyze = |options: &[&str], says: &[&str]| Row::new(&options.join(" "), "analyze", options, says);
    let all = ["--select", "greedy", "--from", text(from)];
    let rows = [
        analyze(&["--ignore", "nothing"], &["the pattern \"nothing\" matches none of the 37 layers"]),
        analyze(&["--ignore", "("], &["the pattern \"(\" can't be read"]),
        analyze(&["--ignore", ".*"], &["all layers are ignored"]),
        analyze(&["--method", "best"], &["--method best", "percentile"]),
        analyze(&["--candidates", "int8-pre16"], &["the candidates have the precision of the base"]),
        analyze(&["--imgsz", "100"], &["image size 100x100"]),
        analyze(&[&all[..], &["--budget-map", "-1"]].concat(), &["--budget-map -1"]),
        analyze(&[&all[..], &["--budget-map", "0"]].concat(), &["is not reached"]),
        select("no/such/file.json", &["no/such/file.json"]),
        select(&broken, &[&broken, "can't be read"]),
        select(&older, &["version 0"]),
        select(&stale, &["the images have changed"]),
        select(&renamed, &["\"nobody\""]),
        config("no/such/file.json", &["no/such/file.json"]),
        config(&broken, &[&broken, "can't be read"]),
        config(&other_model, &["made for the model 0123"]),
        config(&other_layer, &["has the layer \"model.99.conv\""]),
        config(&lacking, &["lacks the layer \"model.15.m.1\""]),
        config(&future, &["version 9"]),
    ];
    check(&rows, folder.path());
}
