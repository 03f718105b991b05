//! Collecting a histogram over several batches.

use super::{Histogram, IntegerFormat, Search, entropy, mse, percentile};
use crate::compat::{Error, numeric};
use numeric::{numpy, torch};
use std::borrow::Cow;

/// Which of the two implementations of `collect` runs: the `torch_hist` argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HistogramPath {
    /// `torch_hist=True`, the default: over `[0, max]`.
    #[default]
    Torch,
    /// `torch_hist=False`: over `[min, max]`.
    Numpy,
}

/// `HistogramCalibrator`: one histogram of magnitudes over all batches.
///
/// The first batch fixes the width of the bins. A larger value later adds bins of that width and changes none (quirk
/// `width-never-changes`), so the result depends on the order of the batches and how they are cut. Counts are exact.
#[derive(Debug, Clone)]
pub struct HistogramCalibrator {
    bins: usize,
    path: HistogramPath,
    skip_zeros: bool,
    histogram: Option<Histogram>,
    /// The numpy path has grown: its edges are doubles from then on.
    in_f64: bool,
}

impl HistogramCalibrator {
    /// An empty calibrator. The reference's default is 2048 bins.
    ///
    /// # Errors
    /// [`Error::Bins`].
    pub fn new(bins: usize, path: HistogramPath) -> Result<Self, Error> {
        numeric::check_bins(bins)?;
        Ok(Self { bins, path, skip_zeros: false, histogram: None, in_f64: false })
    }

    /// The same, leaving exact zeros out.
    #[must_use]
    pub fn skipping_zeros(mut self) -> Self {
        self.skip_zeros = true;
        self
    }

    /// Counts one batch.
    ///
    /// quirk `abs-if-any-negative`: magnitudes are taken of the whole batch if its minimum is negative; a NaN in it prevents that.
    ///
    /// # Errors
    /// [`Error::EmptyBatch`], [`Error::NonFiniteRange`], [`Error::ZeroWidth`], [`Error::Bins`] and [`Error::Unresolved`]; the
    /// calibrator is then as it was.
    pub fn collect(&mut self, values: &[f32]) -> Result<(), Error> {
        let (low, _) = numeric::extremes(values).ok_or(Error::EmptyBatch)?;
        let mut values = Cow::Borrowed(values);
        if low < 0.0 {
            values = values.iter().map(|x| x.abs()).collect();
        }
        if self.skip_zeros {
            values = values.iter().copied().filter(|&x| x != 0.0).collect();
        }
        let histogram = match (self.path, &self.histogram) {
            (HistogramPath::Torch, None) => self.first_by_torch(&values)?,
            (HistogramPath::Torch, Some(old)) => next_by_torch(old, &values)?,
            (HistogramPath::Numpy, None) => self.first_by_numpy(&values)?,
            (HistogramPath::Numpy, Some(old)) => {
                let (histogram, grown) = next_by_numpy(old, self.in_f64, &values)?;
                self.in_f64 |= grown;
                histogram
            }
        };
        self.histogram = Some(histogram);
        Ok(())
    }

    fn first_by_torch(&self, values: &[f32]) -> Result<Histogram, Error> {
        let (_, maximum) = numeric::extremes(values).ok_or(Error::EmptyBatch)?;
        let counts = torch::histc(values, self.bins, maximum)?;
        Histogram::new(counts, widen(torch::linspace(maximum, self.bins)))
    }

    /// quirk `numpy-starts-at-min`: the range is `[min, max]` and not `[0, max]`.
    fn first_by_numpy(&self, values: &[f32]) -> Result<Histogram, Error> {
        let (counts, edges) = numpy::histogram(values, self.bins)?;
        Histogram::new(counts, widen(edges))
    }

    /// What was collected.
    ///
    /// # Errors
    /// [`Error::NoData`].
    pub fn histogram(&self) -> Result<&Histogram, Error> {
        self.histogram.as_ref().ok_or(Error::NoData)
    }

    /// [`entropy`] of what was collected.
    ///
    /// quirk `entropy-writes-back`: on the numpy path it works on the calibrator's own counts, so that the first bin is lost to what is
    /// computed or collected later.
    ///
    /// # Errors
    /// As [`entropy`]; [`Error::NoData`].
    pub fn entropy(&mut self, format: IntegerFormat, search: Search) -> Result<f32, Error> {
        let result = entropy(self.histogram()?, format, search);
        if let (HistogramPath::Numpy, Some(histogram)) = (self.path, &mut self.histogram)
            && let [first, second, ..] = histogram.counts.as_mut_slice()
        {
            *first = *second;
        }
        result
    }

    /// [`mse`] of what was collected.
    ///
    /// # Errors
    /// As [`mse`]; [`Error::NoData`].
    pub fn mse(&self, format: IntegerFormat, search: Search) -> Result<f32, Error> {
        mse(self.histogram()?, format, search)
    }

    /// [`percentile`] of what was collected; the reference's default is 99.99.
    ///
    /// # Errors
    /// As [`percentile`]; [`Error::NoData`].
    pub fn percentile(&self, percent: f64) -> Result<f32, Error> {
        percentile(self.histogram()?, percent)
    }
}

fn widen(edges: Vec<f32>) -> Vec<f64> {
    edges.into_iter().map(f64::from).collect()
}

