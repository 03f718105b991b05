//! Precisions of a layer, and the configuration that gives each layer its own.

use super::Layer;
use crate::QuantConfig;
use quant_core::Format;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a convolution with its activation is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Precision {
    /// In integers; the activation's argument, or a detection output, has 8 bits.
    #[serde(rename = "int8-pre8")]
    Int8Pre8,
    /// In integers; the activation's argument, or a detection output, has 16 bits.
    #[serde(rename = "int8-pre16")]
    Int8Pre16,
    /// In f32, between a dequantisation and a quantisation.
    #[serde(rename = "f32")]
    F32,
}

impl Precision {
    /// All of them.
    pub const ALL: [Precision; 3] = [Precision::Int8Pre8, Precision::Int8Pre16, Precision::F32];

    /// The name in files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Precision::Int8Pre8 => "int8-pre8",
            Precision::Int8Pre16 => "int8-pre16",
            Precision::F32 => "f32",
        }
    }

    /// Bytes of a layer's constants: weights, biases, and in integers the factors of each channel.
    #[must_use]
    pub fn bytes(self, layer: &Layer) -> u64 {
        match self {
            Precision::F32 => 4 * layer.weights + 4 * layer.channels,
            Precision::Int8Pre8 | Precision::Int8Pre16 => layer.weights + (4 + 8) * layer.channels,
        }
    }

    /// Multiplications in f32 for one image.
    #[must_use]
    pub fn float_macs(self, layer: &Layer) -> u64 {
        if self == Precision::F32 { layer.macs } else { 0 }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The quantisers of one graph by one method, for both widths of pre-activations.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantizers {
    /// With 16-bit pre-activations.
    pub wide: QuantConfig,
    /// With 8-bit pre-activations; otherwise calibrated as the wide ones.
    pub narrow: QuantConfig,
}

impl Quantizers {
    /// The configuration in which each layer has the precision `of(layer)`.
    ///
    /// The widths differ in pre-activations, detection outputs and residual operands, each of which one layer makes; all other quantisers
    /// are the same, whatever the precisions.
    #[must_use]
    pub fn config(&self, layers: &[Layer], of: impl Fn(&Layer) -> Precision) -> QuantConfig {
        let mut config = self.wide.clone();
        for layer in layers {
            match of(layer) {
                Precision::Int8Pre16 => {}
                Precision::Int8Pre8 => self.narrow_tensors(layer, &mut config),
                Precision::F32 => {
                    config.float.insert(layer.name.clone());
                }
            }
        }
        config
    }

    fn narrow_tensors(&self, layer: &Layer, config: &mut QuantConfig) {
        for tensor in [&layer.name, &layer.result] {
            let wide = config.formats.get(tensor).is_some_and(Format::is_wide);
            if let (true, Some(&narrow)) = (wide, self.narrow.formats.get(tensor)) {
                config.formats.insert(tensor.clone(), narrow);
            }
        }
    }
}
