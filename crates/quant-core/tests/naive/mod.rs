//! The plainest executor of a program: one value at a time, straight from the definitions of the steps, in wide integers.

use quant_core::{
    Activation, Constant, ConvGeometry, Cut, Format, Multiplier, Program, QuantParams, Rounding, Step,
    StepOp, round,
};

/// A tensor as whole numbers (integer formats) or single precision.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    Float(Vec<f32>),
    Integer(Vec<i64>),
}

#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    pub(crate) shape: [usize; 3],
    pub(crate) data: Data,
}

impl Tensor {
    fn float(&self, c: usize, y: usize, x: usize) -> f32 {
        let Data::Float(v) = &self.data else { panic!("not float") };
        v[(c * self.shape[1] + y) * self.shape[2] + x]
    }

    fn integer(&self, c: usize, y: usize, x: usize) -> i64 {
        let Data::Integer(v) = &self.data else { panic!("not integer") };
        v[(c * self.shape[1] + y) * self.shape[2] + x]
    }

    fn is_float(&self) -> bool {
        matches!(self.data, Data::Float(_))
    }

    /// A tensor of `shape` whose values are `f(channel, y, x)`.
    fn of_floats(shape: [usize; 3], f: impl Fn(usize, usize, usize) -> f32) -> Self {
        Self { shape, data: Data::Float(indices(shape).map(|[c, y, x]| f(c, y, x)).collect()) }
    }

    fn of_integers(shape: [usize; 3], f: impl Fn(usize, usize, usize) -> i64) -> Self {
        Self { shape, data: Data::Integer(indices(shape).map(|[c, y, x]| f(c, y, x)).collect()) }
    }

    /// The same selection of values, whatever their type.
    fn pick(&self, shape: [usize; 3], from: impl Fn(usize, usize, usize) -> [usize; 3]) -> Self {
        if self.is_float() {
            Self::of_floats(shape, |c, y, x| {
                let [c, y, x] = from(c, y, x);
                self.float(c, y, x)
            })
        } else {
            Self::of_integers(shape, |c, y, x| {
                let [c, y, x] = from(c, y, x);
                self.integer(c, y, x)
            })
        }
    }
}

fn indices([c, h, w]: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..c * h * w).map(move |i| [i / (h * w), i / w % h, i % w])
}

/// All tensors of a run, by index.
pub(crate) fn run(program: &Program, size: [usize; 2], image: &[f32]) -> Vec<Tensor> {
    let shape = [program.tensors()[0].channels, size[0], size[1]];
    let empty = Tensor { shape: [0; 3], data: Data::Float(Vec::new()) };
    let mut tensors = vec![empty; program.tensors().len()];
    tensors[0] = Tensor { shape, data: Data::Float(image.to_vec()) };
    for step in program.steps() {
        let inputs: Vec<&Tensor> = step.inputs.iter().map(|&id| &tensors[id]).collect();
        tensors[step.output] = apply(program, step, &inputs);
    }
    tensors
}

fn params(format: Format) -> QuantParams {
    format.params().unwrap()
}

/// `clamp(value + zero_point)` in a format.
fn store(value: i128, format: Format) -> i64 {
    let (low, high) = format.range().unwrap();
    (value + i128::from(params(format).zero_point)).clamp(low.into(), high.into()) as i64
}

/// `product / 2^shift` rounded, from the quotient and the exact remainder.
fn divide(product: i128, shift: u32, rounding: Rounding) -> i128 {
    let unit = 1i128 << shift;
    let (quotient, remainder) = (product.div_euclid(unit), product.rem_euclid(unit));
    let up = match rounding {
        Rounding::Floor => false,
        Rounding::Truncate => product < 0 && remainder > 0,
        Rounding::HalfUp => 2 * remainder >= unit,
        Rounding::HalfAway => 2 * remainder > unit || (2 * remainder == unit && product > 0),
        Rounding::HalfEven => 2 * remainder > unit || (2 * remainder == unit && quotient % 2 != 0),
    };
    quotient + i128::from(up)
}