/// Adds the old counts to the first of the new ones.
fn add(mut new: Vec<u64>, old: &[u64]) -> Result<Vec<u64>, Error> {
    if old.len() > new.len() {
        return Err(Error::EdgeCount { edges: new.len() + 1, counts: old.len() });
    }
    new.iter_mut().zip(old).for_each(|(new, old)| *new += old);
    Ok(new)
}

/// A later batch on the torch path.
///
/// quirk `edges-off-by-one`: the number of bins, `ceil(max / width)`, and the edges, `arange(0, max + width, width)`, are computed apart
/// and can disagree by one.
fn next_by_torch(old: &Histogram, values: &[f32]) -> Result<Histogram, Error> {
    let (_, maximum) = numeric::extremes(values).ok_or(Error::EmptyBatch)?;
    let (mut bins, mut edges) = (old.counts.len(), old.edges.clone());
    if f64::from(maximum) > edges[edges.len() - 1] {
        let width = edges[1] as f32 - edges[0] as f32;
        if width == 0.0 {
            return Err(Error::ZeroWidth { maximum });
        }
        bins = numeric::to_count(f64::from((maximum / width).ceil()))?;
        edges = widen(torch::arange(maximum + width, width)?);
    }
    let last = edges.last().ok_or(Error::ZeroWidth { maximum })?;
    let counts = torch::histc(values, bins, *last as f32)?;
    Histogram::new(add(counts, &old.counts)?, edges)
}

/// A later batch on the numpy path, and whether bins were added.
///
/// quirk `numpy-grows-in-f64`: new edges are made by `numpy.arange`, which is f64 for f32 arguments, and all edges are f64 afterwards.
fn next_by_numpy(old: &Histogram, in_f64: bool, values: &[f32]) -> Result<(Histogram, bool), Error> {
    let (_, maximum) = numeric::extremes(values).ok_or(Error::EmptyBatch)?;
    let mut edges = old.edges.clone();
    let last = edges[edges.len() - 1];
    let grows = f64::from(maximum) > last;
    if grows {
        edges.extend(if in_f64 {
            numpy::arange_f64(last, maximum, edges[1] - edges[0])?
        } else {
            numpy::arange_f32(last as f32, maximum, edges[1] as f32 - edges[0] as f32)?
        });
    }
    let counts = numpy::histogram_with(values, &edges);
    Ok((Histogram::new(add(counts, &old.counts)?, edges)?, grows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(path: HistogramPath, batches: &[&[f32]]) -> Result<HistogramCalibrator, Error> {
        let mut calibrator = HistogramCalibrator::new(8, path)?;
        batches.iter().try_for_each(|batch| calibrator.collect(batch))?;
        Ok(calibrator)
    }

    #[test]
    fn bins_are_added_at_the_old_width() {
        let calibrator = collected(HistogramPath::Torch, &[&[0.0, 8.0], &[-11.5, 3.0]]).unwrap();
        let histogram = calibrator.histogram().unwrap();
        assert_eq!(histogram.counts(), [1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]);
        assert_eq!(histogram.edges(), (0..13).map(f64::from).collect::<Vec<_>>());
        let numpy = collected(HistogramPath::Numpy, &[&[0.0, 8.0], &[-11.5, 3.0]]).unwrap();
        assert_eq!(numpy.histogram().unwrap(), histogram);
    }

    #[test]
    fn entropy_writes_back_on_the_numpy_path_only() {
        let data: &[f32] = &[0.0, 0.1, 0.2, 1.5, 3.0, 8.0];
        for (path, first) in [(HistogramPath::Torch, 3), (HistogramPath::Numpy, 1)] {
            let mut calibrator = collected(path, &[data]).unwrap();
            let format = IntegerFormat::new(2, false).unwrap();
            calibrator.entropy(format, Search { start_bin: 2, stride: 1 }).unwrap();
            assert_eq!(calibrator.histogram().unwrap().counts()[0], first, "{path:?}");
        }
    }

    #[test]
    fn what_the_reference_raises_is_an_error_and_changes_nothing() {
        let mut calibrator = collected(HistogramPath::Torch, &[&[0.0, 0.0]]).unwrap();
        assert_eq!(calibrator.collect(&[1.0]), Err(Error::ZeroWidth { maximum: 1.0 }));
        assert_eq!(calibrator.histogram().unwrap().counts().iter().sum::<u64>(), 2);
        assert!(collected(HistogramPath::Numpy, &[&[0.0, 0.0], &[1.0]]).is_ok());
        for path in [HistogramPath::Torch, HistogramPath::Numpy] {
            for data in [&[f32::NAN, -1.0][..], &[f32::INFINITY], &[]] {
                assert!(collected(path, &[data]).is_err(), "{path:?} {data:?}");
            }
            let grown = collected(path, &[&[1e-30, 0.0], &[1e30]]);
            assert!(matches!(grown, Err(Error::Bins { .. })), "{path:?} {grown:?}");
            assert_eq!(HistogramCalibrator::new(8, path).unwrap().percentile(50.0), Err(Error::NoData));
        }
    }

    #[test]
    fn zeros_can_be_left_out() {
        let mut calibrator = HistogramCalibrator::new(4, HistogramPath::Torch).unwrap().skipping_zeros();
        calibrator.collect(&[0.0, -0.0, 1.0, 4.0]).unwrap();
        assert_eq!(calibrator.histogram().unwrap().counts(), [0, 1, 0, 1]);
        assert_eq!(calibrator.collect(&[0.0]), Err(Error::EmptyBatch));
    }
}
