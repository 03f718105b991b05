//! `icraft-params` and `icraft-plot` on pairs made from the demonstration.

use crate::icraft_pairs::{Stages, listed_scales};
use crate::support::{read_json, run, succeed, text};
use icraft_raw::{Generation, Profile, write_ftmps};
use nn_graph::{Tensor, write_safetensors};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

#[test]
fn tables_hold_the_ratios_and_scales() {
    for generation in [Generation::Legacy, Generation::Xir] {
        let made = Stages::new(generation, 8);
        let (json, out, python) = (made.path("demo_quantized.json"), made.file("t.json"), made.file("t.py"));
        let csv = made.path("ftmps.csv");
        let raws = made.path("raws.csv");
        let logs = ["--csv", &csv, "--raws", &raws, "--profile", "xir"];
        let files = ["--json", &json, "--out", text(&out), "--python", text(&python)];
        let said = succeed("icraft-params", &files);
        let without = std::fs::read_to_string(&out).unwrap();
        succeed("icraft-params", &[&files[..], &logs].concat());
        assert_eq!(std::fs::read_to_string(&out).unwrap(), without, "logs that agree change nothing");
        let table = read_json(&out);
        let (silus, adds) = (made.ratios.silu(&made.graph), made.ratios.additions(&made.graph));
        let expected: [(&str, Vec<f32>); 6] = [
            ("SUM_L", adds.iter().map(|add| add.left).collect()),
            ("SUM_R", adds.iter().map(|add| add.right).collect()),
            ("SUM_A", adds.iter().map(|add| add.sum).collect()),
            ("SILU_I", silus.iter().map(|silu| silu.input).collect()),
            ("SILU_O", silus.iter().map(|silu| silu.output).collect()),
            ("RATIO", made.ratios.outputs(&made.graph)),
        ];
        let lines = std::fs::read_to_string(&python).unwrap();
        for (name, values) in expected {
            assert!(!values.is_empty());
            assert_eq!(numbers(&table[name]), values, "{name}");
            assert!(
                lines.contains(&format!("\n{name} = {values:?}\n"))
                    || lines.starts_with(&format!("{name} = {values:?}\n")),
                "{name}: {lines}"
            );
        }
        let scales = listed_scales(&made.quantized, "model.3.conv.weight");
        assert_eq!(numbers(&table["SCALE_TABLE"]["model.3.conv.weight"]), scales);
        assert!(lines.contains(&format!("    \"model.3.conv.weight\": {scales:?},\n")), "{lines}");
        assert_eq!(table["silus"][0]["output"]["name"].as_str().unwrap(), "model.0.act");
        assert_eq!(table["silus"][0]["output"]["ftmp"], 2);
        assert!(said.starts_with(&format!("{} additions, {} SiLUs", adds.len(), silus.len())), "{said}");
    }
}

#[test]
fn ratios_that_disagree_are_an_error_that_names_both() {
    let made = Stages::new(Generation::Legacy, 8);
    let mut rows = made.ftmp_rows();
    rows[4].norm_ratio[1] = 0.75;
    let (json, csv, out) = (made.path("demo_quantized.json"), made.file("other.csv"), made.file("t.json"));
    std::fs::write(&csv, write_ftmps(&rows, &Profile::Xir.ftmp_columns())).unwrap();
    let ended = run("icraft-params", &["--json", &json, "--csv", text(&csv), "--out", text(&out)]);
    let says = ["channel 1", "0.75", "other.csv", "demo_quantized.json"];
    assert!(ended.code == Some(2) && says.iter().all(|part| ended.stderr.contains(part)), "{}", ended.stderr);
    assert!(!out.exists());
    // a json without ratios takes those of the log
    let float = made.path("demo_parsed.json");
    let csv = made.path("ftmps.csv");
    succeed("icraft-params", &["--json", &float, "--csv", &csv, "--out", text(&out)]);
    assert_eq!(numbers(&read_json(&out)["RATIO"]), made.ratios.outputs(&made.graph));
    let ended = run("icraft-params", &["--json", &float, "--out", text(&made.file("u.json"))]);
    assert!(ended.code == Some(2) && ended.stderr.contains("no norm ratio"), "{}", ended.stderr);
}

