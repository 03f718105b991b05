//! Placement, and lowering to integers: ties, widths, islands of float, and closeness to the float program.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use nn_graph::{Definition, Graph, Op, Params, formula_params, formula_uniform};
use ptq::{
    Collection, ConcatPolicy, Error, Fusion, Method, Placement, PlacementOptions, QuantConfig, Rule,
    ScaleGrid, WeightConfig, Width, lower_float, lower_integer,
};
use quant_core::{Executor, Format, Scheme, StepOp};

const SIZE: usize = 64;

fn model() -> (Graph, Params) {
    let graph = Graph::from_definition(&Definition::builtin("yolov5n").unwrap()).unwrap();
    let params = formula_params(&graph);
    graph.fold_batch_norm(&params).unwrap()
}

fn image(seed: u64) -> Vec<f32> {
    (0..3 * SIZE * SIZE).map(|i| formula_uniform("image", seed * 1_000_000 + i as u64) as f32).collect()
}

fn options(preactivation: Width, concat: ConcatPolicy) -> PlacementOptions {
    PlacementOptions { preactivation, concat, ..PlacementOptions::default() }
}

fn collect(graph: &Graph, params: &Params, placement: &Placement, seeds: &[u64]) -> Collection {
    let program = lower_float(graph, params, Fusion::EveryTensor).unwrap();
    let mut executor = Executor::new(&program, SIZE, SIZE).unwrap();
    let mut collection = Collection::new(graph, &[placement]);
    seeds.iter().for_each(|&seed| collection.observe(&program, &mut executor, &image(seed)).unwrap());
    collection
}

fn heads(program: &quant_core::Program, input: &[f32]) -> Vec<f32> {
    let mut executor = Executor::new(program, SIZE, SIZE).unwrap();
    executor.run(input).unwrap();
    executor.outputs().flat_map(|(id, values)| values.to_f32(program.tensors()[id].format)).collect()
}

fn relative_error(a: &[f32], b: &[f32]) -> f64 {
    let square = |v: f32| f64::from(v) * f64::from(v);
    let difference: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    (difference / b.iter().map(|&b| square(b)).sum::<f64>()).sqrt()
}

#[test]
fn fused_and_unfused_float_programs_agree_to_the_bit() {
    let (graph, params) = model();
    let fused = lower_float(&graph, &params, Fusion::Fused).unwrap();
    let unfused = lower_float(&graph, &params, Fusion::EveryTensor).unwrap();
    assert!(fused.steps().len() < unfused.steps().len());
    assert_eq!(heads(&fused, &image(1)), heads(&unfused, &image(1)));
}

#[test]
fn integer_programs_are_close_to_float_for_every_policy_and_width() {
    let (graph, params) = model();
    let float = heads(&lower_float(&graph, &params, Fusion::Fused).unwrap(), &image(9));
    let mut report = Vec::new();
    for width in [Width::Bits16, Width::Bits8] {
        for concat in [ConcatPolicy::Tie, ConcatPolicy::TieExclusive, ConcatPolicy::Rescale] {
            let placement = Placement::new(&graph, options(width, concat));
            let collection = collect(&graph, &params, &placement, &[1, 2]);
            for scheme in [Scheme::Symmetric, Scheme::Affine] {
                let config =
                    QuantConfig::calibrate(&graph, &placement, &collection, Method::Mse, scheme).unwrap();
                let program = lower_integer(&graph, &params, &config).unwrap();
                report.push((relative_error(&heads(&program, &image(9)), &float), width, concat, scheme));
            }
        }
    }
    let worst = report.iter().map(|r| r.0).fold(0.0, f64::max);
    assert!(worst < 0.12, "{report:#?}");
}

#[test]
fn ties_are_transitive_and_pool_only_what_is_computed() {
    let (graph, _) = model();
    let placement = Placement::new(&graph, options(Width::Bits16, ConcatPolicy::Tie));
    let find = |name: &str| {
        graph.tensors().find(|&id| graph.node(id).name == name).unwrap_or_else(|| panic!("{name}"))
    };
    // SPPF: its first convolution, three pools and the concatenation.
    let sppf = placement.group(find("model.9.cat"));
    let names: Vec<&str> = sppf.members.iter().map(|&id| graph.node(id).name.as_str()).collect();
    assert_eq!(names, ["model.9.cv1.act", "model.9.m.0", "model.9.m.1", "model.9.m.2", "model.9.cat"]);
    assert_eq!(sppf.sources, [find("model.9.cv1.act")]);
    // Upsampling ties layer 10 to the concatenation at 12, which ties layer 6; layer 22 ties 10 again.
    let neck = placement.group(find("model.12"));
    for name in ["model.10.act", "model.11", "model.6.cv3.act", "model.22", "model.21.act"] {
        assert!(neck.members.contains(&find(name)), "{name}");
    }
    for (index, group) in placement.groups().iter().enumerate() {
        assert!(!group.sources.is_empty(), "group {index} has data");
    }
}

