//! Training as YOLOv5 does it: loss, optimizer, schedules and averages.

mod assignment;
mod ciou;
mod ema;
mod initial;
mod loss;
mod schedule;
mod sgd;
mod state;

pub use assignment::{Assignment, assign};
pub use ciou::ciou;
pub use ema::Ema;
pub use initial::initial_params;
pub use loss::{DetectionLoss, LossConfig, LossParts};
pub use schedule::{Decay, Rates, Schedule, Warmup};
pub use sgd::{Sgd, sgd};
pub use state::{Progress, TrainingState};
