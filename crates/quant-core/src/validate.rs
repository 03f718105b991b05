//! The rules of a program, checked once, so that running it needs no checks but those of sizes.

use crate::{Constant, ConvGeometry, Cut, Description, Error, Format, Multiplier, Step, StepOp};
use std::collections::BTreeMap;

/// No dimension, factor or count in a program is larger: products of a few stay far below overflow.
const MAX_DIMENSION: usize = 1 << 16;

pub(crate) fn validate(
    description: &Description,
    constants: &BTreeMap<String, Constant>,
) -> Result<(), Error> {
    let mut produced = vec![false; description.tensors.len()];
    match description.tensors.first() {
        Some(input) if input.format == Format::F32 => produced[0] = true,
        _ => return Err(Error::Output { tensor: 0 }),
    }
    for tensor in &description.tensors {
        let step = &tensor.name;
        check(step, (1..=MAX_DIMENSION).contains(&tensor.channels), "1 to 65536 channels", tensor.channels)?;
        if let (Some(params), Some((low, high))) = (tensor.format.params(), tensor.format.range()) {
            check_quantizer(step, params.scale, params.zero_point, low, high)?;
        }
    }
    for step in &description.steps {
        let order = |tensor| Error::TensorOrder { step: step.name.clone(), tensor };
        if let Some(&missing) = step.inputs.iter().find(|&&id| produced.get(id) != Some(&true)) {
            return Err(order(missing));
        }
        if produced.get(step.output) != Some(&false) {
            return Err(order(step.output));
        }
        check_step(step, description, constants)?;
        produced[step.output] = true;
    }
    match description.outputs.iter().find(|&&id| produced.get(id) != Some(&true)) {
        Some(&tensor) => Err(Error::Output { tensor }),
        None if description.outputs.is_empty() => Err(Error::Output { tensor: 0 }),
        None => Ok(()),
    }
}

fn check(step: &str, holds: bool, rule: &'static str, found: usize) -> Result<(), Error> {
    let found = i64::try_from(found).unwrap_or(i64::MAX);
    if holds { Ok(()) } else { Err(Error::Step { step: step.to_owned(), rule, found }) }
}

fn check_quantizer(step: &str, scale: f32, zero_point: i32, low: i32, high: i32) -> Result<(), Error> {
    let sane = scale.is_finite() && scale >= f32::MIN_POSITIVE && (low..=high).contains(&zero_point);
    let rule = "scale positive and finite, zero point within the integers";
    if sane { Ok(()) } else { Err(Error::Step { step: step.to_owned(), rule, found: i64::from(zero_point) }) }
}

fn check_step(
    step: &Step,
    description: &Description,
    constants: &BTreeMap<String, Constant>,
) -> Result<(), Error> {
    let inputs: Vec<(usize, Format)> = step
        .inputs
        .iter()
        .map(|&id| (description.tensors[id].channels, description.tensors[id].format))
        .collect();
    let output = (description.tensors[step.output].channels, description.tensors[step.output].format);
    let arity = match &step.op {
        StepOp::Add { .. } => Some(2),
        StepOp::Concat { .. } | StepOp::Join => None,
        _ => Some(1),
    };
    check(
        &step.name,
        arity.is_none_or(|n| n == inputs.len()) && !inputs.is_empty(),
        "the number of inputs",
        inputs.len(),
    )?;
    let channels = output_channels(&step.op, &inputs);
    check(
        &step.name,
        channels == output.0,
        "the output's channels must be those that the operator gives",
        channels,
    )?;
    check_formats(step, &inputs, output.1)?;
    check_numbers(step, &inputs)?;
    match &step.op {
        StepOp::ConvF32 { geometry, weight, bias, .. } => {
            check_geometry(&step.name, geometry, inputs[0].0)?;
            let count = geometry.out_channels * geometry.depth();
            require(
                step,
                constants,
                weight,
                count,
                "f32",
                |c| matches!(c, Constant::F32(v) if v.len() == count),
            )?;
            let count = geometry.out_channels;
            require(
                step,
                constants,
                bias,
                count,
                "f32",
                |c| matches!(c, Constant::F32(v) if v.len() == count),
            )
        }
        StepOp::ConvI8 { geometry, .. } => {
            check_geometry(&step.name, geometry, inputs[0].0)?;
            check_conv_i8(step, constants, inputs[0].1)
        }
        StepOp::ConvI16 { geometry, .. } => {
            check_geometry(&step.name, geometry, inputs[0].0)?;
            check_conv_i16(step, constants, inputs[0].1)
        }
        _ => Ok(()),
    }
}