#[test]
fn exclusive_ties_leave_shared_branches_their_own_quantiser() {
    let (graph, _) = model();
    let placement = Placement::new(&graph, options(Width::Bits16, ConcatPolicy::TieExclusive));
    let find = |name: &str| graph.tensors().find(|&id| graph.node(id).name == name).unwrap();
    let tied = |a: &str, b: &str| placement.group(find(a)).members.contains(&find(b));
    assert!(tied("model.2.cat", "model.2.cv2.act"), "read by the concatenation alone");
    assert!(!tied("model.12", "model.6.cv3.act"), "also read by model.7");
    assert!(tied("model.10.act", "model.11"), "upsampling only moves values");
    assert!(!tied("model.12", "model.11"), "its source is also read by the concatenation at layer 22");
}

#[test]
fn widths_follow_the_rules() {
    let (graph, _) = model();
    let wide = Placement::new(&graph, options(Width::Bits16, ConcatPolicy::TieExclusive));
    let narrow = Placement::new(&graph, options(Width::Bits8, ConcatPolicy::TieExclusive));
    let consumers = graph.consumers();
    for id in graph.tensors() {
        let by_conv = consumers[id.index()].iter().any(|r| matches!(graph.node(*r).op, Op::Conv(_)));
        let name = &graph.node(id).name;
        if by_conv {
            assert_eq!(wide.group(id).width, Width::Bits8, "{name}");
        }
        assert_eq!(narrow.group(id).width, Width::Bits8, "{name}");
        if graph.outputs().contains(&id) {
            assert_eq!((wide.group(id).rule, wide.group(id).width), (Rule::DetectOutput, Width::Bits16));
        }
    }
    let count =
        |placement: &Placement, rule| placement.rule_counts().iter().find(|r| r.0 == rule).map_or(0, |r| r.1);
    assert_eq!(count(&wide, Rule::ImageInput), 1);
    assert_eq!(count(&wide, Rule::PreActivation), 57);
    assert_eq!(count(&wide, Rule::DetectOutput), 3);
    assert_eq!(count(&wide, Rule::ResidualOperand), 7);
    assert_eq!(count(&narrow, Rule::ResidualOperand), 0);
    assert_eq!(wide.report(&graph).lines().count(), wide.groups().len());
}

#[test]
fn every_convolution_is_integer_but_those_that_are_left_in_float() {
    let (graph, params) = model();
    let placement = Placement::new(&graph, PlacementOptions::default());
    let collection = collect(&graph, &params, &placement, &[1]);
    let mut config =
        QuantConfig::calibrate(&graph, &placement, &collection, Method::MinMax, Scheme::Affine).unwrap();
    let kinds = |config: &QuantConfig| {
        let program = lower_integer(&graph, &params, config).unwrap();
        let count = |pick: fn(&StepOp) -> bool| program.steps().iter().filter(|s| pick(&s.op)).count();
        let error = relative_error(
            &heads(&program, &image(3)),
            &heads(&lower_float(&graph, &params, Fusion::Fused).unwrap(), &image(3)),
        );
        (
            count(|op| matches!(op, StepOp::ConvI8 { .. })),
            count(|op| matches!(op, StepOp::ConvF32 { .. })),
            error,
        )
    };
    let (integer, float, error) = kinds(&config);
    assert_eq!((integer, float), (60, 0));
    config.weights = WeightConfig { method: Method::Mse, ..WeightConfig::default() };
    assert!(kinds(&config).2 < 2.0 * error);
    config.float = graph.nodes().iter().map(|n| n.name.clone()).collect();
    let (integer, float, islands) = kinds(&config);
    assert_eq!((integer, float), (0, 60));
    assert!(islands < error, "{islands} with float islands, {error} without");
}

#[test]
fn collections_merge_to_the_same_bytes_in_any_order() {
    let (graph, params) = model();
    let placement = Placement::new(&graph, PlacementOptions::default());
    let json = |c: &Collection| serde_json::to_string(c).unwrap();
    let whole = collect(&graph, &params, &placement, &[1, 2, 3]);
    let mut ab = collect(&graph, &params, &placement, &[3]);
    ab.merge(collect(&graph, &params, &placement, &[2, 1]));
    assert!(json(&whole) == json(&ab), "merged statistics differ");
    assert!(
        serde_json::from_str::<Collection>(&json(&whole)).unwrap() == whole,
        "JSON changes the statistics"
    );
}

