use super::{SIZE, config, convolutions, error, image, images, model};
use ptq::{
    AdaRound, BiasCorrection, CoordinateDescent, Error, Fusion, PlacementOptions, QuantConfig, Reconstruct,
    Reconstructed, WeightConfig, WeightRounding, lower_float, lower_integer,
};
use quant_core::{Constant, Executor, Granularity, Values};

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
    Reconstruct { rounding, bias_correction, compensation: 1.0, positions: 100 }
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

/// Without the errors of earlier layers what matters are the layer's own; with all of them the outputs come closest on the images themselves.
#[test]
fn compensation_goes_from_own_errors_to_all() {
    let model = model("nn.SiLU()");
    let config = coarse(&model);
    let part = |compensation: f64| {
        let how = Reconstruct { compensation, ..how(DESCENT, BiasCorrection::Outputs) };
        let layers = run(&model, &config, how).layers;
        layers.iter().map(|layer| layer.after / layer.before).sum::<f64>() / layers.len() as f64
    };
    let [none, half, all] = [0.0, 0.5, 1.0].map(part);
    assert!(all < half && half < none && none < 1.0, "{none} {half} {all}");
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
    let too_much = Reconstruct { compensation: 1.5, ..how };
    let refused = nowhere.run(graph, params, &config, [SIZE; 2], images(1), |_, _| ());
    assert!(matches!(refused, Err(Error::NoPositions)), "{refused:?}");
    let refused = too_much.run(graph, params, &config, [SIZE; 2], images(1), |_, _| ());
    assert!(matches!(refused, Err(Error::Compensation { share: 1.5 })), "{refused:?}");
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

/// Outputs of the first convolution, `channels x values` of all images one after the other, for images as given or as 8-bit pixels.
fn first_outputs(model: &super::Model, params: &nn_graph::Params, pixels: bool) -> Vec<Vec<f64>> {
    let program = lower_float(&model.folded, params, Fusion::EveryTensor).unwrap();
    let mut executor = Executor::new(&program, SIZE, SIZE).unwrap();
    let mut channels = vec![Vec::new(); 16];
    for seed in 1..=8 {
        let mut input = image(seed);
        if pixels {
            input.iter_mut().for_each(|x| *x = (*x * 255.0).round_ties_even() / 255.0);
        }
        let tap = |tensor: usize, values: Values<'_>| {
            if let (true, Values::F32(values)) = (program.tensors()[tensor].name == "model.0.conv", values) {
                let planes = values.chunks_exact(values.len() / 16).zip(&mut channels);
                planes.for_each(|(plane, kept)| kept.extend(plane.iter().map(|&v| f64::from(v))));
            }
        };
        executor.run_with(&input, tap).unwrap();
    }
    channels
}

/// Reported errors, and the means that biases set right, from the definition: the first layer reads the same image in both networks.
#[test]
fn reports_and_corrected_means_are_those_of_the_definition() {
    let model = model("nn.SiLU()");
    let config = coarse(&model);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let float = first_outputs(&model, &model.folded_params, false);
    let untouched = first_outputs(&model, &model.folded_params, true);
    for correction in [BiasCorrection::None, BiasCorrection::Weights, BiasCorrection::Outputs] {
        let everywhere = Reconstruct { positions: 5000, ..how(DESCENT, correction) };
        let done = run(&model, &config, everywhere);
        let found = first_outputs(&model, &done.params, true);
        let mut after = 0.0;
        for (channel, (found, float)) in found.iter().zip(&float).enumerate() {
            let wanted = match correction {
                BiasCorrection::None => None,
                BiasCorrection::Weights => Some(mean(&untouched[channel])),
                BiasCorrection::Outputs => Some(mean(float)),
            };
            if let Some(wanted) = wanted {
                assert!(
                    (mean(found) - wanted).abs() < 1e-4,
                    "{correction:?} {channel}: {} {wanted}",
                    mean(found)
                );
            }
            after += mean(&found.iter().zip(float).map(|(a, b)| (a - b).powi(2)).collect::<Vec<_>>());
        }
        let reported = done.layers[0].after;
        assert!((reported - after).abs() < 1e-3 * after, "{correction:?}: {reported} for {after}");
    }
}
