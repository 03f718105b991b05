//! Tensors of a pickle: from the recorded call to dense `f32`.
//!
//! `torch.save` writes a tensor as `_rebuild_tensor_v2(storage, offset, shape, strides, ...)` and its storage
//! as the persistent id `("storage", StorageClass, key, location, count)`, whose elements are the entry
//! `data/KEY` (`torch/_utils.py`, `torch/serialization.py`).

use crate::Tensor;

use super::archive::{Archive, Entry};
use super::element::{ElementType, View, expand};
use super::error::TensorFault;
use super::pickle::{Id, Known, Node, Pickle};

/// Most dimensions of a tensor; PyTorch's own limit is the same.
const MAX_RANK: usize = 64;
/// Most parameters wrapped around each other.
const MAX_WRAPPING: usize = 4;
/// `f32` elements of all parameters together, for each byte of the file: binary16 needs half an element, and
/// views that repeat or share elements a few more.
const ELEMENTS_PER_BYTE: usize = 4;
/// What even the smallest file may expand to.
const FREE_ELEMENTS: usize = 1 << 12;

/// A tensor as it was stored.
#[derive(Debug)]
pub(super) enum Stored {
    /// Floating-point elements of some type, expanded.
    Float(ElementType, Tensor),
    /// Integers, which are not expanded.
    Integer(ElementType),
}

struct Storage<'a> {
    element: ElementType,
    entry: String,
    bytes: &'a [u8],
    count: usize, // elements that the pickle states; bytes holds at least as many
}

/// Expands the tensors of one checkpoint, within a budget that follows from the file's size.
pub(super) struct TensorReader<'a> {
    archive: &'a Archive<'a>,
    pickle: &'a Pickle,
    limit: usize,  // elements of all tensors
    budget: usize, // elements that are left of it
}

impl<'a> TensorReader<'a> {
    pub(super) fn new(archive: &'a Archive<'a>, pickle: &'a Pickle) -> Self {
        let limit = archive.file_length().saturating_mul(ELEMENTS_PER_BYTE).saturating_add(FREE_ELEMENTS);
        Self { archive, pickle, limit, budget: limit }
    }

    /// The tensor at `id`.
    ///
    /// # Errors
    /// A value that is no tensor, or one whose description, storage or size breaks a rule.
    pub(super) fn read(&mut self, id: Id) -> Result<Stored, TensorFault> {
        let id = unwrap_parameter(self.pickle, id);
        let Some((Known::Tensor, arguments)) = self.pickle.call(id) else {
            return Err(TensorFault::NotATensor { found: self.pickle.describe(id) });
        };
        let &[storage, offset, shape, strides, ..] = arguments else {
            return Err(TensorFault::Description { part: "argument list" });
        };
        let storage = self.storage(storage)?;
        let view = self.view(offset, shape, strides)?;
        if !view.fits(storage.count) {
            let View { offset, shape, strides } = view;
            return Err(TensorFault::OutOfBounds { offset, shape, strides, count: storage.count });
        }
        if !storage.element.is_float() {
            return Ok(Stored::Integer(storage.element));
        }
        self.expand(&storage, view)
    }

    fn expand(&mut self, storage: &Storage<'_>, view: View) -> Result<Stored, TensorFault> {
        let left = view.count().and_then(|count| self.budget.checked_sub(count));
        let Some(left) = left else {
            return Err(TensorFault::Expansion { shape: view.shape, limit: self.limit });
        };
        self.budget = left;
        let tensor = expand(storage.bytes, storage.element, &view)
            .and_then(|data| Tensor::new(view.shape, data))
            .ok_or_else(|| TensorFault::StorageMissing { entry: storage.entry.clone() })?;
        Ok(Stored::Float(storage.element, tensor))
    }

    fn view(&self, offset: Id, shape: Id, strides: Id) -> Result<View, TensorFault> {
        let description = |part| TensorFault::Description { part };
        let view = View {
            offset: self.pickle.size(offset).ok_or(description("offset"))?,
            shape: self.sizes(shape, "shape")?,
            strides: self.sizes(strides, "strides")?,
        };
        if view.shape.len() == view.strides.len() { Ok(view) } else { Err(description("strides")) }
    }

    fn sizes(&self, id: Id, part: &'static str) -> Result<Vec<usize>, TensorFault> {
        let items = self.pickle.sequence(id).ok_or(TensorFault::Description { part })?;
        if items.len() > MAX_RANK {
            return Err(TensorFault::Rank { rank: items.len(), limit: MAX_RANK });
        }
        items.iter().map(|&item| self.pickle.size(item).ok_or(TensorFault::Description { part })).collect()
    }

    fn storage(&self, id: Id) -> Result<Storage<'a>, TensorFault> {
        let malformed = TensorFault::Description { part: "storage" };
        let Node::Persistent(reference) = self.pickle.node(id) else { return Err(malformed) };
        let Some(&[kind, class, key, _location, count, ..]) = self.pickle.sequence(*reference) else {
            return Err(malformed);
        };
        let (Some("storage"), Some(key), Some(count)) =
            (self.pickle.text(kind), self.pickle.text(key), self.pickle.size(count))
        else {
            return Err(malformed);
        };
        let Some(Known::Storage(element)) = self.pickle.known(class) else {
            return Err(TensorFault::ElementType { class: self.pickle.class_name(class) });
        };
        let entry: String = "data/".chars().chain(key.chars().take(MAX_KEY)).collect();
        let bytes = match self.archive.entry(&entry) {
            Some(Entry::Stored(bytes)) => bytes,
            Some(Entry::Packed) => return Err(TensorFault::StoragePacked { entry }),
            None => return Err(TensorFault::StorageMissing { entry }),
        };
        if count > bytes.len() / element.size() {
            let count = count as u64;
            return Err(TensorFault::StorageTooShort { entry, bytes: bytes.len(), count, element });
        }
        Ok(Storage { element, entry, bytes, count })
    }
}

/// Longest storage key, in characters. PyTorch's keys are numbers.
const MAX_KEY: usize = 64;

/// Whether the value is a tensor, as far as its recorded call tells.
pub(super) fn is_tensor(pickle: &Pickle, id: Id) -> bool {
    matches!(pickle.call(unwrap_parameter(pickle, id)), Some((Known::Tensor, _)))
}

fn unwrap_parameter(pickle: &Pickle, mut id: Id) -> Id {
    for _ in 0..MAX_WRAPPING {
        match pickle.call(id) {
            Some((Known::Parameter, &[inner, ..])) => id = inner,
            _ => break,
        }
    }
    id
}
