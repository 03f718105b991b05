//! The least Kullback-Leibler divergence between a clipped histogram and its quantised form.
//!
//! The reference evaluates every candidate bin by bin. Here
//!
//! 1. candidates whose divergence is NaN or infinite are known from the counts alone;
//! 2. the divergence of the others is found from running sums, with one logarithm per level and a proven bound on its error;
//! 3. those that can be the least within that bound, in most cases one, are evaluated as the reference does it, to the bit.

use super::{Histogram, IntegerFormat, Search};
use crate::compat::numeric::numpy;
use crate::compat::{Error, numeric};

/// `_compute_amax_entropy`: the edge at which clipping diverges least.
///
/// For `i` bins, P is the histogram cut after them, with all counts beyond added to the last; Q is the cut histogram without those,
/// summed in `2^(bits - 1 + unsigned)` levels, bin `k` in level `floor(k levels / i)`, and spread evenly over the occupied bins of each
/// level. The divergence is `sum p ln(p / q)` over the normalised two, in f64 with scipy's `rel_entr` and numpy's pairwise sum.
///
/// quirk `bin0-becomes-bin1`: the first count is replaced by the second. quirk `last-equal-divergence`: the last of equal divergences
/// wins. With `nan-wins-argmin` both mean that a histogram whose first bins are empty clips everything: Q is empty, the divergence
/// `0 / 0`, and the last such candidate wins.
///
/// # Errors
/// [`Error::Bins`] for a single bin, [`Error::NoCandidate`], [`Error::Search`], [`Error::NoEdge`]. "Count mismatch!" can't occur: sums
/// below 2^53 are exact enough.
pub fn entropy(histogram: &Histogram, format: IntegerFormat, search: Search) -> Result<f32, Error> {
    let mut bins = histogram.counts.clone();
    let &[_, second, ..] = bins.as_slice() else {
        return Err(Error::Bins { bins: bins.len(), limit: numeric::MAX_BINS });
    };
    bins[0] = second;
    let candidates: Vec<usize> = search.candidates(bins.len() + 1)?.collect();
    histogram.edge(best(&Sums::new(&bins, format.levels()), &candidates))
}

/// The last candidate of least divergence; `candidates` is not empty.
fn best(sums: &Sums<'_>, candidates: &[usize]) -> usize {
    let rough: Vec<f64> = candidates.iter().map(|&candidate| sums.divergence(candidate)).collect();
    let least = rough.iter().copied().fold(f64::INFINITY, f64::min);
    let within = least + 2.0 * sums.error_bound();
    let mut exact = Exact::new(sums);
    let divergences = candidates.iter().zip(&rough).rev().map(|(&candidate, &rough)| {
        if rough.is_nan() || rough.is_infinite() {
            rough
        } else if rough <= within {
            exact.divergence(candidate)
        } else {
            f64::INFINITY
        }
    });
    let from_the_end = numeric::argmin(divergences).unwrap_or(0);
    candidates[candidates.len() - 1 - from_the_end]
}

/// A histogram with sums over its first bins; entry `i` of each is over the bins before `i`.
struct Sums<'a> {
    bins: &'a [u64],
    levels: usize,
    count: Vec<u64>,
    occupied: Vec<u32>,
    /// Of `x ln x`.
    log: Vec<f64>,
}

fn x_ln_x(x: u64) -> f64 {
    if x == 0 { 0.0 } else { x as f64 * (x as f64).ln() }
}

impl<'a> Sums<'a> {
    fn new(bins: &'a [u64], levels: usize) -> Self {
        let (mut count, mut occupied, mut log) = (vec![0], vec![0], vec![0.0]);
        for (k, &bin) in bins.iter().enumerate() {
            count.push(count[k] + bin);
            occupied.push(occupied[k] + u32::from(bin != 0));
            log.push(log[k] + x_ln_x(bin));
        }
        Self { bins, levels, count, occupied, log }
    }

    fn total(&self) -> u64 {
        self.count[self.bins.len()]
    }

    /// Counts from `candidate` on.
    fn tail(&self, candidate: usize) -> u64 {
        self.total() - self.count[candidate]
    }

    /// The bins of a level.
    fn level(&self, level: usize, candidate: usize) -> std::ops::Range<usize> {
        (level * candidate).div_ceil(self.levels)..((level + 1) * candidate).div_ceil(self.levels)
    }

    /// A bound on the error of [`Self::divergence`]: `n` additions of terms whose sum is below `total ln total`, each rounded, divided by
    /// the total, with `ln total < 37`; the same again for the reference's own roundings and then some.
    fn error_bound(&self) -> f64 {
        1e-12 + 128.0 * f64::EPSILON * self.bins.len() as f64
    }

    /// `sum P ln(P / Q) / T + ln(sum Q / T)`, both not normalised: NaN and infinities exactly where the reference has them.
    fn divergence(&self, candidate: usize) -> f64 {
        let (inside, tail) = (self.count[candidate], self.tail(candidate));
        if inside == 0 {
            return f64::NAN;
        }
        let last = self.bins[candidate - 1];
        if last == 0 && tail > 0 {
            return f64::INFINITY;
        }
        let total = self.total() as f64;
        let mut sum = self.log[candidate - 1] + x_ln_x(last + tail);
        for level in 0..self.levels {
            let bins = self.level(level, candidate);
            let occupied = self.occupied[bins.end] - self.occupied[bins.start];
            if occupied > 0 {
                let count = self.count[bins.end] - self.count[bins.start];
                let clipped = if bins.end == candidate { tail } else { 0 };
                sum -= (count + clipped) as f64 * (count as f64 / f64::from(occupied)).ln();
            }
        }
        sum / total + (inside as f64 / total).ln()
    }
}

