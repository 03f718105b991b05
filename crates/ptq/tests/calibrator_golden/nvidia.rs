//! Family `nv`, `misc_nv_fake_quant` and the rows of NVIDIA in `misc_weights`.

use crate::cases::{Goldens, Outcome, Verdict, bits, compare, float, same, worst};
use crate::npy::Array;
use ptq::compat::Error;
use ptq::compat::nvidia::{
    HistogramCalibrator, HistogramPath, IntegerFormat, MaxCalibrator, RangeLimit, Search, WeightMethod,
    calibrate_weights, channel_maxima, fake_tensor_quant, tensor_quant,
};
use serde_json::Value;

/// Margin of the best over the second loss below which sums in single precision may choose a neighbour.
const CLEAR_MARGIN: f64 = 1e-5;

/// One case of `cases`.
pub(crate) fn check(goldens: &Goldens, case: &Value) -> Verdict {
    if case["calibrator"] == "max" {
        let mut calibrator = MaxCalibrator::default();
        goldens.batches(case).iter().try_for_each(|batch| calibrator.collect(batch)).unwrap();
        return compare("amax", calibrator.amax().unwrap(), float(&case["expect"]["amax"]), 0);
    }
    let collected = collect(goldens, case);
    let expect = &case["expect"];
    if case["calibrator"] == "hist_collect" {
        return match collected {
            Ok(calibrator) => check_histogram(goldens, &calibrator, expect),
            Err(error) => check_error(&error, expect),
        };
    }
    let mut calibrator = collected.map_err(|error| error.to_string())?;
    match amax(&mut calibrator, case) {
        Err(error) => check_error(&error, expect),
        Ok(_) if expect["amax"].is_null() => Err(format!("no error, but {}", expect["error"])),
        Ok(got) => {
            let want = float(&expect["amax"]);
            compare("amax", got, want, 2).or_else(|what| neighbour(&calibrator, case, got, want).ok_or(what))
        }
    }
}

fn collect(goldens: &Goldens, case: &Value) -> Result<HistogramCalibrator, Error> {
    let params = &case["params"];
    let path = if params["torch_hist"] == false { HistogramPath::Numpy } else { HistogramPath::Torch };
    let bins = params["num_bins"].as_u64().unwrap_or(2048) as usize;
    let mut calibrator = HistogramCalibrator::new(bins, path)?;
    if params["skip_zeros"] == true {
        calibrator = calibrator.skipping_zeros();
    }
    goldens.batches(case).iter().try_for_each(|batch| calibrator.collect(batch))?;
    Ok(calibrator)
}

fn check_histogram(goldens: &Goldens, calibrator: &HistogramCalibrator, expect: &Value) -> Verdict {
    let histogram = calibrator.histogram().unwrap();
    let counts: Vec<i64> = histogram.counts().iter().map(|&count| count as i64).collect();
    let counts = same("counts", &counts, &goldens.array(&expect["counts"]).into_integers());
    let edges = match goldens.array(&expect["edges"]) {
        Array::F64(want) => same("edges", histogram.edges(), &want),
        want => {
            let want = want.into_f32();
            let number = same("number of edges", &[histogram.edges().len()], &[want.len()]);
            let pairs = histogram.edges().iter().zip(want);
            worst([number, worst(pairs.map(|(&got, want)| compare("edge", got as f32, want, 1)))])
        }
    };
    worst([counts, edges])
}

fn format(params: &Value) -> IntegerFormat {
    let bits = params["num_bits"].as_u64().unwrap() as u32;
    IntegerFormat::new(bits, params["unsigned"] == true).unwrap()
}

fn amax(calibrator: &mut HistogramCalibrator, case: &Value) -> Result<f32, Error> {
    let params = &case["params"];
    let number = |key: &str| params[key].as_u64().unwrap() as usize;
    let search = || Search { start_bin: number("start_bin"), stride: number("stride") };
    match case["calibrator"].as_str().unwrap() {
        "entropy" => calibrator.entropy(format(params), search()),
        "mse" => calibrator.mse(format(params), search()),
        "percentile" => calibrator.percentile(params["percentile"].as_f64().unwrap()),
        other => panic!("calibrator {other}"),
    }
}

