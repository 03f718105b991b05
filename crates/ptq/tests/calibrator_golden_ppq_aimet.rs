//! Compatible calibrators, LSQ, AdaRound and TensorRT scales beside the results of the tools themselves.
//!
//! The small set in `fixtures/calibrators-ppq-aimet` always runs; `QUANT_GOLDENS` names a folder with the whole one.
#![allow(clippy::unwrap_used, clippy::panic)]

use ptq::compat::{aimet, ppq};
use ptq::{AdaRound, AdaRounded, LinearReconstruction, LsqInside, LsqQuantizer, SoftRounding};
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

    /// Like [`Self::finish`], but everything has to be equal to the bit, as the documentation says it is.
    fn finish_exact(self, folder: &Path, least: u32) {
        let close: u32 = self.rows.values().map(|row| row[Agreement::Tolerance as usize]).sum();
        self.finish(folder, least);
        assert_eq!(close, 0, "results within tolerance that are not equal to the bit");
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
        tally.finish_exact(&folder, 40);
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
        tally.finish_exact(&folder, 40);
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

/// `|got - want|` as a part of what has been summed up.
fn close(got: f64, want: f64, magnitude: f64, tolerance: f64) -> bool {
    (got - want).abs() <= tolerance * magnitude.max(want.abs())
}

#[test]
fn golden_learned_steps() {
    for folder in golden_folders() {
        let index = index(&folder);
        let mut tally = Tally::default();
        for case in index["misc_lsq"].as_array().unwrap() {
            let file = |name: &str| npy(&folder.join(case[name].as_str().unwrap()));
            let (values, output) = (file("v"), file("grad_out"));
            let bound = |name: &str| case[name].as_i64().unwrap() as i32;
            let quantizer = LsqQuantizer::new(bound("qn"), bound("qp"), LsqInside::Rounded).unwrap();
            // Per channel: the first dimension.
            let list =
                |name: &str| case[name].as_array().cloned().unwrap_or_else(|| vec![case[name].clone()]);
            let (steps, step_gradients) = (list("scale"), list("grad_s"));
            let length = values.len() / steps.len();
            let mut results = [Vec::new(), Vec::new()];
            let mut steps_close = true;
            for (channel, (step, want)) in steps.iter().zip(&step_gradients).enumerate() {
                let range = channel * length..(channel + 1) * length;
                let (values, output, step) = (&values[range.clone()], &output[range], f32_of(step));
                let gradients = quantizer.backward(values, output, step).unwrap();
                let factor = quantizer.gradient_scale(length * steps.len());
                assert!(close(factor, case["grad_factor"].as_f64().unwrap(), 0.0, 1e-12), "{}", case["id"]);
                let magnitude: f64 = output.iter().map(|g| f64::from(g.abs())).sum::<f64>() * factor;
                steps_close &= close(gradients.step * factor, f64::from(f32_of(want)), magnitude, 1e-6);
                results[0].extend(quantizer.forward(values, step).unwrap());
                results[1].extend(gradients.values);
            }
            let initial = &case["lsq_init_step_paper"];
            let initial_close =
                initial.is_null() || ulps(quantizer.initial_step(&values).unwrap(), f32_of(initial)) <= 2;
            for (part, same) in
                [("forward", results[0] == file("y")), ("gradient of values", results[1] == file("grad_v"))]
            {
                let agreement = if same { Agreement::Bits } else { Agreement::No };
                tally.add("lsq", part, agreement, || format!("{} {part}", case["id"]));
            }
            for (part, close) in [("gradient of step", steps_close), ("initial step", initial_close)] {
                let agreement = if close { Agreement::Tolerance } else { Agreement::No };
                tally.add("lsq", part, agreement, || format!("{} {part}", case["id"]));
            }
        }
        tally.finish(&folder, 12);
    }
}

/// One of the small layers of the AdaRound cases.
struct Layer<'a> {
    case: &'a Value,
    folder: &'a Path,
    rounding: SoftRounding,
    inputs: Vec<f32>,
    targets: Vec<f32>,
}

impl<'a> Layer<'a> {
    fn new(folder: &'a Path, case: &'a Value) -> Self {
        let file = |name: &str| npy(&folder.join(case["files"][name].as_str().unwrap()));
        let (weights, inputs) = (file("w"), file("x"));
        let lowest = case["offset"].as_i64().unwrap() as i32;
        let highest = lowest + (1 << case["bits"].as_i64().unwrap()) - 1;
        let rounding = SoftRounding::new(&weights, &file("delta"), lowest, highest).unwrap();
        let dot = |w: &[f32], x: &[f32]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f32>();
        let of_sample = |x| weights.chunks_exact(rounding.features()).map(move |w| dot(w, x));
        let targets = inputs.chunks_exact(rounding.features()).flat_map(of_sample).collect();
        Self { case, folder, rounding, inputs, targets }
    }