fn output_channels(op: &StepOp, inputs: &[(usize, Format)]) -> usize {
    match op {
        StepOp::ConvF32 { geometry, .. }
        | StepOp::ConvI8 { geometry, .. }
        | StepOp::ConvI16 { geometry, .. } => geometry.out_channels,
        StepOp::Concat { .. } | StepOp::Join => inputs.iter().map(|i| i.0).sum(),
        StepOp::SpaceToDepth => 4 * inputs[0].0,
        StepOp::Add { .. } if inputs[0].0 != inputs[1].0 => 0,
        _ => inputs[0].0,
    }
}

fn check_formats(step: &Step, inputs: &[(usize, Format)], output: Format) -> Result<(), Error> {
    let require = |holds: bool, found: Format, expected| {
        if holds { Ok(()) } else { Err(Error::Format { step: step.name.clone(), found, expected }) }
    };
    let first = inputs[0].1;
    let float = |format: Format| format == Format::F32;
    let same_kind = |a: Format, b: Format| std::mem::discriminant(&a) == std::mem::discriminant(&b);
    match &step.op {
        StepOp::Quantize => {
            require(float(first), first, "the input must be f32")?;
            require(!float(output), output, "the output must be integers")
        }
        StepOp::Dequantize => {
            require(!float(first), first, "the input must be integers")?;
            require(float(output), output, "the output must be f32")
        }
        StepOp::ConvF32 { .. } => {
            require(float(first), first, "the input must be f32")?;
            require(float(output), output, "the output must be f32")
        }
        StepOp::ConvI8 { activation, .. } | StepOp::ConvI16 { activation, .. } => {
            if matches!(step.op, StepOp::ConvI8 { .. }) {
                require(matches!(first, Format::I8(_)), first, "the input must be 8-bit integers")?;
            } else {
                require(first.is_wide(), first, "the input must be 12-bit or 16-bit integers")?;
            }
            if let Some((_, argument)) = activation {
                require(!float(*argument), *argument, "the activation's argument must be integers")?;
            }
            require(!float(output), output, "the output must be integers")
        }
        StepOp::Activation(_) => {
            require(float(first) == float(output), output, "input and output: both f32 or both integers")
        }
        StepOp::Add { multipliers, .. } => {
            for &(_, format) in inputs {
                require(
                    float(format) == float(output),
                    format,
                    "inputs and output: all f32 or all integers",
                )?;
            }
            require(multipliers.is_none() == float(output), output, "integers need multipliers, f32 has none")
        }
        StepOp::Concat { rescale, .. } => {
            for (&(_, format), rescale) in inputs.iter().zip(rescale) {
                require(same_kind(format, output), format, "inputs and output must be of one type")?;
                let copied = rescale.is_none();
                require(!copied || format == output, format, "only equal quantisers can be copied")?;
                require(copied || !float(format), format, "only integers are re-scaled")?;
            }
            Ok(())
        }
        StepOp::Join => {
            let zero_point = |format: Format| format.params().map(|p| p.zero_point);
            require(!float(output), output, "the output must be integers")?;
            inputs.iter().try_for_each(|&(_, format)| {
                let alike = same_kind(format, output) && zero_point(format) == zero_point(output);
                require(alike, format, "inputs and output must be of one type and zero point")
            })
        }
        StepOp::MaxPool { .. } | StepOp::Upsample { .. } | StepOp::SpaceToDepth => {
            require(first == output, output, "the output must have the format of the input")
        }
    }
}

fn check_numbers(step: &Step, inputs: &[(usize, Format)]) -> Result<(), Error> {
    let name = &step.name;
    match &step.op {
        StepOp::MaxPool { kernel, stride, padding } => {
            check(name, (1..=MAX_DIMENSION).contains(kernel), "a window of 1 to 65536", *kernel)?;
            check(name, (1..=MAX_DIMENSION).contains(stride), "a stride of 1 to 65536", *stride)?;
            check(name, *padding <= kernel / 2, "padding of at most half the window", *padding)
        }
        StepOp::Upsample { scale } => check(name, (1..=64).contains(scale), "a factor of 1 to 64", *scale),
        StepOp::Add { multipliers: Some(shared), .. } => {
            check(
                name,
                shared.mantissas.len() == inputs.len(),
                "one multiplier per input",
                shared.mantissas.len(),
            )?;
            check(name, shared.shift <= Multiplier::MAX_SHIFT, "a shift of at most 62", shared.shift.into())?;
            let in_range = shared.mantissas.iter().all(|m| (0..=1 << 24).contains(m));
            check(name, in_range, "mantissas of at most 24 bits", shared.mantissas.len())
        }
        StepOp::Concat { rescale, .. } => {
            check(name, rescale.len() == inputs.len(), "one entry of `rescale` per input", rescale.len())?;
            let sane = rescale.iter().flatten().all(|m| m.mantissa >= 0 && m.shift <= Multiplier::MAX_SHIFT);
            check(name, sane, "multipliers in range", rescale.len())
        }
        StepOp::ConvI8 { activation: Some((_, format)), .. }
        | StepOp::ConvI16 { activation: Some((_, format)), .. } => {
            let (Some(params), Some((low, high))) = (format.params(), format.range()) else { return Ok(()) };
            check_quantizer(name, params.scale, params.zero_point, low, high)
        }
        _ => Ok(()),
    }
}

