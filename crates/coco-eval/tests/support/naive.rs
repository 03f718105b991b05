//! The evaluation rules written down as plainly as possible: the slow twin of the crate.
//!
//! Rows are kept as rows, every step is done from scratch at every threshold, area range and cap, and
//! nothing of the crate is used but the types of its input and the thresholds in its parameters.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use coco_eval::{Annotation, Category, Detection, EvalParams, IdZero, Image, Pooling};

#[derive(Clone, Copy)]
struct Found {
    bbox: [f64; 4],
    score: f64,
}

/// Precision and scores `[T, R, K, A, M]`, recall `[T, K, A, M]`.
pub(crate) struct Arrays {
    pub(crate) precision: Vec<f64>,
    pub(crate) scores: Vec<f64>,
    pub(crate) recall: Vec<f64>,
}

/// One detection after matching: its score, and whether it is matched and ignored.
#[derive(Clone, Copy)]
struct Judged {
    score: f64,
    matched: bool,
    ignored: bool,
}

type Cells<T> = BTreeMap<(i64, i64), Vec<T>>;

pub(crate) fn evaluate(
    images: &[Image],
    categories: &[Category],
    annotations: &[Annotation],
    detections: &[Detection],
    params: &EvalParams,
) -> Arrays {
    let all_images = || images.iter().map(|image| image.id).collect::<Vec<_>>();
    let image_ids: BTreeSet<i64> = params.image_ids.clone().unwrap_or_else(all_images).into_iter().collect();
    let mut category_ids = params
        .category_ids
        .clone()
        .unwrap_or_else(|| categories.iter().map(|category| category.id).collect());
    if params.pooling == Pooling::PerCategory || params.category_ids.is_none() {
        category_ids.sort_unstable();
    }
    let mut seen = BTreeSet::new();
    category_ids.retain(|&id| seen.insert(id));
    let pooled = params.pooling == Pooling::ClassAgnostic;

    let by_id: BTreeMap<i64, Annotation> = annotations.iter().map(|a| (a.id, *a)).collect();
    let mut truths: Cells<Annotation> = BTreeMap::new();
    let mut found: Cells<Found> = BTreeMap::new();
    for &image in &image_ids {
        for own in annotations.iter().filter(|a| a.image_id == image) {
            if pooled || category_ids.contains(&own.category_id) {
                let stand_in = by_id[&own.id];
                truths.entry((stand_in.image_id, stand_in.category_id)).or_default().push(stand_in);
            }
        }
        for d in detections.iter().filter(|d| d.image_id == image) {
            found.entry((image, d.category_id)).or_default().push(Found { bbox: d.bbox, score: d.score });
        }
    }

    let groups: Vec<Vec<i64>> =
        if pooled { vec![category_ids] } else { category_ids.into_iter().map(|id| vec![id]).collect() };
    let mut caps = params.max_detections.clone();
    caps.sort_unstable();
    let (mut precision, mut scores, mut recall) = (Vec::new(), Vec::new(), Vec::new());
    // [T, K, A, M] with curves first, reordered below
    let mut curves = Vec::new();
    for &threshold in &params.iou_thresholds {
        for group in &groups {
            for range in &params.area_ranges {
                let mut ranked = Vec::new();
                let mut positives = 0;
                for &image in &image_ids {
                    let gts = pick(&truths, image, group);
                    let dts = pick(&found, image, group);
                    let (judged, count) =
                        judge(&gts, &dts, threshold, (range.low, range.high), caps[caps.len() - 1], params);
                    ranked.push(judged);
                    positives += count;
                }
                for &cap in &caps {
                    curves.push(curve(&ranked, cap, positives, &params.recall_thresholds));
                }
            }
        }
    }
    let per_threshold = groups.len() * params.area_ranges.len() * caps.len();
    for t in 0..params.iou_thresholds.len() {
        let here = &curves[t * per_threshold..(t + 1) * per_threshold];
        recall.extend(here.iter().map(|curve| curve.2));
        for r in 0..params.recall_thresholds.len() {
            precision.extend(here.iter().map(|curve| curve.0[r]));
            scores.extend(here.iter().map(|curve| curve.1[r]));
        }
    }
    Arrays { precision, scores, recall }
}

