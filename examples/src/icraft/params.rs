//! The tables that training on normalised feature maps takes from a compiled network.

use super::arguments::NameArguments;
use super::error::IcraftError;
use super::log::{ParameterLog, ProfileArgument, disagreement};
use super::names::{Named, Names};
use super::tensors::{is_hardware, scales};
use crate::error::{Error, Result};
use icraft_raw::{
    Attributes, ElementType, FeatureMap, FeatureRatio, FtmpRow, Network, NetworkError, NormRatios,
    Normalized, Param, PerAxis, Scales, raw_shape, read_ftmps_file,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Scales that are listed one by one, of all parameters together (16 MiB).
const MOST_SCALES: usize = 1 << 22;

/// Where the tables come from.
#[derive(Debug, Clone, clap::Args)]
pub struct TableArguments {
    /// The network's json, of the stage quantized
    #[arg(long)]
    pub json: PathBuf,
    /// The quantiser's log of feature maps, for norm ratios that the json does not hold; where both do they have to agree
    #[arg(long, value_name = "FTMPS.csv")]
    pub csv: Option<PathBuf>,
    /// The quantiser's log of parameters, for scales that the json does not hold; where both do they have to agree
    #[arg(long, value_name = "RAWS.csv")]
    pub raws: Option<PathBuf>,
    /// Version of the logs [default: buyi-v2 for the earlier generation, xir for the later]
    #[arg(long, value_enum)]
    pub profile: Option<ProfileArgument>,
    #[command(flatten)]
    names: NameArguments,
}

/// A number for all channels, or one for each.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum PerChannel {
    /// One for all.
    Shared(f32),
    /// One for each output channel.
    Each(Vec<f32>),
}

/// A norm ratio: real value = integer * ratio.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RatioRow {
    /// The feature map's id.
    pub ftmp: Option<i64>,
    /// Its name, where the json has one.
    pub name: String,
    /// Its norm ratio.
    pub ratio: f32,
}

/// An addition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AddRow {
    /// The operation's id.
    pub operation: i64,
    /// The shortcut.
    pub left: RatioRow,
    /// The branch.
    pub right: RatioRow,
    /// The sum.
    pub sum: RatioRow,
}

/// A SiLU.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SiluRow {
    /// The operation's id.
    pub operation: i64,
    /// What it reads.
    pub input: RatioRow,
    /// What it writes.
    pub output: RatioRow,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScaleRow {
    /// Its id in the raw file.
    pub raw: i64,
    /// Its name; `raw.ID` where nothing tells it.
    pub name: String,
    /// real value = integer * scale.
    pub scale: PerChannel,
}

/// All tables, under the names of the scripts that they were made for, and where each number belongs. Lists are in the order of execution.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub struct Tables {
    /// Of additions, the ratios of the shortcuts.
    pub sum_l: Vec<f32>,
    /// Of additions, the ratios of the branches.
    pub sum_r: Vec<f32>,
    /// Of additions, the ratios of the sums.
    pub sum_a: Vec<f32>,
    /// Of SiLUs, the ratios of what they read.
    pub silu_i: Vec<f32>,
    /// Of SiLUs, the ratios of what they write.
    pub silu_o: Vec<f32>,
    /// Of the outputs.
    pub ratio: Vec<f32>,
    /// Scales of the parameters by name.
    pub scale_table: BTreeMap<String, PerChannel>,
    /// The additions.
    #[serde(rename = "additions")]
    pub additions: Vec<AddRow>,
    /// The SiLUs.
    #[serde(rename = "silus")]
    pub silus: Vec<SiluRow>,
    /// The outputs.
    #[serde(rename = "outputs")]
    pub outputs: Vec<RatioRow>,
    /// The parameters, in the order of the json.
    #[serde(rename = "parameters")]
    pub parameters: Vec<ScaleRow>,
}

impl TableArguments {
    /// Reads files and makes the tables.
    ///
    /// # Errors
    /// Files that can't be read; [`IcraftError::RatiosDisagree`] and [`IcraftError::ScalesDisagree`]; [`IcraftError::Network`] where a ratio is
    /// missing, or is not the same in all channels.
    pub fn tables(&self) -> Result<Tables> {
        let text = std::fs::read_to_string(&self.json).map_err(Error::io(&self.json))?;
        let mut network = Network::read(&text).map_err(IcraftError::network(&self.json))?;
        let profile = ProfileArgument::or_of(self.profile, network.generation);
        if let Some(csv) = &self.csv {
            let rows = read_ftmps_file(csv, &profile.ftmp_columns()).map_err(IcraftError::log(csv))?;
            complete(&mut network, &self.json, &rows, csv)?;
        }
        let log = self.raws.as_deref().map(|path| ParameterLog::open(path, profile)).transpose()?;
        let names = self.names.names()?;
        let parameters = self.scale_rows(&network, log.as_ref(), names.as_ref())?;
        tables(&network, parameters).map_err(IcraftError::network(&self.json))
    }

