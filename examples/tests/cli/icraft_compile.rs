//! `icraft-compile`, and what other programs do with its files.

use crate::support::{run, succeed, workspace};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A configuration of the demonstration with absolute paths, its files in `folder`.
fn config(folder: &Path, name: &str, changes: &[(&str, &str)]) -> PathBuf {
    let text = std::fs::read_to_string(workspace().join("fixtures/icraft").join(name)).unwrap();
    let fixtures = workspace().join("fixtures");
    let mut text = text
        .replace("fixtures/", &format!("{}/", fixtures.display()))
        .replace("out/icraft", &folder.display().to_string());
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn arguments<'a>(configs: &'a [PathBuf], demo: &'a [String; 3], rest: &[&'a str]) -> Vec<&'a str> {
    let mut all: Vec<&str> = configs.iter().map(|path| path.to_str().unwrap()).collect();
    all.extend(["--model", &demo[0], "--images", &demo[1], "--annotations", &demo[2]]);
    all.extend(rest);
    all
}

fn demo() -> [String; 3] {
    ["model.yaml", "images", "annotations.json"]
        .map(|file| workspace().join("fixtures/demo").join(file).display().to_string())
}

/// The one line of a program that has to fail.
fn fail(program: &str, arguments: &[&str]) -> String {
    let ended = run(program, arguments);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    ended.stderr.lines().find(|line| line.starts_with("error:")).unwrap().to_owned()
}

#[test]
fn stages_are_written_and_run() {
    let folder = tempfile::tempdir().unwrap();
    let configs = ["demo_8.ini", "demo_16.ini"].map(|name| config(folder.path(), name, &[]));
    let demo = demo();
    let text =
        succeed("icraft-compile", &arguments(&configs, &demo, &["--evaluate", "--json", "--samples", "0"]));
    let summary: Value = serde_json::from_str(&text).unwrap();
    let run = |name: &str| {
        let runs = summary["runs"].as_array().unwrap();
        runs.iter().find(|run| run["name"] == name).unwrap_or_else(|| panic!("{name}")).clone()
    };
    let ap = |name: &str| run(name)["ap"].as_f64().unwrap();
    assert!((ap("normed") - ap("float")).abs() <= 1e-4, "{} {}", ap("normed"), ap("float"));
    assert!(ap("fixed16") > 0.6 && ap("fixed16") > ap("fixed8") + 0.02 && ap("fixed8") > 0.5, "{text}");
    let out = folder.path().join("demo-8");
    for stage in ["parsed", "optimized", "normed", "quantized"] {
        for kind in ["json", "raw"] {
            assert!(out.join(format!("demo_{stage}.{kind}")).exists(), "{stage} {kind}");
        }
    }
    let logs = out.join("logs/quantizer/BUYI/demo");
    assert!(logs.join("demo_raws.csv").exists() && logs.join("demo_ftmps.csv").exists());
    let written: Value =
        serde_json::from_str(&std::fs::read_to_string(out.join("summary.json")).unwrap()).unwrap();
    assert_eq!(written["runs"], summary["runs"]);

    // Other programs take the pair.
    let json = out.join("demo_quantized.json");
    let json = json.to_str().unwrap();
    let text = succeed("val", &["--weights", json, "--images", &demo[1], "--annotations", &demo[2]]);
    assert!(text.contains(&format!("AP     {:.3}", ap("fixed8"))), "{text}");

    // Feature maps: integers, and the numbers that they stand for.
    let image = workspace().join("fixtures/demo/images/images-00.png").display().to_string();
    let dumped = |form: &str, id: u32| {
        let to = folder.path().join(form);
        succeed(
            "detect",
            &["--weights", json, "--source", &image, "--dump-ftmps", form, "--out", to.to_str().unwrap()],
        );
        std::fs::read(to.join("images-00").join(format!("{id}.ftmp"))).unwrap()
    };
    let (integers, numbers) = (dumped("SQB", 2), dumped("SFB", 2));
    assert_eq!((integers.len(), numbers.len()), (80 * 80 * 16, 4 * 80 * 80 * 16));
    let numbers: Vec<f32> = numbers.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let (q, x) = integers.iter().zip(&numbers).max_by_key(|(q, _)| (**q as i8).unsigned_abs()).unwrap();
    let ratio = x / f32::from(*q as i8);
    assert!(ratio > 0.0);
    assert!(integers.iter().zip(&numbers).all(|(q, x)| (f32::from(*q as i8) * ratio - x).abs() < 1e-6));
    let error = fail("detect", &["--weights", json, "--source", &image, "--dump-ftmps", "HQT"]);
    assert!(error.contains("SFB or SQB"), "{error}");

    // A raw file of another network is noticed.
    std::fs::copy(out.join("demo_normed.raw"), out.join("demo_quantized.raw")).unwrap();
    let error = fail("val", &["--weights", json, "--images", &demo[1], "--annotations", &demo[2]]);
    assert!(error.contains("don't belong together"), "{error}");
}