/// The reference's own evaluation, with its scratch space.
struct Exact<'a> {
    sums: &'a Sums<'a>,
    q: Vec<f64>,
    terms: Vec<f64>,
}

impl<'a> Exact<'a> {
    fn new(sums: &'a Sums<'a>) -> Self {
        let bins = sums.bins.len();
        Self { sums, q: vec![0.0; bins], terms: vec![0.0; bins] }
    }

    fn divergence(&mut self, candidate: usize) -> f64 {
        let bins = &self.sums.bins[..candidate];
        let (q, terms) = (&mut self.q[..candidate], &mut self.terms[..candidate]);
        for level in 0..self.sums.levels {
            let range = self.sums.level(level, candidate);
            let members = &bins[range.clone()];
            let occupied = members.iter().filter(|&&count| count != 0).count();
            let share = members.iter().sum::<u64>() as f64 / occupied as f64;
            for (q, &count) in q[range].iter_mut().zip(members) {
                *q = if count == 0 { 0.0 } else { share };
            }
        }
        let (total, q_total) = (self.sums.total() as f64, numpy::sum(q));
        for (k, (term, &q)) in terms.iter_mut().zip(&*q).enumerate() {
            let clipped = if k + 1 == candidate { self.sums.tail(candidate) } else { 0 };
            *term = rel_entr((bins[k] + clipped) as f64 / total, q / q_total);
        }
        numpy::sum(terms)
    }
}

/// `scipy.special.rel_entr` (1.17.1).
fn rel_entr(x: f64, y: f64) -> f64 {
    if x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    if x <= 0.0 || y <= 0.0 {
        return if x == 0.0 && y >= 0.0 { 0.0 } else { f64::INFINITY };
    }
    let ratio = x / y;
    if 0.5 < ratio && ratio < 2.0 {
        x * ((x - y) / y).ln_1p()
    } else if ratio.is_normal() {
        x * ratio.ln()
    } else {
        x * (x.ln() - y.ln())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every candidate as the reference evaluates it.
    fn slow(bins: &[u64], levels: usize, candidates: &[usize]) -> usize {
        let sums = Sums::new(bins, levels);
        let mut exact = Exact::new(&sums);
        let all: Vec<f64> = candidates.iter().rev().map(|&candidate| exact.divergence(candidate)).collect();
        candidates[candidates.len() - 1 - numeric::argmin(all).unwrap()]
    }

    proptest! {
        #[test]
        fn the_search_finds_what_evaluating_everything_finds(
            bins in prop::collection::vec(prop_oneof![Just(0u64), 0u64..4, 0u64..100_000], 2..200),
            bits in 2u32..7, empty in 0usize..40, start in 1usize..40, stride in 1usize..4,
        ) {
            let mut bins = bins;
            bins.iter_mut().take(empty).for_each(|bin| *bin = 0);
            let candidates: Vec<usize> = (start..=bins.len()).step_by(stride).collect();
            prop_assume!(!candidates.is_empty());
            let levels = 1 << bits;
            let sums = Sums::new(&bins, levels);
            prop_assert_eq!(best(&sums, &candidates), slow(&bins, levels, &candidates));
            let mut exact = Exact::new(&sums);
            for &candidate in &candidates {
                let (rough, exact) = (sums.divergence(candidate), exact.divergence(candidate));
                let same = rough == exact || rough.is_nan() && exact.is_nan();
                prop_assert!(same || (rough - exact).abs() < sums.error_bound(), "{}: {} {}", candidate, rough, exact);
            }
        }
    }

    #[test]
    fn the_first_count_does_not_matter() {
        let run = |first| {
            let mut counts: Vec<u64> = (0..64u64).map(|k| 1_000_000 / (k * k + 10) / (k % 3 + 1)).collect();
            counts[0] = first;
            let histogram = Histogram::new(counts, (0..=64).map(f64::from).collect()).unwrap();
            entropy(&histogram, IntegerFormat::new(4, false).unwrap(), Search { start_bin: 8, stride: 1 })
                .unwrap()
        };
        let found: Vec<f32> = [0, 1, 45_454, 1 << 40].into_iter().map(run).collect();
        assert!(found.iter().all(|&amax| amax == found[0]), "{found:?}");
    }

    #[test]
    fn equal_divergences_and_nan_go_to_the_last() {
        let edges: Vec<f64> = (0..=16).map(f64::from).collect();
        let run = |counts: [u64; 16], start_bin| {
            let histogram = Histogram::new(counts.to_vec(), edges.clone()).unwrap();
            entropy(&histogram, IntegerFormat::new(3, false).unwrap(), Search { start_bin, stride: 1 })
        };
        // Nothing below bin 9: the first nine candidates are 0 / 0.
        let mut high = [0; 16];
        high[9..].fill(5);
        assert_eq!(run(high, 4), Ok(9.0));
        // The largest value ends in bin 7, and nothing is lost by more bins.
        let mut low = [0; 16];
        low[..4].fill(5);
        assert_eq!(run(low, 4), Ok(16.0));
        assert!(matches!(run(low, 17), Err(Error::NoCandidate { .. })));
        let single = Histogram::new(vec![1], vec![0.0, 1.0]).unwrap();
        assert!(entropy(&single, IntegerFormat::INT8, Search::default()).is_err());
    }
}
