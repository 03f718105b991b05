//! The networks that are timed: a checkpoint in several precisions, or a saved network as it is.

use super::BenchPrecision;
use crate::arguments::thread_count;
use crate::calibration::calibrate;
use crate::error::{Error, Result};
use crate::images::first_images;
use crate::model_inputs::ModelInputs;
use crate::network::{Model, Network, is_saved_program};
use ptq::{Collection, Fusion, Method, Placement, QuantConfig, WeightConfig, lower_float, lower_integer};
use quant_core::{Program, Scheme};
use std::path::PathBuf;
use yolo_model::ImageSize;

/// Images to calibrate on: what quantisers are does not change how long a run takes.
const CALIBRATION_IMAGES: u32 = 8;

/// A network with the name of its precision.
pub struct TimedNetwork {
    /// `i8`, `i8-pre8`, `f32`, or `mixed`.
    pub precision: &'static str,
    /// The network.
    pub network: Network,
}

/// What was asked for.
pub struct Given<'a> {
    /// The model.
    pub inputs: &'a ModelInputs,
    /// Precisions; all where none is named.
    pub precisions: &'a [BenchPrecision],
    /// Folder of calibration images, where integer networks are to be made.
    pub calibration: Option<PathBuf>,
    /// Size of the network's input, where one was given.
    pub size: Option<ImageSize>,
}

/// Reads the saved network, or makes one network per precision of the checkpoint.
///
/// # Errors
/// Options that a saved network has no use for; a network without convolutions; all errors of reading and calibrating.
pub fn networks(given: Given<'_>) -> Result<Vec<TimedNetwork>> {
    let path = given.inputs.weights.clone();
    let networks = if is_saved_program(&path)? { vec![saved(&given)?] } else { from_checkpoint(given)? };
    let timed = |network: Network| {
        let precision = BenchPrecision::of_program(&network.program).ok_or_else(|| Error::Argument {
            option: "--weights",
            value: path.display().to_string(),
            expected: "has no convolution, so there is nothing to relate its time to",
        })?;
        Ok(TimedNetwork { precision, network })
    };
    networks.into_iter().map(timed).collect()
}

fn saved(given: &Given<'_>) -> Result<Network> {
    let refuse = |option, value: String, expected| Err(Error::Argument { option, value, expected });
    if let Some(precision) = given.precisions.first() {
        let expected = "a saved network has the precision that it has; give its checkpoint for others";
        return refuse("--precision", precision.name().to_owned(), expected);
    }
    if let Some(folder) = &given.calibration {
        let expected = "a saved network is not calibrated again";
        return refuse("--calibration", folder.display().to_string(), expected);
    }
    let ModelInputs { weights, model, .. } = given.inputs;
    Network::load(weights, model.as_deref(), given.size, Fusion::Fused)
}

fn from_checkpoint(given: Given<'_>) -> Result<Vec<Network>> {
    let inputs = given.inputs;
    let size = given.size.unwrap_or(inputs.size);
    let model = Model::load(&inputs.weights, inputs.model.as_deref())?;
    let precisions = if given.precisions.is_empty() { &BenchPrecision::ALL } else { given.precisions };
    let placements: Vec<Option<Placement>> =
        precisions.iter().map(|precision| precision.placement(&model.graph)).collect();
    let needed: Vec<&Placement> = placements.iter().flatten().collect();
    let statistics = match needed.as_slice() {
        [] => Collection::default(),
        needed => {
            let folder = inputs.calibration_folder(given.calibration)?;
            let images = first_images(&folder, Some(CALIBRATION_IMAGES))?;
            calibrate(&model, needed, &images, size, thread_count(0), false)?.collection
        }
    };
    let network = |(placement, precision): (&Option<Placement>, &BenchPrecision)| {
        let program = lowered(&model, placement.as_ref(), &statistics, precision.weights())?;
        model.network(program, size)
    };
    placements.iter().zip(precisions).map(network).collect()
}

fn lowered(
    model: &Model,
    placement: Option<&Placement>,
    statistics: &Collection,
    weights: WeightConfig,
) -> Result<Program> {
    let Model { graph, params, .. } = model;
    let Some(placement) = placement else {
        return Ok(lower_float(graph, params, Fusion::Fused)?);
    };
    let config = QuantConfig::calibrate(graph, placement, statistics, Method::MinMax, Scheme::Affine)?;
    Ok(lower_integer(graph, params, &QuantConfig { weights, ..config })?)
}
