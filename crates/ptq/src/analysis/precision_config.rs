//! The outcome of an analysis: a file with the precision of every layer.

use super::{AnalysisError, Layer, Precision};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The version that is written and read.
const VERSION: u32 = 1;

/// The precision of every convolution of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrecisionConfig {
    version: u32,
    model_sha256: String,
    layers: Vec<LayerPrecision>,
    /// What was asked for and what was measured; carried along, not interpreted.
    pub asked: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerPrecision {
    name: String,
    precision: Precision,
}

impl PrecisionConfig {
    /// The precisions `of(layer)` for the model whose file has the SHA-256 `model_sha256`.
    #[must_use]
    pub fn new(model_sha256: &str, layers: &[Layer], of: impl Fn(&Layer) -> Precision) -> Self {
        let row = |layer: &Layer| LayerPrecision { name: layer.name.clone(), precision: of(layer) };
        Self {
            version: VERSION,
            model_sha256: model_sha256.to_owned(),
            layers: layers.iter().map(row).collect(),
            asked: BTreeMap::new(),
        }
    }

    /// Reads a configuration and checks that it is one of the model whose file has the SHA-256 `model_sha256`.
    ///
    /// # Errors
    /// Text that is not a configuration; another version; [`AnalysisError::OtherModel`]; [`AnalysisError::OtherLayers`] unless every layer is
    /// there once.
    pub fn from_json(json: &str, model_sha256: &str, layers: &[Layer]) -> Result<Self, AnalysisError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_str(json)?;
        if version != VERSION {
            let what = "the precision configuration";
            return Err(AnalysisError::Version { what, found: version, supported: VERSION });
        }
        let config: Self = serde_json::from_str(json)?;
        if config.model_sha256 != model_sha256 {
            let (found, expected) = (config.model_sha256, model_sha256.to_owned());
            return Err(AnalysisError::OtherModel { found, expected });
        }
        config.check_layers(layers)?;
        Ok(config)
    }

    fn check_layers(&self, layers: &[Layer]) -> Result<(), AnalysisError> {
        let wrong = |fault, name: &str| AnalysisError::OtherLayers { fault, layer: name.to_owned() };
        let mut left: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
        for row in &self.layers {
            let known = left.iter().position(|name| *name == row.name);
            left.remove(known.ok_or_else(|| wrong("has", &row.name))?);
        }
        left.first().map_or(Ok(()), |name| Err(wrong("lacks", name)))
    }

    /// JSON with a line per field and layer, and a line end.
    ///
    /// # Errors
    /// None in practice: all keys are text.
    pub fn to_json(&self) -> Result<String, AnalysisError> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The precision of a layer; `None` if the configuration does not list it.
    #[must_use]
    pub fn precision(&self, layer: &str) -> Option<Precision> {
        self.layers.iter().find(|row| row.name == layer).map(|row| row.precision)
    }

    /// How many layers have each precision.
    #[must_use]
    pub fn counts(&self) -> [(Precision, usize); 3] {
        Precision::ALL.map(|p| (p, self.layers.iter().filter(|row| row.precision == p).count()))
    }
}