#[test]
fn tables_refuse_what_they_have_no_room_for() {
    let made = Stages::new(Generation::Xir, 8);
    let text = std::fs::read_to_string(made.file("demo_quantized.json")).unwrap();
    let (json, out) = (made.path("other.json"), made.path("t.json"));
    let first_param = text.find("icraft::xir::Params").unwrap();
    let start = first_param + text[first_param..].find("@exp_scales").unwrap();
    let end = start + text[start..].find(')').unwrap();
    let (first, second) = ("model.0.conv.weight", "model.1.conv.weight");
    let list = |scales: &str| format!("{}{scales}{}", &text[..start], &text[end + 1..]);
    let table = [
        (list("@scales(99999999999*1,1*2)"), "lists more than 4194304 scales"),
        (list("@scales([axis=0]7*1,9*2)"), "scales lie along axis 0"),
        (text.replace(first, second), "are both called model.1.conv.weight"),
        (text.replace("HWIO", "OIHWo32i32"), "in the hardware's layout"),
    ];
    for (changed, says) in table {
        std::fs::write(&json, changed).unwrap();
        let ended = run("icraft-params", &["--json", &json, "--out", &out]);
        assert!(ended.code == Some(2) && ended.stderr.contains(says), "{says}: {}", ended.stderr);
        assert!(!Path::new(&out).exists() && ended.stderr.lines().count() == 1);
    }
}

#[test]
fn errors_are_split_by_cause() {
    for bits in [8, 12, 16] {
        let made = Stages::new(Generation::Xir, bits);
        // the name of a pair, and one of its files
        let (float, fixed) = (made.path("demo_normed"), made.path("demo_quantized.raw"));
        let pairs = ["--float", &float, "--fixed", &fixed];
        let printed = succeed("icraft-plot", &[&["errors"], &pairs[..]].concat());
        let table = succeed("icraft-plot", &[&["errors"], &pairs[..], &["--json-summary"]].concat());
        let table: Value = serde_json::from_str(&table).unwrap();
        let rows = table["parameters"].as_array().unwrap();
        assert_eq!(printed.lines().count(), rows.len() + 2);
        for row in rows.iter().chain([&table["all"]]) {
            let part = |key: &str| row[key].as_f64().unwrap();
            assert!((part("rounding") + part("saturation") - part("relative_l1")).abs() < 1e-12, "{row}");
        }
        let svg = made.file("below/raw.svg");
        let drawing = ["--param", "model.1.conv.weight", "--out", text(&svg), "--bins", "32"];
        let said = succeed("icraft-plot", &[&["raw"], &pairs[..], &drawing].concat());
        assert!(said.starts_with("model.1.conv.weight: relative L1 error"), "{said}");
        is_drawing(&svg, &["saturation", "float", "fixed", "model.1.conv.weight"]);
    }
}

fn is_drawing(path: &Path, parts: &[&str]) {
    let svg = std::fs::read_to_string(path).unwrap();
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{}", path.display());
    let absent: Vec<_> = parts.iter().filter(|part| !svg.contains(**part)).collect();
    assert!(absent.is_empty() && !svg.contains("NaN") && !svg.contains("inf"), "{absent:?}");
}

#[test]
fn weights_before_and_after_show_what_was_frozen() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["before.safetensors", "after.safetensors"].map(|name| folder.path().join(name));
    let before: Vec<f32> = (0..100).map(|value| (value - 50) as f32).collect();
    let after: Vec<f32> = before.iter().map(|w| if w.abs() < 40.0 { w + 0.5 } else { *w }).collect();
    for (path, data) in paths.iter().zip([before, after]) {
        let params = BTreeMap::from([("w".to_owned(), Tensor::new(vec![10, 10, 1, 1], data).unwrap())]);
        write_safetensors(path, &params, &BTreeMap::new()).unwrap();
    }
    let svg = folder.path().join("w.svg");
    let files = ["weights", "--before", text(&paths[0]), "--after", text(&paths[1]), "--out", text(&svg)];
    let choice = ["--ratio", "0.2", "--param", "w"];
    let report = succeed("icraft-plot", &[&files[..], &choice, &["--json-summary"]].concat());
    let report: Value = serde_json::from_str(&report).unwrap();
    // 50, then 49 to 41 twice each, and the first 40
    assert_eq!((&report["frozen"], &report["threshold"]), (&20.into(), &40.0.into()), "{report}");
    assert_eq!((&report["frozen_moved"], &report["trained_moved"]), (&0.into(), &79.into()), "{report}");
    assert_eq!(report["at_threshold_or_above"], 21);
    is_drawing(&svg, &["before", "after", "frozen beyond 40"]);
    let ended = run("icraft-plot", &[&files[..], &["--ratio", "0.2", "--param", "v"]].concat());
    assert!(
        ended.code == Some(2) && ended.stderr.contains("no parameter v; there are w"),
        "{}",
        ended.stderr
    );
    let png = folder.path().join("w.PNG");
    let draw = |path: &Path| {
        let files = ["weights", "--before", text(&paths[0]), "--after", text(&paths[1]), "--out", text(path)];
        run("icraft-plot", &[&files[..], &choice].concat())
    };
    assert_eq!(draw(&png).code, Some(0));
    let pixels = image::load_from_memory(&std::fs::read(&png).unwrap()).unwrap();
    assert_eq!((pixels.width(), pixels.height()), (1080, 870));
    let ended = draw(&folder.path().join("w.pdf"));
    assert!(ended.code == Some(2) && ended.stderr.contains(".svg or .png"), "{}", ended.stderr);
}

