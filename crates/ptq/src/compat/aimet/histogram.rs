//! AIMET's histogram, which grows with its batches and spreads its old counts over the new bins.

use super::super::numeric_ppq_aimet::histc;
use crate::Error;

/// `_HistogramObserver`: counts in equal bins over the range of the values so far. The result depends on the order and the size of
/// batches (quirk `aimet-batch-order`).
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramObserver {
    bins: usize,
    growth_limit: f32,
    /// What the range may never exceed; set by the first batch.
    limits: (f32, f32),
    low: f32,
    high: f32,
    counts: Vec<f32>,
    edges: Vec<f32>,
}

impl HistogramObserver {
    /// Bins of the percentile and SQNR calibrators by default.
    pub const BINS: usize = 2048;

    /// An empty histogram of `bins` bins. With a `growth_limit` the range grows by at most half of that many widths of the first
    /// batch's range on each side, and later values beyond count in the outer bins.
    ///
    /// # Errors
    /// [`Error::Bins`] unless `bins` is in `[1, 2^24]`; [`Error::GrowthLimit`] unless `growth_limit` is at least 1.
    pub fn new(bins: usize, growth_limit: Option<f32>) -> Result<Self, Error> {
        let growth_limit = growth_limit.unwrap_or(f32::INFINITY);
        if !(1..=1 << 24).contains(&bins) {
            return Err(Error::Bins { bins });
        }
        if growth_limit.is_nan() || growth_limit < 1.0 {
            return Err(Error::GrowthLimit { limit: growth_limit });
        }
        let (counts, edges) = (Vec::new(), Vec::new());
        Ok(Self { bins, growth_limit, limits: (0.0, 0.0), low: 0.0, high: 0.0, counts, edges })
    }

    /// That of `TfEnhancedEncodingAnalyzer`: 512 bins, growth limited to 3 widths of the first batch's range.
    #[must_use]
    pub fn tf_enhanced() -> Self {
        let (counts, edges) = (Vec::new(), Vec::new());
        Self { bins: 512, growth_limit: 3.0, limits: (0.0, 0.0), low: 0.0, high: 0.0, counts, edges }
    }

    /// Counts by bin, whole numbers. Empty before the first batch.
    #[must_use]
    pub fn counts(&self) -> &[f32] {
        &self.counts
    }

    /// Edges of the bins, one more than bins. Empty before the first batch.
    #[must_use]
    pub fn edges(&self) -> &[f32] {
        &self.edges
    }

    /// Smallest and largest value of the range: for the first batch those of its finite values, even where the bins are wider.
    #[must_use]
    pub fn range(&self) -> (f32, f32) {
        (self.low, self.high)
    }

    /// Adds a batch. Infinite values count in the outer bins, NaN nowhere.
    ///
    /// # Errors
    /// [`Error::NoValues`] if the batch has no finite value; [`Error::HistogramRange`] if its range is too wide for f32.
    pub fn observe(&mut self, batch: &[f32]) -> Result<(), Error> {
        let finite = || batch.iter().copied().filter(|x| x.is_finite());
        let low = finite().reduce(f32::min).ok_or(Error::NoValues)?;
        let high = finite().reduce(f32::max).ok_or(Error::NoValues)?;
        if self.counts.is_empty() { self.start(batch, low, high) } else { self.grow(batch, low, high) }
    }

    fn start(&mut self, batch: &[f32], low: f32, high: f32) -> Result<(), Error> {
        let edges = edges(low, high, self.bins);
        let (first, last) = (edges[0], edges[self.bins]);
        self.counts = counted(batch, self.bins, first, last)?;
        let reach = (last - first) * self.growth_limit / 2.0;
        self.limits = (first - reach, last + reach);
        (self.low, self.high, self.edges) = (low, high, edges);
        Ok(())
    }

    fn grow(&mut self, batch: &[f32], low: f32, high: f32) -> Result<(), Error> {
        let low = low.max(self.limits.0).min(self.edges[0]);
        let high = high.max(self.edges[self.bins]).min(self.limits.1);
        let mut counts = counted(batch, self.bins, low, high)?;
        if low == self.low && high == self.high {
            add(&mut counts, &self.counts);
        } else {
            add(&mut counts, &self.spread(low, high));
        }
        (self.low, self.high, self.counts) = (low, high, counts);
        self.edges = edges(low, high, self.bins);
        Ok(())
    }

