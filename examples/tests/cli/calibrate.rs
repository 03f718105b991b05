//! `calibrate` on the demonstration, and `quantize` on what it wrote.

use crate::rows::{Row, check};
use crate::support::{
    CALIBRATION, MODEL, WEIGHTS, command, read_json, run, runs, succeed, succeed_json, text, workspace,
};
use nn_graph::{Checkpoint, Params, write_safetensors};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The demonstration's calibration file, made once for all tests.
fn whole() -> &'static Path {
    static ONCE: OnceLock<PathBuf> = OnceLock::new();
    ONCE.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-calibration.json");
        succeed("calibrate", &["--threads", "1", "--out", text(&path)]);
        path
    })
}

/// Collects into a file of `folder`; its path.
fn collect(folder: &Path, name: &str, options: &[&str]) -> String {
    let path = text(&folder.join(name)).to_owned();
    succeed("calibrate", &[options, &["--out", &path]].concat());
    path
}

/// Writes a changed calibration file; its path.
fn changed(folder: &Path, name: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut file = read_json(whole());
    change(&mut file);
    let path = folder.join(name);
    std::fs::write(&path, file.to_string()).unwrap();
    text(&path).to_owned()
}

/// Writes the demonstration's checkpoint with changed parameters; its path.
fn checkpoint(folder: &Path, name: &str, change: impl FnOnce(&mut Params)) -> String {
    let mut params = Checkpoint::open(&workspace().join(WEIGHTS)).unwrap().params;
    change(&mut params);
    let path = folder.join(name);
    write_safetensors(&path, &params, &BTreeMap::new()).unwrap();
    text(&path).to_owned()
}

#[test]
fn threads_parts_and_order_do_not_change_a_byte() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let expected = std::fs::read(whole()).unwrap();
    let same = |path: &str| std::fs::read(path).unwrap() == expected;
    assert!(same(&collect(at, "two.json", &["--threads", "2"])), "two threads");
    let part = |number: usize| collect(at, &format!("{number}.json"), &["--shard", &format!("{number}/3")]);
    let parts = [1, 2, 3].map(part);
    let merge = |name: &str, order: &[&str]| collect(at, name, &[&["--merge"], order].concat());
    assert!(same(&merge("merged.json", &[&parts[2], &parts[1], &parts[0]])), "three parts, the last first");
    let two = merge("two-parts.json", &[&parts[1], &parts[2]]);
    assert!(same(&merge("stepwise.json", &[&two, &parts[0]])), "step by step");
}

#[test]
fn quantising_from_a_file_gives_what_images_give() {
    let folder = tempfile::tempdir().unwrap();
    let results = |name: &str, options: &[&str]| {
        let out = folder.path().join(name);
        succeed("quantize", &[&["--preactivation", "both", "--out", text(&out)], options].concat());
        let summary = read_json(&out.join("summary.json"));
        let networks: Vec<_> = runs(&summary)
            .iter()
            .map(|run| std::fs::read(out.join(run["file"].as_str().unwrap())).unwrap())
            .collect();
        (networks, summary)
    };
    let (from_images, images) = results("images", &[]);
    let (from_file, file) = results("file", &["--calibration-file", text(whole())]);
    assert_eq!(from_images.len(), 11);
    assert!(from_images == from_file, "a saved network differs");
    assert_eq!(images["manifest"]["calibration_sha256"], file["manifest"]["calibration_sha256"]);
    assert!(images["manifest"]["calibration_file_sha256"].is_null());
    assert_eq!(file["manifest"]["calibration_file_sha256"].as_str().unwrap().len(), 64);
    assert_eq!((&file["calibration_images"], &file["calibration_skipped"]), (&json!(16), &json!(0)));
}

