//! TIDE's rules written down as plainly as possible: dense tables of overlaps, and every repair as a new
//! list of detections.

use std::collections::{BTreeMap, BTreeSet};

use coco_eval::{TideError, TideKind, TideParams};

use super::scenes::{Scenes, iou, ranked};

/// A detection in a category's list: score, and whether it is right.
type Entry = (f64, bool);
type Lists = BTreeMap<i64, Vec<Entry>>;

/// An error with what becomes of its list entry.
struct Booked {
    error: TideError,
    /// Where it is listed while it is not repaired.
    as_it_is: Option<(i64, Entry)>,
    /// Where it is listed once it is repaired.
    repaired: Option<(i64, Entry)>,
    category: i64,
}

#[derive(Default)]
pub(crate) struct Naive {
    pub(crate) ap: f64,
    pub(crate) category_ap: BTreeMap<i64, f64>,
    /// Count and importance by kind, then those of false positives and false negatives.
    pub(crate) figures: Vec<(u64, f64)>,
    pub(crate) category_counts: BTreeMap<(i64, TideKind), u64>,
    pub(crate) errors: Vec<TideError>,
}

pub(crate) fn tide(scenes: &Scenes, params: &TideParams) -> Naive {
    let images: BTreeSet<i64> =
        params.image_ids.clone().unwrap_or(scenes.image_ids.clone()).into_iter().collect();
    let categories = params.category_ids.clone().unwrap_or(scenes.category_ids.clone());
    let mut booked = Vec::new();
    let mut right = Vec::new();
    let mut listed = Lists::new();
    let mut positives = BTreeMap::new();
    let mut unmatched = BTreeMap::new();
    for &image in &images {
        let rows = 0..scenes.annotations.len();
        let (crowds, truths): (Vec<usize>, Vec<usize>) = rows
            .filter(|&g| scenes.annotations[g].image_id == image)
            .filter(|&g| categories.contains(&scenes.annotations[g].category_id))
            .partition(|&g| scenes.annotations[g].crowd);
        for &g in &truths {
            *positives.entry(scenes.annotations[g].category_id).or_insert(0_u64) += 1;
        }
        one_image(scenes, params, image, &categories, &truths, &crowds, &mut |event| match event {
            Event::Right(category, entry) => {
                listed.entry(category).or_default().push(entry);
                right.push((category, entry));
            }
            Event::Wrong(error) => {
                if let Some((category, entry)) = error.as_it_is {
                    listed.entry(category).or_default().push(entry);
                }
                booked.push(error);
            }
            Event::Unmatched(category) => *unmatched.entry(category).or_insert(0_u64) += 1,
        });
    }
    let category_ap: BTreeMap<i64, f64> = average_precisions(&listed, &positives);
    let ap = mean(&category_ap);
    let mut figures = Vec::new();
    for kind in TideKind::ALL {
        let count = booked.iter().filter(|b| b.error.kind == kind).count() as u64;
        let mut lists = Lists::new();
        let mut left = positives.clone();
        for b in &booked {
            let entry = if b.error.kind == kind { b.repaired } else { b.as_it_is };
            if let Some((category, entry)) = entry {
                lists.entry(category).or_default().push(entry);
            }
            if b.error.kind == kind && kind == TideKind::Missed {
                *left.get_mut(&b.category).unwrap() -= 1;
            }
        }
        for &(category, entry) in &right {
            lists.entry(category).or_default().push(entry);
        }
        figures.push((count, (mean(&average_precisions(&lists, &left)) - ap).max(0.0)));
    }
    let separated = listed
        .iter()
        .map(|(&category, list)| {
            (category, list.iter().map(|&(_, correct)| (f64::from(u8::from(correct)), correct)).collect())
        })
        .collect();
    let wrong = booked.iter().filter(|b| b.as_it_is.is_some()).count() as u64;
    figures.push((wrong, mean(&average_precisions(&separated, &positives)) - ap));
    let mut errors_first = Lists::new();
    for (category, entry) in booked.iter().filter_map(|b| b.as_it_is).chain(right) {
        errors_first.entry(category).or_default().push(entry);
    }
    let found = positives.iter().map(|(c, n)| (*c, n - unmatched.get(c).copied().unwrap_or(0))).collect();
    let gain = mean(&average_precisions(&errors_first, &found)) - ap;
    figures.push((unmatched.values().sum(), gain));
    let mut category_counts = BTreeMap::new();
    for b in &booked {
        *category_counts.entry((b.category, b.error.kind)).or_default() += 1;
    }
    let errors = booked.iter().map(|b| b.error).collect();
    Naive { ap, category_ap, figures, category_counts, errors }
}

enum Event {
    Right(i64, Entry),
    Wrong(Booked),
    Unmatched(i64),
}

