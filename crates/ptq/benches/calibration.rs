//! How fast statistics are collected and methods find their ranges, with what other tools need beside it.
//!
//! `cargo bench -p ptq --bench calibration`

use criterion::{Criterion, Throughput};
use ptq::{Method, ScaleGrid, Statistics, order_preserving};
use quant_core::{QuantSpec, Scheme};
use std::hint::black_box;

/// Values of a slice that statistics are collected from.
const VALUES: usize = 1 << 20;

/// Times of others, CPU time on one thread of another machine (AMD EPYC with AVX-512, memory copied at 3,598 M values/s): torch 2.8.0,
/// pytorch-quantization 2.2.1 and onnxruntime 1.31.1.
const PEERS: &str = "
others, elsewhere (see the source)              M values/s
  copying memory (numpy)                             3,598
  torch.histc, 2048 bins                               197
  pytorch-quantization, histogram, signed data         130
  onnxruntime, histogram                               164
  PPQ, KL (two passes)                                 170
others, one histogram of 2048 bins                      ms
  pytorch-quantization entropy                       1,742
  pytorch-quantization mse                             342
  pytorch-quantization percentile                     0.03
  onnxruntime entropy, 2048/128 bins                   438
others, 60 tensors, all methods                          s
  pytorch-quantization                                 123
";

/// Sums of twelve uniform numbers: close to a normal distribution of deviation 1.
fn normal() -> Vec<f32> {
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..VALUES).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
}

fn data() -> [(&'static str, Vec<f32>); 3] {
    let normal = normal();
    let relu = normal.iter().map(|x| x.max(0.0)).collect();
    let silu = normal.iter().map(|x| 2.0 * x / (1.0 + (-2.0 * x).exp())).collect();
    [("normal", normal), ("relu", relu), ("silu", silu)]
}

fn collect(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("collect");
    group.throughput(Throughput::Elements(VALUES as u64));
    let data = data();
    let mut copy = vec![0f32; VALUES];
    group.bench_function("yardstick: copying memory", |bencher| {
        bencher.iter(|| black_box(&mut copy).copy_from_slice(black_box(&data[0].1)));
    });
    for (name, values) in &data {
        let mut statistics = Statistics::default();
        group.bench_function(*name, |bencher| bencher.iter(|| statistics.observe(black_box(values))));
    }
    group.finish();
}

fn methods(criterion: &mut Criterion) {
    let tensors: Vec<Statistics> = data()
        .iter()
        .map(|(_, values)| {
            let mut statistics = Statistics::default();
            statistics.observe(values);
            statistics
        })
        .collect();
    let scores = &normal()[..1024 * 80];
    for (name, scheme) in [("symmetric", Scheme::Symmetric), ("affine", Scheme::Affine)] {
        let mut group = criterion.benchmark_group(format!("methods, {name}"));
        let spec = QuantSpec::int8(scheme);
        for method in Method::PUBLISHED {
            group.bench_function(method.name(), |bencher| {
                bencher.iter(|| method.range(black_box(&tensors[0]), &spec));
            });
        }
        for (name, grid) in [
            ("mse, scale a power of two", ScaleGrid::PowerOfTwo),
            ("mse, scale of 8 bits", ScaleGrid::Mantissa { bits: 8 }),
        ] {
            group.bench_function(name, |bencher| {
                bencher.iter(|| grid.params(Method::Mse, black_box(&tensors[0]), &spec));
            });
        }
        group.bench_function("order of 1024 rows of 80", |bencher| {
            bencher.iter(|| order_preserving(black_box(scores), 80, &spec));
        });
        group.bench_function("all of 60 tensors", |bencher| {
            let sixty = || tensors.iter().cycle().take(60);
            let all = |statistics| Method::ALL.map(|method| method.range(black_box(statistics), &spec));
            bencher.iter(|| sixty().map(all).for_each(|ranges| _ = black_box(ranges)));
        });
        group.finish();
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    collect(&mut criterion);
    methods(&mut criterion);
    criterion.final_summary();
    println!("{PEERS}");
}
