//! Every backend computes what burn-flex computes.
#![cfg(any(feature = "burn-ndarray", feature = "burn-wgpu"))]

use crate::{Distance, formula_image, formula_model, to_vec};
use burn::tensor::{Device, Tensor, TensorData};
use yolo_model::Network;

const SIZE: [usize; 2] = [64, 96];

fn heads(device: &Device) -> Vec<Vec<f32>> {
    let (graph, params) = formula_model("yolov5n");
    let network = Network::new(&graph, &params, device).unwrap();
    let image = TensorData::new(formula_image(SIZE), [1, 3, SIZE[0], SIZE[1]]);
    network.forward(Tensor::from_data(image, device)).unwrap().into_iter().map(to_vec).collect()
}

fn compare(device: &Device) {
    for (found, expected) in heads(device).iter().zip(&heads(&Device::flex())) {
        let distance = Distance::between(found, expected);
        println!("{device:?}: {distance:?}");
        assert!(distance.relative < 1e-4, "{distance:?}");
    }
}

#[test]
#[cfg(feature = "burn-ndarray")]
#[allow(deprecated)] // by Burn, in favour of burn-flex; here it is a second opinion
fn ndarray() {
    compare(&Device::ndarray());
}

#[test]
#[cfg(feature = "burn-wgpu")]
#[ignore = "needs a graphics adapter"]
fn wgpu() {
    compare(&Device::wgpu(burn::tensor::DeviceKind::DefaultDevice));
}
