//! What AP would be without the errors of one type.
//!
//! The plain form builds, for each repair, the list of detections that is left in each category, sorts it,
//! and integrates its curve. Departures:
//!
//! 1. Repairs change what a detection is, never its score, so a category is sorted once and then walked
//!    once a repair.
//! 2. The reference lists detections in two orders: by image and rank as they are, and, once anything is
//!    repaired, the errors before the true positives. That decides among equal scores, so there are two
//!    sorts, the second of a list that is nearly in order.

use std::ops::Range;

use crate::by_image::by_falling_score;
use crate::curve::{Outcome, least_hits};
use crate::tide_report::{TideCategory, TideError, TideFigure, TideFigures, TideKind, TideReport};

/// Recall is sampled at i / `RECALL_STEPS`.
const RECALL_STEPS: u32 = 100;

/// A detection as an entry of one category's list.
#[derive(Clone, Copy)]
pub(crate) struct Point {
    score: f64,
    role: Role,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    TruePositive,
    Error {
        kind: TideKind,
        /// Not ignored for lying in a crowd region.
        counted: bool,
        /// Repairing it finds a free object.
        finds: bool,
    },
    /// An error of another category's list, which repaired is a true positive here.
    Reclassified,
}

impl Point {
    pub(crate) fn true_positive(score: f64) -> Self {
        Self { score, role: Role::TruePositive }
    }

    pub(crate) fn error(score: f64, kind: TideKind, counted: bool, finds: bool) -> Self {
        Self { score, role: Role::Error { kind, counted, finds } }
    }

    pub(crate) fn reclassified(score: f64) -> Self {
        Self { score, role: Role::Reclassified }
    }
}

/// What is put right.
#[derive(Clone, Copy, PartialEq)]
enum Repair {
    Nothing,
    Kind(TideKind),
    /// Every false positive ranks below every true positive.
    FalsePositives,
    /// Every object not found is taken out of the count.
    FalseNegatives,
}

/// What the detection is after a repair.
fn outcome(role: Role, repair: Repair) -> Outcome {
    match role {
        Role::TruePositive => Outcome::TruePositive,
        Role::Reclassified if repair == Repair::Kind(TideKind::Classification) => Outcome::TruePositive,
        Role::Reclassified => Outcome::Ignored,
        Role::Error { kind, finds, .. } if repair == Repair::Kind(kind) => {
            if finds && kind == TideKind::Localisation { Outcome::TruePositive } else { Outcome::Ignored }
        }
        Role::Error { counted: true, .. } => Outcome::FalsePositive,
        Role::Error { counted: false, .. } => Outcome::Ignored,
    }
}

/// All that is known of one category.
#[derive(Default)]
struct Account {
    points: Vec<Point>,
    positives: u64,
    /// Errors by type, in the order of [`TideKind::ALL`].
    errors: [u64; TideKind::ALL.len()],
    /// Errors that count for AP.
    false_positives: u64,
    /// Objects that no detection took.
    false_negatives: u64,
}

impl Account {
    /// AP after a repair; none without an object and a counted detection.
    fn average_precision(&self, repair: Repair) -> Option<f64> {
        let positives = match repair {
            Repair::Kind(TideKind::Missed) => self.positives - self.errors[TideKind::Missed as usize],
            Repair::FalseNegatives => self.positives - self.false_negatives,
            _ => self.positives,
        };
        let mut hits = Vec::new();
        let (mut counted, mut false_positives) = (0, 0);
        for point in &self.points {
            let outcome = outcome(point.role, repair);
            counted += usize::from(outcome != Outcome::Ignored);
            match outcome {
                Outcome::TruePositive => hits.push(false_positives),
                Outcome::FalsePositive if repair != Repair::FalsePositives => false_positives += 1,
                Outcome::FalsePositive | Outcome::Ignored => {}
            }
        }
        (counted > 0 || positives > 0).then(|| mean_precision(&hits, positives))
    }
}

/// Mean over the recall thresholds of the precision, raised to its maximum at higher recall.
///
/// `hits` holds the false positives before each true positive. This is the curve of
/// [`curve_from_hits`](crate::curve_from_hits) but for the epsilon in its precision and the bits of its
/// recall grid.
fn mean_precision(hits: &[u64], positives: u64) -> f64 {
    if positives == 0 {
        return 0.0;
    }
    let recalls: Vec<f64> =
        (0..=RECALL_STEPS).map(|step| f64::from(step) / f64::from(RECALL_STEPS)).collect();
    let mut precision = vec![0.0; recalls.len()];
    let mut envelope = 0.0_f64;
    let mut rank = hits.len();
    for (slot, needed) in least_hits(positives, &recalls).into_iter().enumerate().rev() {
        if needed > hits.len() as u64 {
            continue;
        }
        while rank as u64 >= needed.max(1) {
            envelope = envelope.max(rank as f64 / (rank as u64 + hits[rank - 1]) as f64);
            rank -= 1;
        }
        precision[slot] = envelope;
    }
    precision.iter().fold(0.0, |sum, value| sum + value) / precision.len() as f64
}

