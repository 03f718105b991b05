//! Saturation points as the vendor's quantiser finds them: from 4096 bins of magnitudes, at 32 candidates.

use crate::Error;
use crate::entropy::natural_logarithm;
use serde::{Deserialize, Serialize};

/// How a saturation point is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SaturationMethod {
    /// The candidate of the least Kullback-Leibler divergence.
    Kld,
    /// The candidate of the least mean squared error of rounding and clipping. The vendor does not say what its method of this name does.
    Ems,
    /// The largest magnitude.
    Null,
}

/// Bins between zero and the largest magnitude.
const BINS: usize = 4096;
/// Bins from one candidate to the next.
const STRIDE: usize = 128;
/// Magnitudes of a tensor, counted in 4096 bins up to the largest, which has to be known before.
#[derive(Debug, Clone, PartialEq)]
pub struct MagnitudeHistogram {
    largest: f32,
    counts: Vec<u64>,
}

impl MagnitudeHistogram {
    /// An empty one.
    ///
    /// # Errors
    /// [`Error::HistogramRange`] unless `largest` is finite and not negative.
    pub fn new(largest: f32) -> Result<Self, Error> {
        if !(largest.is_finite() && largest >= 0.0) {
            return Err(Error::HistogramRange { low: 0.0, high: largest });
        }
        Ok(Self { largest, counts: vec![0; BINS] })
    }

    /// Counts values; those beyond the largest magnitude go to the last bin.
    ///
    /// # Errors
    /// [`Error::NonFinite`] if a value is NaN or infinite.
    pub fn observe(&mut self, values: &[f32]) -> Result<(), Error> {
        Error::check_finite(values)?;
        let scale = if self.largest > 0.0 { BINS as f32 / self.largest } else { 0.0 };
        for value in values {
            self.counts[((value.abs() * scale) as usize).min(BINS - 1)] += 1;
        }
        Ok(())
    }

    /// Adds the counts of another one of the same largest magnitude.
    ///
    /// # Errors
    /// [`Error::HistogramRange`] if it has another.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        if other.largest != self.largest {
            return Err(Error::HistogramRange { low: self.largest, high: other.largest });
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
        Ok(())
    }

    /// The saturation point for integers of `bits` bits.
    ///
    /// Candidates are `k = 1..=32`, each of `128 k` bins; the `k`-th is `largest / 4096 * (4095 / 4096 * 128 k + 1/2)`. The divergence merges
    /// bins to `2^(bits - 1)` levels, those on one side of zero, and looks at candidates that have as many bins; from 13 bits on nothing is
    /// merged and the last candidate wins.
    #[must_use]
    pub fn saturation(&self, method: SaturationMethod, bits: u8) -> f32 {
        if method == SaturationMethod::Null || self.counts.iter().all(|&count| count == 0) {
            return self.largest;
        }
        let candidates = 1..=BINS / STRIDE;
        let last = *candidates.end();
        let levels = 1usize << (bits - 1);
        if levels >= BINS {
            return self.candidate(last);
        }
        let cost = |k: usize| match method {
            SaturationMethod::Kld if k * STRIDE < levels => f64::INFINITY,
            SaturationMethod::Kld => self.divergence(k * STRIDE, levels),
            _ => self.squared_error(self.candidate(k), bits),
        };
        // Of equal ones the widest, which clips least.
        let best = candidates.rev().min_by(|&a, &b| cost(a).total_cmp(&cost(b)));
        self.candidate(best.unwrap_or(last))
    }

    fn candidate(&self, k: usize) -> f32 {
        let bins = BINS as f64;
        (f64::from(self.largest) / bins * ((bins - 1.0) / bins * (STRIDE * k) as f64 + 0.5)) as f32
    }

    /// Of the histogram whose bins from `end` on are moved into the last before from itself, without those, merged to levels and spread
    /// over the occupied bins of each. An empty last bin counts as one value there, so that an outlier alone does not decide.
    fn divergence(&self, end: usize, levels: usize) -> f64 {
        let total: u64 = self.counts.iter().sum();
        let inside: u64 = self.counts[..end].iter().sum();
        let rest = (total - inside) as f64;
        if inside == 0 {
            return f64::INFINITY;
        }
        let mut sum = 0.0;
        for level in 0..levels {
            let range = level * end / levels..(level + 1) * end / levels;
            let bins = &self.counts[range.clone()];
            let occupied = bins.iter().filter(|&&count| count > 0).count();
            let mean = bins.iter().sum::<u64>() as f64 / occupied.max(1) as f64;
            for (bin, &count) in range.zip(bins) {
                let is_last = bin == end - 1;
                let p = (count as f64 + if is_last { rest } else { 0.0 }) / total as f64;
                let q = if count > 0 { mean } else { 1.0 } / inside as f64;
                if p > 0.0 {
                    sum += p * natural_logarithm(p / q);
                }
            }
        }
        sum
    }

    /// Of the bins' centres, rounded to the integers of a scale and clipped.
    fn squared_error(&self, saturation: f32, bits: u8) -> f64 {
        let largest_integer = f64::from((1u32 << (bits - 1)) - 1);
        let step = f64::from(saturation) / largest_integer;
        let width = f64::from(self.largest) / BINS as f64;
        let error = |(bin, &count): (usize, &u64)| {
            let centre = (bin as f64 + 0.5) * width;
            let rounded = (centre / step).round_ties_even().min(largest_integer) * step;
            // Within a bin values are spread evenly: width^2 / 12 more, the same for all candidates.
            count as f64 * (rounded - centre) * (rounded - centre)
        };
        self.counts.iter().enumerate().map(error).sum()
    }
}
