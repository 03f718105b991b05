//! Networks whose quantisers are those of the integers that they become.

use super::{read, tensor, values};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Tensor};
use nn_graph::{Definition, Graph, Params, formula_params};
use ptq::{
    Collection, Fusion, Method, NormRatios, Placement, PlacementOptions, QuantConfig, lower_float,
    lower_integer,
};
use qat_inq::{
    FakeQuantization, Inq, LearnedSteps, Masked, Quantizers, Ratios, StepForm, StepUnit, Taps, block_outputs,
    distillation_loss,
};
use quant_core::{Executor, Rounding, Scheme, Values};
use yolo_model::{Network, NoHook};

const SIDE: usize = 32;
const TINY: &str = "
nc: 2
depth_multiple: 1.0
width_multiple: 1.0
anchors:
  - [4, 4, 8, 8]
backbone:
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, C3, [8]]
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, SPPF, [8, 5]]
head:
  - [-1, 1, nn.Upsample, [None, 2, nearest]]
  - [[-1, 1], 1, Concat, [1]]
  - [-1, 1, C3, [8, False]]
  - [[6], 1, Detect, [nc, anchors]]
";

pub(super) fn graph() -> Graph {
    parts().0
}

/// A small network, BatchNorm folded.
fn parts() -> (Graph, Params) {
    let graph = Graph::from_definition(&Definition::from_yaml("tiny", TINY).unwrap()).unwrap();
    let params = formula_params(&graph);
    graph.fold_batch_norm(&params).unwrap()
}

fn image(name: &str) -> Vec<f32> {
    values(name, 3 * SIDE * SIDE, [0.0, 1.0])
}

/// A network calibrated on some images.
fn calibrated(graph: &Graph, params: &Params) -> (QuantConfig, Quantizers) {
    let placement = Placement::new(graph, PlacementOptions::default());
    let float = lower_float(graph, params, Fusion::EveryTensor).unwrap();
    let mut executor = Executor::new(&float, SIDE, SIDE).unwrap();
    let mut statistics = Collection::new(graph, &[&placement]);
    for index in 0..4 {
        statistics.observe(&float, &mut executor, &image(&format!("image{index}"))).unwrap();
    }
    let config = QuantConfig::calibrate(graph, &placement, &statistics, Method::Max, Scheme::Affine).unwrap();
    let quantizers = Quantizers::of_config(graph, params, &config, &placement).unwrap();
    (config, quantizers)
}

/// What a program gives on an image, in real numbers.
fn run(program: &quant_core::Program, image: &[f32]) -> Vec<f32> {
    let mut executor = Executor::new(program, SIDE, SIDE).unwrap();
    executor.run(image).unwrap();
    let (tensor, values) = executor.outputs().next().unwrap();
    let params = program.tensors()[tensor].format.params();
    let real =
        |q: f64| params.map_or(q as f32, |p| ((q - f64::from(p.zero_point)) * f64::from(p.scale)) as f32);
    match values {
        Values::F32(values) => values.to_vec(),
        Values::I8(values) => values.iter().map(|&q| real(q.into())).collect(),
        Values::I16(values) => values.iter().map(|&q| real(q.into())).collect(),
    }
}

fn forward(network: &Network, hook: &mut FakeQuantization, image: &[f32], device: &Device) -> Vec<f32> {
    let outputs = network.forward_with(tensor(image, [1, 3, SIDE, SIDE], device), hook).unwrap();
    read(outputs[0].clone())
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    (sum / a.len() as f64).sqrt()
}

#[test]
fn fake_quantisation_is_what_integers_do() {
    let (graph, params) = parts();
    let (config, quantizers) = calibrated(&graph, &params);
    let float = lower_float(&graph, &params, Fusion::Fused).unwrap();
    let integer = lower_integer(&graph, &params, &config).unwrap();
    let device = Device::flex();
    let network = Network::new(&graph, &params, &device).unwrap();
    let mut hook = FakeQuantization::new(&graph, &quantizers, &device).unwrap();
    let image = image("seen");
    let (real, whole) = (run(&float, &image), run(&integer, &image));
    let fake = forward(&network, &mut hook, &image, &device);
    let (quantisation, rest) = (distance(&real, &whole), distance(&fake, &whole));
    assert!(quantisation > 0.0 && rest < 0.4 * quantisation, "{rest} of {quantisation}");
    let mut maps = hook.without_kernels();
    assert_ne!(forward(&network, &mut maps, &image, &device), fake);
}

#[test]
fn weights_on_their_grid_become_the_same_integers() {
    let (graph, params) = parts();
    let (mut config, quantizers) = calibrated(&graph, &params);
    let mut on_grid = params.clone();
    for (name, grid) in quantizers.grids(&graph, Rounding::HalfEven).unwrap() {
        let weight = on_grid.get_mut(&name).unwrap();
        let rows = weight.shape()[0];
        grid.project(weight.data_mut(), rows).unwrap();
    }
    assert_ne!(params, on_grid);
    for (name, kernel) in &quantizers.kernels {
        config.weight_scales.insert(name.strip_suffix(".weight").unwrap().to_owned(), kernel.steps.clone());
    }
    let [one, other] = [&params, &on_grid].map(|params| lower_integer(&graph, params, &config).unwrap());
    assert!(one.constants().eq(other.constants()));
}

