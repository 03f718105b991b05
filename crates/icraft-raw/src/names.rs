//! Names of the files that stages hand on, and of logs.

use crate::Generation;
use std::fmt;

/// A stage of the compiler, as the names of its files tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// As the framework had it.
    Parsed,
    /// After passes that keep its function.
    Optimized,
    /// Normalised, still float; legacy only.
    Normed,
    /// Integers.
    Quantized,
    /// In the hardware's layout.
    Adapted,
    /// With instructions for BUYI.
    Buyi,
    /// With instructions for zhuge.
    Zhuge,
}

impl Stage {
    /// `NAME_STAGE.json`
    pub fn json_name(self, network: &str) -> String {
        format!("{network}_{self}.json")
    }

    /// `NAME_STAGE.raw`
    pub fn raw_name(self, network: &str) -> String {
        format!("{network}_{self}.raw")
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parsed => "parsed",
            Self::Optimized => "optimized",
            Self::Normed => "normed",
            Self::Quantized => "quantized",
            Self::Adapted => "adapted",
            Self::Buyi => "BY",
            Self::Zhuge => "ZG",
        })
    }
}

/// A csv log of the quantiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Log {
    /// Feature maps.
    Ftmps,
    /// Parameters.
    Raws,
    /// Precision of each operation; XIR only.
    MixConfig,
}

impl Log {
    /// `NAME_raws.csv`, or `NAME_quantize_raws.csv` in the later generation.
    pub fn file_name(self, network: &str, generation: Generation) -> String {
        let log = match self {
            Self::Ftmps => "ftmps",
            Self::Raws => "raws",
            Self::MixConfig => "mix_config",
        };
        match generation {
            Generation::Legacy => format!("{network}_{log}.csv"),
            Generation::Xir => format!("{network}_quantize_{log}.csv"),
        }
    }
}
