//! Each operator against its formula, computed in f64 with plain loops.

use super::*;
use burn::tensor::{Device, TensorData};

/// Values in [-1, 1), and of both signs, by position.
fn values(shape: [usize; 4], seed: usize) -> Vec<f32> {
    let count: usize = shape.iter().product();
    (0..count)
        .map(|i| nn_graph::formula_uniform("operator", (i + 1_000_000 * seed) as u64) as f32 * 2.0 - 1.0)
        .collect()
}

fn tensor(shape: [usize; 4], data: &[f32]) -> Tensor<4> {
    Tensor::from_data(TensorData::new(data.to_vec(), shape), &Device::flex())
}

fn vector(data: &[f32]) -> Tensor<1> {
    Tensor::from_data(TensorData::new(data.to_vec(), [data.len()]), &Device::flex())
}

/// `value(n, c, i, j)` for every position of a tensor of `shape`.
fn build(shape: [usize; 4], value: impl Fn([usize; 4]) -> f64) -> Vec<f64> {
    let [batch, channels, height, width] = shape;
    let mut built = Vec::new();
    for n in 0..batch {
        for c in 0..channels {
            for i in 0..height {
                built.extend((0..width).map(|j| value([n, c, i, j])));
            }
        }
    }
    built
}

/// The value of `data` at a position given by signed coordinates; `None` outside.
fn at(data: &[f32], shape: [usize; 4], [n, c]: [usize; 2], [y, x]: [isize; 2]) -> Option<f64> {
    let (y, x) = (usize::try_from(y).ok()?, usize::try_from(x).ok()?);
    let inside = y < shape[2] && x < shape[3];
    inside.then(|| f64::from(data[((n * shape[1] + c) * shape[2] + y) * shape[3] + x]))
}

fn assert_close(found: Tensor<4>, shape: [usize; 4], expected: &[f64], tolerance: f64) {
    assert_eq!(found.dims(), shape);
    let found: Vec<f32> = found.try_into_vec_as().unwrap();
    let worst = found.iter().zip(expected).map(|(f, e)| (f64::from(*f) - e).abs()).fold(0.0, f64::max);
    assert!(worst <= tolerance, "off by {worst}: {found:?} for {expected:?}");
}

fn naive_convolution(
    x: &[f32],
    shape: [usize; 4],
    weight: &[f32],
    bias: &[f32],
    conv: &Conv,
) -> ([usize; 4], Vec<f64>) {
    let side = |axis: usize| {
        (shape[2 + axis] + 2 * conv.padding[axis] - conv.dilation[axis] * (conv.kernel[axis] - 1) - 1)
            / conv.stride[axis]
            + 1
    };
    let (inner, outer) = (conv.in_channels / conv.groups, conv.out_channels / conv.groups);
    let [kh, kw] = conv.kernel;
    let weight_shape = [conv.out_channels, inner, kh, kw];
    let place = |axis: usize, cell: usize, tap: usize| {
        (cell * conv.stride[axis] + tap * conv.dilation[axis]) as isize - conv.padding[axis] as isize
    };
    let out = [shape[0], conv.out_channels, side(0), side(1)];
    let data = build(out, |[n, o, i, j]| {
        let taps = build([1, inner, kh, kw], |[_, c, u, v]| {
            let source = at(x, shape, [n, o / outer * inner + c], [place(0, i, u), place(1, j, v)]);
            source.unwrap_or(0.0) * at(weight, weight_shape, [o, c], [u as isize, v as isize]).unwrap()
        });
        taps.iter().sum::<f64>() + bias.get(o).map_or(0.0, |b| f64::from(*b))
    });
    (out, data)
}

#[test]
fn convolution() {
    let plain = Conv::same(4, 6, 3, 1);
    let cases = [
        plain,
        Conv { bias: true, ..plain },
        Conv::same(4, 6, 1, 1),
        Conv { padding: [2; 2], ..Conv::same(4, 6, 6, 2) },
        Conv { groups: 2, bias: true, ..plain },
        Conv { groups: 4, out_channels: 4, ..plain },
        Conv { dilation: [2, 1], padding: [2, 1], ..plain },
        Conv { kernel: [1, 5], stride: [1, 2], padding: [0, 2], groups: 2, ..plain },
        Conv { stride: [3, 2], padding: [0, 1], dilation: [1, 2], ..plain },
    ];
    let shape = [2, 4, 9, 8];
    let x = values(shape, 0);
    for conv in cases {
        let weight_shape: [usize; 4] = conv.weight_shape().try_into().unwrap();
        let weight = values(weight_shape, 1);
        let bias = if conv.bias { values([1, 1, 1, conv.out_channels], 2) } else { Vec::new() };
        let (out, expected) = naive_convolution(&x, shape, &weight, &bias, &conv);
        let found = convolve(
            tensor(shape, &x),
            tensor(weight_shape, &weight),
            conv.bias.then(|| vector(&bias)),
            &conv,
        );
        assert_close(found, out, &expected, 1e-5);
    }
}

