//! Every feature map equals that of the f32 program, which shares no arithmetic with Burn.

use crate::{Capture, Distance, formula_image, formula_model, image_tensor, network, to_vec};
use nn_graph::{Checkpoint, Definition, Graph, Op, Params, TensorId};
use ptq::{Fusion, lower_float};
use quant_core::{Executor, Values};
use std::path::Path;

/// Largest accepted `|found - expected| / |expected|`, in l2.
const TOLERANCE: f64 = 1e-5;

/// Every tensor of the folded graph, by its program.
fn program_tensors(
    graph: &Graph,
    params: &Params,
    image: &[f32],
    [height, width]: [usize; 2],
) -> Vec<Vec<f32>> {
    let program = lower_float(graph, params, Fusion::EveryTensor).unwrap();
    let mut executor = Executor::new(&program, height, width).unwrap();
    let mut tensors = vec![Vec::new(); executor.shapes().len()];
    let tap = |tensor: usize, values: Values<'_>| match values {
        Values::F32(values) => tensors[tensor] = values.to_vec(),
        other => panic!("{} integers in a float program", other.len()),
    };
    executor.run_with(image, tap).unwrap();
    tensors
}

/// The tensors of `graph` that its folded form has too, in order: a convolution before a BatchNorm is gone, the BatchNorm stands for both.
fn surviving(graph: &Graph) -> Vec<TensorId> {
    let consumers = graph.consumers();
    let normalised = |id: &TensorId| {
        consumers[id.index()].iter().any(|reader| matches!(graph.node(*reader).op, Op::BatchNorm { .. }))
    };
    graph.tensors().filter(|id| !normalised(id)).collect()
}

/// Compares all tensors of the network of `graph` with `expected`; returns the largest distances, of all and of the outputs.
fn compare(
    graph: &Graph,
    params: &Params,
    expected: &[Vec<f32>],
    image: &[f32],
    size: [usize; 2],
) -> [Distance; 2] {
    let mut capture = Capture::default();
    network(graph, params).forward_with(image_tensor(image, size), &mut capture).unwrap();
    let ids = surviving(graph);
    assert_eq!(ids.len(), expected.len());
    let (mut all, mut outputs, mut faults) = (Distance::default(), Distance::default(), Vec::new());
    for (id, expected) in ids.into_iter().zip(expected) {
        let found = to_vec(capture.0.remove(&id).unwrap());
        let distance = Distance::between(&found, expected);
        if distance.relative.is_nan() || distance.relative > TOLERANCE {
            faults.push(format!("{}: {distance:?}", graph.node(id).name));
        }
        all = all.worse(distance);
        outputs = if graph.outputs().contains(&id) { outputs.worse(distance) } else { outputs };
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    [all, outputs]
}

fn compare_both(name: &str, graph: &Graph, params: &Params, size: [usize; 2]) {
    let (folded, folded_params) = graph.fold_batch_norm(params).unwrap();
    let image = formula_image(size);
    let expected = program_tensors(&folded, &folded_params, &image, size);
    let [all, heads] = compare(&folded, &folded_params, &expected, &image, size);
    println!("{name} folded: all tensors {all:?}, heads {heads:?}");
    let [all, heads] = compare(graph, params, &expected, &image, size);
    println!("{name} unfolded: all tensors {all:?}, heads {heads:?}");
}

#[test]
fn formula_weights() {
    for name in ["yolov5n", "yolov5s"] {
        let (graph, params) = formula_model(name);
        compare_both(name, &graph, &params, [64, 96]);
    }
}

/// What the built-in models lack: Focus, depthwise convolution, SPP's three windows, upsampling by 4, other activations.
#[test]
fn other_modules() {
    for activation in ["nn.ReLU()", "nn.ReLU6()", "nn.LeakyReLU(0.1)", "nn.Hardswish()"] {
        let text = format!(
            "{{nc: 3, depth_multiple: 1.0, width_multiple: 1.0, activation: '{activation}',
              anchors: [[10,13, 16,30], [30,61, 62,45]],
              backbone: [[-1, 1, Focus, [16, 3]], [-1, 1, DWConv, [32, 3, 2]], [-1, 1, Conv, [32, 3, 2]], [-1, 1, SPP, [32, [5, 9, 13]]]],
              head: [[-1, 1, nn.Upsample, [None, 4, 'nearest']], [[-1, 0], 1, Concat, [1]], [-1, 1, C3, [16, False]],
                     [[6, 3], 1, Detect, [nc, anchors]]]}}"
        );
        let graph = Graph::from_definition(&Definition::from_yaml("other", &text).unwrap()).unwrap();
        let params = nn_graph::formula_params(&graph);
        compare_both(activation, &graph, &params, [32, 48]);
    }
}

#[test]
fn trained_weights() {
    let Some(assets) = std::env::var_os("YOLO_ASSETS") else {
        println!("skipped: YOLO_ASSETS is not set");
        return;
    };
    let checkpoint = Checkpoint::open(&Path::new(&assets).join("weights/yolov5n.pt")).unwrap();
    let definition = Definition::from_value("yolov5n", &checkpoint.definition.unwrap()).unwrap();
    let graph = Graph::from_definition(&definition).unwrap();
    compare_both("trained yolov5n", &graph, &checkpoint.params, [640, 640]);
}
