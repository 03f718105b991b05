//! Native calibrators beside the reference tools' results on the same data. Bins differ (ours are widths of powers of two), so
//! maxima are exact and the others agree within a tolerance; a compatible mode with equal bins would be exact.
#![allow(clippy::unwrap_used, clippy::panic)]

use ptq::{Method, Statistics};
use quant_core::{Granularity, QuantSpec, Scheme};
use serde_json::Value;
use std::path::Path;

/// Distributions that networks have; the others of the set are traps of the references.
const INPUTS: [&str; 6] =
    ["normal_100k", "laplace_60k", "relu_normal_4x16x39x40", "silu_100k", "sigmoid_40k", "grow3_60k"];

/// The f32 values of a version 1 `.npy` file.
fn npy(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert!(String::from_utf8_lossy(&bytes[10..10 + header]).contains("<f4"), "{}", path.display());
    bytes[10 + header..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn method(case: &Value) -> Option<(Method, f64)> {
    let params = &case["params"];
    let torch = params["torch_hist"].as_bool() != Some(false);
    let plain =
        params["stride"].as_u64().unwrap_or(1) == 1 && params["start_bin"].as_u64().unwrap_or(128) == 128;
    let plain = plain && params["skip_zeros"] != true && params["unsigned"] != true;
    if case["family"] != "nv" || case["split"] != 1 || !torch || !plain || !params["axis"].is_null() {
        return None;
    }
    match case["calibrator"].as_str()? {
        "max" => Some((Method::Max, 0.0)),
        // The reference takes the left edge of the bin that holds the percentile, of 2048 bins; further out than 99.9, single values
        // of these inputs decide.
        "percentile" => {
            let percent = params["percentile"].as_f64().filter(|p| *p <= 99.9)?;
            Some((Method::Percentile { percent }, 2.5 / 2048.0))
        }
        "mse" => Some((Method::Mse, 0.03)),
        "entropy" => Some((Method::Entropy, 0.08)),
        _ => None,
    }
}

#[test]
fn native_methods_are_close_to_the_references() {
    let Some(goldens) = std::env::var_os("QUANT_GOLDENS") else {
        println!("skipped: QUANT_GOLDENS is not set");
        return;
    };
    let folder = Path::new(&goldens).join("calibrators");
    let index: Value = serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
    let (mut failures, mut compared) = (Vec::new(), 0);
    for case in index["cases"].as_array().unwrap() {
        let input = case["input"].as_str().unwrap_or_default();
        let Some((method, tolerance)) = method(case).filter(|_| INPUTS.contains(&input)) else { continue };
        let bits = case["params"]["num_bits"].as_u64().unwrap_or(8) as u8;
        let Some(want) = case["expect"]["amax"]["f32"].as_f64() else { continue };
        let mut statistics = Statistics::default();
        statistics.observe(&npy(&folder.join(index["inputs"][input]["file"].as_str().unwrap())));
        let spec = QuantSpec::new(bits, true, Scheme::Symmetric, true, Granularity::PerTensor).unwrap();
        let got = f64::from(method.range(&statistics, &spec).unwrap().high);
        compared += 1;
        let reach = if matches!(method, Method::Percentile { .. }) {
            f64::from(statistics.absolute_maximum())
        } else {
            want
        };
        if (got - want).abs() > tolerance * reach {
            failures.push(format!("{}: {got} for {want}", case["id"]));
        }
    }
    println!("{compared} cases compared");
    assert!(compared > 20, "only {compared} cases were compared");
    assert!(failures.is_empty(), "{} of {compared}:\n{}", failures.len(), failures.join("\n"));
}
