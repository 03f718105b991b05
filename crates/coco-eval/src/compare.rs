//! Two detectors on the same images: how much worse is the second, and is it?

use serde::Serialize;

use crate::bootstrap::{Bootstrap, BootstrapParams};
use crate::error::Error;
use crate::evaluation::CategoryFigures;
use crate::influence::{ImageInfluence, influences};
use crate::interval::{Interval, standard_deviation};
use crate::outcomes::Outcomes;
use crate::summary::Summary;

/// One of the twelve figures of both detectors. Undefined figures are -1, and what follows from them is
/// `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FigureDifference {
    /// Its name, as in [`Summary::NAMES`].
    pub name: &'static str,
    /// Of the first detector.
    pub baseline: f64,
    /// Of the second detector.
    pub candidate: f64,
    /// `candidate - baseline`.
    pub difference: Option<f64>,
    /// Confidence interval of the difference.
    pub interval: Option<Interval>,
    /// Standard error of the difference.
    pub standard_error: Option<f64>,
    /// Share of the samples in which the candidate has the lower figure, in [0, 1].
    pub share_worse: Option<f64>,
}

/// Average precision of one category by both detectors. Undefined figures are -1, and what follows from
/// them is `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CategoryDifference {
    /// The category, `None` for the pool of a class-agnostic evaluation.
    pub category_id: Option<i64>,
    /// Figures of the first detector.
    pub baseline: CategoryFigures,
    /// Figures of the second detector.
    pub candidate: CategoryFigures,
    /// Difference in AP, candidate minus baseline.
    pub difference: Option<f64>,
    /// Confidence interval of that.
    pub interval: Option<Interval>,
    /// What the category adds to the difference in mean AP: its own, divided by the number of categories
    /// that have one.
    pub contribution: Option<f64>,
}

/// What can be said about a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// The whole interval lies above minus the tolerance: the candidate loses less than that.
    Within,
    /// The whole interval lies below minus the tolerance: the candidate loses more than that.
    Beyond,
    /// The interval holds minus the tolerance: these images cannot tell.
    Undecided,
}

/// Two detectors compared on the same images.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The twelve figures, in the order of [`Summary::NAMES`].
    pub figures: Vec<FigureDifference>,
    /// One row per category, in the order of the evaluation.
    pub categories: Vec<CategoryDifference>,
    /// Number of images.
    pub images: usize,
    /// Number of samples drawn.
    pub samples: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// Share of the samples that an interval holds.
    pub confidence: f64,
}

impl Comparison {
    /// Compares two detectors whose samples were drawn from the same images with the same seed.
    ///
    /// A difference is taken sample by sample, where both figures are defined; its interval holds the
    /// central share `confidence`, in (0, 1), of these differences (percentile interval).
    ///
    /// # Errors
    ///
    /// Samples of other images, categories or draws; a confidence outside (0, 1).
    pub fn new(baseline: &Bootstrap, candidate: &Bootstrap, confidence: f64) -> Result<Self, Error> {
        if !(confidence > 0.0 && confidence < 1.0) {
            return Err(Error::ThresholdOutOfRange { parameter: "confidence", value: confidence });
        }
        check_alike(baseline, candidate)?;
        let figure = |i: usize| figure_difference(baseline, candidate, i, confidence);
        Ok(Self {
            figures: (0..Summary::NAMES.len()).map(figure).collect(),
            categories: category_differences(baseline, candidate, confidence),
            images: baseline.image_ids.len(),
            samples: baseline.params.samples,
            seed: baseline.params.seed,
            confidence,
        })
    }

    /// Whether the loss in the first figure, AP, stays within `tolerance` (at least 0, on the scale of AP:
    /// 0.005 is half a point).
    #[must_use]
    pub fn verdict(&self, tolerance: f64) -> Verdict {
        self.figures.first().map_or(Verdict::Undecided, |figure| figure.verdict(tolerance))
    }
}

impl FigureDifference {
    /// Whether the loss in this figure stays within `tolerance`.
    #[must_use]
    pub fn verdict(&self, tolerance: f64) -> Verdict {
        match self.interval {
            Some(interval) if interval.low >= -tolerance => Verdict::Within,
            Some(interval) if interval.high < -tolerance => Verdict::Beyond,
            _ => Verdict::Undecided,
        }
    }
}

