#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(any(feature = "data", feature = "train"))]
mod batch_label;
mod candidates;
mod coco;
#[cfg(feature = "data")]
pub mod data;
mod decode;
mod detection;
mod draw;
mod error;
mod font;
mod head;
mod image_size;
mod letterbox;
#[cfg(feature = "burn")]
mod network;
mod nms;
mod planar;
mod resize;
mod sigmoid;
#[cfg(feature = "train")]
mod train;

#[cfg(any(feature = "data", feature = "train"))]
pub use batch_label::BatchLabel;
pub use candidates::candidates;
pub use coco::{COCO_CATEGORY_IDS, COCO_NAMES, CocoDetection, coco_box, coco_category_id};
pub use decode::decode_all;
pub use detection::{Detection, iou};
pub use draw::{class_colour, draw_detections};
pub use error::{Error, Result};
pub use head::{Head, HeadLevel, HeadValues};
pub use image_size::ImageSize;
pub use letterbox::{LETTERBOX_GREY, LetterboxTransform, Letterboxed, clip, letterbox};
#[cfg(feature = "train")]
pub use network::BatchStatistics;
#[cfg(feature = "burn")]
pub use network::{Hook, Network, NetworkError, NoHook};
pub use nms::{NmsParams, detect, nms};
pub use planar::{to_planar_f32, to_planar_u8};
pub use sigmoid::sigmoid;
#[cfg(feature = "train")]
pub use train::{
    Assignment, Decay, DetectionLoss, Ema, LossConfig, LossParts, Progress, Rates, Schedule, Sgd,
    TrainingState, Warmup, assign, ciou, initial_params, sgd,
};

// What Burn's derive of `RecordState` expects in the root of the crate that uses it.
#[cfg(feature = "train")]
#[allow(unused_imports)]
use burn::optim::{RecordState, StateSink, StateSource, join_path};
