//! Which category is taken for which.

use std::fmt;
use std::io::{self, BufWriter, Write};

use crate::by_image::{Scene, Subset, check_overlap};
use crate::cells::check_images;
use crate::detections::Detections;
use crate::error::Error;
use crate::ground_truth::GroundTruth;
use crate::iou::Overlap;

/// Categories beyond this would make a matrix of more than 128 MiB.
const MAX_CATEGORIES: usize = 4095;
/// Matrices of up to this many categories are displayed whole.
const DISPLAYED_CATEGORIES: usize = 16;
/// Pairs displayed for larger ones.
const DISPLAYED_PAIRS: usize = 10;

/// Parameters of [`confusion_matrix`].
#[derive(Debug, Clone, PartialEq)]
pub struct ConfusionParams {
    /// IoU from which a detection may be matched to an object, in (0, 1]; 0.5 by default.
    pub iou: f64,
    /// Detections with a lower score are left out; 0.25 by default.
    pub score: f64,
    /// Cap on the detections per image *over all categories*, by score; 100 by default.
    pub max_detections: usize,
    /// Images to look at; `None` for all of the ground truth's.
    pub image_ids: Option<Vec<i64>>,
    /// Categories to look at; `None` for all of the ground truth's.
    pub category_ids: Option<Vec<i64>>,
}

impl Default for ConfusionParams {
    fn default() -> Self {
        Self { iou: 0.5, score: 0.25, max_detections: 100, image_ids: None, category_ids: None }
    }
}

/// Counts objects and detections by true and predicted category.
///
/// In an image, detections with `score` or more, by falling score (equal scores in the order they came,
/// cut at `max_detections`), each take the free object with the largest IoU, whatever its category, if that
/// is at least `iou`. Of equal IoUs one of the detection's own category wins, then the first in file order.
/// An unmatched detection of which a crowd region of its category covers `iou` or more is left out. Every
/// other detection and every object is counted once: a pair in the row of the object's category and the
/// column of the detection's, an unmatched detection in the row of the background, an object left free in
/// the column of the background.
///
/// # Errors
///
/// Thresholds out of range, more than 4,095 categories, and a detection on an image that the ground truth
/// does not list.
pub fn confusion_matrix(
    ground_truth: &GroundTruth,
    detections: &Detections,
    params: &ConfusionParams,
) -> Result<ConfusionMatrix, Error> {
    check(params)?;
    check_images(ground_truth, detections)?;
    let subset = Subset::new(ground_truth, params.image_ids.as_deref(), params.category_ids.as_deref());
    let mut matrix = ConfusionMatrix::empty(subset.category_ids())?;
    let truths_by_image = subset.ground_truth(ground_truth);
    let detections_by_image = subset.detections(detections, params.score);
    let mut scene = Scene::new(ground_truth, detections);
    let mut taken = Vec::new();
    for image in 0..subset.images() {
        let ranked = detections_by_image.image(image);
        let ranked = &ranked[..ranked.len().min(params.max_detections)];
        scene.fill(truths_by_image.image(image), ranked, params.iou);
        count_image(&scene, params.iou, &mut taken, &mut matrix);
    }
    Ok(matrix)
}

fn check(params: &ConfusionParams) -> Result<(), Error> {
    check_overlap("iou", params.iou)?;
    if params.score.is_nan() {
        let (parameter, value) = ("score", params.score);
        return Err(Error::ParameterOutOfRange { parameter, value, range: "a number" });
    }
    Ok(())
}

fn count_image(scene: &Scene<'_>, iou: f64, taken: &mut Vec<bool>, matrix: &mut ConfusionMatrix) {
    let truths = scene.truths();
    let background = matrix.category_ids.len();
    taken.clear();
    taken.resize(truths.len(), false);
    for (detection, overlaps) in scene.detections() {
        let own = |g: usize| truths[g].category == detection.category;
        let predicted = detection.category as usize;
        if let Some(g) = best_free(overlaps, taken, own) {
            taken[g] = true;
            matrix.add(truths[g].category as usize, predicted);
        } else if scene.crowd_overlap(detection) < iou {
            matrix.add(background, predicted);
        }
    }
    for (truth, _) in truths.iter().zip(taken).filter(|(_, taken)| !**taken) {
        matrix.add(truth.category as usize, background);
    }
}

/// The free object with the largest overlap; of equals one of the own category, then the first.
fn best_free(overlaps: &[Overlap], taken: &[bool], own: impl Fn(usize) -> bool) -> Option<usize> {
    let mut best: Option<(f64, bool, usize)> = None;
    for overlap in overlaps {
        let g = overlap.ground_truth as usize;
        let better =
            |(iou, same, _): (f64, bool, usize)| overlap.iou > iou || (overlap.iou == iou && own(g) && !same);
        if !taken[g] && best.is_none_or(better) {
            best = Some((overlap.iou, own(g), g));
        }
    }
    best.map(|(.., g)| g)
}

/// Counts by true category (rows) and predicted category (columns), the background last in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfusionMatrix {
    category_ids: Vec<i64>,
    counts: Vec<u64>,
}

/// Sums of one category in a [`ConfusionMatrix`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConfusionFigures {
    /// The category.
    pub category_id: i64,
    /// Its objects, the sum of its row.
    pub truths: u64,
    /// Its detections, the sum of its column.
    pub predicted: u64,
    /// Detections matched to an object of this category.
    pub correct: u64,
    /// `correct / predicted`; `None` without detections.
    pub precision: Option<f64>,
    /// `correct / truths`; `None` without objects.
    pub recall: Option<f64>,
}

