//! Arguments of training towards integers.

use crate::arguments::{
    ConcatArgument, EvaluationArguments, PreactivationArgument, SchemeArgument, WidthArgument,
    parse_image_size, parse_unit,
};
use crate::training::DeviceArgument;
use crate::weights::ScaleArguments;
use std::path::PathBuf;
use yolo_model::{Decay, ImageSize, Rates, Schedule, Warmup};

/// What is trained for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LossArgument {
    /// To give what the float network gives, block by block; needs no labels
    Distillation,
    /// To find what is labelled
    Labels,
    /// Both
    Both,
}

/// How parameters are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OptimizerArgument {
    /// Momentum by Nesterov
    Sgd,
    /// Adam
    Adam,
    /// Adam with decay beside it
    Adamw,
}

/// Which integers a network is trained for.
#[derive(Debug, Clone, clap::Args)]
pub struct TargetArguments {
    /// Train for the integers that `icraft-compile` makes of this configuration [default: those of `quantize`]
    #[arg(long, value_name = "CONFIG", conflicts_with_all = ["weights", "imgsz", "calibration", "num_calib"])]
    pub icraft: Option<PathBuf>,
    /// Take a setting in place of the configuration's, such as quantize.bits=16; may be given several times
    #[arg(long, value_name = "SECTION.KEY=VALUE", requires = "icraft")]
    pub set: Vec<String>,
    /// Choose saturation points so, whatever the configuration says
    #[arg(long, requires = "icraft")]
    pub saturation: Option<String>,
    /// Checkpoint [default: the assets' yolov5n, else the demonstration]
    #[arg(long)]
    pub weights: Option<PathBuf>,
    /// Architecture: a yaml file or a built-in name; not needed for checkpoints that describe theirs
    #[arg(long)]
    pub model: Option<String>,
    /// Size of the network's input: SIDE or HEIGHTxWIDTH
    #[arg(long, value_parser = parse_image_size)]
    pub imgsz: Option<ImageSize>,
    /// Folder of the images to calibrate on [default: $YOLO_ASSETS/coco/train128]
    #[arg(long)]
    pub calibration: Option<PathBuf>,
    /// Calibrate on at most this many images, the first by name
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub num_calib: Option<u32>,
    /// How ranges of activations are chosen, as by `quantize`
    #[arg(long, default_value = "mse")]
    pub method: String,
    /// Scheme of 8-bit activations
    #[arg(long, value_enum, default_value = "affine")]
    pub scheme: SchemeArgument,
    /// Width of all tensors
    #[arg(long, value_enum, default_value = "8")]
    pub activations: WidthArgument,
    /// Width of the arguments of activations and of the head's outputs; `both` is not for training
    #[arg(long, value_enum, default_value = "16")]
    pub preactivation: PreactivationArgument,
    /// What happens where branches with different ranges are concatenated
    #[arg(long, value_enum, default_value = "tie-exclusive")]
    pub concat: ConcatArgument,
    /// Scales of weights.
    #[command(flatten)]
    pub scales: ScaleArguments,
}

/// What is common to both ways of training.
#[derive(Debug, Clone, clap::Args)]
pub struct TuneArguments {
    /// The integers.
    #[command(flatten)]
    pub target: TargetArguments,
    /// Folder of the images to train on [default: the images to calibrate on]
    #[arg(long)]
    pub train_images: Option<PathBuf>,
    /// Their annotations, COCO json [default, where labels count: YOLO's text files beside the images]
    #[arg(long, value_name = "FILE", requires = "train_images")]
    pub train_annotations: Option<PathBuf>,
    /// What is trained for
    #[arg(long, value_enum, default_value = "distillation")]
    pub loss: LossArgument,
    /// Weight of what the blocks give, in distillation
    #[arg(long, default_value_t = 1.0)]
    pub block_weight: f64,
    /// Weight of what detection makes of the outputs, in distillation
    #[arg(long, default_value_t = 1.0)]
    pub head_weight: f64,
    /// Images of a step
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub batch: u16,
    /// How parameters are moved
    #[arg(long, value_enum, default_value = "adam")]
    pub optimizer: OptimizerArgument,
    /// Learning rate at the start of a stage, from which it falls along a cosine
    #[arg(long, default_value_t = 1e-4)]
    pub lr: f64,
    /// Learning rate at its end, as a share of that at the start; 1 keeps it
    #[arg(long, default_value = "0.01", value_parser = parse_unit::<f64>)]
    pub lrf: f64,
    /// Momentum of sgd
    #[arg(long, default_value = "0.9", value_parser = parse_unit::<f64>)]
    pub momentum: f64,
    /// Decay of weights by sgd and adamw
    #[arg(long, default_value_t = 0.0)]
    pub decay: f64,
    /// Decides on the order of images, and on what is random
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Write the state after every so many steps
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    pub save_every: u64,
    /// Go on with the training in the folder
    #[arg(long)]
    pub resume: bool,
    /// Where to compute
    #[arg(long, value_enum, default_value = "flex")]
    pub device: DeviceArgument,
    /// What to evaluate on.
    #[command(flatten)]
    pub evaluation: EvaluationArguments,
    /// Sets of images to draw for the intervals of differences in AP; 0 for no intervals
    #[arg(long, default_value_t = 1000)]
    pub samples: usize,
    /// Print the summary as JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

impl TuneArguments {
    /// Rates of a step of so many.
    #[must_use]
    pub fn rates(&self, step: u64, steps: u64) -> Rates {
        let Self { lr: first, lrf: last, momentum, .. } = *self;
        let warmup = Warmup { steps: 0, biases: first, momentum };
        Schedule { first, last, decay: Decay::Cosine, epochs: steps, momentum, warmup }.at(step, step)
    }

    /// What decides on the result, to be compared when a training goes on.
    #[must_use]
    pub fn settings(&self) -> String {
        let Self { target, train_images, train_annotations, loss, batch, .. } = self;
        let Self { optimizer, lr, lrf, momentum, decay, seed, .. } = self;
        let data = (train_images, train_annotations, loss, batch);
        let weights = (self.block_weight, self.head_weight);
        format!("{target:?} {data:?} {weights:?} {:?}", (optimizer, lr, lrf, momentum, decay, seed))
    }
}
