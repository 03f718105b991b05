//! Family `ort`, `misc_affine_quant` and the rows of ONNX Runtime in `misc_weights`.

use crate::cases::{Goldens, Outcome, Verdict, bits, compare, float, same, worst};
use crate::nvidia::check_error;
use ptq::compat::Error;
use ptq::compat::onnxruntime::{
    Bounds, IntegerType, MagnitudeHistogram, MinMaxCalibrator, Power, QuantParams, SignedHistogram, Symmetry,
    quantize_weights, scale_zero_point,
};
use serde_json::Value;

/// Units in the last place that results may differ by.
const TOLERANCE: u32 = 2;

/// What a case computes: the range, and the moments of the distribution calibrator.
struct Found {
    bounds: Bounds,
    moments: Option<(f32, f32)>,
    histogram: Option<(Vec<u64>, Vec<f32>)>,
}

/// One case of `cases`.
pub(crate) fn check(goldens: &Goldens, case: &Value) -> Verdict {
    let expect = &case["expect"];
    let found = match find(case, &runs(goldens, case)) {
        Err(Error::Nan { .. }) if case["calibrator"] == "minmax" => return Ok(Outcome::Refused),
        Err(error) => return check_error(&error, expect),
        Ok(_) if expect["lowest"].is_null() => return Err(format!("no error, but {}", expect["error"])),
        Ok(found) => found,
    };
    let mut verdicts = vec![
        compare("lowest", found.bounds.lowest, float(&expect["lowest"]), TOLERANCE),
        compare("highest", found.bounds.highest, float(&expect["highest"]), TOLERANCE),
    ];
    if let Some((average, deviation)) = found.moments {
        let (average_slack, deviation_slack) = power_slack(case, average, deviation);
        verdicts.push(near("avg", average, float(&expect["avg"]), average_slack));
        verdicts.push(near("std", deviation, float(&expect["std"]), deviation_slack));
    }
    if let (Some((counts, edges)), false) = (found.histogram, expect["counts"].is_null()) {
        let counts: Vec<i64> = counts.into_iter().map(|count| count as i64).collect();
        verdicts.push(same("counts", &counts, &goldens.array(&expect["counts"]).into_integers()));
        verdicts.push(same("edges", &bits(&edges), &bits(&goldens.array(&expect["edges"]).into_f32())));
    }
    for (kind, params) in expect["qparams"].as_object().into_iter().flatten() {
        verdicts.push(check_params(found.bounds, kind, params));
    }
    worst(verdicts)
}

/// By how much moments may differ. Cube roots in f32 differ by up to a unit in the last place from one machine of the reference to another
/// (`power-by-vector-unit`); half a unit of each, all in one direction, moves the mean by that share of the root mean square, and the
/// deviation by that share of the mean square over the deviation. Without roots, not at all.
fn power_slack(case: &Value, average: f32, deviation: f32) -> (f32, f32) {
    let half_place = if case["params"]["scenario"] == "p3" { f32::EPSILON / 2.0 } else { 0.0 };
    let square = average * average + deviation * deviation;
    (half_place * square.sqrt(), half_place * square / deviation)
}

/// Equal to the bit, or within an absolute tolerance and the rounding of the result, if there is one.
fn near(what: &str, got: f32, want: f32, slack: f32) -> Verdict {
    let units = if slack > 0.0 { TOLERANCE } else { 0 };
    compare(what, got, want, units)
        .or_else(|fault| if (got - want).abs() <= slack { Ok(Outcome::Within) } else { Err(fault) })
}

/// The batches of each `collect_data`: one with all of them, or one for each.
fn runs(goldens: &Goldens, case: &Value) -> Vec<Vec<Vec<f32>>> {
    let batches = goldens.batches(case);
    match case["params"]["mode"].as_str().unwrap() {
        "concat" => vec![batches],
        "merge" => batches.into_iter().map(|batch| vec![batch]).collect(),
        other => panic!("mode {other}"),
    }
}

