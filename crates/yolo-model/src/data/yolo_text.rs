//! Data sets in YOLO's form: a folder `images` beside a folder `labels`, which holds a text file per image.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::samples::{Entry, Unit};
use super::{DataError, Label, LineFault, Result, Samples};

/// Endings of image files, in lower case.
const IMAGE_ENDINGS: [&str; 3] = ["jpg", "jpeg", "png"];

/// Most bytes of a label file: room for 100,000 objects.
const MAX_LABEL_BYTES: u64 = 8 << 20;

impl Samples {
    /// Reads the labels of every JPEG and PNG file below a folder, in the order of their paths.
    ///
    /// For the rest see [`from_yolo_files`](Self::from_yolo_files).
    ///
    /// # Errors
    /// A folder that cannot be read or holds no image, and all of `from_yolo_files`.
    pub fn from_yolo(images: impl AsRef<Path>, class_count: usize) -> Result<Self> {
        let folder = images.as_ref();
        let mut paths = Vec::new();
        find_images(folder, &mut paths)?;
        if paths.is_empty() {
            return Err(DataError::NoImages { path: folder.to_owned() });
        }
        paths.sort_unstable();
        Self::from_yolo_files(paths, class_count)
    }

    /// Reads the labels of the images given.
    ///
    /// The labels of `a/images/b/c.jpg` are `a/labels/b/c.txt`, with a line `class cx cy width height` per object: a class
    /// below `class_count`, centre and size as fractions of the picture's width and height. Empty lines and repetitions
    /// of a line are passed over. An image without such a file is background.
    ///
    /// # Errors
    /// No image at all, an image in no folder `images`, a label file that cannot be read, and a line that is not as above, with
    /// its file and number.
    pub fn from_yolo_files(images: Vec<PathBuf>, class_count: usize) -> Result<Self> {
        if images.is_empty() {
            return Err(DataError::NoImages { path: PathBuf::from("the list of images") });
        }
        let entry =
            |path: PathBuf| Ok(Entry { labels: read_labels(&label_path(&path)?, class_count)?, path });
        let entries = images.into_iter().map(entry).collect::<Result<_>>()?;
        Ok(Self { entries, unit: Unit::Fractions, class_count, category_ids: None })
    }
}

/// Collects the images of a folder and those below it; links to folders are not followed.
fn find_images(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |cause| DataError::File { path: folder.to_owned(), cause };
    for item in fs::read_dir(folder).map_err(failed)? {
        let item = item.map_err(failed)?;
        if item.file_type().map_err(failed)?.is_dir() {
            find_images(&item.path(), paths)?;
        } else if is_image(&item.path()) {
            paths.push(item.path());
        }
    }
    Ok(())
}

fn is_image(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    ending.is_some_and(|ending| IMAGE_ENDINGS.contains(&ending.as_str()))
}

/// The image's path with its last `images` replaced by `labels`, ending in `.txt`.
fn label_path(image: &Path) -> Result<PathBuf> {
    let parts: Vec<&OsStr> = image.iter().collect();
    let found = parts.iter().rposition(|&part| part == "images");
    let position = found.ok_or_else(|| DataError::NoImagesFolder { path: image.to_owned() })?;
    let renamed = |(index, part)| if index == position { OsStr::new("labels") } else { part };
    Ok(parts.into_iter().enumerate().map(renamed).collect::<PathBuf>().with_extension("txt"))
}

fn read_labels(path: &Path, class_count: usize) -> Result<Vec<Label>> {
    let bytes = match read_bounded(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.map_err(|cause| DataError::File { path: path.to_owned(), cause })?,
    };
    if bytes.len() as u64 > MAX_LABEL_BYTES {
        return Err(DataError::LabelsTooLong { path: path.to_owned(), limit: MAX_LABEL_BYTES });
    }
    let mut seen = HashSet::new();
    let mut labels = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let fault = |fault| DataError::Line { path: path.to_owned(), line: index + 1, fault };
        let Some(label) = parse_line(line, class_count).map_err(fault)? else { continue };
        if seen.insert((label.class, label.bbox.map(f32::to_bits))) {
            labels.push(label);
        }
    }
    Ok(labels)
}

