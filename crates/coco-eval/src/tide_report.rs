//! What TIDE's analysis gives.

use std::fmt;

/// Types of error. Each belongs to one detection, but for the last, which belongs to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TideKind {
    /// Well placed on an object of another category.
    Classification,
    /// The right category, badly placed.
    Localisation,
    /// On an object of another category and badly placed, or otherwise in between.
    Both,
    /// Well placed on an object that a better scored detection took.
    Duplicate,
    /// On no object at all.
    Background,
    /// An object that no detection found, nor would find if put right.
    Missed,
}

impl TideKind {
    /// All types, in the order of their declaration.
    pub const ALL: [Self; 6] = [
        Self::Classification,
        Self::Localisation,
        Self::Both,
        Self::Duplicate,
        Self::Background,
        Self::Missed,
    ];

    /// The paper's name: `Cls`, `Loc`, `Both`, `Dupe`, `Bkg`, `Miss`.
    #[must_use]
    pub fn short_name(self) -> &'static str {
        ["Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"][self as usize]
    }
}

/// One error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TideError {
    /// Its type.
    pub kind: TideKind,
    /// Row of the detection at fault; none for a missed object.
    pub detection: Option<usize>,
    /// Row of the annotation that the detection should have found or repeats, or that was missed; none for
    /// [`TideKind::Both`] and [`TideKind::Background`].
    pub ground_truth: Option<usize>,
}

/// How many errors there are and what they cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TideFigure {
    /// Number of errors.
    pub count: u64,
    /// AP without these errors minus AP.
    pub importance: f64,
}

/// The figures of all types of error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TideFigures {
    /// In the order of [`TideKind::ALL`].
    pub(crate) kinds: [TideFigure; TideKind::ALL.len()],
    /// All detections that count as wrong. Repair: they rank below every right one. The importance may be
    /// negative by the order of equal scores.
    pub false_positives: TideFigure,
    /// All objects that no detection took. Repair: they are not counted. The importance may be negative by
    /// the order of equal scores.
    pub false_negatives: TideFigure,
}

impl TideFigures {
    /// Figures of one type; the importance is at least 0.
    #[must_use]
    pub fn of(&self, kind: TideKind) -> TideFigure {
        self.kinds[kind as usize]
    }
}

/// The errors of one category: of its detections, and of its objects for [`TideKind::Missed`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TideCategory {
    /// The category.
    pub category_id: i64,
    /// Objects to be found, crowd regions not among them.
    pub positives: u64,
    /// AP in [0, 1]; `None` without an object and a counted detection, which leaves the category out of the
    /// mean.
    pub ap: Option<f64>,
    /// Counts, and importances for this category's AP. Where a repair leaves nothing of the category, it
    /// leaves the mean, and its own importance is that of an AP of 0.
    pub figures: TideFigures,
}

/// What [`tide`](crate::tide()) finds.
#[derive(Debug, Clone, PartialEq)]
pub struct TideReport {
    /// The IoU at which a detection counts as correct.
    pub positive_iou: f64,
    /// AP at that IoU in [0, 1], or 0 without any object and detection.
    pub ap: f64,
    /// Counts over all categories, and importances for [`ap`](Self::ap).
    pub figures: TideFigures,
    /// The selected categories by ascending id.
    pub categories: Vec<TideCategory>,
    /// Every error: images by ascending id, in an image detections by falling score, then missed objects in
    /// file order.
    pub errors: Vec<TideError>,
}

impl fmt::Display for TideReport {
    /// AP, then one type a line with count and importance.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "AP at IoU {}: {:.4}", self.positive_iou, self.ap)?;
        writeln!(f, "{:<8} {:>9} {:>10}", "error", "count", "importance")?;
        let mut line = |name: &str, figure: TideFigure| {
            writeln!(f, "{name:<8} {:>9} {:>10.4}", figure.count, figure.importance)
        };
        for kind in TideKind::ALL {
            line(kind.short_name(), self.figures.of(kind))?;
        }
        line("FalsePos", self.figures.false_positives)?;
        line("FalseNeg", self.figures.false_negatives)
    }
}
