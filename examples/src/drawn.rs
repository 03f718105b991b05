//! Annotations of drawn pictures as COCO has them.

use crate::images::Picture;
use serde_json::{Value, json};

/// An annotated object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Annotated {
    /// Its class.
    pub class: usize,
    /// x1, y1, x2, y2 in pixels.
    pub bbox: [f64; 4],
    /// Its area; that of the box where there is none.
    pub area: Option<f64>,
}

/// Annotations of pictures `(file name, picture, objects)`, in COCO's form; ids start at 1, numbers have two decimals.
#[must_use]
pub fn coco(pictures: &[(String, Picture, Vec<Annotated>)], class_names: &[&str]) -> Value {
    let image = |(index, (name, picture, _)): (usize, &(String, Picture, Vec<Annotated>))| json!({ "id": index + 1, "file_name": name, "height": picture.size.height, "width": picture.size.width });
    let short = |value: f64| (value * 100.0).round() / 100.0;
    let mut rows = Vec::new();
    for (index, (_, _, objects)) in pictures.iter().enumerate() {
        for object in objects {
            let [x1, y1, x2, y2] = object.bbox.map(short);
            let (width, height) = (x2 - x1, y2 - y1);
            rows.push(json!({
                "id": rows.len() + 1, "image_id": index + 1, "category_id": object.class + 1,
                "bbox": [x1, y1, short(width), short(height)],
                "area": short(object.area.unwrap_or(width * height)), "iscrowd": 0,
            }));
        }
    }
    let category = |(index, name): (usize, &&str)| json!({ "id": index + 1, "name": name });
    json!({
        "images": pictures.iter().enumerate().map(image).collect::<Vec<_>>(),
        "annotations": rows,
        "categories": class_names.iter().enumerate().map(category).collect::<Vec<_>>(),
    })
}
