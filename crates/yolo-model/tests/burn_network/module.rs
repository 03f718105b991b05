//! Parameters go in and come out, and Burn sees them under the graph's names.

use crate::{folded_yolov5n, formula_image, formula_model, image_tensor, network, to_vec};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use nn_graph::{Error, formula_params};
use std::collections::BTreeMap;
use yolo_model::{Network, NetworkError};

/// What a visitor finds: shapes by path.
#[derive(Default)]
struct Found {
    path: Vec<String>,
    parameters: BTreeMap<String, Vec<usize>>,
}

impl ModuleVisitor for Found {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, name: &str, _: &str) {
        assert_eq!(self.path.pop().as_deref(), Some(name));
    }

    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        self.parameters.insert(self.path.join("."), parameter.lazy_shape().to_vec());
    }
}

#[test]
fn parameters_come_back() {
    for (graph, params) in [formula_model("yolov5n"), folded_yolov5n()] {
        let network = network(&graph, &params);
        assert_eq!(network.to_params().unwrap(), params);
        assert_eq!(network.graph(), &graph);
    }
}

#[test]
fn burn_sees_the_names_of_the_graph() {
    let (graph, params) = formula_model("yolov5n");
    let network = network(&graph, &params);
    let mut found = Found::default();
    network.visit(&mut found);
    assert!(found.path.is_empty());
    let expected = graph.parameters().into_iter().map(|p| (p.name, p.shape));
    assert_eq!(found.parameters, expected.collect());
    let values: usize = params.values().map(|t| t.data().len()).sum();
    assert_eq!(network.num_params(), values);
    assert_eq!(network.devices(), [Device::flex()]);
}

/// Doubles every parameter of one module.
struct Double {
    path: Vec<String>,
    prefix: &'static str,
}

impl ModuleMapper for Double {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.path.join(".").starts_with(self.prefix) {
            parameter.map(|value| value * 2.0)
        } else {
            parameter
        }
    }
}

#[test]
fn a_mapped_copy_leaves_the_original_alone() {
    let (graph, params) = formula_model("yolov5n");
    let network = network(&graph, &params);
    let mapped = network.clone().map(&mut Double { path: Vec::new(), prefix: "model.3.bn." });
    assert_eq!(network.to_params().unwrap(), params);
    let mut expected = params;
    for (_, tensor) in expected.iter_mut().filter(|(name, _)| name.starts_with("model.3.bn.")) {
        tensor.data_mut().iter_mut().for_each(|v| *v *= 2.0);
    }
    assert_eq!(mapped.to_params().unwrap(), expected);
}

/// The record of a trained network goes into another one of the same graph.
#[test]
fn records_carry_the_parameters() {
    let (graph, params) = folded_yolov5n();
    let mut other = formula_params(&graph);
    other.values_mut().for_each(|tensor| tensor.data_mut().fill(0.25));
    let record = network(&graph, &params).into_record();
    let loaded = network(&graph, &other).try_load_record(record).unwrap();
    assert_eq!(loaded.to_params().unwrap(), params);
}

#[test]
fn training_state_survives() {
    let (graph, params) = folded_yolov5n();
    let network = network(&graph, &params);
    let size = [64, 64];
    let image = image_tensor(&formula_image(size), size);
    let expected: Vec<_> = network.forward(image.clone()).unwrap().into_iter().map(to_vec).collect();
    let valid = network.valid();
    let found: Vec<_> = valid.forward(image).unwrap().into_iter().map(to_vec).collect();
    assert_eq!(found, expected);
    let moved = valid.to_device(&Device::flex()).fork(&Device::flex()).materialize();
    assert_eq!(moved.to_params().unwrap(), params);
    assert!(format!("{moved:?}").starts_with("Network"));
}

#[test]
fn parameters_that_do_not_fit_are_all_named() {
    let (graph, mut params) = formula_model("yolov5n");
    params.remove("model.0.conv.weight").unwrap();
    params.remove("model.3.bn.running_var").unwrap();
    params.insert("model.99.bias".to_owned(), nn_graph::Tensor::vector(vec![0.0]));
    let Err(NetworkError::Graph(Error::Params(mismatch))) = Network::new(&graph, &params, &Device::flex())
    else {
        panic!("accepted");
    };
    let missing: Vec<_> = mismatch.missing.iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(missing, ["model.0.conv.weight", "model.3.bn.running_var"]);
    assert_eq!(mismatch.extra, ["model.99.bias"]);
}
