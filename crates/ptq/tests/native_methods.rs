//! Native methods beside brute force: every candidate range tried on the values themselves.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers outside test functions")]

use proptest::prelude::*;
use ptq::{Distribution, Method, Range, Statistics};
use quant_core::{Granularity, QuantSpec, Rounding, Scheme};

fn statistics(values: &[f32]) -> Statistics {
    let mut statistics = Statistics::default();
    statistics.observe(values);
    statistics
}

/// Uniform numbers in `(0, 1)`, the same every time.
fn uniform(count: usize) -> impl Iterator<Item = f64> {
    let mut state = 7u64;
    (0..count).map(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    })
}

/// Normal numbers of deviation 2 (Box and Muller).
fn normal(count: usize) -> Vec<f32> {
    let uniform: Vec<f64> = uniform(2 * count).collect();
    let radius = |u: f64| (-2.0 * u.ln()).sqrt();
    uniform
        .chunks_exact(2)
        .map(|u| (2.0 * radius(u[0]) * (std::f64::consts::TAU * u[1]).cos()) as f32)
        .collect()
}

/// Laplace numbers of mean absolute deviation 0.5.
fn laplace(count: usize) -> Vec<f32> {
    uniform(count)
        .map(|u| (0.5 * (1.0 - (2.0 * u - 1.0).abs()).ln() * (2.0 * u - 1.0).signum()) as f32)
        .collect()
}

fn relu(values: &[f32]) -> Vec<f32> {
    values.iter().map(|x| x.max(0.0)).collect()
}