/// Units, borders, ratios that differ between the inputs of a convolution, sums larger than results: if one of them were wrong, 16 bits
/// would not come near the float network's outputs. Nothing is clipped there: the images of one part all count.
#[test]
fn weights_are_rounded_by_what_they_do() {
    let folder = tempfile::tempdir().unwrap();
    let demo = demo();
    let errors = |name: &str, changes: &[(&str, &str)], options: &[&str]| {
        let configs = [config(folder.path(), name, changes)];
        let text = succeed("icraft-compile", &arguments(&configs, &demo, options));
        let (_, line) = text.split_once("mean error ").unwrap();
        let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        [numbers[0], numbers[1]]
    };
    let [wide, _] = errors(
        "demo_16.ini",
        &[("batch = 4", "batch = 1")],
        &["--saturation", "null", "--bias-correction", "weights"],
    );
    assert!(wide < 1e-6, "{wide}");
    let wider = ["--set", "quantize.bits=16", "--set", "quantize.batch=1"];
    let options = [&wider[..], &["--saturation", "null", "--bias-correction", "weights"]].concat();
    assert_eq!(errors("demo_8.ini", &[], &options)[0], wide);
    for name in ["demo_8.ini", "demo_8.toml"] {
        let options = ["--saturation", "mse", "--rounding", "descent", "--bias-correction", "outputs"];
        let [before, after] = errors(name, &[], &options);
        assert!(before > 1e-4 && before < 0.1 && after < 0.97 * before, "{name}: {before} {after}");
    }
}

#[test]
fn the_later_generation_is_written_too() {
    let folder = tempfile::tempdir().unwrap();
    let configs = [config(folder.path(), "demo_8.toml", &[])];
    succeed("icraft-compile", &arguments(&configs, &demo(), &["--weight-method", "mse"]));
    let out = folder.path().join("demo-8-channel");
    let raw = std::fs::read(out.join("demo_quantized.raw")).unwrap();
    assert_eq!(&raw[..12], b"\xA5ICRAFT_RAW\xA5");
    let json: Value =
        serde_json::from_str(&std::fs::read_to_string(out.join("demo_quantized.json")).unwrap()).unwrap();
    assert_eq!(json["params_bytes"], raw.len());

    // What was measured can be used again, without images.
    let normed = std::fs::read(out.join("demo_normed.raw")).unwrap();
    let [ftmps, raws] = ["ftmps", "raws"].map(|log| out.join(format!("logs/demo/demo_quantize_{log}.csv")));
    let again = config(folder.path(), "demo_8.toml", &[("saturation = \"ems\"", "saturation = \"null\"")]);
    let text = std::fs::read_to_string(&again).unwrap();
    let without: String =
        text.lines().filter(|line| !line.starts_with("forward_")).map(|line| format!("{line}\n")).collect();
    std::fs::write(&again, without).unwrap();
    let logs = [("ftmp_csv", &ftmps), ("raw_csv", &raws)];
    let settings = logs.map(|(key, path)| format!("quantize.{key}={}", path.display()));
    let options = ["--set", &settings[0], "--set", &settings[1]];
    let saturations = || {
        let log = std::fs::read_to_string(&raws).unwrap();
        log.lines().map(|line| line.split(',').nth(3).unwrap().to_owned()).collect::<Vec<_>>()
    };
    let used = saturations();
    succeed("icraft-compile", &arguments(std::slice::from_ref(&again), &demo(), &options));
    assert_eq!(std::fs::read(out.join("demo_normed.raw")).unwrap(), normed);
    assert_eq!(saturations(), used);
    let text = std::fs::read_to_string(&raws).unwrap();
    let first = text.lines().next().unwrap();
    std::fs::write(&raws, format!("{first}\n")).unwrap();
    let error = fail("icraft-compile", &arguments(&[again], &demo(), &options));
    assert!(error.contains("no saturation point for model.0.conv.weight (id "), "{error}");
}

