//! The json of a network: a typed model for both generations, and edits that leave every other byte alone.

mod checksum;
mod document;
mod element;
mod error;
mod fields;
mod legacy;
mod model;
mod numbering;
mod ratios;
mod xir;

pub use checksum::Checksum;
pub use document::Document;
pub use error::NetworkError;
pub use fields::Attributes;
pub use model::{
    Calibrated, ElementType, FeatureMap, Network, Normalized, Operation, Param, ParamSlot, Quantized,
    TensorAttributes,
};
pub use numbering::legacy_feature_map_ids;
pub use ratios::{AddRatios, FeatureRatio, SiluRatios};

use crate::Generation;
use crate::excerpt::excerpt;
use fields::{Fields, Place};
use serde_json::Value;
use std::collections::HashSet;
use std::path::Path;

impl Network {
    /// Reads the text of a network's json, of either generation.
    ///
    /// Keys without a known meaning are kept as attributes.
    ///
    /// # Errors
    ///
    /// A [`NetworkError`] with the path of the value that is wrong.
    pub fn read(text: &str) -> Result<Self, NetworkError> {
        let value: Value = serde_json::from_str(text).map_err(|cause| NetworkError::Syntax { cause })?;
        let fields = Fields::new(value, &Place::Root)?;
        let network = match (fields.has("ops"), fields.has("operations")) {
            (true, _) => xir::read(fields)?,
            (false, true) => legacy::read(fields)?,
            (false, false) => return Err(NetworkError::NotANetwork),
        };
        check_ids(&network)?;
        Ok(network)
    }

    /// Reads the json file of a network, see [`Network::read`].
    ///
    /// # Errors
    ///
    /// [`NetworkError::File`] if it cannot be read, and those of [`Network::read`].
    pub fn from_path(path: &Path) -> Result<Self, NetworkError> {
        let text = std::fs::read_to_string(path);
        Self::read(&text.map_err(|cause| NetworkError::File { path: path.to_owned(), cause })?)
    }

    /// The json in the form of `generation`: one line, keys in the order of their names.
    ///
    /// A file of the later generation that the compiler wrote is given back byte by byte. In the other generation's form the
    /// kinds `Silu` and `SiLU` are exchanged, attributes are kept under their names.
    ///
    /// # Errors
    ///
    /// [`NetworkError::MissingId`] if the later generation is asked for and a feature map has no id.
    pub fn write(&self, generation: Generation) -> Result<String, NetworkError> {
        let value = match generation {
            Generation::Legacy => legacy::write(self),
            Generation::Xir => xir::write(self)?,
        };
        Ok(value.to_string())
    }
}

fn check_ids(network: &Network) -> Result<(), NetworkError> {
    let list = if network.generation == Generation::Xir { "ops" } else { "operations" };
    let list = Place::Key(&Place::Root, list);
    let (mut operations, mut maps) = (HashSet::new(), HashSet::new());
    for (index, operation) in network.operations.iter().enumerate() {
        let path = || Place::Index(&list, index).to_string();
        if !operations.insert(operation.id) {
            return Err(NetworkError::DuplicateId { path: path(), what: "operation", id: operation.id });
        }
        let written = operation.outputs.iter().filter_map(|map| map.id);
        if let Some(id) = written.into_iter().find(|id| !maps.insert(*id)) {
            return Err(NetworkError::DuplicateId { path: path(), what: "output feature map", id });
        }
    }
    Ok(())
}

fn read_checksum(value: Value, place: &Place<'_>) -> Result<Checksum, NetworkError> {
    let text = fields::text(value, place)?;
    text.parse().map_err(|_| NetworkError::Value {
        path: place.to_string(),
        found: excerpt(&text),
        expected: "an MD5 checksum of 32 hexadecimal digits",
    })
}
