//! Networks with normalised feature maps compute what they did before; integers of their convolutions stand for their parameters.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use nn_graph::{Graph, Op, Params, TensorId, formula_params};
use ptq::{
    Fusion, InputShift, IntegerConv, IntegerConvConfig, MagnitudeHistogram, NormRatios, SaturationMethod,
    WeightConfig, denormalize, has_own_ratio, lower_float, normalize, shift_input,
};
use quant_core::{Accelerator, Executor, Granularity, Rounding, Values};

/// A small detector with all operators, BatchNorm folded.
fn network() -> (Graph, Params) {
    let definition = nn_graph::Definition::builtin("yolov5n").unwrap();
    let graph = Graph::from_definition(&definition).unwrap();
    graph.fold_batch_norm(&formula_params(&graph)).unwrap()
}

/// Ratios that differ from tensor to tensor.
fn ratios(graph: &Graph) -> NormRatios {
    NormRatios::new(graph, |id| Ok(0.01 * (1 + id.index() % 7) as f32)).unwrap()
}

fn outputs(graph: &Graph, params: &Params, image: &[f32]) -> Vec<f32> {
    let program = lower_float(graph, params, Fusion::Fused).unwrap();
    let mut executor = Executor::new(&program, 64, 64).unwrap();
    executor.run(image).unwrap();
    let values = executor.outputs().map(|(_, values)| values);
    values.flat_map(|values| if let Values::F32(v) = values { v.to_vec() } else { panic!() }).collect()
}

fn image() -> Vec<f32> {
    (0..3 * 64 * 64).map(|i| ((i * 37) % 256) as f32 / 255.0).collect()
}

#[test]
fn ratios_are_passed_on_and_joined() {
    let (graph, _) = network();
    let ratios = ratios(&graph);
    let own = |id: TensorId| 0.01 * (1 + id.index() % 7) as f32;
    let mut joined = 0;
    for id in graph.tensors() {
        let node = graph.node(id);
        if has_own_ratio(&node.op) {
            assert_eq!(ratios.uniform(id), Some(own(id)), "{}", node.name);
        } else {
            let parts: Vec<f32> =
                node.inputs.iter().flat_map(|&input| ratios.channels(input).to_vec()).collect();
            assert_eq!(ratios.channels(id), parts, "{}", node.name);
        }
        joined += usize::from(node.op == Op::Concat && ratios.uniform(id).is_none());
    }
    assert!(joined > 5, "concatenations of unequal ratios");
    // As published for YOLOv5n: 57 activations, 7 additions, 3 outputs.
    let counts = (ratios.silu(&graph).len(), ratios.additions(&graph).len(), ratios.outputs(&graph).len());
    assert_eq!(counts, (57, 7, 3));
    assert!(NormRatios::new(&graph, |_| Ok(0.0)).is_err());
}

#[test]
fn a_normalised_network_can_be_undone() {
    let (graph, params) = network();
    let ratios = ratios(&graph);
    let normalized = normalize(&graph, &params, &ratios).unwrap();
    assert_ne!(normalized, params);
    let back = denormalize(&graph, &normalized, &ratios).unwrap();
    let (expected, found) = (outputs(&graph, &params, &image()), outputs(&graph, &back, &image()));
    let largest = expected.iter().fold(0f32, |a, b| a.max(b.abs()));
    for (a, b) in expected.iter().zip(&found) {
        assert!((a - b).abs() <= 1e-4 * largest, "{a} {b}");
    }
}

#[test]
fn a_normalised_convolution_gives_normalised_results() {
    let (graph, params) = network();
    let ratios = ratios(&graph);
    let normalized = normalize(&graph, &params, &ratios).unwrap();
    // The second convolution of a block that reads a concatenation: every weight by hand.
    let id = graph.tensors().find(|&id| graph.node(id).name == "model.2.cv3.conv").unwrap();
    let node = graph.node(id);
    let (inputs, outputs) = (ratios.channels(node.inputs[0]), ratios.channels(id));
    assert!(inputs.iter().any(|ratio| ratio != &inputs[0]));
    let (before, after) = (&params["model.2.cv3.conv.weight"], &normalized["model.2.cv3.conv.weight"]);
    for (k, (w, n)) in before.data().iter().zip(after.data()).enumerate() {
        let (o, i) = (k / inputs.len(), k % inputs.len());
        let expected = f64::from(*w) * f64::from(inputs[i]) / f64::from(outputs[o]);
        assert_eq!(*n, expected as f32, "{o} {i}");
    }
}

#[test]
fn a_moved_image_is_seen_as_before_inside_of_the_borders() {
    let (graph, params) = network();
    let shift = InputShift { scale: 1.0 / 255.0, offset: 128.0 };
    let moved = shift_input(&graph, &params, shift).unwrap();
    let convolution = |params: &Params, image: &[f32]| {
        let program = lower_float(&graph, params, Fusion::EveryTensor).unwrap();
        let mut first = Vec::new();
        let mut executor = Executor::new(&program, 64, 64).unwrap();
        let tap = |id: usize, values: Values<'_>| {
            if let (true, Values::F32(v)) = (program.tensors()[id].name == "model.0.conv", values) {
                first = v.to_vec();
            }
        };
        executor.run_with(image, tap).unwrap();
        first
    };
    let pixels: Vec<f32> = image().iter().map(|v| v * 255.0 - 128.0).collect();
    let (expected, found) = (convolution(&params, &image()), convolution(&moved, &pixels));
    let inside = |k: &usize| (1..31).contains(&(k / 32 % 32)) && (1..31).contains(&(k % 32));
    for k in (0..expected.len()).filter(inside) {
        assert!((expected[k] - found[k]).abs() < 1e-4, "{k}: {} {}", expected[k], found[k]);
    }
}

