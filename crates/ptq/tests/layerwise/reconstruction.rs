use super::{SIZE, config, convolutions, error, images, model};
use ptq::{
    AdaRound, BiasCorrection, CoordinateDescent, Error, Fusion, PlacementOptions, QuantConfig, Reconstruct,
    Reconstructed, WeightConfig, WeightRounding, lower_float, lower_integer,
};
use quant_core::{Constant, Granularity};

const DESCENT: WeightRounding =
    WeightRounding::CoordinateDescent(CoordinateDescent { sweeps: 20, damping: 0.01 });

fn learning() -> WeightRounding {
    WeightRounding::AdaRound(AdaRound { iterations: 200, learning_rate: 0.02, ..AdaRound::default() })
}

/// Weights of 4 bits per tensor: rounding is then what most of the error comes from.
fn coarse(model: &super::Model) -> QuantConfig {
    let mut config = config(&model.folded, &model.folded_params, PlacementOptions::default());
    config.weights = WeightConfig { bits: 4, granularity: Granularity::PerTensor, ..WeightConfig::default() };
    config
}

fn run(model: &super::Model, config: &QuantConfig, how: Reconstruct) -> Reconstructed {
    how.run(&model.folded, &model.folded_params, config, [SIZE; 2], images(8), |_, _| ()).unwrap()
}

fn how(rounding: WeightRounding, bias_correction: BiasCorrection) -> Reconstruct {
    Reconstruct { rounding, bias_correction, positions: 100 }
}

fn with(config: &QuantConfig, done: &Reconstructed) -> QuantConfig {
    QuantConfig { weight_scales: done.weight_scales.clone(), ..config.clone() }
}

#[test]
fn rounding_by_output_error_is_better_on_unseen_images() {
    let model = model("nn.SiLU()");
    let config = coarse(&model);
    let float = lower_float(&model.folded, &model.folded_params, Fusion::Fused).unwrap();
    let nearest = error(&lower_integer(&model.folded, &model.folded_params, &config).unwrap(), &float);
    for (name, rounding, bias, part) in [
        ("descent", DESCENT, BiasCorrection::None, 0.5),
        ("descent and weights", DESCENT, BiasCorrection::Weights, 0.5),
        ("descent and outputs", DESCENT, BiasCorrection::Outputs, 0.5),
        ("adaround", learning(), BiasCorrection::None, 0.75),
        ("biases alone", WeightRounding::Nearest, BiasCorrection::Weights, 0.9),
    ] {
        let done = run(&model, &config, how(rounding, bias));
        let program = lower_integer(&model.folded, &done.params, &with(&config, &done)).unwrap();
        let found = error(&program, &float);
        assert!(found < part * nearest, "{name}: {found} of {nearest}");
        let worse: Vec<_> = done
            .layers
            .iter()
            .filter(|l| bias != BiasCorrection::Weights && l.after > l.before * 1.001)
            .collect();
        assert!(worse.is_empty(), "{name}: {worse:?}");
    }
}

#[test]
fn weights_are_on_the_grid_of_the_scales_that_come_with_them() {
    let model = model("nn.SiLU()");
    let config = coarse(&model);
    let done = run(&model, &config, how(DESCENT, BiasCorrection::None));
    let program = lower_integer(&model.folded, &done.params, &with(&config, &done)).unwrap();
    for name in convolutions(&model.folded) {
        let weight = done.params[&format!("{name}.weight")].data();
        let Some(Constant::I8(integers)) = program.constants().get(&format!("{name}.weight")) else {
            panic!("{name} has no integers")
        };
        let scales = &done.weight_scales[name];
        for (i, (w, q)) in weight.iter().zip(integers).enumerate() {
            assert!((-7..=7).contains(q), "{name}: {q}");
            let expected = f32::from(*q) * scales[i / (weight.len() / scales.len())];
            assert!((w - expected).abs() <= 1e-6 * expected.abs(), "{name} {i}: {w} for {expected}");
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let model = model("nn.SiLU()");
    let config = coarse(&model);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&model, &config, how(DESCENT, BiasCorrection::Weights)))
    };
    assert_eq!(on(1), on(3));
}

#[test]
fn layers_in_f32_stay_as_they_are() {
    let model = model("nn.SiLU()");
    let mut config = coarse(&model);
    let kept = convolutions(&model.folded)[3].to_owned();
    config.float.insert(kept.clone());
    let done = run(&model, &config, how(DESCENT, BiasCorrection::Outputs));
    assert!(done.layers.iter().all(|layer| layer.name != kept));
    assert_eq!(done.layers.len(), convolutions(&model.folded).len() - 1);
    for suffix in ["weight", "bias"] {
        let name = format!("{kept}.{suffix}");
        assert_eq!(done.params[&name], model.folded_params[&name], "{name}");
    }
}

#[test]
fn progress_names_every_layer_and_no_images_are_refused() {
    let model = model("nn.SiLU()");
    let config = coarse(&model);
    let how = how(WeightRounding::Nearest, BiasCorrection::Weights);
    let mut seen = Vec::new();
    let (graph, params) = (&model.folded, &model.folded_params);
    let progress = |layer: &ptq::ReconstructedLayer, total: usize| seen.push((layer.name.clone(), total));
    how.run(graph, params, &config, [SIZE; 2], images(1), progress).unwrap();
    let expected: Vec<_> = convolutions(graph).iter().map(|n| ((*n).to_owned(), seen.len())).collect();
    assert_eq!(seen, expected);
    let nowhere = Reconstruct { positions: 0, ..how };
    let refused = nowhere.run(graph, params, &config, [SIZE; 2], images(1), |_, _| ());
    assert!(matches!(refused, Err(Error::NoPositions)), "{refused:?}");
    let refused = how.run(graph, params, &config, [SIZE; 2], images(0), |_, _| ());
    assert!(matches!(refused, Err(Error::NoValues)), "{refused:?}");
}

#[test]
fn an_image_that_cannot_be_read_ends_the_work_with_its_error() {
    let model = model("nn.SiLU()");
    let config = coarse(&model);
    let bad = images(1).chain([Err(Error::Percent { percent: 7.0 })]);
    let how = how(DESCENT, BiasCorrection::None);
    let refused = how.run(&model.folded, &model.folded_params, &config, [SIZE; 2], bad, |_, _| ());
    assert!(matches!(refused, Err(Error::Percent { .. })), "{refused:?}");
}
