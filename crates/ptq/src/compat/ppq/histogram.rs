//! PPQ's histogram and the two calibrators that search it.

use super::super::numeric_ppq_aimet::{histc, sum};
use super::{Grid, MINIMUM_SCALE, ScaleOffset, range_of, range_to_scale_offset};
use crate::Error;
use quant_core::Scheme;

/// Counts of all batches in equal bins over the range of all batches: magnitudes from 0 if symmetric, else values from their minimum.
///
/// The range comes first, in a pass of its own, so nothing depends on the order of batches.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    scheme: Scheme,
    counts: Vec<u64>,
    /// Smallest value; not used if symmetric.
    low: f64,
    /// Width of a bin.
    width: f64,
}

impl Histogram {
    /// Bins that [`kl`] has by default.
    pub const KL_BINS: usize = 4096;
    /// Bins that [`mse`] has by default.
    pub const MSE_BINS: usize = 2048;

    /// The histogram of `batches` with that many bins.
    ///
    /// # Errors
    /// [`Error::NoValues`] if a batch is empty; [`Error::HistogramRange`] if the range is not finite or too wide for f32;
    /// [`Error::Bins`] unless `bins` is in `[1, 2^24]`.
    pub fn new(batches: &[&[f32]], scheme: Scheme, bins: usize) -> Result<Self, Error> {
        if !(1..=1 << 24).contains(&bins) {
            return Err(Error::Bins { bins });
        }
        let (low, high) = range_of(batches)?;
        let (low, high) = (f64::from(low), f64::from(high));
        let range = match scheme {
            Scheme::Symmetric if low.abs() > high.abs() => low.abs(),
            Scheme::Symmetric => high.abs(),
            Scheme::Affine => high - low,
        };
        let width = range / bins as f64;
        let mut counts = vec![0; bins];
        for batch in batches {
            let new = match scheme {
                Scheme::Symmetric => {
                    let magnitudes: Vec<f32> = batch.iter().map(|x| x.abs()).collect();
                    histc(&magnitudes, bins, 0.0, width * bins as f64)?
                }
                Scheme::Affine => histc(batch, bins, low, high)?,
            };
            counts.iter_mut().zip(new).for_each(|(count, new)| *count += new);
        }
        Ok(Self { scheme, counts, low, width })
    }

    /// Counts by bin.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }
}

/// `kl`: the multiple `r` of `L = 2^(bits - 1)` bins whose `L` levels lose least information, as `scale = r width / L`.
///
/// ```text
/// b = counts; the first int(0.002 bins) of them are set to 0 and the next to 1   (quirk `ppq-kl-erased`)
/// P = b[..r], what lies beyond added to its last bin, over the total
/// Q = the L runs of r / L bins, each the mean of its occupied bins there and 0 elsewhere, over their sum
/// D(r) = sum P (log10(P + 1e-30) - log10(Q + 1e-30))
/// ```
///
/// The first least `D` wins. If the first `r` bins were all erased, `D` is NaN for them, and that wins whatever comes: with 4 bits
/// and 4096 bins, always (quirk `ppq-kl-nan`). The scale is that of 128, not 127 steps (quirk `ppq-kl-128`).
///
/// # Errors
/// [`Error::Scheme`] if the histogram is not symmetric; [`Error::Levels`] unless `bits` is in `[2, 16]` and `L` divides the number of bins.
pub fn kl(histogram: &Histogram, bits: u32) -> Result<ScaleOffset, Error> {
    if histogram.scheme != Scheme::Symmetric {
        return Err(Error::Scheme { calibrator: "PPQ's kl", scheme: histogram.scheme });
    }
    let bins = histogram.counts.len();
    let levels = if (2..=16).contains(&bits) { 1usize << (bits - 1) } else { 0 };
    if levels == 0 || !bins.is_multiple_of(levels) {
        return Err(Error::Levels { levels, bins });
    }
    let counts = without_spike(&histogram.counts);
    let mut best = (kl_divergence(&counts, levels, levels), levels);
    for candidate in (2 * levels..=bins).step_by(levels) {
        let divergence = kl_divergence(&counts, candidate, levels);
        // Not `!(a >= b)`: a NaN that came first stays.
        if divergence < best.0 {
            best = (divergence, candidate);
        }
    }
    let (bins, levels) = (bins as f64, levels as f64);
    let scale = best.1 as f64 / bins * histogram.width * (bins / levels);
    Ok(ScaleOffset { scale: scale.max(MINIMUM_SCALE) as f32, offset: 0 })
}

