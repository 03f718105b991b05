//! What single images do to a difference.

use serde::Serialize;

use crate::error::Error;
use crate::outcomes::Outcomes;
use crate::parallel;
use crate::weighted::Weighted;
use crate::without_each::WithoutEach;

/// What one image adds to the difference in average precision between two detectors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ImageInfluence {
    /// The image.
    pub image_id: i64,
    /// The difference in AP, candidate minus baseline, minus what it would be without the image. Negative
    /// where the image makes the candidate look worse.
    pub influence: f64,
}

/// AP of all images, and of all but one.
struct LeftOut {
    whole: f64,
    without: Vec<f64>,
}

/// The influence of every image on the difference in AP between two detectors, the most negative first.
///
/// Each image is left out once and the average precision (first of the twelve figures) taken of the rest,
/// by the same weighted evaluation as in [`Outcomes::bootstrap`]; ground truths of the image do not count
/// then, nor do detections.
///
/// # Errors
///
/// Outcomes under different parameters, for other categories or on other images, or with fewer than
/// three caps.
pub(crate) fn influences(baseline: &Outcomes, candidate: &Outcomes) -> Result<Vec<ImageInfluence>, Error> {
    let (before, after) = (left_out(baseline)?, left_out(candidate)?);
    let whole = after.whole - before.whole;
    let without = after.without.iter().zip(&before.without).map(|(after, before)| after - before);
    let influence = |(&image_id, without)| ImageInfluence { image_id, influence: whole - without };
    let mut influences: Vec<ImageInfluence> = baseline.image_ids.iter().zip(without).map(influence).collect();
    influences.sort_by(|a, b| a.influence.total_cmp(&b.influence));
    Ok(influences)
}

fn left_out(outcomes: &Outcomes) -> Result<LeftOut, Error> {
    let weighted = Weighted::new(outcomes)?;
    let categories = parallel::map(weighted.categories(), |k| weighted.without_each(k));
    let (mut sum, mut defined) = (0.0, 0_i64);
    let mut change = vec![(0.0, 0_i64); weighted.images()];
    for WithoutEach { whole, without } in categories.into_iter().flatten() {
        sum += whole;
        defined += 1;
        for (image, without) in without {
            let change = &mut change[image as usize];
            match without {
                Some(without) => change.0 += without - whole,
                None => *change = (change.0 - whole, change.1 - 1),
            }
        }
    }
    let mean = |sum: f64, defined: i64| if defined > 0 { sum / defined as f64 } else { 0.0 };
    let without = change.iter().map(|(by, fewer)| mean(sum + by, defined + fewer)).collect();
    Ok(LeftOut { whole: mean(sum, defined), without })
}