#[test]
fn what_is_shown_is_what_the_file_tells() {
    let table = succeed("calibrate", &["--show", text(whole())]);
    let shown = succeed_json("calibrate", &["--show", text(whole())]);
    let file = read_json(whole());
    assert_eq!(shown["manifest"], file["manifest"]);
    assert_eq!(shown["images"], 16);
    let tensors = file["tensors"].as_array().unwrap();
    assert_eq!(shown["tensors"].as_array().unwrap().len(), tensors.len());
    for (row, tensor) in shown["tensors"].as_array().unwrap().iter().zip(tensors) {
        let statistics = &tensor["statistics"];
        assert_eq!(row["name"], tensor["name"]);
        assert_eq!((&row["min"], &row["max"]), (&statistics["bounds"][0], &statistics["bounds"][1]), "{row}");
        let parts = statistics["sum"].as_array().unwrap();
        let sum = parts.first().map_or(0.0, |part| part.as_f64().unwrap());
        assert_eq!(row["mean"].as_f64().unwrap(), sum / row["count"].as_f64().unwrap(), "{row}");
        assert!(row["deviation"].as_f64().unwrap() > 0.0, "{row}");
        let largest = row["max"].as_f64().unwrap().max(-row["min"].as_f64().unwrap());
        let high = |method: &str| row["symmetric"][method]["high"].as_f64().unwrap();
        assert_eq!(high("max"), largest, "{row}");
        for method in ["percentile", "entropy", "mse"] {
            assert!(high(method) > 0.0 && high(method) <= largest, "{method}: {row}");
        }
        assert!(table.lines().any(|line| line.starts_with(row["name"].as_str().unwrap())), "{row}");
    }
}

#[test]
fn files_that_do_not_fit_or_are_damaged_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let other_weights = checkpoint(at, "other.safetensors", |params| {
        params.values_mut().next().unwrap().data_mut()[0] += 1.0;
    });
    let file = text(whole());
    let lacks = changed(at, "lacks.json", |all| {
        all["tensors"].as_array_mut().unwrap().remove(0);
        for image in all["images"].as_array_mut().unwrap() {
            image["maxima"].as_array_mut().unwrap().remove(0);
        }
    });
    let unknown = changed(at, "unknown.json", |all| all["tensors"][0]["name"] = json!("a.stranger"));
    let count = changed(at, "count.json", |all| all["tensors"][0]["statistics"]["zeros"] = json!(1u64 << 50));
    let version = changed(at, "version.json", |all| all["format_version"] = json!(7));
    let cut = text(&at.join("cut.json")).to_owned();
    let bytes = std::fs::read(whole()).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let empty = text(&at.join("empty.json")).to_owned();
    std::fs::write(&empty, b"").unwrap();
    let missing = text(&at.join("missing.json")).to_owned();
    let again = "calibrate again";
    let other_model = ["--weights", &other_weights, "--model", MODEL];
    let given = ["--images", crate::support::IMAGES, "--annotations", crate::support::ANNOTATIONS];
    let mut rows = vec![
        Row::new(
            "another model",
            "quantize",
            &[&other_model[..], &given, &["--calibration-file", file]].concat(),
            &[file, "model sha256", again],
        ),
        Row::new(
            "another size",
            "quantize",
            &["--imgsz", "128", "--calibration-file", file],
            &["160x160", "128x128"],
        ),
        Row::new(
            "other ties",
            "quantize",
            &["--concat", "tie", "--calibration-file", file],
            &["concat policy"],
        ),
        Row::new(
            "a tensor is missing",
            "quantize",
            &["--calibration-file", &lacks],
            &[&lacks, "has no statistics of", again],
        ),
        Row::new("a tensor too many", "quantize", &["--calibration-file", &unknown], &[&unknown, again]),
        Row::new(
            "parts share images",
            "calibrate",
            &["--merge", file, file],
            &[file, "same content", "leave one out"],
        ),
    ];
    let bad: [(&str, &String, &[&str]); 6] = [
        ("counts", &count, &["zeros", "damaged"]),
        ("version", &version, &["version 7", again]),
        ("cut", &cut, &["not a calibration file, or a damaged one"]),
        ("empty", &empty, &["not a calibration file, or a damaged one"]),
        ("missing", &missing, &["No such file"]),
        ("another kind", &WEIGHTS.to_owned(), &["not a calibration file"]),
    ];
    for (what, path, says) in bad {
        let says = [&[path.as_str()], says].concat();
        rows.push(Row::new(what, "quantize", &["--calibration-file", path], &says));
        rows.push(Row::new(what, "calibrate", &["--show", path], &says));
        rows.push(Row::new(what, "calibrate", &["--coverage", path], &says));
        rows.push(Row::new(what, "calibrate", &["--merge", file, path], &says));
    }
    check(&rows, at);
}

