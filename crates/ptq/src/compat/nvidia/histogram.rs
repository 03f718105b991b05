//! Histograms, and what all searches over them share.

use crate::compat::{Error, numeric};

/// Counts of magnitudes and the edges between them.
///
/// Edges are f32 values, except where the numpy path has grown (see `numpy-grows-in-f64`).
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    pub(super) counts: Vec<u64>,
    pub(super) edges: Vec<f64>,
}

impl Histogram {
    /// A histogram of these counts and edges. The torch path can leave edges that do not fit the counts (see `edges-off-by-one`), so
    /// that their numbers are not compared here.
    ///
    /// # Errors
    /// [`Error::Bins`], [`Error::EdgeCount`] for fewer than two edges, [`Error::Edge`], [`Error::TooManyValues`].
    pub fn new(counts: Vec<u64>, edges: Vec<f64>) -> Result<Self, Error> {
        numeric::check_bins(counts.len())?;
        if edges.len() < 2 {
            return Err(Error::EdgeCount { edges: edges.len(), counts: counts.len() });
        }
        let wrong =
            |&index: &usize| !edges[index].is_finite() || index > 0 && edges[index] < edges[index - 1];
        if let Some(index) = (0..edges.len()).find(wrong) {
            return Err(Error::Edge { index, value: edges[index] });
        }
        let total: u128 = counts.iter().map(|&count| u128::from(count)).sum();
        if total >= 1 << 53 {
            return Err(Error::TooManyValues { total });
        }
        Ok(Self { counts, edges })
    }

    /// Values per bin.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The edges, ascending.
    #[must_use]
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    pub(super) fn edge(&self, index: usize) -> Result<f32, Error> {
        let edge = self.edges.get(index).ok_or(Error::NoEdge { index, edges: self.edges.len() })?;
        Ok(*edge as f32)
    }
}

/// Which candidates a search tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Search {
    /// The first candidate: a number of bins, at least 1.
    pub start_bin: usize,
    /// Step between candidates, at least 1.
    pub stride: usize,
}

impl Default for Search {
    /// Every bin from the 128th on.
    fn default() -> Self {
        Self { start_bin: 128, stride: 1 }
    }
}

impl Search {
    /// The candidates below `end`.
    pub(super) fn candidates(self, end: usize) -> Result<impl DoubleEndedIterator<Item = usize>, Error> {
        let Self { start_bin: start, stride } = self;
        if start == 0 || stride == 0 {
            return Err(Error::Search { start, stride });
        }
        if start >= end {
            return Err(Error::NoCandidate { end, start });
        }
        Ok((start..end).step_by(stride))
    }
}

/// `_compute_amax_percentile`: an edge of the first bin at which the running sum of the shares is not below `percent / 100`.
///
/// quirk `left-edge`: it is the left edge of that bin, so the values in it are clipped, and constants are; only where rounding leaves the
/// sum below 1 does `percent = 100` give the maximum.
///
/// # Errors
/// [`Error::Percent`] outside `[0, 100]`, [`Error::NoEdge`].
pub fn percentile(histogram: &Histogram, percent: f64) -> Result<f32, Error> {
    if !(0.0..=100.0).contains(&percent) {
        return Err(Error::Percent { percent });
    }
    histogram.edge(numeric::reaching(&histogram.counts, percent / 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_left_edges() {
        let histogram = Histogram::new(vec![1, 0, 1, 2], vec![0.0, 1.0, 2.0, 3.0, 4.0]).unwrap();
        let table = [(0.0, 0.0), (25.0, 0.0), (26.0, 2.0), (50.0, 2.0), (51.0, 3.0), (100.0, 3.0)];
        for (percent, expected) in table {
            assert_eq!(percentile(&histogram, percent), Ok(expected), "{percent}");
        }
        for percent in [-0.1, 100.1, f64::NAN] {
            assert!(matches!(percentile(&histogram, percent), Err(Error::Percent { .. })));
        }
    }

    #[test]
    fn broken_histograms_are_refused() {
        let table = [
            (vec![], vec![0.0, 1.0]),
            (vec![1], vec![0.0]),
            (vec![1], vec![1.0, 0.0]),
            (vec![1], vec![0.0, f64::NAN]),
            (vec![1 << 53], vec![0.0, 1.0]),
            (vec![u64::MAX, u64::MAX], vec![0.0, 1.0, 2.0]),
        ];
        for (counts, edges) in table {
            assert!(Histogram::new(counts.clone(), edges.clone()).is_err(), "{counts:?} {edges:?}");
        }
    }
}
