//! Measurements: `RAYON_NUM_THREADS=1 cargo test --release --features burn --test burn_network -- --ignored --nocapture times`.

use crate::{folded_yolov5n, formula_image, image_tensor, network};
use std::time::{Duration, Instant};

#[test]
#[ignore = "a measurement"]
fn forward_pass_of_yolov5n() {
    let (graph, params) = folded_yolov5n();
    let network = network(&graph, &params);
    let size = [640, 640];
    let image = image_tensor(&formula_image(size), size);
    let time = |_| {
        let start = Instant::now();
        std::hint::black_box(network.forward(image.clone()).unwrap());
        start.elapsed()
    };
    let mut times: Vec<Duration> = (0..21).map(time).collect();
    times.sort_unstable();
    println!("640 x 640: median {:?}, fastest {:?}", times[10], times[0]);
}
