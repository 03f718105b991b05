//! Networks of graphs, and programs of what is in the files.
#![cfg(feature = "program")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use icraft_raw::{
    BitWidth, ElementType, Generation, InputTransform, Network, ProgramError, RawFile, Simulation, describe,
    integer_payloads, integers, normalized, payloads, program, raw_bytes, transformed,
};
use nn_graph::{Definition, Graph, Op, Params, formula_params};
use ptq::{
    Fusion, InputShift, IntegerConv, IntegerConvConfig, NormRatios, WeightConfig, lower_float, normalize,
    shift_input,
};
use quant_core::{Accelerator, Executor, Granularity, Isa, Program, Rounding, Values};
use std::collections::BTreeMap;

fn graph(name: &str) -> (Graph, Params) {
    let graph = Graph::from_definition(&Definition::builtin(name).unwrap()).unwrap();
    graph.fold_batch_norm(&formula_params(&graph)).unwrap()
}

fn pair(network: &Network, tensors: &[(u32, Vec<u8>)]) -> (Network, RawFile) {
    let tensors: Vec<(u32, &[u8])> = tensors.iter().map(|(id, bytes)| (*id, bytes.as_slice())).collect();
    let raw = RawFile::from_bytes(raw_bytes(network.generation, &tensors).unwrap()).unwrap();
    // What is run is what a file says.
    (Network::read(&network.write(network.generation).unwrap()).unwrap(), raw)
}

fn outputs(program: &Program, isa: Isa, image: &[f32]) -> Vec<f32> {
    let mut executor = Executor::with_isa(program, 64, 64, isa).unwrap();
    executor.run(image).unwrap();
    let real = |(id, values): (usize, Values<'_>)| values.to_f32(program.tensors()[id].format);
    executor.outputs().flat_map(real).collect()
}

fn image() -> Vec<f32> {
    (0..3 * 64 * 64).map(|i| ((i * 37) % 256) as f32 / 255.0).collect()
}

#[test]
fn feature_maps_have_the_published_ids() {
    for name in ["yolov5n", "yolov5s"] {
        let network = describe(&graph(name).0, name, [640, 640], Generation::Legacy).unwrap();
        let id = |maps: &[icraft_raw::FeatureMap], at: usize| maps[at].id.unwrap();
        let adds: Vec<_> = network.operations.iter().filter(|operation| operation.kind == "Add").collect();
        let left: Vec<i64> = adds.iter().map(|add| id(&add.inputs, 0)).collect();
        let right: Vec<i64> = adds.iter().map(|add| id(&add.inputs, 1)).collect();
        let sum: Vec<i64> = adds.iter().map(|add| id(&add.outputs, 0)).collect();
        assert_eq!(left, [6, 20, 25, 39, 44, 49, 63], "{name}");
        assert_eq!(right, [10, 24, 29, 43, 48, 53, 67], "{name}");
        assert_eq!(sum, [11, 25, 30, 44, 49, 54, 68], "{name}");
        let last = network.operations.last().unwrap();
        let heads: Vec<i64> = (0..3).map(|at| id(&last.inputs, at)).collect();
        assert_eq!(heads, [140, 141, 142], "{name}");
        let silu = network.operations.iter().filter(|operation| operation.kind.eq_ignore_ascii_case("silu"));
        assert_eq!(silu.count(), 57, "{name}");
    }
}

/// A network at all stages, with ratios that differ everywhere.
struct Stages {
    graph: Graph,
    params: Params,
    parsed: Network,
    optimized: (Network, Params),
    normed: (Network, Params),
    ratios: NormRatios,
}

fn stages(generation: Generation, bits: u8) -> Stages {
    let (graph, params) = graph("yolov5n");
    let parsed = describe(&graph, "net", [64, 64], generation).unwrap();
    let shift = InputShift { scale: 1.0 / 255.0, offset: 128.0 };
    let moved = shift_input(&graph, &params, shift).unwrap();
    let mut optimized = parsed.clone();
    transformed(&mut optimized, &InputTransform { scale: 255.0, offset: 128.0, order: vec![0, 1, 2] });
    let mut largest = BTreeMap::new();
    let float = lower_float(&graph, &params, Fusion::EveryTensor).unwrap();
    let mut executor = Executor::new(&float, 64, 64).unwrap();
    let observe = |id: usize, values: Values<'_>| {
        let Values::F32(values) = values else { panic!() };
        largest.insert(float.tensors()[id].name.clone(), values.iter().fold(1e-3f32, |a, v| a.max(v.abs())));
    };
    executor.run_with(&image(), observe).unwrap();
    let ratios = NormRatios::new(&graph, |id| {
        let node = graph.node(id);
        Ok(if matches!(node.op, Op::Input { .. }) {
            1.0
        } else {
            largest[&node.name] / 2f32.powi(i32::from(bits) - 1)
        })
    })
    .unwrap();
    let names: BTreeMap<&str, &[f32]> =
        graph.tensors().map(|id| (graph.node(id).name.as_str(), ratios.channels(id))).collect();
    let normed = normalized(optimized.clone(), |name| names.get(name).copied());
    let normed_params = normalize(&graph, &moved, &ratios).unwrap();
    Stages { graph, params, parsed, optimized: (optimized, moved), normed: (normed, normed_params), ratios }
}

