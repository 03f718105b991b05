//! The distillation loss by its formula.

use super::{read, tensor, values};
use burn::tensor::Device;
use nn_graph::{Definition, Graph};
use qat_inq::{block_outputs, distillation_loss};
use std::collections::BTreeMap;

#[test]
fn the_loss_is_that_of_the_formula() {
    let device = Device::flex().autodiff();
    let graph = super::network::graph();
    let ids: Vec<_> = graph.tensors().collect();
    let shape = [2, 3, 2, 2];
    let maps = |name: &str| {
        [values(&format!("{name}0"), 24, [-1.0, 2.0]), values(&format!("{name}1"), 24, [0.0, 9.0])]
    };
    let (student, teacher) = (maps("s"), maps("t"));
    let leaf = tensor::<4>(&student[0], shape, &device).require_grad();
    let of = |values: &[Vec<f32>; 2]| values.clone().map(|v| tensor::<4>(&v, shape, &device));
    let mut seen: BTreeMap<_, _> = ids.iter().copied().zip(of(&student)).collect();
    seen.insert(ids[0], leaf.clone());
    // One that the teacher does not have.
    seen.insert(ids[4], leaf.clone());
    let targets: BTreeMap<_, _> = ids.iter().copied().zip(of(&teacher)).collect();
    let loss = distillation_loss(&seen, &targets).unwrap();
    let square = |v: f32| f64::from(v) * f64::from(v);
    let error = |s: &[f32], t: &[f32]| {
        let difference: f64 = s.iter().zip(t).map(|(a, b)| square(a - b)).sum();
        difference / t.iter().map(|&t| square(t)).sum::<f64>()
    };
    let expected = (error(&student[0], &teacher[0]) + error(&student[1], &teacher[1])) / 2.0;
    assert!((f64::from(loss.clone().into_scalar::<f32>()) - expected).abs() < 1e-5 * expected);
    let size: f64 = teacher[0].iter().map(|&t| square(t)).sum();
    let gradient = read(leaf.grad(&loss.backward()).unwrap());
    for ((found, s), t) in gradient.iter().zip(&student[0]).zip(&teacher[0]) {
        let expected = f64::from(s - t) / size;
        assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} for {expected}");
    }
    assert!(distillation_loss(&seen, &BTreeMap::new()).is_none());
}

#[test]
fn blocks_are_the_top_level_modules() {
    let text = include_str!("../../../../fixtures/demo/model.yaml");
    let graph = Graph::from_definition(&Definition::from_yaml("demo", text).unwrap()).unwrap();
    let names: Vec<&str> = block_outputs(&graph).iter().map(|&id| graph.node(id).name.as_str()).collect();
    assert_eq!(names[..3], ["model.0.act", "model.1.act", "model.2.cv3.act"]);
    assert!(graph.outputs().iter().all(|&id| names.contains(&graph.node(id).name.as_str())));
    assert!(!names.iter().any(|name| name.contains("cat")), "{names:?}");
}
