//! Means of activations from BatchNorm alone, and the biases that follow: no image is needed.
//!
//! After BatchNorm a channel is taken to be normal with mean `beta` and deviation `|gamma|`, so that the mean of an activation `f` is
//! `E f(beta + gamma z)`. Weights that are rounded to `w + d` shift the mean of an output by `sum d E x`, which the bias can take back
//! (analytic bias correction; Nagel et al., arXiv 1906.04721, section 4.2, there for ReLU in closed form; here by quadrature, for any
//! activation).

use crate::lower::activation;
use crate::{Error, QuantConfig, parameter};
use nn_graph::{Graph, Op, Params};
use std::collections::BTreeMap;

/// The expected mean of every input channel of the convolutions, by the convolution's name. `graph` and `params` still have their BatchNorm;
/// `image` is the mean of the image's channels, where it is known.
///
/// Sums, concatenations and upsampling pass means on. Convolutions that read a maximum, or whatever follows a convolution without
/// BatchNorm, are left out: nothing is known of them. Zero padding is not taken into account.
#[must_use]
pub fn expected_inputs(graph: &Graph, params: &Params, image: Option<&[f64]>) -> BTreeMap<String, Vec<f64>> {
    let mut means: Vec<Option<Vec<f64>>> = Vec::with_capacity(graph.nodes().len());
    let mut expected = BTreeMap::new();
    for node in graph.nodes() {
        let input = |i: usize| node.inputs.get(i).and_then(|id| means[id.index()].as_ref());
        let mean = match &node.op {
            Op::Input { channels } => image.filter(|mean| mean.len() == *channels).map(<[f64]>::to_vec),
            Op::Conv(_) => {
                if let Some(mean) = input(0) {
                    expected.insert(node.name.clone(), mean.clone());
                }
                None
            }
            Op::BatchNorm { .. } => {
                params.get(&format!("{}.bias", node.name)).map(|beta| doubles(beta.data()))
            }
            Op::Activation(function) => {
                let before = graph.node(node.inputs[0]);
                match (&before.op, params.get(&format!("{}.weight", before.name)), input(0)) {
                    (Op::BatchNorm { .. }, Some(gamma), Some(beta)) => {
                        let function = activation(*function);
                        let mean = |(beta, gamma): (&f64, &f64)| {
                            normal_mean(|z| function.eval(beta + gamma.abs() * z))
                        };
                        Some(beta.iter().zip(&doubles(gamma.data())).map(mean).collect())
                    }
                    _ => None,
                }
            }
            Op::Add => input(0).zip(input(1)).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()),
            Op::Concat => node
                .inputs
                .iter()
                .map(|id| means[id.index()].clone())
                .collect::<Option<Vec<_>>>()
                .map(|all| all.concat()),
            Op::Upsample { .. } => input(0).cloned(),
            Op::SpaceToDepth => input(0).map(|mean| mean.repeat(4)),
            Op::MaxPool(_) => None,
        };
        means.push(mean);
    }
    expected
}

fn doubles(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// `E f(z)` of a standard normal `z`, by the trapezoidal rule: exact to rounding for smooth functions such as SiLU, within half a
/// thousandth of the deviation for those with a kink.
fn normal_mean(f: impl Fn(f64) -> f64) -> f64 {
    const STEP: f64 = 1.0 / 16.0;
    const ENDS: i32 = 128;
    let term = |i: i32| {
        let z = f64::from(i) * STEP;
        f(z) * (-0.5 * z * z).exp()
    };
    (-ENDS..=ENDS).map(term).sum::<f64>() * STEP / (2.0 * std::f64::consts::PI).sqrt()
}

/// What analytic bias correction did.
#[derive(Debug, Clone, PartialEq)]
pub struct BiasCorrected {
    /// All parameters, with new biases.
    pub params: Params,
    /// Largest change per corrected convolution.
    pub changes: BTreeMap<String, f64>,
    /// Integer convolutions of which the mean input is not known, or that have no bias.
    pub skipped: Vec<String>,
}

/// Takes back by biases what rounding the weights of `config`'s integer convolutions shifts in the mean; `expected` are the means of the
/// channels that they read ([`expected_inputs`]; measured ones will do as well). `graph` and `params` have no BatchNorm.
///
/// # Errors
/// [`Error::Parameter`] for a missing weight; the errors of [`QuantConfig::weight_scales`]; [`Error::Length`] if a mean is of another layer.
pub fn correct_biases(
    graph: &Graph,
    params: &Params,
    config: &QuantConfig,
    expected: &BTreeMap<String, Vec<f64>>,
) -> Result<BiasCorrected, Error> {
    let mut result = BiasCorrected { params: params.clone(), changes: BTreeMap::new(), skipped: Vec::new() };
    for node in graph.nodes() {
        let Op::Conv(conv) = &node.op else { continue };
        if config.float.contains(&node.name) {
            continue;
        }
        let weight = parameter(params, &node.name, "weight")?;
        let bias = result.params.get_mut(&format!("{}.bias", node.name));
        let (Some(mean), Some(bias)) = (expected.get(&node.name), bias) else {
            result.skipped.push(node.name.clone());
            continue;
        };
        if mean.len() != conv.in_channels {
            let (expected, found) = (conv.in_channels, mean.len());
            return Err(Error::Length { what: "channel means", expected, found }.of(&node.name));
        }
        if mean.iter().any(|mean| !mean.is_finite()) {
            let count = mean.iter().filter(|mean| !mean.is_finite()).count() as u64;
            return Err(Error::NonFinite { count }.of(&node.name));
        }
        let scales = config.weight_scales(&node.name, weight, conv.out_channels);
        let scales = scales.map_err(|error| error.of(&node.name))?;
        let spec = config.weights.spec()?;
        let kernel = conv.kernel[0] * conv.kernel[1];
        let (inputs, outputs) = (conv.in_channels / conv.groups, conv.out_channels / conv.groups);
        let mut largest = 0f64;
        let rows = weight.chunks_exact(inputs * kernel).zip(&scales).zip(bias.data_mut());
        for (row, ((weights, &scale), bias)) in rows.enumerate() {
            let group = row / outputs * inputs;
            let quantizer = quant_core::QuantParams { scale, zero_point: 0 };
            let error = |&w: &f32| {
                let q =
                    quantizer.quantize(w.into(), spec.q_min(), spec.q_max(), quant_core::Rounding::HalfEven);
                f64::from(q) * f64::from(scale) - f64::from(w)
            };
            let channels = weights.chunks_exact(kernel).zip(&mean[group..group + inputs]);
            let shift: f64 = channels.map(|(w, mean)| w.iter().map(error).sum::<f64>() * mean).sum();
            *bias = (f64::from(*bias) - shift) as f32;
            largest = largest.max(shift.abs());
        }
        result.changes.insert(node.name.clone(), largest);
    }
    Ok(result)
}
