//! What single images do to a difference.

use serde::Serialize;

use crate::bootstrap::Setting;
use crate::error::Error;
use crate::outcomes::Outcomes;
use crate::parallel;
use crate::weighted::Weighted;
use crate::without_each::WithoutEach;

/// What one image adds to the difference in average precision between two detectors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
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
    /// By image; `None` where that leaves no category defined.
    without: Vec<Option<f64>>,
}

/// The influence of every image on the difference in AP between two detectors, the most negative first.
///
/// Images without which AP is undefined are left out of the list.
///
/// Each image is left out once and the average precision (first of the twelve figures) taken of the rest,
/// by the same weighted evaluation as in [`Outcomes::bootstrap`]; ground truths of the image do not count
/// then, nor do detections.
///
/// # Errors
///
/// Outcomes that cannot be compared, fewer than three caps, or parameters under which AP is undefined.
pub(crate) fn influences(baseline: &Outcomes, candidate: &Outcomes) -> Result<Vec<ImageInfluence>, Error> {
    Setting::of(baseline).check(&Setting::of(candidate))?;
    let (before, after) = (left_out(baseline)?, left_out(candidate)?);
    let whole = after.whole - before.whole;
    let without = after.without.iter().zip(&before.without);
    let influence = |(&image_id, (after, before)): (&i64, (&Option<f64>, &Option<f64>))| {
        let without = (*after)? - (*before)?;
        Some(ImageInfluence { image_id, influence: whole - without })
    };
    let mut influences: Vec<ImageInfluence> =
        baseline.image_ids.iter().zip(without).filter_map(influence).collect();
    influences.sort_by(|a, b| a.influence.total_cmp(&b.influence));
    Ok(influences)
}

fn left_out(outcomes: &Outcomes) -> Result<LeftOut, Error> {
    let weighted = Weighted::new(outcomes)?;
    if !weighted.has_average_precision() {
        return Err(Error::UndefinedPrecision);
    }
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
    let mean = |sum: f64, defined: i64| (defined > 0).then(|| sum / defined as f64);
    let without = change.iter().map(|(by, fewer)| mean(sum + by, defined + fewer)).collect();
    Ok(LeftOut { whole: mean(sum, defined).unwrap_or(0.0), without })
}
