//! Reference forward passes with formula-made weights: every layer of every graph in `$QUANT_GOLDENS/graph` and in `fixtures/graph`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use nn_graph::{Definition, Graph, formula_params, formula_uniform};
use ptq::{Fusion, lower_float};
use quant_core::{Executor, Values};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Architectures whose modules are not expanded yet.
const NOT_YET: [&str; 6] =
    ["yolov5_convnexts", "yolov5s_slim", "yolov7", "yolov7-tiny", "yolov7-tiny-training", "yolov7-training"];

/// A reference tensor as the goldens describe it: shape, sum, l2 norm, first and last values.
struct Reference<'a>(&'a Value);

impl Reference<'_> {
    fn numbers(&self, key: &str) -> Vec<f64> {
        self.0[key].as_array().map(|a| a.iter().map(|v| v.as_f64().unwrap()).collect()).unwrap_or_default()
    }

    /// What differs by more than 1e-4: the l2 norm and the sum relative to the norm, the first and last values relative to the root
    /// mean square. (The references hold no more than these, so the l2 norm of the difference is not to be had.)
    fn mismatch(&self, shape: &[usize], values: &[f32]) -> Option<String> {
        let want: Vec<usize> = self.numbers("shape").iter().map(|&d| d as usize).skip(1).collect();
        if want != shape {
            return Some(format!("shape {shape:?}, not {want:?}"));
        }
        let wide: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
        let l2 = wide.iter().map(|v| v * v).sum::<f64>().sqrt();
        let (want_l2, want_sum) = (self.0["l2"].as_f64().unwrap(), self.0["sum"].as_f64().unwrap());
        let spread = want_l2 / (wide.len() as f64).sqrt();
        let sum: f64 = wide.iter().sum();
        let (first, last) = (self.numbers("first"), self.numbers("last"));
        let head = wide.iter().zip(&first).map(|(a, b)| (a - b).abs());
        let tail = wide.iter().rev().zip(last.iter().rev()).map(|(a, b)| (a - b).abs());
        let worst = head.chain(tail).fold(0.0, f64::max);
        let bad = (l2 / want_l2 - 1.0).abs() > 1e-4
            || (sum - want_sum).abs() > 1e-4 * want_l2 * (wide.len() as f64).sqrt()
            || worst > 1e-4 * spread;
        bad.then(|| format!("l2 {l2} for {want_l2}, sum {sum} for {want_sum}, worst value off by {worst}"))
    }
}

/// Compares one file; returns what differs.
fn check(golden: &Value) -> Vec<String> {
    let name = golden["model"].as_str().unwrap();
    let graph = Graph::from_definition(&Definition::builtin(name).unwrap()).unwrap();
    let mut faults = Vec::new();
    if graph.parameter_count() as u64 != golden["parameters"].as_u64().unwrap() {
        faults.push(format!("{} parameters", graph.parameter_count()));
    }
    let tensors: Vec<(String, Vec<usize>)> = serde_json::from_value(golden["tensors"].clone()).unwrap();
    let mut ours: Vec<_> = graph.parameters().into_iter().map(|p| (p.name, p.shape)).collect();
    let mut theirs = tensors;
    ours.sort();
    theirs.sort();
    if ours != theirs {
        faults.push("names or shapes of parameters differ".to_owned());
    }
    let params = formula_params(&graph);
    let (folded, params) = graph.fold_batch_norm(&params).unwrap();
    let input: Vec<usize> = serde_json::from_value(golden["input"].clone()).unwrap();
    let image: Vec<f32> =
        (0..3 * input[2] * input[3]).map(|i| formula_uniform("input", i as u64) as f32).collect();
    let program = lower_float(&folded, &params, Fusion::EveryTensor).unwrap();
    let mut executor = Executor::new(&program, input[2], input[3]).unwrap();
    let shapes = executor.shapes().to_vec();
    let mut values = vec![Vec::new(); shapes.len()];
    executor
        .run_with(&image, |tensor, v| {
            if let Values::F32(v) = v {
                values[tensor] = v.to_vec();
            }
        })
        .unwrap();
    // Without fusion the program's tensors are the graph's, in order.
    let layers = golden["layers"].as_array().unwrap().iter();
    let outputs = folded.layers().iter().map(|l| l.outputs[0].index());
    let heads = golden["heads"].as_array().unwrap().iter();
    let head_outputs = folded.outputs().iter().map(|id| id.index());
    for (reference, tensor) in layers.zip(outputs).chain(heads.zip(head_outputs)) {
        if let Some(fault) = Reference(reference).mismatch(&shapes[tensor], &values[tensor]) {
            faults.push(format!("{}: {fault}", program.tensors()[tensor].name));
        }
    }
    let decoded = decode(&folded, &shapes, &values);
    if let Some(fault) = Reference(&golden["decoded"]).mismatch(&golden_shape(golden), &decoded) {
        faults.push(format!("decoded: {fault}"));
    }
    let first: Vec<f64> = serde_json::from_value(golden["decoded"]["first_row"].clone()).unwrap();
    for (ours, want) in decoded.iter().zip(first) {
        if (f64::from(*ours) - want).abs() > 1e-4 * want.abs().max(1.0) {
            faults.push(format!("decoded first row: {ours} for {want}"));
        }
    }
    faults
}

fn golden_shape(golden: &Value) -> Vec<usize> {
    let shape: Vec<usize> = serde_json::from_value(golden["decoded"]["shape"].clone()).unwrap();
    shape[1..].to_vec()
}

fn decode(graph: &Graph, shapes: &[[usize; 3]], values: &[Vec<f32>]) -> Vec<f32> {
    let head = graph.head().unwrap();
    let head = yolo_model::Head {
        class_count: head.classes,
        anchors: head.anchors.clone(),
        strides: head.strides.clone(),
    };
    let levels: Vec<_> = graph
        .outputs()
        .iter()
        .map(|id| {
            let [_, height, width] = shapes[id.index()];
            yolo_model::HeadLevel {
                rows: height,
                columns: width,
                values: yolo_model::HeadValues::F32(&values[id.index()]),
            }
        })
        .collect();
    yolo_model::decode_all(&head, &levels).unwrap()
}

fn golden_files() -> Vec<PathBuf> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/graph");
    let shared = std::env::var_os("QUANT_GOLDENS").map(|dir| Path::new(&dir).join("graph"));
    if shared.is_none() {
        println!("QUANT_GOLDENS is not set: only the graphs in fixtures/graph are compared");
    }
    let folders = shared.into_iter().chain([fixtures]);
    let files = folders.flat_map(|dir| std::fs::read_dir(dir).unwrap()).map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == "json")).collect()
}

#[test]
fn graph_golden() {
    let mut failures = Vec::new();
    let mut compared = 0;
    for path in golden_files() {
        let golden: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let name = golden["model"].as_str().unwrap();
        if NOT_YET.contains(&name) {
            println!("{name}: not expanded yet");
            assert!(Definition::builtin(name).is_none(), "{name} is built in now: take it off the list");
            continue;
        }
        compared += 1;
        failures.extend(check(&golden).into_iter().map(|fault| format!("{name}: {fault}")));
    }
    assert!(compared > 0, "no graph was compared");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
