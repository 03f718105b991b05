//! What can be wrong with a calibration table.

/// Errors of reading and building calibration tables. Lines count from 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The first line of a TensorRT cache.
    #[error("line 1 is {found:?}, but a TensorRT cache begins with TRT-<version>-<algorithm>")]
    Header {
        /// The line.
        found: String,
    },
    /// A line without a separator between name and value.
    #[error("line {line} is {found:?}, but should be a name, {separator:?} and a value")]
    Separator {
        /// Its number.
        line: usize,
        /// The line.
        found: String,
        /// What is missing.
        separator: &'static str,
    },
    /// A value that is no number of the kind that belongs there.
    #[error("line {line}: {found:?} is not {expected}")]
    Number {
        /// The number of the line.
        line: usize,
        /// The value.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A name that stands for two tensors.
    #[error("line {line}: {name} occurs a second time")]
    Duplicate {
        /// The number of the second line.
        line: usize,
        /// The name.
        name: String,
    },
    /// A table that is no JSON, or of another form.
    #[error("not a table of the form {{\"name\": [low, high], ...}}")]
    Json(#[from] serde_json::Error),
    /// A range that is none.
    #[error("{name}: [{low}, {high}] is not a finite range")]
    Range {
        /// The tensor.
        name: String,
        /// Its lower end.
        low: f64,
        /// Its upper end.
        high: f64,
    },
    /// A name that the format cannot hold.
    #[error("the name {name:?} can't be written: {reason}")]
    Name {
        /// The name.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// A value that must not be written.
    #[error("{name}: {value} can't be written, it has to be {expected}")]
    Value {
        /// The tensor.
        name: String,
        /// The value.
        value: f64,
        /// What it should be.
        expected: &'static str,
    },
}
