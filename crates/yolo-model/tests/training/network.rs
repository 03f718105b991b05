use crate::{read, tensor, values};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use nn_graph::{Definition, Graph, Params};
use yolo_model::{Ema, Head, ImageSize, Network, NoHook, initial_params, sgd};

const TINY: &str = "
nc: 2
depth_multiple: 1.0
width_multiple: 1.0
anchors: [[8, 8, 16, 16]]
backbone:
  - [-1, 1, Conv, [4, 3, 2]]
  - [-1, 1, Conv, [6, 3, 2]]
head:
  - [[1], 1, Detect, [nc, anchors]]
";

pub(crate) fn tiny() -> (Graph, Head) {
    let graph = Graph::from_definition(&Definition::from_yaml("tiny", TINY).unwrap()).unwrap();
    (graph, Head { class_count: 2, anchors: vec![vec![[8.0, 8.0], [16.0, 16.0]]], strides: vec![4] })
}

pub(crate) fn image(device: &Device) -> Tensor<4> {
    tensor(&values("image", 2 * 3 * 16 * 24, [0.0, 1.0]), [2, 3, 16, 24], device)
}

fn network(seed: u64, device: &Device) -> Network {
    let (graph, head) = tiny();
    Network::new(&graph, &initial_params(&graph, &head, seed), device).unwrap()
}

fn vector<'p>(params: &'p Params, name: &str) -> &'p [f32] {
    params
        .get(name)
        .unwrap_or_else(|| panic!("{name} of {:?}", params.iter().map(|p| p.0).collect::<Vec<_>>()))
        .data()
}

/// BatchNorm in training leaves a mean of 0 and, but for epsilon, a variance of 1, and moves the running statistics towards those of the batch.
#[test]
fn batches_are_normalised_and_noted() {
    struct First(Option<[Tensor<4>; 2]>, Option<Tensor<4>>);
    impl yolo_model::Hook for First {
        fn feature_map(
            &mut self,
            _: nn_graph::TensorId,
            node: &nn_graph::Node,
            value: Tensor<4>,
        ) -> Tensor<4> {
            match (&node.op, self.1.take()) {
                (nn_graph::Op::BatchNorm { .. }, Some(before)) if self.0.is_none() => {
                    self.0 = Some([before, value.clone()]);
                }
                _ => self.1 = Some(value.clone()),
            }
            value
        }
    }
    let device = Device::flex().autodiff();
    let network = network(1, &device);
    let mut seen = First(None, None);
    let (_, statistics) = network.forward_train(image(&device), &mut seen).unwrap();
    let [before, after] = seen.0.unwrap();
    let channel = |tensor: &Tensor<4>, c: usize| -> Vec<f64> {
        let [batch, channels, height, width] = tensor.dims();
        let data = read(tensor.clone());
        let plane = height * width;
        (0..batch)
            .flat_map(|n| {
                data[(n * channels + c) * plane..][..plane].iter().map(|v| f64::from(*v)).collect::<Vec<_>>()
            })
            .collect()
    };
    let moments = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>(), values.len() as f64)
    };
    let updated = network.update_statistics(&statistics, 0.03).to_params().unwrap();
    for c in 0..4 {
        let (mean, squares, count) = moments(&channel(&before, c));
        let variance = squares / count;
        let (normed, spread, _) = moments(&channel(&after, c));
        let expected = variance / (variance + 1e-3);
        assert!(normed.abs() < 1e-5 && (spread / count - expected).abs() < 1e-3, "{normed} {spread}");
        let running = f64::from(vector(&updated, "model.0.bn.running_mean")[c]);
        assert!((running - 0.03 * mean).abs() < 1e-6, "{running} {mean}");
        let running = f64::from(vector(&updated, "model.0.bn.running_var")[c]);
        let expected = 0.97 + 0.03 * squares / (count - 1.0);
        assert!((running - expected).abs() < 1e-6, "{running} {expected}");
    }
}

#[test]
fn averages_follow_their_formula() {
    let device = Device::flex().autodiff();
    let (first, second) = (network(1, &device), network(2, &device));
    let mut ema = Ema::new(&first, 0, 0.9, 5.0);
    ema.update(&second);
    assert_eq!(ema.updates(), 1);
    let share = 0.9 * (1.0 - (-1.0f64 / 5.0).exp());
    let [a, b, found] = [&first, &second, ema.network()].map(|network| network.to_params().unwrap());
    let name = "model.0.conv.weight";
    for ((a, b), found) in vector(&a, name).iter().zip(vector(&b, name)).zip(vector(&found, name)) {
        let expected = share * f64::from(*a) + (1.0 - share) * f64::from(*b);
        assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} {expected}");
    }
}

/// Learning works: the loss of a batch falls, and what the optimizer knows can be stored, to go on to the bit.
#[test]
fn training_lowers_the_loss_and_can_be_resumed() {
    let (graph, head) = tiny();
    let device = Device::flex().autodiff();
    let size = ImageSize::new(16, 24);
    let labels = [
        yolo_model::BatchLabel { image: 0, class: 1, bbox: [2.0, 2.0, 11.0, 12.0] },
        yolo_model::BatchLabel { image: 1, class: 0, bbox: [9.0, 3.0, 20.0, 13.0] },
    ];
    let config = yolo_model::LossConfig::scaled(&head, ImageSize::new(640, 640));
    let loss = yolo_model::DetectionLoss::new(&head, config).unwrap();
    let step = |network: Network, optimizer: &mut burn::optim::ModuleOptimizer| {
        let (outputs, statistics) = network.forward_train(image(&device), &mut NoHook).unwrap();
        let total = loss.evaluate(&outputs, &labels, size).unwrap().total;
        let value = read(total.clone())[0];
        let gradients = GradientsParams::from_grads(total.backward(), &network);
        (optimizer.step(1.0, network, gradients).update_statistics(&statistics, 0.03), value)
    };
    let start = || {
        let network = network(3, &device);
        let (optimizer, rates) = sgd(&network, 5e-4);
        *rates.lock().unwrap() = yolo_model::Rates { weights: 0.05, biases: 0.05, momentum: 0.9 };
        (network, optimizer, rates)
    };
    let (mut network, mut optimizer, _rates) = start();
    let mut values = Vec::new();
    let mut stored = None;
    for count in 0..30 {
        let (next, value) = step(network, &mut optimizer);
        network = next;
        values.push(value);
        if count == 9 {
            stored = Some((network.to_params().unwrap(), optimizer.into_bytes().unwrap()));
        }
    }
    assert!(values[29] < 0.6 * values[0], "{values:?}");

    let (params, state) = stored.unwrap();
    let (_, optimizer, _rates) = start();
    let mut optimizer = optimizer.from_bytes(state).unwrap();
    let mut resumed = Network::new(&graph, &params, &device).unwrap();
    for value in &values[10..] {
        let (next, again) = step(resumed, &mut optimizer);
        resumed = next;
        assert_eq!(again.to_bits(), value.to_bits());
    }
    assert_eq!(resumed.to_params().unwrap(), network.to_params().unwrap());
    let _ = resumed.valid();
}
