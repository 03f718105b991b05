//! Annotated images: which to evaluate, and which category a class is.

use crate::error::{Error, Result};
use crate::images::list_images;
use coco_eval::{GroundTruth, InputPolicy};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// An image to evaluate.
pub struct AnnotatedImage {
    /// Its id in the annotations.
    pub id: i64,
    /// Its file.
    pub path: PathBuf,
}

/// Annotations with the images of a folder.
pub struct Dataset {
    /// The annotations.
    pub ground_truth: GroundTruth,
    /// Images that are in the folder and in the annotations, by name.
    pub images: Vec<AnnotatedImage>,
    /// Images of the folder without annotations, left out.
    pub not_annotated: usize,
    /// Annotated images that are not in the folder, left out of the evaluation.
    pub not_in_folder: usize,
}

impl Dataset {
    /// Reads annotations and finds their images in `folder`.
    ///
    /// # Errors
    /// If either can't be read, or an image is not annotated and `skip_bad` is false, or none is.
    pub fn open(folder: &Path, annotations: &Path, skip_bad: bool) -> Result<Self> {
        let ground_truth = GroundTruth::from_json_file(annotations, InputPolicy::default())
            .map_err(Error::coco(annotations))?;
        let ids: BTreeMap<&str, i64> = ground_truth
            .images()
            .iter()
            .filter_map(|image| Some((image.file_name.as_deref()?, image.id)))
            .collect();
        if ids.len() < ground_truth.images().iter().filter(|image| image.file_name.is_some()).count() {
            return Err(same_name(&ground_truth, annotations));
        }
        let files = list_images(folder)?;
        let (mut images, mut missing) = (Vec::new(), Vec::new());
        for path in &files {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            match ids.get(name) {
                Some(&id) => images.push(AnnotatedImage { id, path: path.clone() }),
                None => missing.push(name.to_owned()),
            }
        }
        if let Some(first) = missing.first().filter(|_| !skip_bad || images.is_empty()) {
            return Err(Error::NotAnnotated {
                missing: missing.len(),
                count: files.len(),
                folder: folder.to_owned(),
                annotations: annotations.to_owned(),
                first: first.clone(),
            });
        }
        let used: BTreeSet<i64> = images.iter().map(|image| image.id).collect();
        if !ground_truth.image_ids().iter().any(|id| used.contains(id)) {
            return Err(Error::NoObject { annotations: annotations.to_owned() });
        }
        let not_in_folder = ids.len() - images.len();
        Ok(Self { images, not_annotated: missing.len(), not_in_folder, ground_truth })
    }

    /// Category ids of the model's classes: by name where every class has a category of its name; where none has, in ascending
    /// order of ids, if there are as many categories as classes (COCO's 80 classes and their ids up to 90).
    ///
    /// # Errors
    /// [`Error::Classes`] where neither holds.
    pub fn category_ids(&self, class_names: &[String], annotations: &Path) -> Result<Vec<i64>> {
        let categories = self.ground_truth.categories();
        let by_name: BTreeMap<&str, i64> =
            categories.iter().filter_map(|c| Some((c.name.as_deref()?, c.id))).collect();
        let named: Option<Vec<i64>> =
            class_names.iter().map(|name| by_name.get(name.as_str()).copied()).collect();
        if let Some(ids) = named {
            return Ok(ids);
        }
        let some_named = class_names.iter().any(|name| by_name.contains_key(name.as_str()));
        if some_named || categories.len() != class_names.len() {
            return Err(Error::Classes {
                classes: class_names.len(),
                categories: categories.len(),
                annotations: annotations.to_owned(),
            });
        }
        let mut ids: Vec<i64> = categories.iter().map(|c| c.id).collect();
        ids.sort_unstable();
        Ok(ids)
    }
}

/// The error that names the first image name that occurs twice.
fn same_name(ground_truth: &GroundTruth, annotations: &Path) -> Error {
    let mut seen = BTreeSet::new();
    let mut names = ground_truth.images().iter().filter_map(|image| image.file_name.as_deref());
    let name = names.find(|name| !seen.insert(*name)).unwrap_or_default().to_owned();
    Error::SameName { annotations: annotations.to_owned(), name }
}
