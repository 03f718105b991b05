//! What can be wrong with training data.

use std::io;
use std::path::PathBuf;

/// A reason why training data cannot be read or prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A size or the length of a slice is wrong.
    #[error(transparent)]
    Shape(#[from] crate::Error),
    /// COCO's annotations cannot be read.
    #[error("{}: {cause}", path.display())]
    Annotations {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its place in the file.
        cause: coco_eval::Error,
    },
    /// An image in COCO's annotations that names no file.
    #[error("{}: image id {image_id} has no `file_name`", path.display())]
    NoFileName {
        /// The annotations.
        path: PathBuf,
        /// The image.
        image_id: i64,
    },
    /// The operating system refused a file or a folder.
    #[error("cannot access {}: {cause}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// An image file that is missing or cannot be decoded.
    #[error("cannot read image {}: {cause}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        cause: image::ImageError,
    },
    /// An image that lies in no folder `images`, so that there is no telling where its labels lie.
    #[error("{} has no folder `images` in its path; its labels are looked for in `labels` beside that", path.display())]
    NoImagesFolder {
        /// The image.
        path: PathBuf,
    },
    /// A label file that is longer than any honest one.
    #[error("{} has more than {limit} bytes, which is too long for labels", path.display())]
    LabelsTooLong {
        /// The label file.
        path: PathBuf,
        /// Most bytes allowed.
        limit: u64,
    },
    /// A line of a label file that breaks a rule.
    #[error("{}, line {line}: {fault}", path.display())]
    Line {
        /// The label file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// The rule.
        fault: LineFault,
    },
    /// A data set without a picture.
    #[error("{} holds no image", path.display())]
    NoImages {
        /// The folder or file that was to name some.
        path: PathBuf,
    },
    /// A sample that does not exist.
    #[error("sample {index} does not exist, there are {count}")]
    UnknownSample {
        /// The index asked for.
        index: usize,
        /// Number of samples.
        count: usize,
    },
    /// A setting outside its range, or not a number.
    #[error("`{name}` is {value}; it must be {range}")]
    Setting {
        /// Which setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        range: &'static str,
    },
}

/// The rule that a line of a label file breaks.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LineFault {
    /// Bytes that are not UTF-8.
    #[error("text that is not UTF-8")]
    NotText,
    /// Another number of values than five.
    #[error("{found} values in place of five, `class cx cy width height`")]
    ValueCount {
        /// How many there are.
        found: usize,
    },
    /// A class that is no whole number below the number of classes.
    #[error("class `{text}` is not a whole number below {classes}")]
    Class {
        /// As it stands in the file.
        text: String,
        /// Number of classes.
        classes: usize,
    },
    /// A coordinate that is not a number in [0, 1].
    #[error("`{text}` is not a number in [0, 1], as fractions of the picture are")]
    Coordinate {
        /// As it stands in the file.
        text: String,
    },
    /// A box without area.
    #[error("a box of {width} x {height}; both must be positive")]
    EmptyBox {
        /// Its width, as a fraction of the picture's.
        width: f32,
        /// Its height, as a fraction of the picture's.
        height: f32,
    },
}
