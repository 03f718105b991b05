//! Single convolutions in integers among tensors in f32, and runs of lowered programs that begin in the middle.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use nn_graph::{Checkpoint, Definition, Graph, Op, Params, formula_params, formula_uniform};
use ptq::{
    Collection, Error, Fusion, Method, Placement, PlacementOptions, QuantConfig, lower_float, lower_integer,
};
use quant_core::{Executor, Program, Recording, Remainder, Rounding, Scheme, Values};
use std::collections::BTreeSet;

const SIZE: usize = 64;

fn image(seed: u64) -> Vec<f32> {
    (0..3 * SIZE * SIZE).map(|i| formula_uniform("island", seed * 1_000_000 + i as u64) as f32).collect()
}

fn yolov5n() -> (Graph, Params) {
    let graph = Graph::from_definition(&Definition::builtin("yolov5n").unwrap()).unwrap();
    graph.fold_batch_norm(&formula_params(&graph)).unwrap()
}

fn demo() -> (Graph, Params) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/demo");
    let yaml = std::fs::read_to_string(format!("{folder}/model.yaml")).unwrap();
    let graph = Graph::from_definition(&Definition::from_yaml("demo", &yaml).unwrap()).unwrap();
    let checkpoint = Checkpoint::open(format!("{folder}/model.safetensors").as_ref()).unwrap();
    graph.fold_batch_norm(&checkpoint.params).unwrap()
}

fn calibrated(graph: &Graph, params: &Params) -> QuantConfig {
    let placement = Placement::new(graph, PlacementOptions::default());
    let program = lower_float(graph, params, Fusion::EveryTensor).unwrap();
    let mut executor = Executor::new(&program, SIZE, SIZE).unwrap();
    let mut collection = Collection::new(graph, &[&placement]);
    (0..3).for_each(|seed| collection.observe(&program, &mut executor, &image(seed)).unwrap());
    QuantConfig::calibrate(graph, &placement, &collection, Method::Mse, Scheme::Affine).unwrap()
}

fn names(graph: &Graph, pick: impl Fn(&Op) -> bool) -> BTreeSet<String> {
    graph.nodes().iter().filter(|n| pick(&n.op)).map(|n| n.name.clone()).collect()
}

fn recorded(program: &Program, input: &[f32]) -> Recording {
    let mut recording = Recording::default();
    Executor::new(program, SIZE, SIZE).unwrap().record(input, &mut recording).unwrap();
    recording
}

fn tensor(program: &Program, name: &str) -> usize {
    program.tensors().iter().position(|t| t.name == name).unwrap_or_else(|| panic!("no tensor {name}"))
}

fn floats(program: &Program, recording: &Recording, name: &str) -> Vec<f32> {
    let tensor = tensor(program, name);
    recording.get(tensor).unwrap().to_f32(program.tensors()[tensor].format)
}

#[test]
fn with_everything_in_f32_the_program_is_the_float_one() {
    for (graph, params) in [yolov5n(), demo()] {
        let mut config = calibrated(&graph, &params);
        config.float = names(&graph, |op| matches!(op, Op::Conv(_)));
        config.float_tensors = names(&graph, |_| true);
        let program = lower_integer(&graph, &params, &config).unwrap();
        assert_eq!(program, lower_float(&graph, &params, Fusion::Fused).unwrap(), "{}", graph.name());
    }
}

