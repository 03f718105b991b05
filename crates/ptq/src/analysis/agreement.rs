//! How far values are from a reference: sums that merge, and figures of them.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How logits become probabilities, for the divergence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scores {
    /// Each value by itself, as YOLO's heads: `p = 1 / (1 + exp(-x))` against `1 - p`.
    Sigmoid,
    /// The channels of each pixel together: `p_c = exp(x_c) / sum exp(x)`.
    Softmax,
}

/// Sums over pairs of a reference value `r` and a candidate `c`, in f64, in the order of the values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// Pairs.
    pub count: u64,
    /// `sum r^2`.
    pub signal: f64,
    /// `sum c^2`.
    pub candidate: f64,
    /// `sum r c`.
    pub product: f64,
    /// `sum (r - c)^2`.
    pub noise: f64,
    /// `sum |r|`.
    pub magnitude: f64,
    /// `sum |r - c|`.
    pub deviation: f64,
    /// Sum of the divergences of all distributions.
    pub divergence: f64,
    /// Number of distributions.
    pub distributions: u64,
}

impl Sums {
    /// Adds the values of a tensor.
    ///
    /// # Errors
    /// [`Error::Length`] if there are not as many candidates as references.
    pub fn observe(&mut self, reference: &[f32], candidate: &[f32]) -> Result<(), Error> {
        check_lengths(reference, candidate)?;
        let mut sums = *self;
        for (&r, &c) in reference.iter().zip(candidate) {
            let (r, c) = (f64::from(r), f64::from(c));
            let d = r - c;
            sums.signal += r * r;
            sums.candidate += c * c;
            sums.product += r * c;
            sums.noise += d * d;
            sums.magnitude += r.abs();
            sums.deviation += d.abs();
        }
        sums.count += reference.len() as u64;
        *self = sums;
        Ok(())
    }

    /// Adds the divergence of the logits of a tensor of `channels` planes.
    ///
    /// # Errors
    /// [`Error::Length`] if there are not as many candidates as references, or no whole number of pixels.
    pub fn observe_scores(
        &mut self,
        reference: &[f32],
        candidate: &[f32],
        channels: usize,
        scores: Scores,
    ) -> Result<(), Error> {
        check_lengths(reference, candidate)?;
        let pixels = reference.len() / channels.max(1);
        if pixels * channels != reference.len() {
            return Err(Error::Length {
                what: "values",
                expected: pixels * channels,
                found: reference.len(),
            });
        }
        match scores {
            Scores::Sigmoid => {
                let pairs = reference.iter().zip(candidate);
                self.divergence += pairs.map(|(&r, &c)| sigmoid_divergence(r, c)).sum::<f64>();
                self.distributions += reference.len() as u64;
            }
            Scores::Softmax => {
                let pixel =
                    |pixel| softmax_divergence(&at(reference, pixels, pixel), &at(candidate, pixels, pixel));
                self.divergence += (0..pixels).map(pixel).sum::<f64>();
                self.distributions += pixels as u64;
            }
        }
        Ok(())
    }

    /// The sums of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            signal: self.signal + other.signal,
            candidate: self.candidate + other.candidate,
            product: self.product + other.product,
            noise: self.noise + other.noise,
            magnitude: self.magnitude + other.magnitude,
            deviation: self.deviation + other.deviation,
            divergence: self.divergence + other.divergence,
            distributions: self.distributions + other.distributions,
        }
    }

    /// Noise-to-signal ratio, `sum (r - c)^2 / sum r^2`: 0 without noise, infinite with noise on a silent reference. Independent errors
    /// add in it.
    #[must_use]
    pub fn noise_to_signal(&self) -> f64 {
        if self.noise == 0.0 { 0.0 } else { self.noise / self.signal }
    }

    /// Signal-to-quantisation-noise ratio, `10 log10(sum r^2 / sum (r - c)^2)`, in dB; infinite without noise.
    #[must_use]
    pub fn sqnr_db(&self) -> f64 {
        -10.0 * self.noise_to_signal().log10()
    }

    /// Cosine of the angle, `sum r c / sqrt(sum r^2 sum c^2)`, in [-1, 1]; 1 where both are zero, 0 where one is.
    #[must_use]
    pub fn cosine(&self) -> f64 {
        if self.signal == 0.0 && self.candidate == 0.0 {
            return 1.0;
        }
        let length = (self.signal * self.candidate).sqrt();
        if length == 0.0 { 0.0 } else { (self.product / length).clamp(-1.0, 1.0) }
    }

    /// `sum |r - c| / sum |r|`; 0 without deviation.
    #[must_use]
    pub fn relative_l1(&self) -> f64 {
        if self.deviation == 0.0 { 0.0 } else { self.deviation / self.magnitude }
    }

    /// Mean Kullback-Leibler divergence of the candidate's distributions from the reference's, in nats; 0 without any.
    #[must_use]
    pub fn kl(&self) -> f64 {
        if self.distributions == 0 { 0.0 } else { self.divergence / self.distributions as f64 }
    }
}

