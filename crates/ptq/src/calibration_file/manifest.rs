//! What statistics were made for.

use super::CalibrationFileError;
use crate::Ties;
use serde::{Deserialize, Serialize};

/// Longest side of an image, in pixels.
const MAX_SIDE: usize = 1 << 14;

/// What statistics belong to; only those of equal manifests can be merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationManifest {
    /// Version of the program that collected them.
    pub tool_version: String,
    /// Name of the model.
    pub model: String,
    /// SHA-256 of the checkpoint, in hexadecimal.
    pub model_sha256: String,
    /// SHA-256 of the architecture, in hexadecimal: a checkpoint need not describe it.
    pub architecture_sha256: String,
    /// How an image becomes the network's input.
    pub preprocessing: String,
    /// Height and width of that input, each in [1, 16384].
    pub size: [usize; 2],
    /// What decides which tensors are observed.
    pub ties: Ties,
}

/// What differs, and both values.
pub(super) type Difference = (&'static str, String, String);

impl CalibrationManifest {
    pub(super) fn check(&self) -> Result<(), CalibrationFileError> {
        check_sha256("model_sha256", &self.model_sha256)?;
        check_sha256("architecture_sha256", &self.architecture_sha256)?;
        if self.size.iter().all(|side| (1..=MAX_SIDE).contains(side)) {
            return Ok(());
        }
        let found = format!("{:?}", self.size);
        let expected = "height and width, each from 1 to 16384";
        Err(CalibrationFileError::Field { field: "size", found, expected })
    }

    /// The first difference that makes statistics useless for a model.
    pub(super) fn difference_in_use(&self, other: &Self) -> Option<Difference> {
        let size = |manifest: &Self| format!("{}x{}", manifest.size[0], manifest.size[1]);
        let concat = |manifest: &Self| serde_json::to_string(&manifest.ties.concat).unwrap_or_default();
        let of = |manifest: &Self| {
            [
                ("model sha256", manifest.model_sha256.clone()),
                // The listing that the architecture's hash covers depends on it.
                ("input size", size(manifest)),
                ("architecture sha256", manifest.architecture_sha256.clone()),
                ("preprocessing", manifest.preprocessing.clone()),
                ("concat policy", concat(manifest).replace('"', "")),
                ("tie_add", manifest.ties.tie_add.to_string()),
            ]
        };
        first_difference(of(self), of(other))
    }

    /// The first difference that keeps two parts from being merged.
    pub(super) fn difference(&self, other: &Self) -> Option<Difference> {
        let of = |manifest: &Self| {
            [("model name", manifest.model.clone()), ("tool version", manifest.tool_version.clone())]
        };
        self.difference_in_use(other).or_else(|| first_difference(of(self), of(other)))
    }
}

fn first_difference<const N: usize>(
    one: [(&'static str, String); N],
    other: [(&'static str, String); N],
) -> Option<Difference> {
    let mut pairs = one.into_iter().zip(other);
    pairs.find(|(one, other)| one != other).map(|((what, one), (_, other))| (what, one, other))
}

pub(super) fn check_sha256(field: &'static str, text: &str) -> Result<(), CalibrationFileError> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() == 64 && text.bytes().all(is_digit) {
        return Ok(());
    }
    // A damaged file may hold anything here.
    let found = text.chars().take(80).collect();
    let expected = "64 hexadecimal digits in lower case";
    Err(CalibrationFileError::Field { field, found, expected })
}
