//! What can be wrong with the input, as one enum.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// The record of a file, or the row of a table built in memory, that an [`Error`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record {
    /// The file as a whole: its outermost brackets, or a section's.
    File,
    /// Element `index` of `images`.
    Image {
        /// Position in the list, from 0.
        index: usize,
    },
    /// Element `index` of `categories`.
    Category {
        /// Position in the list, from 0.
        index: usize,
    },
    /// Element `index` of `annotations`.
    Annotation {
        /// Position in the list, from 0.
        index: usize,
        /// The annotation's own id, when it was read before the fault.
        id: Option<i64>,
    },
    /// Element `index` of a list of results, or of detections pushed one by one.
    Result {
        /// Position in the list, from 0.
        index: usize,
    },
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("file"),
            Self::Image { index } => write!(f, "image at index {index}"),
            Self::Category { index } => write!(f, "category at index {index}"),
            Self::Annotation { index, id: Some(id) } => write!(f, "annotation id {id} (index {index})"),
            Self::Annotation { index, id: None } => write!(f, "annotation at index {index}"),
            Self::Result { index } => write!(f, "result at index {index}"),
        }
    }
}

/// A reason why reading, evaluating, summarising or writing stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read or write a file.
    #[error("cannot access {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// Text that is not JSON, or a value of another type than the field asks for.
    #[error("{record}{}: {cause}", in_field(*field))]
    Json {
        /// Where the reader stood.
        record: Record,
        /// The field being read, when the reader was inside one.
        field: Option<&'static str>,
        /// What the parser said, with line and column.
        cause: serde_json::Error,
    },
    /// Results could not be written.
    #[error("cannot write the results: {cause}")]
    Write {
        /// What the JSON writer, or the sink below it, said.
        cause: serde_json::Error,
    },
    /// An annotations file without one of its three lists.
    #[error("the annotations file has no `{section}` list; give it one, empty if need be")]
    MissingSection {
        /// `images`, `categories` or `annotations`.
        section: &'static str,
    },
    /// A record without a field that evaluation needs.
    #[error("{record} has no `{field}`")]
    MissingField {
        /// The record.
        record: Record,
        /// The absent field.
        field: &'static str,
    },
    /// A NaN or an infinity.
    #[error("{record} has `{field}` = {value}; it must be finite")]
    NotFinite {
        /// The record.
        record: Record,
        /// The field.
        field: &'static str,
        /// Its value.
        value: f64,
    },
    /// A negative width, height or area under [`NegativeSizes::Reject`](crate::NegativeSizes::Reject).
    #[error("{record} has a negative size in `{field}`: {value}; boxes are [x, y, width, height]")]
    NegativeSize {
        /// The record.
        record: Record,
        /// The field.
        field: &'static str,
        /// The negative number.
        value: f64,
    },
    /// An annotation id used twice under [`DuplicateIds::Reject`](crate::DuplicateIds::Reject).
    #[error("{record} repeats the id of an earlier annotation; ids must be unique under this policy")]
    DuplicateId {
        /// The later of the two annotations.
        record: Record,
    },
    /// More rows than the 32-bit row numbers of this crate can name.
    #[error("{record} is beyond the limit of {} rows", u32::MAX)]
    TooManyRows {
        /// The first row too many.
        record: Record,
    },
    /// A detection on an image that the ground truth does not list.
    #[error("result at index {index} is for image id {image_id}, which the ground truth does not list")]
    UnknownImage {
        /// Row of the detection.
        index: usize,
        /// The image it names.
        image_id: i64,
    },
    /// One of the images to evaluate is not among those that the parameters select.
    #[error("image id {image_id} is not among the images to evaluate")]
    ImageNotSelected {
        /// The image.
        image_id: i64,
    },
    /// Outcomes that were found under different parameters or for different categories.
    #[error("outcomes cannot be merged or compared: {what} differ")]
    OutcomesDiffer {
        /// What differs.
        what: &'static str,
    },
    /// An image that is part of two sets of outcomes to be merged.
    #[error("image id {image_id} is part of more than one of the outcomes to be merged")]
    ImageTwice {
        /// The image.
        image_id: i64,
    },
    /// Weights for another number of images.
    #[error("{found} weights were given for {images} images")]
    WeightCount {
        /// Weights.
        found: usize,
        /// Images.
        images: usize,
    },
    /// Stored outcomes that contradict themselves.
    #[error("stored outcomes are damaged: {what}")]
    DamagedOutcomes {
        /// The broken rule.
        what: &'static str,
    },
    /// A list in the evaluation parameters has no element.
    #[error("evaluation parameter `{parameter}` is empty")]
    EmptyParameter {
        /// The field of `EvalParams`.
        parameter: &'static str,
    },
    /// A threshold outside [0, 1], or not a number.
    #[error("evaluation parameter `{parameter}` holds {value}; thresholds lie in [0, 1]")]
    ThresholdOutOfRange {
        /// The field of `EvalParams`.
        parameter: &'static str,
        /// The threshold.
        value: f64,
    },
    /// Recall thresholds that go down.
    #[error("recall threshold {value} at index {index} is below the one before it; sort them upwards")]
    DescendingRecall {
        /// Position of the lower threshold.
        index: usize,
        /// The lower threshold.
        value: f64,
    },
    /// An area range whose ends are reversed or not numbers, or whose name is taken.
    #[error("area range `{name}` [{low}, {high}] must have low <= high and a name of its own")]
    BadAreaRange {
        /// Its name.
        name: String,
        /// Lower end, square pixels.
        low: f64,
        /// Upper end, square pixels.
        high: f64,
    },
    /// More area ranges than there are bits to note them in.
    #[error("{found} area ranges are too many, the limit is {}", crate::params::MAX_AREA_RANGES)]
    TooManyAreaRanges {
        /// How many there are.
        found: usize,
    },
    /// The twelve figures need three detection caps.
    #[error("the twelve figures need three `max_detections`, got {found}; ask for single figures by `mean`")]
    TooFewCaps {
        /// How many there are.
        found: usize,
    },
    /// A parameter outside its range, or not a number.
    #[error("parameter `{parameter}` is {value}; it must be {range}")]
    ParameterOutOfRange {
        /// The field of the parameters.
        parameter: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        range: &'static str,
    },
    /// More categories than a confusion matrix has room for.
    #[error("{found} categories make too large a matrix; choose at most {limit} by `category_ids`")]
    TooManyCategories {
        /// How many are selected.
        found: usize,
        /// How many may be.
        limit: usize,
    },
}

fn in_field(field: Option<&'static str>) -> String {
    field.map_or_else(String::new, |name| format!(", field `{name}`"))
}
