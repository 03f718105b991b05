//! Measurements: `cargo test --release --test times -- --ignored --nocapture`.

mod common;

use std::time::{Duration, Instant};

use common::Random;
use yolo_model::{
    Detection, Head, HeadLevel, HeadValues, ImageSize, NmsParams, candidates, decode_all, letterbox, nms,
};

/// Median of 21 runs.
fn median<T>(mut run: impl FnMut() -> T) -> Duration {
    let time = |_| {
        let start = Instant::now();
        std::hint::black_box(run());
        start.elapsed()
    };
    let mut times: Vec<_> = (0..21).map(time).collect();
    times.sort_unstable();
    times[10]
}

#[test]
#[ignore = "a measurement"]
fn nms_of_30000_candidates() {
    for (classes, spread) in [(80, 640.0), (80, 60.0), (1, 640.0), (1, 60.0), (1, 9.0)] {
        let mut random = Random(1);
        let candidate = |_| {
            let [x, y] = [random.real(0.0, spread), random.real(0.0, spread)];
            let bbox = [x, y, x + random.real(8.0, 90.0), y + random.real(8.0, 90.0)];
            Detection { bbox, score: random.real(0.001, 1.0), class: random.below(classes) }
        };
        let candidates: Vec<_> = (0..30_000).map(candidate).collect();
        let params = NmsParams::default();
        let kept = nms(&candidates, &params).unwrap().len();
        let time = median(|| nms(&candidates, &params));
        println!("{classes} classes over {spread} pixels: {time:?}, {kept} kept");
    }
}

#[test]
#[ignore = "a measurement"]
fn decoding_at_640() {
    let anchors = vec![vec![[10.0, 13.0], [16.0, 30.0], [33.0, 23.0]]; 3];
    let head = Head { class_count: 80, anchors, strides: vec![8, 16, 32] };
    let mut random = Random(1);
    let sizes = head.level_sizes(ImageSize::new(640, 640)).unwrap();
    let mut logits = |size: &ImageSize| -> Vec<f32> {
        (0..255 * size.height * size.width).map(|_| random.real(-14.0, -5.0)).collect()
    };
    let tensors: Vec<_> = sizes.iter().map(&mut logits).collect();
    let level = |(values, size): (&'static [f32], &ImageSize)| HeadLevel {
        values: HeadValues::F32(values),
        rows: size.height,
        columns: size.width,
    };
    let leaked = tensors.into_iter().map(|values| &*Vec::leak(values));
    let levels: Vec<_> = leaked.zip(&sizes).map(level).collect();
    println!("decode_all: {:?}", median(|| decode_all(&head, &levels)));
    println!("candidates above 0.001: {:?}", median(|| candidates(&head, &levels, 0.001)));
}

#[test]
#[ignore = "a measurement"]
fn letterbox_to_640() {
    for (height, width) in [(427, 640), (480, 500), (1080, 1920)] {
        let pixels = vec![77; height * width * 3];
        let run = || letterbox(&pixels, ImageSize::new(height, width), ImageSize::new(640, 640));
        println!("letterbox {height} x {width}: {:?}", median(run));
    }
}
