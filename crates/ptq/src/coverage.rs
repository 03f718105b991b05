//! Whether a calibration has seen enough images: how each tensor's range grew with them, and a verdict.
//!
//! What counts is a tensor's largest magnitude on each image. If images come from one source in no particular order, then a new one
//! exceeds the range of `n` others with probability `1 / (n + 1)`, whatever the distribution, and what the last doubling of their
//! number added estimates what the next would add. Methods that take the whole range (`max`, `minmax`) depend on this fully; those
//! that clip (`percentile`, `entropy`, `mse`) depend on the bulk of the values and far less on single images. So one tensor whose range still
//! grows says little, and the verdict asks how many there are.

mod growth;

use crate::{CalibrationImage, Collection, Statistics};
pub use growth::{doubling_growth, expected_maximum, expected_records, influence, records, running_maxima};
use serde::Serialize;

/// When a set of images is too small.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CoverageRule {
    /// A tensor still grows if doubling the images widens its range by more than this share of it, in [0, 1].
    pub growth: f64,
    /// At most this share of the tensors may still grow, in [0, 1].
    pub growing: f64,
    /// The probability that a new image exceeds a range may be at most this, in [0, 1]: `1 / (n + 1)` needs enough images, however
    /// alike those seen are.
    pub unseen: f64,
}

impl Default for CoverageRule {
    /// A range may grow by 10 %, and one of ten ranges by more; 1 of 20 new images may exceed a range, which takes 19 images.
    fn default() -> Self {
        Self { growth: 0.1, growing: 0.1, unseen: 0.05 }
    }
}

/// What the images tell of one tensor's range.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorCoverage {
    /// Its name.
    pub tensor: String,
    /// The largest magnitude.
    pub amax: f32,
    /// Number of images and the range that they had seen, in the order of the file, where the range grew.
    pub steps: Vec<(usize, f32)>,
    /// Number of images (1, 2, 4, ... and all) and the range that so many see on average over all orders ([`expected_maximum`]).
    pub expected: Vec<(usize, f64)>,
    /// [`doubling_growth`].
    pub growth: f64,
    /// [`influence`] of the image below.
    pub influence: f64,
    /// The image with the largest magnitude, the first in the order of the file.
    pub image: String,
    /// Share of the finite values whose magnitude lies in the upper half of the range, to the width of a bin.
    pub tail: f64,
    /// Share of the values that are zero.
    pub zeros: f64,
    /// [`records`] in the order of the file.
    pub records: usize,
    /// Estimated probability that a new image exceeds the range: `1 / (n + 1)` times records over [`expected_records`]. More than
    /// `1 / (n + 1)` says that the order matters, as where images of one scene follow each other.
    pub exceeds: f64,
    /// Whether `growth` is above that of the rule.
    pub grows: bool,
}

/// What the images tell of all tensors, and whether they are enough.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coverage {
    /// The rule.
    pub rule: CoverageRule,
    /// Number of images.
    pub images: usize,
    /// `1 / (n + 1)`.
    pub unseen: f64,
    /// All tensors, those that grow most first.
    pub tensors: Vec<TensorCoverage>,
    /// How many still grow.
    pub growing: usize,
    /// The verdict.
    pub verdict: CoverageVerdict,
}

/// Whether a set of images is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CoverageVerdict {
    /// It is.
    Enough,
    /// So few images tell nothing of others, however alike they are.
    TooFewImages,
    /// The ranges of too many tensors still grow.
    TooManyGrow,
}

impl Coverage {
    /// Looks at all tensors of a collection, and at what each image had as their largest magnitudes
    /// ([`crate::Collection::observe_image`]), which count as 0 where they are missing.
    #[must_use]
    pub fn new(images: &[CalibrationImage], collection: &Collection, rule: CoverageRule) -> Self {
        let of = |(place, (name, statistics)): (usize, (&str, &Statistics))| {
            let maximum = |image: &CalibrationImage| image.maxima.get(place).copied().unwrap_or(0.0);
            let maxima: Vec<f32> = images.iter().map(maximum).collect();
            let largest = images.iter().find(|image| maximum(image) == statistics.absolute_maximum());
            let image = largest.map_or_else(String::new, |image| image.name.clone());
            TensorCoverage::new(name, image, statistics, &maxima, &rule)
        };
        let mut tensors: Vec<TensorCoverage> = collection.iter().enumerate().map(of).collect();
        tensors.sort_by(|a, b| b.growth.total_cmp(&a.growth));
        let growing = tensors.iter().filter(|tensor| tensor.grows).count();
        let unseen = 1.0 / (images.len() + 1) as f64;
        let verdict = rule.verdict(images.len(), growing, tensors.len());
        Self { rule, images: images.len(), unseen, tensors, growing, verdict }
    }

