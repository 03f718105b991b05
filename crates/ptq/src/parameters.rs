//! Parameters of single convolutions.

use crate::Error;
use nn_graph::Params;

/// The values of `LAYER.KIND`, such as a layer's weight.
///
/// # Errors
/// [`Error::Parameter`] if there is none.
pub fn parameter<'p>(params: &'p Params, layer: &str, kind: &str) -> Result<&'p [f32], Error> {
    let name = format!("{layer}.{kind}");
    Ok(params.get(&name).ok_or(Error::Parameter { name })?.data())
}

/// As [`parameter`], to be changed.
///
/// # Errors
/// As there.
pub(crate) fn parameter_mut<'p>(
    params: &'p mut Params,
    layer: &str,
    kind: &str,
) -> Result<&'p mut [f32], Error> {
    let name = format!("{layer}.{kind}");
    Ok(params.get_mut(&name).ok_or(Error::Parameter { name })?.data_mut())
}

/// Gives a convolution other weights, and adds `shifts` to its biases, by output channel; without a bias no shift may differ from 0.
///
/// # Errors
/// As [`parameter`]; [`Error::Length`] if there are not as many weights as it has.
pub fn adjust_parameters(
    params: &mut Params,
    layer: &str,
    weights: &[f32],
    shifts: &[f64],
) -> Result<(), Error> {
    let own = parameter_mut(params, layer, "weight")?;
    if own.len() != weights.len() {
        return Err(Error::Length { what: "weights", expected: own.len(), found: weights.len() });
    }
    own.copy_from_slice(weights);
    if shifts.iter().any(|&shift| shift != 0.0) {
        let biases = parameter_mut(params, layer, "bias")?.iter_mut();
        biases.zip(shifts).for_each(|(bias, shift)| *bias = (f64::from(*bias) + shift) as f32);
    }
    Ok(())
}
