//! How weights are quantised.

use crate::arguments::parse_unit;
use crate::error::{Error, Result};
use crate::methods::{LayerImages, parse_method};
use crate::network::Model;
use crate::output::note;
use crate::progress::bar;
use indicatif::ProgressBar;
use ptq::{
    AdaRound, BiasCorrection, CoordinateDescent, QuantConfig, Reconstruct, Reconstructed, ReconstructedLayer,
    ScaleGrid, WeightConfig, WeightRounding,
};
use quant_core::Granularity;
use serde::Serialize;
use std::collections::BTreeMap;

/// Positions of every image that a layer is looked at.
const POSITIONS: usize = 256;

/// AdaRound with all samples in every step needs fewer steps than with samples drawn by chance, and larger ones.
const LEARNING: AdaRound = AdaRound {
    iterations: 1000,
    learning_rate: 1e-2,
    penalty: 0.01,
    warm_start: 0.2,
    first_beta: 20.0,
    last_beta: 2.0,
};

/// Options about the scales of weights.
#[derive(Debug, Clone, clap::Args)]
pub struct ScaleArguments {
    /// How the scales of weights are chosen: a name as for the methods
    #[arg(long, default_value = "max")]
    pub weight_method: String,
    /// One scale of weights per output channel, or per tensor
    #[arg(long, value_enum, default_value = "channel")]
    pub weight_granularity: GranularityArgument,
    /// Width of weights; above 8 with --activations 16 only
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(2..=16))]
    pub weight_bits: u8,
    /// Scales that weights and activations may have: any, power-of-two, or mantissa:BITS for m * 2^n with m of 1 to 15 bits
    #[arg(long, default_value = "any", value_parser = parse_scale_grid)]
    pub scale_grid: ScaleGrid,
}

fn parse_scale_grid(text: &str) -> std::result::Result<ScaleGrid, String> {
    let bits = |text: &str| text.parse().ok().filter(|bits| (1..=15).contains(bits));
    match (text, text.strip_prefix("mantissa:").map(bits)) {
        ("any", _) => Ok(ScaleGrid::Any),
        ("power-of-two", _) => Ok(ScaleGrid::PowerOfTwo),
        (_, Some(Some(bits))) => Ok(ScaleGrid::Mantissa { bits }),
        _ => Err("expected any, power-of-two, or mantissa:BITS with 1 to 15 bits".to_owned()),
    }
}

/// Options about weights.
#[derive(Debug, Clone, clap::Args)]
pub struct WeightArguments {
    #[command(flatten)]
    scales: ScaleArguments,
    /// What is done to weights and biases.
    #[command(flatten)]
    pub treatment: TreatmentArguments,
    /// Equalise the ranges of channels across layers first, where that does not change the network; layers that refuse are counted
    #[arg(long)]
    pub equalize: bool,
}

/// Options about what is done to parameters once they have their scales.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct TreatmentArguments {
    /// How weights are rounded; all but nearest run the network on the calibration images once more per candidate
    #[arg(long, value_enum, default_value = "nearest")]
    pub rounding: RoundingArgument,
    /// What biases make up for
    #[arg(long, value_enum, default_value = "none")]
    pub bias_correction: BiasArgument,
    /// Share of the errors of earlier layers, 0 to 1, that measured roundings and corrections make up for
    #[arg(long, default_value_t = 1.0, value_name = "SHARE", value_parser = parse_unit::<f64>)]
    pub compensation: f64,
}

/// What was done to weights, for manifests.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct WeightTreatment {
    /// How they got their scales.
    pub config: WeightConfig,
    /// How they were rounded.
    pub rounding: RoundingArgument,
    /// What biases make up for.
    pub bias_correction: BiasArgument,
    /// Share of the errors of earlier layers that both make up for, where they measure.
    pub compensation: f64,
    /// Whether channels were equalised first.
    pub equalized: bool,
}

/// What biases make up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum BiasArgument {
    /// Nothing.
    None,
    /// The mean shift of rounded weights, expected from BatchNorm alone; for rounding to nearest.
    Analytic,
    /// The mean shift of rounded weights, measured.
    Weights,
    /// Every mean shift, measured.
    Outputs,
}

/// How weights are put on their grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum RoundingArgument {
    /// Each by itself.
    Nearest,
    /// Up or down, learned by AdaRound.
    Adaround,
    /// By coordinate descent on the layers' output errors.
    Descent,
}

/// Which weights share a scale.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum GranularityArgument {
    /// Those of an output channel.
    Channel,
    /// Those of a convolution.
    Tensor,
}

