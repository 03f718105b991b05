//! A training that can go on: everything that it knows, in one file.

use crate::{Error, Result};
use nn_graph::{Params, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::HashMap;

/// Prefixes of tensors, and the names of what is no parameter.
const NETWORK: &str = "network.";
const AVERAGE: &str = "average.";
const OPTIMIZER: &str = "optimizer";
const PROGRESS: &str = "progress";

/// What a training needs to go on as if it had never stopped. `P` is how far it has come, and its settings: whatever the program wants back.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingState<P> {
    /// Parameters of the network.
    pub network: Params,
    /// Parameters of its average.
    pub average: Params,
    /// What the optimizer knows, as `ModuleOptimizer::into_bytes` gives it.
    pub optimizer: Vec<u8>,
    /// How far it has come.
    pub progress: P,
}

impl<P: Serialize + DeserializeOwned> TrainingState<P> {
    /// The bytes of a safetensors file: parameters as `network.NAME` and `average.NAME`, f32; `optimizer`, u8; the progress as JSON in the metadata.
    ///
    /// # Errors
    /// [`Error::State`] if the progress can't be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let fault = |reason: String| Error::State { reason };
        let progress = serde_json::to_string(&self.progress).map_err(|error| fault(error.to_string()))?;
        let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        for (prefix, params) in [(NETWORK, &self.network), (AVERAGE, &self.average)] {
            tensors.extend(params.iter().map(|(name, tensor)| {
                let bytes = tensor.data().iter().flat_map(|value| value.to_le_bytes()).collect();
                (format!("{prefix}{name}"), Dtype::F32, tensor.shape().to_vec(), bytes)
            }));
        }
        let length = vec![self.optimizer.len()];
        tensors.push((OPTIMIZER.to_owned(), Dtype::U8, length, self.optimizer.clone()));
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            TensorView::new(*dtype, shape.clone(), bytes).map(|view| (name.as_str(), view))
        });
        let views =
            views.collect::<std::result::Result<Vec<_>, _>>().map_err(|error| fault(error.to_string()))?;
        let metadata = HashMap::from([(PROGRESS.to_owned(), progress)]);
        safetensors::serialize(views, Some(metadata)).map_err(|error| fault(error.to_string()))
    }

    /// Reads what [`TrainingState::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Error::State`] says what is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let fault = |reason: String| Error::State { reason };
        let file = SafeTensors::deserialize(bytes).map_err(|error| fault(error.to_string()))?;
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| fault(error.to_string()))?;
        let progress = metadata.metadata().as_ref().and_then(|entries| entries.get(PROGRESS));
        let progress = progress.ok_or_else(|| fault("it has no progress".to_owned()))?;
        let progress = serde_json::from_str(progress).map_err(|error| fault(error.to_string()))?;
        let (mut network, mut average) = (Params::new(), Params::new());
        let mut optimizer = None;
        for (name, view) in file.iter() {
            match (name.strip_prefix(NETWORK), name.strip_prefix(AVERAGE)) {
                (Some(name), _) => drop(network.insert(name.to_owned(), tensor(name, &view)?)),
                (_, Some(name)) => drop(average.insert(name.to_owned(), tensor(name, &view)?)),
                _ if name == OPTIMIZER => optimizer = Some(view.data().to_vec()),
                _ => return Err(fault(format!("it has a tensor {name}, which no training wrote"))),
            }
        }
        let optimizer = optimizer.ok_or_else(|| fault("it has no state of an optimizer".to_owned()))?;
        Ok(Self { network, average, optimizer, progress })
    }
}

fn tensor(name: &str, view: &TensorView<'_>) -> Result<Tensor> {
    let fault = |what: &str| Error::State { reason: format!("{name} {what}") };
    if view.dtype() != Dtype::F32 {
        return Err(fault("is not in f32"));
    }
    let (values, _) = view.data().as_chunks::<4>();
    let values = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Tensor::new(view.shape().to_vec(), values).ok_or_else(|| fault("has another shape than values"))
}

/// How far a training by epochs has come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Epochs that are done.
    pub epochs: u64,
    /// Steps that are done.
    pub steps: u64,
    /// Networks in the average.
    pub updates: u64,
    /// Best fitness so far; below zero for none.
    pub best: f64,
    /// After how many epochs.
    pub best_epoch: u64,
}

impl Default for Progress {
    fn default() -> Self {
        Self { epochs: 0, steps: 0, updates: 0, best: -1.0, best_epoch: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> TrainingState<Progress> {
        let params = |value: f32| -> Params {
            [("a.weight".to_owned(), Tensor::new(vec![2, 1], vec![value, -0.0]).unwrap())]
                .into_iter()
                .collect()
        };
        let progress = Progress { epochs: 3, best: 0.25, ..Progress::default() };
        TrainingState {
            network: params(1.5),
            average: params(f32::MIN_POSITIVE),
            optimizer: vec![1, 2, 255],
            progress,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let state = state();
        let bytes = state.to_bytes().unwrap();
        assert_eq!(TrainingState::from_bytes(&bytes).unwrap(), state);
        assert_eq!(state.to_bytes().unwrap(), bytes);
    }

    #[test]
    fn damage_is_told() {
        let bytes = state().to_bytes().unwrap();
        for end in [0, 7, 40, bytes.len() - 1] {
            assert!(TrainingState::<Progress>::from_bytes(&bytes[..end]).is_err(), "{end}");
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(text.contains("optimizer"));
        let other = bytes.windows(9).position(|window| window == b"optimizer").unwrap();
        let mut changed = bytes.clone();
        changed[other] = b'0';
        let error = TrainingState::<Progress>::from_bytes(&changed).unwrap_err();
        assert!(error.to_string().contains("0ptimizer"), "{error}");
    }
}