#[test]
fn float_stages_compute_what_the_graph_does() {
    for generation in [Generation::Legacy, Generation::Xir] {
        let Stages { graph, params, parsed, optimized, normed, .. } = stages(generation, 8);
        let reference = lower_float(&graph, &params, Fusion::Fused).unwrap();
        let expected = outputs(&reference, Isa::detect(), &image());
        let largest = expected.iter().fold(0f32, |a, v| a.max(v.abs()));
        for (network, params) in [(&parsed, &params), (&optimized.0, &optimized.1), (&normed.0, &normed.1)] {
            let (network, raw) = pair(network, &payloads(network, params).unwrap());
            let program = program(&network, &raw, Simulation::default()).unwrap();
            let found = outputs(&program, Isa::detect(), &image());
            for (a, b) in expected.iter().zip(&found) {
                assert!((a - b).abs() <= 2e-4 * largest, "{generation:?}: {a} {b}");
            }
        }
    }
}

fn integer_pair(stages: &Stages, bits: u8) -> (Network, RawFile) {
    let Stages { graph, normed, ratios, .. } = stages;
    let weights = WeightConfig { granularity: Granularity::PerTensor, ..WeightConfig::default() };
    let config = IntegerConvConfig {
        bits,
        accelerator: Accelerator::of_width(bits),
        weights,
        rounding: Rounding::HalfAway,
    };
    let convs: BTreeMap<String, IntegerConv> = graph
        .tensors()
        .filter(|&id| matches!(graph.node(id).op, Op::Conv(_)))
        .map(|id| {
            let name = &graph.node(id).name;
            let param = |kind: &str| normed.1[&format!("{name}.{kind}")].data();
            let largest = vec![2f32.powi(i32::from(bits) - 1); ratios.channels(id).len()];
            (name.clone(), IntegerConv::quantize(param("weight"), param("bias"), &largest, &config).unwrap())
        })
        .collect();
    let network = integers(normed.0.clone(), bits, |name| convs.get(name).map(|conv| &conv.scales));
    let values = |name: &str| convs.get(name).map(|conv| (&conv.weight[..], &conv.bias[..]));
    let tensors = integer_payloads(&network, BitWidth::from_bits(bits.into()).unwrap(), values).unwrap();
    pair(&network, &tensors)
}

