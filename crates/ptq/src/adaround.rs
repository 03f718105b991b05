//! AdaRound: learns whether each weight rounds up or down, so that a layer's output changes least (Nagel et al., *Up or Down?
//! Adaptive Rounding for Post-Training Quantization*, ICML 2020, arXiv 2004.10568).
//!
//! Every weight `w` with scale `s` gets a parameter `V`. While learning it has the value `s clamp(floor(w / s) + h(V))`, where `h` is a
//! sigmoid stretched over `[0, 1]`; a growing penalty drives `h` to 0 or 1; in the end `V >= 0` rounds up.

mod descent;
mod optimize;
mod reconstruction;

use crate::Error;

pub use descent::{CoordinateDescent, Descended};
pub use optimize::{AdaRound, AdaRoundLoss, AdaRounded};
pub use reconstruction::LinearReconstruction;

/// The sigmoid is stretched to `[GAMMA, ZETA]` before it is cut to `[0, 1]`, so that 0 and 1 are reached.
const ZETA: f64 = 1.1;
const GAMMA: f64 = -0.1;

/// `h(V) = clamp(sigmoid(V) (zeta - gamma) + gamma, 0, 1)` with `zeta = 1.1`, `gamma = -0.1`.
#[must_use]
pub fn rectified_sigmoid(v: f64) -> f64 {
    (sigmoid(v) * (ZETA - GAMMA) + GAMMA).clamp(0.0, 1.0)
}

/// `V` with `h(V) = part`, for `part` in `[0, 1]`.
#[must_use]
pub fn rectified_sigmoid_inverse(part: f64) -> f64 {
    -((ZETA - GAMMA) / (part.clamp(0.0, 1.0) - GAMMA) - 1.0).ln()
}

/// `h'(V)`; 0 where `h` is cut off.
fn rectified_sigmoid_slope(v: f64) -> f64 {
    let s = sigmoid(v);
    let inside = (0.0..=1.0).contains(&(s * (ZETA - GAMMA) + GAMMA));
    if inside { s * (1.0 - s) * (ZETA - GAMMA) } else { 0.0 }
}

fn sigmoid(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}

/// `1 - |2 h(V) - 1|^beta`: 0 where the weight is decided, 1 half-way.
#[must_use]
pub fn rounding_penalty(v: f64, beta: f64) -> f64 {
    1.0 - (2.0 * rectified_sigmoid(v) - 1.0).abs().powf(beta)
}

/// The derivative of [`rounding_penalty`] with respect to `V`.
#[must_use]
pub fn rounding_penalty_slope(v: f64, beta: f64) -> f64 {
    let centred = 2.0 * rectified_sigmoid(v) - 1.0;
    if centred == 0.0 {
        return 0.0;
    }
    -2.0 * beta * centred.abs().powf(beta - 1.0) * centred.signum() * rectified_sigmoid_slope(v)
}

/// Weights of a layer on their grid but for the choice between the two neighbours of each.
///
/// Weights are rows of equal length, one row per output, in C order: `rows x features`. A convolution's weights are that as they
/// lie, with `features = in channels * height * width` of the kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct SoftRounding {
    weights: Vec<f32>,
    /// `floor(w / s)`.
    floors: Vec<f32>,
    /// One per row.
    scales: Vec<f32>,
    features: usize,
    lowest: f64,
    highest: f64,
}