/// Powers of two for all scales, and words that hold 12 bits.
#[test]
fn twelve_bits_are_for_jdy() {
    let folder = tempfile::tempdir().unwrap();
    let configs = [config(folder.path(), "demo_16.ini", &[])];
    let width = ["--set", "quantize.bits=12", "--set", "quantize.batch=1"];
    let width = [&width[..], &["--saturation", "null", "--bias-correction", "weights"]].concat();
    let text = succeed("icraft-compile", &arguments(&configs, &demo(), &width));
    let (_, line) = text.split_once("mean error ").unwrap();
    let error: f64 = line.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
    assert!(error < 2e-4, "{error}");

    let out = folder.path().join("demo-16");
    let json = std::fs::read_to_string(out.join("demo_quantized.json")).unwrap();
    assert!(json.contains("@sint(12)") && json.contains("@sint(24)") && !json.contains("@sint(16)"));
    // As published scripts read it: biases have 0 for a scale, and scales are 2^-exp of column 6.
    let log = std::fs::read_to_string(out.join("logs/quantizer/BUYI/demo/demo_raws.csv")).unwrap();
    let rows: Vec<Vec<&str>> = log.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let (biases, weights): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row[4] == "0");
    assert_eq!(biases.len(), weights.len());
    let first = |cell: &str| cell.split(' ').next().unwrap().parse::<f32>().unwrap();
    assert!(weights.iter().all(|row| first(row[4]) == (-first(row[6])).exp2()), "{log}");

    // The log has the scales of the json.
    let [raw, csv, to] =
        ["demo_quantized.raw", "logs/quantizer/BUYI/demo/demo_raws.csv", "weights.safetensors"]
            .map(|file| out.join(file).display().to_string());
    let json = out.join("demo_quantized.json").display().to_string();
    let options = ["--json", &json, "--raw", &raw, "--csv", &csv, "--profile", "jdy", "--out", &to];
    succeed("raw2ckpt", &options);
}

#[test]
fn what_is_wrong_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let demo = demo();
    for (from, to, part) in [
        ("batch = 4", "batch = 5", "16"),
        ("bits = 8", "bits = 10", "bits"),
        ("calibration.txt", "missing.txt", "missing.txt"),
        ("model.safetensors", "missing.safetensors", "missing.safetensors"),
        ("pre_scale = 255, 255, 255", "pre_scale = 1, 1, 1", "pre_scale"),
        ("saturation = kld", "saturation = best", "best"),
        ("saturation = kld", "saturation = nsigma", "[quantize] saturation = kld, ems or null"),
        ("input = 1, 160, 160, 3", "input = 1, 160, 3", "inputs"),
        ("input = 1, 160, 160, 3", "input = 1, 160, 160, 3; 1, 160, 160, 3", "one input"),
        ("chann_swap = 2, 1, 0", "chann_swap = 1, 2, 0", "a channel swap of 0, 1, 2 or 2, 1, 0"),
        ("chann_swap = 2, 1, 0", "chann_swap = 0", "a channel swap of 0, 1, 2 or 2, 1, 0"),
        ("framework = pytorch", "framework = onnx", "framework = pytorch"),
        ("target = BUYI", "target = ZHUGE", "target = buyi"),
    ] {
        let configs = [config(folder.path(), "demo_8.ini", &[(from, to)])];
        let error = fail("icraft-compile", &arguments(&configs, &demo, &[]));
        assert!(error.contains(part), "{to}: {error}");
        assert!(!folder.path().join("demo-8/demo_parsed.json").exists(), "{to}");
    }
    let error = fail("icraft-compile", &["missing.ini"]);
    assert!(error.contains("missing.ini"), "{error}");
    let configs = [config(folder.path(), "demo_8.ini", &[])];
    for options in [["--bias-correction", "analytic"], ["--compensation", "1.5"]] {
        let error = fail("icraft-compile", &arguments(&configs, &demo, &options));
        assert!(error.contains(options[0]), "{error}");
    }
    let error = fail("icraft-compile", &arguments(&configs, &demo, &["--set", "quantize.bats=16"]));
    assert!(error.contains("quantize.bats=16") && error.contains("did you mean `bits`?"), "{error}");
    // Two configurations that would write the same files.
    let one = config(folder.path(), "demo_8.ini", &[]);
    let error = fail("icraft-compile", &arguments(&[one.clone(), one], &demo, &[]));
    assert!(error.contains("is also an input or another output"), "{error}");
    // The same by another way, and logs alone.
    let folder = folder.path().display().to_string();
    let one = config(Path::new(&folder), "demo_8.ini", &[]);
    for (from, to) in [("demo-16", "demo-8/../demo-8"), ("demo-16/logs", "demo-8/logs")] {
        let other = config(Path::new(&folder), "demo_16.ini", &[(from, to)]);
        let error = fail("icraft-compile", &arguments(&[one.clone(), other], &demo, &[]));
        assert!(error.contains("is also an input or another output"), "{to}: {error}");
    }
}
