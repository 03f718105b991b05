//! Images, annotations and options that can't be used.

use crate::rows::{Row, check};
use crate::support::{
    ANNOTATIONS, CALIBRATION, IMAGES, MODEL, WEIGHTS, command, quantized, read_json, succeed, text, workspace,
};
use serde_json::{Value, json};
use std::path::Path;

/// Copies the demonstration's images, all but the last of which are good.
fn images_with_a_bad_one(from: &str, folder: &Path) -> String {
    std::fs::create_dir(folder).unwrap();
    let mut names: Vec<_> =
        std::fs::read_dir(workspace().join(from)).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for path in &names {
        std::fs::copy(path, folder.join(path.file_name().unwrap())).unwrap();
    }
    let bad = folder.join(names.last().unwrap().file_name().unwrap());
    std::fs::write(&bad, b"\x89PNG\r\n\x1a\nand then something else").unwrap();
    text(&bad).to_owned()
}

fn parent(path: &str) -> &str {
    text(Path::new(path).parent().unwrap())
}

#[test]
fn undecodable_images_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let bad = images_with_a_bad_one(IMAGES, &folder.path().join("images"));
    let bad_calibration = images_with_a_bad_one(CALIBRATION, &folder.path().join("calibration"));
    let weights = quantized().network("max");
    let says = |path| [path, "not a readable image", "--skip-bad"];
    let val = ["--weights", &weights, "--images", parent(&bad), "--annotations", ANNOTATIONS];
    let detect = ["--weights", &weights, "--source", &bad];
    let rows = [
        Row::new("image", "quantize", &["--images", parent(&bad)], &says(&bad)),
        Row::new(
            "calibration",
            "quantize",
            &["--calibration", parent(&bad_calibration)],
            &says(&bad_calibration),
        ),
        Row::new("image", "val", &val, &says(&bad)),
        Row::new("image", "detect", &detect, &says(&bad)),
        Row::new(
            "no other image",
            "detect",
            &[&detect[..], &["--skip-bad"]].concat(),
            &["none of the 1 images"],
        ),
    ];
    check(&rows, folder.path());
}

#[test]
fn skipped_images_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let bad = images_with_a_bad_one(IMAGES, &folder.path().join("images"));
    let bad_calibration = images_with_a_bad_one(CALIBRATION, &folder.path().join("calibration"));
    let out = folder.path().join("out");
    let paths = ["--images", parent(&bad), "--calibration", parent(&bad_calibration), "--out", text(&out)];
    let options = ["--methods", "max", "--skip-bad"];
    let output = command("quantize", &[&paths[..], &options].concat()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    for path in [&bad, &bad_calibration] {
        assert!(stderr.contains(&format!("skipped: {path}: not a readable image")), "{stderr}");
    }
    let summary = read_json(&out.join("summary.json"));
    let counts = ["images", "images_skipped", "calibration_images", "calibration_skipped"];
    assert_eq!(counts.map(|key| summary[key].as_u64().unwrap()), [39, 1, 15, 1]);
    let network = text(&out.join("max.safetensors")).to_owned();
    let val = ["--images", parent(&bad), "--annotations", ANNOTATIONS, "--weights", &network];
    let report = succeed("val", &[&val[..], &["--skip-bad", "--json"]].concat());
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["stats"], summary["runs"][1]["stats"]);
    assert_eq!(report["images_skipped"], 1);
}

/// Annotations of the demonstration after a change.
fn changed_annotations(path: &Path, change: impl FnOnce(&mut Value)) -> String {
    let mut annotations = read_json(&workspace().join(ANNOTATIONS));
    change(&mut annotations);
    std::fs::write(path, annotations.to_string()).unwrap();
    text(path).to_owned()
}

