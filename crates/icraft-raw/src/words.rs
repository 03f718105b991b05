//! Words that configurations and logs have in common.

use std::fmt;
use std::str::FromStr;

/// A word that none of the enums here knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownWord {
    /// What the word may be.
    pub expected: &'static str,
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.expected)
    }
}

impl std::error::Error for UnknownWord {}

/// How a saturation point is found from a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SaturationMethod {
    /// Least Kullback-Leibler divergence.
    Kld,
    /// `ems`.
    Ems,
    /// None: the largest absolute value.
    Null,
    /// A multiple of the standard deviation.
    NSigma,
}

impl SaturationMethod {
    pub(crate) const EXPECTED: &str = "kld, ems, null or nsigma";
}

impl FromStr for SaturationMethod {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text.to_ascii_lowercase().as_str() {
            "kld" => Ok(Self::Kld),
            "ems" => Ok(Self::Ems),
            "null" => Ok(Self::Null),
            "nsigma" => Ok(Self::NSigma),
            _ => Err(UnknownWord { expected: Self::EXPECTED }),
        }
    }
}

impl fmt::Display for SaturationMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kld => "kld",
            Self::Ems => "ems",
            Self::Null => "null",
            Self::NSigma => "nsigma",
        })
    }
}

/// Which values of a tensor share a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Granularity {
    /// All of them.
    Tensor,
    /// Those of one output channel.
    Channel,
    /// Those of so many neighbouring channels, at least 1.
    Group(usize),
}

impl Granularity {
    pub(crate) const EXPECTED: &str = "tensor, channel or group=n";
}

impl FromStr for Granularity {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let unknown = UnknownWord { expected: Self::EXPECTED };
        match text {
            "tensor" => Ok(Self::Tensor),
            "channel" => Ok(Self::Channel),
            _ => {
                let count = text.strip_prefix("group=").and_then(|n| n.trim().parse().ok());
                count.filter(|&n: &usize| n > 0).map(Self::Group).ok_or(unknown)
            }
        }
    }
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensor => f.write_str("tensor"),
            Self::Channel => f.write_str("channel"),
            Self::Group(count) => write!(f, "group={count}"),
        }
    }
}