/// The channels of one of `pixels` pixels.
fn at(values: &[f32], pixels: usize, pixel: usize) -> Vec<f32> {
    values.iter().skip(pixel).step_by(pixels).copied().collect()
}

fn check_lengths(reference: &[f32], candidate: &[f32]) -> Result<(), Error> {
    let (expected, found) = (reference.len(), candidate.len());
    if expected == found { Ok(()) } else { Err(Error::Length { what: "candidate values", expected, found }) }
}

/// `ln(1 + exp(x))` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Kullback-Leibler divergence in nats of two yes-or-no distributions given by their logits:
/// `p ln(p / q) + (1 - p) ln((1 - p) / (1 - q)) = p (r - c) - softplus(r) + softplus(c)` with `p = sigmoid(r)`, `q = sigmoid(c)`; at least 0.
#[must_use]
pub fn sigmoid_divergence(reference: f32, candidate: f32) -> f64 {
    let (r, c) = (f64::from(reference), f64::from(candidate));
    let p = 1.0 / (1.0 + (-r).exp());
    (p * (r - c) - softplus(r) + softplus(c)).max(0.0)
}

/// Kullback-Leibler divergence in nats of two distributions given by their logits:
/// `sum p_i ((r_i - c_i) - (lse(r) - lse(c)))`, `lse(x) = ln(sum exp(x_i))`, over the shorter length; at least 0.
#[must_use]
pub fn softmax_divergence(reference: &[f32], candidate: &[f32]) -> f64 {
    let log_sum = |values: &[f32]| {
        let largest = values.iter().fold(f64::NEG_INFINITY, |m, &v| m.max(v.into()));
        largest + values.iter().map(|&v| (f64::from(v) - largest).exp()).sum::<f64>().ln()
    };
    let (lse_r, lse_c) = (log_sum(reference), log_sum(candidate));
    let term = |(&r, &c): (&f32, &f32)| {
        let (log_p, log_q) = (f64::from(r) - lse_r, f64::from(c) - lse_c);
        log_p.exp() * (log_p - log_q)
    };
    reference.iter().zip(candidate).map(term).sum::<f64>().max(0.0)
}

/// Sums image by image. Sums in f64 depend on their order; these are formed per image and added in the order of the images' numbers, so
/// that any order of work, any split and any order of merging give the same bits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    images: BTreeMap<u64, Sums>,
}

impl Agreement {
    /// Sets the sums of an image, in place of what was known of it.
    pub fn set(&mut self, image: u64, sums: Sums) {
        self.images.insert(image, sums);
    }

    /// Takes over the images of another; of an image that both have, the other's sums count.
    pub fn merge(&mut self, other: Self) {
        self.images.extend(other.images);
    }

    /// The sums over all images.
    #[must_use]
    pub fn total(&self) -> Sums {
        self.images.values().fold(Sums::default(), |total, &sums| total.plus(sums))
    }

