//! What can be wrong with a csv log.

use std::io;
use std::path::PathBuf;

/// What is wrong with one number of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NumberFault {
    /// No number, also `nan` and `inf`.
    #[error("is no number")]
    NotANumber,
    /// A number that f32 rounds to infinity.
    #[error("is beyond the range of f32")]
    NotFinite,
    /// A maximum, saturation point, ratio or scale below zero.
    #[error("is negative")]
    Negative,
    /// A fraction, or an integer of more than 32 bits, where an exponent belongs.
    #[error("is no integer of 32 bits")]
    NotAnInteger,
    /// An exponent e whose 2^-e is no finite f32 above zero.
    #[error("is an exponent outside -127..=149")]
    Exponent,
    /// `N*value` with an N that is no count, or zero.
    #[error("has a run length that is no count from 1")]
    RunLength,
}

/// A reason why a csv file is refused. Rows are lines of the file from 1, columns are counted from 0.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CsvError {
    /// The operating system refused to read or write a file.
    #[error("cannot access {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// A row that ends before a column that the profile needs.
    #[error(
        "row {row}: has {found} columns, `{name}` is looked for in column {column}; is this the right profile?"
    )]
    MissingColumn {
        /// The row.
        row: usize,
        /// The column.
        column: usize,
        /// What it should hold.
        name: &'static str,
        /// Columns in the row.
        found: usize,
    },
    /// The header has a column elsewhere than the profile.
    #[error(
        "the header has `{name}` in column {found}, the profile in column {expected}; choose another profile"
    )]
    HeaderDisagrees {
        /// The column's name.
        name: &'static str,
        /// Where the header has it.
        found: usize,
        /// Where the profile has it.
        expected: usize,
    },
    /// A header that no known version writes.
    #[error("the header {found:?} is none of {known:?}")]
    UnknownHeader {
        /// The header, cut short.
        found: String,
        /// Headers that are known.
        known: &'static [&'static str],
    },
    /// An id that is not an integer.
    #[error("row {row}, column {column}: id {text:?} is no integer")]
    Id {
        /// The row.
        row: usize,
        /// The column.
        column: usize,
        /// The cell, cut short.
        text: String,
    },
    /// Two rows for one tensor.
    #[error("row {row}: id {id} stands in row {earlier} already")]
    DuplicateId {
        /// The second row.
        row: usize,
        /// The first row.
        earlier: usize,
        /// The id.
        id: i64,
    },
    /// A size that is not `AxBxC`.
    #[error("row {row}, column {column}: size {text:?} is no list of dimensions such as 3x3x16x32")]
    Size {
        /// The row.
        row: usize,
        /// The column.
        column: usize,
        /// The cell, cut short.
        text: String,
    },
    /// A number that cannot be used.
    #[error("row {row}, column {column} (`{name}`): {text:?} {fault}")]
    Number {
        /// The row.
        row: usize,
        /// The column.
        column: usize,
        /// What the column holds.
        name: &'static str,
        /// The number as written, cut short.
        text: String,
        /// What is wrong with it.
        fault: NumberFault,
    },
    /// Neither one value nor one a channel.
    #[error(
        "row {row}, column {column} (`{name}`): {found} values, or more; size {size:?} allows 1 or {channels}"
    )]
    Count {
        /// The row.
        row: usize,
        /// The column.
        column: usize,
        /// What the column holds.
        name: &'static str,
        /// Values counted before reading stopped.
        found: usize,
        /// Channels of the tensor.
        channels: usize,
        /// The size of the tensor.
        size: Vec<usize>,
    },
    /// Run lengths that blow the file up.
    #[error("row {row}, column {column}: run lengths of the file add up to more than {limit} values")]
    TooManyValues {
        /// The row.
        row: usize,
        /// The column.
        column: usize,
        /// Values that the runs of one file may add up to.
        limit: usize,
    },
    /// A cell of `mix_config.csv` that is none of its words.
    #[error("row {row}, column {column} (`{name}`): {text:?} is not {expected}")]
    Word {
        /// The row.
        row: usize,
        /// The column.
        column: usize,
        /// What the column holds.
        name: &'static str,
        /// The cell, cut short.
        text: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A tensor of which the log gives no usable scale.
    #[error(
        "raw {id}: the log gives no scale above zero; take the scale from the json, or choose another profile"
    )]
    NoScale {
        /// The tensor.
        id: i64,
    },
    /// A cell that would break its row when written.
    #[error(
        "operation {id}: {text:?} cannot be written to a csv cell; it has a comma, a quote or a line end"
    )]
    Unwritable {
        /// The operation.
        id: i64,
        /// The text.
        text: String,
    },
}