#[test]
fn missing_and_unusable_statistics_name_the_tensor() {
    let (graph, mut params) = model();
    let placement = Placement::new(&graph, PlacementOptions::default());
    let calibrate = |collection: &Collection| {
        QuantConfig::calibrate(&graph, &placement, collection, Method::Max, Scheme::Affine)
            .map(|_| ())
            .unwrap_err()
    };
    let empty = calibrate(&Collection::new(&graph, &[&placement]));
    assert!(
        matches!(empty, Error::Tensor { .. }) && empty.to_string().contains("no finite value"),
        "{empty}"
    );
    let none = calibrate(&Collection::default());
    assert!(none.to_string().contains("no statistics"), "{none}");
    params.get_mut("model.0.conv.bias").unwrap().data_mut()[0] = f32::NAN;
    let nan = calibrate(&collect(&graph, &params, &placement, &[1]));
    assert!(nan.to_string().contains("NaN"), "{nan}");
    let config = QuantConfig::calibrate(
        &graph,
        &placement,
        &collect(&graph, &model().1, &placement, &[1]),
        Method::Max,
        Scheme::Affine,
    )
    .unwrap();
    assert!(matches!(config.formats["input"], Format::I8(p) if p.zero_point == -128));
    assert!(lower_integer(&graph, &params, &config).is_err(), "a NaN bias can't be quantised");
}

#[test]
fn the_image_is_never_tied_to_computed_tensors() {
    let rest = "head:\n  - [-1, 1, Conv, [8, 3, 2]]\n  - [[-1], 1, Detect, [nc, anchors]]\n";
    let start = "nc: 1\nanchors: [[8, 8]]\nwidth_multiple: 1.0\nbackbone:\n";
    let joined =
        "  - [[-1, -1], 1, Concat, [1]]\n  - [-1, 1, Conv, [8, 3, 1]]\n  - [[0, 1], 1, Concat, [1]]\n";
    for backbone in [joined, "  - [-1, 1, Focus, [8, 3]]\n"] {
        let text = format!("{start}{backbone}{rest}");
        let graph = Graph::from_definition(&Definition::from_yaml("small", &text).unwrap()).unwrap();
        let (graph, _) = graph.fold_batch_norm(&formula_params(&graph)).unwrap();
        for concat in [ConcatPolicy::Tie, ConcatPolicy::TieExclusive] {
            let placement =
                Placement::new(&graph, PlacementOptions { tie_add: true, ..options(Width::Bits16, concat) });
            let image = graph.tensors().next().unwrap();
            for &id in &placement.group(image).members {
                assert!(
                    matches!(graph.node(id).op, Op::Input { .. } | Op::SpaceToDepth),
                    "{}",
                    graph.node(id).name
                );
            }
        }
    }
}

/// With scales that are powers of two every factor but that of the image, whose scale is 1/255, is a shift.
#[test]
fn scales_that_are_powers_of_two_leave_only_shifts() {
    let (graph, params) = model();
    let options = PlacementOptions { scales: ScaleGrid::PowerOfTwo, ..PlacementOptions::default() };
    let placement = Placement::new(&graph, options);
    let collection = collect(&graph, &params, &placement, &[1, 2]);
    for method in [Method::Max, Method::Mse] {
        let mut config =
            QuantConfig::calibrate(&graph, &placement, &collection, method, Scheme::Symmetric).unwrap();
        config.weights.scales = ScaleGrid::PowerOfTwo;
        let program = lower_integer(&graph, &params, &config).unwrap();
        let mut checked = 0;
        for step in &program.steps()[2..] {
            let StepOp::ConvI8 { multipliers, .. } = &step.op else { continue };
            let Some(quant_core::Constant::I32(pairs)) = program.constants().get(multipliers) else {
                panic!("{} has no factors", step.name)
            };
            assert!(pairs.chunks(2).all(|pair| pair[0].count_ones() == 1), "{method:?} {}", step.name);
            checked += 1;
        }
        assert_eq!(checked, 59);
        let float = heads(&lower_float(&graph, &params, Fusion::Fused).unwrap(), &image(9));
        let error = relative_error(&heads(&program, &image(9)), &float);
        assert!(error < 0.25, "{method:?}: {error}");
    }
}
