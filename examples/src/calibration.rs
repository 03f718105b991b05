//! Statistics of a float network over a folder of images.

use crate::error::{Error, Result};
use crate::images::{decode, prepare};
use crate::network::Model;
use crate::workers;
use ptq::{Collection, Fusion, Placement, lower_float};
use quant_core::Executor;
use std::path::PathBuf;
use yolo_model::ImageSize;

/// How calibration went.
pub struct Calibration {
    /// Statistics of every tensor that a placement needs.
    pub collection: Collection,
    /// Images used.
    pub used: usize,
    /// Images that could not be read.
    pub skipped: usize,
}

/// Runs the float network on `images` and collects statistics; memory does not depend on the number of images.
///
/// # Errors
/// An image that can't be read (unless `skip_bad`), or none that can.
pub fn calibrate(
    model: &Model,
    placements: &[&Placement],
    images: &[PathBuf],
    size: ImageSize,
    threads: usize,
    skip_bad: bool,
) -> Result<Calibration> {
    let program = lower_float(&model.graph, &model.params, Fusion::EveryTensor)?;
    let state = || {
        let executor = Executor::new(&program, size.height, size.width)?;
        Ok((executor, Collection::new(&model.graph, placements)))
    };
    let (used, states) =
        workers::for_each(threads, images.len(), "calibrating", state, |(executor, collection), index| {
            let Some(picture) = workers::skip_bad(decode(&images[index]), skip_bad)? else {
                return Ok(false);
            };
            let (input, _) = prepare(&picture, size)?;
            collection.observe(&program, executor, &input)?;
            Ok(true)
        })?;
    let used = used.into_iter().filter(|used| *used).count();
    if used == 0 {
        return Err(Error::AllBad { count: images.len() });
    }
    let mut collection = Collection::default();
    states.into_iter().for_each(|(_, part)| collection.merge(part));
    Ok(Calibration { collection, used, skipped: images.len() - used })
}
