//! Named parameters.

use std::collections::BTreeMap;

/// A dense `f32` tensor in C order (the last dimension varies fastest).
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    /// A tensor of `shape` over `data`; `None` unless `data` holds exactly the product of the dimensions.
    #[must_use]
    pub fn new(shape: Vec<usize>, data: Vec<f32>) -> Option<Self> {
        let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        (count == data.len()).then_some(Self { shape, data })
    }

    /// A tensor of one dimension.
    #[must_use]
    pub fn vector(data: Vec<f32>) -> Self {
        Self { shape: vec![data.len()], data }
    }

    /// The dimensions.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements in C order.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The elements in C order, to be changed in place.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }
}

/// Parameters and buffers by PyTorch path (`model.0.conv.weight`), sorted by name.
pub type Params = BTreeMap<String, Tensor>;
