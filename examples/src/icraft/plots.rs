//! What became of parameters: of a checkpoint in training, and of a float network when it was quantised.

use super::arguments::KnownArguments;
use super::drawing::{Histograms, Mark, Panel, short};
use super::error::IcraftError;
use super::errors::{ErrorSplit, Grid, split};
use super::pairs::Pair;
use super::tensors::{Encoding, Integers, Known, StoredTensor, stored_tensors};
use crate::error::{Error, Result};
use icraft_raw::RawType;
use nn_graph::{Checkpoint, Tensor};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Names that an error lists.
const MOST_NAMES: usize = 6;

/// A float pair and the quantised one that was made from it.
#[derive(Debug, Clone, clap::Args)]
pub struct StageArguments {
    /// Float pair, normed: NAME of NAME.json and NAME.raw, or one of the two
    #[arg(long, value_name = "PAIR")]
    pub float: PathBuf,
    /// Quantised pair, named alike
    #[arg(long, value_name = "PAIR")]
    pub fixed: PathBuf,
    #[command(flatten)]
    known: KnownArguments,
}

/// Two stages of a network, opened.
#[derive(Debug)]
pub struct Stages {
    float: (Pair, Vec<StoredTensor>),
    fixed: (Pair, Vec<StoredTensor>),
}

/// A parameter as numbers and as integers.
#[derive(Debug)]
pub struct Compared {
    /// Its name.
    pub name: String,
    /// The numbers.
    pub float: Vec<f32>,
    /// What the integers stand for.
    pub fixed: Vec<f32>,
    /// What integers can stand for, by output channel.
    pub grids: Vec<Grid>,
    /// The error.
    pub error: ErrorSplit,
}

/// A row of the table of errors.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ErrorRow {
    /// The parameter.
    pub name: String,
    /// Its error.
    #[serde(flatten)]
    pub error: ErrorSplit,
}

impl StageArguments {
    /// Opens both pairs.
    ///
    /// # Errors
    /// As [`Pair::of_name`] and [`stored_tensors`].
    pub fn open(&self) -> Result<Stages> {
        let rule = self.known.rule();
        let (float, fixed) = (Pair::of_name(&self.float, rule)?, Pair::of_name(&self.fixed, rule)?);
        let known = self.known.known(fixed.network.generation, false)?;
        let of_float = stored_tensors(&float, &Known { names: known.names.clone(), ..Known::default() })?;
        let of_fixed = stored_tensors(&fixed, &known)?;
        Ok(Stages { float: (float, of_float), fixed: (fixed, of_fixed) })
    }
}

impl Stages {
    /// Files of both pairs.
    #[must_use]
    pub fn inputs(&self) -> [&Path; 4] {
        let ((float, _), (fixed, _)) = (&self.float, &self.fixed);
        [&float.json_path, &float.raw_path, &fixed.json_path, &fixed.raw_path]
    }

    /// Compares one parameter.
    ///
    /// # Errors
    /// [`IcraftError::NoParameter`], [`IcraftError::Shape`], [`IcraftError::Stage`], and those of [`StoredTensor::read`].
    pub fn compare(&self, name: &str) -> Result<Compared> {
        let (float_pair, _) = &self.float;
        let (fixed_pair, _) = &self.fixed;
        let (float, fixed) = (find(&self.float, name)?, find(&self.fixed, name)?);
        let stage = |pair: &Pair, found, expected| IcraftError::Stage {
            path: pair.raw_path.clone(),
            name: name.to_owned(),
            found,
            expected,
        };
        let Encoding::Float = float.encoding else {
            return Err(stage(float_pair, "integers", "f32").into());
        };
        let Encoding::Integers(integers) = &fixed.encoding else {
            return Err(stage(fixed_pair, "f32", "integers").into());
        };
        if float.shape != fixed.shape {
            return Err(Error::Icraft(IcraftError::Shape {
                path: fixed_pair.raw_path.clone(),
                name: name.to_owned(),
                found: fixed.shape.clone(),
                other: float_pair.raw_path.clone(),
                expected: float.shape.clone(),
            }));
        }
        let (float, read) = (float.read(float_pair)?, fixed.read(fixed_pair)?);
        let grids = grids(integers, uses_least(fixed, integers, fixed_pair)?);
        Ok(Compared::new(name, &float, &read, grids))
    }

    /// The errors of all parameters, in the order of the quantised pair.
    ///
    /// # Errors
    /// As [`Stages::compare`].
    pub fn errors(&self) -> Result<Vec<ErrorRow>> {
        let row = |name: &str| Ok(ErrorRow { name: name.to_owned(), error: self.compare(name)?.error });
        self.fixed.1.iter().map(|tensor| row(&tensor.name)).collect()
    }
}

impl Compared {
    fn new(name: &str, float: &Tensor, fixed: &Tensor, grids: Vec<Grid>) -> Self {
        let row = float.data().len() / float.shape().first().copied().unwrap_or(1).max(1);
        let grid = |index: usize| grids[if grids.len() == 1 { 0 } else { index / row.max(1) }];
        let error = split(float.data(), fixed.data(), grid);
        let (float, fixed) = (float.data().to_vec(), fixed.data().to_vec());
        Self { name: name.to_owned(), float, fixed, grids, error }
    }

    /// Histograms of both and of their difference.
    #[must_use]
    pub fn drawing(&self, bins: usize) -> Histograms {
        let saturation = self.grids.iter().map(Grid::saturation).fold(0.0, f64::max);
        compared_drawing(&self.name, (&self.float, &self.fixed), saturation, &self.error, bins)
    }
}

