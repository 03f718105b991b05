//! Which layers quantisation hurts, how, and which to keep in higher precision.
//!
//! - [`LayerErrors`]: the error that each convolution adds by itself and what has accumulated before it, told apart in rounding and saturation.
//! - [`Plan`] and [`VariantRuns`]: networks that differ from a base in one layer or block, run from the first tensor that changes.
//!   Scores come from the caller, so that nothing here knows about average precision.
//! - [`Sensitivity`]: what each change was worth, sorted.
//! - [`greedy`] and [`knapsack`]: combinations of changes by rising cost, and [`Chain::cheapest`], which measures real combinations.
//! - [`PrecisionConfig`]: the outcome, a file that says the precision of every convolution.
//!
//! Formulas and file formats: `docs/analysis.md`.

mod agreement;
mod error;
mod layer_errors;
mod layers;
mod pattern;
mod plan;
mod precision;
mod precision_config;
mod runs;
mod selection;
mod sensitivity;
mod switches;

pub use agreement::{Agreement, Scores, Sums, sigmoid_divergence, softmax_divergence};
pub use error::AnalysisError;
pub use layer_errors::{Clipping, ErrorFigures, ErrorProgram, ErrorSums, LayerErrorRow, LayerErrors};
pub use layers::{By, Layer, Scope, layers, scopes};
pub use pattern::LayerPattern;
pub use plan::{Mode, Plan, Variant};
pub use precision::{Precision, Quantizers};
pub use precision_config::PrecisionConfig;
pub use runs::{Savings, Session, VariantRuns};
pub use selection::{Candidate, Chain, Combination, Cost, greedy, knapsack};
pub use sensitivity::{Sensitivity, SensitivityRow};
pub use switches::LayerSwitches;
