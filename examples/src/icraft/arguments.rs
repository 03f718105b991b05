//! Arguments that the programs about Icraft share.

use super::log::{ParameterLog, ProfileArgument};
use super::names::Names;
use super::pairs::{ChecksumRule, Pair};
use super::tensors::{Known, StoredTensor, stored_tensors};
use crate::error::Result;
use crate::network::find_weights;
use icraft_raw::{BitWidth, Generation};
use std::path::{Path, PathBuf};

/// How tensors that a json does not name are found.
#[derive(Debug, Clone, clap::Args)]
pub struct NameArguments {
    /// Checkpoint that was compiled: names tensors that the json does not, by content
    #[arg(long, value_name = "CHECKPOINT", requires = "parsed")]
    pub like: Option<PathBuf>,
    /// Architecture of that checkpoint: a yaml file or a built-in name
    #[arg(long, requires = "like")]
    pub model: Option<String>,
    /// The compiler's parsed raw file, whose tensors are compared with the checkpoint's
    #[arg(long, value_name = "RAW", requires = "like")]
    pub parsed: Option<PathBuf>,
}

impl NameArguments {
    /// The names, if they are asked for.
    ///
    /// # Errors
    /// As [`Names::find`].
    pub fn names(&self) -> Result<Option<Names>> {
        let (Some(like), Some(parsed)) = (&self.like, &self.parsed) else { return Ok(None) };
        Names::find(parsed, &find_weights(like), self.model.as_deref()).map(Some)
    }

    /// Files that are read.
    pub fn inputs(&self) -> impl Iterator<Item = &Path> {
        self.like.as_deref().into_iter().chain(self.parsed.as_deref())
    }
}

/// Width of a quantised network.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum BitsArgument {
    /// Weights of 8 bits, biases of 16
    #[value(name = "8")]
    Eight,
    /// Weights of 12 bits in elements of 16, biases of 24 in 32
    #[value(name = "12")]
    Twelve,
    /// Weights of 16 bits, biases of 32
    #[value(name = "16")]
    Sixteen,
}

impl From<BitsArgument> for BitWidth {
    fn from(argument: BitsArgument) -> Self {
        match argument {
            BitsArgument::Eight => Self::Eight,
            BitsArgument::Twelve => Self::Twelve,
            BitsArgument::Sixteen => Self::Sixteen,
        }
    }
}

/// What the json of a pair may leave open.
#[derive(Debug, Clone, clap::Args)]
pub struct KnownArguments {
    /// The quantiser's log of parameters, for scales that the json does not hold; where both do they have to agree
    #[arg(long, value_name = "RAWS.csv")]
    csv: Option<PathBuf>,
    /// Version of the log [default: buyi-v2 for the earlier generation, xir for the later]
    #[arg(long, value_enum, requires = "csv")]
    profile: Option<ProfileArgument>,
    /// Width of the quantised network, where its json names no types [default: f32]
    #[arg(long, value_enum)]
    bits: Option<BitsArgument>,
    #[command(flatten)]
    names: NameArguments,
    /// Go on if an MD5 is not the one that the json holds
    #[arg(long)]
    ignore_checksum: bool,
}

impl KnownArguments {
    /// What comes of a checksum that is not the raw file's.
    #[must_use]
    pub fn rule(&self) -> ChecksumRule {
        if self.ignore_checksum { ChecksumRule::Ignore } else { ChecksumRule::Check }
    }

    /// What is known beside the json of `generation`.
    ///
    /// # Errors
    /// Files that can't be read, or don't fit.
    pub fn known(&self, generation: Generation, bgr: bool) -> Result<Known> {
        let profile = ProfileArgument::or_of(self.profile, generation);
        let log = self.csv.as_deref().map(|path| ParameterLog::open(path, profile)).transpose()?;
        Ok(Known { names: self.names.names()?, log, width: self.bits.map(BitWidth::from), bgr })
    }

    /// Files that are read.
    pub fn inputs(&self) -> impl Iterator<Item = &Path> {
        self.csv.as_deref().into_iter().chain(self.names.inputs())
    }
}

/// A pair of json and raw, and what its json may leave open.
#[derive(Debug, Clone, clap::Args)]
pub struct PairArguments {
    /// The network's json
    #[arg(long)]
    pub json: PathBuf,
    /// The raw file that goes with it
    #[arg(long)]
    pub raw: PathBuf,
    #[command(flatten)]
    known: KnownArguments,
    /// The network takes BGR: the convolution that reads the image has its input channels in reverse
    #[arg(long)]
    pub bgr: bool,
}

impl PairArguments {
    /// Opens the pair.
    ///
    /// # Errors
    /// As [`Pair::open`].
    pub fn open(&self) -> Result<Pair> {
        Pair::open(&self.json, &self.raw, self.known.rule())
    }

    /// What is known beside the json of `generation`.
    ///
    /// # Errors
    /// As [`KnownArguments::known`].
    pub fn known(&self, generation: Generation) -> Result<Known> {
        self.known.known(generation, self.bgr)
    }

    /// The pair, what is known beside it, and its tensors.
    ///
    /// # Errors
    /// As [`PairArguments::open`], [`PairArguments::known`] and [`stored_tensors`].
    pub fn read(&self) -> Result<(Pair, Known, Vec<StoredTensor>)> {
        let pair = self.open()?;
        let known = self.known(pair.network.generation)?;
        let tensors = stored_tensors(&pair, &known)?;
        Ok((pair, known, tensors))
    }

    /// Files that are read.
    #[must_use]
    pub fn inputs(&self) -> Vec<&Path> {
        [self.json.as_path(), &self.raw].into_iter().chain(self.known.inputs()).collect()
    }
}
