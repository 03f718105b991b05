//! What can be wrong with files of Icraft, and with what they are compared to.

use crate::error::Error;
use icraft_raw::{
    CsvError, ExpressionError, Generation, LayoutError, MappingError, NetworkError, RawError, ValueError,
};
use std::path::PathBuf;

/// Errors of the programs that read and write files of Icraft.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IcraftError {
    /// The json of a network.
    #[error("{}: {source}", path.display())]
    Network {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: NetworkError,
    },
    /// A raw file.
    #[error("{}: {source}", path.display())]
    Raw {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: RawError,
    },
    /// A log of the quantiser.
    #[error("{}: {source}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: CsvError,
    },
    /// The parameters of a checkpoint are not those of the parsed raw file.
    #[error("{}: {source}", path.display())]
    Mapping {
        /// The raw file.
        path: PathBuf,
        /// What is wrong.
        source: MappingError,
    },
    /// A tensor whose order of elements is not known.
    #[error("{tensor}: {source}")]
    Layout {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        source: LayoutError,
    },
    /// Numbers, integers or scales of a tensor.
    #[error("{tensor}: {source}")]
    Values {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        source: ValueError,
    },
    /// Scales or norm ratios that don't fit the channels.
    #[error("{tensor}: {source}")]
    Expression {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        source: ExpressionError,
    },
    /// The raw file is not the one that the json was written with.
    #[error(
        "{}: its MD5 is {found}, {} expects {expected}: they don't belong together; take the files of one run (or --ignore-checksum, where there is that option)",
        raw.display(), json.display()
    )]
    Checksum {
        /// The json.
        json: PathBuf,
        /// The raw file.
        raw: PathBuf,
        /// What the json says.
        expected: String,
        /// MD5 of the raw file.
        found: String,
    },
    /// Json and raw file of different generations.
    #[error("{}: of generation {json_generation:?}, but {} is of {raw_generation:?}", json.display(), raw.display())]
    Generations {
        /// The json.
        json: PathBuf,
        /// Its generation.
        json_generation: Generation,
        /// The raw file.
        raw: PathBuf,
        /// Its generation.
        raw_generation: Generation,
    },
    /// Tensors whose names nothing tells.
    #[error(
        "{}: {count} parameters have no name (the first has id {first}); give --like CHECKPOINT and --parsed RAW to find names by content",
        json.display()
    )]
    NoNames {
        /// The json.
        json: PathBuf,
        /// How many.
        count: usize,
        /// Id of the first.
        first: u32,
    },
    /// Two tensors of one name.
    #[error("{}: parameters {first} and {second} are both called {name}", json.display())]
    SameName {
        /// The json.
        json: PathBuf,
        /// The name.
        name: String,
        /// Id of one.
        first: i64,
        /// Id of the other.
        second: i64,
    },
    /// An id that raw files have no room for.
    #[error("{}: parameter {name:?} has id {id}; ids of raw files are from 0 to 4294967295", json.display())]
    Id {
        /// The json.
        json: PathBuf,
        /// The parameter.
        name: String,
        /// Its id.
        id: i64,
    },
    /// A tensor that a log of measured values should have.
    #[error("{}: no saturation point for {tensor} (id {id})", csv.display())]
    Unmeasured {
        /// The log.
        csv: PathBuf,
        /// The tensor's id.
        id: i64,
        /// Its name.
        tensor: String,
    },
    /// A parameter listed twice, and not alike.
    #[error("{}: parameter {id} is listed twice, with different shapes or types", json.display())]
    ListedTwice {
        /// The json.
        json: PathBuf,
        /// Its id.
        id: u32,
    },
    /// A tensor that the mapping does not know, or one of another size.
    #[error("{}: no tensor with id {id} and {elements} elements, which {} has", parsed.display(), json.display())]
    NotInParsed {
        /// The parsed raw file.
        parsed: PathBuf,
        /// The json.
        json: PathBuf,
        /// The id.
        id: u32,
        /// Elements of the tensor.
        elements: usize,
    },
    /// A stage whose parameters are no longer plain tensors.
    #[error(
        "{}: {tensor} is in the hardware's layout; take the stage quantized or an earlier one",
        json.display()
    )]
    Hardware {
        /// The json.
        json: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// Elements that are neither f32 nor signed integers with scales.
    #[error("{tensor}: elements are {found}; expected @fp(32), or signed integers of 2 to 32 bits")]
    Element {
        /// The tensor.
        tensor: String,
        /// What they are.
        found: String,
    },
    /// A type that nothing tells.
    #[error(
        "{tensor}: {bytes} bytes for {elements} elements are no f32, and the json names no type; say --bits 8, 12 or 16"
    )]
    NoType {
        /// The tensor.
        tensor: String,
        /// Its bytes.
        bytes: usize,
        /// Its elements.
        elements: usize,
    },
    /// Integers with zero points, which this arithmetic has not.
    #[error("{tensor}: has zero points; only symmetric integers are known here")]
    ZeroPoints {
        /// The tensor.
        tensor: String,
    },
    /// Integers without scales.
    #[error(
        "{tensor} (id {id}): neither the json nor a log has its scales; name the quantiser's log of parameters"
    )]
    NoScales {
        /// The tensor.
        tensor: String,
        /// Its id.
        id: u32,
    },
    /// Scales along another axis than the last.
    #[error(
        "{tensor}: scales lie along axis {axis} of {rank}; only those of the last axis, the outputs, are known"
    )]
    ScaleAxis {
        /// The tensor.
        tensor: String,
        /// The axis.
        axis: i32,
        /// Axes that it has.
        rank: usize,
    },
    /// Json and log disagree about a scale.
    #[error(
        "{tensor}: channel {channel} has scale {json} in the json and {csv} in the log; is the log of this run, and the profile right?"
    )]
    ScalesDisagree {
        /// The tensor.
        tensor: String,
        /// The output channel.
        channel: usize,
        /// In the json.
        json: f32,
        /// In the log.
        csv: f32,
    },
    /// Json and log disagree about a norm ratio.
    #[error(
        "feature map {id}: channel {channel} has norm ratio {json} in {} and {csv} in {}; take the files of one run",
        json_path.display(), csv_path.display()
    )]
    RatiosDisagree {
        /// The feature map.
        id: i64,
        /// The channel.
        channel: usize,
        /// The json.
        json_path: PathBuf,
        /// The ratio there.
        json: f32,
        /// The log.
        csv_path: PathBuf,
        /// The ratio there.
        csv: f32,
    },
    /// More scales than any network has.
    #[error("{}: lists more than {most} scales", json.display())]
    TooManyScales {
        /// The json.
        json: PathBuf,
        /// The limit.
        most: usize,
    },
    /// Weights where the log has a bias, or the other way round.
    #[error(
        "{tensor} (id {id}): the log has {in_log} there, but its shape is {shape:?}; choose another --profile"
    )]
    Role {
        /// The tensor.
        tensor: String,
        /// Its id.
        id: u32,
        /// What the log has.
        in_log: &'static str,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Payloads that many tensors share would take many times the file's memory.
    #[error("{}: its tensors name {named} bytes in a file of {length}; at most {most} times as many are read", raw.display())]
    Shared {
        /// The raw file.
        raw: PathBuf,
        /// Bytes of all tensors together.
        named: u64,
        /// Bytes of the file.
        length: u64,
        /// The limit.
        most: u64,
    },
    /// A checkpoint without a tensor that the raw file has.
    #[error("{}: no tensor {name}; BatchNorm has to be folded into its convolutions", path.display())]
    MissingTensor {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor of another shape.
    #[error("{}: {name} has shape {found:?}, {} has {expected:?}", path.display(), other.display())]
    Shape {
        /// The checkpoint or pair.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The file that has another.
        other: PathBuf,
        /// The shape there.
        expected: Vec<usize>,
    },
    /// An order of the image's channels that is neither kept nor reversed.
    #[error("{}: the image's channels come in the order {order}; only 0,1,2 and 2,1,0 can be undone", json.display())]
    ChannelOrder {
        /// The json.
        json: PathBuf,
        /// The order.
        order: String,
    },
    /// `--bgr` without a single convolution that it can mean.
    #[error("--bgr: {count} weights read the image's three channels, expected one")]
    NoImageConvolution {
        /// How many there are.
        count: usize,
    },
    /// A name that a file does not have.
    #[error("{}: no parameter {name}; there are {known}", path.display())]
    NoParameter {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        name: String,
        /// Names that there are, the first of them.
        known: String,
    },
    /// A feature map that a log does not have.
    #[error("{}: no feature map {id}", path.display())]
    NoFeatureMap {
        /// The log or json.
        path: PathBuf,
        /// What was asked for.
        id: i64,
    },
    /// A feature map without what is needed of it.
    #[error("{}: feature map {id} has no {what}", path.display())]
    Incomplete {
        /// The log.
        path: PathBuf,
        /// The feature map.
        id: i64,
        /// What is missing.
        what: &'static str,
    },
    /// A dump of another length than its shape says.
    #[error("{}: {length} bytes are not {elements} elements of {expected}, the shape is {shape:?}", path.display())]
    DumpLength {
        /// The dump.
        path: PathBuf,
        /// Its length.
        length: usize,
        /// Elements of the shape.
        elements: usize,
        /// What they have to be.
        expected: &'static str,
        /// The shape.
        shape: Vec<usize>,
    },
    /// Values that can't be drawn or compared.
    #[error("{}: {count} values of {name} are NaN or infinite", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// How many.
        count: usize,
    },
    /// A float pair where integers are wanted, or the other way round.
    #[error("{}: {name} holds {found}, expected {expected}", path.display())]
    Stage {
        /// The raw file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What it holds.
        found: &'static str,
        /// What is wanted.
        expected: &'static str,
    },
}

