//! Compatible calibrators, LSQ, AdaRound and TensorRT scales beside the results of the tools themselves.
//!
//! The small set in `fixtures/calibrators-ppq-aimet` always runs; `QUANT_GOLDENS` names a folder with the whole one.
#![allow(clippy::unwrap_used, clippy::panic)]

use ptq::compat::{aimet, ppq};
use quant_core::Scheme;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Folders with an `index.json`.
fn golden_folders() -> Vec<PathBuf> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/calibrators-ppq-aimet");
    let whole = std::env::var_os("QUANT_GOLDENS").map(|folder| Path::new(&folder).join("calibrators"));
    std::iter::once(fixtures).chain(whole).collect()
}

fn index(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap()
}

/// The f32 values of a version 1 `.npy` file.
fn npy(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert!(String::from_utf8_lossy(&bytes[10..10 + header]).contains("<f4"), "{}", path.display());
    bytes[10 + header..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// The f32 of `0x3f800000` or `{"hex": "0x3f800000"}`.
fn f32_of(value: &Value) -> f32 {
    let hex = value.as_str().or_else(|| value["hex"].as_str()).unwrap();
    f32::from_bits(u32::from_str_radix(hex.trim_start_matches("0x"), 16).unwrap())
}

/// Distance of two numbers in representable ones; 0 for two NaN.
fn ulps(a: f32, b: f32) -> u32 {
    let ordered = |x: f32| {
        if x.is_sign_negative() { -i64::from(x.to_bits() & 0x7fff_ffff) } else { i64::from(x.to_bits()) }
    };
    if a.is_nan() && b.is_nan() {
        return 0;
    }
    u32::try_from((ordered(a) - ordered(b)).abs()).unwrap_or(u32::MAX)
}

/// How a result agrees with the expected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Agreement {
    Bits,
    Tolerance,
    No,
}

/// Counts by family and calibrator, and the cases that fail.
#[derive(Default)]
struct Tally {
    rows: BTreeMap<(String, String), [u32; 3]>,
    failures: Vec<String>,
}

impl Tally {
    fn add(
        &mut self,
        family: &str,
        calibrator: &str,
        agreement: Agreement,
        message: impl FnOnce() -> String,
    ) {
        let row = self.rows.entry((family.to_owned(), calibrator.to_owned())).or_default();
        row[agreement as usize] += 1;
        if agreement == Agreement::No {
            self.failures.push(message());
        }
    }

    /// Prints the table; fails if a case does, or if fewer than `least` ran.
    fn finish(self, folder: &Path, least: u32) {
        println!(
            "{}\n{:8} {:20} {:>5} {:>10} {:>16}",
            folder.display(),
            "family",
            "calibrator",
            "cases",
            "exact bits",
            "within tolerance"
        );
        let mut cases = 0;
        for ((family, calibrator), [bits, close, no]) in &self.rows {
            cases += bits + close + no;
            println!("{family:8} {calibrator:20} {:5} {bits:10} {:16}", bits + close + no, bits + close);
        }
        assert!(cases >= least, "only {cases} cases");
        assert!(
            self.failures.is_empty(),
            "{} of {cases} cases:\n{}",
            self.failures.len(),
            self.failures.join("\n")
        );
    }
}

/// A case with its values and batches.
struct Case<'a> {
    case: &'a Value,
    values: Vec<f32>,
    /// Starts and ends of the batches.
    batches: Vec<(usize, usize)>,
}

impl<'a> Case<'a> {
    fn new(folder: &Path, index: &Value, case: &'a Value) -> Self {
        let input = &index["inputs"][case["input"].as_str().unwrap()];
        let values = npy(&folder.join(input["file"].as_str().unwrap()));
        let number = |v: &Value| v.as_u64().unwrap() as usize;
        let splits = &input["splits"][case["split"].to_string()];
        let batches = match splits.as_array() {
            Some(splits) => splits.iter().map(|s| (number(&s[0]), number(&s[1]))).collect(),
            // Nothing depends on where the rows of isotone are split.
            None => vec![(0, values.len())],
        };
        Self { case, values, batches }
    }

    fn batches(&self) -> Vec<&[f32]> {
        self.batches.iter().map(|&(from, to)| &self.values[from..to]).collect()
    }

    fn param(&self, name: &str) -> &Value {
        &self.case["params"][name]
    }

    fn scheme(&self) -> Scheme {
        if self.param("symmetric") == true { Scheme::Symmetric } else { Scheme::Affine }
    }
}

fn ppq_result(case: &Case, shape: &Value) -> Result<Vec<ppq::ScaleOffset>, ptq::Error> {
    let integer = |name: &str| case.param(name).as_i64().unwrap() as i32;
    let grid = ppq::Grid::new(case.scheme(), integer("quant_min"), integer("quant_max"))?;
    let batches = case.batches();
    let shape: Vec<usize> = shape.as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).collect();
    let one = match case.case["calibrator"].as_str().unwrap() {
        "minmax" => ppq::min_max(&batches, grid),
        "minmax_per_channel" => {
            return ppq::min_max_per_channel(&case.values, &shape, integer("axis") as usize, grid);
        }
        "percentile" => {
            let p = case.param("OBSERVER_PERCENTILE_MANUL_OVERRIDE").as_f64().unwrap_or(ppq::PERCENTILE);
            ppq::percentile(&batches, p, grid)
        }
        "kl" => {
            let bins = case.param("OBSERVER_KL_HIST_BINS_MANUL_OVERRIDE").as_u64();
            let bins = bins.map_or(ppq::Histogram::KL_BINS, |b| b as usize);
            ppq::kl(&ppq::Histogram::new(&batches, case.scheme(), bins)?, integer("num_bits") as u32)
        }
        "mse" => {
            let histogram = ppq::Histogram::new(&batches, case.scheme(), ppq::Histogram::MSE_BINS)?;
            ppq::mse(&histogram, grid)
        }
        "isotone" => ppq::isotone(&case.values, shape[1], grid),
        other => panic!("unknown calibrator {other}"),
    };
    Ok(vec![one?])
}

