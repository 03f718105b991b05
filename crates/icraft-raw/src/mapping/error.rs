//! Why tensors and parameters could not be paired.

use super::classes::Class;
use super::{Candidate, Pairing, in_raw_layout, reversed};
use crate::LayoutError;

/// The parameter that comes nearest to a tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Closest {
    /// Its name.
    pub name: String,
    /// Greatest difference between an element of the tensor and the parameter's, in absolute value; infinite if any
    /// difference is NaN.
    pub difference: f32,
}

/// Why [`match_parameters`](crate::match_parameters) found no bijection.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MappingError {
    /// A candidate whose shape has no known layout, or another size than its values.
    #[error("parameter {name}: {source}")]
    Candidate {
        /// Name of the parameter.
        name: String,
        /// What is wrong with it.
        source: LayoutError,
    },
    /// A tensor given twice.
    #[error("tensor id {id} is listed twice")]
    DuplicateId {
        /// The id.
        id: u32,
    },
    /// A tensor whose content no candidate has.
    #[error(
        "tensor id {id} ({elements} elements) equals no parameter, nor do {others} more tensors; {}. The model has to \
         be the one that was compiled, with its batch normalisation folded, and the file of the parsed stage",
        nearest(same_size, closest.as_ref())
    )]
    NoCandidate {
        /// Its id.
        id: u32,
        /// Its elements.
        elements: usize,
        /// How many tensors after it have no candidate either.
        others: usize,
        /// Names of the parameters with as many elements.
        same_size: Vec<String>,
        /// The nearest of these, if there are any.
        closest: Option<Closest>,
    },
    /// A content that occurs more often on one side than on the other.
    #[error(
        "tensors of ids {ids:?} have the same {elements} elements, and so have the parameters {names:?}; there must be \
         as many of one as of the other"
    )]
    Unpaired {
        /// Ids of the tensors, in the order of the table.
        ids: Vec<u32>,
        /// Elements of each.
        elements: usize,
        /// Names of the parameters, in the order of the candidates.
        names: Vec<String>,
    },
    /// Candidates whose content no tensor has.
    #[error(
        "the raw file has no tensor for the parameters {names:?}; leave out buffers, which are not compiled, such as \
         anchors"
    )]
    LeftOver {
        /// Their names.
        names: Vec<String>,
    },
}

fn nearest(same_size: &[String], closest: Option<&Closest>) -> String {
    match closest {
        None => "no parameter has as many".to_owned(),
        Some(Closest { name, difference }) => {
            format!("of those of its size, {same_size:?}, {name} is closest, at most {difference:e} apart")
        }
    }
}

/// Finds what to say of a pairing that is no bijection.
pub(super) fn explain(candidates: &[Candidate<'_>], pairing: &Pairing<'_>) -> MappingError {
    let Pairing { tensors, classes, .. } = pairing;
    let missing: Vec<usize> =
        (0..tensors.len()).filter(|&row| classes.of_row(row).candidates.is_empty()).collect();
    if let [row, ref others @ ..] = missing[..] {
        return no_candidate(tensors[row], others.len(), candidates);
    }
    let short = pairing.taken.iter().position(Option::is_none).map(|row| classes.of_row(row));
    let full = || pairing.left_over.iter().find_map(|&index| classes.of_candidate(index));
    match short.or_else(full) {
        Some(class) => unpaired(class, tensors, candidates),
        None => MappingError::LeftOver { names: names(&pairing.left_over, candidates) },
    }
}

fn unpaired(class: &Class, tensors: &[(u32, &[f32])], candidates: &[Candidate<'_>]) -> MappingError {
    MappingError::Unpaired {
        ids: class.rows.iter().map(|&row| tensors[row].0).collect(),
        elements: tensors[class.rows[0]].1.len(),
        names: names(&class.candidates, candidates),
    }
}

fn names(indices: &[usize], candidates: &[Candidate<'_>]) -> Vec<String> {
    indices.iter().map(|&index| candidates[index].name.to_owned()).collect()
}

fn no_candidate((id, values): (u32, &[f32]), others: usize, candidates: &[Candidate<'_>]) -> MappingError {
    let same_size: Vec<_> =
        candidates.iter().filter(|candidate| candidate.values.len() == values.len()).collect();
    let distances = same_size.iter().map(|candidate| (candidate.name, distance(values, candidate)));
    let closest = distances.min_by(|one, other| one.1.total_cmp(&other.1));
    MappingError::NoCandidate {
        id,
        elements: values.len(),
        others,
        same_size: same_size.iter().map(|candidate| candidate.name.to_owned()).collect(),
        closest: closest.map(|(name, difference)| Closest { name: name.to_owned(), difference }),
    }
}

/// Greatest difference to a candidate, with its input channels as they are or reversed.
fn distance(values: &[f32], candidate: &Candidate<'_>) -> f32 {
    let kept = in_raw_layout(candidate).ok();
    let reversed = reversed(candidate).ok().flatten();
    let greatest = |other: Vec<f32>| {
        let differences = values.iter().zip(other).map(|(one, other)| (one - other).abs());
        differences
            .fold(0.0, |greatest: f32, next| if next.is_nan() { f32::INFINITY } else { greatest.max(next) })
    };
    kept.into_iter().chain(reversed).map(greatest).fold(f32::INFINITY, f32::min)
}