impl Outcomes {
    /// Compares with the outcomes of another detector, the candidate: draws samples for both, and takes
    /// differences. See [`Comparison::new`].
    ///
    /// # Errors
    ///
    /// As for [`bootstrap`](Self::bootstrap) and [`Comparison::new`].
    pub fn compare(
        &self,
        candidate: &Self,
        params: BootstrapParams,
        confidence: f64,
    ) -> Result<Comparison, Error> {
        self.check_like(candidate)?;
        Comparison::new(&self.bootstrap(params, || ())?, &candidate.bootstrap(params, || ())?, confidence)
    }

    /// The influence of every image on the difference in AP to another detector, the candidate: the images
    /// that cost most come first. Where AP is undefined it counts as 0.
    ///
    /// # Errors
    ///
    /// Outcomes under different parameters, for other categories or on other images; fewer than three caps
    /// on the detections.
    pub fn image_influences(&self, candidate: &Self) -> Result<Vec<ImageInfluence>, Error> {
        self.check_like(candidate)?;
        if self.image_ids != candidate.image_ids {
            return Err(Error::OutcomesDiffer { what: "the images" });
        }
        influences(self, candidate)
    }
}

fn check_alike(baseline: &Bootstrap, candidate: &Bootstrap) -> Result<(), Error> {
    let ids = |b: &Bootstrap| b.per_category.iter().map(|row| row.category_id).collect::<Vec<_>>();
    let what = if baseline.image_ids != candidate.image_ids {
        "the images"
    } else if ids(baseline) != ids(candidate) {
        "the categories"
    } else if baseline.params != candidate.params {
        "the draws"
    } else {
        return Ok(());
    };
    Err(Error::OutcomesDiffer { what })
}

fn figure_difference(
    baseline: &Bootstrap,
    candidate: &Bootstrap,
    i: usize,
    confidence: f64,
) -> FigureDifference {
    let of = |summary: &Summary| summary.to_array()[i];
    let pairs = baseline.samples.iter().zip(&candidate.samples);
    let differences: Vec<f64> = pairs.filter_map(|(b, c)| difference(of(b), of(c))).collect();
    let worse = differences.iter().filter(|&&difference| difference < 0.0).count();
    let (before, after) = (of(&baseline.summary), of(&candidate.summary));
    FigureDifference {
        name: Summary::NAMES[i],
        baseline: before,
        candidate: after,
        difference: difference(before, after),
        interval: Interval::of_sample(&differences, confidence),
        standard_error: standard_deviation(&differences),
        share_worse: (!differences.is_empty()).then(|| worse as f64 / differences.len() as f64),
    }
}

/// `candidate - baseline` of two figures, where neither is undefined.
fn difference(baseline: f64, candidate: f64) -> Option<f64> {
    (baseline > -1.0 && candidate > -1.0).then_some(candidate - baseline)
}

fn category_differences(
    baseline: &Bootstrap,
    candidate: &Bootstrap,
    confidence: f64,
) -> Vec<CategoryDifference> {
    let count = baseline.per_category.len();
    let rows = baseline.per_category.iter().zip(&candidate.per_category);
    let defined = rows.clone().filter(|(b, c)| difference(b.ap, c.ap).is_some()).count();
    let sampled = |k: usize| {
        let of = |b: &Bootstrap, sample: usize| b.category_samples[sample * count + k];
        let pair = |sample| difference(of(baseline, sample), of(candidate, sample));
        (0..baseline.samples.len()).filter_map(pair).collect::<Vec<f64>>()
    };
    let row = |(k, (before, after)): (usize, (&CategoryFigures, &CategoryFigures))| CategoryDifference {
        category_id: before.category_id,
        baseline: *before,
        candidate: *after,
        difference: difference(before.ap, after.ap),
        interval: Interval::of_sample(&sampled(k), confidence),
        contribution: difference(before.ap, after.ap).map(|difference| difference / defined as f64),
    };
    rows.enumerate().map(row).collect()
}