    /// The verdict in words, with the figures behind it.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { images, growing, rule, unseen, .. } = self;
        let tensors = self.tensors.len();
        let unseen = format!(
            "a new image exceeds a range that {images} have seen with probability {:.1} %, where {:.1} % are allowed",
            unseen * 100.0,
            rule.unseen * 100.0
        );
        let grow = format!(
            "doubling the {images} images would widen {growing} of {tensors} ranges by more than {} %, where {} % of them are allowed",
            rule.growth * 100.0,
            rule.growing * 100.0
        );
        match self.verdict {
            CoverageVerdict::Enough => format!("enough images: {grow}"),
            CoverageVerdict::TooFewImages => format!("too few images: {unseen}"),
            CoverageVerdict::TooManyGrow => format!(
                "too few images: {grow}; this matters to max and minmax, and far less to percentile, entropy and mse, which clip"
            ),
        }
    }
}

impl CoverageRule {
    /// The verdict on a number of images after which `growing` of `tensors` still grow.
    #[must_use]
    pub fn verdict(&self, images: usize, growing: usize, tensors: usize) -> CoverageVerdict {
        if 1.0 / (images + 1) as f64 > self.unseen {
            CoverageVerdict::TooFewImages
        } else if growing as f64 > self.growing * tensors as f64 {
            CoverageVerdict::TooManyGrow
        } else {
            CoverageVerdict::Enough
        }
    }
}

impl TensorCoverage {
    /// Looks at a tensor, whose largest magnitude on every image is in `maxima`; `image` is the one of the largest of all.
    #[must_use]
    pub fn new(
        tensor: &str,
        image: String,
        statistics: &Statistics,
        maxima: &[f32],
        rule: &CoverageRule,
    ) -> Self {
        let mut descending = maxima.to_vec();
        descending.sort_by(|a, b| b.total_cmp(a));
        let (images, growth, records) = (maxima.len(), doubling_growth(&descending), records(maxima));
        let sizes = (0..usize::BITS).map(|bit| 1 << bit).take_while(|size| *size < images).chain([images]);
        // One image has no records and expects none.
        let often = if images > 1 { records as f64 / expected_records(images) } else { 1.0 };
        Self {
            tensor: tensor.to_owned(),
            amax: statistics.absolute_maximum(),
            steps: steps(maxima),
            expected: sizes.map(|size| (size, expected_maximum(&descending, size))).collect(),
            growth,
            influence: influence(&descending),
            image,
            tail: tail_share(statistics),
            zeros: statistics.zeros() as f64 / statistics.count().max(1) as f64,
            records,
            exceeds: often / (images + 1) as f64,
            grows: growth > rule.growth,
        }
    }
}

/// Where the running maximum changes: how many images it took, and the new maximum.
fn steps(maxima: &[f32]) -> Vec<(usize, f32)> {
    let numbered = running_maxima(maxima).into_iter().enumerate().map(|(place, range)| (place + 1, range));
    let mut steps: Vec<(usize, f32)> = numbered.collect();
    steps.dedup_by_key(|(_, range)| *range);
    steps
}

