use super::{SIZE, config, convolutions, error, image, model};
use nn_graph::Op;
use ptq::{
    EqualizationBarrier, Error, Fusion, PlacementOptions, QuantConfig, WeightConfig, correct_biases,
    equalize, expected_inputs, lower_float, lower_integer,
};
use quant_core::{Executor, Granularity, Values};
use std::collections::BTreeMap;

fn per_tensor(config: QuantConfig, bits: u8) -> QuantConfig {
    let weights = WeightConfig { bits, granularity: Granularity::PerTensor, ..WeightConfig::default() };
    QuantConfig { weights, ..config }
}

#[test]
fn equalisation_keeps_the_function_and_lowers_the_error_of_weights_per_tensor() {
    let mut model = model("nn.LeakyReLU(0.1)");
    // Channels of very different size, as training leaves them.
    let weight = model.folded_params.get_mut("model.1.conv.weight").unwrap().data_mut();
    let row = weight.len() / 24;
    weight.chunks_exact_mut(row).enumerate().for_each(|(c, row)| {
        row.iter_mut().for_each(|w| *w *= 4f32.powi(c as i32 % 4 - 2));
    });
    let equalized = equalize(&model.folded, &model.folded_params).unwrap();
    let program = |params| lower_float(&model.folded, params, Fusion::Fused).unwrap();
    let (float, same) = (program(&model.folded_params), program(&equalized.params));
    assert!(error(&same, &float) < 1e-5, "{}", error(&same, &float));
    let quantised = |params| {
        let config = per_tensor(config(&model.folded, params, PlacementOptions::default()), 6);
        error(&lower_integer(&model.folded, params, &config).unwrap(), &float)
    };
    let (before, after) = (quantised(&model.folded_params), quantised(&equalized.params));
    assert!(after < 0.9 * before, "{after} of {before}");
    let largest = equalized.layers.iter().map(|layer| layer.largest_factor).fold(1.0, f64::max);
    assert!(largest > 2.0, "{largest}");
}

#[test]
fn every_convolution_is_equalised_or_refused_with_its_reason() {
    for (activation, equalised) in [
        ("nn.LeakyReLU(0.1)", true),
        ("nn.ReLU()", true),
        ("nn.SiLU()", false),
        ("nn.ReLU6()", false),
        ("nn.Hardswish()", false),
    ] {
        let model = model(activation);
        let done = equalize(&model.folded, &model.folded_params).unwrap();
        assert_eq!(!done.layers.is_empty(), equalised, "{activation}");
        assert_eq!(done.layers.len() + done.refused.len(), convolutions(&model.folded).len(), "{activation}");
        let barrier = |name: &str| done.refused.iter().find(|(n, _)| n == name).map(|(_, b)| *b);
        assert_eq!(barrier("model.15.m.0"), Some(EqualizationBarrier::Output), "{activation}");
        // The shortcut of a C3 block.
        let added = barrier("model.2.m.0.cv2.conv");
        if equalised {
            assert_eq!(added, Some(EqualizationBarrier::Addition), "{activation}");
            let concat = done.layers.iter().find(|layer| layer.name == "model.2.cv2.conv").unwrap();
            assert_eq!(concat.readers, ["model.2.cv3.conv"], "{activation}");
        } else {
            assert!(matches!(added, Some(EqualizationBarrier::Activation(_))), "{activation} {added:?}");
            assert_eq!(done.params, model.folded_params, "{activation}");
            assert!(added.unwrap().to_string().contains("f(s x) is not s f(x)"));
        }
    }
}

/// Equalised ranges: the largest weight that makes a channel is the largest that reads it.
#[test]
fn both_sides_of_a_channel_end_with_one_range() {
    let model = model("nn.ReLU()");
    let done = equalize(&model.folded, &model.folded_params).unwrap();
    let (maker, reader) = ("model.2.m.0.cv1.conv", "model.2.m.0.cv2.conv");
    assert!(done.layers.iter().any(|l| l.name == maker && l.readers == [reader]));
    let weight = |name: &str| done.params[&format!("{name}.weight")].data().to_vec();
    let (makes, reads) = (weight(maker), weight(reader));
    let channels = 12;
    for channel in 0..channels {
        let row = makes.len() / channels;
        let made = makes[channel * row..][..row].iter().fold(0f32, |m, w| m.max(w.abs()));
        let of_channel = reads.chunks_exact(9).skip(channel).step_by(channels).flatten();
        let read = of_channel.fold(0f32, |m, w| m.max(w.abs()));
        assert!((made / read - 1.0).abs() < 2e-3, "{channel}: {made} {read}");
    }
}

#[test]
fn a_missing_weight_is_an_error() {
    let mut model = model("nn.ReLU()");
    model.folded_params.remove("model.1.conv.weight");
    let missing = equalize(&model.folded, &model.folded_params);
    assert!(matches!(missing, Err(Error::Parameter { name }) if name == "model.1.conv.weight"));
}

/// Means that the float network really has in the channels that convolutions read.
fn measured(model: &super::Model) -> BTreeMap<String, Vec<f64>> {
    let program = lower_float(&model.folded, &model.folded_params, Fusion::EveryTensor).unwrap();
    let mut executor = Executor::new(&program, SIZE, SIZE).unwrap();
    let mut means = BTreeMap::new();
    let shapes = executor.shapes().to_vec();
    executor
        .run_with(&image(1), |tensor, values| {
            let Values::F32(values) = values else { return };
            let planes = values.chunks_exact(shapes[tensor][1] * shapes[tensor][2]);
            let mean = |plane: &[f32]| plane.iter().map(|&v| f64::from(v)).sum::<f64>() / plane.len() as f64;
            means.insert(program.tensors()[tensor].name.clone(), planes.map(mean).collect::<Vec<_>>());
        })
        .unwrap();
    let of_input = |node: &nn_graph::Node| means[&model.folded.node(node.inputs[0]).name].clone();
    let convolutions = model.folded.nodes().iter().filter(|node| matches!(node.op, Op::Conv(_)));
    convolutions.map(|node| (node.name.clone(), of_input(node))).collect()
}