#[test]
fn inputs_that_cannot_be_calibrated_on_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let empty = at.join("empty");
    let twins = at.join("twins");
    std::fs::create_dir(&empty).unwrap();
    std::fs::create_dir(&twins).unwrap();
    let image = workspace().join(CALIBRATION).join("calibration-00.png");
    for name in ["a.png", "b.png"] {
        std::fs::copy(&image, twins.join(name)).unwrap();
    }
    let large = checkpoint(at, "large.safetensors", |params| {
        let weights = params.iter_mut().filter(|(name, _)| name.ends_with(".conv.weight")).take(3);
        weights.for_each(|(_, tensor)| tensor.data_mut().iter_mut().for_each(|weight| *weight *= 1e20));
    });
    let rows = [
        Row::new(
            "no image",
            "calibrate",
            &["--calibration", text(&empty)],
            &[text(&empty), "holds no image"],
        ),
        Row::new(
            "twins",
            "calibrate",
            &["--calibration", text(&twins)],
            &["a.png and b.png", "leave one out"],
        ),
        Row::new(
            "a part without images",
            "calibrate",
            &["--shard", "17/17"],
            &["--shard 17/17", "fewer images"],
        ),
        Row::new("no part", "calibrate", &["--shard", "0/2"], &["--shard 0/2", "expected I/N"]),
        Row::new("size", "calibrate", &["--imgsz", "168x160"], &["stride 16"]),
        Row::new(
            "unusable activations",
            "calibrate",
            &["--weights", &large, "--model", MODEL, "--calibration", CALIBRATION],
            &["calibration-00.png", "model.", "NaN or infinite"],
        ),
    ];
    check(&rows, at);
}

#[test]
fn a_tensor_of_zeros_gets_scale_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let weights = checkpoint(at, "zeros.safetensors", |params| {
        // Without weights and shift, the first layer gives zeros.
        for name in ["model.0.conv.weight", "model.0.bn.bias", "model.0.bn.running_mean"] {
            params.get_mut(name).unwrap().data_mut().fill(0.0);
        }
    });
    let model = ["--weights", &weights, "--model", MODEL];
    let file =
        collect(at, "zeros.json", &[&model[..], &["--calibration", CALIBRATION, "--imgsz", "160"]].concat());
    let shown = succeed_json("calibrate", &["--show", &file]);
    let zeros: Vec<&Value> =
        shown["tensors"].as_array().unwrap().iter().filter(|row| row["zeros"] == row["count"]).collect();
    assert!(!zeros.is_empty(), "the layer gives something else");
    for row in zeros {
        assert_eq!(row["symmetric"]["max"], json!({"low": 0.0, "high": 0.0}), "{row}");
    }
    let given = ["--images", crate::support::IMAGES, "--annotations", crate::support::ANNOTATIONS];
    let out = text(&at.join("out")).to_owned();
    let from_file = ["--calibration-file", &file, "--methods", "max,mse", "--out", &out];
    succeed("quantize", &[&model[..], &given, &from_file].concat());
    let steps = succeed("inspect", &["--weights", &format!("{out}/max.safetensors")]);
    let first = steps.lines().find(|line| line.contains("model.0.")).unwrap();
    assert!(first.contains("scale 1.000000e0"), "{first}");
}

#[test]
fn skipped_images_are_counted_and_summed() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    for name in ["calibration-00.png", "calibration-01.png"] {
        std::fs::copy(workspace().join(CALIBRATION).join(name), images.join(name)).unwrap();
    }
    for name in ["x.png", "y.png"] {
        std::fs::write(images.join(name), b"no image").unwrap();
    }
    let options = |shard| ["--skip-bad", "--calibration", text(&images), "--shard", shard];
    let parts = ["1/2", "2/2"].map(|shard| collect(folder.path(), &shard.replace('/', "-"), &options(shard)));
    let merged = collect(folder.path(), "merged.json", &["--merge", &parts[0], &parts[1]]);
    let file = read_json(Path::new(&merged));
    assert_eq!((file["images"].as_array().unwrap().len(), &file["images_skipped"]), (2, &json!(2)));
    let ended =
        command("calibrate", &options("1/2")[1..]).arg("--out").arg(folder.path().join("no")).output();
    assert_eq!(ended.unwrap().status.code(), Some(2));
    assert!(!folder.path().join("no").exists());
}