    /// The scales of all parameters, as the json lists them, or else as the log does.
    fn scale_rows(
        &self,
        network: &Network,
        log: Option<&ParameterLog>,
        names: Option<&Names>,
    ) -> Result<Vec<ScaleRow>> {
        let params = network.operations.iter().flat_map(|operation| &operation.params);
        let mut rows = Vec::new();
        let (mut seen, mut values) = (BTreeSet::new(), 0usize);
        for param in params.filter(|param| !param.shape.contains(&0)).filter(|param| seen.insert(param.id)) {
            let id = u32::try_from(param.id).unwrap_or(u32::MAX);
            let name = parameter_name(id, &param.name, names);
            let listed = param.element.scale().is_some_and(|scales: &Scales| scales.count() > 0);
            if listed && is_hardware(param) {
                return Err(IcraftError::Hardware { json: self.json.clone(), tensor: name }.into());
            }
            values = values.saturating_add(unshared_scales(param));
            if values > MOST_SCALES {
                return Err(IcraftError::TooManyScales { json: self.json.clone(), most: MOST_SCALES }.into());
            }
            if listed || log.is_some() {
                let (scales, _) = scales(&name, id, param, log)?;
                rows.push(ScaleRow { raw: param.id, name, scale: PerChannel::from(scales) });
            }
        }
        if rows.is_empty()
            && let (Some(log), Some(names)) = (log, names)
        {
            rows = logged_rows(log, names)?;
        }
        self.check_names(&rows)?;
        Ok(rows)
    }

    /// A table by names has room for one parameter of a name.
    fn check_names(&self, rows: &[ScaleRow]) -> Result<()> {
        let mut seen = BTreeMap::new();
        for row in rows {
            if let Some(first) = seen.insert(&row.name, row.raw) {
                let (json, name, second) = (self.json.clone(), row.name.clone(), row.raw);
                return Err(IcraftError::SameName { json, name, first, second }.into());
            }
        }
        Ok(())
    }

    /// Files that are read.
    #[must_use]
    pub fn inputs(&self) -> Vec<&Path> {
        let logs = [&self.csv, &self.raws].into_iter().filter_map(|path| path.as_deref());
        let json = std::iter::once(self.json.as_path());
        json.chain(logs).chain(self.names.inputs()).collect()
    }
}

/// Gives feature maps without norm ratio that of the log, and compares all others with it.
pub(super) fn complete(
    network: &mut Network,
    json_path: &Path,
    rows: &[FtmpRow],
    csv_path: &Path,
) -> Result<()> {
    let logged: BTreeMap<i64, &[f32]> =
        rows.iter().filter(|row| !row.norm_ratio.is_empty()).map(|row| (row.id, &*row.norm_ratio)).collect();
    for operation in &mut network.operations {
        for map in operation.inputs.iter_mut().chain(&mut operation.outputs) {
            let Some((id, ratios)) = map.id.and_then(|id| Some((id, *logged.get(&id)?))) else { continue };
            complete_map(map, id, ratios, json_path, csv_path)?;
        }
    }
    Ok(())
}

fn complete_map(map: &mut FeatureMap, id: i64, csv: &[f32], json_path: &Path, csv_path: &Path) -> Result<()> {
    let Some(list) = map.element.norm_ratio() else {
        // No table holds ratios that channels don't share, and one id may be read very often.
        if let PerChannel::Shared(shared) = PerChannel::from(csv.to_vec()) {
            let ratio = NormRatios(PerAxis::uniform(Some(-1), csv.len(), shared));
            map.element = ElementType::Normalized(Normalized { ratio, attributes: Attributes::new() });
        }
        return Ok(());
    };
    let wrong = |source| IcraftError::Expression { tensor: format!("feature map {id}"), source };
    let json: Vec<f32> = match (list.count(), csv) {
        // one number on either side stands for all channels
        (_, [_]) => list.runs().iter().map(|&(_, ratio)| ratio).collect(),
        (1, _) => list.runs().iter().map(|&(_, ratio)| ratio).collect(),
        _ => list.expand(csv.len()).map_err(wrong)?,
    };
    let Some(place) = disagreement(&json, csv) else { return Ok(()) };
    let at = |list: &[f32]| list.get(place).or(list.first()).copied().unwrap_or(f32::NAN);
    let (json_path, csv_path) = (json_path.to_owned(), csv_path.to_owned());
    let channel = if csv.len() == 1 { first_channel(list, place) } else { place };
    Err(IcraftError::RatiosDisagree { id, channel, json_path, json: at(&json), csv_path, csv: at(csv) }
        .into())
}