fn pick<T: Copy>(cells: &Cells<T>, image: i64, group: &[i64]) -> Vec<T> {
    group.iter().flat_map(|&category| cells.get(&(image, category)).into_iter().flatten()).copied().collect()
}

fn iou(d: &[f64; 4], g: &[f64; 4], crowd: bool) -> f64 {
    let w = (d[0] + d[2]).min(g[0] + g[2]) - d[0].max(g[0]);
    let h = (d[1] + d[3]).min(g[1] + g[3]) - d[1].max(g[1]);
    if w <= 0.0 || h <= 0.0 {
        return 0.0;
    }
    let i = w * h;
    let u = if crowd { d[2] * d[3] } else { d[2] * d[3] + g[2] * g[3] - i };
    i / u
}

/// The larger score first; the sets hold no NaN.
fn falling(a: f64, b: f64) -> Ordering {
    if a > b {
        Ordering::Less
    } else if a < b {
        Ordering::Greater
    } else {
        Ordering::Equal
    }
}

fn judge(
    truths: &[Annotation],
    found: &[Found],
    threshold: f64,
    (low, high): (f64, f64),
    cap: usize,
    params: &EvalParams,
) -> (Vec<Judged>, u64) {
    let mut found = found.to_vec();
    found.sort_by(|a, b| falling(a.score, b.score));
    found.truncate(cap);
    let ignored = |g: &Annotation| g.crowd || g.area < low || g.area > high;
    let mut truths = truths.to_vec();
    truths.sort_by_key(|g| ignored(g));
    let mut taken = vec![false; truths.len()];
    let mut judged = Vec::new();
    for d in &found {
        let mut best = threshold.min(1.0 - 1e-10);
        let mut choice: Option<usize> = None;
        for (i, g) in truths.iter().enumerate() {
            if taken[i] && !g.crowd {
                continue;
            }
            if choice.is_some_and(|c| !ignored(&truths[c])) && ignored(g) {
                break;
            }
            let overlap = iou(&d.bbox, &g.bbox, g.crowd);
            if overlap < best {
                continue;
            }
            best = overlap;
            choice = Some(i);
        }
        let mut matched = false;
        let mut skip = false;
        if let Some(i) = choice {
            taken[i] = true;
            matched = truths[i].id != 0 || params.id_zero == IdZero::Ordinary;
            skip = ignored(&truths[i]);
        }
        let area = d.bbox[2] * d.bbox[3];
        skip |= !matched && (area < low || area > high);
        judged.push(Judged { score: d.score, matched, ignored: skip });
    }
    (judged, truths.iter().filter(|g| !ignored(g)).count() as u64)
}

fn curve(images: &[Vec<Judged>], cap: usize, positives: u64, recalls: &[f64]) -> (Vec<f64>, Vec<f64>, f64) {
    if positives == 0 {
        return (vec![-1.0; recalls.len()], vec![-1.0; recalls.len()], -1.0);
    }
    let mut ranked: Vec<Judged> = images.iter().flat_map(|image| image.iter().take(cap)).copied().collect();
    ranked.sort_by(|a, b| falling(a.score, b.score));
    let (mut tp, mut fp) = (0.0_f64, 0.0_f64);
    let (mut rc, mut pr) = (Vec::new(), Vec::new());
    for d in &ranked {
        if !d.ignored {
            if d.matched { tp += 1.0 } else { fp += 1.0 }
        }
        rc.push(tp / positives as f64);
        pr.push(tp / ((fp + tp) + f64::EPSILON));
    }
    for i in (1..pr.len()).rev() {
        if pr[i] > pr[i - 1] {
            pr[i - 1] = pr[i];
        }
    }
    let mut precision = vec![0.0; recalls.len()];
    let mut scores = vec![0.0; recalls.len()];
    for (r, threshold) in recalls.iter().enumerate() {
        if let Some(i) = rc.iter().position(|value| value >= threshold) {
            precision[r] = pr[i];
            scores[r] = ranked[i].score;
        }
    }
    (precision, scores, rc.last().copied().unwrap_or(0.0))
}
