//! `compare` on the demonstration, and on the assets' pair.

use crate::support::{ANNOTATIONS, assets_pair, quantized, run, runs, succeed, succeed_json, text};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Arguments for the float network and another.
fn pair(name: &str) -> Vec<String> {
    let (baseline, candidate) = (quantized().detections("float"), quantized().detections(name));
    ["--annotations", ANNOTATIONS, "--baseline", &baseline, "--candidate", &candidate]
        .map(str::to_owned)
        .to_vec()
}

/// Arguments for the float network and one with weights of 4 bits, which loses much.
fn loser() -> Vec<String> {
    static ONCE: OnceLock<PathBuf> = OnceLock::new();
    let folder = ONCE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-compare");
        let options = ["--methods", "mse", "--weight-bits", "4", "--samples", "0", "--save-detections"];
        succeed("quantize", &[&options[..], &["--out", text(&folder)]].concat());
        folder
    });
    let mut arguments = pair("mse");
    *arguments.last_mut().unwrap() = text(&folder.join("mse.detections.json")).to_owned();
    arguments
}

fn with(arguments: &[String], options: &[&str]) -> Vec<String> {
    arguments.iter().cloned().chain(options.iter().map(|&option| option.to_owned())).collect()
}

fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

fn json(arguments: &[String]) -> Value {
    succeed_json("compare", &borrowed(arguments))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn intervals_are_those_of_quantize() {
    for run in &runs(&quantized().summary())[1..] {
        let report = json(&with(&pair(run["name"].as_str().unwrap()), &["--images", "0"]));
        let ap = &report["figures"][0];
        let found = ["difference", "interval", "standard_error"].map(|key| &ap[key]);
        assert_eq!(found, ["delta_ap", "interval_ap", "standard_error"].map(|key| &run[key]), "{run}");
    }
}

#[test]
fn everything_is_in_the_report_whatever_the_threads() {
    let options = ["--samples", "50", "--seed", "7", "--images", "3", "--confidence", "0.9"];
    let arguments = with(&loser(), &options);
    let report = json(&with(&arguments, &["--threads", "1"]));
    assert_eq!(report, json(&with(&arguments, &["--threads", "3"])));
    let keys = ["tool", "version", "tolerance", "verdict", "sentence", "images", "inputs"];
    let absent: Vec<_> = keys.iter().filter(|key| report[**key].is_null()).collect();
    assert!(absent.is_empty(), "{absent:?}");
    assert_eq!(report["inputs"]["baseline"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!((&report["samples"], &report["seed"]), (&50.into(), &7.into()));
    assert_eq!(report["figures"].as_array().unwrap().len(), 12);
    let categories = report["categories"].as_array().unwrap();
    assert_eq!(categories.len(), 6);
    let adds: Vec<f64> = categories.iter().map(|row| number(&row["contribution"])).collect();
    assert!(adds.is_sorted(), "{adds:?}");
    assert!((adds.iter().sum::<f64>() - number(&report["figures"][0]["difference"])).abs() < 1e-12);
    assert!((categories.iter().map(|row| number(&row["share"])).sum::<f64>() - 1.0).abs() < 1e-9);
    let worst = report["worst_images"].as_array().unwrap();
    let influences: Vec<f64> = worst.iter().map(|row| number(&row["influence"])).collect();
    assert!(influences.len() == 3 && influences.is_sorted() && influences[2] < 0.0, "{influences:?}");
    assert!(worst[0]["file_name"].as_str().unwrap().starts_with("images-"), "{worst:?}");
}

#[test]
fn tables_show_figures_categories_and_images() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("below/table.csv");
    let arguments = with(&loser(), &["--samples", "50", "--csv", text(&path)]);
    let printed = succeed("compare", &borrowed(&arguments));
    assert!(
        coco_eval::Summary::NAMES.iter().all(|name| printed.contains(&format!("\n{name} "))),
        "{printed}"
    );
    assert!(
        printed.contains("95 % interval") && printed.contains("beyond the tolerance of 0.005"),
        "{printed}"
    );
    assert!(printed.contains("images-") && printed.lines().all(|line| line.len() <= 110), "{printed}");
    let table = std::fs::read_to_string(&path).unwrap();
    let kind = |kind: &str| table.lines().filter(|line| line.starts_with(kind)).count();
    assert_eq!(
        [kind("kind,"), kind("figure,"), kind("category,"), kind("image,")],
        [1, 12, 6, 10],
        "{table}"
    );
    assert!(table.lines().all(|line| line.split(',').count() == 11), "{table}");
}

#[test]
fn exit_codes_follow_the_verdict_only_on_request() {
    let beyond = with(&loser(), &["--samples", "50", "--images", "0"]);
    let ap = &json(&beyond)["figures"][0].clone();
    let middle = (-(number(&ap["interval"]["low"]) + number(&ap["interval"]["high"])) / 2.0).to_string();
    let undecided = with(&beyond, &["--tolerance", &middle]);
    let within = with(&beyond, &["--tolerance", "0.9"]);
    let same = with(&pair("float"), &["--samples", "50", "--tolerance", "0"]);
    let strict: &[&str] = &["--fail-beyond", "--fail-undecided"];
    let rows: [(&str, &Vec<String>, &[&str], i32); 10] = [
        ("beyond", &beyond, &[], 0),
        ("beyond", &beyond, &["--fail-beyond"], 1),
        ("beyond", &beyond, strict, 1),
        ("undecided", &undecided, &[], 0),
        ("undecided", &undecided, &["--fail-beyond"], 0),
        ("undecided", &undecided, strict, 1),
        ("within", &within, &[], 0),
        ("within", &within, strict, 0),
        ("within", &same, strict, 0),
        ("beyond", &beyond, &["--fail-undecided"], 2),
    ];
    let mut wrong = Vec::new();
    for (verdict, arguments, options, code) in rows {
        let ended = run("compare", &borrowed(&with(arguments, options)));
        let told = ended.stdout.lines().any(|line| line.starts_with(verdict)) || code == 2;
        if ended.code != Some(code) || !told {
            wrong.push(format!("{verdict} {options:?}: {:?}\n{}{}", ended.code, ended.stdout, ended.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn quantised_assets_lose_what_they_are_known_to_lose() {
    let Some([annotations, baseline, candidate]) = assets_pair() else { return };
    let files = ["--annotations", &annotations, "--baseline", &baseline, "--candidate", &candidate];
    let report = json(&files.map(str::to_owned));
    let ap = &report["figures"][0];
    let published = 0.27495814604588986 - 0.30513944425291406;
    assert_eq!(number(&ap["difference"]), published);
    assert_eq!((report["verdict"].as_str(), &report["images"]), (Some("beyond"), &206.into()));
    let (low, high) = (number(&ap["interval"]["low"]), number(&ap["interval"]["high"]));
    assert!(-0.05 < low && low < published && published < high && high < -0.005, "{ap}");
}
