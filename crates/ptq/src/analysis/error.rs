//! What can go wrong in an analysis.

/// Errors of analyses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnalysisError {
    /// A pattern that is no regular expression.
    #[error("the pattern {pattern:?} can't be read: {source}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: regex_lite::Error,
    },
    /// A pattern that no layer's name begins with.
    #[error(
        "the pattern {pattern:?} matches none of the {layers} layers; names begin like {example:?}, and a pattern has to match from the beginning"
    )]
    NoMatch {
        /// The pattern.
        pattern: String,
        /// Layers looked at.
        layers: usize,
        /// The first of them.
        example: String,
    },
    /// Nothing is left to analyse or choose from.
    #[error("nothing is left: {what}")]
    Nothing {
        /// Why.
        what: &'static str,
    },
    /// Another version of a file.
    #[error("version {found} of {what}; version {supported} is read here")]
    Version {
        /// Which file.
        what: &'static str,
        /// Its version.
        found: u32,
        /// The one that is read.
        supported: u32,
    },
    /// A precision configuration of another model.
    #[error("the precision configuration was made for the model {found}, this one is {expected}")]
    OtherModel {
        /// Hash in the configuration.
        found: String,
        /// Hash of the model at hand.
        expected: String,
    },
    /// The layers of a precision configuration are not those of the model.
    #[error(
        "the precision configuration {fault} the layer {layer:?}; it has to list every convolution of the model once"
    )]
    OtherLayers {
        /// `lacks` or `has`.
        fault: &'static str,
        /// The first such layer.
        layer: String,
    },
    /// A gain that can't be ranked.
    #[error("the gain {gain} of {name} is not finite")]
    Gain {
        /// Of which candidate.
        name: String,
        /// The gain.
        gain: f64,
    },
    /// Costs that can't be added up.
    #[error("the costs of all candidates together exceed 2^63")]
    Costs,
    /// Too many combinations are worth keeping.
    #[error(
        "more than {limit} combinations are worth considering; give a smaller budget, fewer candidates, or take the greedy selection"
    )]
    TooManyCombinations {
        /// How many are considered.
        limit: usize,
    },
    /// No combination that was measured reaches the goal.
    #[error("the goal {goal} is not reached: even the most expensive combination measures {measured}")]
    OutOfReach {
        /// The score wanted.
        goal: f64,
        /// That of the last combination.
        measured: f64,
    },
    /// Text that is not the file it should be.
    #[error("can't be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Graph or shapes.
    #[error(transparent)]
    Graph(#[from] nn_graph::Error),
    /// Calibration and lowering.
    #[error(transparent)]
    Ptq(#[from] crate::Error),
    /// Arithmetic and programs.
    #[error(transparent)]
    Core(#[from] quant_core::Error),
}