fn find(case: &Value, runs: &[Vec<Vec<f32>>]) -> Result<Found, Error> {
    let params = &case["params"];
    let number = |key: &str, default: usize| params[key].as_u64().map_or(default, |n| n as usize);
    let percent = params["percentile"].as_f64().unwrap_or(99.999);
    match case["calibrator"].as_str().unwrap() {
        "minmax" => minmax(params, runs),
        "percentile" if params["symmetric"] != false => {
            let mut histogram = MagnitudeHistogram::new(number("num_bins", 2048))?;
            runs.iter().try_for_each(|run| histogram.collect(&run.concat()))?;
            let parts = (histogram.counts()?.to_vec(), histogram.edges()?.to_vec());
            Ok(Found { bounds: histogram.percentile(percent)?, moments: None, histogram: Some(parts) })
        }
        method => {
            let bins = number("num_bins", if method == "entropy" { 128 } else { 2048 });
            let mut histogram = SignedHistogram::new(bins)?;
            runs.iter().try_for_each(|run| histogram.collect(&run.concat()))?;
            let (bounds, moments) = match method {
                "entropy" => (histogram.entropy(number("num_quantized_bins", 128))?, None),
                "percentile" => (histogram.percentile(percent)?, None),
                "distribution" => {
                    let power = if params["scenario"] == "p3" { Power::Third } else { Power::One };
                    let found = histogram.distribution(power)?;
                    (found.bounds, Some((found.average, found.deviation)))
                }
                other => panic!("calibrator {other}"),
            };
            let parts = (histogram.counts()?.to_vec(), histogram.edges()?.to_vec());
            Ok(Found { bounds, moments, histogram: Some(parts) })
        }
    }
}

fn minmax(params: &Value, runs: &[Vec<Vec<f32>>]) -> Result<Found, Error> {
    let mut calibrator = MinMaxCalibrator::new();
    if params["symmetric"] == true {
        calibrator = calibrator.symmetric();
    }
    if params["moving_average"] == true {
        calibrator = calibrator.averaging(params["averaging_constant"].as_f64().unwrap())?;
    }
    for run in runs {
        calibrator.collect(&run.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
    }
    Ok(Found { bounds: calibrator.range()?, moments: None, histogram: None })
}

fn check_params(bounds: Bounds, kind: &str, expect: &Value) -> Verdict {
    let (integer_type, symmetry) = match kind {
        "int8_sym" => (IntegerType::Int8, Symmetry::Symmetric),
        "int8_asym" => (IntegerType::Int8, Symmetry::Asymmetric),
        "uint8_sym" => (IntegerType::Uint8, Symmetry::Symmetric),
        "uint8_asym" => (IntegerType::Uint8, Symmetry::Asymmetric),
        other => panic!("parameters {other}"),
    };
    let params = scale_zero_point(bounds, integer_type, symmetry, None).map_err(|error| error.to_string())?;
    worst([
        compare(kind, params.scale, float(&expect["scale"]), 0),
        same(kind, &[i64::from(params.zero_point)], &[expect["zero_point"].as_i64().unwrap()]),
    ])
}

/// One row of `misc_affine_quant`: every element of both operators and of the Python quantiser.
pub(crate) fn check_affine(goldens: &Goldens, row: &Value) -> Verdict {
    let values = goldens.input(row["input"].as_str().unwrap());
    let integer_type = if row["dtype"] == "int8" { IntegerType::Int8 } else { IntegerType::Uint8 };
    let zero_point = row["zero_point"].as_i64().unwrap() as i32;
    let params = QuantParams { scale: float(&row["scale"]), zero_point, integer_type };
    let integers = params.quantize(&values).map_err(|error| error.to_string())?;
    let wide: Vec<i64> = integers.iter().map(|&q| q.into()).collect();
    let dequantised = bits(&params.dequantize(&integers));
    worst([
        same("QuantizeLinear", &wide, &goldens.array(&row["ort_quantizelinear"]).into_integers()),
        same("quantize_nparray", &wide, &goldens.array(&row["ort_python_quantize_nparray"]).into_integers()),
        same("DequantizeLinear", &dequantised, &bits(&goldens.array(&row["ort_dequant"]).into_f32())),
    ])
}

/// One row of `misc_weights`.
pub(crate) fn check_weights(goldens: &Goldens, row: &Value) -> Verdict {
    let name = row["input"].as_str().unwrap();
    let axis = row["axis"].as_i64().unwrap() as isize;
    let found = quantize_weights(&goldens.input(name), &goldens.shape(name), axis);
    let (params, integers) = found.map_err(|error| error.to_string())?;
    let want: Vec<f32> = row["scale"].as_array().unwrap().iter().map(float).collect();
    let scales: Vec<f32> = params.iter().map(|params| params.scale).collect();
    let zero_points: Vec<i64> = params.iter().map(|params| params.zero_point.into()).collect();
    let want_zero_points: Vec<i64> = serde_json::from_value(row["zero_point"].clone()).unwrap();
    let integers: Vec<i64> = integers.into_iter().map(i64::from).collect();
    worst([
        same("scales", &bits(&scales), &bits(&want)),
        same("zero points", &zero_points, &want_zero_points),
        same("integers", &integers, &goldens.array(&row["q"]).into_integers()),
    ])
}