#[test]
fn expected_means_are_those_of_normal_numbers() {
    let model = model("nn.SiLU()");
    let expected = expected_inputs(&model.graph, &model.params, Some(&[0.4, 0.5, 0.6]));
    assert_eq!(expected["model.0.conv"], [0.4, 0.5, 0.6]);
    // Against sums over many normal numbers for the first layer's channels.
    let (gamma, beta) = (model.params["model.0.bn.weight"].data(), model.params["model.0.bn.bias"].data());
    for (channel, mean) in expected["model.1.conv"].iter().enumerate() {
        let (mut sum, mut total) = (0.0, 0.0);
        for i in -4000..=4000 {
            let z = f64::from(i) / 500.0;
            let x = f64::from(beta[channel]) + f64::from(gamma[channel]).abs() * z;
            let p = (-0.5 * z * z).exp();
            (sum, total) = (sum + p * x / (1.0 + (-x).exp()), total + p);
        }
        assert!((mean - sum / total).abs() < 1e-6, "{channel}: {mean} {}", sum / total);
    }
    // A function with a kink, against a rule a hundred times as fine.
    let relu = self::model("nn.ReLU()");
    let expected_relu = expected_inputs(&relu.graph, &relu.params, None);
    let (gamma, beta) = (relu.params["model.0.bn.weight"].data(), relu.params["model.0.bn.bias"].data());
    for (channel, mean) in expected_relu["model.1.conv"].iter().enumerate() {
        let (mu, sigma) = (f64::from(beta[channel]), f64::from(gamma[channel]).abs());
        let (mut sum, mut total) = (0.0, 0.0);
        for i in -40_000..=40_000 {
            let z = f64::from(i) / 5000.0;
            let p = (-0.5 * z * z).exp();
            (sum, total) = (sum + p * (mu + sigma * z).max(0.0), total + p);
        }
        assert!((mean - sum / total).abs() < 5e-4 * sigma, "{channel}: {mean} {}", sum / total);
    }
    // Sums and concatenations pass means on; what follows a maximum or the image is not known.
    for (name, known) in [("model.2.cv3.conv", true), ("model.7.cv2.conv", false), ("model.15.m.0", true)] {
        assert_eq!(expected.contains_key(name), known, "{name}");
    }
    assert!(!expected_inputs(&model.graph, &model.params, None).contains_key("model.0.conv"));
}

#[test]
fn biases_take_back_what_rounding_shifts() {
    let model = model("nn.SiLU()");
    let (graph, params) = (&model.folded, &model.folded_params);
    let config = per_tensor(config(graph, params, PlacementOptions::default()), 3);
    let means = measured(&model);
    let corrected = correct_biases(graph, params, &config, &means).unwrap();
    assert!(corrected.skipped.is_empty());
    // A 1x1 convolution has no padding: the mean of its sums is exactly its weights times the means.
    let name = "model.2.cv1.conv";
    let (weight, mean) = (params[&format!("{name}.weight")].data(), &means[name]);
    let scales = config.weight_scales(name, weight, 12).unwrap();
    for row in 0..12 {
        let rounded = |w: f32| f64::from((w / scales[row]).round_ties_even().clamp(-3.0, 3.0) * scales[row]);
        let weights = &weight[row * mean.len()..][..mean.len()];
        let shift: f64 = weights.iter().zip(mean).map(|(&w, m)| (rounded(w) - f64::from(w)) * m).sum();
        let bias = |params: &nn_graph::Params| f64::from(params[&format!("{name}.bias")].data()[row]);
        assert!((bias(params) - shift - bias(&corrected.params)).abs() < 1e-5, "{row}: {shift}");
    }
    let float = lower_float(graph, params, Fusion::Fused).unwrap();
    let found = |params| error(&lower_integer(graph, params, &config).unwrap(), &float);
    assert!(found(&corrected.params) < 0.9 * found(params), "{} {}", found(&corrected.params), found(params));
}

#[test]
fn layers_without_known_means_are_named_and_wrong_means_refused() {
    let model = model("nn.SiLU()");
    let config = config(&model.folded, &model.folded_params, PlacementOptions::default());
    let expected = expected_inputs(&model.graph, &model.params, None);
    let done = correct_biases(&model.folded, &model.folded_params, &config, &expected).unwrap();
    assert_eq!(done.skipped, ["model.0.conv", "model.7.cv2.conv"]);
    assert_eq!(done.changes.len() + 2, convolutions(&model.folded).len());
    let unknown = BTreeMap::from([("model.1.conv".to_owned(), vec![f64::NAN; 16])]);
    let refused = correct_biases(&model.folded, &model.folded_params, &config, &unknown);
    assert!(matches!(refused, Err(Error::Tensor { tensor, .. }) if tensor == "model.1.conv"));
    let wrong = BTreeMap::from([("model.1.conv".to_owned(), vec![0.0; 3])]);
    let refused = correct_biases(&model.folded, &model.folded_params, &config, &wrong);
    assert!(matches!(refused, Err(Error::Tensor { tensor, .. }) if tensor == "model.1.conv"));
}