impl IcraftError {
    /// An error about the json of a network.
    pub(super) fn network(path: impl Into<PathBuf>) -> impl FnOnce(NetworkError) -> Error {
        let path = path.into();
        move |source| Self::Network { path, source }.into()
    }

    /// An error about a raw file; says `path` once.
    pub(super) fn raw(path: impl Into<PathBuf>) -> impl FnOnce(RawError) -> Error {
        let path = path.into();
        move |source| match source {
            RawError::Open { source, .. } => Error::Io { path, source },
            source => Self::Raw { path, source }.into(),
        }
    }

    /// An error about a log; says `path` once.
    pub(super) fn log(path: impl Into<PathBuf>) -> impl FnOnce(CsvError) -> Error {
        let path = path.into();
        move |source| match source {
            CsvError::File { cause, .. } => Error::Io { path, source: cause },
            source => Self::Log { path, source }.into(),
        }
    }

    /// An error about the order of a tensor's elements.
    pub(super) fn layout(tensor: &str) -> impl FnOnce(LayoutError) -> Error {
        let tensor = tensor.to_owned();
        move |source| Self::Layout { tensor, source }.into()
    }

    /// An error about a tensor's numbers.
    pub(super) fn values(tensor: &str) -> impl FnOnce(ValueError) -> Error {
        let tensor = tensor.to_owned();
        move |source| Self::Values { tensor, source }.into()
    }
}
