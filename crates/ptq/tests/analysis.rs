//! Analyses of the demonstration: variants beside whole runs, errors beside plain sums, files that fit and files that don't.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use nn_graph::{Checkpoint, Definition, Graph, Params, formula_uniform};
use ptq::analysis::{
    Agreement, AnalysisError, By, Clipping, Cost, ErrorProgram, ErrorSums, Layer, LayerErrors, LayerPattern,
    LayerSwitches, Mode, Plan, Precision, PrecisionConfig, Quantizers, Sensitivity, SensitivityRow, Sums,
    VariantRuns, layers, scopes,
};
use ptq::{
    Collection, Fusion, Method, Placement, PlacementOptions, QuantConfig, Width, lower_float, lower_integer,
};
use quant_core::{Executor, Format, Program, Recording, Scheme, StepOp};
use std::collections::BTreeSet;

const SIZE: usize = 64;

struct Demo {
    graph: Graph,
    params: Params,
    layers: Vec<Layer>,
    quantizers: Quantizers,
}

fn image(seed: u64) -> Vec<f32> {
    (0..3 * SIZE * SIZE).map(|i| formula_uniform("analysis", seed * 1_000_000 + i as u64) as f32).collect()
}

fn demo() -> Demo {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/demo");
    let yaml = std::fs::read_to_string(format!("{folder}/model.yaml")).unwrap();
    let graph = Graph::from_definition(&Definition::from_yaml("demo", &yaml).unwrap()).unwrap();
    let checkpoint = Checkpoint::open(format!("{folder}/model.safetensors").as_ref()).unwrap();
    let (graph, params) = graph.fold_batch_norm(&checkpoint.params).unwrap();
    let place = |preactivation| {
        Placement::new(&graph, PlacementOptions { preactivation, ..PlacementOptions::default() })
    };
    let placements = [place(Width::Bits16), place(Width::Bits8)];
    let program = lower_float(&graph, &params, Fusion::EveryTensor).unwrap();
    let mut executor = Executor::new(&program, SIZE, SIZE).unwrap();
    let mut collection = Collection::new(&graph, &[&placements[0], &placements[1]]);
    (0..3).for_each(|seed| collection.observe(&program, &mut executor, &image(seed)).unwrap());
    let [wide, narrow] = placements
        .map(|p| QuantConfig::calibrate(&graph, &p, &collection, Method::Mse, Scheme::Affine).unwrap());
    let layers = layers(&graph, SIZE, SIZE).unwrap();
    Demo { graph, params, layers, quantizers: Quantizers { wide, narrow } }
}

impl Demo {
    fn plan(&self, mode: Mode, by: By, ignore: &[&str], precisions: &[Precision]) -> Plan {
        let patterns: Vec<LayerPattern> = ignore.iter().map(|p| LayerPattern::new(p).unwrap()).collect();
        let (scopes, ignored) = scopes(&self.layers, by, &patterns).unwrap();
        let base = Precision::Int8Pre8;
        Plan::new(mode, &self.graph, &self.layers, &self.quantizers, base, (&scopes, &ignored), precisions)
    }

    fn lower(&self, config: &QuantConfig) -> Program {
        lower_integer(&self.graph, &self.params, config).unwrap()
    }
}

fn outputs(executor: &Executor<'_>) -> Vec<Vec<f32>> {
    let tensors = executor.program().tensors();
    executor.outputs().map(|(id, values)| values.to_f32(tensors[id].format)).collect()
}

fn whole_run(program: &Program, input: &[f32]) -> Vec<Vec<f32>> {
    let mut executor = Executor::new(program, SIZE, SIZE).unwrap();
    executor.run(input).unwrap();
    outputs(&executor)
}

fn recorded(program: &Program, input: &[f32]) -> Recording {
    let mut recording = Recording::default();
    Executor::new(program, SIZE, SIZE).unwrap().record(input, &mut recording).unwrap();
    recording
}

