//! The least divergence of a window around zero from its quantised form.

use super::signed::State;
use super::{Bounds, SignedHistogram};
use crate::compat::{Error, numeric};
use numeric::numpy;

impl SignedHistogram {
    /// `get_entropy_threshold`: the window around zero that diverges least from its quantised form, clipped to what was seen. The
    /// reference's default is 128 quantised bins.
    ///
    /// For `i` from half the quantised bins to half the bins, the window holds the `i` bins on either side of the middle one, and that. P
    /// is the window with the counts outside added to its ends; Q is the window without those, summed in `quantized_bins` levels of whole
    /// bins (quirk `rest-in-last-level`: bins left over count in the last level, but get nothing back) and spread over the bins that P
    /// occupies, rounded down to whole counts (quirk `whole-counts`). Both are smoothed and normalised, all in f32 with numpy's
    /// logarithm and sums; the first of equal divergences wins.
    ///
    /// quirk `single-candidate`: with as many quantised bins as bins, the defaults, there is one candidate, and the result is what was
    /// seen.
    ///
    /// # Errors
    /// [`Error::NoData`], [`Error::Bins`] for no quantised bins, [`Error::NoCandidate`] for more quantised bins than bins,
    /// [`Error::Smoothing`].
    pub fn entropy(&self, quantized_bins: usize) -> Result<Bounds, Error> {
        let State { counts, edges, seen, .. } = self.state()?;
        numeric::check_bins(quantized_bins)?;
        let (middle, start) = (counts.len() / 2, quantized_bins / 2);
        if start > middle {
            return Err(Error::NoCandidate { end: middle + 1, start });
        }
        let mut search = Search::new(counts, quantized_bins);
        let mut divergences = Vec::with_capacity(middle - start + 1);
        for half in start..=middle {
            divergences.push(f64::from(search.divergence(window(counts.len(), half))?));
        }
        let best = start + numeric::argmin(divergences).unwrap_or(0);
        let window = window(counts.len(), best);
        Ok(Bounds { lowest: edges[window.start], highest: edges[window.end] }.clipped_to(*seen))
    }
}

/// The bins at most `half` away from the middle one.
fn window(bins: usize, half: usize) -> std::ops::Range<usize> {
    let middle = bins / 2;
    middle - half..(middle + half + 1).min(bins)
}

/// Counts, sums over the first of them, and scratch space.
struct Search<'a> {
    counts: &'a [u64],
    /// Entry `i`: the sum of the counts before `i`.
    sums: Vec<u64>,
    quantized_bins: usize,
    p: Vec<u64>,
    q: Vec<u64>,
    p_smooth: Vec<f32>,
    q_smooth: Vec<f32>,
}

impl<'a> Search<'a> {
    fn new(counts: &'a [u64], quantized_bins: usize) -> Self {
        let mut sums = vec![0];
        for (k, count) in counts.iter().enumerate() {
            sums.push(sums[k] + count);
        }
        let (p, q) = (Vec::new(), Vec::new());
        Self { counts, sums, quantized_bins, p, q, p_smooth: Vec::new(), q_smooth: Vec::new() }
    }

    fn divergence(&mut self, window: std::ops::Range<usize>) -> Result<f32, Error> {
        self.clip(window.clone());
        self.requantize(window);
        let some_p = smooth(&self.p, &mut self.p_smooth)?;
        let some_q = smooth(&self.q, &mut self.q_smooth)?;
        if !(some_p && some_q) {
            return Ok(f32::INFINITY);
        }
        Ok(divergence(&mut self.p_smooth, &mut self.q_smooth))
    }

    /// P: the window, with all outside at its ends.
    fn clip(&mut self, window: std::ops::Range<usize>) {
        let beyond = self.sums[self.counts.len()] - self.sums[window.end];
        let before = self.sums[window.start];
        self.p.clear();
        self.p.extend_from_slice(&self.counts[window]);
        if let Some(first) = self.p.first_mut() {
            *first += before;
        }
        if let Some(last) = self.p.last_mut() {
            *last += beyond;
        }
    }