fn one_image(
    scenes: &Scenes,
    params: &TideParams,
    image: i64,
    categories: &[i64],
    truths: &[usize],
    crowds: &[usize],
    tell: &mut dyn FnMut(Event),
) {
    let detections = &scenes.detections;
    let annotations = &scenes.annotations;
    let rows = ranked(detections, image, categories, f64::NEG_INFINITY, params.max_detections);
    let overlap: Vec<Vec<f64>> = rows
        .iter()
        .map(|&d| truths.iter().map(|&g| iou(&detections[d].bbox, &annotations[g].bbox, false)).collect())
        .collect();
    let same = |d: usize, g: usize| detections[rows[d]].category_id == annotations[truths[g]].category_id;
    let largest = |d: usize, allowed: &dyn Fn(usize) -> bool| {
        let mut best = (0.0, 0);
        for g in (0..truths.len()).filter(|&g| allowed(g)) {
            if overlap[d][g] > best.0 {
                best = (overlap[d][g], g);
            }
        }
        best
    };
    let mut taken = vec![false; truths.len()];
    let mut correct = vec![false; rows.len()];
    for (d, correct) in correct.iter_mut().enumerate() {
        let (best, g) = largest(d, &|g| same(d, g) && !taken[g]);
        if best >= params.positive_iou {
            taken[g] = true;
            *correct = true;
        }
    }
    let mut explained = vec![false; truths.len()];
    for d in 0..rows.len() {
        let row = rows[d];
        let (category, score) = (detections[row].category_id, detections[row].score);
        if correct[d] {
            tell(Event::Right(category, (score, true)));
            continue;
        }
        let ignored = crowds.iter().any(|&g| {
            annotations[g].category_id == category
                && iou(&detections[row].bbox, &annotations[g].bbox, true) > params.positive_iou
        });
        let own = largest(d, &|g| same(d, g));
        let other = largest(d, &|g| !same(d, g));
        let taken_one = largest(d, &|g| same(d, g) && taken[g]);
        let any = largest(d, &|_| true);
        let (kind, about) = if own.0 >= params.background_iou && own.0 <= params.positive_iou {
            (TideKind::Localisation, Some(own.1))
        } else if other.0 >= params.positive_iou {
            (TideKind::Classification, Some(other.1))
        } else if taken_one.0 >= params.positive_iou {
            (TideKind::Duplicate, Some(taken_one.1))
        } else if any.0 <= params.background_iou {
            (TideKind::Background, None)
        } else {
            (TideKind::Both, None)
        };
        let mut repaired = None;
        let repairs = matches!(kind, TideKind::Localisation | TideKind::Classification);
        if let Some(g) = about.filter(|&g| repairs && !taken[g] && !explained[g]) {
            explained[g] = true;
            repaired = Some((annotations[truths[g]].category_id, (score, true)));
        }
        let error = TideError { kind, detection: Some(row), ground_truth: about.map(|g| truths[g]) };
        let as_it_is = (!ignored).then_some((category, (score, false)));
        tell(Event::Wrong(Booked { error, as_it_is, repaired, category }));
    }
    for (g, &row) in truths.iter().enumerate() {
        if taken[g] {
            continue;
        }
        let category = annotations[row].category_id;
        tell(Event::Unmatched(category));
        if !explained[g] {
            let error = TideError { kind: TideKind::Missed, detection: None, ground_truth: Some(row) };
            tell(Event::Wrong(Booked { error, as_it_is: None, repaired: None, category }));
        }
    }
}

fn average_precisions(lists: &Lists, positives: &BTreeMap<i64, u64>) -> BTreeMap<i64, f64> {
    let categories: BTreeSet<i64> = lists.keys().chain(positives.keys()).copied().collect();
    let one = |category: i64| {
        let list = lists.get(&category).cloned().unwrap_or_default();
        let total = positives.get(&category).copied().unwrap_or(0);
        (!list.is_empty() || total > 0).then(|| (category, average_precision(list, total)))
    };
    categories.into_iter().filter_map(one).collect()
}

fn average_precision(mut list: Vec<Entry>, positives: u64) -> f64 {
    if positives == 0 {
        return 0.0;
    }
    list.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap());
    let mut curve = Vec::new();
    let mut right = 0;
    for (rank, &(_, correct)) in list.iter().enumerate() {
        right += u64::from(correct);
        curve.push((right as f64 / positives as f64, right as f64 / (rank + 1) as f64));
    }
    let at = |recall: f64| {
        let reached = curve.iter().filter(|&&(r, _)| r >= recall);
        reached.map(|&(_, precision)| precision).fold(0.0, f64::max)
    };
    (0..=100).map(|step| at(f64::from(step) / 100.0)).sum::<f64>() / 101.0
}

fn mean(values: &BTreeMap<i64, f64>) -> f64 {
    if values.is_empty() { 0.0 } else { values.values().sum::<f64>() / values.len() as f64 }
}
