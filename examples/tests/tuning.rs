//! The programs `inq` and `qat`, on the demonstration.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn command(program: &str, out: &Path, options: &[&str]) -> Command {
    let path = match program {
        "inq" => env!("CARGO_BIN_EXE_inq"),
        _ => env!("CARGO_BIN_EXE_qat"),
    };
    let mut command = Command::new(path);
    command.args(["--batch", "2", "--samples", "0", "--weight-granularity", "tensor"]).args(options);
    command.arg("--out").arg(out).current_dir(workspace()).env_remove("YOLO_ASSETS");
    command
}

fn run(program: &str, out: &Path, options: &[&str]) -> Output {
    command(program, out, options).output().unwrap()
}

fn succeed(program: &str, out: &Path, options: &[&str]) -> Value {
    let ended = run(program, out, options);
    assert!(ended.status.success(), "{program} {options:?}: {}", String::from_utf8_lossy(&ended.stderr));
    serde_json::from_slice(&std::fs::read(out.join("summary.json")).unwrap()).unwrap()
}

/// The parameters that training ended with.
fn last(out: &Path) -> Vec<u8> {
    std::fs::read(out.join("last.safetensors")).unwrap()
}

/// Runs a program until it has written its state, kills it, and lets it go on.
fn killed(program: &str, out: &Path, options: &[&str]) -> Value {
    let mut child =
        command(program, out, options).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (state, start) = (out.join("last.state"), Instant::now());
    while !state.exists() && start.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!out.join("summary.json").exists(), "it was not killed in time");
    succeed(program, out, &[options, &["--resume"]].concat())
}

#[test]
fn inq_that_was_killed_goes_on_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, parts] = ["whole", "parts"].map(|name| folder.path().join(name));
    let options = ["--ratios", "0.5,1", "--steps", "6", "--save-every", "2", "--lr", "1e-4"];
    let summary = succeed("inq", &whole, &options);
    let resumed = killed("inq", &parts, &options);
    assert_eq!(last(&whole), last(&parts));
    assert_eq!(summary["stages"], resumed["stages"]);
    let stages = summary["stages"].as_array().unwrap();
    let names: Vec<&str> = stages.iter().map(|stage| stage["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["ptq", "inq-0.5", "inq-1"]);
    assert_eq!((&stages[2]["frozen"], stages[1]["frozen"].as_u64()), (&stages[2]["weights"], Some(75_624)));
    // Weights on their grids are the integers: the network in real numbers has only feature maps to lose.
    assert!(stages[2]["ap_integer"].as_f64().unwrap() > 0.5, "{stages:?}");
    assert_eq!(summary["runs"].as_array().unwrap().len(), 7);

    let again = run("inq", &whole, &options);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("--resume"));
    let other = run("inq", &whole, &["--ratios", "1", "--steps", "6", "--resume"]);
    assert!(String::from_utf8_lossy(&other.stderr).contains("not the state of this work"));
}

#[test]
fn qat_that_was_killed_goes_on_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    for scales in ["learned", "fixed"] {
        let [whole, parts] = ["whole", "parts"].map(|name| folder.path().join(format!("{scales}-{name}")));
        let options = ["--scales", scales, "--steps", "8", "--save-every", "3", "--lr", "1e-4"];
        let summary = succeed("qat", &whole, &options);
        let resumed = killed("qat", &parts, &options);
        assert_eq!(last(&whole), last(&parts), "{scales}");
        assert_eq!(summary["stages"], resumed["stages"], "{scales}");
        assert!(summary["stages"][1]["loss"].as_f64().unwrap() > 0.0);
    }
}

/// Files of Icraft that are written after training run as what was evaluated.
#[test]
fn icraft_gets_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let options = ["--icraft", "fixtures/icraft/demo_8.ini", "--model", "fixtures/demo/model.yaml"];
    let data = ["--images", "fixtures/demo/images", "--annotations", "fixtures/demo/annotations.json"];
    let summary = succeed("qat", &out, &[&options[..], &data, &["--steps", "2"]].concat());
    let found = summary["stages"][1]["ap_integer"].as_f64().unwrap();
    let pair = out.join("demo_quantized.json").display().to_string();
    let val = Command::new(env!("CARGO_BIN_EXE_val"))
        .args([&["--weights", &pair, "--json"], &data[..]].concat())
        .current_dir(workspace())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&val.stdout).unwrap();
    assert_eq!(report["stats"][0].as_f64(), Some(found), "{}", String::from_utf8_lossy(&val.stderr));
}

#[test]
fn what_goes_wrong_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let rows: [(&str, &[&str], &str); 6] = [
        ("inq", &["--ratios", "0.5,0.4,1"], "ratio 0.4 of stage 2"),
        ("inq", &["--ratios", "0.5,0.99"], "it must be 1 unless"),
        ("inq", &["--train-images", "no/such/folder"], "no/such/folder"),
        ("qat", &["--preactivation", "both"], "a network is trained for one of them"),
        ("qat", &["--loss", "labels"], "--train-images"),
        ("qat", &["--lr", "1e30", "--steps", "5"], "the loss is no number"),
    ];
    for (program, options, told) in rows {
        let ended = run(program, &folder.path().join("out"), options);
        let text = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.code() == Some(2) && text.contains(told), "{program} {options:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
        assert!(!folder.path().join("out/summary.json").exists());
    }
}
