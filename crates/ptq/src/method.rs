//! Calibrators: pure functions from statistics to the range that a quantiser covers.

mod aciq;
mod octav;
mod percentile;
mod report;

pub use aciq::Distribution;
pub use report::{Degenerate, MethodReport};

use crate::entropy::entropy;
use crate::squared_error::least_error;
use crate::{Error, Histogram, Statistics};
use percentile::{percentile, percentile_range};
use quant_core::{QuantSpec, Scheme};
use report::Choice;
use serde::{Deserialize, Serialize};

/// How the range of a tensor is chosen.
///
/// Those that clip do so for any width from 2 to 16 bits, signed or not, narrow or not. With a symmetric quantiser of unsigned integers
/// all negative values become 0, whatever the range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
pub enum Method {
    /// `[-m, m]`, `m = max |x|`. Symmetric whatever the specification says.
    Max,
    /// `[min x, max x]`. Affine whatever the specification says.
    MinMax,
    /// Clips so that this share of the values lies inside: of magnitudes if symmetric, else half of the rest is cut from each end.
    Percentile {
        /// In `(0, 100]`.
        percent: f64,
    },
    /// Least Kullback-Leibler divergence between the clipped distribution and its quantised form (Migacz, GTC 2017, S7310).
    Entropy,
    /// Least mean squared error of quantising the histogram: [`Method::Sqnr`] with a weight of 1.
    Mse,
    /// Greatest ratio of signal to quantisation noise, `noise = sum inside (q(x) - x)^2 + clip_weight sum outside (q(x) - x)^2`.
    ///
    /// Outside are the values whose nearest integer lies beyond the quantiser's; candidates are those of [`Method::Mse`]. The
    /// criterion is that of AIMET's *TF-Enhanced* (Qualcomm), which weighs clipping errors three times; its candidates are its own.
    Sqnr {
        /// What a clipping error counts beside a rounding error; positive and finite.
        clip_weight: f64,
    },
    /// The bound `t` of least `step(t)^2 / 12 * count(0 < |x| <= t) + sum over |x| > t of (|x| - t)^2`, by Newton-Raphson.
    ///
    /// OCTAV: Sakr et al., *Optimal Clipping and Magnitude-aware Differentiation for Improved Quantization-aware Training*, ICML
    /// 2022 (arXiv 2206.06501), equation 6. There `step = t / 2^(bits - 1)`, or `t / 2^bits` if nothing is negative; here it is that of
    /// the quantiser, so `t / q_max` if symmetric. Affine, which is ours: no end is further than `t` from zero.
    Octav,
    /// The clip of least expected error for a distribution fitted to the values, in closed form but for one unknown.
    ///
    /// ACIQ: Banner, Nahshan and Soudry, *Post training 4-bit quantization of convolutional networks for rapid-deployment*, NeurIPS 2019
    /// (arXiv 1810.05723). See [`Distribution`].
    Aciq {
        /// What the values are taken to follow.
        distribution: Distribution,
    },
}

/// A range `[low, high]` of real values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Lower end.
    pub low: f32,
    /// Upper end.
    pub high: f32,
}

impl Range {
    pub(crate) fn symmetric(bound: f32) -> Self {
        Self { low: -bound, high: bound }
    }
}

impl Method {
    /// The methods that programs run unless told otherwise, the percentile being the customary 99.99.
    pub const ALL: [Method; 5] =
        [Method::Max, Method::MinMax, Method::Percentile { percent: 99.99 }, Method::Entropy, Method::Mse];

    /// Every method, with its customary parameters: those of [`Method::ALL`] first.
    pub const PUBLISHED: [Method; 10] = [
        Method::Max,
        Method::MinMax,
        Method::Percentile { percent: 99.99 },
        Method::Entropy,
        Method::Mse,
        Method::Sqnr { clip_weight: 3.0 },
        Method::Octav,
        Method::Aciq { distribution: Distribution::Auto },
        Method::Aciq { distribution: Distribution::Gauss },
        Method::Aciq { distribution: Distribution::Laplace },
    ];

