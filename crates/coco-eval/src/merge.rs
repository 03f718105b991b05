//! Outcomes of several sets of images as one.

use crate::error::Error;
use crate::outcomes::{CategoryOutcomes, Outcomes, index_of, ranking_key};
use crate::parallel;
use crate::params::EvalParams;

impl Outcomes {
    /// Joins the outcomes of disjoint sets of images, found under the same parameters for the same
    /// categories.
    ///
    /// The result does not depend on the order of `parts`, and equals the outcomes of all images in one
    /// go.
    ///
    /// # Errors
    ///
    /// No part at all, different parameters or categories, an image in two parts.
    pub fn merge(parts: impl IntoIterator<Item = Self>) -> Result<Self, Error> {
        let parts: Vec<Self> = parts.into_iter().collect();
        let Some(first) = parts.first() else {
            return Err(Error::NothingToMerge);
        };
        parts.iter().try_for_each(|part| first.check_like(part))?;
        let image_ids = union_of_images(&parts)?;
        let position = |id: &i64| image_ids.binary_search(id).map_or(0, |at| at as u32); // always there
        let images: Vec<Vec<u32>> =
            parts.iter().map(|part| part.image_ids.iter().map(position).collect()).collect();
        let categories = parallel::map(first.categories.len(), |k| {
            let of_part = |(part, images)| (&Self::categories(part)[k], images);
            merge_category(&parts.iter().zip(&images).map(of_part).collect::<Vec<_>>(), &first.params)
        });
        let (params, category_ids) = (first.params.clone(), first.category_ids.clone());
        Ok(Self { version: first.version, params, category_ids, image_ids, categories })
    }

    fn categories(&self) -> &[CategoryOutcomes] {
        &self.categories
    }

    /// Refuses outcomes that mean something else than these.
    pub(crate) fn check_like(&self, other: &Self) -> Result<(), Error> {
        if self.params != other.params {
            return Err(Error::OutcomesDiffer { what: "the parameters" });
        }
        if self.category_ids != other.category_ids {
            return Err(Error::OutcomesDiffer { what: "the categories" });
        }
        Ok(())
    }
}

fn union_of_images(parts: &[Outcomes]) -> Result<Vec<i64>, Error> {
    let mut ids: Vec<i64> = parts.iter().flat_map(|part| part.image_ids.iter().copied()).collect();
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::ImageTwice { image_id: pair[0] }),
        None => Ok(ids),
    }
}

/// Joins one category. With each part come the new positions of its images, which ascend as the old ones.
fn merge_category(parts: &[(&CategoryOutcomes, &Vec<u32>)], params: &EvalParams) -> CategoryOutcomes {
    let end = |sum: &mut usize, part: &CategoryOutcomes| {
        *sum += part.scores.len();
        Some(*sum)
    };
    let ends: Vec<usize> = parts.iter().scan(0, |sum, (part, _)| end(sum, part)).collect();
    let mut keys = Vec::with_capacity(ends.last().map_or(0, |&end| end));
    for (part, images) in parts {
        let image = |i: usize| images[part.images[i] as usize];
        // an image's detections are all in one part, in order
        keys.extend((0..part.scores.len()).map(|i| ranking_key(part.scores[i], image(i), i as u32)));
    }
    let part_of = part_numbers(&ends);
    let mut order: Vec<(u128, u32)> = keys.into_iter().zip(part_of).collect();
    order.sort_unstable();
    let mut merged = CategoryOutcomes::default();
    let mut steps = Vec::new();
    for (position, &(key, part)) in (0_u32..).zip(&order) {
        let (found, images) = parts[part as usize];
        let at = index_of(key);
        merged.scores.push(found.scores[at]);
        merged.images.push(images[found.images[at] as usize]);
        merged.ranks.push(found.ranks[at]);
        merged.inside.push(found.inside[at]);
        if let Ok(step) = found.steps.binary_search(&(at as u32)) {
            merged.steps.push(position);
            steps.push((part as usize, step));
        }
    }
    let (areas, thresholds) = (params.area_ranges.len(), params.iou_thresholds.len());
    for (area, t) in (0..areas).flat_map(|area| (0..thresholds).map(move |t| (area, t))) {
        let outcome = |&(part, step): &(usize, usize)| parts[part].0.of_steps(area, t, thresholds)[step];
        merged.outcomes.extend(steps.iter().map(outcome));
    }
    merge_truths(parts, areas, &mut merged);
    merged
}

/// The number of the part that each of the concatenated detections comes from.
fn part_numbers(ends: &[usize]) -> impl Iterator<Item = u32> {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    (0_u32..).zip(starts.zip(ends)).flat_map(|(part, (start, &end))| std::iter::repeat_n(part, end - start))
}

fn merge_truths(parts: &[(&CategoryOutcomes, &Vec<u32>)], areas: usize, merged: &mut CategoryOutcomes) {
    let mut truths: Vec<(u32, &[u32])> = Vec::new();
    for (found, images) in parts {
        let image = |&position: &u32| images[position as usize];
        truths.extend(found.truth_images.iter().map(image).zip(found.truth_counts.chunks_exact(areas)));
    }
    truths.sort_unstable();
    for (image, counts) in truths {
        merged.truth_images.push(image);
        merged.truth_counts.extend_from_slice(counts);
    }
}
