//! Random sets with several categories an image, full of equal scores, equal overlaps and crowd regions.

#[path = "random.rs"]
mod random;

use coco_eval::{Annotation, Category, Detection, Detections, GroundTruth, Image, InputPolicy};

pub(crate) use random::Random;

#[derive(Clone)]
pub(crate) struct Scenes {
    pub(crate) image_ids: Vec<i64>,
    pub(crate) category_ids: Vec<i64>,
    pub(crate) annotations: Vec<Annotation>,
    pub(crate) detections: Vec<Detection>,
}

impl Scenes {
    pub(crate) fn ground_truth(&self) -> GroundTruth {
        let images = self.image_ids.iter().map(|&id| Image { id, file_name: None }).collect();
        let categories = self.category_ids.iter().map(|&id| Category { id, name: None }).collect();
        let annotations = self.annotations.iter().copied();
        GroundTruth::new(images, categories, annotations, InputPolicy::PYCOCOTOOLS).unwrap()
    }

    pub(crate) fn detections(&self) -> Detections {
        let mut detections = Detections::new(InputPolicy::PYCOCOTOOLS);
        self.detections.iter().for_each(|detection| detections.push(detection).unwrap());
        detections
    }
}

const IMAGES: [i64; 5] = [40, -3, 7, 0, 12];
const CATEGORIES: [i64; 4] = [5, 1, 0, 30];
/// In no list of the ground truth.
const UNLISTED_CATEGORY: i64 = 99;

fn random_box(random: &mut Random) -> [f64; 4] {
    let side = |random: &mut Random| random.pick(&[0.0, 10.0, 20.0, 20.0, 30.0, 40.0, 50.5]);
    let x = random.below(5) as f64 * 10.0;
    [x, random.below(3) as f64 * 10.0, side(random), side(random)]
}

pub(crate) fn random_scenes(random: &mut Random) -> Scenes {
    let image_ids = IMAGES[..1 + random.below(5) as usize].to_vec();
    let category_ids = CATEGORIES[..1 + random.below(4) as usize].to_vec();
    let any_category = [&category_ids[..], &category_ids, &[UNLISTED_CATEGORY]].concat();
    let annotations: Vec<Annotation> = (0..random.below(30) as i64)
        .map(|n| {
            let bbox = random_box(random);
            let image_id = random.pick(&IMAGES);
            let category_id = random.pick(&any_category);
            let crowd = random.one_in(8);
            // ids repeat and play no part
            Annotation { id: n / 2, image_id, category_id, bbox, area: bbox[2] * bbox[3], crowd }
        })
        .collect();
    let detections = (0..random.below(90))
        .map(|_| random_detection(random, &image_ids, &any_category, &annotations))
        .collect();
    Scenes { image_ids, category_ids, annotations, detections }
}

fn random_detection(
    random: &mut Random,
    image_ids: &[i64],
    categories: &[i64],
    annotations: &[Annotation],
) -> Detection {
    let score = if random.one_in(2) {
        random.pick(&[0.0, -0.0, 0.25, 0.5, 0.9])
    } else {
        random.below(1000) as f64 / 1000.0
    };
    let (mut image_id, mut category_id) = (random.pick(image_ids), random.pick(categories));
    let mut bbox = random_box(random);
    if !annotations.is_empty() && !random.one_in(4) {
        let target = random.pick(annotations);
        bbox = target.bbox;
        bbox[0] += random.pick(&[0.0, 0.0, 2.0, 5.0, 10.0]);
        category_id = if random.one_in(3) { category_id } else { target.category_id };
        image_id = if image_ids.contains(&target.image_id) { target.image_id } else { image_id };
    }
    Detection { image_id, category_id, bbox, score }
}

/// Intersection over union, or for a crowd region over the detection.
pub(crate) fn iou(d: &[f64; 4], g: &[f64; 4], crowd: bool) -> f64 {
    let w = (d[0] + d[2]).min(g[0] + g[2]) - d[0].max(g[0]);
    let h = (d[1] + d[3]).min(g[1] + g[3]) - d[1].max(g[1]);
    if w <= 0.0 || h <= 0.0 {
        return 0.0;
    }
    let i = w * h;
    let u = if crowd { d[2] * d[3] } else { d[2] * d[3] + g[2] * g[3] - i };
    i / u
}

/// Rows of the detections of one image, best score first, that are left by the cap.
pub(crate) fn ranked(
    detections: &[Detection],
    image: i64,
    categories: &[i64],
    at_least: f64,
    cap: usize,
) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..detections.len())
        .filter(|&row| {
            let d = &detections[row];
            d.image_id == image && categories.contains(&d.category_id) && d.score >= at_least
        })
        .collect();
    rows.sort_by(|&a, &b| detections[b].score.partial_cmp(&detections[a].score).unwrap());
    rows.truncate(cap);
    rows
}
