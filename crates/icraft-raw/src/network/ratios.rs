//! Tables of norm ratios that training on normalised feature maps needs.
//!
//! With x, y integers and N norm ratios: SiLU is `silu(x * N_in) / N_out`, an addition `(x * N_left + y * N_right) / N_sum`,
//! an output `y * N`. The tables hold before the stage that fuses operations (`HardOp`).

use super::NetworkError;
use super::model::{FeatureMap, Network, Operation};
use crate::PerAxis;
use std::collections::HashMap;

/// A feature map and the norm ratio that its channels share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FeatureRatio {
    /// The feature map's id, where the file gives one.
    pub id: Option<i64>,
    /// Its norm ratio.
    pub ratio: f32,
}

/// Norm ratios around one SiLU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SiluRatios {
    /// The operation.
    pub operation: i64,
    /// Its input.
    pub input: FeatureRatio,
    /// Its output.
    pub output: FeatureRatio,
}

/// Norm ratios around one addition of a shortcut and a branch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AddRatios {
    /// The operation.
    pub operation: i64,
    /// Left side: of the two inputs the one that was computed earlier, which the branch starts from.
    pub shortcut: FeatureRatio,
    /// Right side.
    pub branch: FeatureRatio,
    /// The output.
    pub sum: FeatureRatio,
}

impl Network {
    /// The feature map of this id, as the operation that writes it describes it; if none does, as one that reads it.
    pub fn feature_map(&self, id: i64) -> Option<&FeatureMap> {
        let written = self.operations.iter().flat_map(|operation| &operation.outputs);
        let read = self.operations.iter().flat_map(|operation| &operation.inputs);
        written.chain(read).find(|map| map.id == Some(id))
    }

    /// Norm ratios of the feature map of this id, one per channel.
    pub fn norm_ratio(&self, id: i64) -> Option<&PerAxis<f32>> {
        self.feature_map(id)?.element.norm_ratio()
    }

    /// Norm ratios of the network's outputs: the inputs of its last operation.
    ///
    /// # Errors
    ///
    /// [`NetworkError::NoRatio`] or [`NetworkError::RatioNotShared`].
    pub fn output_ratios(&self) -> Result<Vec<FeatureRatio>, NetworkError> {
        let Some(last) = self.operations.last() else { return Ok(Vec::new()) };
        last.inputs.iter().map(|map| ratio(last, map)).collect()
    }

    /// Norm ratios of every `Silu` or `SiLU`, in the order of execution.
    ///
    /// # Errors
    ///
    /// [`NetworkError::NoRatio`], [`NetworkError::RatioNotShared`], or [`NetworkError::Arity`].
    pub fn silu_ratios(&self) -> Result<Vec<SiluRatios>, NetworkError> {
        let silus = self.operations.iter().filter(|operation| operation.kind.eq_ignore_ascii_case("silu"));
        silus.map(silu).collect()
    }

    /// Norm ratios of every `Add` of two feature maps, in the order of execution.
    ///
    /// # Errors
    ///
    /// [`NetworkError::NoRatio`], [`NetworkError::RatioNotShared`], or [`NetworkError::Arity`].
    pub fn add_ratios(&self) -> Result<Vec<AddRatios>, NetworkError> {
        let mut written = HashMap::new();
        let mut found = Vec::new();
        for (position, operation) in self.operations.iter().enumerate() {
            if operation.kind.eq_ignore_ascii_case("add") && operation.params.is_empty() {
                found.push(add(operation, &written)?);
            }
            written.extend(operation.outputs.iter().map(|map| (map.id, position)));
        }
        Ok(found)
    }
}

fn silu(operation: &Operation) -> Result<SiluRatios, NetworkError> {
    let ([input], [output]) = (operation.inputs.as_slice(), operation.outputs.as_slice()) else {
        return Err(arity(operation, "one of each"));
    };
    let (input, output) = (ratio(operation, input)?, ratio(operation, output)?);
    Ok(SiluRatios { operation: operation.id, input, output })
}

/// `written` holds the positions of the operations that write each feature map.
fn add(operation: &Operation, written: &HashMap<Option<i64>, usize>) -> Result<AddRatios, NetworkError> {
    let ([first, second], [sum]) = (operation.inputs.as_slice(), operation.outputs.as_slice()) else {
        return Err(arity(operation, "two inputs and one output"));
    };
    let swapped = first.id.is_some() && written.get(&first.id) > written.get(&second.id);
    let (shortcut, branch) = if swapped { (second, first) } else { (first, second) };
    Ok(AddRatios {
        operation: operation.id,
        shortcut: ratio(operation, shortcut)?,
        branch: ratio(operation, branch)?,
        sum: ratio(operation, sum)?,
    })
}

fn arity(operation: &Operation, expected: &'static str) -> NetworkError {
    let (inputs, outputs) = (operation.inputs.len(), operation.outputs.len());
    NetworkError::Arity { operation: operation.id, kind: operation.kind.clone(), inputs, outputs, expected }
}

fn ratio(operation: &Operation, map: &FeatureMap) -> Result<FeatureRatio, NetworkError> {
    let (operation, feature_map) = (operation.id, map.id);
    let list = map.element.norm_ratio().ok_or(NetworkError::NoRatio { operation, feature_map })?;
    let ratio = list.shared().ok_or(NetworkError::RatioNotShared { operation, feature_map })?;
    Ok(FeatureRatio { id: map.id, ratio })
}
