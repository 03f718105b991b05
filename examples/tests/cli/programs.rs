//! `val`, `detect` and `inspect`, mostly on what `quantize` saved.

use crate::support::{
    ANNOTATIONS, IMAGES, MODEL, WEIGHTS, command, quantized, read_json, runs, succeed, text, workspace,
};
use examples::output::sha256_file;
use nn_graph::BUILTIN_MODELS;
use quant_core::Program;
use serde_json::Value;
use std::path::Path;

#[test]
fn val_repeats_the_figures_and_detections_of_the_summary() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results.json");
    for run in runs(&quantized().summary()) {
        let weights = quantized().network(run["name"].as_str().unwrap());
        let data = ["--images", IMAGES, "--annotations", ANNOTATIONS];
        let output = ["--weights", &weights, "--json", "--save-json", text(&results)];
        let report: Value = serde_json::from_str(&succeed("val", &[&data[..], &output].concat())).unwrap();
        assert_eq!(report["stats"], run["stats"], "{weights}");
        assert_eq!(sha256_file(&results).unwrap(), run["detections_sha256"].as_str().unwrap(), "{weights}");
    }
    let rows = read_json(&results);
    let first = &rows[0];
    assert!(first["image_id"].is_i64() && first["category_id"].is_i64() && first["score"].is_f64());
    assert_eq!(first["bbox"].as_array().unwrap().len(), 4);
}

#[test]
fn val_prints_the_twelve_figures_of_a_checkpoint() {
    let network = ["--weights", WEIGHTS, "--model", MODEL, "--imgsz", "160"];
    let data = ["--images", IMAGES, "--annotations", ANNOTATIONS];
    let stdout = succeed("val", &[network.as_slice(), &data].concat());
    assert!(coco_eval::Summary::NAMES.iter().all(|name| stdout.contains(name)), "{stdout}");
    assert!(stdout.lines().next().unwrap().ends_with("0.616"), "{stdout}");
}

#[test]
fn detect_draws_and_prints_the_same_as_text_and_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let source = format!("{IMAGES}/images-00.png");
    let weights = quantized().network("mse");
    let arguments = ["--weights", &weights, "--source", &source, "--out", text(folder.path())];
    let printed = succeed("detect", &arguments);
    let report = succeed("detect", &[&arguments[..], &["--json"]].concat());
    let report: Value = serde_json::from_str(&report).unwrap();
    let count = report[0]["detections"].as_array().unwrap().len();
    assert!(count > 0);
    assert_eq!(printed.lines().next().unwrap(), format!("{source}: {count} detections"));
    assert_eq!(printed.lines().count(), 1 + count);
    let pixels = |path: &Path| image::open(path).unwrap().into_rgb8();
    let (before, after) = (pixels(&workspace().join(&source)), pixels(&folder.path().join("images-00.png")));
    assert_eq!(before.dimensions(), after.dimensions());
    assert_ne!(before, after, "nothing was drawn");
}

#[test]
fn detect_takes_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let weights = quantized().network("float");
    let stdout =
        succeed("detect", &["--weights", &weights, "--source", IMAGES, "--out", text(folder.path())]);
    assert_eq!(stdout.lines().filter(|line| line.contains(": ")).count(), 40);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 40);
}

/// Shape and type in the header of a `.npy` file, and the number of values that follow.
fn npy_header(path: &Path) -> (Vec<usize>, String, usize) {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00", "{}", path.display());
    let data = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..data]).unwrap();
    let kind = header.split('\'').nth(3).unwrap().to_owned();
    let shape = header.split(['(', ')']).nth(1).unwrap();
    let shape = shape.split(',').filter_map(|side| side.trim().parse().ok()).collect();
    let width: usize = kind[2..].parse().unwrap();
    (shape, kind, (bytes.len() - data) / width)
}

#[test]
fn detect_dumps_every_tensor() {
    for (name, kinds) in [("mse", &["<f4", "|i1", "<i2"][..]), ("float", &["<f4"])] {
        let folder = tempfile::tempdir().unwrap();
        let (weights, source) = (quantized().network(name), format!("{IMAGES}/images-00.png"));
        let arguments = ["--weights", &weights, "--source", &source, "--out", text(folder.path())];
        succeed("detect", &[&arguments[..], &["--dump-features"]].concat());
        let dumped = folder.path().join("images-00");
        let index = read_json(&dumped.join("tensors.json"));
        let tensors = index.as_array().unwrap();
        assert_eq!(tensors.len(), Program::load(Path::new(&weights)).unwrap().tensors().len());
        assert_eq!(std::fs::read_dir(&dumped).unwrap().count(), tensors.len() + 1);
        for tensor in tensors {
            let (shape, kind, count) = npy_header(&dumped.join(tensor["file"].as_str().unwrap()));
            assert_eq!(tensor["shape"], serde_json::json!(shape), "{tensor}");
            assert_eq!(count, shape.iter().product::<usize>(), "{tensor}");
            assert!(kinds.contains(&kind.as_str()), "{tensor}: {kind}");
            assert_eq!(tensor["scale"].is_null(), kind == "<f4", "{tensor}");
        }
    }
}