impl TreatmentArguments {
    /// What is done to layers beyond rounding to nearest, if anything.
    #[must_use]
    pub fn reconstruction(&self) -> Option<Reconstruct> {
        let bias_correction = match self.bias_correction {
            BiasArgument::None | BiasArgument::Analytic => BiasCorrection::None,
            BiasArgument::Weights => BiasCorrection::Weights,
            BiasArgument::Outputs => BiasCorrection::Outputs,
        };
        let rounding = match self.rounding {
            RoundingArgument::Nearest if bias_correction == BiasCorrection::None => return None,
            RoundingArgument::Nearest => WeightRounding::Nearest,
            RoundingArgument::Adaround => WeightRounding::AdaRound(LEARNING),
            RoundingArgument::Descent => WeightRounding::CoordinateDescent(CoordinateDescent::default()),
        };
        let compensation = self.compensation;
        Some(Reconstruct { rounding, bias_correction, compensation, positions: POSITIONS })
    }
}

impl WeightArguments {
    /// Checks that the options go together, and equalises the model if asked to; `has_statistics` if its tensors have been observed already.
    ///
    /// # Errors
    /// Options that exclude each other; a model of which no layer can be equalised, with the reasons.
    pub fn prepare(&self, mut model: Model, has_statistics: bool) -> Result<Model> {
        let refuse = |option, value: &str, expected| {
            Err(Error::Argument { option, value: value.to_owned(), expected })
        };
        let analytic = self.treatment.bias_correction == BiasArgument::Analytic;
        if analytic && self.treatment.rounding != RoundingArgument::Nearest {
            let expected = "expects weights rounded to nearest; take `weights` with other roundings";
            return refuse("--bias-correction", "analytic", expected);
        }
        if !self.equalize {
            return Ok(model);
        }
        if analytic {
            return refuse(
                "--bias-correction",
                "analytic",
                "does not know the channels that --equalize scales; take `weights`",
            );
        }
        if has_statistics {
            return refuse(
                "--equalize",
                "",
                "changes the tensors that the calibration file tells of; calibrate on images instead",
            );
        }
        let done = ptq::equalize(&model.graph, &model.params)?;
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        done.refused.iter().for_each(|(_, barrier)| *reasons.entry(barrier.to_string()).or_default() += 1);
        let reasons: Vec<String> =
            reasons.iter().map(|(reason, count)| format!("{count}: {reason}")).collect();
        let reasons = reasons.join("; ");
        if done.layers.is_empty() {
            return Err(Error::NotEqualizable { name: model.graph.name().to_owned(), reasons });
        }
        note(format_args!("equalised {} convolutions; others not ({reasons})", done.layers.len()));
        model.params = done.params;
        Ok(model)
    }

    /// What is done to weights.
    ///
    /// # Errors
    /// As [`ScaleArguments::config`].
    pub fn treatment(&self) -> Result<WeightTreatment> {
        let TreatmentArguments { rounding, bias_correction, compensation } = self.treatment;
        let (config, equalized) = (self.config()?, self.equalize);
        Ok(WeightTreatment { config, rounding, bias_correction, compensation, equalized })
    }

    /// Scales that there may be.
    #[must_use]
    pub fn scale_grid(&self) -> ScaleGrid {
        self.scales.scale_grid
    }

    /// The configuration of scales.
    ///
    /// # Errors
    /// As [`ScaleArguments::config`].
    pub fn config(&self) -> Result<WeightConfig> {
        self.scales.config()
    }
}

impl ScaleArguments {
    /// The configuration.
    ///
    /// # Errors
    /// If the method is not known.
    pub fn config(&self) -> Result<WeightConfig> {
        let method = parse_method("--weight-method", &self.weight_method)?;
        let granularity = match self.weight_granularity {
            GranularityArgument::Channel => Granularity::PerChannel,
            GranularityArgument::Tensor => Granularity::PerTensor,
        };
        Ok(WeightConfig { method, granularity, bits: self.weight_bits, scales: self.scale_grid })
    }
}

/// Makes the layers of the integer network of `config` do what the float network does on `images`.
///
/// # Errors
/// An image that can't be read (unless skipped), or none that can.
pub fn reconstruct(
    how: &Reconstruct,
    model: &Model,
    config: &QuantConfig,
    images: &LayerImages,
) -> Result<Reconstructed> {
    let Model { graph, params, .. } = model;
    let bars = ReconstructionBars::new(images.count());
    let progress = |_: &ReconstructedLayer, total| bars.layer(total);
    let size = [images.size.height, images.size.width];
    let done = how.run::<Error>(graph, params, config, size, images.inputs(&bars.looking), progress)?;
    bars.finish();
    Ok(done)
}

/// How far a reconstruction has come.
pub struct ReconstructionBars {
    /// Images that have been looked at.
    pub looking: ProgressBar,
    layers: ProgressBar,
}

impl ReconstructionBars {
    /// Bars of a reconstruction on some `images`.
    #[must_use]
    pub fn new(images: usize) -> Self {
        Self { looking: bar(images, "looking at images"), layers: bar(1, "reconstructing layers") }
    }

    /// Counts a layer of `total`; the images have been looked at then.
    pub fn layer(&self, total: usize) {
        self.looking.finish_and_clear();
        self.layers.set_length(total as u64);
        self.layers.inc(1);
    }

    /// Takes the bars away.
    pub fn finish(&self) {
        self.layers.finish_and_clear();
    }
}