    /// Name as programs take it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Method::Max => "max",
            Method::MinMax => "minmax",
            Method::Percentile { .. } => "percentile",
            Method::Entropy => "entropy",
            Method::Mse => "mse",
            Method::Sqnr { .. } => "sqnr",
            Method::Octav => "octav",
            Method::Aciq { distribution: Distribution::Auto } => "aciq",
            Method::Aciq { distribution: Distribution::Gauss } => "aciq-gauss",
            Method::Aciq { distribution: Distribution::Laplace } => "aciq-laplace",
        }
    }

    /// The method of that name among [`Method::PUBLISHED`], with its default parameters.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::PUBLISHED.into_iter().find(|method| method.name() == name)
    }

    /// The scheme that is used where `requested` is asked for: max and min-max are one idea under two schemes.
    #[must_use]
    pub fn scheme(&self, requested: Scheme) -> Scheme {
        match self {
            Method::Max => Scheme::Symmetric,
            Method::MinMax => Scheme::Affine,
            Method::Percentile { .. }
            | Method::Entropy
            | Method::Mse
            | Method::Sqnr { .. }
            | Method::Octav
            | Method::Aciq { .. } => requested,
        }
    }

    /// The range that the method chooses for a quantiser of `spec`: no end is further from zero than the largest magnitude seen, and it
    /// is not empty unless all values are zero. [`Method::report`] also tells whether there was a choice.
    ///
    /// # Errors
    /// [`Error::NoValues`] and [`Error::NonFinite`] for statistics without finite values or with others,
    /// [`Error::Percent`] for a percentile outside of `(0, 100]`, [`Error::ClipWeight`] for a weight that is not positive and finite.
    pub fn range(&self, statistics: &Statistics, spec: &QuantSpec) -> Result<Range, Error> {
        Ok(self.report(statistics, spec)?.range)
    }

    /// The range of [`Method::range`] and how it came about: candidates compared, values left outside, and whether the data gave the
    /// method nothing to choose by.
    ///
    /// # Errors
    /// As [`Method::range`].
    pub fn report(&self, statistics: &Statistics, spec: &QuantSpec) -> Result<MethodReport, Error> {
        self.check()?;
        if statistics.non_finite() > 0 {
            return Err(Error::NonFinite { count: statistics.non_finite() });
        }
        let bounds = statistics.bounds().ok_or(Error::NoValues)?;
        let choice = if statistics.absolute_maximum() == 0.0 {
            Choice::only(Range { low: 0.0, high: 0.0 })
        } else {
            self.choose(statistics, bounds, spec)?
        };
        Ok(MethodReport::new(*self, statistics, choice))
    }

    /// Whether the parameters make sense.
    fn check(&self) -> Result<(), Error> {
        match *self {
            Method::Percentile { percent } if !(percent > 0.0 && percent <= 100.0) => {
                Err(Error::Percent { percent })
            }
            Method::Sqnr { clip_weight } if !(clip_weight > 0.0 && clip_weight.is_finite()) => {
                Err(Error::ClipWeight { weight: clip_weight })
            }
            _ => Ok(()),
        }
    }

    /// The choice for values that are not all zero, with extremes `low` and `high`.
    fn choose(
        &self,
        statistics: &Statistics,
        (low, high): (f32, f32),
        spec: &QuantSpec,
    ) -> Result<Choice, Error> {
        let bound = statistics.absolute_maximum();
        let symmetric = self.scheme(spec.scheme()) == Scheme::Symmetric;
        Ok(match *self {
            Method::Max => Choice::only(Range::symmetric(bound)),
            Method::MinMax => Choice::only(Range { low, high }),
            Method::Percentile { percent } if symmetric => {
                let clipped = percentile(statistics, percent);
                Choice::of_percentile(Range::symmetric(clipped), percent, clipped == bound)
            }
            Method::Percentile { percent } => {
                let range = percentile_range(statistics, (low, high), percent);
                Choice::of_percentile(range, percent, range.low <= low && range.high >= high)
            }
            Method::Entropy => Choice::of_entropy(&entropy(statistics, spec), symmetric, (low, high)),
            Method::Mse => Choice::of_search(least_error(statistics, spec, 1.0)?),
            Method::Sqnr { clip_weight } => Choice::of_search(least_error(statistics, spec, clip_weight)?),
            Method::Octav => Choice::only(octav::octav(statistics, (low, high), spec)),
            Method::Aciq { distribution } => {
                let (range, candidates) = aciq::aciq(statistics, (low, high), spec, distribution)?;
                Choice { candidates, ..Choice::only(range) }
            }
        })
    }
}