#[test]
fn batch_norm_in_inference_form() {
    let shape = [2, 3, 2, 4];
    let x = values(shape, 0);
    let (mean, variance) = ([0.1_f32, -0.2, 0.3], [0.5_f32, 1.5, 2e-4]);
    let (weight, bias) = ([1.5_f32, -0.5, 0.01], [0.3_f32, 0.0, -0.7]);
    let expected = build(shape, |[n, c, i, j]| {
        let value = at(&x, shape, [n, c], [i as isize, j as isize]).unwrap();
        let deviation = (f64::from(variance[c]) + 1e-3).sqrt();
        (value - f64::from(mean[c])) / deviation * f64::from(weight[c]) + f64::from(bias[c])
    });
    let statistics = Statistics { mean: vector(&mean), variance: vector(&variance) };
    let found = normalise(tensor(shape, &x), statistics, vector(&weight), vector(&bias), 1e-3);
    assert_close(found, shape, &expected, 2e-6);
}

#[test]
fn activations() {
    let shape = [1, 2, 3, 40];
    let x: Vec<f32> = values(shape, 3).iter().map(|v| v * 12.0).collect();
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
    let slope = 0.1_f32;
    let cases: [(Activation, &dyn Fn(f64) -> f64); 6] = [
        (Activation::Silu, &|v| v * sigmoid(v)),
        (Activation::Relu, &|v| v.max(0.0)),
        (Activation::Relu6, &|v| v.clamp(0.0, 6.0)),
        (Activation::LeakyRelu { slope }, &|v| if v > 0.0 { v } else { f64::from(slope) * v }),
        (Activation::Sigmoid, &sigmoid),
        (Activation::Hardswish, &|v| v * (v + 3.0).clamp(0.0, 6.0) / 6.0),
    ];
    for (kind, formula) in cases {
        let expected: Vec<f64> = x.iter().map(|v| formula(f64::from(*v))).collect();
        assert_close(activate(tensor(shape, &x), kind), shape, &expected, 3e-6);
    }
}

#[test]
fn padding_never_wins() {
    let shape = [2, 2, 7, 6];
    let x: Vec<f32> = values(shape, 4).iter().map(|v| v - 5.0).collect();
    for (kernel, stride, padding) in [(5, 1, 2), (3, 2, 1), (2, 2, 0), (2, 1, 0), (13, 1, 6)] {
        let side = |side: usize| (side + 2 * padding - kernel) / stride + 1;
        let out = [shape[0], shape[1], side(shape[2]), side(shape[3])];
        let expected = build(out, |[n, c, i, j]| {
            let place = |cell: usize, tap: usize| (cell * stride + tap) as isize - padding as isize;
            let window = build([1, 1, kernel, kernel], |[_, _, u, v]| {
                at(&x, shape, [n, c], [place(i, u), place(j, v)]).unwrap_or(f64::NEG_INFINITY)
            });
            window.into_iter().fold(f64::NEG_INFINITY, f64::max)
        });
        assert_close(max_pool(tensor(shape, &x), &MaxPool { kernel, stride, padding }), out, &expected, 0.0);
    }
}

#[test]
fn upsampling_repeats_cells() {
    let shape = [2, 3, 4, 5];
    let x = values(shape, 5);
    for scale in [1, 2, 3, 7] {
        let out = [2, 3, 4 * scale, 5 * scale];
        let expected = build(out, |[n, c, i, j]| {
            at(&x, shape, [n, c], [(i / scale) as isize, (j / scale) as isize]).unwrap()
        });
        assert_close(upsample(tensor(shape, &x), scale), out, &expected, 0.0);
    }
}

#[test]
fn space_to_depth_goes_down_first() {
    let shape = [2, 3, 4, 6];
    let x = values(shape, 6);
    let offsets = [[0, 0], [1, 0], [0, 1], [1, 1]];
    let out = [2, 12, 2, 3];
    let expected = build(out, |[n, c, i, j]| {
        let [y, x_offset] = offsets[c / 3];
        at(&x, shape, [n, c % 3], [(2 * i + y) as isize, (2 * j + x_offset) as isize]).unwrap()
    });
    assert_close(space_to_depth(tensor(shape, &x)), out, &expected, 0.0);
}