    /// The old counts in new bins over `[low, high]`. Of an old bin that reaches into a second new bin, the part by width stays in
    /// the first, rounded; the rest goes to the bin one *new* width on, which may be two bins on (quirk `aimet-histogram-split`).
    fn spread(&self, low: f32, high: f32) -> Vec<f32> {
        let new_width = (high - low) / self.bins as f32;
        let old_width = self.edges[1] - self.edges[0];
        let bin = |x: f32| (((x - low) / new_width) as usize).min(self.bins - 1);
        let parts: Vec<(usize, f32)> = self
            .counts
            .iter()
            .zip(&self.edges)
            .map(|(&count, &start)| {
                let first = bin(start);
                let end = low + new_width * (first + 1) as f32;
                (first, ((end - start) / old_width * count).round_ties_even().min(count))
            })
            .collect();
        let mut counts = vec![0.0; self.bins];
        for &(first, part) in &parts {
            counts[first] += part;
        }
        for ((&count, &start), &(_, part)) in self.counts.iter().zip(&self.edges).zip(&parts) {
            if part < count {
                counts[bin(start + new_width)] += count - part;
            }
        }
        counts
    }
}

fn add(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

/// Edges `i step + low`; a range of one value is widened by 0.5 on both sides.
fn edges(low: f32, high: f32, bins: usize) -> Vec<f32> {
    let (low, high) = if low == high { (low - 0.5, high + 0.5) } else { (low, high) };
    let step = (high - low) / bins as f32;
    (0..=bins).map(|i| i as f32 * step + low).collect()
}

/// Counts over `[first, last]`, what lies outside in the outer bins.
fn counted(batch: &[f32], bins: usize, first: f32, last: f32) -> Result<Vec<f32>, Error> {
    let counts = histc(batch, bins, f64::from(first), f64::from(last))?;
    let mut counts: Vec<f32> = counts.into_iter().map(|c| c as f32).collect();
    counts[0] += batch.iter().filter(|&&x| x < first).count() as f32;
    counts[bins - 1] += batch.iter().filter(|&&x| x > last).count() as f32;
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_keeps_the_number_of_values() {
        let mut histogram = HistogramObserver::new(64, None).unwrap();
        let mut expected = 0.0;
        for scale in [1.0f32, 3.0, 0.5, 10.0, 10.0] {
            let batch: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.7).sin() * scale).collect();
            histogram.observe(&batch).unwrap();
            expected += 1000.0;
            assert_eq!(histogram.counts().iter().sum::<f32>(), expected, "scale {scale}");
        }
        let (low, high) = histogram.range();
        assert!((-10.0..=-9.9).contains(&low) && (9.9..=10.0).contains(&high), "{low} {high}");
    }

    #[test]
    fn the_growth_limit_holds_the_range_and_counts_the_rest_outside() {
        let mut histogram = HistogramObserver::tf_enhanced();
        histogram.observe(&[0.0, 1.0]).unwrap();
        histogram.observe(&[-100.0, 100.0, f32::INFINITY, f32::NAN]).unwrap();
        assert_eq!(histogram.range(), (-1.5, 2.5));
        assert_eq!((histogram.counts()[0], histogram.counts()[511]), (1.0, 2.0));
        assert_eq!(histogram.counts().iter().sum::<f32>(), 5.0);
    }

    #[test]
    fn constants_get_bins_and_nothing_finite_is_an_error() {
        let mut histogram = HistogramObserver::new(4, None).unwrap();
        histogram.observe(&[2.0; 5]).unwrap();
        assert_eq!((histogram.edges(), histogram.range()), (&[1.5, 1.75, 2.0, 2.25, 2.5][..], (2.0, 2.0)));
        assert!(matches!(histogram.observe(&[f32::NAN]), Err(Error::NoValues)));
        assert!(matches!(histogram.observe(&[f32::MIN, f32::MAX]), Err(Error::HistogramRange { .. })));
        assert!(matches!(HistogramObserver::new(0, None), Err(Error::Bins { .. })));
        assert!(matches!(HistogramObserver::new(4, Some(f32::NAN)), Err(Error::GrowthLimit { .. })));
    }

    proptest::proptest! {
        #[test]
        fn any_batches_leave_a_histogram_or_an_error(
            batches in proptest::collection::vec(proptest::collection::vec(proptest::num::f32::ANY, 1..20), 1..5)
        ) {
            let mut histogram = HistogramObserver::new(16, Some(3.0)).unwrap();
            for batch in &batches {
                let _ = histogram.observe(batch);
            }
            proptest::prop_assert!(histogram.counts().is_empty() || histogram.edges().len() == 17);
        }
    }
}