impl SoftRounding {
    /// `weights` with one scale per row, to be integers from `lowest` to `highest`.
    ///
    /// # Errors
    /// [`Error::Length`] unless the scales divide the weights into rows; [`Error::Step`] if a scale is not positive and finite;
    /// [`Error::NonFinite`] if a weight is not finite; [`Error::QuantRange`] unless `lowest < highest`, both within `2^24`.
    pub fn new(weights: &[f32], scales: &[f32], lowest: i32, highest: i32) -> Result<Self, Error> {
        const LIMIT: i32 = 1 << 24;
        if weights.is_empty() || scales.is_empty() || !weights.len().is_multiple_of(scales.len()) {
            return Err(Error::Length {
                what: "weights in whole rows",
                expected: scales.len(),
                found: weights.len(),
            });
        }
        if let Some(&step) = scales.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
            return Err(Error::Step { step });
        }
        Error::check_finite(weights)?;
        if lowest >= highest || lowest < -LIMIT || highest > LIMIT {
            return Err(Error::QuantRange { quant_min: lowest, quant_max: highest });
        }
        let features = weights.len() / scales.len();
        let floors = weights.iter().enumerate().map(|(i, w)| (w / scales[i / features]).floor()).collect();
        let (lowest, highest) = (f64::from(lowest), f64::from(highest));
        Ok(Self { weights: weights.to_vec(), floors, scales: scales.to_vec(), features, lowest, highest })
    }

    /// Outputs of the layer.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.scales.len()
    }

    /// Weights per output.
    #[must_use]
    pub fn features(&self) -> usize {
        self.features
    }

    /// The weights as they were.
    #[must_use]
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// `V` at which every weight has its own value, but for those beyond the grid.
    #[must_use]
    pub fn initial(&self) -> Vec<f64> {
        let part = |i: usize| self.weights[i] / self.scales[i / self.features] - self.floors[i];
        (0..self.weights.len()).map(|i| rectified_sigmoid_inverse(f64::from(part(i)))).collect()
    }

    /// Scale of a row.
    pub(super) fn scale(&self, row: usize) -> f64 {
        f64::from(self.scales[row])
    }

    /// The lowest and the highest integer.
    pub(super) fn bounds(&self) -> (f64, f64) {
        (self.lowest, self.highest)
    }

    /// The integers nearest to a row's weights, halves to even.
    pub(super) fn nearest_integers(&self, row: usize) -> Vec<f64> {
        let scale = self.scales[row];
        let weights = &self.weights[row * self.features..(row + 1) * self.features];
        weights
            .iter()
            .map(|w| f64::from((w / scale).round_ties_even()).clamp(self.lowest, self.highest))
            .collect()
    }

    /// The weight `i` rounded up by the part `h` of a step.
    fn weight(&self, i: usize, h: f64) -> f64 {
        let integer = (f64::from(self.floors[i]) + h).clamp(self.lowest, self.highest);
        integer * f64::from(self.scales[i / self.features])
    }

    /// The weight `i` for its parameter `v`.
    fn soft_weight(&self, i: usize, v: f64) -> f64 {
        self.weight(i, rectified_sigmoid(v))
    }

    /// The derivative of [`Self::soft_weight`] with respect to `v`; 0 where the grid ends.
    fn soft_slope(&self, i: usize, v: f64) -> f64 {
        let integer = f64::from(self.floors[i]) + rectified_sigmoid(v);
        let inside = (self.lowest..=self.highest).contains(&integer);
        if inside { f64::from(self.scales[i / self.features]) * rectified_sigmoid_slope(v) } else { 0.0 }
    }

    /// Weights while learning: `s clamp(floor(w / s) + h(V), lowest, highest)`.
    ///
    /// # Errors
    /// [`Error::Length`] unless there is one parameter per weight.
    pub fn soft(&self, parameters: &[f64]) -> Result<Vec<f32>, Error> {
        self.check("parameters", parameters)?;
        Ok(parameters.iter().enumerate().map(|(i, &v)| self.soft_weight(i, v) as f32).collect())
    }

    /// Weights in the end, on the grid: `h` replaced by 1 where `V >= 0` and by 0 elsewhere.
    ///
    /// # Errors
    /// [`Error::Length`] unless there is one parameter per weight.
    pub fn hard(&self, parameters: &[f64]) -> Result<Vec<f32>, Error> {
        self.check("parameters", parameters)?;
        let up = |v: f64| f64::from(u8::from(v >= 0.0));
        Ok(parameters.iter().enumerate().map(|(i, &v)| self.weight(i, up(v)) as f32).collect())
    }

    /// Weights rounded to nearest, halves to even.
    #[must_use]
    pub fn nearest(&self) -> Vec<f32> {
        let rounded =
            |i: usize| f64::from((self.weights[i] / self.scales[i / self.features]).round_ties_even());
        (0..self.weights.len())
            .map(|i| self.weight(i, rounded(i) - f64::from(self.floors[i])) as f32)
            .collect()
    }

    /// The gradient with respect to `V`, given that with respect to the soft weights.
    ///
    /// # Errors
    /// [`Error::Length`] unless there is one parameter and one gradient per weight.
    pub fn gradient(&self, parameters: &[f64], weights: &[f64]) -> Result<Vec<f64>, Error> {
        self.check("parameters", parameters)?;
        self.check("gradients", weights)?;
        Ok(parameters.iter().zip(weights).enumerate().map(|(i, (&v, g))| g * self.soft_slope(i, v)).collect())
    }

    fn check(&self, what: &'static str, slice: &[f64]) -> Result<(), Error> {
        let (expected, found) = (self.weights.len(), slice.len());
        if expected == found { Ok(()) } else { Err(Error::Length { what, expected, found }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_gives_the_part_back() {
        for i in 0..=100 {
            let part = f64::from(i) / 100.0;
            assert!((rectified_sigmoid(rectified_sigmoid_inverse(part)) - part).abs() < 1e-12, "{part}");
        }
    }

    #[test]
    fn slopes_are_those_of_differences() {
        let rounding = SoftRounding::new(&[0.26, -0.9, 3.0, 0.7], &[0.1, 0.5], -4, 3).unwrap();
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6 * (1.0 + a.abs());
        for v in [-2.9, -2.0, -0.7, 0.1, 1.3, 2.2, 3.5] {
            for beta in [2.0, 3.5, 20.0] {
                let difference = (rounding_penalty(v + 1e-6, beta) - rounding_penalty(v - 1e-6, beta)) / 2e-6;
                assert!(near(rounding_penalty_slope(v, beta), difference), "{v} {beta}: {difference}");
            }
            for i in 0..4 {
                let difference =
                    (rounding.soft_weight(i, v + 1e-6) - rounding.soft_weight(i, v - 1e-6)) / 2e-6;
                assert!(near(rounding.soft_slope(i, v), difference), "{v} {i}: {difference}");
            }
        }
        assert!(rounding_penalty_slope(0.0, 2.0).abs() < 1e-12);
    }

    #[test]
    fn at_the_start_weights_are_themselves_and_rounding_is_to_nearest() {
        let weights = [0.26, -0.94, 0.31, 0.0, 0.44, -0.17];
        let rounding = SoftRounding::new(&weights, &[0.1, 0.2], -8, 7).unwrap();
        let start = rounding.initial();
        let soft = rounding.soft(&start).unwrap();
        let clamped = [0.26, -0.8, 0.31, 0.0, 0.44, -0.17];
        assert!(soft.iter().zip(clamped).all(|(s, w)| (s - w).abs() < 1e-6), "{soft:?}");
        assert_eq!(rounding.hard(&start).unwrap(), rounding.nearest());
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let new = SoftRounding::new;
        assert!(matches!(new(&[1.0; 3], &[1.0; 2], -8, 7), Err(Error::Length { .. })));
        assert!(matches!(new(&[], &[], -8, 7), Err(Error::Length { .. })));
        assert!(matches!(new(&[1.0], &[0.0], -8, 7), Err(Error::Step { .. })));
        assert!(matches!(new(&[f32::NAN], &[1.0], -8, 7), Err(Error::NonFinite { count: 1 })));
        assert!(matches!(new(&[1.0], &[1.0], 7, 7), Err(Error::QuantRange { .. })));
        assert!(matches!(new(&[1.0], &[1.0], -8, 7).unwrap().hard(&[]), Err(Error::Length { .. })));
    }
}
