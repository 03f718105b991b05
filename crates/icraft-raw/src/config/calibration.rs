//! The list of calibration files.

use super::error::ConfigError;
use std::path::Path;

/// Calibration files: one sample a line, its inputs separated by `;`. Paths are relative to `forward_dir`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalibrationList {
    samples: Vec<Vec<String>>,
}

impl CalibrationList {
    /// Reads the text of a list. Empty lines are passed over.
    ///
    /// # Errors
    ///
    /// [`ConfigError::EmptyPath`] or [`ConfigError::InputCount`].
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut samples: Vec<Vec<String>> = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let line_number = index + 1;
            let paths: Vec<String> = line.split(';').map(|path| path.trim().to_owned()).collect();
            if paths.iter().any(String::is_empty) {
                return Err(ConfigError::EmptyPath { line: line_number });
            }
            let (found, expected) = (paths.len(), samples.first().map_or(paths.len(), Vec::len));
            if found != expected {
                return Err(ConfigError::InputCount { line: line_number, found, expected });
            }
            samples.push(paths);
        }
        Ok(Self { samples })
    }

    /// Reads the file of a list, see [`CalibrationList::read`].
    ///
    /// # Errors
    ///
    /// [`ConfigError::File`] if it cannot be read, and those of [`CalibrationList::read`].
    pub fn from_path(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path);
        Self::read(&text.map_err(|cause| ConfigError::File { path: path.to_owned(), cause })?)
    }

    /// The paths of each sample, one for each input of the network.
    pub fn samples(&self) -> &[Vec<String>] {
        &self.samples
    }

    /// The samples in `batch` parts of equal length, in order.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Batch`] if there are no samples, or if `batch` does not divide their number.
    pub fn parts(&self, batch: usize) -> Result<Vec<&[Vec<String>]>, ConfigError> {
        let samples = self.samples.len();
        if samples == 0 || batch == 0 || !samples.is_multiple_of(batch) {
            return Err(ConfigError::Batch { samples, batch });
        }
        Ok(self.samples.chunks(samples / batch).collect())
    }
}