/// The first channel of a run.
fn first_channel(list: &PerAxis<f32>, run: usize) -> usize {
    list.runs().iter().take(run).map(|&(count, _)| count).sum()
}

/// How many scales of a parameter have to be listed one by one. A run of them takes a few bytes of a json only.
fn unshared_scales(param: &Param) -> usize {
    let runs = |runs: usize, count: usize| if runs > 1 { count } else { 0 };
    match param.element.scale() {
        Some(Scales::Exponent(list)) => runs(list.runs().len(), list.count()),
        Some(Scales::Float(list)) => runs(list.runs().len(), list.count()),
        None => 0,
    }
}

fn parameter_name(id: u32, listed: &str, names: Option<&Names>) -> String {
    match names.and_then(|names| names.by_id.get(&id)) {
        Some(found) => found.name.clone(),
        None if listed.is_empty() => format!("raw.{id}"),
        None => listed.to_owned(),
    }
}

/// Rows of a json that lists no parameters: those that were found by content.
fn logged_rows(log: &ParameterLog, names: &Names) -> Result<Vec<ScaleRow>> {
    let row = |(&id, named): (&u32, &Named)| {
        let name = named.name.clone();
        let shape = raw_shape(&named.shape).map_err(IcraftError::layout(&name))?;
        let scales = log.scales(&name, id, &shape)?;
        let scales = scales.ok_or_else(|| IcraftError::NoScales { tensor: name.clone(), id })?;
        Ok(ScaleRow { raw: id.into(), name, scale: PerChannel::from(scales) })
    };
    names.by_id.iter().map(row).collect()
}

impl From<Vec<f32>> for PerChannel {
    fn from(scales: Vec<f32>) -> Self {
        match scales.as_slice() {
            [first, others @ ..] if others.iter().all(|other| other == first) => Self::Shared(*first),
            _ => Self::Each(scales),
        }
    }
}

fn tables(network: &Network, parameters: Vec<ScaleRow>) -> std::result::Result<Tables, NetworkError> {
    let mut map_names = BTreeMap::new();
    for map in
        network.operations.iter().flat_map(|operation| operation.outputs.iter().chain(&operation.inputs))
    {
        map_names.entry(map.id).or_insert(map.name.as_str());
    }
    let row = |found: FeatureRatio| {
        let name = found.id.and_then(|id| map_names.get(&Some(id)).copied());
        RatioRow { ftmp: found.id, name: name.unwrap_or_default().to_owned(), ratio: found.ratio }
    };
    let additions = network.add_ratios()?.into_iter().map(|found| AddRow {
        operation: found.operation,
        left: row(found.shortcut),
        right: row(found.branch),
        sum: row(found.sum),
    });
    let additions: Vec<AddRow> = additions.collect();
    let silus = network.silu_ratios()?.into_iter().map(|found| SiluRow {
        operation: found.operation,
        input: row(found.input),
        output: row(found.output),
    });
    let silus: Vec<SiluRow> = silus.collect();
    let outputs: Vec<RatioRow> = network.output_ratios()?.into_iter().map(row).collect();
    Ok(Tables {
        sum_l: additions.iter().map(|add| add.left.ratio).collect(),
        sum_r: additions.iter().map(|add| add.right.ratio).collect(),
        sum_a: additions.iter().map(|add| add.sum.ratio).collect(),
        silu_i: silus.iter().map(|silu| silu.input.ratio).collect(),
        silu_o: silus.iter().map(|silu| silu.output.ratio).collect(),
        ratio: outputs.iter().map(|output| output.ratio).collect(),
        scale_table: parameters.iter().map(|row| (row.name.clone(), row.scale.clone())).collect(),
        additions,
        silus,
        outputs,
        parameters,
    })
}
