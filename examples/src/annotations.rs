//! Annotations and results files of any detector, with what a user should know about them.

use crate::error::{Error, Result};
use crate::output::note;
use coco_eval::{Detections, GroundTruth, InputPolicy};
use std::collections::BTreeMap;
use std::path::Path;

/// Annotations with the names of their categories and images.
pub struct Annotations {
    /// The annotations.
    pub ground_truth: GroundTruth,
    categories: BTreeMap<i64, String>,
    images: BTreeMap<i64, String>,
}

impl Annotations {
    /// Reads annotations, and warns of ids that pycocotools scores strangely.
    ///
    /// # Errors
    /// Names the file and the record at fault.
    pub fn read(path: &Path, policy: InputPolicy) -> Result<Self> {
        let ground_truth = GroundTruth::from_json_file(path, policy).map_err(Error::coco(path))?;
        warn(path, &ground_truth);
        let categories = ground_truth.categories().iter().filter_map(|c| Some((c.id, c.name.clone()?)));
        let images =
            ground_truth.images().iter().filter_map(|image| Some((image.id, image.file_name.clone()?)));
        Ok(Self { categories: categories.collect(), images: images.collect(), ground_truth })
    }

    /// A category's name.
    #[must_use]
    pub fn category_name(&self, id: i64) -> Option<&str> {
        self.categories.get(&id).map(String::as_str)
    }

    /// An image's file name.
    #[must_use]
    pub fn image_name(&self, id: i64) -> Option<&str> {
        self.images.get(&id).map(String::as_str)
    }
}

/// What a category is called: its name, else its id; `None` stands for all categories as one.
#[must_use]
pub fn category_label(annotations: Option<&Annotations>, id: Option<i64>) -> String {
    let Some(id) = id else { return "all as one".to_owned() };
    annotations.and_then(|a| a.category_name(id)).map_or_else(|| id.to_string(), str::to_owned)
}

/// Reads a results file.
///
/// # Errors
/// Names the file and the row at fault.
pub fn read_results(path: &Path, policy: InputPolicy) -> Result<Detections> {
    Detections::from_json_file(path, policy).map_err(Error::coco(path))
}

fn warn(path: &Path, ground_truth: &GroundTruth) {
    let path = path.display();
    if let [first, ..] = ground_truth.duplicate_ids() {
        let count = ground_truth.duplicate_ids().len();
        note(format_args!(
            "warning: {path}: {count} annotation ids occur more than once (first: {first}); as in pycocotools the last of them stands for all"
        ));
    }
    if ground_truth.has_id_zero() {
        note(format_args!(
            "warning: {path}: an annotation has the id 0; as in pycocotools a detection that finds it counts as wrong"
        ));
    }
}