/// Counts by magnitude, both signs together.
pub(crate) fn magnitudes(histogram: &Histogram) -> Vec<u64> {
    histogram.positive().iter().zip(histogram.negative()).map(|(p, n)| p + n).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(values: &[f32]) -> Statistics {
        let mut s = Statistics::default();
        s.observe(values);
        s
    }

    /// Sums of twelve uniform numbers: close to a normal distribution of deviation 1.
    fn normal(count: usize) -> Vec<f32> {
        let mut state = 1u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32
        };
        (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
    }

    fn int8(scheme: Scheme) -> QuantSpec {
        QuantSpec::int8(scheme)
    }

    #[test]
    fn every_method_stays_within_the_values_and_covers_most() {
        let values = normal(100_000);
        let s = statistics(&values);
        for method in Method::ALL {
            for scheme in [Scheme::Symmetric, Scheme::Affine] {
                let range = method.range(&s, &int8(scheme)).unwrap();
                let inside = values.iter().filter(|v| (range.low..=range.high).contains(*v)).count();
                assert!(range.high <= s.absolute_maximum(), "{method:?} {scheme:?}: {range:?}");
                assert!(
                    inside as f64 / values.len() as f64 > 0.98,
                    "{method:?} {scheme:?}: {range:?}, {inside}"
                );
            }
        }
    }

    #[test]
    fn one_outlier_is_clipped_by_all_but_the_extremes() {
        let mut values = normal(100_000);
        values.push(60.0);
        let s = statistics(&values);
        for method in Method::ALL {
            let high = method.range(&s, &int8(Scheme::Symmetric)).unwrap().high;
            let keeps = matches!(method, Method::Max | Method::MinMax);
            assert_eq!(high == 60.0, keeps, "{method:?}: {high}");
        }
    }

    #[test]
    fn mse_finds_the_least_error_among_all_bounds() {
        let values = normal(20_000);
        let spec =
            QuantSpec::new(4, true, Scheme::Symmetric, true, quant_core::Granularity::PerTensor).unwrap();
        let found = Method::Mse.range(&statistics(&values), &spec).unwrap().high;
        let error = |bound: f32| {
            let mut copy = values.clone();
            let params = [spec.params_for_range(-bound, bound).unwrap()];
            quant_core::fake_quantize(&mut copy, &params, &spec, quant_core::Rounding::HalfEven).unwrap();
            copy.iter().zip(&values).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
        };
        let best = (1..=300).map(|i| error(i as f32 * 0.02)).fold(f64::INFINITY, f64::min);
        assert!(error(found) <= best * 1.01, "{found}: {} for {best}", error(found));
    }

    #[test]
    fn data_far_from_zero_is_not_clipped_away() {
        // The reference's entropy calibrator clips all of this: an empty Q gives 0/0, which its argmin prefers.
        let values: Vec<f32> = (0..10_000).map(|i| 5.0 + i as f32 / 10_000.0).collect();
        let high = Method::Entropy.range(&statistics(&values), &int8(Scheme::Symmetric)).unwrap().high;
        assert!(high > 5.9, "{high}");
    }

    #[test]
    fn degenerate_statistics_give_an_error_or_an_empty_range() {
        let spec = int8(Scheme::Affine);
        for method in Method::PUBLISHED {
            assert!(matches!(method.range(&Statistics::default(), &spec), Err(Error::NoValues)));
            assert!(matches!(
                method.range(&statistics(&[1.0, f32::NAN]), &spec),
                Err(Error::NonFinite { count: 1 })
            ));
            assert_eq!(method.range(&statistics(&[0.0; 8]), &spec).unwrap(), Range { low: 0.0, high: 0.0 });
            let one = method.range(&statistics(&[1e-30]), &spec).unwrap();
            assert!(one.high > 0.0 && one.high <= 1e-30, "{method:?}: {one:?}");
        }
        let percent = Method::Percentile { percent: 0.0 };
        assert!(matches!(percent.range(&statistics(&[1.0]), &spec), Err(Error::Percent { .. })));
        for clip_weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let sqnr = Method::Sqnr { clip_weight };
            assert!(matches!(sqnr.range(&statistics(&[1.0]), &spec), Err(Error::ClipWeight { .. })));
        }
    }
    #[test]
    fn names_are_unique_and_lead_back() {
        for method in Method::PUBLISHED {
            assert_eq!(Method::from_name(method.name()), Some(method));
        }
        assert_eq!(Method::PUBLISHED[..5], Method::ALL);
        assert_eq!(Method::from_name("median"), None);
    }

    #[test]
    fn choices_that_are_none_are_told() {
        let percentile = Method::Percentile { percent: 99.99 };
        let sqnr = Method::Sqnr { clip_weight: 3.0 };
        let few = normal(1000);
        let mut far = normal(100_000);
        far.push(40.0);
        let bits = |bits| {
            let granularity = quant_core::Granularity::PerTensor;
            QuantSpec::new(bits, true, Scheme::Symmetric, false, granularity).unwrap()
        };
        let int8 = int8(Scheme::Symmetric);
        let rows = [
            ("zeros", Method::Max, vec![0.0; 9], int8, Some(Degenerate::AllZero)),
            ("one value", Method::Mse, vec![-3.5; 9], int8, Some(Degenerate::Constant)),
            ("one value", Method::MinMax, vec![-3.5; 9], int8, Some(Degenerate::Constant)),
            ("one bin", Method::Octav, vec![1.0, 1.000_01], int8, Some(Degenerate::OneBin)),
            ("one bin", Method::Max, vec![1.0, 1.000_01], int8, None),
            ("few values", percentile, few.clone(), int8, Some(Degenerate::PercentileAtExtreme)),
            ("all of them", Method::Percentile { percent: 100.0 }, few.clone(), int8, None),
            ("enough values", percentile, normal(100_000), int8, None),
            (
                "as many levels as bins",
                Method::Entropy,
                normal(10_000),
                bits(13),
                Some(Degenerate::SingleCandidate),
            ),
            ("8 bits", Method::Entropy, normal(10_000), int8, None),
            ("tiny", sqnr, vec![1e-42, 2e-42, -1e-42], int8, Some(Degenerate::Flat)),
            ("far outlier", Method::Mse, far, bits(4), Some(Degenerate::NarrowestCandidate)),
            ("normal", sqnr, normal(100_000), int8, None),
        ];
        let mut faults = Vec::new();
        for (name, method, values, spec, want) in rows {
            let found = method.report(&statistics(&values), &spec).unwrap();
            if found.degenerate != want {
                faults.push(format!("{name}, {}: {found:?}, not {want:?}", method.name()));
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    #[test]
    fn reports_count_what_is_left_outside() {
        let values = normal(100_000);
        let s = statistics(&values);
        let report = Method::Percentile { percent: 99.0 }.report(&s, &int8(Scheme::Symmetric)).unwrap();
        let outside = values.iter().filter(|x| x.abs() > report.range.high).count() as u64;
        assert_eq!(report.clipped, outside);
        assert!((900..=1000).contains(&outside), "{outside}");
        for method in [Method::Max, Method::MinMax] {
            let report = method.report(&s, &int8(method.scheme(Scheme::Affine))).unwrap();
            assert_eq!((report.clipped, report.candidates), (0, 1));
        }
        assert_eq!(Method::Mse.report(&s, &int8(Scheme::Symmetric)).unwrap().candidates, 181);
        assert_eq!(Method::Mse.report(&s, &int8(Scheme::Affine)).unwrap().candidates, 4 * 181);
    }
}