/// Whether `got` is a candidate beside `want`, where the losses are too close to tell.
fn neighbour(calibrator: &HistogramCalibrator, case: &Value, got: f32, want: f32) -> Option<Outcome> {
    let margin = case["detail"]["rel_margin"].as_f64()?;
    let stride = case["params"]["stride"].as_f64()?;
    let edges = calibrator.histogram().ok()?.edges();
    let step = (edges[1] - edges[0]) * stride * 1.01;
    let close = f64::from((got - want).abs()) <= step && margin <= CLEAR_MARGIN;
    (case["calibrator"] == "mse" && close).then_some(Outcome::Within)
}

/// What the reference says for each error of ours.
pub(crate) fn check_error(error: &Error, expect: &Value) -> Verdict {
    let phrase = match error {
        Error::NegativeAmax { .. } => "Negative values in amax",
        Error::ZeroWidth { .. } => "cannot convert float infinity to integer",
        Error::NonFiniteRange { .. } => "is not finite",
        _ => "unexpected",
    };
    match expect["error"].as_str() {
        Some(message) if message.contains(phrase) => Ok(Outcome::Exact),
        _ => Err(format!("{error:?} for {expect}")),
    }
}

/// One row of `misc_nv_fake_quant`: every element and the scale.
pub(crate) fn check_fake_quant(goldens: &Goldens, row: &Value) -> Verdict {
    let values = goldens.input(row["input"].as_str().unwrap());
    let limit = if row["narrow_range"] == true { RangeLimit::Narrow } else { RangeLimit::Full };
    let (amax, format) = (float(&row["amax"]), format(row));
    let fake = fake_tensor_quant(&values, amax, format, limit).map_err(|error| error.to_string())?;
    let (integers, scale) = tensor_quant(&values, amax, format, limit).map_err(|error| error.to_string())?;
    let integers: Vec<i64> = integers.iter().map(|&q| q as i64).collect();
    worst([
        same("fake", &bits(&fake), &bits(&goldens.array(&row["fake"]).into_f32())),
        same("int", &integers, &goldens.array(&row["int"]).into_integers()),
        compare("scale", scale, float(&row["inv_scale_returned"]), 0),
    ])
}

/// One row of `misc_weights`; rows of errors have nothing but their id.
pub(crate) fn check_weights(goldens: &Goldens, row: &Value) -> Verdict {
    let id = row["id"].as_str().unwrap();
    let name = row["input"].as_str().unwrap();
    let (weights, shape) = (goldens.input(name), goldens.shape(name));
    let axis = if id.contains("/perch/") { row["axis"].as_i64().or(Some(0)) } else { row["axis"].as_i64() };
    let axis = axis.map(|axis| axis as isize);
    let got = if let Some(axis) = axis.filter(|_| row["calibrator"] == "max") {
        channel_maxima(&weights, &shape, axis)
    } else {
        let percent = row["params"]["p"].as_f64();
        let method = percent.map_or(WeightMethod::Mse, WeightMethod::Percentile);
        let bits = if id.ends_with("bits4") { 4 } else { 8 };
        let format = IntegerFormat::new(bits, false).unwrap();
        calibrate_weights(&weights, &shape, axis, 2048, method, format)
    };
    match got {
        Err(error) => check_error(&error, row),
        Ok(_) if row["amax"].is_null() => Err(format!("no error, but {}", row["error"])),
        Ok(got) => {
            let want: Vec<f32> = row["amax"].as_array().unwrap().iter().map(float).collect();
            let number = same("channels", &[got.len()], &[want.len()]);
            worst([number, worst(got.iter().zip(want).map(|(&got, want)| compare("amax", got, want, 2)))])
        }
    }
}
