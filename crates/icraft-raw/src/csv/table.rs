//! Rows and cells of a csv file whose cells are never quoted.

use super::CsvError;
use crate::excerpt::excerpt;
use std::collections::HashMap;

/// One line, split at commas.
#[derive(Debug)]
pub(super) struct Row<'t> {
    /// Line of the file, from 1.
    pub(super) number: usize,
    pub(super) cells: Vec<&'t str>,
}

impl<'t> Row<'t> {
    /// The cell of column `column`, white space around it removed.
    pub(super) fn cell(&self, column: usize, name: &'static str) -> Result<&'t str, CsvError> {
        self.cells.get(column).copied().ok_or(CsvError::MissingColumn {
            row: self.number,
            column,
            name,
            found: self.cells.len(),
        })
    }

    pub(super) fn id(&self, column: usize, name: &'static str) -> Result<i64, CsvError> {
        let text = self.cell(column, name)?;
        text.parse().map_err(|_| CsvError::Id { row: self.number, column, text: excerpt(text) })
    }

    /// `AxBxC`; an empty cell is an empty list.
    pub(super) fn size(&self, column: usize) -> Result<Vec<usize>, CsvError> {
        let text = self.cell(column, "size")?;
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let dimensions: Result<_, _> = text.split('x').map(str::parse).collect();
        dimensions.map_err(|_| CsvError::Size { row: self.number, column, text: excerpt(text) })
    }
}

/// Lines that hold anything, with their numbers. A byte order mark is passed over.
pub(super) fn rows(text: &str) -> impl Iterator<Item = Row<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(index, line)| Row { number: index + 1, cells: line.split(',').map(str::trim).collect() })
}

/// Reads one record a row. The first of the columns `named` holds ids, which must differ; a first row without a number
/// there is a header.
pub(super) fn records<T>(
    text: &str,
    named: &[(&'static str, usize)],
    mut read: impl FnMut(&Row<'_>, i64) -> Result<T, CsvError>,
) -> Result<Vec<T>, CsvError> {
    let &[(id_name, id_column), ..] = named else { return Ok(Vec::new()) };
    let mut seen = SeenIds::default();
    let mut found = Vec::new();
    for (index, row) in rows(text).enumerate() {
        if index == 0 && row.cell(id_column, id_name)?.parse::<i64>().is_err() {
            check_header(&row, named)?;
            continue;
        }
        let id = row.id(id_column, id_name)?;
        seen.add(id, row.number)?;
        found.push(read(&row, id)?);
    }
    Ok(found)
}

/// Checks that the columns which a header names are where the profile has them.
fn check_header(row: &Row<'_>, columns: &[(&'static str, usize)]) -> Result<(), CsvError> {
    for &(name, expected) in columns {
        if let Some(found) = row.cells.iter().position(|cell| *cell == name)
            && row.cells.get(expected) != Some(&name)
        {
            return Err(CsvError::HeaderDisagrees { name, found, expected });
        }
    }
    Ok(())
}

/// Rows that ids were seen in.
#[derive(Debug, Default)]
pub(super) struct SeenIds(HashMap<i64, usize>);

impl SeenIds {
    pub(super) fn add(&mut self, id: i64, row: usize) -> Result<(), CsvError> {
        match self.0.insert(id, row) {
            Some(earlier) => Err(CsvError::DuplicateId { row, earlier, id }),
            None => Ok(()),
        }
    }
}