/// Counts in f32, the bins at zero erased.
fn without_spike(counts: &[u64]) -> Vec<f32> {
    let mut counts: Vec<f32> = counts.iter().map(|&c| c as f32).collect();
    let erased = (counts.len() as f64 * 0.002) as usize;
    counts[..erased].fill(0.0);
    counts[erased] = 1.0;
    counts
}

/// `D` of the first `candidate` bins. P and Q are rounded to f32, the rest is f64.
fn kl_divergence(counts: &[f32], candidate: usize, levels: usize) -> f64 {
    let (inside, beyond) = counts.split_at(candidate);
    let total = sum(counts);
    let mut p = inside.to_vec();
    p[candidate - 1] += sum(beyond);
    let mut q = Vec::with_capacity(candidate);
    for run in inside.chunks_exact(candidate / levels) {
        let occupied = run.iter().filter(|c| **c > 0.0).count().max(1);
        let mean = sum(run) / occupied as f32;
        q.extend(run.iter().map(|&c| if c > 0.0 { mean } else { 0.0 }));
    }
    let q_total = sum(&q);
    let log = |x: f32| (f64::from(x) + 1e-30).log10();
    p.iter()
        .zip(&q)
        .map(|(p, q)| (p / total, q / q_total))
        .map(|(p, q)| f64::from(p) * (log(p) - log(q)))
        .sum()
}

/// Distance between the starts that [`mse`] tries, in bins.
const MSE_INTERVAL: usize = 8;

/// `mse`: the range in whole bins per level that has the least squared error, values taken as evenly spread in their bins.
///
/// With `n = quant_max - quant_min + 1` levels, candidates are ranges of `n step` bins for `step` from 1 to `bins / n`, and first of
/// all `bins / n + 1`, which holds everything. Symmetric ranges start at 0, although half of the levels lie on the other side, so
/// that every candidate has twice the resolution it would get (quirk `ppq-mse-levels`); asymmetric ones start at 0, 8, 16, ... bins
/// as long as that is not above zero. The first least error wins.
///
/// # Errors
/// Those of [`range_to_scale_offset`]; [`Error::Scheme`] if the grid's scheme is not that of the histogram.
pub fn mse(histogram: &Histogram, grid: Grid) -> Result<ScaleOffset, Error> {
    if histogram.scheme != grid.scheme {
        return Err(Error::Scheme { calibrator: "PPQ's mse on this histogram", scheme: grid.scheme });
    }
    let bins = histogram.counts.len();
    let levels = (grid.quant_max - grid.quant_min) as usize + 1;
    let occupied = Occupied::new(&histogram.counts);
    let whole = bins / levels + 1;
    let mut best = (occupied.squared_error(0, whole, levels * whole), 0, levels * whole);
    for start in starts(histogram) {
        for step in 1..=bins / levels {
            let end = start + levels * step;
            if end > bins + levels {
                break;
            }
            let error = occupied.squared_error(start, step, end);
            if error < best.0 {
                best = (error, start, end);
            }
        }
    }
    let position = |bin: usize| bin as f64 * histogram.width;
    match histogram.scheme {
        Scheme::Symmetric => range_to_scale_offset(-position(best.2), position(best.2), grid),
        Scheme::Affine => {
            let (low, high) = (position(best.1) + histogram.low, position(best.2) + histogram.low);
            range_to_scale_offset(low, high, grid)
        }
    }
}

fn starts(histogram: &Histogram) -> Vec<usize> {
    match histogram.scheme {
        Scheme::Symmetric => vec![0],
        Scheme::Affine => (0..histogram.counts.len())
            .step_by(MSE_INTERVAL)
            .take_while(|&start| start as f64 * histogram.width + histogram.low <= 0.0)
            .collect(),
    }
}

