//! Figures of data sets drawn from the images at hand.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::error::Error;
use crate::evaluation::{CategoryFigures, Evaluation, Selection};
use crate::outcomes::Outcomes;
use crate::parallel;
use crate::params::EvalParams;
use crate::part::Scratch;
use crate::summary::Summary;
use crate::weighted::{Sample, Weighted};

/// How to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootstrapParams {
    /// Number of data sets to draw.
    pub samples: usize,
    /// Seed of the draws. The same seed draws the same images for any detector.
    pub seed: u64,
}

impl Default for BootstrapParams {
    fn default() -> Self {
        Self { samples: 1000, seed: 0 }
    }
}

/// The twelve figures, and each category's average precision, of data sets drawn from the images.
///
/// Each draws as many images as there are, with replacement; an image drawn w times counts w times, its
/// ground truths as well as its detections (Efron, "Bootstrap Methods: Another Look at the Jackknife",
/// 1979). The draws depend on the seed and the number of images alone, so two detectors evaluated on the
/// same images are drawn in pairs: differences sample by sample have the spread of the difference, which
/// is much smaller than that of either figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Bootstrap {
    pub(crate) params: BootstrapParams,
    pub(crate) setting: Setting,
    pub(crate) summary: Summary,
    pub(crate) per_category: Vec<CategoryFigures>,
    /// Average precision of each category at the cap and area range of the first figure.
    pub(crate) category_ap: Vec<f64>,
    pub(crate) samples: Vec<Summary>,
    /// The same of each sample, `[samples, K]`; -1 where it is undefined.
    pub(crate) category_samples: Vec<f64>,
}

/// Most samples of one bootstrap.
const MAX_SAMPLES: usize = 1 << 24;

/// What two detectors must have in common to be compared.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    params: EvalParams,
    pub(crate) image_ids: Vec<i64>,
    category_ids: Vec<i64>,
    /// Digest of the ground truths that count, by category, image and area range.
    truths: u64,
}

impl Setting {
    pub(crate) fn of(outcomes: &Outcomes) -> Self {
        let mut hasher = DefaultHasher::new();
        for category in &outcomes.categories {
            (&category.truth_images, &category.truth_counts).hash(&mut hasher);
        }
        Self {
            params: outcomes.params.clone(),
            image_ids: outcomes.image_ids.clone(),
            category_ids: outcomes.category_ids.clone(),
            truths: hasher.finish(),
        }
    }

    /// Refuses to compare what was not measured alike.
    pub(crate) fn check(&self, other: &Self) -> Result<(), Error> {
        let what = if self.params != other.params {
            "the parameters"
        } else if self.category_ids != other.category_ids {
            "the categories"
        } else if self.image_ids != other.image_ids {
            "the images"
        } else if self.truths != other.truths {
            "the ground truths"
        } else {
            return Ok(());
        };
        Err(Error::OutcomesDiffer { what })
    }
}

/// Average precision of each category as the first figure takes it.
fn category_precisions(evaluation: &Evaluation) -> Vec<f64> {
    let ids = evaluation.per_category().into_iter().map(|row| row.category_id);
    ids.map(|category_id| evaluation.mean_precision(&Selection { category_id, ..Selection::default() }))
        .collect()
}

impl Outcomes {
    /// Draws data sets and takes their figures. See [`Bootstrap`].
    ///
    /// `on_sample` is called after each, from any thread, for those who show progress. Samples are shared
    /// out among threads with the feature `rayon`; they do not depend on that.
    ///
    /// # Errors
    ///
    /// Fewer than three caps on the detections, or more than 2^24 samples.
    pub fn bootstrap(
        &self,
        params: BootstrapParams,
        on_sample: impl Fn() + Sync + Send,
    ) -> Result<Bootstrap, Error> {
        let BootstrapParams { samples, .. } = params;
        if samples > MAX_SAMPLES {
            let (parameter, value) = ("samples", samples as f64);
            return Err(Error::ParameterOutOfRange { parameter, value, range: "at most 2^24" });
        }
        let evaluation = self.accumulate();
        let weighted = Weighted::new(self)?;
        let drawn: Vec<Sample> = parallel::map(samples, |sample| {
            let weights = draw(weighted.images(), params.seed, sample as u64);
            let figures = weighted.sample(&weights, &mut Scratch::default());
            on_sample();
            figures
        });
        Ok(Bootstrap {
            params,
            setting: Setting::of(self),
            summary: evaluation.summarize()?,
            category_ap: category_precisions(&evaluation),
            per_category: evaluation.per_category(),
            samples: drawn.iter().map(|sample| sample.summary).collect(),
            category_samples: drawn.into_iter().flat_map(|sample| sample.categories).collect(),
        })
    }

    /// The twelve figures with image `i` of [`image_ids`](Self::image_ids) counted `weights[i]` times: as
    /// if the data set held so many copies of it, each detection's copies next to each other in the
    /// ranking.
    ///
    /// Equal to the figures of an evaluation up to rounding.
    ///
    /// # Errors
    ///
    /// Another number of weights than of images, weights of more than 2^32 - 1 together, or fewer than three
    /// caps on the detections.
    pub fn weighted_summary(&self, weights: &[u32]) -> Result<Summary, Error> {
        if weights.len() != self.image_ids.len() {
            return Err(Error::WeightCount { found: weights.len(), images: self.image_ids.len() });
        }
        let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        if total > u64::from(u32::MAX) {
            return Err(Error::WeightTotal { total });
        }
        Ok(Weighted::new(self)?.sample(weights, &mut Scratch::default()).summary)
    }
}

impl Bootstrap {
    /// The figures of the images at hand, each counted once.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The figures of each sample.
    #[must_use]
    pub fn samples(&self) -> &[Summary] {
        &self.samples
    }
}

/// How often each of `images` is drawn in one sample of as many.
fn draw(images: usize, seed: u64, sample: u64) -> Vec<u32> {
    let mut random = Random::new(seed, sample);
    let mut weights = vec![0; images];
    for _ in 0..images {
        weights[random.below(images as u64) as usize] += 1;
    }
    weights
}

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014), each sample
/// with a state of its own.
struct Random(u64);

impl Random {
    fn new(seed: u64, stream: u64) -> Self {
        Self(mix(seed).wrapping_add(mix(stream ^ 0x6A09_E667_F3BC_C909)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// Uniform in [0, n), n > 0: the upper half of a product, without the few that would favour some
    /// (Lemire, "Fast Random Integer Generation in an Interval", 2019).
    fn below(&mut self, n: u64) -> u64 {
        loop {
            let product = u128::from(self.next()) * u128::from(n);
            if product as u64 >= n.wrapping_neg() % n {
                return (product >> 64) as u64;
            }
        }
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_uniform_and_repeatable() {
        let images = 50;
        let mut counts = vec![0; images];
        for sample in 0..2000 {
            let weights = draw(images, 7, sample);
            assert_eq!(weights.iter().sum::<u32>(), images as u32);
            counts.iter_mut().zip(weights).for_each(|(count, weight)| *count += weight);
        }
        // 2000 expected, standard deviation 44
        assert!(counts.iter().all(|count| (1780..2220).contains(count)), "{counts:?}");
        assert_eq!(draw(images, 7, 3), draw(images, 7, 3));
        assert_ne!(draw(images, 7, 3), draw(images, 7, 4));
        assert_ne!(draw(images, 7, 3), draw(images, 8, 3));
        assert_eq!(draw(0, 7, 3), Vec::<u32>::new());
    }
}
