//! What a stage of training with frozen weights did to a parameter.

use super::drawing::{Histograms, Mark, Panel, short};
use super::error::IcraftError;
use super::plots::parameter;
use crate::error::Result;
use serde::Serialize;
use std::path::Path;

/// A parameter before and after.
#[derive(Debug, Serialize)]
pub struct Trained {
    /// Its name.
    pub name: String,
    /// Its elements.
    pub elements: usize,
    /// Elements that the mask froze: the largest magnitudes before, of equal ones those that come first.
    pub frozen: usize,
    /// The least magnitude among these.
    pub threshold: f32,
    /// Elements of that magnitude or above; more than frozen ones where magnitudes are equal.
    pub at_threshold_or_above: usize,
    /// Frozen elements that are not what they were.
    pub frozen_moved: usize,
    /// Other elements that are not what they were.
    pub trained_moved: usize,
    #[serde(skip)]
    before: Vec<f32>,
    #[serde(skip)]
    after: Vec<f32>,
}

impl Trained {
    /// Compares a parameter of two checkpoints; the share `ratio` of the largest magnitudes was frozen, rounded to the nearest number of
    /// elements.
    ///
    /// # Errors
    /// As [`parameter`]; [`IcraftError::Shape`].
    pub fn read(before: &Path, after: &Path, name: &str, ratio: f64) -> Result<Self> {
        let (first, second) = (parameter(before, name)?, parameter(after, name)?);
        if first.shape() != second.shape() {
            return Err(IcraftError::Shape {
                path: after.to_owned(),
                name: name.to_owned(),
                found: second.shape().to_vec(),
                other: before.to_owned(),
                expected: first.shape().to_vec(),
            }
            .into());
        }
        Ok(Self::new(name, first.data().to_vec(), second.data().to_vec(), ratio))
    }

    fn new(name: &str, before: Vec<f32>, after: Vec<f32>, ratio: f64) -> Self {
        let elements = before.len();
        let frozen = ((ratio * elements as f64).round() as usize).min(elements);
        let mut order: Vec<usize> = (0..elements).collect();
        // stable, so that of equal magnitudes the first counts
        order.sort_by(|&a, &b| before[b].abs().total_cmp(&before[a].abs()));
        let moved = |index: &&usize| before[**index].to_bits() != after[**index].to_bits();
        let threshold = order[..frozen].last().map_or(f32::INFINITY, |&index| before[index].abs());
        Self {
            name: name.to_owned(),
            elements,
            frozen,
            threshold,
            at_threshold_or_above: before.iter().filter(|value| value.abs() >= threshold).count(),
            frozen_moved: order[..frozen].iter().filter(moved).count(),
            trained_moved: order[frozen..].iter().filter(moved).count(),
            before,
            after,
        }
    }

    /// Histograms of both and of the change, with lines at the threshold.
    #[must_use]
    pub fn drawing(&self, bins: usize) -> Histograms {
        let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<f64>>();
        let (before, after) = (wide(&self.before), wide(&self.after));
        let changes: Vec<f64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
        let at = f64::from(self.threshold);
        let marks = [at, -at].map(|at| Mark { label: format!("frozen beyond {}", short(at)), at });
        let marks = if self.frozen > 0 { marks.to_vec() } else { Vec::new() };
        let title = format!("{}: {} of {} frozen", self.name, self.frozen, self.elements);
        let lists: [(&str, &[f64]); 2] = [("before", &before), ("after", &after)];
        let values = Panel::new("weight", &lists, marks, bins);
        let change = Panel::new("after - before", &[("change", &changes)], Vec::new(), bins);
        Histograms { title, panels: vec![values, change] }
    }
}

impl std::fmt::Display for Trained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, elements, frozen, threshold, at_threshold_or_above, .. } = self;
        writeln!(f, "{name}: {frozen} of {elements} frozen, magnitudes from {threshold} on")?;
        if at_threshold_or_above > frozen {
            writeln!(f, "{at_threshold_or_above} have such a magnitude; of equal ones the first are frozen")?;
        }
        write!(f, "moved: {} frozen, {} others", self.frozen_moved, self.trained_moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_share_is_frozen_even_among_equals() {
        let before = vec![0.5, -2.0, 0.5, 1.0, 0.5, -0.5, 0.0, 0.0];
        let mut after = before.clone();
        (after[1], after[2], after[7]) = (-2.5, 0.25, 0.125);
        let found = Trained::new("w", before, after, 0.5);
        assert_eq!((found.frozen, found.threshold, found.at_threshold_or_above), (4, 0.5, 6));
        assert_eq!((found.frozen_moved, found.trained_moved), (2, 1));
        let none = Trained::new("w", vec![1.0], vec![2.0], 0.0);
        assert_eq!((none.frozen, none.trained_moved, none.at_threshold_or_above), (0, 1, 0));
        assert!(none.drawing(4).panels[0].marks.is_empty(), "nothing frozen, no threshold");
    }
}
