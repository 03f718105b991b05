//! What stops a program: one clear line and exit code 2.

use crate::icraft::error::IcraftError;
use crate::output::note;
use nn_graph::CheckpointError;
use ptq::analysis::AnalysisError;
use std::path::PathBuf;
use std::process::ExitCode;

/// Errors of the programs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An image can't be decoded.
    #[error("{}: not a readable image ({source}); --skip-bad goes on without it", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// Why.
        source: image::ImageError,
    },
    /// Training data.
    #[error(transparent)]
    Data(#[from] yolo_model::data::DataError),
    /// A network in training.
    #[cfg(feature = "train")]
    #[error(transparent)]
    Training(#[from] yolo_model::NetworkError),
    /// What is wrong with a schedule, a grid or a mask.
    #[cfg(feature = "train")]
    #[error(transparent)]
    Qat(#[from] qat_inq::Error),
    /// A loss that is no number.
    #[error(
        "the loss is no number at step {step}, in epoch {epoch}, for images {images:?} of the list; what was kept before stays"
    )]
    Diverged {
        /// The epoch, from 1.
        epoch: u64,
        /// The step, from 1.
        step: u64,
        /// Places of the images in the data set.
        images: Vec<usize>,
    },
    /// Labels of classes that the model does not have.
    #[error("{}: labels have {found} classes, the model {classes}", images.display())]
    TrainingClasses {
        /// The images.
        images: PathBuf,
        /// Classes of the labels.
        found: usize,
        /// Classes of the model.
        classes: usize,
    },
    /// A drawing can't be made.
    #[error("the drawing can't be made: {source}")]
    Drawing {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A folder holds no image.
    #[error("{}: holds no image (.jpg, .jpeg, .png)", folder.display())]
    NoImage {
        /// The folder.
        folder: PathBuf,
    },
    /// Every image was skipped.
    #[error("none of the {count} images could be read")]
    AllBad {
        /// How many there were.
        count: usize,
    },
    /// Images without annotations.
    #[error(
        "{missing} of {count} images in {} are not listed in {} (first: {first}); --skip-bad goes on without them",
        folder.display(), annotations.display()
    )]
    NotAnnotated {
        /// Images that lack annotations.
        missing: usize,
        /// All images.
        count: usize,
        /// The folder.
        folder: PathBuf,
        /// The annotations.
        annotations: PathBuf,
        /// Name of the first such image.
        first: String,
    },
    /// The classes of the model can't be mapped to the categories of the annotations.
    #[error("the model has {classes} classes, {} has {categories} categories, and their names don't match", annotations.display())]
    Classes {
        /// Classes of the model.
        classes: usize,
        /// Categories of the annotations.
        categories: usize,
        /// The annotations.
        annotations: PathBuf,
    },
    /// NaN or infinities among the weights.
    #[error("{}: {count} values of {tensor} are NaN or infinite ({tensors} tensors are affected)", path.display())]
    NonFinite {
        /// The checkpoint.
        path: PathBuf,
        /// The first tensor.
        tensor: String,
        /// Values in it.
        count: usize,
        /// Tensors with such values.
        tensors: usize,
    },
    /// The checkpoint does not say which architecture it is of.
    #[error("{}: does not describe its architecture; name it by --model (a yaml file, or one of {known})", path.display())]
    NoDefinition {
        /// The checkpoint.
        path: PathBuf,
        /// Built-in names.
        known: String,
    },
    /// Neither a file nor a built-in name.
    #[error("{name}: neither a yaml file nor one of {known}")]
    UnknownModel {
        /// What was given.
        name: String,
        /// Built-in names.
        known: String,
    },
    /// Names of classes and head disagree.
    #[error("{}: {names} class names for {classes} classes", path.display())]
    ClassNames {
        /// The saved network.
        path: PathBuf,
        /// Names.
        names: usize,
        /// Classes of the head.
        classes: usize,
    },
    /// The outputs of a program are not those of its head.
    #[error(
        "the network's outputs have shapes {found:?}, its head needs {expected:?} (channels, height, width)"
    )]
    HeadShapes {
        /// What the head needs.
        expected: Vec<[usize; 3]>,
        /// What there is.
        found: Vec<[usize; 3]>,
    },
    /// Two images of one name.
    #[error("{}: lists the image {name} more than once", annotations.display())]
    SameName {
        /// The annotations.
        annotations: PathBuf,
        /// The name.
        name: String,
    },
    /// Nothing to find.
    #[error("{}: has no object on any of the images, so there is nothing to measure", annotations.display())]
    NoObject {
        /// The annotations.
        annotations: PathBuf,
    },
    /// The model does not end in a detection head.
    #[error("{name}: the model has no detection head")]
    NoHead {
        /// The model.
        name: String,
    },
    /// An input path has to be given.
    #[error("{option} is needed (or set YOLO_ASSETS to a folder with {example})")]
    Missing {
        /// The option.
        option: &'static str,
        /// What the assets would hold.
        example: &'static str,
    },
    /// Equalisation would change what the network computes.
    #[error("{name}: no convolution can be equalised ({reasons})")]
    NotEqualizable {
        /// The model.
        name: String,
        /// How many convolutions each reason refuses.
        reasons: String,
    },
    /// An argument is not usable.
    #[error("{option} {value}: {expected}")]
    Argument {
        /// The option.
        option: &'static str,
        /// What was given.
        value: String,
        /// What is expected.
        expected: &'static str,
    },
    /// A network without an embedded description, such as one that another program wrote.
    #[error("{}: there is no `{key}` in it, which detecting needs; the networks that `quantize` and `icraft-compile` write have it", path.display())]
    NoMetadata {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
    },
    /// Error of an embedded description, such as the head in a saved network.
    #[error("{}: its `{key}` can't be read: {source}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The graph or checkpoint.
    #[error("{}: {source}", path.display())]
    Model {
        /// The file, or the name of the model.
        path: PathBuf,
        /// What is wrong.
        source: nn_graph::Error,
    },
    /// Annotations or detections.
    #[error("{}: {source}", path.display())]
    Coco {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: coco_eval::Error,
    },
    /// An output that would replace an input, or another output.
    #[error("{}: is also an input or another output; name another file", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// A file that should hold outcomes.
    #[error("{}: not outcomes that `evaluate --save-outcomes` wrote ({source})", path.display())]
    Outcomes {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A calibration file that can't be used.
    #[error("{}: {source}", path.display())]
    CalibrationFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ptq::CalibrationFileError,
    },
    /// A file that is longer than any of its kind.
    #[error("{}: is longer than {most} bytes, so it is not a calibration file", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// What is read at most.
        most: u64,
    },
    /// An image on which the float network gave values that no method can use.
    #[error("{}: on this image the network gives unusable values: {source}", path.display())]
    Activations {
        /// The image.
        path: PathBuf,
        /// The tensor, and what is wrong with it.
        source: ptq::Error,
    },
    /// Statistics that can't be put together.
    #[error(transparent)]
    Calibration(#[from] ptq::CalibrationFileError),
    /// A file of `analyze`.
    #[error("{}: {source}", path.display())]
    Analysis {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: AnalysisError,
    },
    /// What an interrupted run has left is of another one.
    #[error("{}: not the state of this work; repeat its options, or start anew without --resume or in another folder", path.display())]
    OtherState {
        /// The file or folder.
        path: PathBuf,
    },
    /// Frozen weights that left their grid, which no training should bring about.
    #[error("{count} frozen weights are not on their grid after the stage of ratio {ratio}")]
    OffGrid {
        /// How many.
        count: usize,
        /// The stage's ratio.
        ratio: f64,
    },
    /// Files are not those of an analysis any more.
    #[error("the {what} have changed since the analysis; repeat it")]
    Changed {
        /// What has.
        what: &'static str,
    },
    /// Analysis and selection.
    #[error(transparent)]
    Analyze(#[from] AnalysisError),
    /// A key that a configuration has to have.
    #[error("{}: {key} is needed", config.display())]
    IcraftKey {
        /// The configuration.
        config: PathBuf,
        /// What is needed.
        key: &'static str,
    },
    /// A configuration of Icraft.
    #[error("{}: {source}", path.display())]
    IcraftConfig {
        /// The configuration.
        path: PathBuf,
        /// What is wrong.
        source: icraft_raw::ConfigError,
    },
    /// A raw file.
    #[error(transparent)]
    IcraftRaw(#[from] icraft_raw::RawError),
    /// The json of a network.
    #[error(transparent)]
    IcraftNetwork(#[from] icraft_raw::NetworkError),
    /// A network of Icraft as a program.
    #[error(transparent)]
    IcraftProgram(#[from] icraft_raw::ProgramError),
    /// Evaluation.
    #[error(transparent)]
    Evaluate(#[from] coco_eval::Error),
    /// Calibration and lowering.
    #[error(transparent)]
    Ptq(#[from] ptq::Error),
    /// Arithmetic and programs.
    #[error(transparent)]
    Core(#[from] quant_core::Error),
    /// Files of Icraft.
    #[error(transparent)]
    Icraft(#[from] IcraftError),
    /// Detection.
    #[error(transparent)]
    Yolo(#[from] yolo_model::Error),
    /// The thread pool.
    #[error("can't start threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// Writing JSON.
    #[error("can't write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// A result of the programs.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error about reading or writing `path`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// An error about a checkpoint, a definition, or the model of that name; says `path` once.
    pub fn model(path: impl Into<PathBuf>) -> impl FnOnce(nn_graph::Error) -> Self {
        let path = path.into();
        move |source| match source {
            nn_graph::Error::Checkpoint(CheckpointError::Read { source, .. })
            | nn_graph::Error::Checkpoint(CheckpointError::Write { source, .. }) => Self::Io { path, source },
            source => Self::Model { path, source },
        }
    }

    /// An error about a calibration file.
    pub fn calibration_file(path: impl Into<PathBuf>) -> impl FnOnce(ptq::CalibrationFileError) -> Self {
        let path = path.into();
        move |source| Self::CalibrationFile { path, source }
    }

    /// An error about what a network gives on an image.
    pub fn activations(path: impl Into<PathBuf>) -> impl FnOnce(ptq::Error) -> Self {
        let path = path.into();
        move |source| Self::Activations { path, source }
    }

    /// An error about annotations or results; says `path` once.
    pub fn coco(path: impl Into<PathBuf>) -> impl FnOnce(coco_eval::Error) -> Self {
        let path = path.into();
        move |source| match source {
            coco_eval::Error::File { cause, .. } => Self::Io { path, source: cause },
            source => Self::Coco { path, source },
        }
    }
}

/// Ends a program: on failure with one line on stderr, and exit code 2.
pub fn exit(result: Result<()>) -> ExitCode {
    exit_with(result.map(|()| ExitCode::SUCCESS))
}

/// Ends a program that chooses among exit codes where nothing failed.
pub fn exit_with(result: Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        // A library's error may span lines (yaml shows its context); users get one.
        note(format_args!("error: {}", error.to_string().replace(['\n', '\r'], " ")));
        ExitCode::from(2)
    })
}
