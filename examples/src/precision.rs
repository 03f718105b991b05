//! Networks whose layers differ in precision.

use crate::error::{Error, Result};
use crate::network::Model;
use crate::output::sha256_file;
use nn_graph::Graph;
use ptq::analysis::{PrecisionConfig, Quantizers, layers};
use ptq::{
    Collection, ConcatPolicy, Method, Placement, PlacementOptions, QuantConfig, ScaleGrid, WeightConfig,
    Width,
};
use quant_core::Scheme;
use std::path::Path;
use yolo_model::ImageSize;

/// Placements with 16-bit and with 8-bit pre-activations.
#[must_use]
pub fn placements(graph: &Graph, concat: ConcatPolicy, scales: ScaleGrid) -> [Placement; 2] {
    [Width::Bits16, Width::Bits8].map(|preactivation| {
        Placement::new(
            graph,
            PlacementOptions { preactivation, concat, scales, ..PlacementOptions::default() },
        )
    })
}

/// Quantisers for both [`placements`].
///
/// # Errors
/// As [`QuantConfig::calibrate`].
pub fn quantizers(
    model: &Model,
    placements: [&Placement; 2],
    collection: &Collection,
    method: Method,
    scheme: Scheme,
    weights: WeightConfig,
) -> std::result::Result<Quantizers, ptq::Error> {
    let config = |placement| {
        let config = QuantConfig::calibrate(&model.graph, placement, collection, method, scheme)?;
        Ok::<_, ptq::Error>(QuantConfig { weights, ..config })
    };
    let [wide, narrow] = placements;
    Ok(Quantizers { wide: config(wide)?, narrow: config(narrow)? })
}

/// Reads a precision configuration for the model in the file `weights`.
///
/// # Errors
/// Names the file and what is wrong with it: no configuration, or that of another model.
pub fn read_config(path: &Path, weights: &Path, model: &Model, size: ImageSize) -> Result<PrecisionConfig> {
    let wrong = |source| Error::Analysis { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let layers = layers(&model.graph, size.height, size.width)?;
    PrecisionConfig::from_json(&text, &sha256_file(weights)?, &layers).map_err(wrong)
}