fn check_geometry(step: &str, geometry: &ConvGeometry, in_channels: usize) -> Result<(), Error> {
    let ConvGeometry { kernel, stride, padding, dilation, groups, out_channels, .. } = *geometry;
    for value in
        kernel.into_iter().chain(stride).chain(dilation).chain([groups, out_channels, geometry.in_channels])
    {
        check(
            step,
            (1..=MAX_DIMENSION).contains(&value),
            "kernel, stride, dilation, groups, channels in 1..=65536",
            value,
        )?;
    }
    for axis in 0..2 {
        let reach = kernel[axis] * dilation[axis];
        check(step, reach <= MAX_DIMENSION, "a kernel that reaches over at most 65536 pixels", reach)?;
        check(step, padding[axis] <= MAX_DIMENSION, "a padding of at most 65536", padding[axis])?;
    }
    check(step, geometry.in_channels == in_channels, "the input's channels", in_channels)?;
    let divides = in_channels.is_multiple_of(groups) && out_channels % groups == 0;
    check(step, divides, "groups that divide both channel counts", groups)?;
    let products = (in_channels * out_channels).checked_mul(kernel[0] * kernel[1]);
    check(
        step,
        products.is_some_and(|n| n <= 1 << 31),
        "at most 2^31 weights",
        products.unwrap_or(usize::MAX),
    )
}

fn require(
    step: &Step,
    constants: &BTreeMap<String, Constant>,
    name: &str,
    expected: usize,
    element: &'static str,
    fits: impl Fn(&Constant) -> bool,
) -> Result<(), Error> {
    match constants.get(name) {
        Some(constant) if fits(constant) => Ok(()),
        _ => Err(Error::Constant { step: step.name.clone(), name: name.to_owned(), expected, element }),
    }
}

fn check_multipliers(step: &Step, multipliers: &[i32]) -> Result<(), Error> {
    for pair in multipliers.chunks_exact(2) {
        let sane = pair[0] >= 0 && (0..=i32::from(Multiplier::MAX_SHIFT)).contains(&pair[1]);
        let found = usize::try_from(pair[1]).unwrap_or(usize::MAX);
        check(&step.name, sane, "multipliers with mantissa >= 0 and shift in [0, 62]", found)?;
    }
    Ok(())
}

/// Of 16-bit integers' products, with the bias.
pub(crate) const MAX_WIDE_SUM: i64 = 1 << 46;

/// As [`check_conv_i8`], for sums of 64 bits.
fn check_conv_i16(step: &Step, constants: &BTreeMap<String, Constant>, input: Format) -> Result<(), Error> {
    let StepOp::ConvI16 { geometry, weight, bias, cut, multipliers, .. } = &step.op else { return Ok(()) };
    check_border(step, geometry, input)?;
    let (out, depth) = (geometry.out_channels, geometry.depth());
    let weight_fits = |c: &Constant| match c {
        Constant::I8(v) => v.len() == out * depth,
        Constant::I16(v) => v.len() == out * depth,
        _ => false,
    };
    require(step, constants, weight, out * depth, "i8 or i16", weight_fits)?;
    require(step, constants, bias, out, "i64", |c| matches!(c, Constant::I64(v) if v.len() == out))?;
    let pairs = |c: &Constant| matches!(c, Constant::I32(v) if v.len() == 2 * out);
    require(step, constants, multipliers, 2 * out, "i32", pairs)?;
    let (Some(Constant::I64(bias)), Some(Constant::I32(multipliers))) =
        (constants.get(bias), constants.get(multipliers))
    else {
        return Ok(());
    };
    check_multipliers(step, multipliers)?;
    for (channel, &bias) in bias.iter().enumerate() {
        let row = channel * depth..(channel + 1) * depth;
        let bound = match constants.get(weight) {
            Some(Constant::I8(v)) => check_cut(step, &v[row], bias, input, *cut)?,
            Some(Constant::I16(v)) => check_cut(step, &v[row], bias, input, *cut)?,
            _ => 0,
        };
        if bound > MAX_WIDE_SUM {
            let limit = MAX_WIDE_SUM;
            return Err(Error::Accumulator { step: step.name.clone(), channel, bound, limit });
        }
    }
    Ok(())
}

