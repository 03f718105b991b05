//! On a device with autodiff, gradients reach every parameter that is to be trained, and only those.

use crate::{formula_image, formula_model};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use std::collections::BTreeMap;
use yolo_model::{Hook, Network};

/// Norms of the gradients, by path; parameters without one are left out.
struct Norms<'a> {
    gradients: &'a Gradients,
    path: Vec<String>,
    found: BTreeMap<String, f32>,
}

impl ModuleVisitor for Norms<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        if let Some(gradient) = parameter.val().grad(self.gradients) {
            self.found.insert(self.path.join("."), gradient.square().sum().sqrt().into_scalar::<f32>());
        }
    }
}

fn image(device: &Device) -> Tensor<4> {
    Tensor::from_data(TensorData::new(formula_image([64, 64]), [1, 3, 64, 64]), device)
}

fn loss(outputs: Vec<Tensor<4>>) -> Tensor<1> {
    outputs.into_iter().map(|head| head.square().sum()).reduce(|a, b| a + b).unwrap()
}

#[test]
fn gradients_reach_what_is_trained() {
    let device = Device::flex().autodiff();
    let (graph, params) = formula_model("yolov5n");
    let network = Network::new(&graph, &params, &device).unwrap();
    let gradients = loss(network.forward(image(&device)).unwrap()).backward();
    let mut norms = Norms { gradients: &gradients, path: Vec::new(), found: BTreeMap::new() };
    network.visit(&mut norms);
    let learnable: Vec<String> = params
        .keys()
        .filter(|name| graph.parameters().iter().any(|spec| spec.learnable && spec.name == **name))
        .cloned()
        .collect();
    assert_eq!(norms.found.keys().cloned().collect::<Vec<_>>(), learnable);
    let dead: Vec<_> = norms.found.iter().filter(|(_, norm)| !norm.is_normal()).collect();
    assert!(dead.is_empty(), "{dead:?}");
}

/// Training and inference copies: `valid` leaves autodiff, `train` returns, running statistics stay without gradient.
#[test]
fn the_inference_copy_has_no_gradient() {
    let device = Device::flex().autodiff();
    let (graph, params) = formula_model("yolov5n");
    let network = Network::new(&graph, &params, &device).unwrap();
    let valid = network.valid();
    assert!(!valid.devices()[0].is_autodiff());
    valid.forward(image(&Device::flex())).unwrap();
    let again = valid.train();
    let gradients = loss(again.forward(image(&device)).unwrap()).backward();
    let mut norms = Norms { gradients: &gradients, path: Vec::new(), found: BTreeMap::new() };
    again.visit(&mut norms);
    assert!(norms.found.contains_key("model.0.conv.weight"));
    assert!(!norms.found.keys().any(|name| name.contains("running")), "{:?}", norms.found.keys());
}

/// Scales one weight by a tensor of its own: the gradient has to pass through the hook.
struct Scale(Tensor<1>);

impl Hook for Scale {
    fn kernel(&mut self, name: &str, value: Tensor<4>) -> Tensor<4> {
        if name == "model.0.conv.weight" { value * self.0.clone().reshape([1, 1, 1, 1]) } else { value }
    }
}

#[test]
fn gradients_pass_through_hooks() {
    let device = Device::flex().autodiff();
    let (graph, params) = formula_model("yolov5n");
    let network = Network::new(&graph, &params, &device).unwrap();
    let scale = Tensor::<1>::from_floats([1.0], &device).require_grad();
    let gradients = loss(network.forward_with(image(&device), &mut Scale(scale.clone())).unwrap()).backward();
    let gradient = scale.grad(&gradients).unwrap().into_scalar::<f32>();
    assert!(gradient.is_normal(), "{gradient}");
}
