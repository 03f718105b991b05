//! Figures with each image counted a number of times.
//!
//! This is what a bootstrap asks for thousands of times, so all that does not depend on the weights is
//! done once. The plain way would be to evaluate a data set in which an image of weight w occurs w times.
//! Departures:
//!
//! 1. A detection's rank and outcomes do not depend on the weights. The ranking is walked as it is, and a
//!    detection counts w times where it stands.
//! 2. Only detections whose outcome depends on the threshold are walked at each threshold; the others
//!    (false positives without any overlap) are summed up once per area range, between their neighbours.
//!    Those behind the last of all true positives cannot count and are left out.
//! 3. No curve is stored: interpolated precision is summed while the true positives are walked back, so
//!    that figures agree with those of an evaluation but for the order of the sum, to about 1e-15.

use crate::error::Error;
use crate::outcomes::Outcomes;
use crate::part::{Column, Part, Scratch, mean_precision};
use crate::summary::{Quantity, Summary, figures};
use crate::without_each::WithoutEach;

/// One of the twelve figures: a mean over a column.
struct Figure {
    quantity: Quantity,
    /// `None` for an area range or cap that was not evaluated.
    column: Option<usize>,
    /// Positions among the thresholds.
    thresholds: Vec<usize>,
}

/// Outcomes prepared for weighting.
pub(crate) struct Weighted {
    figures: Vec<Figure>,
    columns: usize,
    categories: usize,
    /// `[K, columns]`
    parts: Vec<Part>,
    thresholds: usize,
    recall_thresholds: Vec<f64>,
    images: usize,
}

/// Figures of one weighted set of images.
pub(crate) struct Sample {
    pub(crate) summary: Summary,
    /// Average precision of each category in the column of the first figure, -1 where it is undefined.
    pub(crate) categories: Vec<f64>,
}

impl Weighted {
    /// # Errors
    ///
    /// Fewer than three caps.
    pub(crate) fn new(outcomes: &Outcomes) -> Result<Self, Error> {
        let params = &outcomes.params;
        let mut columns = Vec::new();
        let mut wanted = Vec::new();
        for (quantity, selection) in figures(&params.max_detections)? {
            let area = params.area_ranges.iter().position(|range| range.name == selection.area_range);
            let cap = Some(selection.max_detections).filter(|cap| params.max_detections.contains(cap));
            let column = area.zip(cap).map(|(area, cap)| index_in(&mut columns, Column { area, cap }));
            let chosen =
                |&t: &usize| selection.iou_threshold.is_none_or(|wanted| wanted == params.iou_thresholds[t]);
            let thresholds = (0..params.iou_thresholds.len()).filter(chosen).collect();
            wanted.push(Figure { quantity, column, thresholds });
        }
        let thresholds = params.iou_thresholds.len();
        let areas = params.area_ranges.len();
        let of_category =
            |found| columns.iter().map(move |&column| Part::new(found, column, areas, thresholds));
        Ok(Self {
            figures: wanted,
            columns: columns.len(),
            categories: outcomes.categories.len(),
            parts: outcomes.categories.iter().flat_map(of_category).collect(),
            thresholds,
            recall_thresholds: params.recall_thresholds.clone(),
            images: outcomes.image_ids.len(),
        })
    }

    /// Number of images, and so of weights.
    pub(crate) fn images(&self) -> usize {
        self.images
    }

    pub(crate) fn categories(&self) -> usize {
        self.categories
    }

    /// The figures with image `i` counted `weights[i]` times.
    pub(crate) fn sample(&self, weights: &[u32], scratch: &mut Scratch) -> Sample {
        let mut sums = vec![[0.0; 2]; self.columns * self.thresholds];
        let mut defined = vec![0_usize; self.columns];
        let mut categories = vec![-1.0; self.categories];
        for (at, part) in self.parts.iter().enumerate() {
            let (k, column) = (at / self.columns, at % self.columns);
            if !part.weigh(weights, self.thresholds, &self.recall_thresholds, scratch) {
                continue;
            }
            defined[column] += 1;
            let sums = &mut sums[column * self.thresholds..(column + 1) * self.thresholds];
            for (sum, figures) in sums.iter_mut().zip(&scratch.figures) {
                *sum = [sum[0] + figures[0], sum[1] + figures[1]];
            }
            if Some(column) == self.figures[0].column {
                categories[k] = mean_precision(&scratch.figures);
            }
        }
        let figure = |figure: &Figure| self.mean(figure, &sums, &defined);
        let figures = std::array::from_fn(|i| figure(&self.figures[i]));
        Sample { summary: Summary::from_array(figures), categories }
    }

    fn mean(&self, figure: &Figure, sums: &[[f64; 2]], defined: &[usize]) -> f64 {
        let Some(column) = figure.column.filter(|&column| defined[column] > 0) else { return -1.0 };
        if figure.thresholds.is_empty() {
            return -1.0;
        }
        let of = if figure.quantity == Quantity::Precision { 0 } else { 1 };
        let sum: f64 = figure.thresholds.iter().map(|t| sums[column * self.thresholds + t][of]).sum();
        sum / (figure.thresholds.len() * defined[column]) as f64
    }

    /// Whether the first figure, average precision, can be told from these outcomes at all.
    pub(crate) fn has_average_precision(&self) -> bool {
        self.figures[0].column.is_some()
    }

    /// Average precision of a category in the column of the first figure, with each image that matters to
    /// it left out in turn; `None` where it is undefined.
    pub(crate) fn without_each(&self, k: usize) -> Option<WithoutEach> {
        let part = self.parts.get(k * self.columns + self.figures[0].column?)?;
        WithoutEach::new(part, self.images, self.thresholds, &self.recall_thresholds)
    }
}

fn index_in(columns: &mut Vec<Column>, column: Column) -> usize {
    columns.iter().position(|other| *other == column).unwrap_or_else(|| {
        columns.push(column);
        columns.len() - 1
    })
}
