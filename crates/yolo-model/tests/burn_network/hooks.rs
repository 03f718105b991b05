//! Hooks replace what they return, and a pass may start in the middle.

use crate::{Capture, folded_yolov5n, formula_image, formula_model, image_tensor, network, to_vec};
use burn::tensor::Tensor;
use nn_graph::{Graph, Node, Op, TensorId};
use std::collections::{BTreeMap, BTreeSet};
use yolo_model::{Hook, Network, NetworkError, NoHook};

const SIZE: [usize; 2] = [64, 64];

fn image() -> Tensor<4> {
    image_tensor(&formula_image(SIZE), SIZE)
}

fn find(graph: &Graph, name: &str) -> TensorId {
    graph.tensors().find(|id| graph.node(*id).name == name).unwrap()
}

fn heads(outputs: Vec<Tensor<4>>) -> Vec<Vec<f32>> {
    outputs.into_iter().map(to_vec).collect()
}

/// Makes one feature map zero.
struct Zero(TensorId);

impl Hook for Zero {
    fn feature_map(&mut self, id: TensorId, _: &Node, value: Tensor<4>) -> Tensor<4> {
        if id == self.0 { value.zeros_like() } else { value }
    }
}

/// Makes the parameters of one convolution zero.
struct Silence(&'static str);

impl Hook for Silence {
    fn kernel(&mut self, name: &str, value: Tensor<4>) -> Tensor<4> {
        if name.starts_with(self.0) { value.zeros_like() } else { value }
    }

    fn vector(&mut self, name: &str, value: Tensor<1>) -> Tensor<1> {
        if name.starts_with(self.0) { value.zeros_like() } else { value }
    }
}

/// Counts what it is shown.
#[derive(Default)]
struct Count {
    maps: Vec<TensorId>,
    parameters: BTreeMap<String, usize>,
}

impl Hook for Count {
    fn feature_map(&mut self, id: TensorId, node: &Node, value: Tensor<4>) -> Tensor<4> {
        assert_eq!(value.dims()[1], node.channels);
        self.maps.push(id);
        value
    }

    fn kernel(&mut self, name: &str, value: Tensor<4>) -> Tensor<4> {
        *self.parameters.entry(name.to_owned()).or_default() += 1;
        value
    }

    fn vector(&mut self, name: &str, value: Tensor<1>) -> Tensor<1> {
        *self.parameters.entry(name.to_owned()).or_default() += 1;
        value
    }
}

#[test]
fn a_hook_sees_everything_once() {
    let (graph, params) = formula_model("yolov5n");
    let mut count = Count::default();
    // as a trait object, too
    let hook: &mut dyn Hook = &mut count;
    network(&graph, &params).forward_with(image(), hook).unwrap();
    assert_eq!(count.maps, graph.tensors().collect::<Vec<_>>());
    let expected: BTreeMap<String, usize> = graph.parameters().into_iter().map(|p| (p.name, 1)).collect();
    assert_eq!(count.parameters, expected);
}

#[test]
fn a_replaced_feature_map_reaches_its_descendants_only() {
    let (graph, params) = folded_yolov5n();
    let network = network(&graph, &params);
    let (mut before, mut after) = (Capture::default(), Capture::default());
    network.forward_with(image(), &mut before).unwrap();
    let id = find(&graph, "model.17.m.0.cv1.conv");
    struct Both<'a>(Zero, &'a mut Capture);
    impl Hook for Both<'_> {
        fn feature_map(&mut self, id: TensorId, node: &Node, value: Tensor<4>) -> Tensor<4> {
            let value = self.0.feature_map(id, node, value);
            self.1.feature_map(id, node, value)
        }
    }
    network.forward_with(image(), &mut Both(Zero(id), &mut after)).unwrap();
    let changed = |id: &TensorId| to_vec(before.0[id].clone()) != to_vec(after.0[id].clone());
    let mut expected = network.descendants(id);
    expected.insert(id);
    assert_eq!(graph.tensors().filter(changed).collect::<BTreeSet<_>>(), expected);
    assert!(graph.outputs().iter().all(|head| expected.contains(head)));
    assert!(to_vec(after.0[&id].clone()).iter().all(|v| *v == 0.0));
}

#[test]
fn a_replaced_parameter_is_used() {
    let (graph, params) = folded_yolov5n();
    let network = network(&graph, &params);
    let before = heads(network.forward(image()).unwrap());
    let after = heads(network.forward_with(image(), &mut Silence("model.24.m.1.")).unwrap());
    assert!(after[1].iter().all(|v| *v == 0.0));
    assert!(before[1].iter().any(|v| *v != 0.0));
    assert_eq!([&before[0], &before[2]], [&after[0], &after[2]]);
}

