//! `mix_config.csv`: precision, saturation method and granularity of every operation.
//!
//! Two headers are known; the later one is written. Cells `a;b` speak of the operation's parameters and of its output.

use super::table::{Row, SeenIds, rows};
use super::{CsvError, access};
use crate::excerpt::excerpt;
use crate::words::{Granularity, SaturationMethod};
use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

const LATER: &str = "op_id,op_type,dtype,value_range_in_bits,saturation,per,order";
const EARLIER: &str = "op_id,op_type,dtype,variance,cal_amount_percent,value_range_in_bits,saturation,per";
const KNOWN: &[&str] = &[LATER, EARLIER];

/// A setting for the parameters of an operation, and one for its output feature map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ParamsAndOutput<T> {
    /// For the parameters.
    pub params: T,
    /// For the output feature map.
    pub output: T,
}

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub struct MixRow {
    /// The operation's id in the json.
    pub operation: i64,
    /// Its type with namespace, such as `icraft::xir::Conv2dNode`.
    pub kind: String,
    /// Element type in the later spelling: `int8`, `int16`, `fp32`.
    pub dtype: String,
    /// Bits that values may use, 1 to 64.
    pub bits: ParamsAndOutput<u32>,
    /// How saturation points are found.
    pub saturation: ParamsAndOutput<SaturationMethod>,
    /// Which values share a scale.
    pub per: ParamsAndOutput<Granularity>,
    /// The last column of the later header; none for `-`, and in files of the earlier header.
    pub order: Option<u32>,
}

/// Where a header has the columns that both have.
#[derive(Debug, Clone, Copy)]
struct Columns {
    bits: usize,
    saturation: usize,
    per: usize,
    order: Option<usize>,
}

/// Reads the text of `mix_config.csv`, of either header.
///
/// # Errors
///
/// A [`CsvError`] with row, column and text.
pub fn read_mix_config(text: &str) -> Result<Vec<MixRow>, CsvError> {
    let mut rows = rows(text);
    let columns = columns(rows.next())?;
    let mut seen = SeenIds::default();
    let mut found = Vec::new();
    for row in rows {
        let mix = read_row(&row, columns)?;
        seen.add(mix.operation, row.number)?;
        found.push(mix);
    }
    Ok(found)
}

/// Reads the file `mix_config.csv`, see [`read_mix_config`].
///
/// # Errors
///
/// [`CsvError::File`] if it cannot be read, and those of [`read_mix_config`].
pub fn read_mix_config_file(path: &Path) -> Result<Vec<MixRow>, CsvError> {
    read_mix_config(&access(path)?)
}

fn columns(header: Option<Row<'_>>) -> Result<Columns, CsvError> {
    let found = header.map(|row| row.cells.join(",")).unwrap_or_default();
    match found.as_str() {
        LATER => Ok(Columns { bits: 3, saturation: 4, per: 5, order: Some(6) }),
        EARLIER => Ok(Columns { bits: 5, saturation: 6, per: 7, order: None }),
        _ => Err(CsvError::UnknownHeader { found: excerpt(&found), known: KNOWN }),
    }
}

fn read_row(row: &Row<'_>, columns: Columns) -> Result<MixRow, CsvError> {
    Ok(MixRow {
        operation: row.id(0, "op_id")?,
        kind: row.cell(1, "op_type")?.to_owned(),
        dtype: later_spelling(row.cell(2, "dtype")?),
        bits: bits(row, columns.bits)?,
        saturation: pair(row, columns.saturation, "saturation", SaturationMethod::EXPECTED)?,
        per: pair(row, columns.per, "per", Granularity::EXPECTED)?,
        order: columns.order.map(|column| order(row, column)).transpose()?.flatten(),
    })
}

/// `FLOAT32` and `INT8` of the earlier header are `fp32` and `int8` in the later one.
fn later_spelling(dtype: &str) -> String {
    let lower = dtype.to_ascii_lowercase();
    lower.strip_prefix("float").map(|bits| format!("fp{bits}")).unwrap_or(lower)
}

fn bits(row: &Row<'_>, column: usize) -> Result<ParamsAndOutput<u32>, CsvError> {
    const EXPECTED: &str = "two widths from 1 to 64, `params;output`";
    let found: ParamsAndOutput<u32> = pair(row, column, "value_range_in_bits", EXPECTED)?;
    if [found.params, found.output].iter().all(|bits| (1..=64).contains(bits)) {
        return Ok(found);
    }
    Err(word(row, column, "value_range_in_bits", EXPECTED))
}

fn order(row: &Row<'_>, column: usize) -> Result<Option<u32>, CsvError> {
    match row.cell(column, "order")? {
        "-" | "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| word(row, column, "order", "a number or `-`")),
    }
}

fn pair<T: FromStr>(
    row: &Row<'_>,
    column: usize,
    name: &'static str,
    expected: &'static str,
) -> Result<ParamsAndOutput<T>, CsvError> {
    let parts = row.cell(column, name)?.split_once(';');
    let parsed = parts.and_then(|(params, output)| {
        Some(ParamsAndOutput { params: params.trim().parse().ok()?, output: output.trim().parse().ok()? })
    });
    parsed.ok_or_else(|| word(row, column, name, expected))
}

fn word(row: &Row<'_>, column: usize, name: &'static str, expected: &'static str) -> CsvError {
    let text = excerpt(row.cells.get(column).copied().unwrap_or_default());
    CsvError::Word { row: row.number, column, name, text, expected }
}

/// Writes `mix_config.csv` with the later header.
///
/// # Errors
///
/// [`CsvError::Unwritable`] if a type has a comma, a quote or a line end.
pub fn write_mix_config(rows: &[MixRow]) -> Result<String, CsvError> {
    let mut text = format!("{LATER}\n");
    for row in rows {
        let order = row.order.map_or_else(|| "-".to_owned(), |order| order.to_string());
        let (kind, dtype) = (plain(row, &row.kind)?, plain(row, &row.dtype)?);
        let [bits, saturation, per] = [both(&row.bits), both(&row.saturation), both(&row.per)];
        text += &format!("{},{kind},{dtype},{bits},{saturation},{per},{order}\n", row.operation);
    }
    Ok(text)
}

fn both<T: Display>(pair: &ParamsAndOutput<T>) -> String {
    format!("{};{}", pair.params, pair.output)
}

fn plain<'t>(row: &MixRow, text: &'t str) -> Result<&'t str, CsvError> {
    if text.contains([',', '"', '\n', '\r']) {
        return Err(CsvError::Unwritable { id: row.operation, text: text.to_owned() });
    }
    Ok(text)
}