#[test]
fn steps_of_normalised_weights_come_from_both_sides() {
    let (graph, params) = parts();
    let mut next = 0.0f32;
    let ratios = NormRatios::new(&graph, |_| {
        next += 0.125;
        Ok(next)
    })
    .unwrap();
    let quantizers = Quantizers::normalized(&graph, &ratios, 8, [0.5, -3.0], |_| Some(vec![0.25; 8]));
    let name = "model.6.cv1.conv";
    let id = graph.tensors().find(|&id| graph.node(id).name == name).unwrap();
    let read_steps = ratios.channels(graph.node(id).inputs[0]);
    assert!(read_steps.iter().any(|step| *step != read_steps[0]), "it reads a concatenation");
    let grids = quantizers.grids(&graph, Rounding::HalfAway).unwrap();
    let weight = &params[&format!("{name}.weight")];
    let mut found = weight.data().to_vec();
    grids[&format!("{name}.weight")].project(&mut found, weight.shape()[0]).unwrap();
    for (index, (found, w)) in found.iter().zip(weight.data()).enumerate() {
        let (row, column) = (index / read_steps.len(), index % read_steps.len());
        let step = 0.25 * f64::from(ratios.channels(id)[row]) / f64::from(read_steps[column]);
        let expected = (f64::from(*w) / step).round().clamp(-127.0, 127.0) * step;
        assert!((f64::from(*found) - expected).abs() < 1e-5, "{index}: {found} for {expected}");
    }
    let image = &quantizers.maps[0];
    assert_eq!((image.step, image.zero_point, image.learned), (0.5, -3.0, false));
}

#[test]
fn steps_learn_and_keep_their_form() {
    let (graph, params) = parts();
    let (_, mut first) = calibrated(&graph, &params);
    first.kernels.values_mut().for_each(|kernel| kernel.form = StepForm::Mantissa { first: 8, last: 21 });
    let device = Device::flex().autodiff();
    let network = Network::new(&graph, &params, &device).unwrap();
    let mut steps = LearnedSteps::new(&first, &device);
    let mut optimizer: burn::optim::ModuleOptimizer = AdamConfig::new().init();
    let image = image("seen");
    let target = forward(&network, &mut FakeQuantization::default(), &image, &device);
    let mut losses = Vec::new();
    for _ in 0..12 {
        let mut hook = FakeQuantization::learned(&graph, &first, &steps, &device).unwrap();
        let input: Tensor<4> = tensor(&image, [1, 3, SIDE, SIDE], &device);
        let output = network.forward_with(input, &mut hook).unwrap()[0].clone();
        let expected = tensor(&target, output.dims(), &device);
        let loss = (output - expected).square().mean();
        losses.push(loss.clone().into_scalar::<f32>());
        let gradients = GradientsParams::from_grads(loss.backward(), &steps);
        assert_eq!(gradients.len(), 2);
        steps = optimizer.step(3e-3, steps, gradients);
    }
    assert!(losses.iter().copied().fold(f32::MAX, f32::min) < losses[0], "{losses:?}");
    let now = steps.quantizers(&first).unwrap();
    assert_eq!(now.maps[0], first.maps[0], "the image's step stays");
    assert!(now.maps.iter().zip(&first.maps).any(|(a, b)| a.step != b.step));
    for (name, kernel) in &now.kernels {
        let form = kernel.form;
        assert!(kernel.steps.iter().all(|&step| form.nearest(step) == step), "{name}");
        assert_eq!(kernel.unit, StepUnit::Real);
    }
    let factors = steps.factors().unwrap();
    let again = LearnedSteps::of_factors(factors, &device).quantizers(&first).unwrap();
    assert_eq!(again, now);
    assert!(steps.quantizers(&Quantizers::default()).is_err());
}

#[test]
fn all_weights_end_on_their_grid() {
    let (graph, params) = parts();
    let (_, quantizers) = calibrated(&graph, &params);
    let inq = Inq::new(quantizers.grids(&graph, Rounding::HalfAway).unwrap());
    let device = Device::flex().autodiff();
    let teacher = Network::new(&graph, &params, &Device::flex()).unwrap();
    let taps = block_outputs(&graph);
    let (mut params, mut masks) = (params, None);
    for &ratio in Ratios::default().stages() {
        let (begun, frozen) = inq.begin(&params, masks.as_ref(), ratio).unwrap();
        let mut network = Network::new(&graph, &begun, &device).unwrap();
        let mut optimizer = Masked::new(AdamConfig::new().init(), &network, &frozen).unwrap();
        let maps = FakeQuantization::new(&graph, &quantizers, &device).unwrap().without_kernels();
        for step in 0..3 {
            let image = image(&format!("image{step}"));
            let mut seen = Taps::new(NoHook, &taps);
            teacher.forward_with(tensor(&image, [1, 3, SIDE, SIDE], &Device::flex()), &mut seen).unwrap();
            let targets = seen.seen.into_iter().map(|(id, value)| (id, Tensor::from_inner(value))).collect();
            let mut own = Taps::new(maps.clone(), &taps);
            network.forward_with(tensor(&image, [1, 3, SIDE, SIDE], &device), &mut own).unwrap();
            let loss = distillation_loss(&own.seen, &targets).unwrap();
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            network = optimizer.step(1e-3, network, gradients);
            optimizer.check(&network).unwrap();
        }
        let trained = network.to_params().unwrap();
        assert_eq!(inq.count_off(&trained, &frozen).unwrap(), 0);
        assert_ne!(trained, begun, "what is free has moved");
        (params, masks) = (trained, Some(frozen));
    }
    let [frozen, all] = masks.unwrap().counts();
    assert_eq!(frozen, all);
    for (name, grid) in &inq.grids {
        let weight = &params[name];
        assert_eq!(grid.count_off(weight.data(), weight.shape()[0]).unwrap(), 0, "{name}");
    }
}
