#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod accumulate;
mod bootstrap;
mod cells;
mod collect;
mod compare;
mod curve;
mod detections;
mod error;
mod evaluate;
mod evaluation;
mod ground_truth;
mod influence;
mod interval;
mod iou;
mod json;
mod matching;
mod mean;
mod merge;
mod outcomes;
mod parallel;
mod params;
mod policy;
mod positions;
mod stored;
mod summary;
mod weighted;
mod writer;

pub use bootstrap::{Bootstrap, BootstrapParams};
pub use compare::{CategoryDifference, Comparison, FigureDifference, Verdict};
pub use curve::{Curve, Hit, Outcome, curve_from_hits, least_hits, precision_recall_curve};
pub use detections::{Detection, Detections};
pub use error::{Error, Record};
pub use evaluate::evaluate;
pub use evaluation::{CategoryFigures, Evaluation, Selection, Shape};
pub use ground_truth::{Annotation, Category, GroundTruth, Image};
pub use influence::ImageInfluence;
pub use interval::Interval;
pub use iou::{Overlap, OverlapRow, Overlaps, box_iou};
pub use matching::Matcher;
pub use mean::{mean_of_defined, pairwise_sum};
pub use outcomes::Outcomes;
pub use params::{AreaRange, EvalParams, Pooling, coco_area_ranges, linspace};
pub use policy::{DuplicateIds, IdZero, InputPolicy, NegativeSizes};
pub use summary::Summary;
