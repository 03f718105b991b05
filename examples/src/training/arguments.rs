//! Arguments of training.

use crate::arguments::{parse_image_size, parse_unit};
use burn::tensor::Device;
use std::path::PathBuf;
use yolo_model::data::Augmentation;
use yolo_model::{Decay, Head, ImageSize, LossConfig, Schedule, Warmup};

/// Where tensors are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DeviceArgument {
    /// The CPU
    Flex,
    /// A GPU, by wgpu
    #[cfg(feature = "wgpu")]
    Wgpu,
}

impl DeviceArgument {
    /// The device, with gradients.
    #[must_use]
    pub fn device(self) -> Device {
        match self {
            Self::Flex => Device::flex().autodiff(),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Device::wgpu(burn::tensor::DeviceKind::DefaultDevice).autodiff(),
        }
    }
}

/// What to train, on what, and how.
#[derive(Debug, Clone, clap::Args)]
pub struct TrainArguments {
    /// Architecture: a yaml file or a built-in name
    #[arg(long)]
    pub model: String,
    /// Checkpoint to start from [default: random parameters]
    #[arg(long)]
    pub weights: Option<PathBuf>,
    /// Folder of the images to train on
    #[arg(long)]
    pub images: PathBuf,
    /// Their annotations, COCO json [default: YOLO's text files beside the images]
    #[arg(long)]
    pub annotations: Option<PathBuf>,
    /// Folder of the images to evaluate on after every epoch
    #[arg(long)]
    pub val_images: PathBuf,
    /// Their annotations, COCO json
    #[arg(long)]
    pub val_annotations: PathBuf,
    /// Size of the network's input: SIDE or HEIGHTxWIDTH
    #[arg(long, default_value = "640", value_parser = parse_image_size)]
    pub imgsz: ImageSize,
    /// Epochs
    #[arg(long, default_value_t = 100)]
    pub epochs: u64,
    /// Images of a step
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub batch: u16,
    /// Learning rate at the start
    #[arg(long, default_value_t = 0.01)]
    pub lr0: f64,
    /// Learning rate at the end, as a share of that at the start
    #[arg(long, default_value = "0.01", value_parser = parse_unit::<f64>)]
    pub lrf: f64,
    /// Let the learning rate fall along a cosine
    #[arg(long)]
    pub cosine: bool,
    /// Momentum
    #[arg(long, default_value = "0.937", value_parser = parse_unit::<f64>)]
    pub momentum: f64,
    /// Decay of weights
    #[arg(long, default_value_t = 5e-4)]
    pub decay: f64,
    /// Epochs in which rates rise, but at least 100 steps; 0 for none
    #[arg(long, default_value_t = 3.0)]
    pub warmup: f64,
    /// Weight of the boxes' loss, before it is scaled to levels as YOLOv5 does
    #[arg(long = "box", default_value_t = 0.05)]
    pub box_weight: f64,
    /// Weight of the objectness, before it is scaled to levels and the size of the input
    #[arg(long = "obj", default_value_t = 1.0)]
    pub objectness_weight: f64,
    /// Weight of the classes, before it is scaled to levels and classes
    #[arg(long = "cls", default_value_t = 0.5)]
    pub class_weight: f64,
    /// Share of mosaics among the training images
    #[arg(long, default_value = "1", value_parser = parse_unit::<f64>)]
    pub mosaic: f64,
    /// Train on images as they are
    #[arg(long)]
    pub no_augmentation: bool,
    /// Stop when the fitness has not risen for so many epochs
    #[arg(long, default_value_t = 100)]
    pub patience: u64,
    /// Evaluate after every so many epochs, and after the last
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub val_every: u64,
    /// Decides on all that is random
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Folder for what comes of it
    #[arg(long, default_value = "out/train")]
    pub out: PathBuf,
    /// Go on with the training in the folder
    #[arg(long)]
    pub resume: bool,
    /// Where to compute
    #[arg(long, value_enum, default_value = "flex")]
    pub device: DeviceArgument,
    /// Threads for images and evaluation; 0 for all cores
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
}

impl TrainArguments {
    /// Rates, where an epoch has so many steps.
    #[must_use]
    pub fn schedule(&self, steps: u64) -> Schedule {
        let warm = (self.warmup * steps as f64).round() as u64;
        Schedule {
            first: self.lr0,
            last: self.lrf,
            decay: if self.cosine { Decay::Cosine } else { Decay::Linear },
            epochs: self.epochs,
            momentum: self.momentum,
            warmup: Warmup {
                steps: if self.warmup > 0.0 { warm.max(100) } else { 0 },
                biases: 0.1,
                momentum: 0.8,
            },
        }
    }

    /// The loss of a head's outputs.
    #[must_use]
    pub fn loss(&self, head: &Head) -> LossConfig {
        let usual = LossConfig::scaled(head, self.imgsz);
        LossConfig {
            box_weight: usual.box_weight * self.box_weight / 0.05,
            objectness_weight: usual.objectness_weight * self.objectness_weight,
            class_weight: usual.class_weight * self.class_weight / 0.5,
            ..usual
        }
    }

    /// What is done to images.
    #[must_use]
    pub fn augmentation(&self) -> Augmentation {
        let usual = Augmentation { mosaic: self.mosaic, ..Augmentation::default() };
        if self.no_augmentation { Augmentation::none() } else { usual }
    }
}
