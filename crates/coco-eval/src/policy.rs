//! Named choices where pycocotools does something surprising.

use serde::{Deserialize, Serialize};

/// What to do with an annotation id that occurs more than once in the ground truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DuplicateIds {
    /// The last annotation with the id takes the place of all of them, as in pycocotools.
    #[default]
    LastStandsIn,
    /// Each annotation counts as it is written.
    KeepAll,
    /// An error.
    Reject,
}

/// What to do with a negative width or height, or a negative `area` of an annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum NegativeSizes {
    /// An error that names the record and the field.
    #[default]
    Reject,
    /// Taken as it is, as pycocotools does: such a box overlaps nothing, and a negative area lies in no
    /// area range.
    Keep,
}

/// Whether a detection matched to a ground truth whose id is 0 counts as matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum IdZero {
    /// It does not, as in pycocotools: the detection is a false positive, the ground truth is used up.
    #[default]
    CountsAsUnmatched,
    /// 0 is an id like any other.
    Ordinary,
}

/// How strictly rows are taken in. The default refuses negative sizes and keeps the duplicate-id quirk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InputPolicy {
    /// Annotation ids that occur twice.
    pub duplicate_ids: DuplicateIds,
    /// Negative widths, heights and areas.
    pub negative_sizes: NegativeSizes,
}

impl InputPolicy {
    /// Accepts whatever pycocotools accepts without complaint, and scores it the same way.
    pub const PYCOCOTOOLS: Self =
        Self { duplicate_ids: DuplicateIds::LastStandsIn, negative_sizes: NegativeSizes::Keep };
    /// Refuses duplicate ids and negative sizes.
    pub const STRICT: Self =
        Self { duplicate_ids: DuplicateIds::Reject, negative_sizes: NegativeSizes::Reject };
}
