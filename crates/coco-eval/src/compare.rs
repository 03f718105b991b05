//! Two detectors on the same images: how much worse is the second, and is it?

use serde::Serialize;

use crate::bootstrap::{Bootstrap, BootstrapParams, Setting};
use crate::error::Error;
use crate::evaluation::CategoryFigures;
use crate::influence::{ImageInfluence, influences};
use crate::interval::{Interval, standard_deviation};
use crate::outcomes::Outcomes;
use crate::summary::Summary;

/// One of the twelve figures of both detectors. Undefined figures are -1, and what follows from them is
/// `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
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
    /// Share of the defined samples in which the candidate has the lower figure, in [0, 1]; equal ones are
    /// not worse.
    pub share_worse: Option<f64>,
    /// Samples in which both figures are defined.
    pub samples: usize,
}

/// Average precision of one category by both detectors. Undefined figures are -1, and what follows from
/// them is `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CategoryDifference {
    /// The category, `None` for the pool of a class-agnostic evaluation.
    pub category_id: Option<i64>,
    /// Figures of the first detector.
    pub baseline: CategoryFigures,
    /// Figures of the second detector.
    pub candidate: CategoryFigures,
    /// Difference in AP as the first of the twelve figures takes it (100 detections), candidate minus
    /// baseline.
    pub difference: Option<f64>,
    /// Confidence interval of that.
    pub interval: Option<Interval>,
    /// Samples in which both are defined.
    pub samples: usize,
    /// What the category adds to the difference in AP, the first figure: its own, divided by the number of
    /// categories that have one.
    pub contribution: Option<f64>,
}

/// What can be said about a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// The whole interval is at or above minus the tolerance: the candidate loses no more than that.
    Within,
    /// The whole interval lies below minus the tolerance: the candidate loses more than that.
    Beyond,
    /// The interval holds minus the tolerance, or there is none: these images cannot tell.
    Undecided,
}

/// Two detectors compared on the same images.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
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
    /// central share `confidence`, in (0, 1), of these differences (percentile interval, without correction
    /// of bias). Where more than one sample in twenty is undefined, as for a category that few images show,
    /// there is no interval, standard error or share.
    ///
    /// # Errors
    ///
    /// Evaluations under other parameters, on other images, categories or ground truths; other draws; a
    /// confidence outside (0, 1).
    pub fn new(baseline: &Bootstrap, candidate: &Bootstrap, confidence: f64) -> Result<Self, Error> {
        check_confidence(confidence)?;
        baseline.setting.check(&candidate.setting)?;
        if baseline.params != candidate.params {
            return Err(Error::OutcomesDiffer { what: "the draws" });
        }
        let figure = |i: usize| figure_difference(baseline, candidate, i, confidence);
        Ok(Self {
            figures: (0..Summary::NAMES.len()).map(figure).collect(),
            categories: category_differences(baseline, candidate, confidence),
            images: baseline.setting.image_ids.len(),
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
    /// Whether the loss in this figure stays within `tolerance` (at least 0, on the scale of the figure).
    #[must_use]
    pub fn verdict(&self, tolerance: f64) -> Verdict {
        Verdict::of(self.interval, tolerance)
    }
}

impl Verdict {
    /// What an interval of differences, candidate minus baseline, says of a loss of `tolerance` (at least 0).
    #[must_use]
    pub fn of(interval: Option<Interval>, tolerance: f64) -> Self {
        match interval {
            Some(interval) if interval.low >= -tolerance => Self::Within,
            Some(interval) if interval.high < -tolerance => Self::Beyond,
            _ => Self::Undecided,
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
        check_confidence(confidence)?;
        Setting::of(self).check(&Setting::of(candidate))?;
        Comparison::new(&self.bootstrap(params, || ())?, &candidate.bootstrap(params, || ())?, confidence)
    }

    /// The influence of every image on the difference in AP to another detector, the candidate: the images
    /// that cost most come first. Images without which AP is undefined are not listed.
    ///
    /// # Errors
    ///
    /// Evaluations under other parameters, on other images, categories or ground truths; fewer than three
    /// caps on the detections; parameters without the cap 100 or the area range `all`, under which AP is
    /// undefined.
    pub fn image_influences(&self, candidate: &Self) -> Result<Vec<ImageInfluence>, Error> {
        influences(self, candidate)
    }
}

fn check_confidence(value: f64) -> Result<(), Error> {
    if value > 0.0 && value < 1.0 {
        return Ok(());
    }
    Err(Error::ParameterOutOfRange { parameter: "confidence", value, range: "above 0 and below 1" })
}

/// Differences sample by sample, where they are defined.
struct Differences(Vec<f64>);

impl Differences {
    /// Whether enough samples are defined to say something.
    fn enough(&self, drawn: usize) -> bool {
        self.0.len() * 20 >= drawn * 19
    }

    fn interval(&self, drawn: usize, confidence: f64) -> Option<Interval> {
        if self.enough(drawn) { Interval::of_sample(&self.0, confidence) } else { None }
    }

    fn standard_error(&self, drawn: usize) -> Option<f64> {
        if self.enough(drawn) { standard_deviation(&self.0) } else { None }
    }

    fn share_worse(&self, drawn: usize) -> Option<f64> {
        let worse = self.0.iter().filter(|&&difference| difference < 0.0).count();
        (self.enough(drawn) && !self.0.is_empty()).then(|| worse as f64 / self.0.len() as f64)
    }
}

fn figure_difference(
    baseline: &Bootstrap,
    candidate: &Bootstrap,
    i: usize,
    confidence: f64,
) -> FigureDifference {
    let of = |summary: &Summary| summary.to_array()[i];
    let pairs = baseline.samples.iter().zip(&candidate.samples);
    let differences = Differences(pairs.filter_map(|(b, c)| difference(of(b), of(c))).collect());
    let drawn = baseline.samples.len();
    let (before, after) = (of(&baseline.summary), of(&candidate.summary));
    FigureDifference {
        name: Summary::NAMES[i],
        baseline: before,
        candidate: after,
        difference: difference(before, after),
        interval: differences.interval(drawn, confidence),
        standard_error: differences.standard_error(drawn),
        share_worse: differences.share_worse(drawn),
        samples: differences.0.len(),
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
    let (count, drawn) = (baseline.per_category.len(), baseline.samples.len());
    let own = |k: usize| difference(baseline.category_ap[k], candidate.category_ap[k]);
    let defined = (0..count).filter(|&k| own(k).is_some()).count();
    let row = |k: usize| {
        let of = |b: &Bootstrap, sample: usize| b.category_samples[sample * count + k];
        let pair = |sample| difference(of(baseline, sample), of(candidate, sample));
        let differences = Differences((0..drawn).filter_map(pair).collect());
        CategoryDifference {
            category_id: baseline.per_category[k].category_id,
            baseline: baseline.per_category[k],
            candidate: candidate.per_category[k],
            difference: own(k),
            interval: differences.interval(drawn, confidence),
            samples: differences.0.len(),
            contribution: own(k).map(|difference| difference / defined as f64),
        }
    };
    (0..count).map(row).collect()
}
