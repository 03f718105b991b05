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

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1; lines end with a line feed.
    pub line: u64,
    /// Bytes before the place, in the whole file.
    pub byte: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, byte {}", self.line, self.byte)
    }
}

/// What is wrong with the text of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonFault {
    /// The file ends inside a value.
    #[error("the file ends too early")]
    UnexpectedEnd,
    /// More text after the outermost bracket has been closed.
    #[error("only white space may follow the outermost closing bracket")]
    Trailing,
    /// A list was to start here.
    #[error("expected a list, `[`")]
    List,
    /// The outermost object of an annotations file was to start here.
    #[error("expected an object, `{{`, with `images`, `categories` and `annotations`")]
    Object,
    /// A record was to start here.
    #[error("expected a record, `{{`")]
    Record,
    /// A name in quotes was to start here.
    #[error("expected a name in double quotes")]
    Key,
    /// A name without its colon.
    #[error("expected `:` after the name")]
    Colon,
    /// Neither another element nor the end of a list or object.
    #[error("expected `,` or the closing bracket")]
    CommaOrEnd,
    /// No JSON value starts here.
    #[error("expected a JSON value")]
    Value,
    /// A string was to start here.
    #[error("expected a string")]
    String,
    /// A list of another shape than `[x, y, width, height]`.
    #[error("expected a list of four numbers, [x, y, width, height]")]
    Box,
    /// Neither a boolean nor an integer.
    #[error("expected 0, 1, true or false")]
    Flag,
    /// No number, or one in a notation that JSON lacks, such as `NaN`, `+1`, `01`, `.5` or `1.`.
    #[error("expected a number in JSON notation")]
    Number,
    /// A number that no f64 holds.
    #[error("a number beyond the range of f64")]
    NumberRange,
    /// A number with a fraction, an exponent, or the integer `-0`.
    #[error("expected an integer")]
    Integer,
    /// An integer that no i64 holds.
    #[error("an integer beyond the range of 64 bits")]
    IntegerRange,
    /// Bytes in a string that are not UTF-8.
    #[error("text that is not UTF-8")]
    Utf8,
    /// A line end, or another character below U+0020, in a string.
    #[error("a control character in a string; write it as an escape")]
    ControlCharacter,
    /// A backslash before something else than `"\\/bfnrt` or `u` and four hexadecimal digits.
    #[error("an escape that JSON lacks")]
    Escape,
    /// Half of a surrogate pair.
    #[error("half of a surrogate pair")]
    Surrogate,
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
    /// The source of a file's bytes failed.
    #[error("{}: cannot read on: {cause}", place(*record, Some(*position)))]
    Read {
        /// The record being read.
        record: Record,
        /// The first byte that was not used.
        position: Position,
        /// What the source said.
        cause: io::Error,
    },
    /// Text that is not JSON, or a value of another type than the field asks for.
    #[error("{}: {}{fault}", place(*record, Some(*position)), in_field(*field))]
    Json {
        /// The record being read.
        record: Record,
        /// The field being read, when the reader was inside one.
        field: Option<&'static str>,
        /// Where the fault lies.
        position: Position,
        /// What is wrong there.
        fault: JsonFault,
    },
    /// A skipped value with more than 128 open brackets.
    #[error("{}: brackets nested more than 128 deep", place(*record, Some(*position)))]
    TooDeep {
        /// The record being read.
        record: Record,
        /// The first bracket too many.
        position: Position,
    },
    /// A record, a section's name or a number longer than [`ReadLimits::record_bytes`](crate::ReadLimits).
    #[error("{}: longer than {limit} bytes; `ReadLimits::record_bytes` says how many are allowed", place(*record, Some(*position)))]
    RecordTooLong {
        /// The record being read.
        record: Record,
        /// Where it starts.
        position: Position,
        /// Most bytes allowed.
        limit: usize,
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
    #[error("{}: no `{field}`, which every such record needs", place(*record, *position))]
    MissingField {
        /// The record.
        record: Record,
        /// Where it starts, if it is from a file.
        position: Option<Position>,
        /// The absent field.
        field: &'static str,
    },
    /// A NaN or an infinity.
    #[error("{}: `{field}` has {value}; numbers must be finite", place(*record, *position))]
    NotFinite {
        /// The record.
        record: Record,
        /// Where the number starts, if it is from a file.
        position: Option<Position>,
        /// The field.
        field: &'static str,
        /// Its value.
        value: f64,
    },
    /// A negative width, height or area under [`NegativeSizes::Reject`](crate::NegativeSizes::Reject).
    #[error("{}: negative size in `{field}`: {value}; boxes are [x, y, width, height]", place(*record, *position))]
    NegativeSize {
        /// The record.
        record: Record,
        /// Where the number starts, if it is from a file.
        position: Option<Position>,
        /// The field.
        field: &'static str,
        /// The negative number.
        value: f64,
    },
    /// An annotation id used twice under [`DuplicateIds::Reject`](crate::DuplicateIds::Reject).
    #[error("{}: repeats the id of {earlier}; ids must be unique under this policy", place(*record, *position))]
    DuplicateId {
        /// The first annotation whose id is not new.
        record: Record,
        /// Where it starts, if it is from a file that can be read twice.
        position: Option<Position>,
        /// The annotation that has the id already.
        earlier: Record,
    },
    /// An annotation on an image, or of a category, that is not listed, under
    /// [`UnknownIds::Reject`](crate::UnknownIds::Reject).
    #[error("{}: `{field}` {id} is not listed; list it, or drop such annotations by `UnknownIds::Drop`", place(*record, *position))]
    UnknownId {
        /// The annotation.
        record: Record,
        /// Where it starts, if it is from a file that can be read twice.
        position: Option<Position>,
        /// `image_id` or `category_id`.
        field: &'static str,
        /// The id that is not listed.
        id: i64,
    },
    /// More rows than [`ReadLimits::rows`](crate::ReadLimits), or than 32-bit row numbers can name.
    #[error("{}: beyond the limit of {limit} rows", place(*record, *position))]
    TooManyRows {
        /// The first row too many.
        record: Record,
        /// Where it starts, if it is from a file.
        position: Option<Position>,
        /// Most rows allowed.
        limit: usize,
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
    /// Weights that counts could overflow by.
    #[error("the weights add up to {total}, the limit is {}", u32::MAX)]
    WeightTotal {
        /// Their sum.
        total: u64,
    },
    /// No outcomes to be merged.
    #[error("there are no outcomes to merge")]
    NothingToMerge,
    /// Figures that average precision is among are not to be had.
    #[error("AP is undefined under these parameters: it needs 100 among the caps and an area range `all`")]
    UndefinedPrecision,
    /// Arrays that no memory would hold.
    #[error("precision would have {entries} entries, the limit is {}", crate::params::MAX_ENTRIES)]
    TooManyEntries {
        /// Thresholds, recall thresholds, categories, area ranges and caps multiplied.
        entries: u128,
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
    /// An area range whose ends are reversed or not finite, or whose name is taken.
    #[error("area range `{name}` [{low}, {high}] must have finite ends, low <= high, and a name of its own")]
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
    field.map_or_else(String::new, |name| format!("field `{name}`: "))
}

fn place(record: Record, position: Option<Position>) -> String {
    position.map_or_else(|| record.to_string(), |position| format!("{record}, {position}"))
}