/// Bins that hold something: the others add exact zeros.
struct Occupied {
    bins: Vec<(usize, f64)>,
    total: f64,
}

impl Occupied {
    fn new(counts: &[u64]) -> Self {
        let bins = counts.iter().enumerate().filter(|(_, c)| **c > 0).map(|(k, &c)| (k, c as f64)).collect();
        Self { bins, total: counts.iter().sum::<u64>() as f64 }
    }

    /// Mean squared distance, in bins, of the bins' centres to the nearest of the levels at `start, start + step, ...` up to `end`. A
    /// bin that the boundary between two levels halves counts with the mean distance of its values instead.
    fn squared_error(&self, start: usize, step: usize, end: usize) -> f64 {
        let error = |bin: usize| {
            if bin < start {
                return (start - bin - 1) as f64 + 0.5;
            }
            if bin > end {
                return (bin - end) as f64 + 0.5;
            }
            let left = (bin - start) % step;
            let right = step - left - 1;
            if left == right { left as f64 + 0.25 } else { left.min(right) as f64 + 0.5 }
        };
        self.bins.iter().fold(0.0, |sum, &(bin, count)| {
            let error = error(bin);
            sum + count * error * error / self.total
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symmetric(bins: usize, values: &[f32]) -> Histogram {
        Histogram::new(&[values], Scheme::Symmetric, bins).unwrap()
    }

    #[test]
    fn batches_do_not_matter() {
        let values: Vec<f32> = (0..1000).map(|i| ((i * 37) % 1000) as f32 / 100.0 - 3.0).collect();
        let (a, b) = values.split_at(123);
        for scheme in [Scheme::Symmetric, Scheme::Affine] {
            let one = Histogram::new(&[&values], scheme, 64).unwrap();
            assert_eq!(Histogram::new(&[b, a], scheme, 64).unwrap(), one);
            assert_eq!(one.counts().iter().sum::<u64>(), 1000);
        }
    }

    #[test]
    fn what_the_calibrators_cannot_do_is_an_error() {
        let affine = Histogram::new(&[&[0.0, 1.0]], Scheme::Affine, 128).unwrap();
        assert!(matches!(kl(&affine, 8), Err(Error::Scheme { .. })));
        assert!(matches!(
            mse(&affine, Grid::new(Scheme::Symmetric, -8, 7).unwrap()),
            Err(Error::Scheme { .. })
        ));
        for (bins, bits) in [(100, 8), (128, 1), (128, 17), (128, 0), (128, u32::MAX)] {
            assert!(matches!(kl(&symmetric(bins, &[1.0]), bits), Err(Error::Levels { .. })), "{bins} {bits}");
        }
        assert!(matches!(Histogram::new(&[&[1.0]], Scheme::Symmetric, 0), Err(Error::Bins { .. })));
        let infinite = Histogram::new(&[&[1.0, f32::INFINITY]], Scheme::Symmetric, 8);
        assert!(matches!(infinite, Err(Error::HistogramRange { .. })));
    }

    #[test]
    fn a_far_outlier_is_clipped_by_kl_but_not_by_mse() {
        let mut values: Vec<f32> = (0..20_000).map(|i| (i as f32 * 0.37).sin()).collect();
        values.push(20.0);
        let clipped = kl(&symmetric(Histogram::KL_BINS, &values), 8).unwrap().scale * 128.0;
        assert!((0.9..2.0).contains(&clipped), "{clipped}");
        let grid = Grid::new(Scheme::Symmetric, -128, 127).unwrap();
        let kept = mse(&symmetric(Histogram::MSE_BINS, &values), grid).unwrap().scale * 127.5;
        assert!(kept > 15.0, "{kept}");
    }

    #[test]
    fn four_bits_fall_into_the_erased_bins() {
        let values: Vec<f32> = (0..1000).map(|i| i as f32 / 1000.0).collect();
        let histogram = symmetric(Histogram::KL_BINS, &values);
        assert_eq!(kl(&histogram, 4).unwrap().scale, (histogram.width) as f32);
    }
}