/// The file's bytes, but at most one more than allowed.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_LABEL_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The label of a line, in fractions; none for an empty line.
fn parse_line(line: &[u8], classes: usize) -> Result<Option<Label>, LineFault> {
    let text = std::str::from_utf8(line).map_err(|_| LineFault::NotText)?;
    let values: Vec<&str> = text.split_ascii_whitespace().collect();
    let (class, coordinates) = match values[..] {
        [] => return Ok(None),
        [class, cx, cy, width, height] => (class, [cx, cy, width, height]),
        _ => return Err(LineFault::ValueCount { found: values.len() }),
    };
    let known = class.parse().ok().filter(|&class: &usize| class < classes);
    let class = known.ok_or_else(|| LineFault::Class { text: class.to_owned(), classes })?;
    let mut box_values = [0.0; 4];
    for (value, text) in box_values.iter_mut().zip(coordinates) {
        *value = parse_fraction(text)?;
    }
    let [cx, cy, width, height] = box_values;
    if width <= 0.0 || height <= 0.0 {
        return Err(LineFault::EmptyBox { width, height });
    }
    let [half_width, half_height] = [width / 2.0, height / 2.0];
    Ok(Some(Label { class, bbox: [cx - half_width, cy - half_height, cx + half_width, cy + half_height] }))
}

fn parse_fraction(text: &str) -> Result<f32, LineFault> {
    let value = text.parse().ok().filter(|value| (0.0..=1.0).contains(value));
    value.ok_or_else(|| LineFault::Coordinate { text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_folder_of_images_is_replaced() {
        let cases = [
            ("/images/set/images/a/b.c.jpg", Some("/images/set/labels/a/b.c.txt")),
            ("images/a.png", Some("labels/a.txt")),
            ("my_images/a.png", None),
            ("images.jpg", None),
        ];
        for (image, expected) in cases {
            assert_eq!(label_path(Path::new(image)).ok(), expected.map(PathBuf::from), "{image}");
        }
    }

    #[test]
    fn lines_are_boxes_or_faults() {
        let line = |text: &str| parse_line(text.as_bytes(), 3).map_err(|fault| fault.to_string());
        let bbox = [0.25, 0.375, 0.75, 0.625];
        assert_eq!(line(" 2\t0.5 0.5  0.5 .25\r"), Ok(Some(Label { class: 2, bbox })));
        assert_eq!(line("  \r"), Ok(None));
        let hostile = [
            ("3 .5 .5 .1 .1", "class `3` is not a whole number below 3"),
            ("-1 .5 .5 .1 .1", "class `-1` is not a whole number below 3"),
            ("1.5 .5 .5 .1 .1", "class `1.5` is not a whole number below 3"),
            ("99999999999999999999999 .5 .5 .1 .1", "class `99999999999999999999999` is not"),
            ("1 .5 .5 .1", "4 values in place of five"),
            ("1 .5 .5 .1 .1 .9", "6 values in place of five"),
            ("1 nan .5 .1 .1", "`nan` is not a number in [0, 1]"),
            ("1 .5 inf .1 .1", "`inf` is not a number in [0, 1]"),
            ("1 .5 .5 1.01 .1", "`1.01` is not a number in [0, 1]"),
            ("1 -.01 .5 .1 .1", "`-.01` is not a number in [0, 1]"),
            ("1 .5 .5 0x1 .1", "`0x1` is not a number in [0, 1]"),
            ("1 .5 .5 0 .1", "a box of 0 x 0.1; both must be positive"),
            ("1 .5 .5 .1 1e-60", "a box of 0.1 x 0; both must be positive"),
            ("\u{feff}1 .5 .5 .1 .1", "class `\u{feff}1` is not"),
        ];
        for (text, message) in hostile {
            let found = line(text).unwrap_err();
            assert!(found.starts_with(message), "{text}: {found}");
        }
        assert_eq!(parse_line(b"1 .5 .5 .1 \xff", 3), Err(LineFault::NotText));
    }
}
