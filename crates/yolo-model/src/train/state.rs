//! A training that can go on: everything that it knows, in one file.

use crate::{Error, Result};
use nn_graph::{Params, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, HashMap};

/// What optimizers' bytes are called, before their name, and where the progress is.
const OPTIMIZER: &str = "optimizer:";
const PROGRESS: &str = "progress";

/// What a training needs to go on as if it had never stopped. `P` is how far it has come, and its settings: whatever the program wants back.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingState<P> {
    /// Parameters by what they are of: `network`, `average`, `masks`. These names have no dots.
    pub parameters: BTreeMap<String, Params>,
    /// What optimizers know, as `ModuleOptimizer::into_bytes` gives it, by name.
    pub optimizers: BTreeMap<String, Vec<u8>>,
    /// How far it has come.
    pub progress: P,
}

impl<P: Serialize + DeserializeOwned> TrainingState<P> {
    /// The bytes of a safetensors file: parameters as `GROUP.NAME`, f32; optimizers as `optimizer:NAME`, u8; the progress as JSON in the metadata.
    ///
    /// # Errors
    /// [`Error::State`] if the progress can't be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let fault = |reason: String| Error::State { reason };
        let progress = serde_json::to_string(&self.progress).map_err(|error| fault(error.to_string()))?;
        let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        for (group, params) in &self.parameters {
            tensors.extend(params.iter().map(|(name, tensor)| {
                let bytes = tensor.data().iter().flat_map(|value| value.to_le_bytes()).collect();
                (format!("{group}.{name}"), Dtype::F32, tensor.shape().to_vec(), bytes)
            }));
        }
        tensors.extend(self.optimizers.iter().map(|(name, bytes)| {
            (format!("{OPTIMIZER}{name}"), Dtype::U8, vec![bytes.len()], bytes.clone())
        }));
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
        let mut state = Self { parameters: BTreeMap::new(), optimizers: BTreeMap::new(), progress };
        for (name, view) in file.iter() {
            match (name.strip_prefix(OPTIMIZER), name.split_once('.')) {
                (Some(name), _) => drop(state.optimizers.insert(name.to_owned(), view.data().to_vec())),
                (None, Some((group, parameter))) => {
                    let value = tensor(name, &view)?;
                    let params = state.parameters.entry(group.to_owned()).or_default();
                    params.insert(parameter.to_owned(), value);
                }
                _ => return Err(fault(format!("it has a tensor {name}, which no training wrote"))),
            }
        }
        Ok(state)
    }

    /// A group of parameters; `what` it is of.
    ///
    /// # Errors
    /// [`Error::State`] if there is none.
    pub fn parameters_of(&self, what: &str) -> Result<&Params> {
        let missing = || Error::State { reason: format!("it has no parameters of the {what}") };
        self.parameters.get(what).ok_or_else(missing)
    }

    /// The bytes of an optimizer.
    ///
    /// # Errors
    /// [`Error::State`] if there are none.
    pub fn optimizer_of(&self, what: &str) -> Result<&[u8]> {
        let missing = || Error::State { reason: format!("it has no state of the {what}'s optimizer") };
        self.optimizers.get(what).map(Vec::as_slice).ok_or_else(missing)
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
            parameters: [("network", 1.5), ("average", f32::MIN_POSITIVE)]
                .map(|(group, value)| (group.to_owned(), params(value)))
                .into(),
            optimizers: [("network".to_owned(), vec![1, 2, 255])].into(),
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
        let state = state();
        assert!(state.parameters_of("masks").is_err() && state.optimizer_of("steps").is_err());
    }
}
