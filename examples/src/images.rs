//! Finding, decoding and preparing images.

use crate::error::{Error, Result};
use crate::output::write_atomic;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, ImageError};
use std::path::{Path, PathBuf};
pub use yolo_model::data::Picture;
use yolo_model::{ImageSize, LetterboxTransform, letterbox, to_planar_f32};

/// Images of a folder, sorted by name.
///
/// # Errors
/// If the folder can't be read or holds no image.
pub fn list_images(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io(folder))?.path();
        let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        if extension.is_some_and(|e| ["jpg", "jpeg", "png"].contains(&e.as_str())) {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() { Err(Error::NoImage { folder: folder.to_owned() }) } else { Ok(paths) }
}

/// The first images of a folder by name, at most `most` of them, or all.
///
/// # Errors
/// As [`list_images`].
pub fn first_images(folder: &Path, most: Option<u32>) -> Result<Vec<PathBuf>> {
    let mut images = list_images(folder)?;
    images.truncate(most.map_or(usize::MAX, |most| most as usize));
    Ok(images)
}

/// Decodes an image and turns it as its EXIF orientation says, as OpenCV does.
///
/// # Errors
/// Names the file.
pub fn decode(path: &Path) -> Result<Picture> {
    Picture::decode(path).map_err(|error| match error {
        ImageError::IoError(source) => Error::io(path)(source),
        source => Error::Image { path: path.to_owned(), source },
    })
}

/// Writes a picture as PNG.
///
/// # Errors
/// Names the file.
pub fn write_png(path: &Path, picture: &Picture, compression: CompressionType) -> Result<()> {
    let (width, height) = (picture.size.width as u32, picture.size.height as u32);
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, compression, FilterType::Adaptive)
        .write_image(&picture.pixels, width, height, ExtendedColorType::Rgb8)
        .map_err(|error| Error::io(path)(std::io::Error::other(error)))?;
    write_atomic(path, &bytes)
}

/// The network's input for a picture: letterboxed, planar RGB in `[0, 1]`; and how it was placed.
///
/// # Errors
/// If a size is zero.
pub fn prepare(picture: &Picture, target: ImageSize) -> Result<(Vec<f32>, LetterboxTransform)> {
    let boxed = letterbox(&picture.pixels, picture.size, target)?;
    let mut input = vec![0.0; boxed.pixels.len()];
    to_planar_f32(&boxed.pixels, target, &mut input)?;
    Ok((input, boxed.transform))
}
