//! The logs of the quantiser: what was measured, written and read back.

use super::error::IcraftError;
use super::saturation::Saturations;
use crate::error::Result;
use crate::output::{create_folder, write_atomic};
use icraft_raw::{
    FtmpRow, Generation, Log, Network, PerAxis, Profile, RawColumns, RawRow, Scale, ScaleRule, Scales,
    read_ftmps_file, read_raws_file, write_ftmps, write_raws,
};
use nn_graph::{Params, Tensor};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The version of the logs of a network of a width.
fn profile(generation: Generation, bits: u8) -> Profile {
    match generation {
        Generation::Legacy if bits == 12 => Profile::Jdy,
        Generation::Legacy => Profile::BuyiV2,
        Generation::Xir => Profile::Xir,
    }
}

/// Where the logs of feature maps and of parameters are.
#[must_use]
pub fn log_paths(folder: &Path, name: &str, generation: Generation) -> [PathBuf; 2] {
    [Log::Ftmps, Log::Raws].map(|log| folder.join(log.file_name(name, generation)))
}

/// Writes both logs of a quantised network, with normalised parameters, into a folder.
///
/// # Errors
/// If they can't be written.
pub fn write_logs(
    folder: &Path,
    network: &Network,
    (params, measured, saturations): (&Params, &Saturations, &BTreeMap<String, Vec<f32>>),
    bits: u8,
) -> Result<()> {
    create_folder(folder)?;
    let profile = profile(network.generation, bits);
    let [ftmps_path, raws_path] = log_paths(folder, &network.name, network.generation);
    let ftmps = ftmp_rows(network, measured);
    write_atomic(&ftmps_path, write_ftmps(&ftmps, &profile.ftmp_columns()).as_bytes())?;
    let columns = profile.raw_columns();
    let raws = raw_rows(network, params, saturations, &columns);
    write_atomic(&raws_path, write_raws(&raws, &columns).as_bytes())
}

/// What a log of feature maps says was measured of `network`. It has the largest magnitude of all channels alone, which stands for each.
///
/// # Errors
/// Names file, row and column, or a feature map that has no saturation point there.
pub fn measured(path: &Path, network: &Network, bits: u8) -> Result<Saturations> {
    let columns = profile(network.generation, bits).ftmp_columns();
    let rows = read_ftmps_file(path, &columns).map_err(IcraftError::log(path))?;
    let rows: BTreeMap<i64, FtmpRow> = rows.into_iter().map(|row| (row.id, row)).collect();
    let mut all = Saturations::default();
    for map in network.operations.iter().flat_map(|operation| &operation.outputs) {
        let row = map.id.and_then(|id| rows.get(&id));
        let (Some(sat), Some(max)) = (row.and_then(|row| most(&row.sat)), row.and_then(|row| most(&row.max)))
        else {
            let (csv, id, tensor) = (path.to_owned(), map.id.unwrap_or(-1), map.name.clone());
            return Err(IcraftError::Unmeasured { csv, id, tensor }.into());
        };
        let channels = map.shape.last().copied().unwrap_or(0);
        all.channels.insert(map.name.clone(), vec![max; channels]);
        all.maximum.insert(map.name.clone(), max);
        all.saturation.insert(map.name.clone(), sat);
    }
    Ok(all)
}

fn most(values: &[f32]) -> Option<f32> {
    values.iter().copied().reduce(f32::max)
}

/// The saturation points of weights that a log of parameters has, by name of the parameter, one for every output channel.
///
/// # Errors
/// Names file, row and column, or a weight that has no saturation point there.
pub fn weight_saturations(path: &Path, network: &Network, bits: u8) -> Result<BTreeMap<String, Vec<f32>>> {
    let columns = profile(network.generation, bits).raw_columns();
    let rows = read_raws_file(path, &columns).map_err(IcraftError::log(path))?;
    let mut rows: BTreeMap<i64, RawRow> = rows.into_iter().map(|row| (row.id, row)).collect();
    let params = network.operations.iter().flat_map(|operation| &operation.params);
    let weights = params.filter(|param| param.shape.len() > 1);
    weights
        .map(|param| {
            let channels = param.shape.last().copied().unwrap_or(0);
            let sat = rows.remove(&param.id).map(|row| row.sat).unwrap_or_default();
            let sat = if sat.len() == 1 { vec![sat[0]; channels] } else { sat };
            let missing = || {
                let (csv, id, tensor) = (path.to_owned(), param.id, param.name.clone());
                IcraftError::Unmeasured { csv, id, tensor }
            };
            if sat.len() == channels { Ok((param.name.clone(), sat)) } else { Err(missing().into()) }
        })
        .collect()
}

/// A row for every feature map.
fn ftmp_rows(network: &Network, measured: &Saturations) -> Vec<FtmpRow> {
    let maps = network.operations.iter().flat_map(|operation| &operation.outputs);
    maps.map(|map| {
        let channels = map.shape.last().copied().unwrap_or(0);
        let repeated =
            |table: &BTreeMap<String, f32>| vec![table.get(&map.name).copied().unwrap_or(0.0); channels];
        let ratios = map.element.norm_ratio().and_then(|ratios| ratios.expand(channels).ok());
        FtmpRow {
            id: map.id.unwrap_or(-1),
            size: map.shape.clone(),
            max: repeated(&measured.maximum),
            sat: repeated(&measured.saturation),
            norm_ratio: ratios.unwrap_or_default(),
            scale: vec![1.0; channels],
            exp: vec![0; channels],
        }
    })
    .collect()
}

/// A row for every parameter.
fn raw_rows(
    network: &Network,
    params: &Params,
    saturations: &BTreeMap<String, Vec<f32>>,
    columns: &RawColumns,
) -> Vec<RawRow> {
    let all = network.operations.iter().flat_map(|operation| &operation.params);
    all.map(|param| {
        let channels = param.shape.last().copied().unwrap_or(0);
        let exponents: Vec<Scale> = match param.element.scale() {
            Some(Scales::Exponent(list)) => PerAxis::expand(list, channels).unwrap_or_default(),
            _ => Vec::new(),
        };
        let is_weight = param.shape.len() > 1;
        let max = if is_weight { largest_rows(params.get(&param.name), channels) } else { Vec::new() };
        let powers = columns.scale_from == ScaleRule::PowerOfTwo;
        let exponent = |scale: &Scale| if powers { scale.shift as i32 } else { -(scale.shift as i32) };
        // What tells a bias of JDY is a single 0 there.
        let zero = || vec![0.0];
        let printed = || exponents.iter().map(|scale| scale.value).collect();
        RawRow {
            id: param.id,
            size: if is_weight { param.shape.clone() } else { Vec::new() },
            sat: saturations.get(&param.name).cloned().unwrap_or_default(),
            max,
            scale: if powers && !is_weight { zero() } else { printed() },
            exp: exponents.iter().map(exponent).collect(),
        }
    })
    .collect()
}

/// The largest weight of every output channel.
fn largest_rows(weight: Option<&Tensor>, channels: usize) -> Vec<f32> {
    let data = weight.map_or(&[][..], Tensor::data);
    let largest = |row: &[f32]| row.iter().fold(0f32, |a, b| a.max(b.abs()));
    data.chunks((data.len() / channels.max(1)).max(1)).map(largest).collect()
}
