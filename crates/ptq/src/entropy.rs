//! The threshold of the least Kullback-Leibler divergence (Migacz, *8-bit Inference with TensorRT*, GTC 2017, S7310).
//!
//! The plain way forms both distributions for each of some two thousand candidates and sums over their bins. Here each candidate
//! costs a sum over its levels only: with counts `c`, all `T` of them, `n` bins of which hold `I`, and levels with the counts `S` in
//! `U` occupied bins,
//!
//! ```text
//! T * divergence = sum_bins c ln c  -  sum_levels S (ln S - ln U)  -  rest (ln S_last - ln U_last)  +  T (ln I - ln T)
//! ```
//!
//! where the last bin of the first sum holds the rest `T - I` as well. The sums over bins are differences of running sums, and `ln U` is
//! taken from a table.

use crate::Statistics;
use crate::method::magnitudes;
use quant_core::{QuantSpec, Scheme};

/// The threshold with the least divergence.
///
/// Bins are joined in pairs first, so that between 1024 and 2048 are occupied, as in the published algorithm; its outcome depends on that
/// number. Candidates are all numbers of bins from that of the levels on which keep [`ENTROPY_KEPT`] of the values: the divergence does
/// not see how far an outlier is moved, so that without this bound data in a narrow band away from zero are clipped altogether.
///
/// For the candidate of `i` bins, P is the histogram cut there with all that lies beyond added to its last bin; Q is the cut histogram
/// without the rest, merged to `L` levels and spread again over the occupied bins of each. The first bin is replaced by the second,
/// since exact zeros cost nothing. Candidates where Q is empty where P is not (an infinite divergence) are passed over.
pub(crate) fn entropy(statistics: &Statistics, spec: &QuantSpec) -> Threshold {
    let histogram = statistics.histogram();
    let width = 2.0 * histogram.width();
    let limit = statistics.absolute_maximum();
    let occupied = ((f64::from(limit) / width) as usize + 1).min(crate::BINS / 2);
    let pairs = magnitudes(histogram);
    let mut bins: Vec<f64> =
        pairs.chunks_exact(2).take(occupied).map(|pair| (pair[0] + pair[1]) as f64).collect();
    bins[0] = bins.get(1).copied().unwrap_or(bins[0]);
    let levels = entropy_levels(statistics, spec).min(occupied);
    let sums = Sums::new(bins);
    let total = sums.counts[occupied];
    let mut best = (f64::INFINITY, occupied);
    let mut candidates = 0;
    let mut work = Vec::new();
    for candidate in (levels..=occupied).filter(|&n| sums.counts[n] >= ENTROPY_KEPT * total) {
        candidates += 1;
        let divergence = sums.divergence(candidate, levels, &mut work);
        if divergence < best.0 {
            best = (divergence, candidate);
        }
    }
    let bound = ((best.1 as f64 * width) as f32).min(limit);
    Threshold { bound, candidates, finite: best.0.is_finite() }
}

/// The outcome of a search.
pub(crate) struct Threshold {
    /// The threshold.
    pub(crate) bound: f32,
    /// Thresholds compared.
    pub(crate) candidates: usize,
    /// Whether any divergence was finite.
    pub(crate) finite: bool,
}

/// Share of the values that the entropy method keeps inside, at least.
const ENTROPY_KEPT: f64 = 0.99;

/// Steps of the quantiser between zero and the largest magnitude: half of them if symmetric, else the share of that side in the range.
fn entropy_levels(statistics: &Statistics, spec: &QuantSpec) -> usize {
    let (low, high) = statistics.bounds().unwrap_or((0.0, 0.0));
    let steps = f64::from(spec.q_max() - spec.q_min() + 1);
    let range = f64::from(high.max(0.0)) - f64::from(low.min(0.0));
    match spec.scheme() {
        Scheme::Symmetric => spec.q_max() as usize + 1,
        Scheme::Affine => {
            (steps * f64::from(statistics.absolute_maximum()) / range).round().max(1.0) as usize
        }
    }
}

/// Counts of bins, and sums over them from the start.
struct Sums {
    bins: Vec<f64>,
    /// `sum c`, exact.
    counts: Vec<f64>,
    /// Number of occupied bins.
    used: Vec<usize>,
    /// `sum c ln c`.
    terms: Vec<f64>,
    /// `ln U`.
    logarithms: Vec<f64>,
}

impl Sums {
    fn new(bins: Vec<f64>) -> Self {
        let running = |term: &dyn Fn(f64) -> f64| {
            let mut sum = 0.0;
            let mut sums = vec![0.0];
            sums.extend(bins.iter().map(|&count| {
                sum += term(count);
                sum
            }));
            sums
        };
        let counts = running(&|count| count);
        let used = running(&|count| f64::from(count > 0.0)).into_iter().map(|used| used as usize).collect();
        let terms = running(&x_ln_x);
        let logarithms = (0..=bins.len()).map(|used| natural_logarithm(used.max(1) as f64)).collect();
        Self { bins, counts, used, terms, logarithms }
    }

