//! The confusion matrix written down as plainly as possible.

use std::collections::{BTreeMap, BTreeSet};

use coco_eval::{Annotation, ConfusionParams};

use super::scenes::{Scenes, iou, ranked};

/// Counts by true and predicted category, `None` for the background; zeros are left out.
pub(crate) type Counts = BTreeMap<(Option<i64>, Option<i64>), u64>;

pub(crate) fn confusion(scenes: &Scenes, params: &ConfusionParams) -> Counts {
    let images: BTreeSet<i64> =
        params.image_ids.clone().unwrap_or(scenes.image_ids.clone()).into_iter().collect();
    let categories = params.category_ids.clone().unwrap_or(scenes.category_ids.clone());
    let mut counts = Counts::new();
    for &image in &images {
        let here = scenes.annotations.iter().filter(|g| g.image_id == image);
        let here = here.filter(|g| categories.contains(&g.category_id));
        let (crowds, mut free): (Vec<&Annotation>, Vec<&Annotation>) = here.partition(|g| g.crowd);
        for row in ranked(&scenes.detections, image, &categories, params.score, params.max_detections) {
            let d = &scenes.detections[row];
            let mut candidates: Vec<(f64, bool, usize)> = free
                .iter()
                .enumerate()
                .map(|(at, g)| (iou(&d.bbox, &g.bbox, false), g.category_id == d.category_id, at))
                .filter(|&(overlap, ..)| overlap >= params.iou)
                .collect();
            // a stable sort: of the rest, the first in file order stays first
            candidates.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap().then(b.1.cmp(&a.1)));
            let in_crowd = crowds
                .iter()
                .any(|g| g.category_id == d.category_id && iou(&d.bbox, &g.bbox, true) >= params.iou);
            let truth = match candidates.first() {
                Some(&(.., at)) => Some(free.remove(at).category_id),
                None if in_crowd => continue,
                None => None,
            };
            *counts.entry((truth, Some(d.category_id))).or_default() += 1;
        }
        for g in free {
            *counts.entry((Some(g.category_id), None)).or_default() += 1;
        }
    }
    counts
}
