//! How weights are quantised.

use crate::error::{Error, Result};
use ptq::{Method, WeightConfig};
use quant_core::Granularity;

/// Options about weights.
#[derive(Debug, Clone, clap::Args)]
pub struct WeightArguments {
    /// How the scales of weights are chosen: max, percentile, entropy, mse
    #[arg(long, default_value = "max")]
    pub weight_method: String,
    /// One scale of weights per output channel, or per tensor
    #[arg(long, value_enum, default_value = "channel")]
    pub weight_granularity: GranularityArgument,
    /// Width of weights
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(2..=8))]
    pub weight_bits: u8,
}

/// Which weights share a scale.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum GranularityArgument {
    /// Those of an output channel.
    Channel,
    /// Those of a convolution.
    Tensor,
}

impl WeightArguments {
    /// The configuration.
    ///
    /// # Errors
    /// If the method is not known.
    pub fn config(&self) -> Result<WeightConfig> {
        let method = Method::from_name(&self.weight_method).ok_or_else(|| Error::Argument {
            option: "--weight-method",
            value: self.weight_method.clone(),
            expected: "it is none of the methods that --methods knows",
        })?;
        let granularity = match self.weight_granularity {
            GranularityArgument::Channel => Granularity::PerChannel,
            GranularityArgument::Tensor => Granularity::PerTensor,
        };
        Ok(WeightConfig { method, granularity, bits: self.weight_bits })
    }
}