/// Scales to 2 ulp, offsets exactly, errors where the original has them.
fn ppq_agreement(got: &Result<Vec<ppq::ScaleOffset>, ptq::Error>, expect: &Value) -> Agreement {
    let got = match got {
        Ok(got) if expect["error"].is_null() => got,
        Err(_) if !expect["error"].is_null() => return Agreement::Bits,
        Ok(_) | Err(_) => return Agreement::No,
    };
    let scales: Vec<f32> = match expect["scales"].as_array() {
        Some(scales) => scales.iter().map(f32_of).collect(),
        None => vec![f32_of(&expect["scale"])],
    };
    let offset = expect["offset"].as_f64().unwrap_or(0.0);
    if got.len() != scales.len() || got.iter().any(|g| f64::from(g.offset) != offset) {
        return Agreement::No;
    }
    match got.iter().zip(&scales).map(|(g, &want)| ulps(g.scale, want)).max() {
        Some(0) => Agreement::Bits,
        Some(1..=2) => Agreement::Tolerance,
        _ => Agreement::No,
    }
}

#[test]
fn golden_calibrators_of_ppq() {
    for folder in golden_folders() {
        let index = index(&folder);
        let mut tally = Tally::default();
        for case in index["cases"].as_array().unwrap().iter().filter(|c| c["family"] == "ppq") {
            let shape = &index["inputs"][case["input"].as_str().unwrap()]["shape"];
            let got = ppq_result(&Case::new(&folder, &index, case), shape);
            let agreement = ppq_agreement(&got, &case["expect"]);
            tally.add("ppq", case["calibrator"].as_str().unwrap(), agreement, || {
                format!("{}: {got:?} for {}", case["id"], case["expect"])
            });
        }
        tally.finish(&folder, 40);
    }
}

fn aimet_histogram(case: &Case, tf_enhanced: bool) -> aimet::HistogramObserver {
    let mut histogram = if tf_enhanced {
        aimet::HistogramObserver::tf_enhanced()
    } else {
        aimet::HistogramObserver::new(aimet::HistogramObserver::BINS, None).unwrap()
    };
    for batch in case.batches() {
        histogram.observe(batch).unwrap();
    }
    histogram
}

fn aimet_result(case: &Case, grid: aimet::Grid) -> aimet::Encoding {
    let search = aimet::SqnrSearch::default();
    match case.case["calibrator"].as_str().unwrap() {
        "minmax" => aimet::min_max(&case.batches(), grid).unwrap(),
        "percentile" => {
            let percent = case.param("percentile").as_f64().unwrap();
            aimet::percentile(&aimet_histogram(case, false), percent, grid).unwrap()
        }
        "sqnr" => aimet::sqnr(&aimet_histogram(case, false), search, grid).unwrap(),
        "tf_enhanced" => aimet::sqnr(&aimet_histogram(case, true), search, grid).unwrap(),
        other => panic!("unknown calibrator {other}"),
    }
}

/// Relative to the larger end.
const AIMET_TOLERANCE: f32 = 2e-6;

fn aimet_agreement(got: [f32; 3], want: [f32; 3]) -> Agreement {
    if got.iter().zip(&want).all(|(g, w)| g == w || (g.is_nan() && w.is_nan())) {
        return Agreement::Bits;
    }
    let reach = want[0].abs().max(want[1].abs());
    let ends = (0..2).all(|i| (got[i] - want[i]).abs() <= AIMET_TOLERANCE * reach);
    let delta = (got[2] - want[2]).abs() <= AIMET_TOLERANCE * want[2];
    if ends && delta { Agreement::Tolerance } else { Agreement::No }
}

#[test]
fn golden_calibrators_of_aimet() {
    for folder in golden_folders() {
        let index = index(&folder);
        let mut tally = Tally::default();
        for case in index["cases"].as_array().unwrap().iter().filter(|c| c["family"] == "aimet") {
            let data = Case::new(&folder, &index, case);
            let grid =
                aimet::Grid::new(data.scheme(), data.param("num_steps").as_u64().unwrap() as u32).unwrap();
            let encoding = aimet_result(&data, grid);
            let got = [encoding.min, encoding.max, encoding.delta(grid)];
            let want = ["min", "max", "delta"].map(|name| f32_of(&case["expect"][name]));
            tally.add("aimet", case["calibrator"].as_str().unwrap(), aimet_agreement(got, want), || {
                format!("{} ({}): {got:?} for {want:?}", case["id"], case["check"])
            });
        }
        tally.finish(&folder, 40);
    }
}

#[test]
fn golden_histograms_of_aimet() {
    // The small set has none: their inputs are long.
    for folder in golden_folders().into_iter().skip(1) {
        let index = index(&folder);
        let mut tally = Tally::default();
        for case in index["cases"].as_array().unwrap().iter().filter(|c| c["expect"]["counts"].is_string()) {
            if case["family"] != "aimet" {
                continue;
            }
            let histogram =
                aimet_histogram(&Case::new(&folder, &index, case), case["calibrator"] == "tf_enhanced");
            let file = |name: &str| npy(&folder.join(case["expect"][name].as_str().unwrap()));
            let same = histogram.counts() == file("counts") && histogram.edges() == file("edges");
            let agreement = if same { Agreement::Bits } else { Agreement::No };
            tally.add("aimet", "histogram", agreement, || case["id"].to_string());
        }
        tally.finish(&folder, 10);
    }
}