/// A calibration file whose images are listed `times` times under other names and contents, with as many values.
fn repeated(folder: &Path, name: &str, times: u64) -> String {
    changed(folder, name, |all| {
        let images = all["images"].as_array().unwrap().clone();
        let again = |time: u64| {
            images.iter().enumerate().map(move |(number, image)| {
                let mut image = image.clone();
                image["name"] = json!(format!("{time}-{number}.png"));
                image["sha256"] = json!(format!("{:064x}", time * 1000 + number as u64));
                image
            })
        };
        all["images"] = (0..times).flat_map(again).collect();
        for tensor in all["tensors"].as_array_mut().unwrap() {
            multiply(&mut tensor["statistics"], times);
        }
    })
}

/// As if all values had been seen more often. Times is a power of two, so that sums stay exact.
fn multiply(statistics: &mut Value, times: u64) {
    for key in ["count", "zeros"] {
        statistics[key] = json!(statistics[key].as_u64().unwrap() * times);
    }
    for key in ["sum", "squares"] {
        let parts = statistics[key].as_array_mut().unwrap();
        parts.iter_mut().for_each(|part| *part = json!(part.as_f64().unwrap() * times as f64));
    }
    for side in ["positive", "negative"] {
        for run in statistics["histogram"][side].as_array_mut().unwrap() {
            let counts = run[1].as_array_mut().unwrap();
            counts.iter_mut().for_each(|count| *count = json!(count.as_u64().unwrap() * times));
        }
    }
}

#[test]
fn too_few_images_are_a_warning_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let enough = repeated(folder.path(), "enough.json", 8);
    let out = folder.path().join("out");
    let coverage =
        |file: &str, options: &[&str]| run("calibrate", &[&["--coverage", file], options].concat());
    let quantize = |file: &str, options: &[&str]| {
        let fixed = ["--methods", "max", "--calibration-file", file, "--out", text(&out)];
        run("quantize", &[&fixed[..], options].concat())
    };
    let says =
        "calibration: too few images: a new image exceeds a range that 16 have seen with probability 5.9 %";
    let few = text(whole());
    let strict = ["--strict"];
    let rows = [
        ("coverage", coverage(few, &[]), 0, "warning: "),
        ("coverage, strict", coverage(few, &strict), 1, "error: "),
        ("coverage of enough", coverage(&enough, &strict), 0, ""),
        ("quantize, strict", quantize(few, &strict), 1, "error: "),
    ];
    assert!(!out.exists(), "the strict run wrote something");
    let after = [
        ("quantize", quantize(few, &[]), 0, "warning: "),
        ("quantize with enough", quantize(&enough, &strict), 0, ""),
    ];
    for (what, ended, code, kind) in rows.into_iter().chain(after) {
        assert_eq!(ended.code, Some(code), "{what}: {}", ended.stderr);
        let told = ended.stderr.lines().any(|line| line.starts_with(&format!("{kind}{says}")));
        let quiet = !ended.stderr.contains("too few images");
        assert!(if kind.is_empty() { quiet } else { told }, "{what}: {}", ended.stderr);
    }
}

#[test]
fn coverage_tells_what_the_maxima_tell() {
    let folder = tempfile::tempdir().unwrap();
    let enough = repeated(folder.path(), "enough.json", 8);
    let table = succeed("calibrate", &["--coverage", &enough]);
    assert!(table.lines().last().unwrap().starts_with("enough images: doubling the 128 images"), "{table}");
    let coverage = succeed_json("calibrate", &["--coverage", text(whole())]);
    let file = read_json(whole());
    assert_eq!((&coverage["images"], &coverage["verdict"]), (&json!(16), &json!("too-few-images")));
    let tensors = coverage["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), file["tensors"].as_array().unwrap().len());
    for (place, tensor) in file["tensors"].as_array().unwrap().iter().enumerate() {
        let row = tensors.iter().find(|row| row["tensor"] == tensor["name"]).unwrap();
        let maxima = || {
            file["images"].as_array().unwrap().iter().map(|image| image["maxima"][place].as_f64().unwrap())
        };
        let largest = maxima().fold(0.0, f64::max);
        assert_eq!(row["amax"].as_f64().unwrap(), largest, "{row}");
        let last = row["expected"].as_array().unwrap().last().unwrap();
        assert!(last[0] == 16 && last[1].as_f64().unwrap() as f32 == largest as f32, "{row}");
        // The file has the digits that tell one f32 from the next.
        let mean = maxima().sum::<f64>() / 16.0;
        assert!((row["expected"][0][1].as_f64().unwrap() / mean - 1.0).abs() < 1e-7, "{row}");
        assert_eq!(row["steps"][0], json!([1, file["images"][0]["maxima"][place]]), "{row}");
    }
}
