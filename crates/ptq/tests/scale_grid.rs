//! Scales on a grid beside all scales of the grid in a wide neighbourhood, by errors of the values themselves.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers outside test functions")]

use proptest::prelude::*;
use ptq::{Error, Method, ScaleGrid, Statistics};
use quant_core::{Granularity, QuantParams, QuantSpec, Rounding, Scheme};

fn statistics(values: &[f32]) -> Statistics {
    let mut statistics = Statistics::default();
    statistics.observe(values);
    statistics
}

fn spec(bits: u8, signed: bool, scheme: Scheme) -> QuantSpec {
    QuantSpec::new(bits, signed, scheme, false, Granularity::PerTensor).unwrap()
}

/// Numbers around 0.4, of a density that falls to both sides, some of them negative.
fn values() -> Vec<f32> {
    let mut state = 11u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..1000).map(|_| (0..4).map(|_| uniform()).sum::<f32>() - 1.6).collect()
}

fn squared_error(values: &[f32], params: QuantParams, spec: &QuantSpec) -> f64 {
    let error = |&x: &f32| {
        let q = params.quantize(f64::from(x), spec.q_min(), spec.q_max(), Rounding::HalfEven);
        (f64::from(q - params.zero_point) * f64::from(params.scale) - f64::from(x)).powi(2)
    };
    values.iter().map(error).sum()
}

/// Scales `m * 2^n` with `m` of `bits` bits from `scale / 4` to `scale * 4`.
fn scales_around(scale: f32, bits: u32) -> Vec<f32> {
    let octaves = -3..=3;
    let exponent = scale.log2().floor() as i32 - (bits as i32 - 1);
    let mantissas = 1u32 << (bits - 1)..1 << bits;
    let all = octaves.flat_map(|octave| {
        mantissas.clone().map(move |m| (f64::from(m) * 2f64.powi(exponent + octave)) as f32)
    });
    all.filter(|found| *found >= scale / 4.0 && *found <= scale * 4.0).collect()
}

const GRIDS: [(ScaleGrid, u32); 5] = [
    (ScaleGrid::PowerOfTwo, 1),
    (ScaleGrid::Mantissa { bits: 1 }, 1),
    (ScaleGrid::Mantissa { bits: 2 }, 2),
    (ScaleGrid::Mantissa { bits: 4 }, 4),
    (ScaleGrid::Mantissa { bits: 6 }, 6),
];