#[test]
fn integers_stay_near_the_float_network_and_are_the_same_everywhere() {
    for (bits, share) in [(8, 0.05), (12, 1e-3), (16, 1e-5)] {
        let stages = stages(Generation::Legacy, bits);
        let reference = lower_float(&stages.graph, &stages.params, Fusion::Fused).unwrap();
        let expected = outputs(&reference, Isa::detect(), &image());
        let (network, raw) = integer_pair(&stages, bits);
        let simulate = |simulation| program(&network, &raw, simulation).unwrap();
        let found = outputs(&simulate(Simulation::default()), Isa::detect(), &image());
        let noise: f32 = expected.iter().zip(&found).map(|(a, b)| (a - b).powi(2)).sum();
        let signal: f32 = expected.iter().map(|a| a.powi(2)).sum();
        assert!(noise < share * signal, "{bits} bits: {} dB", 10.0 * (signal / noise).log10());
        for isa in Isa::available() {
            assert_eq!(outputs(&simulate(Simulation::default()), isa, &image()), found, "{}", isa.name());
        }
        let apart = Simulation { fused: false, ..Simulation::default() };
        assert_eq!(outputs(&simulate(apart), Isa::detect(), &image()), found);
        let floor = Simulation { cut: Rounding::Floor, scale: Rounding::Floor, ..Simulation::default() };
        assert_ne!(outputs(&simulate(floor), Isa::detect(), &image()), found);
    }
}

#[test]
fn what_does_not_fit_is_named() {
    type Row = (&'static str, fn(&mut Network), fn(&ProgramError) -> bool);
    let stages = stages(Generation::Legacy, 8);
    let (network, raw) = integer_pair(&stages, 8);
    let rows: [Row; 9] = [
        (
            "an unknown operation",
            |n| n.operations[3].kind = "DeformConv".into(),
            |e| matches!(e, ProgramError::Operation { operation: 3, .. }),
        ),
        (
            "a missing bias",
            |n| drop(n.operations[1].params.pop()),
            |e| matches!(e, ProgramError::Arity { operation: 1, .. }),
        ),
        (
            "a map that nothing writes",
            |n| n.operations[1].inputs[0].id = Some(4711),
            |e| matches!(e, ProgramError::Order { id: Some(4711), .. }),
        ),
        (
            "a stride that is no number",
            |n| {
                n.operations[1].attributes.insert("stride_height".into(), "two".into());
            },
            |e| matches!(e, ProgramError::Attribute { key: "stride_height", .. }),
        ),
        (
            "a weight that the raw file lacks",
            |n| n.operations[1].params[0].id = 9999,
            |e| matches!(e, ProgramError::Raw { .. }),
        ),
        (
            "biases with scales of other weights",
            |n| {
                let other = n.operations[3].params[1].element.clone();
                n.operations[1].params[1].element = other;
            },
            |e| matches!(e, ProgramError::Scales { .. } | ProgramError::Expression { .. }),
        ),
        (
            "groups that don't divide the channels",
            |n| {
                n.operations[1].attributes.insert("groups".into(), 1000.into());
            },
            |e| matches!(e, ProgramError::Arity { operation: 1, .. }),
        ),
        (
            "a tensor that no memory holds",
            |n| n.operations[0].outputs[0].shape[3] = 1 << 40,
            |e| matches!(e, ProgramError::Size { side, .. } if *side == 1 << 40),
        ),
        (
            "an addition of channels with several ratios",
            |n| {
                let add = n.operations.iter_mut().find(|operation| operation.kind == "Add").unwrap();
                let ElementType::NormalizedQuantized { ratio, .. } = &mut add.inputs[0].element else {
                    panic!()
                };
                let channels = ratio.0.count();
                *ratio = "@norm_ratios([axis=-1]1*0.5,CHANNELS*0.25)"
                    .replace("CHANNELS", &(channels - 1).to_string())
                    .parse()
                    .unwrap();
            },
            |e| matches!(e, ProgramError::Ratios { .. }),
        ),
    ];
    for (what, change, expected) in rows {
        let mut changed = network.clone();
        change(&mut changed);
        let error = program(&changed, &raw, Simulation::default()).unwrap_err();
        assert!(expected(&error), "{what}: {error}");
    }
}
