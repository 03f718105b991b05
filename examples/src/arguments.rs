//! Arguments that several programs share.

use crate::error::{Error, Result};
use crate::run::Options;
use ptq::analysis::Precision;
use ptq::{ConcatPolicy, Width};
use quant_core::Scheme;
use std::path::PathBuf;
use std::str::FromStr;
use yolo_model::{ImageSize, NmsParams};

/// `640` or `HxW`.
///
/// # Errors
/// A message for the command line.
pub fn parse_image_size(text: &str) -> std::result::Result<ImageSize, String> {
    let side = |s: &str| usize::from_str(s).ok().filter(|side| (1..=1 << 14).contains(side));
    let size = match text.split_once(['x', 'X']) {
        Some((height, width)) => side(height).zip(side(width)),
        None => side(text).map(|side| (side, side)),
    };
    size.map(|(h, w)| ImageSize::new(h, w))
        .ok_or_else(|| "expected a side in pixels, or HEIGHTxWIDTH".to_owned())
}

/// A probability or share.
///
/// # Errors
/// A message for the command line.
pub fn parse_unit<T: FromStr + PartialOrd + From<u8>>(text: &str) -> std::result::Result<T, String> {
    let value = T::from_str(text).ok().filter(|v| (T::from(0)..=T::from(1)).contains(v));
    value.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

/// What to evaluate on, and how.
#[derive(Debug, Clone, clap::Args)]
pub struct EvaluationArguments {
    /// Folder of the images to evaluate on [default: $YOLO_ASSETS/coco/val206]
    #[arg(long)]
    pub images: Option<PathBuf>,
    /// Their annotations, COCO json [default: $YOLO_ASSETS/coco/instances_val206.json]
    #[arg(long)]
    pub annotations: Option<PathBuf>,
    /// Detections need a score above this
    #[arg(long, default_value = "0.001", value_parser = parse_unit::<f32>)]
    pub conf: f32,
    /// Of two boxes of a class that overlap more than this, the better stays
    #[arg(long, default_value = "0.6", value_parser = parse_unit::<f32>)]
    pub iou: f32,
    /// Threads, of one core each; 0 for all cores
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Go on without images that can't be read or are not annotated, and count them
    #[arg(long)]
    pub skip_bad: bool,
}

impl EvaluationArguments {
    /// Folder of images and annotations, given or among the assets.
    ///
    /// # Errors
    /// [`Error::Missing`] where neither is there.
    pub fn paths(&self) -> Result<(PathBuf, PathBuf)> {
        let images = given_or_asset(self.images.clone(), "--images", "coco/val206")?;
        let annotations =
            given_or_asset(self.annotations.clone(), "--annotations", "coco/instances_val206.json")?;
        Ok((images, annotations))
    }

    /// How images are treated.
    #[must_use]
    pub fn options(&self) -> Options {
        let nms = NmsParams { confidence: self.conf, iou: self.iou, ..NmsParams::default() };
        let threads = thread_count(self.threads);
        Options { nms, threads, skip_bad: self.skip_bad, samples: 0, profile: false }
    }
}

/// Scheme of the activations' quantisers.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum SchemeArgument {
    /// Zero point 0.
    Symmetric,
    /// A zero point per tensor.
    Affine,
}

impl From<SchemeArgument> for Scheme {
    fn from(argument: SchemeArgument) -> Self {
        match argument {
            SchemeArgument::Symmetric => Scheme::Symmetric,
            SchemeArgument::Affine => Scheme::Affine,
        }
    }
}

/// What happens at concatenations.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum ConcatArgument {
    /// All branches share one quantiser.
    Tie,
    /// Branches that nothing else reads share the result's; others are re-scaled.
    TieExclusive,
    /// All branches are re-scaled.
    Rescale,
}

impl From<ConcatArgument> for ConcatPolicy {
    fn from(argument: ConcatArgument) -> Self {
        match argument {
            ConcatArgument::Tie => ConcatPolicy::Tie,
            ConcatArgument::TieExclusive => ConcatPolicy::TieExclusive,
            ConcatArgument::Rescale => ConcatPolicy::Rescale,
        }
    }
}

/// Width of the arguments of activations.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum PreactivationArgument {
    /// 8 bits, tables of 256 entries.
    #[value(name = "8")]
    Bits8,
    /// 16 bits.
    #[value(name = "16")]
    Bits16,
    /// Both, one after the other.
    Both,
}

impl PreactivationArgument {
    /// The widths meant.
    #[must_use]
    pub fn widths(self) -> &'static [Width] {
        match self {
            PreactivationArgument::Bits8 => &[Width::Bits8],
            PreactivationArgument::Bits16 => &[Width::Bits16],
            PreactivationArgument::Both => &[Width::Bits16, Width::Bits8],
        }
    }
}

/// One width of the arguments of activations.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum WidthArgument {
    /// 8 bits, tables of 256 entries.
    #[value(name = "8")]
    Bits8,
    /// 16 bits.
    #[value(name = "16")]
    Bits16,
}

impl From<WidthArgument> for Width {
    fn from(argument: WidthArgument) -> Self {
        match argument {
            WidthArgument::Bits8 => Width::Bits8,
            WidthArgument::Bits16 => Width::Bits16,
        }
    }
}

impl From<WidthArgument> for Precision {
    fn from(argument: WidthArgument) -> Self {
        match argument {
            WidthArgument::Bits8 => Precision::Int8Pre8,
            WidthArgument::Bits16 => Precision::Int8Pre16,
        }
    }
}

/// A precision by name.
///
/// # Errors
/// A message for the command line.
pub fn parse_precision(text: &str) -> std::result::Result<Precision, String> {
    let precision = Precision::ALL.into_iter().find(|precision| precision.name() == text);
    precision.ok_or_else(|| format!("expected {}", Precision::ALL.map(Precision::name).join(", ")))
}

/// A path inside the assets folder that `YOLO_ASSETS` names, if both exist.
#[must_use]
pub fn asset(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("YOLO_ASSETS")?).join(path);
    path.exists().then_some(path)
}

/// `given`, else the asset.
///
/// # Errors
/// [`Error::Missing`] with neither.
pub fn given_or_asset(
    given: Option<PathBuf>,
    option: &'static str,
    example: &'static str,
) -> Result<PathBuf> {
    given.or_else(|| asset(example)).ok_or(Error::Missing { option, example })
}

/// A thread count; 0 stands for all cores.
#[must_use]
pub fn thread_count(threads: usize) -> usize {
    if threads > 0 { threads } else { std::thread::available_parallelism().map_or(1, usize::from) }
}