/// Share of the finite values with magnitudes in the upper half of the range, by bins: the one that holds half the largest magnitude
/// counts if its inner edge is not below it. 0 where all values are zero.
#[must_use]
pub fn tail_share(statistics: &Statistics) -> f64 {
    let histogram = statistics.histogram();
    let half = f64::from(statistics.absolute_maximum()) / 2.0;
    if half == 0.0 {
        return 0.0;
    }
    let from = (half / histogram.width()).ceil() as usize;
    let beyond = |side: &[u64]| side.iter().skip(from).sum::<u64>();
    (beyond(histogram.positive()) + beyond(histogram.negative())) as f64 / statistics.finite() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest magnitudes of `images` images that each have a thousand exponentially distributed values, for 40 tensors.
    fn observed(images: usize) -> (Vec<CalibrationImage>, Collection) {
        let mut state = 7u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 + 0.5) / (1u64 << 24) as f32
        };
        let mut statistics = vec![Statistics::default(); 40];
        let mut look = |statistics: &mut Statistics| {
            // The largest of a thousand has the distribution of one to the thousandth power.
            let largest = -(1.0 - uniform().powf(1e-3)).ln();
            statistics.observe(&[largest, -0.1 * largest, 0.0]);
            largest
        };
        let image = |number: usize| CalibrationImage {
            name: format!("{number:04}.png"),
            sha256: format!("{number:064x}"),
            maxima: statistics.iter_mut().map(&mut look).collect(),
        };
        let images = (0..images).map(image).collect();
        let named = |(number, statistics)| (format!("{number:02}"), statistics);
        (images, statistics.into_iter().enumerate().map(named).collect())
    }

    fn coverage(images: usize) -> Coverage {
        let (images, collection) = observed(images);
        Coverage::new(&images, &collection, CoverageRule::default())
    }

    #[test]
    fn many_images_of_one_distribution_are_enough_and_four_are_not() {
        let many = coverage(1000);
        assert_eq!((many.verdict, many.images), (CoverageVerdict::Enough, 1000), "{}", many.sentence());
        assert!(
            many.sentence().starts_with("enough images: doubling the 1000 images"),
            "{}",
            many.sentence()
        );
        let few = coverage(4);
        assert_eq!(few.verdict, CoverageVerdict::TooFewImages);
        assert!(few.sentence().contains("probability 20.0 %, where 5.0 % are allowed"), "{}", few.sentence());
        let lenient = CoverageRule { unseen: 0.5, growth: 0.03, ..CoverageRule::default() };
        let (images, collection) = observed(4);
        assert_eq!(Coverage::new(&images, &collection, lenient).verdict, CoverageVerdict::TooManyGrow);
    }

    #[test]
    fn ranges_that_single_images_decide_keep_growing() {
        let (mut images, collection) = observed(100);
        let with_outlier = |(place, (name, statistics)): (usize, (&str, &Statistics))| {
            let mut statistics = statistics.clone();
            statistics.observe(if place < 11 { &[100.0] } else { &[0.0] });
            (name.to_owned(), statistics)
        };
        let collection: Collection = collection.iter().enumerate().map(with_outlier).collect();
        images[40].maxima[..11].fill(100.0);
        let rule = CoverageRule { growth: 0.3, ..CoverageRule::default() };
        let found = Coverage::new(&images, &collection, rule);
        assert_eq!(
            (found.growing, found.verdict),
            (11, CoverageVerdict::TooManyGrow),
            "{}",
            found.sentence()
        );
        let worst = &found.tensors[0];
        assert_eq!((worst.image.as_str(), worst.amax, worst.grows), ("0040.png", 100.0, true));
        assert!(worst.influence > 0.8 && worst.growth > 0.4, "{worst:?}");
        assert_eq!(worst.steps.last(), Some(&(41, 100.0)));
        assert!(worst.tail < 0.01 && worst.zeros > 0.3, "{worst:?}");
        let lenient = CoverageRule { growing: 11.0 / 40.0, ..rule };
        assert_eq!(Coverage::new(&images, &collection, lenient).verdict, CoverageVerdict::Enough);
    }

    #[test]
    fn an_order_in_which_ranges_grow_is_told() {
        let (mut images, collection) = observed(64);
        let mixed = Coverage::new(&images, &collection, CoverageRule::default());
        let mean = |coverage: &Coverage| coverage.tensors.iter().map(|t| t.exceeds).sum::<f64>() / 40.0;
        assert!((mean(&mixed) * 65.0 - 1.0).abs() < 0.2, "{}", mean(&mixed) * 65.0);
        images.sort_by(|a, b| a.maxima[0].total_cmp(&b.maxima[0]));
        let sorted = Coverage::new(&images, &collection, CoverageRule::default());
        let first = sorted.tensors.iter().find(|tensor| tensor.tensor == "00").unwrap();
        assert_eq!((first.records, first.steps.len()), (63, 64));
        assert!(first.exceeds * 65.0 > 10.0, "{first:?}");
        assert_eq!(
            first.expected.iter().map(|(size, _)| *size).collect::<Vec<_>>(),
            [1, 2, 4, 8, 16, 32, 64]
        );
    }

    #[test]
    fn tails_are_shares_beyond_half_the_range() {
        let tail = |values: &[f32]| {
            let mut statistics = Statistics::default();
            statistics.observe(values);
            tail_share(&statistics)
        };
        assert_eq!((tail(&[0.0, 0.0]), tail(&[])), (0.0, 0.0));
        assert_eq!((tail(&[1.0, 0.25, -0.75, 0.1]), tail(&[-3.0])), (0.5, 1.0));
        let empty = Coverage::new(&[], &Collection::default(), CoverageRule::default());
        assert_eq!(empty.verdict, CoverageVerdict::TooFewImages);
    }
}
