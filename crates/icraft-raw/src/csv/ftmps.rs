//! `ftmps.csv`: one row per feature map.

use super::profile::FtmpColumns;
use super::table::{Row, records};
use super::vector::{Channels, Column, VectorReader};
use super::write::{Line, integers, numbers, size};
use super::{CsvError, access};
use std::path::Path;

/// One feature map. Vectors hold one value, one per channel, or nothing where the cell is empty.
#[derive(Debug, Clone, PartialEq)]
pub struct FtmpRow {
    /// The feature map's id, as in the json.
    pub id: i64,
    /// N, H, W, C; empty where the log leaves them out.
    pub size: Vec<usize>,
    /// Calibrated largest |x|.
    pub max: Vec<f32>,
    /// Saturation point.
    pub sat: Vec<f32>,
    /// Norm ratio N: real value = integer * N.
    pub norm_ratio: Vec<f32>,
    /// Scale, 1 where norm ratios are in use.
    pub scale: Vec<f32>,
    /// Exponent, in -127..=149.
    pub exp: Vec<i32>,
}

/// Reads the text of `ftmps.csv`. A first row without a number in the id column is a header.
///
/// # Errors
///
/// A [`CsvError`] with row, column and text.
pub fn read_ftmps(text: &str, columns: &FtmpColumns) -> Result<Vec<FtmpRow>, CsvError> {
    let mut reader = VectorReader::default();
    records(text, &columns.named(), |row, id| read_row(row, id, columns, &mut reader))
}

/// Reads the file `ftmps.csv`, see [`read_ftmps`].
///
/// # Errors
///
/// [`CsvError::File`] if it cannot be read, and those of [`read_ftmps`].
pub fn read_ftmps_file(path: &Path, columns: &FtmpColumns) -> Result<Vec<FtmpRow>, CsvError> {
    read_ftmps(&access(path)?, columns)
}

fn read_row(
    row: &Row<'_>,
    id: i64,
    columns: &FtmpColumns,
    reader: &mut VectorReader,
) -> Result<FtmpRow, CsvError> {
    let size = row.size(columns.size)?;
    let channels = Channels { size: &size, allowed: &size[size.len().saturating_sub(1)..] };
    let mut numbers = |index, name| reader.numbers(row, Column { index, name }, channels);
    let max = numbers(columns.max, "max")?;
    let sat = numbers(columns.sat, "sat")?;
    let norm_ratio = numbers(columns.norm_ratio, "normratio")?;
    let scale = numbers(columns.scale, "scale")?;
    let exp = reader.exponents(row, Column { index: columns.exp, name: "exp" }, channels)?;
    Ok(FtmpRow { id, size, max, sat, norm_ratio, scale, exp })
}

/// Writes `ftmps.csv` with the columns given.
pub fn write_ftmps(ftmps: &[FtmpRow], columns: &FtmpColumns) -> String {
    let named = columns.named();
    let mut text = Line::new(&named).with_cells(named.map(|(name, _)| name.to_owned()));
    for ftmp in ftmps {
        let cells = [
            ftmp.id.to_string(),
            size(&ftmp.size),
            numbers(&ftmp.max),
            numbers(&ftmp.sat),
            numbers(&ftmp.norm_ratio),
            numbers(&ftmp.scale),
            integers(&ftmp.exp),
        ];
        text += &Line::new(&named).with_cells(cells);
    }
    text
}