#[test]
fn layers_are_the_convolutions_with_their_activations() {
    let Demo { graph, params, layers, .. } = demo();
    let program = lower_float(&graph, &params, Fusion::Fused).unwrap();
    let steps = program.steps().iter().filter(|s| matches!(s.op, StepOp::ConvF32 { .. }));
    let names: Vec<(&str, &str)> =
        steps.map(|s| (s.name.as_str(), program.tensors()[s.output].name.as_str())).collect();
    let found: Vec<(&str, &str)> = layers.iter().map(|l| (l.name.as_str(), l.result.as_str())).collect();
    assert_eq!(found, names);
    assert_eq!(2 * layers.iter().map(|l| l.macs).sum::<u64>(), graph.flops(SIZE, SIZE).unwrap());
    assert_eq!(layers[0].block, "model.0");
    assert!(layers.iter().any(|l| l.name == "model.2.m.0.cv1.conv" && l.block == "model.2"));
    let bytes: u64 = layers.iter().map(|l| Precision::F32.bytes(l)).sum();
    assert_eq!(bytes, program.constant_bytes() as u64);
    let integer = lower_integer(&graph, &params, &demo().quantizers.wide).unwrap();
    let bytes: u64 = layers.iter().map(|l| Precision::Int8Pre16.bytes(l)).sum();
    assert_eq!(bytes, integer.constant_bytes() as u64);
}

#[test]
fn scopes_are_layers_or_blocks_without_those_ignored() {
    let Demo { layers, .. } = demo();
    let pattern = |text: &str| LayerPattern::new(text).unwrap();
    let (by_layer, ignored) = scopes(&layers, By::Layer, &[]).unwrap();
    assert_eq!((by_layer.len(), ignored.len()), (layers.len(), 0));
    let (by_block, _) = scopes(&layers, By::Block, &[]).unwrap();
    assert_eq!(by_block.iter().map(|scope| scope.layers.len()).sum::<usize>(), layers.len());
    let blocks: BTreeSet<&str> = layers.iter().map(|l| l.block.as_str()).collect();
    assert_eq!(by_block.len(), blocks.len());
    let (rest, ignored) = scopes(&layers, By::Block, &[pattern(r"model\.2\."), pattern("model.0")]).unwrap();
    assert!(ignored.contains("model.0.conv") && ignored.iter().all(|n| !n.starts_with("model.1")));
    assert_eq!(rest.len(), by_block.len() - 2);
    let error = scopes(&layers, By::Layer, &[pattern("conv")]).unwrap_err().to_string();
    assert!(error.contains("\"conv\"") && error.contains("model.0.conv"), "{error}");
    assert!(matches!(scopes(&layers, By::Layer, &[pattern("model")]), Err(AnalysisError::Nothing { .. })));
}

#[test]
fn switches_go_back_to_where_they_were() {
    let Demo { layers, .. } = demo();
    let pattern = |text: &str| LayerPattern::new(text).unwrap();
    let mut switches = LayerSwitches::new(&layers);
    let block = switches.disable(&pattern(r"model\.2\.")).unwrap();
    assert_eq!(switches.float().len(), block);
    let inside = switches
        .while_enabled(&pattern(r"model\.2\.cv1"), |inner| {
            assert_eq!(inner.float().len(), block - 1);
            inner.while_disabled(&pattern(r"model\.0"), |innermost| innermost.float().clone()).unwrap()
        })
        .unwrap();
    assert!(inside.contains("model.0.conv") && !inside.contains("model.2.cv1.conv"), "{inside:?}");
    assert_eq!(switches.float().len(), block);
    assert!(switches.while_disabled(&pattern("nothing"), |_| ()).is_err());
    assert!(switches.enable(&pattern("cv1")).is_err() && switches.disable(&pattern("cv1")).is_err());
    assert_eq!(switches.enable(&pattern(r"model\.2\.")).unwrap(), block);
    assert!(switches.float().is_empty());
}

