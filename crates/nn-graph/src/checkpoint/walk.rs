//! From a pickled object to parameters by path.

use std::collections::BTreeMap;

use crate::Params;

use super::element::ElementType;
use super::error::CheckpointError;
use super::pickle::{Id, Node, Pickle};
use super::tensor::{Stored, TensorReader, is_tensor};

/// Deepest nesting of modules.
const MAX_DEPTH: usize = 64;
/// Most modules and table entries that are visited.
const MAX_ENTRIES: usize = 1 << 16;
/// Most attributes of a module. They are searched by name, so this bounds the time that a shared dict can
/// cost.
const MAX_ATTRIBUTES: usize = 1 << 10;
/// Longest path of a module or parameter, in bytes.
const MAX_PATH: usize = 512;

/// What a walk gathers.
pub(super) struct Collector<'a> {
    pickle: &'a Pickle,
    reader: TensorReader<'a>,
    visited: usize,
    /// Floating-point tensors by path.
    pub(super) params: Params,
    /// Paths of what is left out.
    pub(super) skipped: Vec<String>,
    /// Number of tensors of each stored element type.
    pub(super) stored_types: BTreeMap<ElementType, usize>,
}

/// A module that is still to be walked.
struct Pending {
    path: String,
    id: Id,
    depth: usize,
}

impl<'a> Collector<'a> {
    pub(super) fn new(pickle: &'a Pickle, reader: TensorReader<'a>) -> Self {
        let (params, skipped, stored_types) = (Params::new(), Vec::new(), BTreeMap::new());
        Self { pickle, reader, visited: 0, params, skipped, stored_types }
    }

    /// Walks a `torch.nn.Module`: `_parameters` and `_buffers` of it and of everything below `_modules`.
    ///
    /// # Errors
    /// A module without these tables, limits exceeded, a tensor that cannot be read.
    pub(super) fn modules(&mut self, root: Id) -> Result<(), CheckpointError> {
        let mut pending = vec![Pending { path: String::new(), id: root, depth: 0 }];
        while let Some(module) = pending.pop() {
            for table in ["_parameters", "_buffers"] {
                for &(key, value) in self.table(&module, table)? {
                    let name = self.child(&module.path, key)?;
                    if !matches!(self.pickle.node(value), Node::None) {
                        self.tensor(name, value)?;
                    }
                }
            }
            for &(key, value) in self.table(&module, "_modules")? {
                let path = self.child(&module.path, key)?;
                if !matches!(self.pickle.node(value), Node::None) {
                    pending.push(deeper(path, value, &module)?);
                }
            }
        }
        Ok(())
    }

    /// Walks a TorchScript object, whose parameters, buffers and submodules are plain attributes.
    ///
    /// # Errors
    /// Limits exceeded, a tensor that cannot be read.
    pub(super) fn attributes(&mut self, root: Id) -> Result<(), CheckpointError> {
        let mut pending = vec![Pending { path: String::new(), id: root, depth: 0 }];
        while let Some(module) = pending.pop() {
            for &(key, value) in self.pickle.attributes(module.id).unwrap_or_default() {
                let path = self.child(&module.path, key)?;
                if is_tensor(self.pickle, value) {
                    self.tensor(path, value)?;
                } else if self.pickle.attributes(value).is_some() {
                    pending.push(deeper(path, value, &module)?);
                } else if self.holds_tensors(value) {
                    self.skipped.push(path);
                }
            }
        }
        Ok(())
    }

    /// Takes the tensors of a state dict; its other values are listed as skipped.
    ///
    /// # Errors
    /// Limits exceeded, a tensor that cannot be read.
    pub(super) fn state_dict(&mut self, items: &[(Id, Id)]) -> Result<(), CheckpointError> {
        for &(key, value) in items {
            let name = self.child("", key)?;
            if is_tensor(self.pickle, value) {
                self.tensor(name, value)?;
            } else {
                self.skipped.push(name);
            }
        }
        Ok(())
    }

    fn table(&self, module: &Pending, attribute: &'static str) -> Result<&'a [(Id, Id)], CheckpointError> {
        let pickle = self.pickle;
        let attributes = pickle.attributes(module.id).unwrap_or_default();
        if attributes.len() > MAX_ATTRIBUTES {
            return Err(CheckpointError::TooManyEntries { limit: MAX_ATTRIBUTES });
        }
        let table = pickle.lookup(attributes, attribute).and_then(|table| pickle.dict(table));
        table.ok_or_else(|| CheckpointError::ModuleTable { module: module.path.clone(), attribute })
    }

    /// The path of a table entry; counts it as visited.
    fn child(&mut self, parent: &str, key: Id) -> Result<String, CheckpointError> {
        self.visited += 1;
        if self.visited > MAX_ENTRIES {
            return Err(CheckpointError::TooManyEntries { limit: MAX_ENTRIES });
        }
        let Some(key) = self.pickle.text(key) else {
            return Err(CheckpointError::NameNotText { module: parent.to_owned() });
        };
        if parent.len() + 1 + key.len() > MAX_PATH {
            let start = [parent, ".", key].iter().flat_map(|part| part.chars()).take(48).collect();
            return Err(CheckpointError::NameTooLong { start, limit: MAX_PATH });
        }
        Ok(if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") })
    }

    fn tensor(&mut self, name: String, id: Id) -> Result<(), CheckpointError> {
        let stored = match self.reader.read(id) {
            Ok(stored) => stored,
            Err(fault) => return Err(CheckpointError::Tensor { name, fault }),
        };
        match stored {
            Stored::Integer(element) => {
                *self.stored_types.entry(element).or_insert(0) += 1;
                self.skipped.push(name);
            }
            Stored::Float(element, tensor) => {
                *self.stored_types.entry(element).or_insert(0) += 1;
                if self.params.contains_key(&name) {
                    return Err(CheckpointError::DuplicateName { name });
                }
                self.params.insert(name, tensor);
            }
        }
        Ok(())
    }

    fn holds_tensors(&self, id: Id) -> bool {
        let first = self.pickle.sequence(id).and_then(<[Id]>::first);
        first.is_some_and(|&first| is_tensor(self.pickle, first))
    }
}

fn deeper(path: String, id: Id, parent: &Pending) -> Result<Pending, CheckpointError> {
    if parent.depth >= MAX_DEPTH {
        return Err(CheckpointError::TooDeep { module: path, limit: MAX_DEPTH });
    }
    Ok(Pending { path, id, depth: parent.depth + 1 })
}

/// Whether the value is an instance with the tables of a `torch.nn.Module`.
pub(super) fn is_module(pickle: &Pickle, id: Id) -> bool {
    pickle.attributes(id).is_some_and(|attributes| pickle.lookup(attributes, "_modules").is_some())
}

/// Whether the value is a dict with at least one tensor in it.
pub(super) fn is_state_dict(pickle: &Pickle, id: Id) -> bool {
    pickle.dict(id).is_some_and(|items| items.iter().any(|&(_, value)| is_tensor(pickle, value)))
}
