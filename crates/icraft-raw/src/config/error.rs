//! What can be wrong with a configuration or a calibration list.

use super::keys::Section;
use std::io;
use std::path::PathBuf;

/// What is wrong with a line of an ini file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IniFault {
    /// A `[` without its `]`.
    #[error("a section is written `[name]`")]
    Section,
    /// A line that is neither a section, nor a comment, nor has a `=`.
    #[error("a setting is written `key = value`")]
    NoEquals,
    /// A setting above the first section.
    #[error("a setting must follow the `[section]` it belongs to")]
    NoSection,
    /// A setting that starts with `=`.
    #[error("a setting needs a key before its `=`")]
    NoKey,
}

/// What is wrong with a setting given beside a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OverrideFault {
    /// It has another form.
    #[error("expected SECTION.KEY=VALUE, such as quantize.bits=16")]
    Form,
    /// Nothing is known of the key.
    #[error("there is no such key{}", nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?")))]
    Unknown {
        /// The known name that is nearest to it, if any is near.
        nearest: Option<&'static str>,
    },
    /// The value does not suit the key.
    #[error("the value must be {expected}")]
    Value {
        /// What does.
        expected: &'static str,
    },
}

/// A reason why a configuration or a calibration list is refused. Lines count from 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The operating system refused to read a file.
    #[error("cannot access {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// A file whose name ends neither in `.ini` nor in `.toml`.
    #[error("{}: configurations end in .ini (legacy) or .toml (XIR)", path.display())]
    Extension {
        /// The file.
        path: PathBuf,
    },
    /// Text that is not toml.
    #[error("{}{message}", line.map_or_else(|| "not usable as toml: ".to_owned(), |line| format!("line {line}: ")))]
    Toml {
        /// The line, if the reader of toml gave a place.
        line: Option<usize>,
        /// What the reader of toml said.
        message: String,
    },
    /// A setting given beside the configuration.
    #[error("{setting:?}: {fault}")]
    Override {
        /// The setting, cut short.
        setting: String,
        /// What is wrong with it.
        fault: OverrideFault,
    },
    /// A line that is not ini.
    #[error("line {line}: {text:?}: {fault}")]
    Ini {
        /// The line.
        line: usize,
        /// Its text, cut short.
        text: String,
        /// What is wrong with it.
        fault: IniFault,
    },
    /// A key given twice.
    #[error("line {line}: `{key}` of [{section}] is given in line {earlier} already")]
    Duplicate {
        /// The second line.
        line: usize,
        /// The first line.
        earlier: usize,
        /// The section.
        section: Section,
        /// The key.
        key: String,
    },
    /// A value that its key has no room for.
    #[error("line {line}: `{key}` of [{section}] is {found}; it must be {expected}")]
    Value {
        /// The line.
        line: usize,
        /// The section.
        section: Section,
        /// The key.
        key: &'static str,
        /// The value, cut short.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// Code for another width than the network is quantised to.
    #[error("line {line}: `qbits` is {qbits}, `bits` of [quantize] is {bits}; they must be equal")]
    WidthsDiffer {
        /// The line of `qbits`.
        line: usize,
        /// Bits of the generated code.
        qbits: u32,
        /// Bits of the quantised network.
        bits: u32,
    },
    /// A line of a calibration list with an empty path.
    #[error("calibration list, line {line}: an empty path between `;`")]
    EmptyPath {
        /// The line.
        line: usize,
    },
    /// Lines of a calibration list that differ in their number of inputs.
    #[error(
        "calibration list, line {line}: {found} paths, the lines before have {expected}; give one for each input"
    )]
    InputCount {
        /// The line.
        line: usize,
        /// Paths in the line.
        found: usize,
        /// Paths in the first line.
        expected: usize,
    },
    /// A calibration list that cannot be split into parts of equal length.
    #[error(
        "{samples} calibration samples cannot be split into {batch} equal parts; `batch` must divide the list"
    )]
    Batch {
        /// Lines of the list.
        samples: usize,
        /// Parts asked for.
        batch: usize,
    },
}