fn apply(program: &Program, step: &Step, inputs: &[&Tensor]) -> Tensor {
    let output = program.tensors()[step.output].format;
    let format = |i: usize| program.tensors()[step.inputs[i]].format;
    let x = inputs[0];
    match &step.op {
        StepOp::Quantize => Tensor::of_integers(x.shape, |c, y, i| {
            let ratio = f64::from(x.float(c, y, i) / params(output).scale);
            store(round(ratio.clamp(-1e6, 1e6), Rounding::HalfEven) as i128, output)
        }),
        StepOp::Dequantize => {
            let p = params(format(0));
            Tensor::of_floats(x.shape, |c, y, i| p.dequantize(x.integer(c, y, i) as i32))
        }
        StepOp::ConvF32 { geometry, weight, bias, activation } => {
            conv_f32(x, geometry, floats(program, weight), floats(program, bias), *activation)
        }
        StepOp::ConvI8 { .. } | StepOp::ConvI16 { .. } => conv_integer(program, step, x),
        StepOp::Activation(f) if x.is_float() => {
            Tensor::of_floats(x.shape, |c, y, i| f.eval(x.float(c, y, i).into()) as f32)
        }
        StepOp::Activation(f) => {
            Tensor::of_integers(x.shape, |c, y, i| activate(*f, x.integer(c, y, i), format(0), output))
        }
        StepOp::Add { multipliers: None, .. } => {
            Tensor::of_floats(x.shape, |c, y, i| x.float(c, y, i) + inputs[1].float(c, y, i))
        }
        StepOp::Add { multipliers: Some(shared), rounding } => Tensor::of_integers(x.shape, |c, y, i| {
            let term = |t: usize| {
                let difference = inputs[t].integer(c, y, i) - i64::from(params(format(t)).zero_point);
                i128::from(difference) * i128::from(shared.mantissas[t])
            };
            store(divide(term(0) + term(1), shared.shift.into(), *rounding), output)
        }),
        StepOp::Concat { rescale, rounding } => {
            let parts =
                inputs.iter().enumerate().map(|(i, x)| rescaled(x, format(i), output, rescale[i], *rounding));
            parts.reduce(join).unwrap()
        }
        StepOp::Join => inputs.iter().map(|&x| x.clone()).reduce(join).unwrap(),
        StepOp::MaxPool { kernel, stride, padding } => pool(x, *kernel, *stride, *padding),
        StepOp::Upsample { scale } => {
            let shape = [x.shape[0], x.shape[1] * scale, x.shape[2] * scale];
            x.pick(shape, |c, y, i| [c, y / scale, i / scale])
        }
        StepOp::SpaceToDepth => {
            let [c, h, w] = x.shape;
            x.pick([4 * c, h / 2, w / 2], |k, y, i| [k % c, 2 * y + k / c % 2, 2 * i + k / c / 2])
        }
    }
}

fn floats<'a>(program: &'a Program, name: &str) -> &'a [f32] {
    let Constant::F32(v) = &program.constants()[name] else { panic!("{name}") };
    v
}

fn integers(program: &Program, name: &str) -> Vec<i128> {
    match &program.constants()[name] {
        Constant::I8(v) => v.iter().map(|&q| q.into()).collect(),
        Constant::I16(v) => v.iter().map(|&q| q.into()).collect(),
        Constant::I64(v) => v.iter().map(|&q| q.into()).collect(),
        Constant::I32(v) => v.iter().map(|&q| q.into()).collect(),
        Constant::F32(_) => panic!("{name}"),
    }
}

fn activate(f: Activation, q: i64, from: Format, to: Format) -> i64 {
    let p = params(from);
    let x = (q - i64::from(p.zero_point)) as f64 * f64::from(p.scale);
    let (low, high) = to.range().unwrap();
    params(to).quantize(f.eval(x), low, high, Rounding::HalfEven).into()
}

/// Calls `f(weight index, place)` for every product of an output value, in order; the place is input channel, y and x, or none beyond the
/// borders.
fn each_product(
    g: &ConvGeometry,
    shape: [usize; 3],
    [oc, oy, ox]: [usize; 3],
    mut f: impl FnMut(usize, Option<[usize; 3]>),
) {
    let per_group = g.in_channels / g.groups;
    let group = oc / (g.out_channels / g.groups);
    let places = g.kernel[0] * g.kernel[1];
    for (place, c) in (0..places).flat_map(|place| (0..per_group).map(move |c| (place, c))) {
        let (ky, kx, k) = (place / g.kernel[1], place % g.kernel[1], c * places + place);
        let y = (oy * g.stride[0] + ky * g.dilation[0]) as isize - g.padding[0] as isize;
        let x = (ox * g.stride[1] + kx * g.dilation[1]) as isize - g.padding[1] as isize;
        let inside = (0..shape[1] as isize).contains(&y) && (0..shape[2] as isize).contains(&x);
        f(oc * g.depth() + k, inside.then_some([group * per_group + c, y as usize, x as usize]));
    }
}