    /// Q: the window in levels, spread over what P occupies.
    fn requantize(&mut self, window: std::ops::Range<usize>) {
        let (start, len) = (window.start, window.len());
        let width = len / self.quantized_bins;
        self.q.clear();
        self.q.resize(len, 0);
        for level in 0..self.quantized_bins {
            let bins = level * width..(level + 1) * width;
            let last = level + 1 == self.quantized_bins;
            let end = if last { len } else { bins.end };
            let count = self.sums[start + end] - self.sums[start + bins.start];
            let occupied = self.p[bins.clone()].iter().filter(|&&p| p != 0).count();
            if occupied > 0 {
                self.q[bins].fill((count as f64 / occupied as f64) as u64);
            }
        }
    }
}

/// `smooth_distribution`: empty bins get 1e-4, taken in equal parts from the others; false if all are empty.
///
/// quirk `smoothing-in-counts`: this is done to counts, so that it depends on the number of values.
fn smooth(counts: &[u64], smooth: &mut Vec<f32>) -> Result<bool, Error> {
    const EPSILON: f64 = 0.0001;
    let zeros = counts.iter().filter(|&&count| count == 0).count();
    let occupied = counts.len() - zeros;
    if occupied == 0 {
        return Ok(false);
    }
    let taken = EPSILON * zeros as f64 / occupied as f64;
    let value = |&count: &u64| if count == 0 { EPSILON as f32 } else { count as f32 + (-taken) as f32 };
    smooth.clear();
    smooth.extend(counts.iter().map(value));
    if taken >= 1.0 || smooth.iter().any(|&count| count <= 0.0) {
        return Err(Error::Smoothing { zeros, occupied });
    }
    Ok(true)
}

/// `sum p ln(p / q)` of two smoothed distributions, which are normalised first; the terms replace `p`.
fn divergence(p: &mut [f32], q: &mut [f32]) -> f32 {
    for values in [&mut *p, &mut *q] {
        let total = numpy::sum(values);
        values.iter_mut().for_each(|value| *value /= total);
    }
    // Empty bins come in runs with one ratio, which needs one logarithm.
    let (mut ratio, mut log) = (1.0, 0.0);
    for (p, q) in p.iter_mut().zip(q) {
        if *p / *q != ratio {
            ratio = *p / *q;
            log = numpy::log(ratio);
        }
        *p *= log;
    }
    numpy::sum(p)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: &[f32], bins: usize) -> SignedHistogram {
        let mut histogram = SignedHistogram::new(bins).unwrap();
        histogram.collect(values).unwrap();
        histogram
    }

    #[test]
    fn defaults_have_one_candidate() {
        let values: Vec<f32> = (0..5000).map(|i| (i as f32 * 0.37).sin().powi(5)).chain([40.0]).collect();
        let seen = Bounds::of(&values);
        assert_eq!(histogram(&values, 128).entropy(128), Ok(seen));
        assert_ne!(histogram(&values, 2048).entropy(128), Ok(seen));
    }

    #[test]
    fn smoothing_moves_a_whole_count_at_most() {
        let mut smoothed = Vec::new();
        assert_eq!(smooth(&[0, 0, 0], &mut smoothed), Ok(false));
        assert_eq!(smooth(&[0, 3, 1, 0], &mut smoothed), Ok(true));
        assert_eq!(smoothed, [1e-4, 3.0 - 1e-4, 1.0 - 1e-4, 1e-4]);
        let mut sparse = vec![0; 10_001];
        sparse[0] = 1;
        assert_eq!(smooth(&sparse, &mut smoothed), Err(Error::Smoothing { zeros: 10_000, occupied: 1 }));
    }

    #[test]
    fn windows_are_clipped_and_requantised() {
        let counts = [5, 1, 0, 2, 3, 4, 7, 1, 9];
        let mut search = Search::new(&counts, 3);
        search.clip(1..8);
        assert_eq!(search.p, [6, 0, 2, 3, 4, 7, 10]);
        // Levels of two bins: 1 over one occupied bin, 5 over two, 11 and the 1 left over over two; the last bin gets nothing.
        search.requantize(1..8);
        assert_eq!(search.q, [1, 1, 2, 2, 6, 6, 0]);
    }

    #[test]
    fn impossible_numbers_of_bins_are_errors() {
        let histogram = histogram(&[1.0, -2.0], 16);
        assert_eq!(histogram.entropy(18), Err(Error::NoCandidate { end: 9, start: 9 }));
        assert!(matches!(histogram.entropy(0), Err(Error::Bins { .. })));
    }
}