    fn file(&self, name: &str) -> Vec<f32> {
        npy(&self.folder.join(self.case["files"][name].as_str().unwrap()))
    }

    fn number(&self, name: &str) -> f64 {
        self.case[name].as_f64().unwrap()
    }

    fn outputs(&self, targets: &[f32]) -> LinearReconstruction {
        let mut outputs = LinearReconstruction::new(self.rounding.weights(), self.rounding.rows()).unwrap();
        outputs.add(&self.inputs, targets).unwrap();
        outputs
    }

    fn learn(&self, outputs: &LinearReconstruction) -> AdaRounded {
        let learn = AdaRound {
            iterations: self.number("iters") as u32,
            learning_rate: self.number("lr"),
            penalty: self.number("reg_param"),
            ..AdaRound::default()
        };
        learn.linear(&self.rounding, outputs).unwrap()
    }

    /// The targets with errors of about an ulp: what the order of summation in a matrix product does to them.
    fn noisy_targets(&self, seed: u32) -> Vec<f32> {
        let part =
            |i: u32| i.wrapping_mul(2_654_435_761).wrapping_add(seed.wrapping_mul(3_118_731)) >> 16 & 3;
        let noise = |i: usize| f32::EPSILON * (part(i as u32) as f32 - 1.5);
        self.targets.iter().enumerate().map(|(i, &t)| t + t * noise(i)).collect()
    }

    /// Whether the losses of `runs` come within 1e-3 of the largest loss of each of the original's.
    fn follows(&self, runs: &[AdaRounded]) -> bool {
        let points = self.case["trajectory"].as_array().unwrap();
        let of = |point: &Value| ["recon", "round"].map(|name| point[name].as_f64().unwrap());
        let largest = points.iter().flat_map(of).fold(0.0, f64::max);
        points.iter().all(|point| {
            let want = of(point);
            let distance = |run: &AdaRounded| {
                let loss = run.losses[point["it"].as_u64().unwrap() as usize];
                (loss.reconstruction - want[0]).abs().max((loss.rounding - want[1]).abs())
            };
            runs.iter().map(distance).fold(f64::INFINITY, f64::min) <= 1e-3 * largest
        })
    }
}

fn equal(a: &[f32], b: &[f32]) -> Agreement {
    if a == b { Agreement::Bits } else { Agreement::No }
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn within(close: bool) -> Agreement {
    if close { Agreement::Tolerance } else { Agreement::No }
}

#[test]
fn golden_adaround() {
    for folder in golden_folders() {
        let index = index(&folder);
        let mut tally = Tally::default();
        for case in index["misc_adaround"].as_array().unwrap() {
            let layer = Layer::new(&folder, case);
            let rounding = &layer.rounding;
            let outputs = layer.outputs(&layer.targets);
            let error =
                |weights: &[f32]| outputs.mean_squared_error(weights).unwrap() / rounding.rows() as f64;
            let learned = layer.learn(&outputs);
            let mut add = |part: &str, agreement| {
                tally.add("adaround", part, agreement, || format!("{}: {part}", case["id"]));
            };

            let start: Vec<f32> = rounding.initial().iter().map(|&v| v as f32).collect();
            add("initial V", within(largest_difference(&start, &layer.file("alpha0")) < 2e-6));
            let soft = rounding.soft(&rounding.initial()).unwrap();
            add("initial weights", within(largest_difference(&soft, &layer.file("soft0")) < 1e-6));
            add("nearest weights", equal(&rounding.nearest(), &layer.file("nearest")));
            add("learned weights", equal(&learned.weights, &layer.file("hard_end")));
            // Rounding is decided by the penalty alone where its gradient vanishes, at h = 1/2: there the original starts from the
            // rounding errors of its matrix product, so its losses are those of one of several runs with such errors.
            let direct = std::slice::from_ref(&learned);
            add(
                "losses",
                if layer.follows(direct) {
                    Agreement::Tolerance
                } else {
                    let runs: Vec<_> =
                        (0..16).map(|seed| layer.learn(&layer.outputs(&layer.noisy_targets(seed)))).collect();
                    within(layer.follows(&runs))
                },
            );
            let (nearest, hard) = (error(&rounding.nearest()), error(&learned.weights));
            add("error <= nearest", within(hard <= nearest && learned.nearest_rows == 0));
            let close = |got: f64, name: &str| (got - layer.number(name)).abs() <= 1e-5 * layer.number(name);
            add("errors", within(close(hard, "mse_adaround_hard") && close(nearest, "mse_nearest")));
        }
        tally.finish(&folder, 21);
    }
}
