//! What can be wrong with a calibration file.

use crate::StatisticsFault;

/// Errors of reading, merging and using calibration files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationFileError {
    /// Another kind of file, or a damaged one.
    #[error("not a calibration file, or a damaged one ({0}); make it again with `calibrate`")]
    Json(#[from] serde_json::Error),
    /// A version of the format that is not known.
    #[error(
        "version {found} of the format is not known, only {known} is; calibrate again with this version of the tools"
    )]
    Version {
        /// What the file says.
        found: u32,
        /// What can be read.
        known: u32,
    },
    /// A field of the file.
    #[error("{field} is {found:?}, but should be {expected}; the file is damaged, calibrate again")]
    Field {
        /// Its name.
        field: &'static str,
        /// What it says.
        found: String,
        /// What it should say.
        expected: &'static str,
    },
    /// Nothing was seen.
    #[error("there are no {what}, but statistics need some")]
    Empty {
        /// What is missing: images, tensors or parts.
        what: &'static str,
    },
    /// An image that would count twice.
    #[error(
        "the images {other} and {name} have the same content (sha256 {sha256}), which would count twice; leave one out"
    )]
    SameImage {
        /// File name of one.
        name: String,
        /// That of the other; the same where one image is in two parts.
        other: String,
        /// Hash of their content.
        sha256: String,
    },
    /// A tensor that is there twice.
    #[error("the tensor {name} is there more than once; the file is damaged, calibrate again")]
    SameTensor {
        /// Its name.
        name: String,
    },
    /// More tensors than networks have.
    #[error("there are {count} tensors, but a file holds at most {most}; is it damaged?")]
    TooManyTensors {
        /// How many.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// Statistics that can't be those of any values.
    #[error("{tensor}: {fault}; the file is damaged, calibrate again")]
    Statistics {
        /// The tensor.
        tensor: String,
        /// What does not hold.
        fault: StatisticsFault,
    },
    /// Values that the images can't have given.
    #[error(
        "{tensor}: {count} values can't come from {images} images of one size; images or values are missing, calibrate again"
    )]
    Count {
        /// The tensor.
        tensor: String,
        /// Its values.
        count: u64,
        /// Images.
        images: usize,
    },
    /// Largest magnitudes of an image that are not one per tensor.
    #[error(
        "the image {image} has {found} maxima, but there are {tensors} tensors; the file is damaged, calibrate again"
    )]
    MaximaCount {
        /// The image.
        image: String,
        /// How many it has.
        found: usize,
        /// How many it should have.
        tensors: usize,
    },
    /// Largest magnitudes that are negative, or not those of the bounds.
    #[error(
        "{tensor}: the images' maxima reach {found}, the bounds {expected}, or one is negative; the file is damaged, calibrate again"
    )]
    Maxima {
        /// The tensor.
        tensor: String,
        /// The largest of all images.
        found: f32,
        /// The largest magnitude that the statistics tell.
        expected: f32,
    },
    /// Parts that have other tensors.
    #[error("the tensor {tensor} is in one part and not in another; collect all parts in the same way")]
    Tensors {
        /// The first such tensor.
        tensor: String,
    },
    /// Parts that do not belong together.
    #[error("parts of different {what}: {one} and {other}; collect all parts in the same way")]
    Parts {
        /// What differs.
        what: &'static str,
        /// That of one part.
        one: String,
        /// That of another.
        other: String,
    },
    /// A file that was made for something else.
    #[error("made for {what} {found}, this one is {expected}; calibrate again")]
    Mismatch {
        /// What differs.
        what: &'static str,
        /// That of the file.
        found: String,
        /// What it is used for.
        expected: String,
    },
    /// Statistics that a placement needs are not there.
    #[error("has no statistics of the tensor {tensor}, which the model needs; calibrate again")]
    LacksTensor {
        /// The first such tensor.
        tensor: String,
    },
    /// Statistics of a tensor that needs none.
    #[error("has statistics of the tensor {tensor}, for which this model has no use; calibrate again")]
    UnknownTensor {
        /// The first such tensor.
        tensor: String,
    },
}
