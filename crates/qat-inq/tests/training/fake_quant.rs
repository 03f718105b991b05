//! Quantisers and their gradients, beside ptq's and beside differences.

use super::{read, tensor, values};
use burn::tensor::{Device, Tensor};
use ptq::{LsqInside, LsqQuantizer};
use qat_inq::{fake_quantize_ste, learned_quantize};

const COUNT: usize = 200;
const ENDS: [f32; 2] = [-8.0, 7.0];

/// Values of which some lie beyond the ends, and the gradient of what becomes of them.
fn data() -> (Vec<f32>, Vec<f32>) {
    (values("v", COUNT, [-3.0, 3.0]), values("g", COUNT, [-1.0, 1.0]))
}

fn weighted(y: Tensor<1>, gradient: &[f32], device: &Device) -> Tensor<1> {
    (y * tensor(gradient, [COUNT], device)).sum()
}

#[test]
fn learned_steps_are_those_of_the_reference() {
    let device = Device::flex().autodiff();
    let (v, g) = data();
    let quantizer = LsqQuantizer::new(-8, 7, LsqInside::Unrounded).unwrap();
    for step in [0.25f32, 0.3, 0.05] {
        let x = tensor::<1>(&v, [COUNT], &device).require_grad();
        let s = tensor::<1>(&[step], [1], &device).require_grad();
        let y = learned_quantize(x.clone(), s.clone(), ENDS);
        for (found, expected) in read(y.clone()).iter().zip(quantizer.forward(&v, step).unwrap()) {
            assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{found} for {expected}");
        }
        let gradients = weighted(y, &g, &device).backward();
        let expected = quantizer.backward(&v, &g, step).unwrap();
        for (found, expected) in read(x.grad(&gradients).unwrap()).iter().zip(expected.values) {
            assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
        }
        let found = f64::from(read(s.grad(&gradients).unwrap())[0]);
        assert!(
            (found - expected.step).abs() < 1e-4 * expected.step.abs().max(1.0),
            "{found} for {}",
            expected.step
        );
    }
}

/// With what rounding adds held fixed, the quantiser can be differentiated; LSQ's gradient is that of this function.
#[test]
fn gradients_of_learned_steps_are_differences() {
    let device = Device::flex().autodiff();
    let (v, g) = data();
    let step = 0.3f64;
    let clamped = |v: f32, s: f64| (f64::from(v) / s).clamp(ENDS[0].into(), ENDS[1].into());
    let residue: Vec<f64> =
        v.iter().map(|&v| clamped(v, step).round_ties_even() - clamped(v, step)).collect();
    let total = |s: f64| -> f64 {
        let terms = v.iter().zip(&g).zip(&residue);
        terms.map(|((&v, &g), &r)| f64::from(g) * (clamped(v, s) + r) * s).sum()
    };
    let expected = (total(step + 1e-6) - total(step - 1e-6)) / 2e-6;
    let x = tensor::<1>(&v, [COUNT], &device);
    let s = tensor::<1>(&[step as f32], [1], &device).require_grad();
    let gradients = weighted(learned_quantize(x, s.clone(), ENDS), &g, &device).backward();
    let found = f64::from(read(s.grad(&gradients).unwrap())[0]);
    assert!((found - expected).abs() < 1e-3 * expected.abs().max(1.0), "{found} for {expected}");
}

#[test]
fn fixed_steps_are_learned_ones_that_do_not_learn() {
    let device = Device::flex().autodiff();
    let (v, g) = data();
    let gradients = |fixed: bool| {
        let x = tensor::<1>(&v, [COUNT], &device).require_grad();
        let y = match fixed {
            true => fake_quantize_ste(x.clone(), 0.3, ENDS),
            false => learned_quantize(x.clone(), tensor(&[0.3], [1], &device), ENDS),
        };
        let values = read(y.clone());
        (values, read(x.grad(&weighted(y, &g, &device).backward()).unwrap()))
    };
    let (one, other) = (gradients(true), gradients(false));
    assert!(one.0.iter().zip(&other.0).all(|(a, b)| (a - b).abs() < 1e-5));
    assert_eq!(
        one.1.iter().map(|g| *g != 0.0).collect::<Vec<_>>(),
        other.1.iter().map(|g| *g != 0.0).collect::<Vec<_>>()
    );
    // Off the autodiff device the values are the same.
    let plain = fake_quantize_ste(tensor::<1>(&v, [COUNT], &Device::flex()), 0.3, ENDS);
    assert_eq!(read(plain), one.0);
}

#[test]
fn steps_along_dimensions_are_steps_of_slices() {
    let device = Device::flex();
    let (v, _) = data();
    let x = tensor::<2>(&v, [4, 50], &device);
    let steps = [0.1f32, 0.2, 0.3, 0.4];
    let all = read(learned_quantize(x.clone(), tensor(&steps, [4, 1], &device), ENDS));
    for (row, step) in steps.iter().enumerate() {
        let one = fake_quantize_ste(x.clone().slice([row..row + 1, 0..50]), *step, ENDS);
        for (a, b) in read(one).iter().zip(&all[row * 50..]) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}
