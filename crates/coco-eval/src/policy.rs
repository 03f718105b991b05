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

/// What to do with an annotation on an image, or of a category, that the data set does not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum UnknownIds {
    /// It stays in the table and takes no part in an evaluation, as in pycocotools.
    #[default]
    Drop,
    /// An error that names the annotation and the unknown id.
    Reject,
}

/// How much a reader of files takes before it refuses to go on.
///
/// Change single limits by `ReadLimits { rows: 1000, ..ReadLimits::DEFAULT }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// Bytes of one record: an element of `images`, `categories`, `annotations` or results. Default 16 MiB.
    ///
    /// The same holds for the name of a section and for one number.
    pub record_bytes: usize,
    /// Rows of one list, default 2^27. Row numbers have 32 bits, so more than 2^32 - 1 are never taken.
    pub rows: usize,
    /// Bytes read from the source at a time, 1 to 64 MiB, default 256 KiB; longer records make the buffer
    /// grow.
    pub buffer_bytes: usize,
}

impl ReadLimits {
    /// Rows of one list; their numbers have 32 bits.
    pub(crate) fn most_rows(&self) -> usize {
        self.rows.min(u32::MAX as usize)
    }

    /// Bytes of a buffer to begin with.
    pub(crate) fn first_buffer(&self) -> usize {
        self.buffer_bytes.clamp(1, Self::MAX_BUFFER)
    }

    /// Largest buffer to begin with, whatever is asked for.
    const MAX_BUFFER: usize = 1 << 26;

    /// Room for any COCO-like data set.
    pub const DEFAULT: Self = Self { record_bytes: 16 << 20, rows: 1 << 27, buffer_bytes: 256 << 10 };
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How strictly rows are taken in. The default refuses negative sizes and keeps the duplicate-id quirk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InputPolicy {
    /// Annotation ids that occur twice.
    pub duplicate_ids: DuplicateIds,
    /// Negative widths, heights and areas.
    pub negative_sizes: NegativeSizes,
    /// Annotations on images, or of categories, that are not listed.
    pub unknown_ids: UnknownIds,
    /// What readers of files refuse for its size.
    pub limits: ReadLimits,
}

impl InputPolicy {
    /// Keeps whatever can be read, and scores it as pycocotools does.
    pub const PYCOCOTOOLS: Self = Self {
        duplicate_ids: DuplicateIds::LastStandsIn,
        negative_sizes: NegativeSizes::Keep,
        unknown_ids: UnknownIds::Drop,
        limits: ReadLimits::DEFAULT,
    };
    /// Refuses annotation ids that occur twice, negative sizes, and annotations on images or of categories that are not listed.
    pub const STRICT: Self = Self {
        duplicate_ids: DuplicateIds::Reject,
        negative_sizes: NegativeSizes::Reject,
        unknown_ids: UnknownIds::Reject,
        limits: ReadLimits::DEFAULT,
    };
}
