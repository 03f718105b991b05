//! The Burn module against the f32 programs of `ptq` and `quant-core`, and against recorded reference passes.
#![cfg(feature = "burn")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod backends;
mod golden;
#[cfg(feature = "burn-autodiff")]
mod gradients;
mod hooks;
mod module;
mod oracle;
mod times;

use burn::tensor::{Device, Tensor, TensorData};
use nn_graph::{Definition, Graph, Node, Params, TensorId, formula_params, formula_uniform};
use std::collections::BTreeMap;
use yolo_model::{Hook, Network};

/// A built-in graph and parameters made by formula.
fn formula_model(name: &str) -> (Graph, Params) {
    let graph = Graph::from_definition(&Definition::builtin(name).unwrap()).unwrap();
    let params = formula_params(&graph);
    (graph, params)
}

/// yolov5n with folded BatchNorm.
fn folded_yolov5n() -> (Graph, Params) {
    let (graph, params) = formula_model("yolov5n");
    graph.fold_batch_norm(&params).unwrap()
}

fn network(graph: &Graph, params: &Params) -> Network {
    Network::new(graph, params, &Device::flex()).unwrap()
}

/// The image that the recorded passes used: values by formula, of the name `input`.
fn formula_image([height, width]: [usize; 2]) -> Vec<f32> {
    (0..3 * height * width).map(|i| formula_uniform("input", i as u64) as f32).collect()
}

fn image_tensor(image: &[f32], [height, width]: [usize; 2]) -> Tensor<4> {
    Tensor::from_data(TensorData::new(image.to_vec(), [1, 3, height, width]), &Device::flex())
}

fn to_vec(tensor: Tensor<4>) -> Vec<f32> {
    tensor.try_into_vec_as().unwrap()
}

/// Keeps every feature map.
#[derive(Default)]
struct Capture(BTreeMap<TensorId, Tensor<4>>);

impl Hook for Capture {
    fn feature_map(&mut self, id: TensorId, _: &Node, value: Tensor<4>) -> Tensor<4> {
        self.0.insert(id, value.clone());
        value
    }
}

/// How far `found` is from `expected`.
#[derive(Debug, Default, Clone, Copy)]
struct Distance {
    /// Largest absolute difference.
    max: f64,
    /// l2 norm of the difference over that of `expected`.
    relative: f64,
}

impl Distance {
    fn between(found: &[f32], expected: &[f32]) -> Self {
        assert_eq!(found.len(), expected.len());
        let pairs = || found.iter().zip(expected).map(|(f, e)| (f64::from(*f), f64::from(*e)));
        let difference: f64 = pairs().map(|(f, e)| (f - e).powi(2)).sum();
        let norm: f64 = pairs().map(|(_, e)| e * e).sum();
        let max = pairs().map(|(f, e)| (f - e).abs()).fold(0.0, f64::max);
        Self { max, relative: (difference / norm).sqrt() }
    }

    fn worse(self, other: Self) -> Self {
        Self { max: self.max.max(other.max), relative: self.relative.max(other.relative) }
    }
}
