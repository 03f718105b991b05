//! Data sets in COCO's form: a json file of annotations, and a folder of images.

use std::collections::HashMap;
use std::path::Path;

use coco_eval::{GroundTruth, Image, InputPolicy};

use super::samples::{Entry, Unit};
use super::{DataError, Label, Result, Samples};

impl Samples {
    /// Reads COCO's annotations; `images` is the folder that its file names lie in.
    ///
    /// Class `n` is the category with the n-th lowest id; for a file with COCO's 80 categories, that is
    /// [`coco_category_id`](crate::coco_category_id)'s table. Images without annotations are background.
    ///
    /// Two kinds of annotations are left out: crowds, which are regions rather than objects, and boxes of width or height 0,
    /// of which COCO's own train2017 has some.
    ///
    /// # Errors
    /// What `coco-eval` refuses under `InputPolicy::STRICT` (with the place in the file), an image without a file name, and a
    /// file without images.
    pub fn from_coco(annotations: impl AsRef<Path>, images: impl AsRef<Path>) -> Result<Self> {
        let (path, folder) = (annotations.as_ref(), images.as_ref());
        let truth = GroundTruth::from_json_file(path, InputPolicy::STRICT)
            .map_err(|cause| DataError::Annotations { path: path.to_owned(), cause })?;
        let mut entries: Vec<Entry> =
            truth.images().iter().map(|image| entry(image, path, folder)).collect::<Result<_>>()?;
        if entries.is_empty() {
            return Err(DataError::NoImages { path: path.to_owned() });
        }
        let category_ids: Vec<i64> = truth.categories().iter().map(|category| category.id).collect();
        add_labels(&truth, &category_ids, &mut entries);
        let class_count = category_ids.len();
        Ok(Self { entries, unit: Unit::Pixels, class_count, category_ids: Some(category_ids) })
    }
}

fn entry(image: &Image, annotations: &Path, folder: &Path) -> Result<Entry> {
    let name = image.file_name.as_deref();
    let missing = || DataError::NoFileName { path: annotations.to_owned(), image_id: image.id };
    Ok(Entry { path: folder.join(name.ok_or_else(missing)?), labels: Vec::new() })
}

/// Adds every object to its image; ids that are not listed have been refused before.
fn add_labels(truth: &GroundTruth, category_ids: &[i64], entries: &mut [Entry]) {
    let rows: HashMap<i64, usize> =
        truth.images().iter().enumerate().map(|(row, image)| (image.id, row)).collect();
    for annotation in (0..truth.len()).filter_map(|row| truth.get(row)) {
        let [x, y, width, height] = annotation.bbox;
        if annotation.crowd || width <= 0.0 || height <= 0.0 {
            continue;
        }
        let Ok(class) = category_ids.binary_search(&annotation.category_id) else { continue };
        if let Some(&row) = rows.get(&annotation.image_id) {
            let bbox = [x, y, x + width, y + height].map(|value| value as f32);
            entries[row].labels.push(Label { class, bbox });
        }
    }
}