/// What additions and activations read has one ratio, whatever its channels come from.
#[test]
fn channels_that_are_added_share_a_ratio() {
    let text = "
nc: 2
depth_multiple: 1.0
width_multiple: 1.0
anchors: [[8, 8, 16, 16]]
backbone:
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [8, 3, 1]]
head:
  - [[-1, 0], 1, Concat, [1]]
  - [-1, 1, Bottleneck, [16]]
  - [[3], 1, Detect, [nc, anchors]]
";
    let graph = Graph::from_definition(&nn_graph::Definition::from_yaml("added", text).unwrap()).unwrap();
    let (graph, params) = graph.fold_batch_norm(&formula_params(&graph)).unwrap();
    let ratios = ratios(&graph);
    let count = |wanted: fn(&Op) -> bool| graph.nodes().iter().filter(|node| wanted(&node.op)).count();
    assert_eq!(ratios.additions(&graph).len(), count(|op| *op == Op::Add));
    assert_eq!(ratios.silu(&graph).len(), count(|op| matches!(op, Op::Activation(_))));
    let concat = graph.tensors().find(|&id| graph.node(id).op == Op::Concat).unwrap();
    let own = |id: TensorId| 0.01 * (1 + id.index() % 7) as f32;
    let largest = graph.node(concat).inputs.iter().map(|&id| own(id)).fold(0.0, f32::max);
    assert_eq!(ratios.uniform(concat), Some(largest));
    let normed = normalize(&graph, &params, &ratios).unwrap();
    assert_eq!(normed.len(), params.len());
}

#[test]
fn saturation_points_lie_on_the_grid() {
    let mut histogram = MagnitudeHistogram::new(10.0).unwrap();
    // Many small values and one outlier.
    let values: Vec<f32> = (0..100_000).map(|i| (i as f32 * 0.37).sin()).collect();
    histogram.observe(&values).unwrap();
    histogram.observe(&[-10.0]).unwrap();
    assert_eq!(histogram.saturation(SaturationMethod::Null, 8), 10.0);
    let point = |k: f64| (10.0 / 4096.0 * (4095.0 / 4096.0 * 128.0 * k + 0.5)) as f32;
    let grid: Vec<f32> = (1..=32).map(|k| point(k.into())).collect();
    for method in [SaturationMethod::Kld, SaturationMethod::Ems] {
        let found = histogram.saturation(method, 8);
        assert!(grid.contains(&found) && found < 7.0, "{method:?}: {found}");
        assert_eq!(histogram.saturation(method, 16), *grid.last().unwrap());
    }
    // Published: the widest candidate is the largest magnitude by 4095.5 / 4096.
    assert_eq!(*grid.last().unwrap(), (10.0 * 4095.5 / 4096.0) as f32);
    assert_eq!(MagnitudeHistogram::new(0.0).unwrap().saturation(SaturationMethod::Kld, 8), 0.0);
    assert!(MagnitudeHistogram::new(f32::NAN).is_err());
    assert!(histogram.observe(&[f32::NAN]).is_err());
}

#[test]
fn integers_stand_for_parameters() {
    let weight: Vec<f32> = (0..4 * 90).map(|i| (i as f32 * 0.71).sin() * (1 + i / 90) as f32 * 0.1).collect();
    let bias = [3.0f32, -20.0, 0.5, 90.0];
    let largest = [100.0f32, 127.0, 50.0, 300.0];
    for (bits, granularity) in
        [8, 16].into_iter().flat_map(|b| [(b, Granularity::PerTensor), (b, Granularity::PerChannel)])
    {
        // 16-bit results are 256 times as large.
        let unit = if bits == 16 { 256.0 } else { 1.0 };
        let (bias, largest) = (bias.map(|b| b * unit), largest.map(|l| l * unit));
        let weights = WeightConfig { granularity, ..WeightConfig::default() };
        let config =
            IntegerConvConfig { bits, accelerator: Accelerator::Buyi, weights, rounding: Rounding::HalfAway };
        let conv = IntegerConv::quantize(&weight, &bias, &largest, &config).unwrap();
        for (k, (&w, &q)) in weight.iter().zip(&conv.weight).enumerate() {
            let scale = conv.scales.weights[k / 90].real();
            // Mantissas are rounded, so that the largest weight may be clipped by their half a unit.
            let slack = 0.5 * scale + f64::from(w.abs()) / 256.0;
            assert!((f64::from(q) * scale - f64::from(w)).abs() <= slack, "{bits} {granularity:?}: {w} {q}");
        }
        for ((&b, &q), scale) in bias.iter().zip(&conv.bias).zip(conv.scales.biases()) {
            assert!((q as f64 * scale.real() - f64::from(b)).abs() <= 0.5 * scale.real(), "{bits}: {b} {q}");
        }
    }
}
