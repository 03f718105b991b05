//! The files that `analyze` leaves.

use crate::analysis::settings::{Hashes, Settings};
use crate::error::{Error, Result};
use crate::output::write_output;
use ptq::analysis::{AnalysisError, LayerErrorRow, Sensitivity};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The version that is written and read.
const VERSION: u32 = 1;

/// An analysis, and what it was made from. No times: equal inputs give equal bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnalysisFile<T> {
    version: u32,
    /// The outcome.
    #[serde(flatten)]
    pub analysis: T,
    /// What was asked for.
    pub settings: Settings,
    /// What was read.
    pub hashes: Hashes,
}

/// `sensitivity.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensitivityPart {
    /// The variants, the most sensitive first.
    pub sensitivity: Sensitivity,
}

/// `errors.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorsPart {
    /// Images looked at.
    pub images: usize,
    /// The layers in order.
    pub layers: Vec<LayerErrorRow>,
}

impl<T: Serialize + DeserializeOwned> AnalysisFile<T> {
    /// A file of this version.
    #[must_use]
    pub fn new(analysis: T, settings: Settings, hashes: Hashes) -> Self {
        Self { version: VERSION, analysis, settings, hashes }
    }

    /// Writes the file, complete or not at all; gives its text.
    ///
    /// # Errors
    /// Names the file.
    pub fn write(&self, path: &Path) -> Result<String> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        write_output(path, text.as_bytes())?;
        Ok(text)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Names the file, and what is wrong with it.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let wrong =
            |source: serde_json::Error| Error::Analysis { path: path.to_owned(), source: source.into() };
        let file: Self = serde_json::from_slice(&bytes).map_err(wrong)?;
        if file.version != VERSION {
            let (what, found) = ("the analysis", file.version);
            let source = AnalysisError::Version { what, found, supported: VERSION };
            return Err(Error::Analysis { path: path.to_owned(), source });
        }
        Ok(file)
    }
}
