//! A network's json and the raw file that goes with it.

use super::error::IcraftError;
use crate::error::{Error, Result};
use icraft_raw::{Checksum, Generation, Network, RawFile};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What comes of a checksum that is not the raw file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumRule {
    /// An error.
    Check,
    /// A note.
    Ignore,
}

/// What the json says of the raw file's checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChecksumState {
    /// It is the file's.
    Matches,
    /// It is another one, and was ignored.
    Differs,
    /// Nothing.
    Absent,
}

/// A json and its raw file, of one generation.
#[derive(Debug)]
pub struct Pair {
    /// The json.
    pub json_path: PathBuf,
    /// The raw file.
    pub raw_path: PathBuf,
    /// The json's text.
    pub text: String,
    /// What it says.
    pub network: Network,
    /// The parameters.
    pub raw: RawFile,
    /// Whether the json knows this raw file.
    pub checksum: ChecksumState,
}

impl Pair {
    /// Opens both files.
    ///
    /// # Errors
    /// Files that can't be read; [`IcraftError::Generations`]; [`IcraftError::Checksum`] unless `rule` ignores it.
    pub fn open(json: &Path, raw: &Path, rule: ChecksumRule) -> Result<Self> {
        let text = std::fs::read_to_string(json).map_err(Error::io(json))?;
        let network = Network::read(&text).map_err(IcraftError::network(json))?;
        let file = RawFile::open(raw).map_err(IcraftError::raw(raw))?;
        check_generations(json, &network, raw, file.generation())?;
        let checksum = check_checksum(json, &network, raw, &file, rule)?;
        Ok(Self { json_path: json.to_owned(), raw_path: raw.to_owned(), text, network, raw: file, checksum })
    }

    /// Opens `NAME.json` and `NAME.raw`, where `name` is one of these or `NAME`.
    ///
    /// # Errors
    /// As [`Pair::open`].
    pub fn of_name(name: &Path, rule: ChecksumRule) -> Result<Self> {
        let is_file = name.extension().is_some_and(|end| end == "json" || end == "raw");
        let stem = if is_file { name.with_extension("") } else { name.to_owned() };
        let with = |end: &str| {
            let mut path = stem.clone().into_os_string();
            path.push(end);
            PathBuf::from(path)
        };
        Self::open(&with(".json"), &with(".raw"), rule)
    }
}

fn check_generations(json: &Path, network: &Network, raw: &Path, raw_generation: Generation) -> Result<()> {
    if network.generation == raw_generation {
        return Ok(());
    }
    let (json, json_generation) = (json.to_owned(), network.generation);
    Err(IcraftError::Generations { json, json_generation, raw: raw.to_owned(), raw_generation }.into())
}

fn check_checksum(
    json: &Path,
    network: &Network,
    raw: &Path,
    file: &RawFile,
    rule: ChecksumRule,
) -> Result<ChecksumState> {
    let Some(expected) = network.checksum else { return Ok(ChecksumState::Absent) };
    let found = Checksum::of(file.as_bytes());
    match rule {
        _ if found == expected => Ok(ChecksumState::Matches),
        ChecksumRule::Ignore => Ok(ChecksumState::Differs),
        ChecksumRule::Check => {
            let (expected, found) = (expected.to_string(), found.to_string());
            Err(IcraftError::Checksum { json: json.to_owned(), raw: raw.to_owned(), expected, found }.into())
        }
    }
}
