//! Logs of the quantiser, where a program reads scales and ratios from them.

use super::error::IcraftError;
use crate::error::Result;
use icraft_raw::{Generation, Profile, RawColumns, RawRow, read_raws_file};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Json and log print six significant digits or more; numbers that differ by more than this, relatively, are not the same.
pub const AGREEMENT: f32 = 1e-5;

/// Versions of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ProfileArgument {
    /// Icraft 2.0: scales as printed
    BuyiV2,
    /// JDY: scales are 2^-exp, with exp in column 6
    Jdy,
    /// Icraft 3.x
    Xir,
}

impl From<ProfileArgument> for Profile {
    fn from(argument: ProfileArgument) -> Self {
        match argument {
            ProfileArgument::BuyiV2 => Self::BuyiV2,
            ProfileArgument::Jdy => Self::Jdy,
            ProfileArgument::Xir => Self::Xir,
        }
    }
}

impl ProfileArgument {
    /// The profile asked for, or that of a generation's own compiler.
    #[must_use]
    pub fn or_of(argument: Option<Self>, generation: Generation) -> Profile {
        argument.map_or_else(
            || match generation {
                Generation::Legacy => Profile::BuyiV2,
                Generation::Xir => Profile::Xir,
            },
            Profile::from,
        )
    }
}

/// A log of parameters.
#[derive(Debug)]
pub struct ParameterLog {
    /// The file.
    pub path: PathBuf,
    columns: RawColumns,
    /// Whether biases alone have the mark of a bias; the later generation may log saturation points of biases too.
    marks_biases: bool,
    rows: BTreeMap<i64, RawRow>,
}

impl ParameterLog {
    /// Reads `raws.csv`.
    ///
    /// # Errors
    /// Names file, row and column.
    pub fn open(path: &Path, profile: Profile) -> Result<Self> {
        let columns = profile.raw_columns();
        let rows = read_raws_file(path, &columns).map_err(IcraftError::log(path))?;
        let rows = rows.into_iter().map(|row| (row.id, row)).collect();
        Ok(Self { path: path.to_owned(), columns, marks_biases: profile != Profile::Xir, rows })
    }

    /// The scales of a tensor of a shape in the file's order, if the log has the tensor.
    ///
    /// # Errors
    /// [`IcraftError::Role`] if the log takes a bias for weights or the other way round, which only the wrong profile does;
    /// [`IcraftError::Log`] for empty cells.
    pub fn scales(&self, tensor: &str, id: u32, shape: &[usize]) -> Result<Option<Vec<f32>>> {
        let Some(row) = self.rows.get(&i64::from(id)) else { return Ok(None) };
        let in_log = match (row.is_bias(&self.columns), shape.len()) {
            (true, axes) if axes != 1 => Some("a bias"),
            (false, 1) if self.marks_biases => Some("weights"),
            _ => None,
        };
        if let Some(in_log) = in_log {
            let (tensor, shape) = (tensor.to_owned(), shape.to_vec());
            return Err(IcraftError::Role { tensor, id, in_log, shape }.into());
        }
        row.scales(&self.columns).map(Some).map_err(IcraftError::log(&self.path))
    }
}

/// The channel of the first pair of numbers that are not the same; one number stands for all channels.
#[must_use]
pub fn disagreement(one: &[f32], other: &[f32]) -> Option<usize> {
    let at = |list: &[f32], channel: usize| list.get(if list.len() == 1 { 0 } else { channel }).copied();
    (0..one.len().max(other.len())).find(|&channel| match (at(one, channel), at(other, channel)) {
        (Some(a), Some(b)) => (a - b).abs() > AGREEMENT * a.abs().max(b.abs()),
        _ => true,
    })
}