#[test]
fn dumped_features_stay_in_their_folder() {
    let saved = Program::load(Path::new(&quantized().network("float"))).unwrap();
    let mut description = saved.description().clone();
    description.tensors[0].name = "../../outside".to_owned();
    let mut hostile = Program::new(description, saved.constants().clone()).unwrap();
    hostile.metadata = saved.metadata.clone();
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("hostile.safetensors");
    hostile.save(&weights).unwrap();
    let (source, out) = (format!("{IMAGES}/images-00.png"), folder.path().join("out"));
    let arguments = ["--weights", text(&weights), "--source", &source, "--out", text(&out)];
    succeed("detect", &[&arguments[..], &["--dump-features"]].concat());
    assert!(!folder.path().join("outside.npy").exists());
    assert!(out.join("images-00/.._.._outside.npy").exists());
}

#[test]
fn inspect_shows_every_built_in_model() {
    assert_eq!(BUILTIN_MODELS.len(), 10);
    for model in BUILTIN_MODELS {
        let plain = succeed("inspect", &["--model", model]);
        assert!(plain.lines().count() > 20, "{model}: {plain}");
        let placed = succeed("inspect", &["--model", model, "--fold", "--placement"]);
        assert!(placed.contains("quantisers") && placed.contains("conv-input"), "{model}: {placed}");
    }
}

#[test]
fn inspect_shows_checkpoints_and_saved_networks() {
    let checkpoint = succeed("inspect", &["--weights", WEIGHTS, "--model", MODEL, "--imgsz", "160"]);
    assert!(checkpoint.starts_with(WEIGHTS) && checkpoint.contains("model.15"), "{checkpoint}");
    let saved = succeed("inspect", &["--weights", &quantized().network("max"), "--imgsz", "160"]);
    assert!(saved.contains("i8  scale") && saved.contains("at 160x160"), "{saved}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let (weights, out) = (quantized().network("mse"), text(folder.path()));
    let detect = ["--weights", &weights, "--source", IMAGES, "--out", out];
    let data = ["--images", IMAGES, "--annotations", ANNOTATIONS];
    let (float, other) = (quantized().detections("float"), quantized().detections("mse"));
    let truth = ["--annotations", ANNOTATIONS];
    let compare = ["--baseline", &float, "--candidate", &other, "--samples", "9"];
    let cases: [(&str, Vec<&str>); 10] = [
        ("detect", detect.to_vec()),
        ("detect", [&detect[..], &["--json"]].concat()),
        ("inspect", vec!["--model", "yolov5s", "--placement"]),
        ("inspect", vec!["--weights", &weights]),
        ("val", [&data[..], &["--weights", &weights]].concat()),
        ("bench", vec!["--precision", "f32", "--runs", "1"]),
        ("quantize", vec!["--methods", "max", "--out", out]),
        ("evaluate", [&truth[..], &["--results", &float, "--per-class"]].concat()),
        ("evaluate", [&truth[..], &["--results", &float, "--json"]].concat()),
        ("compare", [&truth[..], &compare].concat()),
    ];
    for (program, arguments) in cases {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command(program, &arguments).stdout(writer).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("panicked"), "{program} {arguments:?}: {stderr}");
        assert_eq!(output.status.code(), Some(0), "{program} {arguments:?}: {stderr}");
    }
}

/// The page of programs knows every option, in its program's section.
#[test]
fn every_option_is_documented() {
    let page = std::fs::read_to_string(workspace().join("docs/programs.md")).unwrap();
    let mut missing = Vec::new();
    let mut options = 0;
    for command in [
        "analyze",
        "bench",
        "calibrate",
        "ckpt2raw",
        "compare",
        "detect",
        "evaluate",
        "icraft-compile",
        "icraft-params",
        "icraft-plot weights",
        "icraft-plot raw",
        "icraft-plot errors",
        "icraft-plot ftmp",
        "inspect",
        "draw-shapes",
        "quantize",
        "raw2ckpt",
        "val",
    ] {
        let (program, subcommand) =
            command.split_once(' ').map_or((command, None), |(program, name)| (program, Some(name)));
        let section = page.split("\n## ").find(|section| section.lines().next() == Some(program)).unwrap();
        let help = succeed(program, &subcommand.into_iter().chain(["--help"]).collect::<Vec<_>>());
        for name in help.lines().filter_map(|line| line.strip_prefix("      --")?.split(' ').next()) {
            options += 1;
            if !section.contains(&format!("`--{name}")) {
                missing.push(format!("{program} --{name}"));
            }
        }
    }
    assert!(missing.is_empty() && options > 80, "{options}: {missing:?}");
}