#[test]
fn a_pass_restarts_from_cached_feature_maps() {
    let (graph, params) = formula_model("yolov5n");
    let network = network(&graph, &params);
    let mut capture = Capture::default();
    let whole = heads(network.forward_with(image(), &mut capture).unwrap());
    // Nothing to compute.
    let mut count = Count::default();
    assert_eq!(heads(network.forward_from(&capture.0, &mut count).unwrap()), whole);
    assert!(count.maps.is_empty() && count.parameters.is_empty());
    // Any feature map and all that depends on it computed again.
    for name in ["input", "model.0.bn", "model.9.cv1.act", "model.13.cv2.conv", "model.24.m.2"] {
        let id = find(&graph, name);
        let stale = network.descendants(id);
        let mut cached = capture.0.clone();
        cached.retain(|id, _| !stale.contains(id));
        let mut count = Count::default();
        assert_eq!(heads(network.forward_from(&cached, &mut count).unwrap()), whole, "{name}");
        assert_eq!(count.maps.into_iter().collect::<BTreeSet<_>>(), stale, "{name}");
    }
}

/// Leaving one feature map out by restarting gives the bits of a hook in a whole pass.
#[test]
fn a_restart_with_a_changed_feature_map_equals_a_hook() {
    let (graph, params) = folded_yolov5n();
    let network = network(&graph, &params);
    let mut capture = Capture::default();
    network.forward_with(image(), &mut capture).unwrap();
    let id = find(&graph, "model.6.cv3.act");
    let stale = network.descendants(id);
    let mut cached = capture.0;
    cached.retain(|id, _| !stale.contains(id));
    cached.insert(id, cached[&id].zeros_like());
    let restarted = heads(network.forward_from(&cached, &mut NoHook).unwrap());
    assert_eq!(restarted, heads(network.forward_with(image(), &mut Zero(id)).unwrap()));
}

#[test]
fn only_what_the_outputs_need_is_computed() {
    let (graph, params) = folded_yolov5n();
    let network = network(&graph, &params);
    let mut capture = Capture::default();
    network.forward_with(image(), &mut capture).unwrap();
    // The heads' inputs suffice; the image is not asked for.
    let readers: BTreeSet<TensorId> = graph.outputs().iter().map(|id| graph.node(*id).inputs[0]).collect();
    let cached = capture.0.into_iter().filter(|(id, _)| readers.contains(id)).collect();
    let mut count = Count::default();
    network.forward_from(&cached, &mut count).unwrap();
    assert_eq!(count.maps, graph.outputs());
}

#[test]
fn an_absent_image_is_named() {
    let (graph, params) = folded_yolov5n();
    let fault = network(&graph, &params).forward_from(&BTreeMap::new(), &mut NoHook).unwrap_err();
    assert!(matches!(&fault, NetworkError::Missing { name } if name == "input"), "{fault}");
}

fn shapes_fault(network: &Network, image: Tensor<4>, hook: &mut impl Hook) -> String {
    match network.forward_with(image, hook).unwrap_err() {
        NetworkError::Shapes { node, .. } => node,
        other => panic!("{other}"),
    }
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let (graph, params) = folded_yolov5n();
    let network = network(&graph, &params);
    let grey = image().slice([0..1, 0..1]);
    assert_eq!(shapes_fault(&network, grey, &mut NoHook), "input");
    // 48 is no multiple of 32: upsampling 2 rows does not give the 3 that it is joined with.
    let odd = image().slice([0..1, 0..3, 0..48, 0..64]);
    assert!(shapes_fault(&network, odd, &mut NoHook).starts_with("model.12"));
    struct Crop;
    impl Hook for Crop {
        fn feature_map(&mut self, _: TensorId, node: &Node, value: Tensor<4>) -> Tensor<4> {
            if node.op == Op::Add { value.slice([0..1, 0..1]) } else { value }
        }
    }
    assert!(shapes_fault(&network, image(), &mut Crop).starts_with("model.2."));
    let (larger, _) = formula_model("yolov5s");
    let foreign = BTreeMap::from([(larger.tensors().last().unwrap(), image())]);
    assert!(matches!(network.forward_from(&foreign, &mut NoHook), Err(NetworkError::Foreign { .. })));
}