#[test]
fn no_scale_of_the_grid_has_much_less_error() {
    let values = values();
    let mut faults = Vec::new();
    let (mut down, mut up) = (0, 0);
    for scheme in [Scheme::Symmetric, Scheme::Affine] {
        for bits in [2, 3, 4, 5] {
            let spec = spec(bits, true, scheme);
            // Values of other sizes, so that scales lie at other places between the powers of two.
            for size in [1.0, 1.2, 1.5, 1.8] {
                let values: Vec<f32> = values.iter().map(|x| x * size).collect();
                let s = statistics(&values);
                let range = Method::Mse.range(&s, &spec).unwrap();
                let exact = spec.params_for_range(range.low, range.high).unwrap();
                for (grid, mantissa) in GRIDS {
                    let found = grid.params(Method::Mse, &s, &spec).unwrap();
                    assert!(grid.contains(found.scale).unwrap(), "{grid:?}: {found:?}");
                    let error = |params| squared_error(&values, params, &spec);
                    let zero_points = match scheme {
                        Scheme::Symmetric => 0..=0,
                        Scheme::Affine => spec.q_min()..=spec.q_max(),
                    };
                    let all = scales_around(exact.scale, mantissa).into_iter().flat_map(|scale| {
                        zero_points.clone().map(move |zero_point| QuantParams { scale, zero_point })
                    });
                    let best = all.map(error).fold(f64::INFINITY, f64::min);
                    if error(found) > best * 1.1 {
                        let row = format!("{grid:?}, {bits} bits, {scheme:?}, size {size}");
                        faults.push(format!("{row}: {:.3} times the least, {found:?}", error(found) / best));
                    }
                    down += u32::from(found.scale < exact.scale);
                    up += u32::from(found.scale > exact.scale);
                }
            }
        }
    }
    assert!(down > 20 && up > 20, "{down} times down, {up} times up");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn extremes_get_the_least_scale_that_clips_nothing() {
    let mut faults = Vec::new();
    for size in [0.3, 1.0, 1.1, 5.0, 6.3, 100.0] {
        let values: Vec<f32> = values().iter().map(|x| x * size).collect();
        let s = statistics(&values);
        let (low, high) = s.bounds().unwrap();
        for method in [Method::Max, Method::MinMax] {
            for bits in [2, 3, 4, 8, 16] {
                let spec = spec(bits, true, method.scheme(Scheme::Affine));
                let range = method.range(&s, &spec).unwrap();
                let exact = spec.params_for_range(range.low, range.high).unwrap();
                for (grid, mantissa) in GRIDS {
                    let found = grid.params(method, &s, &spec).unwrap();
                    let fits = |scale: f32, zero_point: i32| {
                        let nearest = |x: f32| (x / scale).round_ties_even() as i32 + zero_point;
                        nearest(low) >= spec.q_min() && nearest(high) <= spec.q_max()
                    };
                    let zero_points = match spec.scheme() {
                        Scheme::Symmetric => 0..=0,
                        Scheme::Affine => spec.q_min()..=spec.q_max(),
                    };
                    let smaller = scales_around(exact.scale, mantissa)
                        .into_iter()
                        .filter(|scale| *scale >= exact.scale && *scale < found.scale);
                    let fitting = smaller.filter(|&scale| zero_points.clone().any(|z| fits(scale, z)));
                    let better: Vec<f32> = fitting.collect();
                    if !fits(found.scale, found.zero_point) || !better.is_empty() {
                        faults.push(format!(
                            "{size}, {method:?}, {bits} bits, {grid:?}: {found:?}, {better:?}"
                        ));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn other_numbers_of_bits_are_refused() {
    let (s, spec) = (statistics(&[1.0]), QuantSpec::int8(Scheme::Affine));
    for bits in [0, 16, 255] {
        let grid = ScaleGrid::Mantissa { bits };
        assert!(matches!(grid.params(Method::Mse, &s, &spec), Err(Error::MantissaBits { .. })), "{bits}");
        assert!(grid.contains(1.0).is_err());
    }
}

#[test]
fn grids_hold_what_they_say() {
    let rows = [
        (
            ScaleGrid::PowerOfTwo,
            vec![0.25, 1.0, 64.0, f32::MIN_POSITIVE],
            vec![0.0, 3.0, -1.0, f32::NAN, 1e-40],
        ),
        (ScaleGrid::Mantissa { bits: 2 }, vec![0.75, 1.0, 6.0], vec![5.0, 7.0, f32::INFINITY]),
        (ScaleGrid::Mantissa { bits: 15 }, vec![32767.0, 0.1015625], vec![32769.0, 0.1]),
        (ScaleGrid::Any, vec![0.1, 3e38], vec![0.0, -0.1, f32::INFINITY]),
    ];
    for (grid, inside, outside) in rows {
        for scale in inside {
            assert!(grid.contains(scale).unwrap(), "{grid:?}: {scale}");
        }
        for scale in outside {
            assert!(!grid.contains(scale).unwrap(), "{grid:?}: {scale}");
        }
    }
}

fn any_grid() -> impl Strategy<Value = ScaleGrid> {
    let mantissa = (1u8..=15).prop_map(|bits| ScaleGrid::Mantissa { bits });
    prop_oneof![Just(ScaleGrid::PowerOfTwo), mantissa]
}

proptest! {
    #[test]
    fn rounding_a_scale_up_or_down_is_never_better(
        values in prop::collection::vec(-4f32..8.0, 50..400), size in -20i32..20,
        bits in 2u8..=6, signed: bool, affine: bool, grid in any_grid()
    ) {
        let scheme = if affine { Scheme::Affine } else { Scheme::Symmetric };
        let spec = spec(bits, signed, scheme);
        // At the centres of bins, so that the histogram loses nothing.
        let width = 8.0 / 4096.0;
        let factor = 2f32.powi(size);
        let centre = |x: &f32| ((x / width).trunc() + 0.5f32.copysign(*x)) * width * factor;
        let mut values: Vec<f32> = values.iter().map(centre).collect();
        values.push(4095.5 * width * factor);
        let s = statistics(&values);
        for method in [Method::Mse, Method::Octav, Method::Percentile { percent: 99.0 }] {
            let range = method.range(&s, &spec).unwrap();
            let found = grid.params(method, &s, &spec).unwrap();
            prop_assert!(grid.contains(found.scale).unwrap());
            let exact = spec.params_for_range(range.low, range.high).unwrap().scale;
            let mantissa = match grid {
                ScaleGrid::Mantissa { bits } => i32::from(bits),
                _ => 1,
            };
            let unit = 2f64.powi(exact.log2().floor() as i32 - (mantissa - 1));
            let places = f64::from(exact) / unit;
            for rounded in [places.floor() * unit, places.ceil() * unit] {
                let zero_point = if affine {
                    let low = f64::from(range.low.min(0.0));
                    let place = f64::from(spec.q_min()) - low / rounded;
                    place.round_ties_even().clamp(spec.q_min().into(), spec.q_max().into()) as i32
                } else {
                    0
                };
                let params = QuantParams { scale: rounded as f32, zero_point };
                let (error, other) = (squared_error(&values, found, &spec), squared_error(&values, params, &spec));
                prop_assert!(error <= other * (1.0 + 1e-6) + 1e-30, "{method:?}: {found:?} {error}, {params:?} {other}");
            }
        }
    }

    #[test]
    fn scales_are_on_the_grid_for_all_numbers(
        values in prop::collection::vec(proptest::num::f32::NORMAL | proptest::num::f32::SUBNORMAL | proptest::num::f32::ZERO, 1..30),
        bits in 2u8..=16, signed: bool, affine: bool, narrow: bool, grid in any_grid()
    ) {
        let s = statistics(&values);
        for method in Method::PUBLISHED {
            let scheme = method.scheme(if affine { Scheme::Affine } else { Scheme::Symmetric });
            let spec = QuantSpec::new(bits, signed, scheme, narrow, Granularity::PerTensor).unwrap();
            let found = grid.params(method, &s, &spec).unwrap();
            prop_assert!(grid.contains(found.scale).unwrap(), "{method:?}: {found:?}");
            prop_assert!((spec.q_min()..=spec.q_max()).contains(&found.zero_point), "{method:?}: {found:?}");
            let any = ScaleGrid::Any.params(method, &s, &spec).unwrap();
            let range = method.range(&s, &spec).unwrap();
            prop_assert_eq!(any, spec.params_for_range(range.low, range.high).unwrap());
        }
    }
}
