//! Error types of object detection after TIDE.
//!
//! Bolya, Foley, Hays, Hoffman: "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV
//! 2020. Where the paper leaves a choice, the rules are those of its program, tidecv 1.0.1.

use crate::by_image::{Item, Scene, Subset, check_overlap};
use crate::cells::check_images;
use crate::detections::Detections;
use crate::error::Error;
use crate::ground_truth::GroundTruth;
use crate::iou::Overlap;
use crate::tide_repair::{Ledger, Point};
use crate::tide_report::{TideError, TideKind, TideReport};

/// Parameters of [`tide`]. The default is tidecv's.
#[derive(Debug, Clone, PartialEq)]
pub struct TideParams {
    /// IoU at which a detection counts as correct, in (0, 1].
    pub positive_iou: f64,
    /// IoU at or below which a detection lies on background, in (0, `positive_iou`].
    pub background_iou: f64,
    /// Cap on the detections per image *over all categories*, by score.
    pub max_detections: usize,
    /// Images to look at; `None` for all of the ground truth's.
    pub image_ids: Option<Vec<i64>>,
    /// Categories to look at; `None` for all of the ground truth's. An object of another category cannot
    /// explain an error.
    pub category_ids: Option<Vec<i64>>,
}

impl Default for TideParams {
    fn default() -> Self {
        Self {
            positive_iou: 0.5,
            background_iou: 0.1,
            max_detections: 100,
            image_ids: None,
            category_ids: None,
        }
    }
}

/// Says of each false positive and each missed object what is wrong, and what each type of error costs.
///
/// In an image, detections by falling score (equal scores in the order they came, cut at
/// `max_detections`) each take the free object of their category with the largest IoU, if that is at least
/// `positive_iou`; of equal IoUs the first in file order. A detection left over is of the first type that
/// fits:
///
/// 1. [`Localisation`](TideKind::Localisation): its largest IoU with an object of its category, free or
///    taken, is in [`background_iou`, `positive_iou`];
/// 2. [`Classification`](TideKind::Classification): its largest IoU with an object of another category is
///    at least `positive_iou`;
/// 3. [`Duplicate`](TideKind::Duplicate): its IoU with a taken object of its category is at least
///    `positive_iou`;
/// 4. [`Background`](TideKind::Background): no IoU with any object is above `background_iou`;
/// 5. [`Both`](TideKind::Both): anything else.
///
/// A left-over detection that lies in a crowd region of its category by more than `positive_iou` does not
/// count for AP; it is classified all the same. A free object is [`Missed`](TideKind::Missed) unless an
/// error of type 1 or 2 points to it; the first such error by score is the one whose repair finds it.
///
/// The AP is the mean over categories with an object or a counted detection, at 101 recall thresholds
/// i / 100, without an epsilon in the precision. The importance of a type is the AP after repairing all its
/// errors minus the AP, or 0 if that is negative: types 1 and 2 turn the detection that would find a free
/// object into a true positive (of that object's category) and drop the others, types 3 to 5 drop the
/// detection, and a missed object is taken out of the count. All figures equal tidecv's (in percent there)
/// up to the rounding of a last digit; `docs/coco-eval.md` has the small print.
///
/// # Errors
///
/// Overlap thresholds out of range, and a detection on an image that the ground truth does not list.
pub fn tide(
    ground_truth: &GroundTruth,
    detections: &Detections,
    params: &TideParams,
) -> Result<TideReport, Error> {
    check(params)?;
    check_images(ground_truth, detections)?;
    let subset = Subset::new(ground_truth, params.image_ids.as_deref(), params.category_ids.as_deref());
    let truths_by_image = subset.ground_truth(ground_truth);
    let detections_by_image = subset.detections(detections, f64::NEG_INFINITY);
    let mut judge = Judge {
        params,
        scores: detections.scores(),
        scene: Scene::new(ground_truth, detections),
        taken: Vec::new(),
        matched: Vec::new(),
        explained: Vec::new(),
        ledger: Ledger::new(subset.category_ids().len()),
        errors: Vec::new(),
    };
    for image in 0..subset.images() {
        let ranked = detections_by_image.image(image);
        let ranked = &ranked[..ranked.len().min(params.max_detections)];
        judge.scene.fill(truths_by_image.image(image), ranked, params.background_iou);
        judge.image();
    }
    Ok(judge.ledger.report(params.positive_iou, subset.category_ids(), judge.errors))
}

fn check(params: &TideParams) -> Result<(), Error> {
    check_overlap("positive_iou", params.positive_iou)?;
    check_overlap("background_iou", params.background_iou)?;
    if params.background_iou <= params.positive_iou {
        return Ok(());
    }
    Err(Error::ParameterOutOfRange {
        parameter: "background_iou",
        value: params.background_iou,
        range: "at most `positive_iou`",
    })
}