impl ConfusionMatrix {
    fn empty(category_ids: &[i64]) -> Result<Self, Error> {
        let found = category_ids.len();
        if found > MAX_CATEGORIES {
            return Err(Error::TooManyCategories { found, limit: MAX_CATEGORIES });
        }
        Ok(Self { category_ids: category_ids.to_vec(), counts: vec![0; (found + 1) * (found + 1)] })
    }

    fn add(&mut self, truth: usize, predicted: usize) {
        let side = self.side();
        self.counts[truth * side + predicted] += 1;
    }

    /// K + 1.
    fn side(&self) -> usize {
        self.category_ids.len() + 1
    }

    fn at(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[truth * self.side() + predicted]
    }

    /// The K categories by ascending id: rows and columns 0 to K - 1.
    #[must_use]
    pub fn category_ids(&self) -> &[i64] {
        &self.category_ids
    }

    /// All counts `[K + 1, K + 1]`, row-major; row and column K are the background's.
    ///
    /// Row K counts detections without an object, column K objects without a detection; where they meet
    /// stands 0.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The count of one true and one predicted category, `None` for the background; no count for a category
    /// that is not in the matrix.
    #[must_use]
    pub fn get(&self, truth: Option<i64>, predicted: Option<i64>) -> Option<u64> {
        Some(self.at(self.index(truth)?, self.index(predicted)?))
    }

    fn index(&self, category: Option<i64>) -> Option<usize> {
        match category {
            Some(id) => self.category_ids.binary_search(&id).ok(),
            None => Some(self.category_ids.len()),
        }
    }

    /// Sums, precision and recall of each category, by ascending id.
    #[must_use]
    pub fn per_category(&self) -> Vec<ConfusionFigures> {
        let row = |(k, &category_id)| {
            let truths = (0..self.side()).map(|predicted| self.at(k, predicted)).sum();
            let predicted = (0..self.side()).map(|truth| self.at(truth, k)).sum();
            let correct = self.at(k, k);
            let part = |whole: u64| (whole > 0).then(|| correct as f64 / whole as f64);
            let (precision, recall) = (part(predicted), part(truths));
            ConfusionFigures { category_id, truths, predicted, correct, precision, recall }
        };
        self.category_ids.iter().enumerate().map(row).collect()
    }

    /// The matrix with each row divided by its sum, `[K + 1, K + 1]`, row-major; rows without a count are 0.
    #[must_use]
    pub fn normalised_by_truth(&self) -> Vec<f64> {
        let normalised = |row: &[u64]| {
            let sum = row.iter().sum::<u64>().max(1) as f64;
            row.iter().map(|&count| count as f64 / sum).collect::<Vec<f64>>()
        };
        self.counts.chunks_exact(self.side()).flat_map(normalised).collect()
    }

    /// Up to `n` pairs of different categories `(true, predicted, count)` by falling count, then ascending
    /// ids; the background and pairs that never occur are left out.
    #[must_use]
    pub fn most_confused(&self, n: usize) -> Vec<(i64, i64, u64)> {
        let ids = &self.category_ids;
        let pairs = (0..ids.len()).flat_map(|truth| (0..ids.len()).map(move |predicted| (truth, predicted)));
        let mut found: Vec<(i64, i64, u64)> = pairs
            .filter(|(truth, predicted)| truth != predicted)
            .map(|(truth, predicted)| (ids[truth], ids[predicted], self.at(truth, predicted)))
            .filter(|&(.., count)| count > 0)
            .collect();
        found.sort_by_key(|&(.., count)| std::cmp::Reverse(count));
        found.truncate(n);
        found
    }

    /// Writes the counts as comma-separated values: a header with the predicted category ids, then one true
    /// category a line, `background` last in both.
    ///
    /// # Errors
    ///
    /// What the sink reports.
    pub fn write_csv(&self, sink: impl Write) -> io::Result<()> {
        let mut sink = BufWriter::new(sink);
        write!(sink, "truth")?;
        for predicted in 0..self.side() {
            write!(sink, ",{}", self.label(predicted))?;
        }
        for truth in 0..self.side() {
            write!(sink, "\n{}", self.label(truth))?;
            for predicted in 0..self.side() {
                write!(sink, ",{}", self.at(truth, predicted))?;
            }
        }
        writeln!(sink)?;
        sink.flush()
    }

    fn label(&self, index: usize) -> String {
        self.category_ids.get(index).map_or_else(|| "background".to_owned(), i64::to_string)
    }

    fn display_whole(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>11}", "truth")?;
        for predicted in 0..self.side() {
            write!(f, " {:>10}", self.label(predicted))?;
        }
        writeln!(f)?;
        for truth in 0..self.side() {
            write!(f, "{:>11}", self.label(truth))?;
            for predicted in 0..self.side() {
                write!(f, " {:>10}", self.at(truth, predicted))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn display_sums(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let background = self.category_ids.len();
        let sum = |count: &dyn Fn(usize) -> u64| (0..background).map(count).sum::<u64>();
        let correct = sum(&|k| self.at(k, k));
        let (missed, unfounded) = (sum(&|k| self.at(k, background)), sum(&|k| self.at(background, k)));
        let confused = self.counts.iter().sum::<u64>() - correct - missed - unfounded;
        writeln!(f, "{background} categories")?;
        writeln!(f, "{correct} right, {confused} confused, {missed} missed, {unfounded} on background")?;
        for (truth, predicted, count) in self.most_confused(DISPLAYED_PAIRS) {
            writeln!(f, "{count:>8} of category {truth} taken for {predicted}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ConfusionMatrix {
    /// The matrix under its ids, or for more than 16 categories the sums and the ten most confused pairs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.category_ids.len() <= DISPLAYED_CATEGORIES {
            self.display_whole(f)
        } else {
            self.display_sums(f)
        }
    }
}