/// Dumps of a feature map: integers that run through the range and beyond, and the numbers that they were rounded from, in `normed` units.
fn dump(made: &Stages, folder: &str, id: i64, values: &[f32], element: fn(f32) -> Vec<u8>) -> String {
    let path = made.file(folder);
    std::fs::create_dir_all(&path).unwrap();
    let bytes: Vec<u8> = values.iter().flat_map(|&value| element(value)).collect();
    std::fs::write(path.join(format!("{id}.ftmp")), bytes).unwrap();
    text(&path).to_owned()
}

#[test]
fn dumped_feature_maps_are_compared_in_real_numbers() {
    let made = Stages::new(Generation::Xir, 8);
    // the concatenation, whose channels differ
    let row =
        made.ftmp_rows().into_iter().rfind(|row| row.norm_ratio.windows(2).any(|w| w[0] != w[1])).unwrap();
    let count: usize = row.size.iter().product();
    let channels = row.norm_ratio.len();
    let units: Vec<f32> = (0..count).map(|i| (i % 281) as f32 - 140.25).collect();
    let real: Vec<f32> = units.iter().enumerate().map(|(i, v)| v * row.norm_ratio[i % channels]).collect();
    let wide: fn(f32) -> Vec<u8> = |v| v.to_le_bytes().to_vec();
    let (float, normed) =
        (dump(&made, "float", row.id, &real, wide), dump(&made, "normed", row.id, &units, wide));
    let fixed = dump(&made, "fixed", row.id, &units, |v| vec![v.round().clamp(-127.0, 127.0) as i8 as u8]);
    let (csv, json, id) = (made.path("ftmps.csv"), made.path("demo_quantized.json"), row.id.to_string());
    let svg = made.file("map.svg");
    let common =
        ["ftmp", "--fixed-dir", &fixed, "--csv", &csv, "--id", &id, "--out", text(&svg), "--json-summary"];
    let report = |options: &[&str]| -> Value {
        serde_json::from_str(&succeed("icraft-plot", &[&common[..], options].concat())).unwrap()
    };
    let by_json = report(&["--float-dir", &float, "--json", &json]);
    assert_eq!(by_json, report(&["--float-dir", &float]));
    assert_eq!(by_json, report(&["--float-dir", &normed, "--normed"]));
    let beyond = units.iter().filter(|v| v.abs() > 127.5).count();
    assert_eq!((&by_json["saturated"], &by_json["bits"]), (&beyond.into(), &8.into()));
    assert!(by_json["saturation"].as_f64().unwrap() > by_json["rounding"].as_f64().unwrap(), "{by_json}");
    is_drawing(&svg, &["feature map", "saturation"]);
    let bad = ["ftmp", "--float-dir", &fixed, "--fixed-dir", &fixed, "--csv", &csv, "--out", text(&svg)];
    let ended = run("icraft-plot", &[&bad[..], &["--id", &id]].concat());
    assert!(ended.code == Some(2) && ended.stderr.contains("elements of f32"), "{}", ended.stderr);
    let ended = run("icraft-plot", &[&bad[..], &["--id", "99999"]].concat());
    assert!(ended.code == Some(2) && ended.stderr.contains("no feature map 99999"), "{}", ended.stderr);
}

#[test]
fn parameters_and_pairs_that_are_not_there_are_named() {
    let made = Stages::new(Generation::Legacy, 8);
    let (float, fixed, nowhere) =
        (made.path("demo_normed"), made.path("demo_quantized"), made.path("nowhere"));
    let svg = made.file("x.svg");
    let table = [
        (&float, &fixed, "model.99", "no parameter model.99; there are model.0.conv.weight"),
        (&nowhere, &fixed, "model.0.conv.bias", "No such file"),
        (&fixed, &fixed, "model.0.conv.bias", "holds integers, expected f32"),
        (&float, &float, "model.0.conv.bias", "holds f32, expected integers"),
    ];
    for (float, fixed, param, says) in table {
        let files = ["raw", "--float", float, "--fixed", fixed, "--param", param, "--out", text(&svg)];
        let ended = run("icraft-plot", &files);
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert!(ended.code == Some(2) && last.contains(says), "{says}: {}", ended.stderr);
        assert!(!svg.exists() && ended.stdout.is_empty());
    }
}