/// The categories' accounts while images are gone through.
pub(crate) struct Ledger {
    accounts: Vec<Account>,
}

impl Ledger {
    pub(crate) fn new(categories: usize) -> Self {
        Self { accounts: (0..categories).map(|_| Account::default()).collect() }
    }

    /// An object to be found.
    pub(crate) fn positive(&mut self, category: u32) {
        self.accounts[category as usize].positives += 1;
    }

    pub(crate) fn book(&mut self, category: u32, point: Point) {
        let account = &mut self.accounts[category as usize];
        if let Role::Error { kind, counted, .. } = point.role {
            account.errors[kind as usize] += 1;
            account.false_positives += u64::from(counted);
        }
        account.points.push(point);
    }

    /// An object that no detection took, and whether no other error explains that.
    pub(crate) fn false_negative(&mut self, category: u32, missed: bool) {
        let account = &mut self.accounts[category as usize];
        account.false_negatives += 1;
        account.errors[TideKind::Missed as usize] += u64::from(missed);
    }

    pub(crate) fn report(
        mut self,
        positive_iou: f64,
        category_ids: &[i64],
        errors: Vec<TideError>,
    ) -> TideReport {
        let outlook = self.outlook();
        let row = |(category, &category_id): (usize, &i64)| TideCategory {
            category_id,
            positives: self.accounts[category].positives,
            ap: outlook.as_it_is[category],
            figures: self.figures(&outlook, category..category + 1),
        };
        TideReport {
            positive_iou,
            ap: mean(&outlook.as_it_is),
            figures: self.figures(&outlook, 0..category_ids.len()),
            categories: category_ids.iter().enumerate().map(row).collect(),
            errors,
        }
    }

    fn outlook(&mut self) -> Outlook {
        for account in &mut self.accounts {
            account.points.sort_by(|a, b| by_falling_score(a.score, b.score));
        }
        let as_it_is = self.average_precisions(Repair::Nothing);
        let last = |point: &Point| point.role == Role::TruePositive;
        for account in &mut self.accounts {
            account.points.sort_by(|a, b| by_falling_score(a.score, b.score).then(last(a).cmp(&last(b))));
        }
        Outlook {
            as_it_is,
            kinds: TideKind::ALL.map(|kind| self.average_precisions(Repair::Kind(kind))),
            false_positives: self.average_precisions(Repair::FalsePositives),
            false_negatives: self.average_precisions(Repair::FalseNegatives),
        }
    }

    fn average_precisions(&self, repair: Repair) -> Vec<Option<f64>> {
        self.accounts.iter().map(|account| account.average_precision(repair)).collect()
    }

    /// Counts and importances of some categories together.
    fn figures(&self, outlook: &Outlook, categories: Range<usize>) -> TideFigures {
        let accounts = &self.accounts[categories.clone()];
        let before = mean(&outlook.as_it_is[categories.clone()]);
        let gain = |after: &[Option<f64>]| mean(&after[categories.clone()]) - before;
        let count = |of: &dyn Fn(&Account) -> u64| accounts.iter().map(of).sum();
        TideFigures {
            kinds: TideKind::ALL.map(|kind| TideFigure {
                count: count(&|account| account.errors[kind as usize]),
                importance: gain(&outlook.kinds[kind as usize]).max(0.0),
            }),
            false_positives: TideFigure {
                count: count(&|account| account.false_positives),
                importance: gain(&outlook.false_positives),
            },
            false_negatives: TideFigure {
                count: count(&|account| account.false_negatives),
                importance: gain(&outlook.false_negatives),
            },
        }
    }
}

/// AP of each category, now and after each repair.
struct Outlook {
    as_it_is: Vec<Option<f64>>,
    /// In the order of [`TideKind::ALL`].
    kinds: [Vec<Option<f64>>; TideKind::ALL.len()],
    false_positives: Vec<Option<f64>>,
    false_negatives: Vec<Option<f64>>,
}

/// Mean of what is defined, or 0 where nothing is.
fn mean(values: &[Option<f64>]) -> f64 {
    let (sum, count) =
        values.iter().flatten().fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}
