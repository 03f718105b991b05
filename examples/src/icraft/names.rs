//! Names of tensors that files know by number only.

use super::error::IcraftError;
use crate::error::{Error, Result};
use crate::network::checkpoint_graph;
use icraft_raw::{Candidate, Evidence, InputChannels, RawFile, match_parameters};
use nn_graph::{Checkpoint, Graph, Op, Params, formula_params};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The parameter that a tensor was found to be.
#[derive(Debug, Clone)]
pub struct Named {
    /// Its name in the checkpoint.
    pub name: String,
    /// Its shape there.
    pub shape: Vec<usize>,
    /// Whether the parsed file has its input channels reversed.
    pub input_channels: InputChannels,
    /// How sure that is.
    pub evidence: Evidence,
}

/// Names by content: which tensor of a parsed raw file is which parameter of a checkpoint.
#[derive(Debug, Clone)]
pub struct Names {
    /// The parsed raw file.
    pub parsed: PathBuf,
    /// The parameter of every id.
    pub by_id: BTreeMap<u32, Named>,
    /// What the checkpoint has beside them, such as anchors.
    pub others: Params,
}

impl Names {
    /// Compares the tensors of `parsed` with the parameters of `checkpoint`, whose BatchNorm is folded first where it has any. `model` names
    /// its architecture where it does not describe it.
    ///
    /// # Errors
    /// Files that can't be read; [`IcraftError::Mapping`] if tensors and parameters are not the same.
    pub fn find(parsed: &Path, checkpoint: &Path, model: Option<&str>) -> Result<Self> {
        let (graph, mut params) = folded(checkpoint, model)?;
        let raw = RawFile::open(parsed).map_err(IcraftError::raw(parsed))?;
        let tensors = raw.entries().iter().map(|entry| Ok((entry.id, raw.view::<f32>(entry.id)?)));
        let tensors =
            tensors.collect::<std::result::Result<Vec<_>, _>>().map_err(IcraftError::raw(parsed))?;
        let tensors: Vec<(u32, &[f32])> =
            tensors.iter().map(|(id, values): &(u32, Cow<'_, [f32]>)| (*id, &**values)).collect();
        let names = parameter_names(&graph);
        let candidates: Vec<Candidate<'_>> = names
            .iter()
            .filter_map(|name| {
                let tensor = params.get(name)?;
                Some(Candidate { name, shape: tensor.shape(), values: tensor.data() })
            })
            .collect();
        let found = match_parameters(&tensors, &candidates)
            .map_err(|source| IcraftError::Mapping { path: parsed.to_owned(), source })?;
        let named = found.iter().map(|found| {
            let Candidate { name, shape, .. } = candidates[found.candidate];
            let (input_channels, evidence) = (found.input_channels, found.evidence);
            (found.id, Named { name: name.to_owned(), shape: shape.to_vec(), input_channels, evidence })
        });
        let by_id: BTreeMap<u32, Named> = named.collect();
        params.retain(|name, _| !names.contains(name));
        Ok(Self { parsed: parsed.to_owned(), by_id, others: params })
    }
}

/// Parameters of convolutions in the order of execution, weights before biases.
fn parameter_names(graph: &Graph) -> Vec<String> {
    let convolutions = graph.nodes().iter().filter(|node| matches!(node.op, Op::Conv(_)));
    convolutions.flat_map(|node| ["weight", "bias"].map(|kind| format!("{}.{kind}", node.name))).collect()
}

/// A checkpoint's graph and parameters without BatchNorm, whether the checkpoint still has it or not.
fn folded(path: &Path, model: Option<&str>) -> Result<(Graph, Params)> {
    let checkpoint = Checkpoint::open(path).map_err(|e| Error::model(path)(e.into()))?;
    check_finite(path, &checkpoint)?;
    match checkpoint_graph(path, &checkpoint, model) {
        Ok(graph) => graph.fold_batch_norm(&checkpoint.params).map_err(Error::model(path)),
        Err(error) => match model.map(without_batch_norm) {
            Some(Ok(graph)) if graph.check_params(&checkpoint.params).is_ok() => {
                Ok((graph, checkpoint.params))
            }
            _ => Err(error),
        },
    }
}

/// The graph that folding leaves of an architecture.
fn without_batch_norm(model: &str) -> Result<Graph> {
    let graph = crate::network::named_graph(model)?;
    let (folded, _) = graph.fold_batch_norm(&formula_params(&graph)).map_err(Error::model(model))?;
    Ok(folded)
}

/// Checks that a checkpoint holds numbers only.
///
/// # Errors
/// [`Error::NonFinite`].
pub fn check_finite(path: &Path, checkpoint: &Checkpoint) -> Result<()> {
    let bad = checkpoint.non_finite();
    let Some((tensor, count)) = bad.first() else { return Ok(()) };
    let (path, tensor) = (path.to_owned(), tensor.clone());
    Err(Error::NonFinite { path, tensor, count: *count, tensors: bad.len() })
}
