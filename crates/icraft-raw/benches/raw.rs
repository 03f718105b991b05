//! Opening, decoding, writing and mapping raw files of the size of a small detector: 60 tensors, 7 million elements.
//!
//! ```sh
//! cargo bench -p icraft-raw --bench raw
//! python3 crates/icraft-raw/benches/peer.py   # the same by Python's `struct`
//! ```

// A benchmark stops at the first thing that goes wrong.
#![allow(clippy::unwrap_used)]
// The macros of criterion make undocumented functions.
#![allow(missing_docs)]

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use icraft_raw::{
    Candidate, Durability, Generation, IntegerGrid, IntegerRange, QuantizedElement, RawElement, RawFile,
    TensorScales, TieRounding, decode_into, match_parameters, payload, quantize, to_raw_layout, write_raw,
};

/// Each tensor is a convolution of 114 inputs and 128 outputs, with a kernel of 2 by 4.
const TENSORS: u32 = 60;
const SHAPE: [usize; 4] = [128, 114, 2, 4];
const ELEMENTS: usize = 128 * 114 * 2 * 4;

fn write<T: RawElement>(path: &Path, tensor: &[T], durability: Durability) {
    let payload = payload(tensor);
    let tensors: Vec<(u32, &[u8])> = (0..TENSORS).map(|id| (id, &payload[..])).collect();
    write_raw(path, Generation::Legacy, &tensors, durability).unwrap();
}

fn floats(seed: usize) -> Vec<f32> {
    (0..ELEMENTS).map(|i| (i.wrapping_mul(7919).wrapping_add(seed) % 10_007) as f32 * 0.01).collect()
}

/// Opens a file and looks at the ends of every tensor, by views that must not be copies.
fn open_and_view(path: &Path) -> f32 {
    let file = RawFile::open(path).unwrap();
    let ends = file.entries().iter().map(|entry| {
        let view = file.view::<f32>(entry.id).unwrap();
        assert!(matches!(view, std::borrow::Cow::Borrowed(_)));
        view[0] + view[view.len() - 1]
    });
    ends.sum()
}

fn opening(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("parsed.raw");
    write(&path, &floats(0), Durability::Cached);
    criterion.bench_function("open and view", |bencher| bencher.iter(|| open_and_view(&path)));
    let mut group = criterion.benchmark_group("checksum");
    group.throughput(Throughput::Bytes(4 * u64::from(TENSORS) * ELEMENTS as u64));
    let file = RawFile::open(&path).unwrap();
    group.bench_function("md5", |bencher| bencher.iter(|| file.md5()));
}

fn decode_all<T: QuantizedElement>(file: &RawFile, scales: TensorScales<'_>, values: &mut [f32]) {
    for (entry, values) in file.entries().iter().zip(values.chunks_exact_mut(ELEMENTS)) {
        decode_into::<T>(file.bytes(entry.id).unwrap(), scales, values).unwrap();
    }
}

fn decoding(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let mut values = vec![0.0; TENSORS as usize * ELEMENTS];
    let channels = vec![0.0078125; SHAPE[0]];
    let mut group = criterion.benchmark_group("decode, bytes of f32");
    group.throughput(Throughput::Bytes(4 * values.len() as u64));
    let bytes: Vec<i8> = (0..ELEMENTS).map(|i| i as i8).collect();
    let words: Vec<i16> = (0..ELEMENTS).map(|i| i as i16).collect();
    let longs: Vec<i32> = (0..ELEMENTS).map(|i| i as i32).collect();
    let path = folder.path().join("quantized.raw");
    for (scales, kind) in [
        (TensorScales::PerTensor(0.0078125), "per tensor"),
        (TensorScales::PerChannel(&channels), "per channel"),
    ] {
        write(&path, &bytes, Durability::Cached);
        let file = RawFile::open(&path).unwrap();
        group.bench_function(format!("i8 {kind}"), |bencher| {
            bencher.iter(|| decode_all::<i8>(&file, scales, black_box(&mut values)));
        });
        write(&path, &words, Durability::Cached);
        let file = RawFile::open(&path).unwrap();
        group.bench_function(format!("i16 {kind}"), |bencher| {
            bencher.iter(|| decode_all::<i16>(&file, scales, black_box(&mut values)));
        });
        write(&path, &longs, Durability::Cached);
        let file = RawFile::open(&path).unwrap();
        group.bench_function(format!("i32 {kind}"), |bencher| {
            bencher.iter(|| decode_all::<i32>(&file, scales, black_box(&mut values)));
        });
    }
}

fn writing(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let tensor = floats(0);
    let mut group = criterion.benchmark_group("write");
    group.sample_size(20).throughput(Throughput::Bytes(4 * u64::from(TENSORS) * ELEMENTS as u64));
    let path = folder.path().join("written.raw");
    group.bench_function("cached", |bencher| bencher.iter(|| write(&path, &tensor, Durability::Cached)));
    group.bench_function("synced", |bencher| bencher.iter(|| write(&path, &tensor, Durability::Synced)));
}

fn converting(criterion: &mut Criterion) {
    let tensor = floats(0);
    let mut group = criterion.benchmark_group("convert, bytes of f32");
    group.throughput(Throughput::Bytes(4 * ELEMENTS as u64));
    group.bench_function("to raw layout", |bencher| bencher.iter(|| to_raw_layout(&tensor, &SHAPE).unwrap()));
    for ties in [TieRounding::HalfAway, TieRounding::HalfEven] {
        let grid = IntegerGrid { bits: 8, range: IntegerRange::Symmetric, ties };
        group.bench_function(format!("quantize i8 {ties:?}"), |bencher| {
            bencher.iter(|| quantize::<i8>(&tensor, TensorScales::PerTensor(0.8), grid).unwrap());
        });
    }
}

fn mapping(criterion: &mut Criterion) {
    let values: Vec<Vec<f32>> = (0..TENSORS as usize).map(floats).collect();
    let raw: Vec<Vec<f32>> = values.iter().map(|values| to_raw_layout(values, &SHAPE).unwrap()).collect();
    let tensors: Vec<(u32, &[f32])> = (0..).zip(raw.iter().rev().map(|values| &values[..])).collect();
    let candidates: Vec<Candidate<'_>> =
        values.iter().map(|values| Candidate { name: "weight", shape: &SHAPE, values }).collect();
    let mut group = criterion.benchmark_group("match");
    group.sample_size(10).throughput(Throughput::Bytes(4 * u64::from(TENSORS) * ELEMENTS as u64));
    group.bench_function("60 tensors of one size", |bencher| {
        bencher.iter(|| match_parameters(&tensors, &candidates).unwrap());
    });
}

criterion_group!(benches, opening, decoding, writing, converting, mapping);
criterion_main!(benches);
