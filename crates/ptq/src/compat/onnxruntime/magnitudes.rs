//! The histogram of magnitudes.

use super::Bounds;
use crate::compat::{Error, numeric};
use numeric::numpy;

/// `HistogramCollector.collect_absolute_value`, used by the symmetric percentile only.
///
/// The first range is that of the magnitudes, not from zero; it grows as that of NVIDIA's numpy path, with edges rounded back to f32
/// after every step.
#[derive(Debug, Clone)]
pub struct MagnitudeHistogram {
    bins: usize,
    state: Option<State>,
}

#[derive(Debug, Clone)]
struct State {
    counts: Vec<u64>,
    edges: Vec<f32>,
    seen: Bounds,
}

impl MagnitudeHistogram {
    /// An empty histogram. The reference's default is 2048 bins.
    ///
    /// # Errors
    /// [`Error::Bins`].
    pub fn new(bins: usize) -> Result<Self, Error> {
        Ok(Self { bins: numeric::check_bins(bins)?, state: None })
    }

    /// Counts the values of one run over the data.
    ///
    /// # Errors
    /// [`Error::NonFiniteRange`], also for a NaN in the first one, [`Error::EmptyBatch`] for a later one without values,
    /// [`Error::ZeroWidth`], [`Error::Unresolved`], [`Error::Bins`]; the histogram is then as it was.
    pub fn collect(&mut self, values: &[f32]) -> Result<(), Error> {
        let seen = Bounds::of(values);
        let magnitudes: Vec<f32> = values.iter().map(|x| x.abs()).collect();
        let state = match &self.state {
            None => {
                let (counts, edges) = numpy::histogram(&magnitudes, self.bins)?;
                State { counts, edges, seen }
            }
            Some(old) => old.merge(&magnitudes, seen)?,
        };
        self.state = Some(state);
        Ok(())
    }

    /// Values per bin.
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

    fn state(&self) -> Result<&State, Error> {
        self.state.as_ref().ok_or(Error::NoData)
    }

    /// `compute_percentile` with `symmetric=True`, the default: plus and minus the left edge of the bin at which the share is reached,
    /// clipped to what was seen. The reference's default is 99.999.
    ///
    /// # Errors
    /// [`Error::Percent`] outside `[0, 100]`, [`Error::NoData`].
    pub fn percentile(&self, percent: f64) -> Result<Bounds, Error> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(Error::Percent { percent });
        }
        let State { counts, edges, seen } = self.state()?;
        let edge = edges[numeric::reaching(counts, percent / 100.0)];
        Ok(Bounds { lowest: -edge, highest: edge }.clipped_to(*seen))
    }
}

impl State {
    fn merge(&self, magnitudes: &[f32], seen: Bounds) -> Result<Self, Error> {
        if magnitudes.is_empty() {
            return Err(Error::EmptyBatch);
        }
        let maximum = Bounds::of(magnitudes).highest;
        let mut edges: Vec<f64> = self.edges.iter().map(|&edge| edge.into()).collect();
        let last = self.edges[self.counts.len()];
        if maximum > last {
            edges.extend(numpy::arange_f32(last, maximum, self.edges[1] - self.edges[0])?);
        }
        let mut counts = numpy::histogram_with(magnitudes, &edges);
        counts.iter_mut().zip(&self.counts).for_each(|(new, old)| *new += old);
        let edges = edges.into_iter().map(|edge| edge as f32).collect();
        Ok(Self { counts, edges, seen: self.seen.merge(seen) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(batches: &[&[f32]]) -> Result<MagnitudeHistogram, Error> {
        let mut histogram = MagnitudeHistogram::new(4)?;
        batches.iter().try_for_each(|batch| histogram.collect(batch))?;
        Ok(histogram)
    }

    #[test]
    fn the_range_starts_at_the_least_magnitude() {
        let histogram = collected(&[&[1.0, -2.0, 3.0], &[0.5, -4.0]]).unwrap();
        assert_eq!(histogram.edges().unwrap(), [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]);
        // 0.5 is below the first edge and lost.
        assert_eq!(histogram.counts().unwrap(), [1, 0, 1, 1, 0, 1]);
        assert_eq!(histogram.percentile(50.0), Ok(Bounds { lowest: -2.0, highest: 2.0 }));
        assert_eq!(histogram.percentile(100.0), Ok(Bounds { lowest: -3.5, highest: 3.0 }));
    }

    #[test]
    fn what_the_reference_raises_is_an_error() {
        assert!(matches!(collected(&[&[f32::NAN, 1.0]]), Err(Error::NonFiniteRange { .. })));
        assert!(collected(&[&[1.0, 2.0], &[f32::NAN, 1.5]]).is_ok());
        assert_eq!(collected(&[&[1.0], &[]]).unwrap_err(), Error::EmptyBatch);
        assert!(collected(&[&[]]).is_ok());
        assert!(matches!(collected(&[]).unwrap().percentile(50.0), Err(Error::NoData)));
        assert!(matches!(collected(&[&[1.0]]).unwrap().percentile(-1.0), Err(Error::Percent { .. })));
    }
}