#[test]
fn an_island_is_the_integer_convolution_of_its_quantised_input() {
    let (graph, params) = demo();
    let mut config = calibrated(&graph, &params);
    let integer = lower_integer(&graph, &params, &config).unwrap();
    let convolutions = names(&graph, |op| matches!(op, Op::Conv(_)));
    config.float_tensors = names(&graph, |_| true);
    let mut wrong = Vec::new();
    for name in &convolutions {
        config.float = convolutions.iter().filter(|other| *other != name).cloned().collect();
        let program = lower_integer(&graph, &params, &config).unwrap();
        let run = recorded(&program, &image(7));
        let step = integer.steps().iter().find(|step| step.name == *name).unwrap();
        let island = program.steps().iter().find(|step| step.name == *name).unwrap();
        let (input, output) = (&integer.tensors()[step.inputs[0]], &integer.tensors()[step.output]);
        let q = |x: &f32| {
            let (params, (low, high)) = (input.format.params().unwrap(), input.format.range().unwrap());
            // The step divides in f32.
            (f64::from(x / params.scale).round_ties_even() as i32 + params.zero_point).clamp(low, high) as i8
        };
        let expected_input: Vec<i8> = floats(&program, &run, &input.name).iter().map(q).collect();
        if run.get(island.inputs[0]) != Some(Values::I8(&expected_input)) {
            wrong.push(format!("{name}: quantised input"));
        }
        // The same step of the integer program, given that input.
        let made = convolve(&integer, name, &run, island.inputs[0]);
        if made != floats(&program, &run, &output.name) {
            wrong.push(format!("{name}: dequantised output"));
        }
        let others = program.steps().iter().filter(|s| s.name != *name);
        assert!(
            others.filter(|s| program.tensors()[s.output].format.params().is_some()).count() == 1,
            "{name}"
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What the convolution `name` of `program` makes of recorded 8-bit values, dequantised: one value at a time, by the definition.
fn convolve(program: &Program, name: &str, run: &Recording, input: usize) -> Vec<f32> {
    use quant_core::{Constant, StepOp, shift_right};
    let step = program.steps().iter().find(|step| step.name == name).unwrap();
    let StepOp::ConvI8 { geometry: g, weight, bias, multipliers, rounding, activation, .. } = &step.op else {
        panic!("{name} is not an integer convolution")
    };
    let Some(Values::I8(x)) = run.get(input) else { panic!("not 8-bit") };
    let constants = program.constants();
    let (Constant::I8(w), Constant::I32(b), Constant::I32(m)) =
        (&constants[weight], &constants[bias], &constants[multipliers])
    else {
        panic!("constants of {name}")
    };
    let zero = program.tensors()[step.inputs[0]].format.params().unwrap().zero_point;
    let output = program.tensors()[step.output].format;
    let side = ((x.len() / g.in_channels) as f64).sqrt() as usize;
    let [height, width] = g.output_size([side; 2]).unwrap();
    let argument = activation.map_or(output, |(_, argument)| argument);
    let mut made = Vec::new();
    for c in 0..g.out_channels {
        for (y, x0) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let mut sum = i64::from(b[c]);
            for (i, ky, kx) in (0..g.in_channels).flat_map(|i| {
                (0..g.kernel[0]).flat_map(move |ky| (0..g.kernel[1]).map(move |kx| (i, ky, kx)))
            }) {
                let (Some(row), Some(column)) = (
                    (y * g.stride[0] + ky).checked_sub(g.padding[0]),
                    (x0 * g.stride[1] + kx).checked_sub(g.padding[1]),
                ) else {
                    continue;
                };
                if row < side && column < side {
                    let w = w[c * g.depth() + (i * g.kernel[0] + ky) * g.kernel[1] + kx];
                    sum += i64::from(w) * i64::from(i32::from(x[(i * side + row) * side + column]) - zero);
                }
            }
            let scaled = shift_right(sum * i64::from(m[2 * c]), m[2 * c + 1] as u32, *rounding);
            let (params, (low, high)) = (argument.params().unwrap(), argument.range().unwrap());
            let q = (scaled + i64::from(params.zero_point)).clamp(low.into(), high.into()) as i32;
            let real = activation.map_or_else(
                || params.dequantize(q),
                |(function, _)| {
                    let x = f64::from(q - params.zero_point) * f64::from(params.scale);
                    let (to, (low, high)) = (output.params().unwrap(), output.range().unwrap());
                    to.dequantize(to.quantize(function.eval(x), low, high, Rounding::HalfEven))
                },
            );
            made.push(real);
        }
    }
    assert_eq!(g.groups, 1);
    made
}

#[test]
fn a_convolution_between_f32_and_integers_needs_one_more_step() {
    let (graph, params) = demo();
    let mut config = calibrated(&graph, &params);
    let steps = |config: &QuantConfig| -> Vec<String> {
        lower_integer(&graph, &params, config).unwrap().steps().iter().map(|s| s.name.clone()).collect()
    };
    let plain = steps(&config);
    // The image in f32: the first convolution quantises it.
    config.float_tensors = ["input".to_owned()].into();
    let mut expected = plain.clone();
    expected[0] = "model.0.conv.quantize_input".into();
    assert_eq!(steps(&config), expected);
    // The first convolution in f32 as well: only its result is quantised.
    config.float = ["model.0.conv".to_owned()].into();
    expected.remove(0);
    expected.insert(1, "model.0.conv.quantize".into());
    assert_eq!(steps(&config), expected);
    // And its result in f32: the next one quantises it.
    config.float_tensors.insert("model.0.act".into());
    expected[1] = "model.1.conv.quantize_input".into();
    assert_eq!(steps(&config), expected);
}

#[test]
fn only_convolutions_pass_from_f32_to_integers() {
    let (graph, params) = demo();
    let config = calibrated(&graph, &params);
    let rows = [
        ("model.2.cv2.act", "model.2.cat", "model.2.cat"),
        ("model.2.m.0.cv2.act", "model.2.m.0.add", "model.2.m.0.add"),
        ("model.9", "model.9", "upsample"),
    ];
    let mut missed = Vec::new();
    for (float, node, says) in rows {
        let config = QuantConfig { float_tensors: [float.to_owned()].into(), ..config.clone() };
        match lower_integer(&graph, &params, &config) {
            Err(error @ Error::MixedTensors { .. })
                if error.to_string().contains(says) && error.to_string().contains(node) => {}
            other => missed.push((float, other.map(|_| ()).map_err(|e| e.to_string()))),
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn configurations_without_float_tensors_can_still_be_read() {
    let (graph, params) = demo();
    let config = calibrated(&graph, &params);
    let mut json = serde_json::to_value(&config).unwrap();
    json.as_object_mut().unwrap().remove("float_tensors").unwrap();
    assert_eq!(serde_json::from_value::<QuantConfig>(json).unwrap(), config);
}

#[test]
fn a_suffix_from_any_step_equals_the_whole_run() {
    for (graph, params) in [yolov5n(), demo()] {
        let integer = lower_integer(&graph, &params, &calibrated(&graph, &params)).unwrap();
        for program in [integer, lower_float(&graph, &params, Fusion::EveryTensor).unwrap()] {
            let input = image(11);
            let recording = recorded(&program, &input);
            let mut executor = Executor::new(&program, SIZE, SIZE).unwrap();
            let mut wrong = Vec::new();
            for first in 0..=program.steps().len() {
                executor.run(&image(12)).unwrap();
                executor.resume(&Remainder::suffix(&program, first), &recording).unwrap();
                if !executor.outputs().all(|(id, values)| recording.get(id) == Some(values)) {
                    wrong.push(first);
                }
            }
            assert!(wrong.is_empty(), "{}: from steps {wrong:?}", graph.name());
        }
    }
}
