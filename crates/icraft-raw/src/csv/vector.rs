//! Cells that hold one number per channel.
//!
//! The later generation writes `0.5 0.25 0.125`. How the earlier one wrote vectors is not known for certain, so brackets,
//! characters after a number and run lengths `N*value` are understood as well. A token that ends in a digit is taken whole.

use super::CsvError;
use super::error::NumberFault;
use super::table::Row;
use crate::excerpt::excerpt;

/// Values that the run lengths of one file may add up to (16 MiB of f32).
const RUN_VALUES: usize = 1 << 22;

/// Where the values of a cell end up, and what they are checked by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) index: usize,
    pub(super) name: &'static str,
}

/// Reads the vector cells of one file, and keeps count of what run lengths add up to.
#[derive(Debug, Default)]
pub(super) struct VectorReader {
    from_runs: usize,
}

/// The tensor that a cell belongs to: its size, and how many values it may have besides one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Channels<'s> {
    pub(super) size: &'s [usize],
    /// Axes that may be the output channels. None: any number of values will do.
    pub(super) allowed: &'s [usize],
}

impl VectorReader {
    /// Finite numbers that are not negative.
    pub(super) fn numbers(
        &mut self,
        row: &Row<'_>,
        column: Column,
        channels: Channels<'_>,
    ) -> Result<Vec<f32>, CsvError> {
        self.values(row, column, channels, non_negative)
    }

    /// Exponents e with a finite 2^-e above zero.
    pub(super) fn exponents(
        &mut self,
        row: &Row<'_>,
        column: Column,
        channels: Channels<'_>,
    ) -> Result<Vec<i32>, CsvError> {
        self.values(row, column, channels, exponent)
    }

    fn values<T: Copy>(
        &mut self,
        row: &Row<'_>,
        column: Column,
        channels: Channels<'_>,
        parse: impl Fn(&str) -> Result<T, NumberFault>,
    ) -> Result<Vec<T>, CsvError> {
        let fault = |token, fault| number_error(row, column, token, fault);
        let mut values = Vec::new();
        for token in row.cell(column.index, column.name)?.split_whitespace() {
            let Some((length, number)) = token_parts(token).map_err(|f| fault(token, f))? else { continue };
            let value = parse(number).map_err(|f| fault(token, f))?;
            let count = values.len().saturating_add(length);
            check_room(count, row, column, channels)?;
            self.charge(length, row, column)?;
            values.extend(std::iter::repeat_n(value, length));
        }
        check_count(values.len(), row, column, channels)?;
        Ok(values)
    }

    fn charge(&mut self, length: usize, row: &Row<'_>, column: Column) -> Result<(), CsvError> {
        self.from_runs = self.from_runs.saturating_add(length - 1);
        if self.from_runs > RUN_VALUES {
            return Err(CsvError::TooManyValues { row: row.number, column: column.index, limit: RUN_VALUES });
        }
        Ok(())
    }
}

fn number_error(row: &Row<'_>, column: Column, token: &str, fault: NumberFault) -> CsvError {
    let Column { index, name } = column;
    CsvError::Number { row: row.number, column: index, name, text: excerpt(token), fault }
}

/// More values than any count that is allowed are refused before they are stored.
fn check_room(count: usize, row: &Row<'_>, column: Column, channels: Channels<'_>) -> Result<(), CsvError> {
    let most = channels.allowed.iter().copied().max().map_or(usize::MAX, |most| most.max(1));
    if count > most { Err(count_error(count, row, column, channels)) } else { Ok(()) }
}

fn check_count(count: usize, row: &Row<'_>, column: Column, channels: Channels<'_>) -> Result<(), CsvError> {
    let fits = count <= 1 || channels.allowed.is_empty() || channels.allowed.contains(&count);
    if fits { Ok(()) } else { Err(count_error(count, row, column, channels)) }
}

fn count_error(found: usize, row: &Row<'_>, column: Column, channels: Channels<'_>) -> CsvError {
    CsvError::Count {
        row: row.number,
        column: column.index,
        name: column.name,
        found,
        channels: channels.allowed.first().copied().unwrap_or(1),
        size: channels.size.to_vec(),
    }
}

/// Run length and number of one token; none for a lone bracket or separator.
fn token_parts(token: &str) -> Result<Option<(usize, &str)>, NumberFault> {
    let opened = token.trim_start_matches(['[', '(', '{']);
    if opened.chars().all(|c| matches!(c, ']' | ')' | '}' | ';')) {
        return Ok(None);
    }
    let number = without_terminator(opened)?;
    match number.split_once('*') {
        None => Ok(Some((1, number))),
        Some((length, number)) => Ok(Some((run_length(length)?, number))),
    }
}

/// Cuts off punctuation after the last digit. Letters and stars are no punctuation, so that neither `1nan`, `1.5e-` nor `3*`
/// is taken for a number.
fn without_terminator(token: &str) -> Result<&str, NumberFault> {
    let number = token.trim_end_matches(|c: char| !c.is_ascii_digit());
    let punctuation = token[number.len()..].chars().all(|c| !c.is_alphanumeric() && c != '*');
    if number.is_empty() || !punctuation { Err(NumberFault::NotANumber) } else { Ok(number) }
}

fn run_length(text: &str) -> Result<usize, NumberFault> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let zero = text.bytes().all(|b| b == b'0');
    if !digits || zero {
        return Err(NumberFault::RunLength);
    }
    // a count that no usize holds is refused with all others that are too high
    Ok(text.parse().unwrap_or(usize::MAX))
}

fn non_negative(text: &str) -> Result<f32, NumberFault> {
    let value: f32 = text.parse().map_err(|_| NumberFault::NotANumber)?;
    match value {
        _ if !value.is_finite() => Err(NumberFault::NotFinite),
        _ if value < 0.0 => Err(NumberFault::Negative),
        _ => Ok(value),
    }
}

fn exponent(text: &str) -> Result<i32, NumberFault> {
    if text.parse::<f32>().is_err() {
        return Err(NumberFault::NotANumber);
    }
    let value: i32 = text.parse().map_err(|_| NumberFault::NotAnInteger)?;
    if (-127..=149).contains(&value) { Ok(value) } else { Err(NumberFault::Exponent) }
}
