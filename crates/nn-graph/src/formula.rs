//! Parameters made by a formula, for tests and for demonstrations without a checkpoint.
//!
//! Element `i` (C order) of the tensor named `s` is a function of `u = (splitmix64(fnv1a64(s) + i) >> 11) / 2^53`, in f64, cast to f32:
//! `running_var` and one-dimensional `weight`: `0.5 + u`; `running_mean`, `bias`: `0.2 (u - 0.5)`; other `weight`:
//! `2 (u - 0.5) sqrt(3 / fan_in)`, fan_in being the product of all dimensions but the first.

use crate::{Graph, ParamSpec, Params, Tensor};

/// `u` of element `index` of the tensor `name`: uniform in `[0, 1)`, the same on every machine.
#[must_use]
pub fn formula_uniform(name: &str, index: u64) -> f64 {
    (splitmix64(fnv1a64(name).wrapping_add(index)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Parameters for every name that `graph` expects.
#[must_use]
pub fn formula_params(graph: &Graph) -> Params {
    graph
        .parameters()
        .into_iter()
        .filter_map(|spec| Some((spec.name.clone(), formula_tensor(&spec)?)))
        .collect()
}

fn formula_tensor(spec: &ParamSpec) -> Option<Tensor> {
    let count: usize = spec.shape.iter().product();
    let suffix = spec.name.rsplit('.').next().unwrap_or_default();
    let fan_in = spec.shape.iter().skip(1).product::<usize>() as f64;
    let value = |u: f64| match suffix {
        "running_mean" | "bias" => (u - 0.5) * 0.2,
        "weight" if spec.shape.len() > 1 => (u - 0.5) * 2.0 * (3.0 / fan_in).sqrt(),
        _ => 0.5 + u,
    };
    let data = (0..count as u64).map(|i| value(formula_uniform(&spec.name, i)) as f32).collect();
    Tensor::new(spec.shape.clone(), data)
}

/// FNV-1a, 64 bit.
fn fnv1a64(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The output function of splitmix64 (Steele, Lea, Flood 2014).
fn splitmix64(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