#[test]
fn every_variant_is_that_of_a_whole_run() {
    let demo = demo();
    let input = image(5);
    let rows = [
        (Mode::LeaveOneOut, By::Layer, &[Precision::Int8Pre16, Precision::F32][..]),
        (Mode::LeaveOneOut, By::Block, &[Precision::F32]),
        (Mode::OnlyOneOn, By::Layer, &[Precision::Int8Pre8, Precision::Int8Pre16]),
        (Mode::OnlyOneOn, By::Block, &[Precision::Int8Pre16]),
    ];
    let mut wrong = Vec::new();
    for (mode, by, precisions) in rows {
        let plan = demo.plan(mode, by, &[r"model\.0\."], precisions);
        let (base, variants) = plan.lower(&demo.graph, &demo.params).unwrap();
        let runs = VariantRuns::new(&base, &variants, SIZE, SIZE).unwrap();
        assert_eq!(runs.variants(), plan.variants.len());
        let savings = runs.savings();
        assert_eq!(savings.whole, variants.len() * demo.layers.len());
        assert!(savings.run < savings.whole * 3 / 4, "{savings:?}");
        let mut session = runs.session();
        // A run on another image first: nothing of it may be left.
        session.run(&image(6), |_, _| Ok::<_, quant_core::Error>(())).unwrap();
        let mut seen = 0;
        let check = |which: Option<usize>, executor: &Executor<'_>| {
            let program = which.map_or(&base, |v| &variants[v]);
            if outputs(executor) != whole_run(program, &input) {
                wrong.push((mode, by, which));
            }
            seen += 1;
            Ok::<_, quant_core::Error>(())
        };
        session.run(&input, check).unwrap();
        assert_eq!(seen, variants.len() + 1);
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn variants_change_what_they_say() {
    let demo = demo();
    let float = lower_float(&demo.graph, &demo.params, Fusion::Fused).unwrap();
    let only = demo.plan(Mode::OnlyOneOn, By::Layer, &[], &[Precision::Int8Pre16]);
    assert_eq!(demo.lower(&only.base), float);
    let kinds = |program: &Program| {
        let count = |pick: fn(&StepOp) -> bool| program.steps().iter().filter(|s| pick(&s.op)).count();
        (count(|op| matches!(op, StepOp::ConvI8 { .. })), count(|op| matches!(op, StepOp::ConvF32 { .. })))
    };
    let all = demo.layers.len();
    for variant in &only.variants {
        assert_eq!(kinds(&demo.lower(&variant.config)), (1, all - 1), "{}", variant.scope.name);
    }
    let out = demo.plan(Mode::LeaveOneOut, By::Layer, &["model.0"], &Precision::ALL);
    assert_eq!(out.base.float, BTreeSet::from(["model.0.conv".to_owned()]));
    let mut narrow = demo.quantizers.narrow.formats.iter().filter(|(name, _)| *name != "model.0.conv");
    assert!(narrow.all(|(name, format)| out.base.formats[name] == *format));
    // The base's own precision is no variant.
    assert_eq!(out.variants.len(), 2 * (all - 1));
    for variant in &out.variants {
        let floats = if variant.precision == Precision::F32 { 2 } else { 1 };
        assert_eq!(kinds(&demo.lower(&variant.config)), (all - floats, floats), "{}", variant.scope.name);
    }
}

#[test]
fn mixed_widths_are_those_of_both_placements() {
    let Demo { layers, quantizers, graph, .. } = demo();
    assert_eq!(quantizers.config(&layers, |_| Precision::Int8Pre16), quantizers.wide);
    assert_eq!(quantizers.config(&layers, |_| Precision::Int8Pre8), quantizers.narrow);
    let mixed = quantizers.config(&layers, |layer| {
        if layer.block == "model.2" { Precision::Int8Pre8 } else { Precision::Int8Pre16 }
    });
    for node in graph.nodes() {
        let inside =
            layers.iter().any(|l| l.block == "model.2" && [&l.name, &l.result].contains(&&node.name));
        let from = if inside { &quantizers.narrow } else { &quantizers.wide };
        assert_eq!(mixed.formats[&node.name], from.formats[&node.name], "{}", node.name);
    }
}

#[test]
fn errors_of_layers_are_those_of_plain_sums() {
    let demo = demo();
    let every = lower_float(&demo.graph, &demo.params, Fusion::EveryTensor).unwrap();
    let mut config = demo.quantizers.narrow.clone();
    config.float.insert("model.1.conv".into());
    // A layer that clips half of what it sees.
    let small = |format: &mut Format| {
        if let Format::I8(params) = format {
            params.scale /= 6.0;
        }
    };
    config.formats.get_mut("model.3.conv").map(small);
    let integer = demo.lower(&config);
    let program = ErrorProgram::new(&every, &integer, &demo.layers).unwrap();
    assert_eq!(program.layers().count(), demo.layers.len() - 1);
    let (mut errors, mut wrong) = (LayerErrors::default(), Vec::new());
    let mut images = Vec::new();
    for seed in [8, 9] {
        let input = image(seed);
        let recordings = [program.program(), &integer, &every].map(|p| recorded(p, &input));
        let sums = program.observe(&recordings[0], &recordings[1]).unwrap();
        for (name, pair) in program.layers().zip(&sums) {
            let layer = demo.layers.iter().find(|l| l.name == name).unwrap();
            let expected = naive_errors(&demo, &config, &integer, &every, layer, &input);
            if *pair != expected {
                wrong.push(format!("{name}: {pair:?}, not {expected:?}"));
            }
        }
        images.push((seed, sums));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    images.iter().rev().for_each(|(seed, sums)| errors.set(*seed, sums.clone()));
    let mut again = LayerErrors::default();
    images.into_iter().for_each(|(seed, sums)| again.set(seed, sums));
    let rows = errors.rows(program.layers());
    assert_eq!(rows, again.rows(program.layers()));
    assert_eq!((errors.images(), rows.len()), (2, demo.layers.len() - 1));
    for row in &rows {
        let (own, all) = (row.isolated, row.accumulated);
        let ratio = 10f64.powf(-own.sqnr_db.unwrap() / 10.0);
        assert!((own.rounding.unwrap() + own.saturation.unwrap() - ratio).abs() < 1e-9 * ratio, "{row:?}");
        assert_eq!(own.clipped, all.clipped, "{row:?}");
        let clips = row.name == "model.3.conv";
        assert_eq!(own.saturation > own.rounding && own.clipped > 0.2, clips, "{row:?}");
    }
    // The first layer's input is exact, so that nothing has accumulated there; later more has than the layer adds.
    assert_eq!(rows[0].isolated, rows[0].accumulated);
    let last = rows.last().unwrap();
    assert!(last.accumulated.sqnr_db < last.isolated.sqnr_db, "{last:?}");
}

/// The same from programs of their own: the layer alone in integers, the integer program, and the float program.
fn naive_errors(
    demo: &Demo,
    config: &QuantConfig,
    integer: &Program,
    every: &Program,
    layer: &Layer,
    input: &[f32],
) -> [ErrorSums; 2] {
    let others = demo.layers.iter().filter(|l| l.name != layer.name).map(|l| l.name.clone());
    let alone = demo.lower(&QuantConfig {
        float: others.collect(),
        float_tensors: demo.graph.nodes().iter().map(|n| n.name.clone()).collect(),
        ..config.clone()
    });
    let values = |program: &Program, name: &str| {
        let tensor = program.tensors().iter().position(|t| t.name == name).unwrap();
        recorded(program, input).get(tensor).unwrap().to_f32(program.tensors()[tensor].format)
    };
    let (argument, result) = (values(every, &layer.name), values(every, &layer.result));
    let inside = |name: &str, value: f32| {
        let format = config.formats[name];
        let (params, (low, high)) = (format.params().unwrap(), format.range().unwrap());
        let q = f64::from(value) / f64::from(params.scale) + f64::from(params.zero_point);
        (f64::from(low) - 0.5..=f64::from(high) + 0.5).contains(&q)
    };
    [&alone, integer].map(|program| {
        let mut expected = ErrorSums::default();
        let quantized = values(program, &layer.result);
        expected.sums.observe(&result, &quantized).unwrap();
        for ((&a, &r), &q) in argument.iter().zip(&result).zip(&quantized) {
            let squared = (f64::from(r) - f64::from(q)) * (f64::from(r) - f64::from(q));
            if inside(&layer.name, a) && inside(&layer.result, r) {
                expected.rounding += squared;
            } else {
                expected.saturation += squared;
                expected.clipped += 1;
            }
        }
        expected
    })
}

#[test]
fn errors_need_integers_and_recordings_that_fit() {
    let demo = demo();
    let every = lower_float(&demo.graph, &demo.params, Fusion::EveryTensor).unwrap();
    let fused = lower_float(&demo.graph, &demo.params, Fusion::Fused).unwrap();
    let integer = demo.lower(&demo.quantizers.wide);
    assert!(matches!(ErrorProgram::new(&every, &fused, &demo.layers), Err(AnalysisError::Nothing { .. })));
    assert!(matches!(
        ErrorProgram::new(&fused, &integer, &demo.layers),
        Err(AnalysisError::OtherLayers { .. })
    ));
    let program = ErrorProgram::new(&every, &integer, &demo.layers).unwrap();
    assert!(program.observe(&Recording::default(), &Recording::default()).is_err());
    let mut sums = ErrorSums::default();
    let all = [Clipping::of(Format::F32); 2];
    assert!(sums.observe(&[1.0], &[1.0, 2.0], &[1.0, 2.0], all).is_err());
    assert!(sums.observe(&[1.0], &[1.0], &[], all).is_err());
    sums.observe(&[9e30], &[9e30], &[0.0], all).unwrap();
    assert_eq!((sums.clipped, sums.saturation), (0, 0.0));
}

#[test]
fn a_precision_configuration_fits_one_model() {
    let Demo { layers, .. } = demo();
    let of = |layer: &Layer| if layer.block == "model.0" { Precision::F32 } else { Precision::Int8Pre16 };
    let mut config = PrecisionConfig::new("abc", &layers, of);
    config.asked.insert("budget".into(), 0.002.into());
    let json = config.to_json().unwrap();
    assert_eq!(PrecisionConfig::from_json(&json, "abc", &layers).unwrap(), config);
    assert_eq!(config.precision("model.0.conv"), Some(Precision::F32));
    assert_eq!(config.precision("model.99.conv"), None);
    assert_eq!(config.counts()[2], (Precision::F32, 1));
    let rows = [
        ("another model", json.clone(), "xyz", "made for the model abc"),
        ("another version", json.replace("\"version\": 1", "\"version\": 7"), "abc", "version 7"),
        (
            "an unknown layer",
            json.replace("model.1.conv", "model.77.conv"),
            "abc",
            "has the layer \"model.77.conv\"",
        ),
        (
            "a layer twice",
            json.replace("model.1.conv", "model.0.conv"),
            "abc",
            "has the layer \"model.0.conv\"",
        ),
        ("a precision", json.replace("\"f32\"", "\"f16\""), "abc", "f16"),
        ("a field", json.replace("\"asked\"", "\"answered\""), "abc", "answered"),
        ("no JSON", "layers: 3".to_owned(), "abc", "can't be read"),
        ("no object", "[]".to_owned(), "abc", "can't be read"),
    ];
    let fails = |json: &str, model: &str, layers: &[Layer], says: &str| {
        let error = PrecisionConfig::from_json(json, model, layers).unwrap_err().to_string();
        if error.contains(says) { None } else { Some(error) }
    };
    let wrong: Vec<_> = rows
        .iter()
        .filter_map(|(what, json, model, says)| Some((what, fails(json, model, &layers, says)?)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let mut longer = layers.clone();
    longer.push(Layer { name: "model.55.conv".into(), ..layers[0].clone() });
    assert_eq!(fails(&json, "abc", &longer, "lacks the layer \"model.55.conv\""), None);
}

fn row(name: &str, precision: Precision, gain: f64) -> SensitivityRow {
    SensitivityRow {
        name: name.into(),
        layers: vec![name.into()],
        precision,
        score: Some(0.3),
        gain,
        interval: Some([gain - 0.1, gain + 0.1]),
        recomputed: 3,
    }
}

#[test]
fn sensitivities_are_sorted_and_become_candidates() {
    let Demo { layers, .. } = demo();
    let mut sensitivity = Sensitivity {
        mode: Mode::LeaveOneOut,
        score: "map".into(),
        by: By::Layer,
        precision: Precision::Int8Pre8,
        ignored: Vec::new(),
        images: 4,
        float: Some(0.3),
        base: None,
        convolutions: [0; 2],
        rows: vec![
            row("model.0.conv", Precision::Int8Pre16, 0.01),
            row("model.0.conv", Precision::F32, 0.02),
            row("model.1.conv", Precision::F32, 0.01),
        ],
    };
    sensitivity.sort();
    let order: Vec<(&str, f64)> = sensitivity.rows.iter().map(|r| (r.name.as_str(), r.gain)).collect();
    assert_eq!(order, [("model.0.conv", 0.02), ("model.0.conv", 0.01), ("model.1.conv", 0.01)]);
    let table = sensitivity.table(2);
    assert_eq!(table.lines().count(), 3);
    assert!(table.contains("+0.020000") && !table.contains("model.1.conv"), "{table}");
    let json = serde_json::to_string(&sensitivity).unwrap();
    assert_eq!(serde_json::from_str::<Sensitivity>(&json).unwrap(), sensitivity);
    let candidates = sensitivity.candidates(&layers, Cost::Macs).unwrap();
    let costs: Vec<u64> = candidates.iter().map(|c| c.cost).collect();
    assert_eq!(costs, [layers[0].macs, 0, layers[1].macs]);
    // Only one on, with 8 bits as in the base: what f32 would save there.
    sensitivity.mode = Mode::OnlyOneOn;
    assert!(matches!(sensitivity.candidates(&layers, Cost::Macs), Err(AnalysisError::Nothing { .. })));
    sensitivity.rows.push(row("model.1.conv", Precision::Int8Pre8, 0.03));
    let candidates = sensitivity.candidates(&layers, Cost::Layers).unwrap();
    assert_eq!((candidates.len(), candidates[0].precision, candidates[0].cost), (1, Precision::F32, 1));
    sensitivity.rows[3].layers = vec!["model.99.conv".into()];
    assert!(matches!(sensitivity.candidates(&layers, Cost::Bytes), Err(AnalysisError::OtherLayers { .. })));
}

#[test]
fn one_layer_alone_adds_less_noise_than_all_together() {
    let demo = demo();
    let plan = demo.plan(Mode::OnlyOneOn, By::Layer, &[], &[Precision::Int8Pre8]);
    let (base, variants) = plan.lower(&demo.graph, &demo.params).unwrap();
    let runs = VariantRuns::new(&base, &variants, SIZE, SIZE).unwrap();
    let mut agreements = vec![Agreement::default(); variants.len()];
    let mut session = runs.session();
    let mut whole = Agreement::default();
    for seed in 10..12 {
        let input = image(seed);
        let float = whole_run(&base, &input);
        let sums = |outputs: &[Vec<f32>]| {
            let mut sums = Sums::default();
            float.iter().zip(outputs).for_each(|(f, o)| sums.observe(f, o).unwrap());
            sums
        };
        whole.set(seed, sums(&whole_run(&demo.lower(&demo.quantizers.narrow), &input)));
        session
            .run(&input, |which, executor| {
                if let Some(variant) = which {
                    agreements[variant].set(seed, sums(&outputs(executor)));
                }
                Ok::<_, quant_core::Error>(())
            })
            .unwrap();
    }
    let all = whole.total().noise_to_signal();
    let each: Vec<f64> = agreements.iter().map(|a| a.total().noise_to_signal()).collect();
    assert!(each.iter().all(|&noise| noise > 0.0 && noise < all), "{each:?}, together {all}");
    // Errors of layers are nearly independent, so that their noises nearly add up.
    let sum: f64 = each.iter().sum();
    assert!((0.5..2.0).contains(&(sum / all)), "{sum} beside {all}");
    assert_eq!(agreements[0].images(), 2);
}
