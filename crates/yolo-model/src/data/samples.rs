//! A data set: where its pictures are, and what is on them.

use std::path::{Path, PathBuf};

use super::{DataError, Label, Labelled, Picture, Result};

/// The pictures of a data set and their labels.
///
/// Labels are read and checked at once, pictures are decoded when they are asked for.
#[derive(Clone, Debug)]
pub struct Samples {
    pub(super) entries: Vec<Entry>,
    pub(super) unit: Unit,
    pub(super) class_count: usize,
    pub(super) category_ids: Option<Vec<i64>>, // by class
}

/// A picture that has not been decoded.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) labels: Vec<Label>, // in the samples' unit
}

/// What stored boxes are measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Pixels,
    /// Fractions of the picture's width and height.
    Fractions,
}

impl Samples {
    /// Pictures without labels, for training that needs none.
    ///
    /// # Errors
    /// [`DataError::NoImages`] if there are none.
    pub fn unlabelled(images: Vec<PathBuf>) -> Result<Self> {
        let entries: Vec<Entry> = images.into_iter().map(|path| Entry { path, labels: Vec::new() }).collect();
        if entries.is_empty() {
            return Err(DataError::NoImages { path: PathBuf::from("the list of images") });
        }
        Ok(Self { entries, unit: Unit::Pixels, class_count: 0, category_ids: None })
    }

    /// Number of pictures, at least one.
    #[allow(clippy::len_without_is_empty, reason = "there is no empty data set")]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Number of classes.
    pub fn class_count(&self) -> usize {
        self.class_count
    }

    /// Category id of each class, for a data set in COCO's form.
    pub fn category_ids(&self) -> Option<&[i64]> {
        self.category_ids.as_deref()
    }

    /// Number of labels of all pictures.
    pub fn label_count(&self) -> usize {
        self.entries.iter().map(|entry| entry.labels.len()).sum()
    }

    /// Class of each label of a picture, none for a picture that does not exist.
    pub fn classes(&self, index: usize) -> impl Iterator<Item = usize> {
        self.entries.get(index).into_iter().flat_map(|entry| &entry.labels).map(|label| label.class)
    }

    /// File of a picture.
    pub fn path(&self, index: usize) -> Option<&Path> {
        self.entries.get(index).map(|entry| entry.path.as_path())
    }

    /// Decodes a picture, see [`Picture::decode`].
    ///
    /// Boxes are clipped to the picture; those without a part in it are left out.
    ///
    /// # Errors
    /// A sample that does not exist, a file that cannot be read or decoded.
    pub fn picture(&self, index: usize) -> Result<Labelled> {
        let count = self.entries.len();
        let entry = self.entries.get(index).ok_or(DataError::UnknownSample { index, count })?;
        let unreadable = |cause| DataError::Image { path: entry.path.clone(), cause };
        let picture = Picture::decode(&entry.path).map_err(unreadable)?;
        let size = picture.size;
        let scale = match self.unit {
            Unit::Pixels => [1.0; 2],
            Unit::Fractions => [size.width as f64, size.height as f64],
        };
        let place = |label: &Label| label.placed(scale, [0.0; 2]).clipped(size);
        let labels = entry.labels.iter().filter_map(place).collect();
        Ok(Labelled { picture, labels })
    }
}