fn distributions(count: usize) -> [(&'static str, Vec<f32>); 6] {
    let silu = |x: &f32| x / (1.0 + (-x).exp());
    [
        ("normal", normal(count)),
        ("laplace", laplace(count)),
        ("relu of normal", relu(&normal(count))),
        ("relu of laplace", relu(&laplace(count))),
        ("silu of normal", normal(count).iter().map(silu).collect()),
        ("uniform", uniform(count).map(|u| (3.0 * u - 1.0) as f32).collect()),
    ]
}

/// Every width, signed or not, narrow or not, of a scheme.
fn specs(scheme: Scheme) -> impl Iterator<Item = QuantSpec> {
    let kinds = [(true, false), (true, true), (false, false)];
    (2..=16).flat_map(move |bits| {
        kinds.map(|(signed, narrow)| {
            QuantSpec::new(bits, signed, scheme, narrow, Granularity::PerTensor).unwrap()
        })
    })
}

/// `sum inside (q(x) - x)^2 + clip_weight sum outside (q(x) - x)^2` by the quantiser itself.
fn noise(values: &[f32], range: Range, spec: &QuantSpec, clip_weight: f64) -> f64 {
    let params = spec.params_for_range(range.low, range.high).unwrap();
    let term = |&x: &f32| {
        let x = f64::from(x);
        let q = params.quantize(x, spec.q_min(), spec.q_max(), Rounding::HalfEven);
        let unlimited = params.quantize(x, i32::MIN / 2, i32::MAX / 2, Rounding::HalfEven);
        let error = f64::from(q - params.zero_point) * f64::from(params.scale) - x;
        error * error * if q == unlimited { 1.0 } else { clip_weight }
    };
    values.iter().map(term).sum()
}

/// The least noise over a fine grid of ranges: bounds if symmetric, else both ends.
fn least_noise(values: &[f32], spec: &QuantSpec, clip_weight: f64) -> f64 {
    let (low, high) = statistics(values).bounds().unwrap();
    let part = |extreme: f32, i: usize, of: usize| extreme * (i as f32 / of as f32);
    let ranges: Vec<Range> = match spec.scheme() {
        Scheme::Symmetric => {
            let bounds = (10..=200).map(|i| part(high.max(-low), i, 200));
            bounds.map(|bound| Range { low: -bound, high: bound }).collect()
        }
        Scheme::Affine => {
            let lows: Vec<f32> = (0..=16).map(|i| part(low.min(0.0), i, 16)).collect();
            let highs = (4..=40).map(|i| part(high.max(0.0), i, 40));
            highs.flat_map(|high| lows.iter().map(move |&low| Range { low, high })).collect()
        }
    };
    ranges.iter().map(|&range| noise(values, range, spec, clip_weight)).fold(f64::INFINITY, f64::min)
}

#[test]
fn least_errors_are_those_of_brute_force() {
    let mut faults = Vec::new();
    let mut compared = 0;
    for (name, values) in distributions(1500) {
        let s = statistics(&values);
        for (method, clip_weight) in [(Method::Mse, 1.0), (Method::Sqnr { clip_weight: 3.0 }, 3.0)] {
            for spec in specs(Scheme::Symmetric).chain(specs(Scheme::Affine).step_by(4)) {
                let found = noise(&values, method.range(&s, &spec).unwrap(), &spec, clip_weight);
                let best = least_noise(&values, &spec, clip_weight);
                compared += 1;
                if found > best * 1.03 {
                    faults.push(format!("{name}, {}, {spec:?}: {:.4}", method.name(), found / best));
                }
            }
        }
    }
    assert!(compared > 600, "{compared}");
    assert!(faults.is_empty(), "{} of {compared}:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn octav_is_close_to_the_least_error() {
    let mut faults = Vec::new();
    for (name, values) in distributions(1500) {
        let s = statistics(&values);
        // Its model of rounding, evenly spread errors, needs some levels.
        let specs = specs(Scheme::Symmetric).chain(specs(Scheme::Affine).step_by(4));
        for spec in specs.filter(|spec| spec.bits() >= 4) {
            let found = noise(&values, Method::Octav.range(&s, &spec).unwrap(), &spec, 1.0);
            let best = least_noise(&values, &spec, 1.0);
            if found > best * 1.15 {
                faults.push(format!("{name}, {spec:?}: {:.4}", found / best));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn aciq_finds_the_parameters_and_the_clips_of_known_distributions() {
    let gauss = Method::Aciq { distribution: Distribution::Gauss };
    let laplace_fit = Method::Aciq { distribution: Distribution::Laplace };
    let signed = |bits| QuantSpec::new(bits, true, Scheme::Symmetric, true, Granularity::PerTensor).unwrap();
    let affine = |bits| QuantSpec::new(bits, true, Scheme::Affine, false, Granularity::PerTensor).unwrap();
    let unsigned =
        |bits| QuantSpec::new(bits, false, Scheme::Symmetric, false, Granularity::PerTensor).unwrap();
    let (normal, laplace) = (normal(200_000), laplace(200_000));
    let shifted: Vec<f32> = normal.iter().map(|x| x + 1.0).collect();
    // Ends of ranges: the paper's table with `steps = 2^(bits - 1)`, or one bit more for values of one sign, within what the slightly
    // smaller numbers of steps here make.
    let rows = [
        ("gauss, 4 bits", gauss, &normal, affine(4), 2.55 * 2.0, 0.03),
        ("gauss, 8 bits", gauss, &normal, signed(8), 3.92 * 2.0, 0.01),
        ("gauss about a mean", gauss, &shifted, affine(4), 1.0 + 2.55 * 2.0, 0.03),
        ("laplace, 4 bits", laplace_fit, &laplace, affine(4), 5.03 * 0.5, 0.04),
        ("laplace, 8 bits", laplace_fit, &laplace, signed(8), 9.89 * 0.5, 0.01),
        ("relu of normal, unsigned", gauss, &relu(&normal), unsigned(4), 2.93 * 2.0, 0.03),
        ("relu of normal, affine", gauss, &relu(&normal), affine(4), 2.93 * 2.0, 0.03),
        ("relu of laplace, unsigned", laplace_fit, &relu(&laplace), unsigned(4), 6.2 * 0.5, 0.03),
        ("negatives alone", laplace_fit, &relu(&laplace).iter().map(|x| -x).collect(), affine(4), 0.0, 0.0),
    ];
    let mut faults = Vec::new();
    for (name, method, values, spec, want, tolerance) in rows {
        let found = f64::from(method.range(&statistics(values), &spec).unwrap().high);
        if (found - want).abs() > tolerance * want {
            faults.push(format!("{name}: {found} for {want}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let choice = |values: &[f32], method: Method| method.range(&statistics(values), &signed(4)).unwrap();
    let auto = Method::Aciq { distribution: Distribution::Auto };
    assert_eq!(choice(&normal, auto), choice(&normal, gauss));
    assert_eq!(choice(&laplace, auto), choice(&laplace, laplace_fit));
}

#[test]
fn sqnr_with_a_weight_of_one_is_mse() {
    for (name, values) in distributions(20_000) {
        let s = statistics(&values);
        for scheme in [Scheme::Symmetric, Scheme::Affine] {
            for spec in specs(scheme) {
                let sqnr = Method::Sqnr { clip_weight: 1.0 }.report(&s, &spec).unwrap();
                assert_eq!(sqnr, Method::Mse.report(&s, &spec).unwrap(), "{name}, {spec:?}");
            }
        }
    }
}

#[test]
fn heavier_clipping_errors_widen_ranges() {
    let s = statistics(&laplace(50_000));
    let spec = QuantSpec::new(4, true, Scheme::Symmetric, true, Granularity::PerTensor).unwrap();
    let bound = |clip_weight| Method::Sqnr { clip_weight }.range(&s, &spec).unwrap().high;
    let bounds = [1.0, 3.0, 30.0, 1e6].map(bound);
    assert!(bounds.is_sorted() && bounds[0] < bounds[1] && bounds[2] < bounds[3], "{bounds:?}");
}

fn any_spec() -> impl Strategy<Value = QuantSpec> {
    (2u8..=16, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(bits, signed, affine, narrow)| {
        let scheme = if affine { Scheme::Affine } else { Scheme::Symmetric };
        QuantSpec::new(bits, signed, scheme, narrow, Granularity::PerTensor).unwrap()
    })
}

/// Values of all magnitudes, near ones, and few different ones.
fn any_values() -> impl Strategy<Value = Vec<f32>> {
    let finite = proptest::num::f32::NORMAL | proptest::num::f32::SUBNORMAL | proptest::num::f32::ZERO;
    let near = -4f32..4.0;
    let few = prop::sample::select(vec![0.0f32, -1.0, 1.0, 6.0, 1e-30]);
    prop_oneof![
        prop::collection::vec(finite, 1..60),
        prop::collection::vec(near, 1..200),
        prop::collection::vec(few, 1..60),
    ]
}

proptest! {
    #[test]
    fn ranges_lie_within_the_values(values in any_values(), spec in any_spec(), cut in 0usize..200) {
        let s = statistics(&values);
        let (low, high) = s.bounds().unwrap();
        let bound = s.absolute_maximum();
        let (first, second) = values.split_at(cut.min(values.len()));
        let mut merged = statistics(second);
        merged.merge(statistics(first));
        for method in Method::PUBLISHED {
            let report = method.report(&s, &spec).unwrap();
            let range = report.range;
            prop_assert!(range.low.is_finite() && range.high.is_finite(), "{method:?}: {range:?}");
            prop_assert!(range.low <= range.high, "{method:?}: {range:?}");
            let empty = range.low == 0.0 && range.high == 0.0;
            prop_assert_eq!(empty, bound == 0.0, "{:?}: {:?}", method, range);
            let symmetric = method.scheme(spec.scheme()) == Scheme::Symmetric;
            let within = if symmetric {
                range.high <= bound && range.low == -range.high
            } else {
                range.low >= low.min(0.0) && range.high <= high.max(0.0)
            };
            prop_assert!(within, "{method:?}: {range:?} of {low}..{high}");
            prop_assert!(report.candidates > 0 && report.clipped <= s.count());
            prop_assert_eq!(method.report(&merged, &spec).unwrap(), report);
            let params = spec.params_for_range(range.low, range.high).unwrap();
            prop_assert!(params.scale.is_finite() && params.scale > 0.0);
        }
    }
}