/// The larger of what a sum can become before a cut and after it.
fn check_cut<W: Copy + Into<i64>>(
    step: &Step,
    row: &[W],
    bias: i64,
    input: Format,
    cut: Option<Cut>,
) -> Result<i64, Error> {
    let after = largest_sum(row, bias, input, cut);
    let Some(Cut { shift, bits, .. }) = cut else { return Ok(after) };
    check(&step.name, (2..=32).contains(&bits), "a cut to 2 to 32 bits", bits.into())?;
    check(&step.name, shift <= 31, "a cut by at most 31 bits", shift.into())?;
    Ok(after.max(largest_sum(row, 0, input, None)))
}

/// What lies beyond the borders has to be an integer of the input.
fn check_border(step: &Step, geometry: &ConvGeometry, input: Format) -> Result<(), Error> {
    let (Some(params), Some((low, high))) = (input.params(), input.range()) else { return Ok(()) };
    let inside = geometry.border.checked_add(params.zero_point).is_some_and(|q| (low..=high).contains(&q));
    let found = geometry.border.unsigned_abs() as usize;
    check(&step.name, inside, "a border that is an integer of the input", found)
}

/// The largest magnitude that a sum of products with integers of `input`, cut or not, can have with its bias. Sums are formed from raw
/// integers; the zero point's share is moved into the bias. This bounds both forms.
pub(crate) fn largest_sum<W: Copy + Into<i64>>(row: &[W], bias: i64, input: Format, cut: Option<Cut>) -> i64 {
    if let Some(cut) = cut {
        return (1 << (cut.bits.clamp(1, 32) - 1)) + bias.saturating_abs().min(1 << 62);
    }
    let magnitude: i64 = row.iter().map(|&w| w.into().abs()).sum();
    let zero_point = i64::from(input.params().map_or(0, |p| p.zero_point));
    let largest = input.range().map_or(0, |(low, high)| low.unsigned_abs().max(high.unsigned_abs()));
    (magnitude * (i64::from(largest) + zero_point.abs())).saturating_add(bias.saturating_abs())
}

/// Sizes and ranges of an integer convolution's constants, and the proof that its sums stay within 32 bits.
fn check_conv_i8(step: &Step, constants: &BTreeMap<String, Constant>, input: Format) -> Result<(), Error> {
    let StepOp::ConvI8 { geometry, weight, bias, cut, multipliers, .. } = &step.op else { return Ok(()) };
    check_border(step, geometry, input)?;
    let out = geometry.out_channels;
    let count = out * geometry.depth();
    require(step, constants, weight, count, "i8", |c| matches!(c, Constant::I8(v) if v.len() == count))?;
    require(step, constants, bias, out, "i32", |c| matches!(c, Constant::I32(v) if v.len() == out))?;
    require(
        step,
        constants,
        multipliers,
        2 * out,
        "i32",
        |c| matches!(c, Constant::I32(v) if v.len() == 2 * out),
    )?;
    let (Some(Constant::I8(weight)), Some(Constant::I32(bias)), Some(Constant::I32(multipliers))) =
        (constants.get(weight), constants.get(bias), constants.get(multipliers))
    else {
        return Ok(());
    };
    check_multipliers(step, multipliers)?;
    for (channel, (row, &bias)) in weight.chunks_exact(geometry.depth()).zip(bias).enumerate() {
        let bound = check_cut(step, row, bias.into(), input, *cut)?;
        if bound > i64::from(i32::MAX) {
            let limit = i64::from(i32::MAX);
            return Err(Error::Accumulator { step: step.name.clone(), channel, bound, limit });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{QuantParams, Rounding};

    #[test]
    fn bounds_are_reached() {
        let format = |zero_point| Format::I8(QuantParams { scale: 1.0, zero_point });
        let row = [127i8, -128, 0];
        for (zero_point, bias) in [(0, 0), (0, -7), (-128, 9), (127, 9), (127, -9)] {
            let values = (-128..=127).map(|q: i64| q - zero_point);
            let extremes = [values.clone().min().unwrap_or(0), values.max().unwrap_or(0)];
            let sums = [[0, 1], [1, 0]].map(|[a, b]| 127 * extremes[a] - 128 * extremes[b] + bias);
            let reached = sums.into_iter().map(i64::abs).max();
            let bound = largest_sum(&row, bias, format(zero_point as i32), None);
            assert!(reached.is_some_and(|reached| bound >= reached), "{zero_point} {bias}");
            // Raw sums and the share of the zero point both stay within it, too.
            assert_eq!(bound, 255 * (128 + zero_point.abs()) + bias.abs());
        }
        let cut = Cut { shift: 3, bits: 16, rounding: Rounding::Floor };
        assert_eq!(largest_sum(&row, -100, format(0), Some(cut)), 32768 + 100);
    }
}