/// Histograms of numbers, of what integers stand for, and of the difference, with lines at the saturation point.
#[must_use]
pub fn compared_drawing(
    name: &str,
    (float, fixed): (&[f32], &[f32]),
    saturation: f64,
    error: &ErrorSplit,
    bins: usize,
) -> Histograms {
    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<f64>>();
    let (float, fixed) = (wide(float), wide(fixed));
    let differences: Vec<f64> = fixed.iter().zip(&float).map(|(fixed, float)| fixed - float).collect();
    let marks = [saturation, -saturation].map(|at| Mark { label: format!("saturation {}", short(at)), at });
    let title = format!(
        "{name}: relative L1 error {}, {} by rounding, {} by saturation",
        short(error.relative_l1),
        short(error.rounding),
        short(error.saturation)
    );
    let lists: [(&str, &[f64]); 2] = [("float", &float), ("fixed", &fixed)];
    let values = Panel::new("value", &lists, marks.to_vec(), bins);
    let difference = Panel::new("fixed - float", &[("error", &differences)], Vec::new(), bins);
    Histograms { title, panels: vec![values, difference] }
}

fn grids(integers: &Integers, uses_least: bool) -> Vec<Grid> {
    integers.scales.iter().map(|&scale| Grid::new(scale, integers.bits, uses_least)).collect()
}

/// Whether a tensor holds the least integer of its width.
fn uses_least(tensor: &StoredTensor, integers: &Integers, pair: &Pair) -> Result<bool> {
    let wrong = IcraftError::raw(&pair.raw_path);
    let least = -(1i64 << (integers.bits - 1));
    let (raw, id, count) = (&pair.raw, tensor.id, tensor.elements() as u64);
    match integers.element {
        RawType::I8 => raw.view_sized::<i8>(id, count).map(|v| v.iter().any(|&q| i64::from(q) == least)),
        RawType::I16 => raw.view_sized::<i16>(id, count).map(|v| v.iter().any(|&q| i64::from(q) == least)),
        RawType::I32 | RawType::F32 => {
            raw.view_sized::<i32>(id, count).map(|v| v.iter().any(|&q| i64::from(q) == least))
        }
    }
    .map_err(wrong)
}

fn find<'s>((pair, tensors): &'s (Pair, Vec<StoredTensor>), name: &str) -> Result<&'s StoredTensor> {
    let found = tensors.iter().find(|tensor| tensor.name == name);
    let names = tensors.iter().map(|tensor| tensor.name.as_str());
    found.ok_or_else(|| no_parameter(&pair.raw_path, name, names))
}

fn no_parameter<'n>(path: &Path, name: &str, names: impl Iterator<Item = &'n str>) -> Error {
    let mut known: Vec<&str> = names.take(MOST_NAMES + 1).collect();
    if known.len() > MOST_NAMES {
        known[MOST_NAMES] = "...";
    }
    let (path, name, known) = (path.to_owned(), name.to_owned(), known.join(", "));
    IcraftError::NoParameter { path, name, known }.into()
}

/// The table of errors as text; the last line sums up.
#[must_use]
pub fn error_table(rows: &[ErrorRow]) -> String {
    let line = |name: &str, error: &ErrorSplit| {
        let [total, rounding, saturation] =
            [error.relative_l1, error.rounding, error.saturation].map(|part| 100.0 * part);
        let (elements, saturated) = (error.elements, error.saturated);
        format!("{name:<40} {elements:>9} {total:>10.4} {rounding:>10.4} {saturation:>10.4} {saturated:>9}\n")
    };
    let mut text = format!(
        "{:<40} {:>9} {:>10} {:>10} {:>10} {:>9}\n",
        "parameter", "elements", "L1 %", "rounding", "saturation", "saturated"
    );
    rows.iter().for_each(|row| text += &line(&row.name, &row.error));
    text += &line("all", &total(rows));
    text.trim_end().to_owned()
}

/// The error of all parameters together, each weighted by its magnitude.
#[must_use]
pub fn total(rows: &[ErrorRow]) -> ErrorSplit {
    let magnitude: f64 = rows.iter().map(|row| row.error.magnitude).sum();
    let mean = |part: fn(&ErrorSplit) -> f64| {
        let sum: f64 = rows.iter().map(|row| part(&row.error) * row.error.magnitude).sum();
        if magnitude > 0.0 { sum / magnitude } else { 0.0 }
    };
    ErrorSplit {
        elements: rows.iter().map(|row| row.error.elements).sum(),
        saturated: rows.iter().map(|row| row.error.saturated).sum(),
        magnitude,
        relative_l1: mean(|error| error.relative_l1),
        rounding: mean(|error| error.rounding),
        saturation: mean(|error| error.saturation),
    }
}

/// One parameter of a checkpoint.
///
/// # Errors
/// Files that can't be read; [`IcraftError::NoParameter`]; [`IcraftError::NotFinite`].
pub fn parameter(path: &Path, name: &str) -> Result<Tensor> {
    let mut checkpoint = Checkpoint::open(path).map_err(|e| Error::model(path)(e.into()))?;
    let Some(tensor) = checkpoint.params.remove(name) else {
        return Err(no_parameter(path, name, checkpoint.params.keys().map(String::as_str)));
    };
    let count = tensor.data().iter().filter(|value| !value.is_finite()).count();
    if count > 0 {
        return Err(IcraftError::NotFinite { path: path.to_owned(), name: name.to_owned(), count }.into());
    }
    Ok(tensor)
}
