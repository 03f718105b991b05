//! Feature maps that simulators have dumped.

use super::drawing::Histograms;
use super::error::IcraftError;
use super::errors::{ErrorSplit, Grid, split};
use super::log::ProfileArgument;
use super::params::complete;
use super::plots::compared_drawing;
use crate::error::{Error, Result};
use icraft_raw::{
    FeatureMap, Generation, Network, PerAxis, Profile, RawElement, StorageType, read_ftmps_file,
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Dumps of one feature map, float and fixed.
#[derive(Debug, Clone, clap::Args)]
pub struct DumpArguments {
    /// Folder with dumps of the float network, ID.ftmp: f32, NHWC
    #[arg(long, value_name = "DIR")]
    pub float_dir: PathBuf,
    /// Folder with dumps of the quantised network, ID.ftmp: integers, NHWC
    #[arg(long, value_name = "DIR")]
    pub fixed_dir: PathBuf,
    /// The quantiser's log of feature maps: shapes and norm ratios
    #[arg(long, value_name = "FTMPS.csv")]
    pub csv: PathBuf,
    /// The quantised network's json: width of the integers, and norm ratios that the log does not hold; where both do they have to agree [default: the width by the dump's length]
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Version of the log [default: xir, or by the json]
    #[arg(long, value_enum)]
    pub profile: Option<ProfileArgument>,
    /// The feature map
    #[arg(long, value_name = "N")]
    pub id: i64,
    /// The float network is that of the stage normed: its numbers are multiplied by the norm ratios too
    #[arg(long)]
    pub normed: bool,
}

/// A feature map as numbers and as integers, both in real numbers.
#[derive(Debug, Serialize)]
pub struct FeatureComparison {
    /// Its id.
    pub id: i64,
    /// N, H, W, C.
    pub shape: Vec<usize>,
    /// Bits of an integer.
    pub bits: u32,
    /// The largest number, over all channels, that has an integer of its own.
    pub saturation: f64,
    /// The error.
    #[serde(flatten)]
    pub error: ErrorSplit,
    #[serde(skip)]
    float: Vec<f32>,
    #[serde(skip)]
    fixed: Vec<f32>,
}

/// What is known of a feature map beside its dumps.
struct Described {
    shape: Vec<usize>,
    ratios: PerAxis<f32>,
    bits: Option<u32>,
}

impl DumpArguments {
    /// Reads both dumps.
    ///
    /// # Errors
    /// Files that can't be read or don't have the shape's length; [`IcraftError::NoFeatureMap`], [`IcraftError::Incomplete`],
    /// [`IcraftError::RatiosDisagree`].
    pub fn compare(&self) -> Result<FeatureComparison> {
        let Described { shape, ratios, bits } = self.describe()?;
        let elements = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
        let elements = elements.filter(|&elements| elements > 0).unwrap_or(usize::MAX);
        let [float_path, fixed_path] = self.dumps();
        let mut float = floats(&float_path, elements, &shape)?;
        let (integers, bits) = integers(&fixed_path, elements, &shape, bits)?;
        // The dumps have shown that there are no more channels than elements in a file.
        let ratios = self.expand(&ratios, &shape)?;
        let ratio = |index: usize| ratios[index % ratios.len()];
        if self.normed {
            float.iter_mut().enumerate().for_each(|(index, value)| *value *= ratio(index));
        }
        check_finite(&float_path, self.id, &float)?;
        let least = -(1i64 << (bits - 1));
        let uses_least = integers.iter().any(|&q| i64::from(q) == least);
        let fixed = integers.iter().enumerate();
        let fixed: Vec<f32> =
            fixed.map(|(index, &q)| (f64::from(q) * f64::from(ratio(index))) as f32).collect();
        let grid = |index| Grid::new(ratio(index), bits, uses_least);
        let error = split(&float, &fixed, grid);
        let saturation = (0..ratios.len()).map(|channel| grid(channel).saturation()).fold(0.0, f64::max);
        Ok(FeatureComparison { id: self.id, shape, bits, saturation, error, float, fixed })
    }

    /// The dumps of the float and of the quantised network.
    #[must_use]
    pub fn dumps(&self) -> [PathBuf; 2] {
        [&self.float_dir, &self.fixed_dir].map(|folder| folder.join(format!("{}.ftmp", self.id)))
    }

    fn expand(&self, ratios: &PerAxis<f32>, shape: &[usize]) -> Result<Vec<f32>> {
        let wrong = |source| IcraftError::Expression { tensor: format!("feature map {}", self.id), source };
        Ok(ratios.expand(shape.last().copied().unwrap_or(1)).map_err(wrong)?)
    }

    fn describe(&self) -> Result<Described> {
        let network = self.json.as_deref().map(read_network).transpose()?;
        let generation = network.as_ref().map_or(Generation::Xir, |network| network.generation);
        let profile: Profile = ProfileArgument::or_of(self.profile, generation);
        let rows =
            read_ftmps_file(&self.csv, &profile.ftmp_columns()).map_err(IcraftError::log(&self.csv))?;
        let found = rows.iter().find(|row| row.id == self.id);
        let row = found.ok_or_else(|| IcraftError::NoFeatureMap { path: self.csv.clone(), id: self.id })?;
        let mut described = Described {
            shape: row.size.clone(),
            ratios: PerAxis::from_values(None, &row.norm_ratio),
            bits: None,
        };
        if let (Some(mut network), Some(json)) = (network, &self.json) {
            complete(&mut network, json, &rows, &self.csv)?;
            let absent = || IcraftError::NoFeatureMap { path: json.clone(), id: self.id };
            described.fill(network.feature_map(self.id).ok_or_else(absent)?);
        }
        self.check(&described)?;
        Ok(described)
    }

    fn check(&self, described: &Described) -> Result<()> {
        let missing = |what| IcraftError::Incomplete { path: self.csv.clone(), id: self.id, what };
        if described.shape.is_empty() {
            return Err(missing("size").into());
        }
        let has_zero = described.ratios.runs().iter().any(|&(_, ratio)| ratio == 0.0);
        if described.ratios.count() == 0 || has_zero {
            return Err(missing("norm ratio").into());
        }
        Ok(())
    }
}

impl Described {
    /// Takes from a json what the log has left open.
    fn fill(&mut self, map: &FeatureMap) {
        if self.shape.is_empty() {
            self.shape.clone_from(&map.shape);
        }
        if let Some(list) = map.element.norm_ratio().filter(|_| self.ratios.count() == 0) {
            self.ratios = list.clone();
        }
        if let Some(StorageType::Signed(bits)) = map.element.storage() {
            self.bits = Some(bits);
        }
    }
}

impl FeatureComparison {
    /// Histograms of both and of their difference.
    #[must_use]
    pub fn drawing(&self, bins: usize) -> Histograms {
        let name = format!("feature map {}", self.id);
        compared_drawing(&name, (&self.float, &self.fixed), self.saturation, &self.error, bins)
    }
}

fn read_network(path: &Path) -> Result<Network> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    Network::read(&text).map_err(IcraftError::network(path))
}

