//! Random data sets that are full of ties and odd cases.

#[path = "random.rs"]
mod random;

use coco_eval::{
    Annotation, AreaRange, Category, Detection, Detections, EvalParams, GroundTruth, IdZero, Image,
    InputPolicy, Pooling, linspace,
};

pub(crate) use random::Random;

pub(crate) struct Set {
    pub(crate) images: Vec<Image>,
    pub(crate) categories: Vec<Category>,
    pub(crate) annotations: Vec<Annotation>,
    pub(crate) detections: Vec<Detection>,
}

fn random_box(random: &mut Random) -> [f64; 4] {
    let fraction = if random.one_in(2) { 0.0 } else { random.below(100) as f64 / 100.0 };
    let corner = [random.below(4) as f64 * 20.0 + fraction, random.below(3) as f64 * 20.0];
    let sides: [f64; 2] = std::array::from_fn(|_| match random.below(20) {
        0 => 0.0,
        1 => -15.0,
        2 => 96.0,
        3 => 200.0,
        n => 10.0 + n as f64 * 2.0 + fraction,
    });
    [corner[0], corner[1], sides[0], sides[1]]
}

pub(crate) fn random_set(random: &mut Random) -> Set {
    let image_ids = [40, -3, 7, 0, 12, 9];
    let category_ids = [5, 1, 0, 30];
    let images: Vec<Image> =
        image_ids[..1 + random.below(6) as usize].iter().map(|&id| Image { id, file_name: None }).collect();
    let categories =
        category_ids[..1 + random.below(4) as usize].iter().map(|&id| Category { id, name: None }).collect();
    let duplicates = random.one_in(3);
    let mut annotations = Vec::new();
    for n in 0..random.below(40) {
        let bbox = random_box(random);
        let area = if random.one_in(3) {
            random.pick(&[0.0, 1024.0, 9216.0, -1.0, 2e10])
        } else {
            bbox[2] * bbox[3]
        };
        annotations.push(Annotation {
            id: if duplicates { random.below(25) as i64 - 5 } else { n as i64 },
            image_id: random.pick(&image_ids),
            category_id: random.pick(&category_ids),
            bbox,
            area,
            crowd: random.one_in(8),
        });
    }
    let mut detections = Vec::new();
    for _ in 0..random.below(120) {
        let near = !annotations.is_empty() && !random.one_in(3);
        let mut bbox = random_box(random);
        let (mut image_id, mut category_id) =
            (random.pick(&images.iter().map(|i| i.id).collect::<Vec<_>>()), 5);
        if near {
            let target = annotations[random.below(annotations.len() as u64) as usize];
            bbox = target.bbox;
            bbox[0] += random.below(4) as f64;
            category_id = target.category_id;
            image_id =
                if images.iter().any(|i| i.id == target.image_id) { target.image_id } else { image_id };
        }
        let score = random.pick(&[0.0, -0.0, 0.1, 0.1, 0.5, 0.9, 1.0, -2.0]);
        detections.push(Detection { image_id, category_id, bbox, score });
    }
    Set { images, categories, annotations, detections }
}

pub(crate) fn random_params(random: &mut Random) -> EvalParams {
    let mut params = EvalParams::default();
    if random.one_in(2) {
        params.max_detections = (0..3 + random.below(2)).map(|_| random.below(12) as usize).collect();
    }
    if random.one_in(3) {
        params.iou_thresholds = random.pick(&[&[0.75, 0.5, 1.0][..], &[0.0, 0.5], &[0.9]]).to_vec();
    }
    if random.one_in(4) {
        params.recall_thresholds = linspace(0.0, 1.0, 11);
    }
    if random.one_in(4) {
        params.area_ranges = vec![AreaRange::new("all", -1e9, 1e10), AreaRange::new("small", 0.0, 1024.0)];
    }
    if random.one_in(3) {
        params.pooling = Pooling::ClassAgnostic;
    }
    if random.one_in(4) {
        params.image_ids = Some(vec![12, 40, 12, 99, -3]);
    }
    if random.one_in(4) {
        params.category_ids = Some(vec![30, 5, 77, 5]);
    }
    if random.one_in(4) {
        params.id_zero = IdZero::Ordinary;
    }
    params
}

impl Set {
    /// The tables, read as pycocotools reads them.
    pub(crate) fn tables(&self) -> (GroundTruth, Detections) {
        let policy = InputPolicy::PYCOCOTOOLS;
        let (images, categories) = (self.images.clone(), self.categories.clone());
        let truth = GroundTruth::new(images, categories, self.annotations.clone(), policy).unwrap();
        let mut detections = Detections::new(policy);
        self.detections.iter().for_each(|detection| detections.push(detection).unwrap());
        (truth, detections)
    }
}