    /// `T` times the divergence of the candidate of `n` bins; infinite if Q lacks something that P has, which is so if the last bin
    /// has nothing but the rest.
    fn divergence(&self, n: usize, levels: usize, work: &mut Vec<f64>) -> f64 {
        let (total, inside, last) = (self.counts[self.bins.len()], self.counts[n], self.bins[n - 1]);
        let rest = total - inside;
        if inside == 0.0 || (rest > 0.0 && last == 0.0) {
            return f64::INFINITY;
        }
        let bins = self.terms[n - 1] + x_ln_x(last + rest);
        // Level `l` begins at the first bin `k` with `k * levels / n >= l`.
        let start = |level: usize| (level * n).div_ceil(levels);
        work.clear();
        work.extend((0..levels).map(|level| self.counts[start(level + 1)] - self.counts[start(level)]));
        let last_level = work[levels - 1];
        let (mut merged, mut spread) = (0.0, 0.0);
        for (level, sum) in work.iter_mut().enumerate() {
            spread += *sum * self.logarithms[self.used[start(level + 1)] - self.used[start(level)]];
            *sum = x_ln_x(*sum);
        }
        merged += work.iter().sum::<f64>();
        let outside = if rest > 0.0 {
            let used = self.used[n] - self.used[start(levels - 1)];
            rest * (natural_logarithm(last_level) - self.logarithms[used])
        } else {
            0.0
        };
        let shares = total * (natural_logarithm(inside) - natural_logarithm(total));
        bins - (merged - spread) - outside + shares
    }
}

/// `x ln x`, 0 at 0.
fn x_ln_x(x: f64) -> f64 {
    // Counts are 0 or at least 1.
    x * natural_logarithm(x.max(1.0))
}

/// `ln x` for a normal `x > 0`, to about 1e-15, by operations whose results are the same everywhere and which compilers can do in lanes.
///
/// `x = m * 2^e` with `m` around 1, and `ln m = 2 (s + s^3/3 + s^5/5 + ...)`, `s = (m - 1) / (m + 1)`, `|s| <= 0.172`.
pub(crate) fn natural_logarithm(x: f64) -> f64 {
    /// Bits of the square root of one half: the mantissa is taken from there on.
    const HALF_ROOT: u64 = 0x3FE6_A09E_667F_3BCD;
    let offset = x.to_bits().wrapping_sub(HALF_ROOT);
    let exponent = (offset as i64) >> 52;
    let mantissa = f64::from_bits((offset & ((1 << 52) - 1)) + HALF_ROOT);
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let z = s * s;
    let series = [21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0];
    let tail = series.iter().fold(0.0, |sum, n| (sum + 1.0 / n) * z);
    2.0 * s * (1.0 + tail) + exponent as f64 * std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both distributions written out.
    fn plain(bins: &[f64], n: usize, levels: usize) -> f64 {
        let total: f64 = bins.iter().sum();
        let inside: f64 = bins[..n].iter().sum();
        let mut p = bins[..n].to_vec();
        p[n - 1] += total - inside;
        let level_of = |k: usize| k * levels / n;
        let mut q = vec![0.0; n];
        for level in 0..levels {
            let members: Vec<usize> = (0..n).filter(|&k| level_of(k) == level && bins[k] > 0.0).collect();
            let sum: f64 = members.iter().map(|&k| bins[k]).sum();
            members.iter().for_each(|&k| q[k] = sum / members.len() as f64);
        }
        let terms = p.iter().zip(&q).filter(|(p, _)| **p > 0.0);
        terms.map(|(p, q)| p / total * (p / total / (q / inside)).ln()).sum()
    }

    #[test]
    fn divergences_equal_the_plain_ones() {
        let mut state = 3u64;
        let mut next = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        let mut finite = 0;
        for _ in 0..200 {
            let length = 20 + next(200) as usize;
            let sparse = 1 + next(4);
            let bins: Vec<f64> = (0..length)
                .map(|k| if next(sparse) == 0 { next(1 + 100_000 / (1 + k as u64)) as f64 } else { 0.0 })
                .collect();
            let sums = Sums::new(bins.clone());
            let total: f64 = bins.iter().sum();
            for n in (16..=length).step_by(7) {
                let want = plain(&bins, n, 16);
                let found = sums.divergence(n, 16, &mut Vec::new()) / total;
                if sums.counts[n] == 0.0 {
                    assert!(found.is_infinite());
                } else if want.is_finite() {
                    assert!((found - want).abs() < 1e-12, "{found:e} {want:e}");
                    finite += 1;
                } else {
                    assert!(found.is_infinite(), "{found}");
                }
            }
        }
        assert!(finite > 1000, "{finite}");
    }

    #[test]
    fn logarithms() {
        for x in [1.0, 2.0, 3.0, 0.1, 1e-300, 7e300, 1.0 + f64::EPSILON, std::f64::consts::SQRT_2, 123_456.0]
        {
            let (found, want) = (natural_logarithm(x), f64::ln(x));
            assert!((found - want).abs() <= 3e-15 * want.abs().max(1e-15), "{x}: {found} {want}");
        }
        assert_eq!(natural_logarithm(1.0), 0.0);
    }
}
