//! The histogram over both signs.

use super::Bounds;
use crate::compat::{Error, numeric};
use numeric::numpy;

/// `HistogramCollector.collect_value`: bins of equal width over `[-t, t]`, `t` the largest magnitude so far or more.
///
/// As with `width-never-changes`, a larger magnitude later adds bins of the old width on both sides, however many. NaN are passed over.
#[derive(Debug, Clone)]
pub struct SignedHistogram {
    bins: usize,
    state: Option<State>,
}

#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) counts: Vec<u64>,
    pub(super) edges: Vec<f32>,
    pub(super) seen: Bounds,
    threshold: f32,
}

impl SignedHistogram {
    /// An empty histogram. The reference's default is 128 bins for entropy, 2048 for percentile and distribution.
    ///
    /// # Errors
    /// [`Error::Bins`].
    pub fn new(bins: usize) -> Result<Self, Error> {
        Ok(Self { bins: numeric::check_bins(bins)?, state: None })
    }

    /// Counts the values of one run over the data.
    ///
    /// # Errors
    /// [`Error::NonFiniteRange`], [`Error::Unresolved`], [`Error::Bins`]; the histogram is then as it was.
    pub fn collect(&mut self, values: &[f32]) -> Result<(), Error> {
        let seen = Bounds::of(values);
        // Python's max(a, b) keeps a unless b is larger.
        let (low, high) = (seen.lowest.abs(), seen.highest.abs());
        let threshold = if high > low { high } else { low };
        let state = match &self.state {
            None => {
                let (counts, edges) = numpy::histogram_in(values, self.bins, -threshold, threshold)?;
                State { counts, edges, seen, threshold }
            }
            Some(old) => old.merge(values, seen, threshold)?,
        };
        self.state = Some(state);
        Ok(())
    }

    /// Values per bin, ascending.
    ///
    /// # Errors
    /// [`Error::NoData`].
    pub fn counts(&self) -> Result<&[u64], Error> {
        Ok(&self.state()?.counts)
    }

    /// The edges, ascending, one more than bins.
    ///
    /// # Errors
    /// [`Error::NoData`].
    pub fn edges(&self) -> Result<&[f32], Error> {
        Ok(&self.state()?.edges)
    }

    pub(super) fn state(&self) -> Result<&State, Error> {
        self.state.as_ref().ok_or(Error::NoData)
    }

    /// The bins asked for at the start.
    pub(super) fn initial_bins(&self) -> usize {
        self.bins
    }

    /// `compute_percentile` with `symmetric=False`: half of the rest, `(100 - percent) / 200`, is cut from each end; left edges of bins,
    /// clipped to what was seen. The reference's default is 99.999.
    ///
    /// # Errors
    /// [`Error::Percent`] outside `[0, 100]`, [`Error::NoData`].
    pub fn percentile(&self, percent: f64) -> Result<Bounds, Error> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(Error::Percent { percent });
        }
        let State { counts, edges, seen, .. } = self.state()?;
        let cut = (100.0 - percent) / 200.0;
        let edge = |share| edges[numeric::reaching(counts, share)];
        Ok(Bounds { lowest: edge(cut), highest: edge(1.0 - cut) }.clipped_to(*seen))
    }
}

impl State {
    fn merge(&self, values: &[f32], seen: Bounds, threshold: f32) -> Result<Self, Error> {
        let seen = self.seen.merge(seen);
        let bins = self.counts.len();
        if threshold <= self.threshold {
            let (counts, _) = numpy::histogram_in(values, bins, -self.threshold, self.threshold)?;
            let counts = added(counts, &self.counts, 0);
            return Ok(Self { counts, edges: self.edges.clone(), seen, threshold: self.threshold });
        }
        let (side, threshold) = self.grown(threshold)?;
        let (counts, edges) = numpy::histogram_in(values, bins + 2 * side, -threshold, threshold)?;
        Ok(Self { counts: added(counts, &self.counts, side), edges, seen, threshold })
    }

    /// Bins to add on each side, and the new threshold, a whole number of widths above the old one.
    ///
    /// quirk `zero-keeps-its-bins`: counts of a histogram of zeros stay in the bins they were in, whatever those stand for then.
    fn grown(&self, threshold: f32) -> Result<(usize, f32), Error> {
        if self.threshold == 0.0 || !threshold.is_finite() {
            // What is not finite is refused with the new range.
            return Ok((0, threshold));
        }
        let width = 2.0 * self.threshold / self.counts.len() as f32;
        let side = floor_divide(threshold - self.threshold, width) + 1.0;
        let side = numeric::to_count(f64::from(side))?;
        Ok((side, side as f32 * width + self.threshold))
    }
}

/// `new` with `old` added from `offset` on.
fn added(mut new: Vec<u64>, old: &[u64], offset: usize) -> Vec<u64> {
    new[offset..].iter_mut().zip(old).for_each(|(new, old)| *new += old);
    new
}

/// `numpy.floor_divide` of non-negative f32: from the exact remainder, not from the rounded quotient.
fn floor_divide(a: f32, b: f32) -> f32 {
    if b == 0.0 {
        return a / b;
    }
    let quotient = (a - a % b) / b;
    let floor = quotient.floor();
    if quotient - floor > 0.5 { floor + 1.0 } else { floor }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(batches: &[&[f32]]) -> Result<SignedHistogram, Error> {
        let mut histogram = SignedHistogram::new(4)?;
        batches.iter().try_for_each(|batch| histogram.collect(batch))?;
        Ok(histogram)
    }

    #[test]
    fn bins_are_added_on_both_sides() {
        let histogram = collected(&[&[-2.0, 0.5, 1.5], &[2.5, f32::NAN]]).unwrap();
        assert_eq!(histogram.counts().unwrap(), [0, 1, 0, 1, 1, 1]);
        assert_eq!(histogram.edges().unwrap(), [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]);
        assert_eq!(histogram.percentile(100.0), Ok(Bounds { lowest: -2.0, highest: 2.0 }));
    }

    #[test]
    fn zeros_keep_their_bins() {
        let histogram = collected(&[&[0.0; 3], &[2.0]]).unwrap();
        assert_eq!(histogram.counts().unwrap(), [0, 0, 3, 1]);
        assert_eq!(histogram.edges().unwrap(), [-2.0, -1.0, 0.0, 1.0, 2.0]);
    }

    #[test]
    fn what_the_reference_raises_is_an_error() {
        assert!(matches!(collected(&[&[f32::INFINITY]]), Err(Error::NonFiniteRange { .. })));
        assert!(matches!(collected(&[&[1.0], &[f32::INFINITY]]), Err(Error::NonFiniteRange { .. })));
        assert!(matches!(collected(&[&[f32::NAN]]), Err(Error::NonFiniteRange { .. })));
        assert!(matches!(collected(&[&[1e-30], &[1e30]]), Err(Error::Bins { .. })));
        assert!(matches!(collected(&[]).unwrap().percentile(50.0), Err(Error::NoData)));
        assert!(matches!(collected(&[&[1.0]]).unwrap().percentile(101.0), Err(Error::Percent { .. })));
    }
}