    /// Number of images.
    #[must_use]
    pub fn images(&self) -> usize {
        self.images.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sums(reference: &[f32], candidate: &[f32]) -> Sums {
        let mut sums = Sums::default();
        sums.observe(reference, candidate).unwrap();
        sums
    }

    #[test]
    fn figures_of_known_values() {
        // numpy: r = [3, -4], c = [3, -3].
        let s = sums(&[3.0, -4.0], &[3.0, -3.0]);
        assert!((s.sqnr_db() - 10.0 * 25f64.log10()).abs() < 1e-12);
        assert!((s.cosine() - 21.0 / (5.0 * 18f64.sqrt())).abs() < 1e-15);
        assert!((s.relative_l1() - 1.0 / 7.0).abs() < 1e-15);
        assert_eq!(sums(&[1.0], &[1.0]).sqnr_db(), f64::INFINITY);
        assert_eq!(sums(&[0.0], &[1.0]).sqnr_db(), f64::NEG_INFINITY);
        assert_eq!(sums(&[0.0], &[0.0]).cosine(), 1.0);
        assert_eq!(sums(&[0.0], &[2.0]).cosine(), 0.0);
        assert_eq!(sums(&[1.0, 2.0], &[-1.0, -2.0]).cosine(), -1.0);
        assert_eq!(Sums::default().kl(), 0.0);
        assert!(Sums::default().observe(&[1.0], &[]).is_err());
        assert!(Sums::default().observe_scores(&[1.0; 3], &[1.0; 3], 2, Scores::Sigmoid).is_err());
    }

    #[test]
    fn divergences_of_extreme_logits_are_finite_and_exact() {
        // p = 1, q = exp(-100): ln(1 / q) = 100 + ln(1 + exp(-100)).
        assert!((sigmoid_divergence(800.0, -100.0) - 100.0).abs() < 1e-9);
        assert_eq!(sigmoid_divergence(-700.0, -700.0), 0.0);
        assert_eq!(softmax_divergence(&[900.0, 0.0], &[900.0, 0.0]), 0.0);
        assert!((softmax_divergence(&[900.0, 0.0], &[0.0, 50.0]) - 50.0).abs() < 1e-9);
        let mut sums = Sums::default();
        // Two pixels of two channels: planes [1, 2], [3, 4].
        sums.observe_scores(&[1.0, 2.0, 3.0, 4.0], &[0.0, 2.0, 0.0, 4.0], 2, Scores::Softmax).unwrap();
        assert_eq!(sums.distributions, 2);
        assert_eq!(sums.divergence, softmax_divergence(&[1.0, 3.0], &[0.0, 0.0]));
    }

    proptest! {
        #[test]
        fn divergences_agree_with_their_definition(r in -20f32..20.0, c in -20f32..20.0) {
            let sigmoid = |x: f32| 1.0 / (1.0 + (-f64::from(x)).exp());
            let (p, q) = (sigmoid(r), sigmoid(c));
            let (not_p, not_q) = (sigmoid(-r), sigmoid(-c));
            let expected = p * (p / q).ln() + not_p * (not_p / not_q).ln();
            prop_assert!((sigmoid_divergence(r, c) - expected).abs() <= 1e-9 * expected.max(1e-4));
            // A sigmoid is a softmax over the logit and zero.
            let pair = softmax_divergence(&[r, 0.0], &[c, 0.0]);
            prop_assert!((pair - expected).abs() <= 1e-9 * expected.max(1e-4));
        }

        #[test]
        fn order_and_merging_do_not_matter(
            images in prop::collection::vec(prop::collection::vec((-1e3f32..1e3, -1e3f32..1e3), 1..6), 1..9), cut in 0usize..9
        ) {
            let of = |pairs: &[(f32, f32)]| {
                let (r, c): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
                sums(&r, &c)
            };
            let mut whole = Agreement::default();
            images.iter().enumerate().for_each(|(i, pairs)| whole.set(i as u64, of(pairs)));
            let (mut front, mut back) = (Agreement::default(), Agreement::default());
            for (i, pairs) in images.iter().enumerate().rev() {
                if i < cut { &mut front } else { &mut back }.set(i as u64, of(pairs));
            }
            back.merge(front);
            prop_assert_eq!(&back, &whole);
            prop_assert_eq!(back.total(), whole.total());
        }
    }
}