fn conv_shape(g: &ConvGeometry, x: &Tensor) -> [usize; 3] {
    let [h, w] = g.output_size([x.shape[1], x.shape[2]]).unwrap();
    [g.out_channels, h, w]
}

fn conv_f32(
    x: &Tensor,
    g: &ConvGeometry,
    weight: &[f32],
    bias: &[f32],
    activation: Option<Activation>,
) -> Tensor {
    assert!(activation.is_none(), "the float activation has its own test");
    Tensor::of_floats(conv_shape(g, x), |c, y, i| {
        let mut sum = 0f32;
        each_product(g, x.shape, [c, y, i], |k, place| {
            let value = place.map_or(g.border as f32, |[c, y, x_]| x.float(c, y, x_));
            sum = weight[k].mul_add(value, sum);
        });
        sum + bias[c]
    })
}

fn conv_integer(program: &Program, step: &Step, x: &Tensor) -> Tensor {
    let (StepOp::ConvI8 { geometry, weight, bias, cut, multipliers, rounding, activation }
    | StepOp::ConvI16 { geometry, weight, bias, cut, multipliers, rounding, activation }) = &step.op
    else {
        panic!()
    };
    let output = program.tensors()[step.output].format;
    let target = activation.map_or(output, |(_, argument)| argument);
    let zero = i128::from(params(program.tensors()[step.inputs[0]].format).zero_point);
    let (weight, bias, pairs) =
        (integers(program, weight), integers(program, bias), integers(program, multipliers));
    Tensor::of_integers(conv_shape(geometry, x), |c, y, i| {
        let mut sum = 0;
        each_product(geometry, x.shape, [c, y, i], |k, place| {
            let border = i128::from(geometry.border);
            sum += weight[k] * place.map_or(border, |[c, y, i]| i128::from(x.integer(c, y, i)) - zero);
        });
        if let Some(Cut { shift, bits, rounding }) = *cut {
            let half = 1i128 << (bits - 1);
            sum = divide(sum, shift.into(), rounding).clamp(-half, half - 1);
        }
        sum += bias[c];
        let q = store(divide(sum * pairs[2 * c], pairs[2 * c + 1] as u32, *rounding), target);
        activation.map_or(q, |(f, argument)| activate(f, q, argument, output))
    })
}

fn rescaled(x: &Tensor, from: Format, to: Format, factor: Option<Multiplier>, rounding: Rounding) -> Tensor {
    let Some(factor) = factor else { return x.clone() };
    let zero = i64::from(params(from).zero_point);
    Tensor::of_integers(x.shape, |c, y, i| {
        let product = i128::from(x.integer(c, y, i) - zero) * i128::from(factor.mantissa);
        store(divide(product, factor.shift.into(), rounding), to)
    })
}

fn join(a: Tensor, b: Tensor) -> Tensor {
    let shape = [a.shape[0] + b.shape[0], a.shape[1], a.shape[2]];
    let data = match (a.data, b.data) {
        (Data::Float(a), Data::Float(b)) => Data::Float([a, b].concat()),
        (Data::Integer(a), Data::Integer(b)) => Data::Integer([a, b].concat()),
        _ => panic!("mixed concatenation"),
    };
    Tensor { shape, data }
}

fn pool(x: &Tensor, kernel: usize, stride: usize, padding: usize) -> Tensor {
    let [c, h, w] = x.shape;
    let side = |side: usize| (side + 2 * padding - kernel) / stride + 1;
    let window = |at: usize, side: usize| {
        (at * stride..at * stride + kernel).filter_map(move |i| i.checked_sub(padding).filter(|i| *i < side))
    };
    let shape = [c, side(h), side(w)];
    let cells = |y: usize, i: usize| window(y, h).flat_map(move |y| window(i, w).map(move |x| (y, x)));
    if x.is_float() {
        let highest = |c, y, i| cells(y, i).map(|(y, i)| x.float(c, y, i)).fold(f32::NEG_INFINITY, f32::max);
        Tensor::of_floats(shape, highest)
    } else {
        Tensor::of_integers(shape, |c, y, i| cells(y, i).map(|(y, i)| x.integer(c, y, i)).max().unwrap())
    }
}