#[test]
fn annotations_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let none = changed_annotations(&at("none.json"), |all| {
        all["images"] = json!([]);
        all["annotations"] = json!([]);
    });
    let fewer = changed_annotations(&at("fewer.json"), |all| {
        all["images"][4]["file_name"] = json!("another.png");
    });
    let classes = changed_annotations(&at("classes.json"), |all| {
        all["categories"].as_array_mut().unwrap().truncate(3);
    });
    let broken = text(&at("broken.json")).to_owned();
    std::fs::write(&broken, "{\"images\": [").unwrap();
    let missing = text(&at("missing.json")).to_owned();
    let cases: [(&str, &String, &[&str]); 5] = [
        ("no image listed", &none, &[&none, "40 of 40 images", "images-00.png"]),
        ("one image not listed", &fewer, &[&fewer, "1 of 40 images", "images-04.png", "--skip-bad"]),
        ("other classes", &classes, &[&classes, "6 classes", "3 categories"]),
        ("not JSON", &broken, &[&broken]),
        ("no annotations", &missing, &[&missing, "No such file"]),
    ];
    let weights = quantized().network("max");
    let rows = cases.iter().flat_map(|(what, path, says)| {
        let val = ["--weights", &weights, "--images", IMAGES, "--annotations", path];
        [Row::new(what, "quantize", &["--annotations", path], says), Row::new(what, "val", &val, says)]
    });
    check(&rows.collect::<Vec<_>>(), folder.path());
}

#[test]
fn folders_without_images() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let (empty, missing) = (text(&empty), folder.path().join("missing"));
    let missing = text(&missing);
    let weights = quantized().network("max");
    let val = |images| ["--weights", &weights, "--images", images, "--annotations", ANNOTATIONS];
    let detect = |source| ["--weights", &weights, "--source", source];
    let (no_image, no_file) = ([empty, "holds no image"], [missing, "No such file"]);
    let rows = [
        Row::new("empty calibration", "quantize", &["--calibration", empty], &no_image),
        Row::new("missing calibration", "quantize", &["--calibration", missing], &no_file),
        Row::new("empty images", "quantize", &["--images", empty], &no_image),
        Row::new("missing images", "quantize", &["--images", missing], &no_file),
        Row::new("empty images", "val", &val(empty), &no_image),
        Row::new("missing images", "val", &val(missing), &no_file),
        Row::new("empty source", "detect", &detect(empty), &no_image),
        Row::new("missing source", "detect", &detect(missing), &no_file),
    ];
    check(&rows, folder.path());
}

#[test]
fn options_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let weights = quantized().network("max");
    let size = ["--imgsz", "168x160"];
    let val = ["--weights", &weights, "--images", IMAGES, "--annotations", ANNOTATIONS];
    let image = format!("{IMAGES}/images-00.png");
    let detect = ["--weights", &weights, "--source", &image];
    let checkpoint = ["--weights", WEIGHTS, "--model", MODEL];
    let rows = [
        Row::new("size", "quantize", &size, &["168x160", "stride 16"]),
        Row::new("size", "val", &[&val[..], &size].concat(), &["168 x 160", "stride 16"]),
        Row::new("size", "detect", &[&detect[..], &size].concat(), &["168 x 160", "stride 16"]),
        Row::new("size", "inspect", &[&checkpoint[..], &size].concat(), &["168x160", "stride 16"]),
        Row::new("size", "inspect", &["--weights", &weights, "--imgsz", "168x160"], &[]),
        Row::new(
            "method",
            "quantize",
            &["--methods", "max,median"],
            &["--methods median", "max, minmax", "aciq-laplace"],
        ),
        Row::new("equalise", "quantize", &["--equalize"], &["no convolution can be equalised", "SiLU"]),
        Row::new(
            "bias",
            "quantize",
            &["--bias-correction", "analytic", "--rounding", "descent"],
            &["--bias-correction analytic", "`weights`"],
        ),
        Row::new(
            "weights",
            "quantize",
            &["--weight-method", "median"],
            &["--weight-method median", "aciq-laplace"],
        ),
        Row::new("layers", "quantize", &["--layer-images", "x"], &["--layer-images x", "--methods auto"]),
        Row::new(
            "equalise",
            "quantize",
            &["--bias-correction", "analytic", "--equalize"],
            &["--bias-correction analytic", "`weights`"],
        ),
        Row::new("no images", "quantize", &checkpoint, &["--images", "YOLO_ASSETS"]),
        Row::new("no images", "val", &["--weights", &weights], &["--images", "YOLO_ASSETS"]),
    ];
    check(&rows, folder.path());
}

