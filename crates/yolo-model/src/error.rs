//! The crate's error type.

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A rule that an argument broke.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A slice does not hold what its stated shape needs.
    #[error("{name} holds {found} values, its shape needs {expected}")]
    Length {
        /// Which argument.
        name: &'static str,
        /// Values that the shape needs.
        expected: usize,
        /// Values found.
        found: usize,
    },
    /// An image or a feature map without a pixel.
    #[error("{name} is empty: {height} rows of {width} pixels")]
    EmptyImage {
        /// Which argument.
        name: &'static str,
        /// Rows.
        height: usize,
        /// Pixels per row.
        width: usize,
    },
    /// A shape whose number of elements does not fit `usize`.
    #[error("{name} is too large: {height} x {width} with {channels} channels")]
    TooLarge {
        /// Which argument.
        name: &'static str,
        /// Rows.
        height: usize,
        /// Pixels per row.
        width: usize,
        /// Channels.
        channels: usize,
    },
    /// A network input that a level's stride does not divide.
    #[error("network input {height} x {width} must be a multiple of stride {stride}")]
    NotMultipleOfStride {
        /// Input rows.
        height: usize,
        /// Input pixels per row.
        width: usize,
        /// The stride that does not divide both.
        stride: usize,
    },
    /// A label that is not of the batch or the head.
    #[error(
        "a label of image {image} has class {class}; the batch has {batch} images, the head {classes} classes"
    )]
    Label {
        /// Its class.
        class: usize,
        /// Classes of the head.
        classes: usize,
        /// Its image.
        image: usize,
        /// Images of the batch.
        batch: usize,
    },
    /// The state of a training that can't be written or read.
    #[error("not the state of a training: {reason}")]
    State {
        /// Why.
        reason: String,
    },
    /// A head whose class count is zero.
    #[error("head has no class")]
    NoClass,
    /// A head without any level.
    #[error("head has no level")]
    NoLevel,
    /// Two lists that go level by level differ in length.
    #[error("{name} has {found} levels, the head has {expected}")]
    LevelCount {
        /// Which list.
        name: &'static str,
        /// Levels of the head's anchors.
        expected: usize,
        /// Levels found.
        found: usize,
    },
    /// A level without anchors, or with stride zero.
    #[error("head level {level} has {anchors} anchors and stride {stride}; both must be positive")]
    EmptyLevel {
        /// Index of the level.
        level: usize,
        /// Its number of anchors.
        anchors: usize,
        /// Its stride, in pixels.
        stride: usize,
    },
    /// An anchor with a side that is not a positive number.
    #[error("anchor {anchor} of level {level} measures {width} x {height} pixels; both must be positive")]
    BadAnchor {
        /// Index of the level.
        level: usize,
        /// Index of the anchor in its level.
        anchor: usize,
        /// Its width, in pixels.
        width: f32,
        /// Its height, in pixels.
        height: f32,
    },
    /// A quantised head whose scale is not a positive number.
    #[error("scale {scale} of head level {level} must be positive and finite")]
    BadScale {
        /// Index of the level.
        level: usize,
        /// The scale found.
        scale: f32,
    },
    /// A threshold outside [0, 1].
    #[error("{name} is {value}, it must lie in [0, 1]")]
    OutOfRange {
        /// Which parameter.
        name: &'static str,
        /// Its value.
        value: f32,
    },
    /// A class without a COCO category.
    #[error("class {class} has no COCO category, there are {count}")]
    UnknownClass {
        /// The class found.
        class: usize,
        /// Number of classes with a category.
        count: usize,
    },
}