/// Goes through the images and books what it finds.
struct Judge<'a> {
    params: &'a TideParams,
    scores: &'a [f64],
    scene: Scene<'a>,
    /// By object of the image: whether a detection took it.
    taken: Vec<bool>,
    /// By detection of the image: whether it took an object.
    matched: Vec<bool>,
    /// By object of the image: whether an error points to it whose repair finds it.
    explained: Vec<bool>,
    ledger: Ledger,
    errors: Vec<TideError>,
}

impl Judge<'_> {
    fn image(&mut self) {
        for truth in self.scene.truths() {
            self.ledger.positive(truth.category);
        }
        self.match_detections();
        self.book_detections();
        self.book_missed();
    }

    fn match_detections(&mut self) {
        let truths = self.scene.truths();
        reset(&mut self.taken, truths.len());
        self.matched.clear();
        for (detection, overlaps) in self.scene.detections() {
            let fits = |g: usize| truths[g].category == detection.category && !self.taken[g];
            let best = first_largest(overlaps, fits).filter(|best| best.iou >= self.params.positive_iou);
            if let Some(best) = best {
                self.taken[best.ground_truth as usize] = true;
            }
            self.matched.push(best.is_some());
        }
    }

    fn book_detections(&mut self) {
        let truths = self.scene.truths();
        reset(&mut self.explained, truths.len());
        for ((detection, overlaps), &matched) in self.scene.detections().zip(&self.matched) {
            let score = self.scores[detection.row as usize];
            if matched {
                self.ledger.book(detection.category, Point::true_positive(score));
                continue;
            }
            let counted = self.scene.crowd_overlap(detection) <= self.params.positive_iou;
            let (kind, object) = kind_of(detection, overlaps, truths, self.params);
            let repairs = matches!(kind, TideKind::Localisation | TideKind::Classification);
            let finds = object.filter(|&g| repairs && !self.taken[g] && !self.explained[g]);
            self.ledger.book(detection.category, Point::error(score, kind, counted, finds.is_some()));
            if let Some(g) = finds {
                self.explained[g] = true;
                if kind == TideKind::Classification {
                    self.ledger.book(truths[g].category, Point::reclassified(score));
                }
            }
            self.errors.push(TideError {
                kind,
                detection: Some(detection.row as usize),
                ground_truth: object.map(|g| truths[g].row as usize),
            });
        }
    }

    fn book_missed(&mut self) {
        for (g, truth) in self.scene.truths().iter().enumerate().filter(|&(g, _)| !self.taken[g]) {
            self.ledger.false_negative(truth.category, !self.explained[g]);
            if !self.explained[g] {
                let ground_truth = Some(truth.row as usize);
                self.errors.push(TideError { kind: TideKind::Missed, detection: None, ground_truth });
            }
        }
    }
}

/// The type of an unmatched detection, and the object that it is about.
///
/// `overlaps` holds those of at least `background_iou`. An overlap above `positive_iou` with an object of
/// its own category means that the object is taken, since the detection would otherwise have got it.
fn kind_of(
    detection: Item,
    overlaps: &[Overlap],
    truths: &[Item],
    params: &TideParams,
) -> (TideKind, Option<usize>) {
    let same_category = |g: usize| truths[g].category == detection.category;
    let own = first_largest(overlaps, same_category);
    if let Some(own) = own.filter(|own| own.iou <= params.positive_iou) {
        return (TideKind::Localisation, Some(own.ground_truth as usize));
    }
    let other = first_largest(overlaps, |g| !same_category(g));
    if let Some(other) = other.filter(|other| other.iou >= params.positive_iou) {
        return (TideKind::Classification, Some(other.ground_truth as usize));
    }
    if let Some(own) = own {
        return (TideKind::Duplicate, Some(own.ground_truth as usize));
    }
    if overlaps.iter().all(|overlap| overlap.iou <= params.background_iou) {
        return (TideKind::Background, None);
    }
    (TideKind::Both, None)
}

/// The first of the largest overlaps among the objects that `fits` lets through.
fn first_largest(overlaps: &[Overlap], fits: impl Fn(usize) -> bool) -> Option<Overlap> {
    let candidates = overlaps.iter().filter(|overlap| fits(overlap.ground_truth as usize));
    candidates.copied().reduce(|best, next| if next.iou > best.iou { next } else { best })
}

fn reset(flags: &mut Vec<bool>, len: usize) {
    flags.clear();
    flags.resize(len, false);
}
