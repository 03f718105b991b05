//! `raws.csv`: one row per parameter tensor.

use super::profile::{BiasRule, RawColumns, ScaleRule};
use super::table::{Row, records};
use super::vector::{Channels, Column, VectorReader};
use super::write::{Line, integers, numbers, size};
use super::{CsvError, access};
use std::path::Path;

/// One parameter tensor. Vectors hold one value, one per output channel, or nothing where the cell is empty.
#[derive(Debug, Clone, PartialEq)]
pub struct RawRow {
    /// The tensor's id in the raw file and in the json.
    pub id: i64,
    /// Dimensions in stored order, HWIO for weights; empty where the log leaves them out.
    pub size: Vec<usize>,
    /// Largest |w|.
    pub max: Vec<f32>,
    /// Saturation point.
    pub sat: Vec<f32>,
    /// Scale as printed.
    pub scale: Vec<f32>,
    /// Exponent, in -127..=149.
    pub exp: Vec<i32>,
}

impl RawRow {
    /// Whether this is a bias, by the rule of the profile that `columns` belong to.
    pub fn is_bias(&self, columns: &RawColumns) -> bool {
        match columns.bias {
            BiasRule::NoSaturation => self.sat.is_empty(),
            BiasRule::ZeroScale => self.scale == [0.0],
        }
    }

    /// The scale s of each output channel, or one for all: real value = integer * s.
    ///
    /// # Errors
    ///
    /// [`CsvError::NoScale`] if the cell that the profile takes it from is empty, or holds a zero.
    pub fn scales(&self, columns: &RawColumns) -> Result<Vec<f32>, CsvError> {
        let scales = match columns.scale_from {
            ScaleRule::Printed => self.scale.clone(),
            ScaleRule::PowerOfTwo => self.exp.iter().map(|&exp| (-f64::from(exp)).exp2() as f32).collect(),
        };
        if scales.is_empty() || scales.contains(&0.0) {
            return Err(CsvError::NoScale { id: self.id });
        }
        Ok(scales)
    }
}

/// Reads the text of `raws.csv`. A first row without a number in the id column is a header.
///
/// A vector may have as many values as the last axis of the size has channels (HWIO, O), or, in four dimensions, the
/// axis before it (transposed convolutions, HWOI).
///
/// # Errors
///
/// A [`CsvError`] with row, column and text.
pub fn read_raws(text: &str, columns: &RawColumns) -> Result<Vec<RawRow>, CsvError> {
    let mut reader = VectorReader::default();
    records(text, &columns.named(), |row, id| read_row(row, id, columns, &mut reader))
}

/// Reads the file `raws.csv`, see [`read_raws`].
///
/// # Errors
///
/// [`CsvError::File`] if it cannot be read, and those of [`read_raws`].
pub fn read_raws_file(path: &Path, columns: &RawColumns) -> Result<Vec<RawRow>, CsvError> {
    read_raws(&access(path)?, columns)
}

fn read_row(
    row: &Row<'_>,
    id: i64,
    columns: &RawColumns,
    reader: &mut VectorReader,
) -> Result<RawRow, CsvError> {
    let size = row.size(columns.size)?;
    let allowed = output_axes(&size);
    let channels = Channels { size: &size, allowed: &allowed };
    let mut numbers = |index, name| reader.numbers(row, Column { index, name }, channels);
    let max = numbers(columns.max, "max")?;
    let sat = numbers(columns.sat, "sat")?;
    let scale = numbers(columns.scale, "scale")?;
    let exp = reader.exponents(row, Column { index: columns.exp, name: "exp" }, channels)?;
    Ok(RawRow { id, size, max, sat, scale, exp })
}

/// Lengths of the axes that may be output channels.
fn output_axes(size: &[usize]) -> Vec<usize> {
    let axes = if size.len() == 4 { 2 } else { 1 };
    size.iter().rev().take(axes).copied().collect()
}

/// Writes `raws.csv` with the columns given; columns between them that the format leaves unnamed stay empty.
pub fn write_raws(raws: &[RawRow], columns: &RawColumns) -> String {
    let named = columns.named();
    let mut text = Line::new(&named).with_cells(named.map(|(name, _)| name.to_owned()));
    for raw in raws {
        let cells = [
            raw.id.to_string(),
            size(&raw.size),
            numbers(&raw.max),
            numbers(&raw.sat),
            numbers(&raw.scale),
            integers(&raw.exp),
        ];
        text += &Line::new(&named).with_cells(cells);
    }
    text
}