#[test]
fn places_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken");
    std::fs::write(&taken, b"a file").unwrap();
    let weights = quantized().network("max");
    let image = format!("{IMAGES}/images-00.png");
    let below = taken.join("results.json");
    let cases: [(&str, Vec<&str>); 3] = [
        ("quantize", vec!["--methods", "max", "--out", text(&taken)]),
        ("detect", vec!["--weights", &weights, "--source", &image, "--out", text(&taken)]),
        (
            "val",
            vec![
                "--weights",
                &weights,
                "--images",
                IMAGES,
                "--annotations",
                ANNOTATIONS,
                "--save-json",
                text(&below),
            ],
        ),
    ];
    for (program, arguments) in cases {
        let output = command(program, &arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let last = stderr.lines().last().unwrap_or_default();
        assert_eq!(output.status.code(), Some(2), "{program}: {stderr}");
        assert!(
            last.starts_with("error: ") && last.matches(text(&taken)).count() == 1,
            "{program}: {stderr}"
        );
        assert_eq!(std::fs::read(&taken).unwrap(), b"a file", "{program}");
    }
}

#[test]
fn options_without_effect_and_annotations_without_use_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, change: fn(&mut Value)| {
        let mut annotations = read_json(&workspace().join(ANNOTATIONS));
        change(&mut annotations);
        let path = folder.path().join(name);
        std::fs::write(&path, annotations.to_string()).unwrap();
        text(&path).to_owned()
    };
    let empty = write("empty.json", |a| a["annotations"] = json!([]));
    let twice = write("twice.json", |a| a["images"][1]["file_name"] = a["images"][0]["file_name"].clone());
    let partly = write("partly.json", |a| a["categories"][0]["name"] = json!("1"));
    let weights = quantized().network("max");
    let val = |annotations| ["--weights", &weights, "--images", IMAGES, "--annotations", annotations];
    let rows = [
        Row::new(
            "no layer of that name",
            "quantize",
            &["--float-layers", "nonsense"],
            &["--float-layers nonsense"],
        ),
        Row::new("no object", "quantize", &["--annotations", &empty], &["nothing to measure"]),
        Row::new("no object", "val", &val(&empty), &["nothing to measure"]),
        Row::new("two images of one name", "val", &val(&twice), &["images-00.png more than once"]),
        Row::new("some names match", "quantize", &["--annotations", &partly], &["their names don't match"]),
        Row::new(
            "a saved network with --model",
            "val",
            &[&val(ANNOTATIONS)[..], &["--model", MODEL]].concat(),
            &["--model"],
        ),
    ];
    check(&rows, folder.path());
}

#[test]
fn outputs_are_checked_before_the_work_and_sources_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    for program in [
        &["quantize", "--out"][..],
        &[
            "val",
            "--weights",
            WEIGHTS,
            "--model",
            MODEL,
            "--images",
            IMAGES,
            "--annotations",
            ANNOTATIONS,
            "--save-json",
        ],
    ] {
        let below = file.join("below/x.json");
        let ended = crate::support::run(program[0], &[&program[1..], &[text(&below)]].concat());
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "nothing was begun: {}", ended.stderr);
    }
    let source = folder.path().join("a.png");
    std::fs::copy(workspace().join(IMAGES).join("images-00.png"), &source).unwrap();
    let before = std::fs::read(&source).unwrap();
    let weights = quantized().network("max");
    let arguments = ["--weights", &weights, "--source", text(folder.path()), "--out", text(folder.path())];
    let ended = crate::support::run("detect", &arguments);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(std::fs::read(&source).unwrap() == before, "the source image was replaced");
    std::fs::copy(&source, folder.path().join("a.PNG")).unwrap();
    let out = folder.path().join("out");
    succeed("detect", &["--weights", &weights, "--source", text(folder.path()), "--out", text(&out)]);
    let mut names: Vec<_> = std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.PNG.png", "a.png.png"]);
}
