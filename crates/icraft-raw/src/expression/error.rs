//! What can be wrong with an expression.

/// A reason why an expression such as `@sint(8)` or `@scales([axis=-1]32*0.5)` is refused. Places are bytes from the
/// start of the expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpressionError {
    /// Something else stands where a symbol or a word must stand.
    #[error("byte {at}: expected {expected}, found {found:?}")]
    Expected {
        /// Where.
        at: usize,
        /// What must stand there.
        expected: &'static str,
        /// The rest of the text, cut short.
        found: String,
    },
    /// An integer that its place has no room for.
    #[error("byte {at}: {text:?} is no integer of {expected}")]
    Integer {
        /// Where it starts.
        at: usize,
        /// Its text.
        text: String,
        /// The range it must lie in.
        expected: &'static str,
    },
    /// Neither a norm ratio nor a scale: not a number, not finite, negative, or a norm ratio of zero.
    #[error("byte {at}: {text:?} is no finite {expected} number")]
    Number {
        /// Where it starts.
        at: usize,
        /// Its text.
        text: String,
        /// `positive` or `non-negative`.
        expected: &'static str,
    },
    /// A run of no channels.
    #[error("byte {at}: a run of 0 channels; runs are `N*value` with N at least 1")]
    EmptyRun {
        /// Where the run starts.
        at: usize,
    },
    /// Runs that add up to more channels than can be counted.
    #[error("byte {at}: the runs up to here add up to more than {} channels", usize::MAX)]
    TooManyChannels {
        /// Where the run that is one too many starts.
        at: usize,
    },
    /// Values for another number of channels.
    #[error("the list holds {found} values for {expected} channels; it must hold one, or one a channel")]
    Count {
        /// Values in the list, runs counted in full.
        found: usize,
        /// Channels of the tensor.
        expected: usize,
    },
}
