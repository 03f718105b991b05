//! Masked steps beside plain ones, learned steps beside ptq's quantiser and beside differences, fake quantisation beside integers.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod distillation;
mod fake_quant;
mod masked;
mod network;

use burn::tensor::{Device, Tensor, TensorData};
use nn_graph::formula_uniform;

/// Values in `[low, high)` by name and position.
fn values(name: &str, count: usize, [low, high]: [f64; 2]) -> Vec<f32> {
    (0..count).map(|i| (low + (high - low) * formula_uniform(name, i as u64)) as f32).collect()
}

fn tensor<const D: usize>(data: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(data.to_vec(), shape), device)
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as().unwrap()
}
