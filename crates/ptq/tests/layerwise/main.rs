//! Methods that look at layers: reconstruction, bias correction, equalisation, and the choice of methods by output error.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod choice;
mod data_free;
mod reconstruction;

use nn_graph::{Definition, Graph, Op, Params, formula_params, formula_uniform};
use ptq::{Collection, Error, Fusion, Method, Placement, PlacementOptions, QuantConfig, lower_float};
use quant_core::{Executor, Program, Scheme};

const SIZE: usize = 64;

/// A small detector with BatchNorm, its parameters, and both with BatchNorm folded.
struct Model {
    graph: Graph,
    params: Params,
    folded: Graph,
    folded_params: Params,
}

fn model(activation: &str) -> Model {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/demo/model.yaml");
    let yaml = std::fs::read_to_string(root).unwrap();
    let mut definition = Definition::from_yaml("small", &yaml).unwrap();
    definition.activation = activation.to_owned();
    let graph = Graph::from_definition(&definition).unwrap();
    let params = formula_params(&graph);
    let (folded, folded_params) = graph.fold_batch_norm(&params).unwrap();
    Model { graph, params, folded, folded_params }
}

/// Smooth pictures of differing brightness, so that neighbouring inputs are correlated as those of photographs are.
fn image(seed: u64) -> Vec<f32> {
    let u = |i: u64| formula_uniform("image", seed * 100 + i) as f32;
    let (fx, fy, level) = (4.0 + 12.0 * u(0), 4.0 + 12.0 * u(1), u(2));
    let pixel = |c: usize, y: usize, x: usize| {
        let wave = (x as f32 / fx + c as f32).sin() * (y as f32 / fy).cos();
        (0.5 * level + 0.25 + 0.3 * wave).clamp(0.0, 1.0)
    };
    let rows = (0..3).flat_map(|c| (0..SIZE).map(move |y| (c, y)));
    rows.flat_map(|(c, y)| (0..SIZE).map(move |x| (c, y, x))).map(|(c, y, x)| pixel(c, y, x)).collect()
}

fn images(count: u64) -> impl Iterator<Item = Result<Vec<f32>, Error>> {
    (1..=count).map(|seed| Ok(image(seed)))
}

fn collect(graph: &Graph, params: &Params, placement: &Placement) -> Collection {
    let program = lower_float(graph, params, Fusion::EveryTensor).unwrap();
    let mut executor = Executor::new(&program, SIZE, SIZE).unwrap();
    let mut collection = Collection::new(graph, &[placement]);
    (1..=4).for_each(|seed| collection.observe(&program, &mut executor, &image(seed)).unwrap());
    collection
}

fn config(graph: &Graph, params: &Params, options: PlacementOptions) -> QuantConfig {
    let placement = Placement::new(graph, options);
    let collection = collect(graph, params, &placement);
    QuantConfig::calibrate(graph, &placement, &collection, Method::MinMax, Scheme::Affine).unwrap()
}

fn outputs(program: &Program, input: &[f32]) -> Vec<f32> {
    let mut executor = Executor::new(program, SIZE, SIZE).unwrap();
    executor.run(input).unwrap();
    executor.outputs().flat_map(|(id, values)| values.to_f32(program.tensors()[id].format)).collect()
}

/// `|a - b| / |b|` over the outputs for images that no method has seen.
fn error(program: &Program, float: &Program) -> f64 {
    let square = |v: f32| f64::from(v) * f64::from(v);
    let (mut difference, mut signal) = (0.0, 0.0);
    for seed in 91..95 {
        let (a, b) = (outputs(program, &image(seed)), outputs(float, &image(seed)));
        difference += a.iter().zip(&b).map(|(a, b)| square(a - b)).sum::<f64>();
        signal += b.iter().map(|&b| square(b)).sum::<f64>();
    }
    (difference / signal).sqrt()
}

fn convolutions(graph: &Graph) -> Vec<&str> {
    graph.nodes().iter().filter(|n| matches!(n.op, Op::Conv(_))).map(|n| n.name.as_str()).collect()
}