fn wrong_length(
    path: &Path,
    bytes: &[u8],
    elements: usize,
    shape: &[usize],
    expected: &'static str,
) -> Error {
    let (path, length, shape) = (path.to_owned(), bytes.len(), shape.to_vec());
    IcraftError::DumpLength { path, length, elements, expected, shape }.into()
}

fn floats(path: &Path, elements: usize, shape: &[usize]) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    if elements.checked_mul(f32::TYPE.bytes()) != Some(bytes.len()) {
        return Err(wrong_length(path, &bytes, elements, shape, "f32"));
    }
    let (words, _) = bytes.as_chunks::<4>();
    Ok(words.iter().map(|&word| f32::from_le_bytes(word)).collect())
}

/// Integers of 1, 2 or 4 bytes, as `bits` or else the length says, and their width in bits.
fn integers(path: &Path, elements: usize, shape: &[usize], bits: Option<u32>) -> Result<(Vec<i32>, u32)> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let is = |width: usize| elements > 0 && elements.checked_mul(width) == Some(bytes.len());
    let width = [1, 2, 4].into_iter().find(|&width| is(width));
    let fits = |width: usize| {
        bits.is_none_or(|bits| (2..=8 * width as u32).contains(&bits) && bits > 4 * width as u32)
    };
    let Some(width) = width.filter(|&width| fits(width)) else {
        let expected = match bits {
            None => "1, 2 or 4 bytes",
            Some(..=8) => "1 byte",
            Some(9..=16) => "2 bytes",
            Some(_) => "4 bytes",
        };
        return Err(wrong_length(path, &bytes, elements, shape, expected));
    };
    let values = match width {
        1 => bytes.iter().map(|&byte| i32::from(byte as i8)).collect(),
        2 => bytes.as_chunks::<2>().0.iter().map(|&word| i16::from_le_bytes(word).into()).collect(),
        _ => bytes.as_chunks::<4>().0.iter().map(|&word| i32::from_le_bytes(word)).collect(),
    };
    Ok((values, bits.unwrap_or(8 * width as u32)))
}

fn check_finite(path: &Path, id: i64, values: &[f32]) -> Result<()> {
    let count = values.iter().filter(|value| !value.is_finite()).count();
    if count == 0 {
        return Ok(());
    }
    Err(IcraftError::NotFinite { path: path.to_owned(), name: format!("feature map {id}"), count }.into())
}
