//! Which parameter of a model is which tensor of a raw file.
//!
//! Legacy files name their tensors by numbers only, so parameters are found by content. Every tensor of the file is
//! put into a class of tensors with the same bits. A parameter, brought into the layout of raw files, is looked up among
//! the classes and takes the next tensor of its class that is still free. Having the same bits is
//! transitive, so taking them in order finds a bijection whenever there is one. Parameters that are left
//! over then try again with their input channels reversed.

mod classes;
mod error;

use std::collections::BTreeSet;

pub use error::{Closest, MappingError};

use crate::layout::{LayoutError, reverse_input_channels, to_raw_layout};
use classes::Classes;

/// A parameter that a tensor of the raw file may be.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'c> {
    /// Its name in the model, for messages.
    pub name: &'c str,
    /// Shape in the framework's order: `[O, I, H, W]`, `[O, I, N]` or `[O]`.
    pub shape: &'c [usize],
    /// Values in the framework's order.
    pub values: &'c [f32],
}

/// How the input channels of a tensor in the raw file lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InputChannels {
    /// In the framework's order.
    Kept,
    /// In reverse, as in a first convolution that takes BGR instead of RGB.
    Reversed,
}

/// Why a tensor was taken for a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// No other tensor and no other parameter has the same content.
    Content,
    /// Several have the same content, such as biases that are all zero; the first tensor of them in the table was
    /// taken for the first of the candidates, and so on.
    Order,
}

/// A tensor of a raw file and its parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Match {
    /// The tensor's id.
    pub id: u32,
    /// Index of the parameter among the candidates.
    pub candidate: usize,
    /// Order of the tensor's input channels.
    pub input_channels: InputChannels,
    /// How sure the match is.
    pub evidence: Evidence,
}

/// Finds the parameter of each tensor by comparing whole tensors, bit for bit, after a change to the layout of raw
/// files. Weights of three input channels are also tried with these reversed, if they match nothing as they are.
///
/// `tensors` are the ids and elements of a float raw file in the order of its table, usually of the `_parsed` stage;
/// `candidates` the model's parameters in the order of execution, without buffers such as `model.24.anchors`. Every
/// tensor gets one parameter and every parameter one tensor. The result is in the order of `tensors`.
///
/// Takes time and memory in proportion to the elements; one parameter at a time is copied.
///
/// # Errors
///
/// [`MappingError::Candidate`] for a shape that does not fit its values; [`MappingError::DuplicateId`];
/// [`MappingError::NoCandidate`] for the first tensor whose content no parameter has;
/// [`MappingError::Unpaired`] when a content occurs more often on one side;
/// [`MappingError::LeftOver`] for parameters whose content no tensor has.
pub fn match_parameters(
    tensors: &[(u32, &[f32])],
    candidates: &[Candidate<'_>],
) -> Result<Vec<Match>, MappingError> {
    check_ids(tensors)?;
    let mut pairing = Pairing::new(tensors);
    let mut unmatched = Vec::new();
    for (index, candidate) in candidates.iter().enumerate() {
        if !pairing.take(&in_raw_layout(candidate)?, index, InputChannels::Kept) {
            unmatched.push(index);
        }
    }
    for index in unmatched {
        let values = reversed(&candidates[index])?;
        if !values.is_some_and(|values| pairing.take(&values, index, InputChannels::Reversed)) {
            pairing.left_over.push(index);
        }
    }
    pairing.matches().ok_or_else(|| error::explain(candidates, &pairing))
}

/// Tensors and candidates, some of them paired.
struct Pairing<'t> {
    tensors: &'t [(u32, &'t [f32])],
    classes: Classes<'t>,
    /// The candidate of each tensor.
    taken: Vec<Option<(usize, InputChannels)>>,
    /// Candidates without a tensor.
    left_over: Vec<usize>,
}

impl<'t> Pairing<'t> {
    fn new(tensors: &'t [(u32, &'t [f32])]) -> Self {
        let taken = vec![None; tensors.len()];
        Self { tensors, classes: Classes::new(tensors), taken, left_over: Vec::new() }
    }

    /// Gives the next free tensor of these values to a candidate; whether there was one.
    fn take(&mut self, values: &[f32], candidate: usize, input_channels: InputChannels) -> bool {
        let Some(class) = self.classes.find(values) else { return false };
        let row = class.rows.get(class.candidates.len()).copied();
        // A candidate that reads the same in reverse comes twice.
        if !class.candidates.contains(&candidate) {
            class.candidates.push(candidate);
        }
        row.map(|row| self.taken[row] = Some((candidate, input_channels))).is_some()
    }

    /// The matches, if nothing is left over.
    fn matches(&self) -> Option<Vec<Match>> {
        let found = self.tensors.iter().zip(&self.taken).enumerate().map(|(row, (&(id, _), &taken))| {
            let (candidate, input_channels) = taken?;
            Some(Match { id, candidate, input_channels, evidence: self.classes.evidence(row) })
        });
        if self.left_over.is_empty() { found.collect() } else { None }
    }
}

fn check_ids(tensors: &[(u32, &[f32])]) -> Result<(), MappingError> {
    let mut seen = BTreeSet::new();
    let twice = tensors.iter().find(|(id, _)| !seen.insert(id));
    twice.map_or(Ok(()), |&(id, _)| Err(MappingError::DuplicateId { id }))
}

/// A candidate's values as a raw file would have them.
fn in_raw_layout(candidate: &Candidate<'_>) -> Result<Vec<f32>, MappingError> {
    to_raw_layout(candidate.values, candidate.shape).map_err(|source| refused(candidate, source))
}

/// The same with its input channels reversed, if it takes an image of three channels.
fn reversed(candidate: &Candidate<'_>) -> Result<Option<Vec<f32>>, MappingError> {
    let ([_, 3, _] | [_, 3, _, _]) = candidate.shape else { return Ok(None) };
    let mut values = in_raw_layout(candidate)?;
    reverse_input_channels(&mut values, candidate.shape).map_err(|source| refused(candidate, source))?;
    Ok(Some(values))
}

fn refused(candidate: &Candidate<'_>, source: LayoutError) -> MappingError {
    MappingError::Candidate { name: candidate.name.to_owned(), source }
}
