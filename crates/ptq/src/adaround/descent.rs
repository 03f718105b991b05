//! Rounding by coordinate descent on the layer's output error.
//!
//! The squared error of an output is a quadratic form in the change `d` of its weights, `d G d - 2 d c + e`. Of one weight alone the best
//! change is known in closed form, and so is the best one that ends on the grid. Going through the weights again and again until none
//! moves is what CDQuant (Nair and Suggala, arXiv 2406.17542) and QuantEase (Behdin et al., arXiv 2309.01885) do. A weight may move by
//! more than one step, unlike in AdaRound; the error never rises; no learning rate has to be chosen; and a layer takes about as
//! long as ten steps of AdaRound.

use super::{LinearReconstruction, SoftRounding};
use crate::Error;
use rayon::prelude::*;

/// How long to go on, and what keeps weights from following the samples' accidents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CoordinateDescent {
    /// Times that all weights are looked at, at most; at least 1.
    pub sweeps: u32,
    /// `damping * mean(diagonal of G)` is added to the diagonal of `G`: directions that the samples hardly show keep their weights. Not
    /// negative.
    pub damping: f64,
}

impl Default for CoordinateDescent {
    fn default() -> Self {
        Self { sweeps: 20, damping: 0.01 }
    }
}

/// What the descent gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Descended {
    /// The weights on their grid.
    pub weights: Vec<f32>,
    /// Weights that are not at their nearest integer.
    pub moved: usize,
}

impl CoordinateDescent {
    /// Chooses integers for a linear layer's weights, from those nearest to `rounding`'s on, so that its outputs, `outputs`, change
    /// least. All in f64; rows in parallel, with the same result for any number of threads.
    ///
    /// # Errors
    /// [`Error::Length`] if the two are not of layers of one shape; [`Error::Descent`] without sweeps or with a negative damping.
    pub fn linear(
        &self,
        rounding: &SoftRounding,
        outputs: &LinearReconstruction,
    ) -> Result<Descended, Error> {
        if (outputs.rows(), outputs.features()) != (rounding.rows(), rounding.features()) {
            let (expected, found) = (rounding.weights().len(), outputs.rows() * outputs.features());
            return Err(Error::Length { what: "weights in the same rows", expected, found });
        }
        if self.sweeps == 0 || !(self.damping.is_finite() && self.damping >= 0.0) {
            return Err(Error::Descent { sweeps: self.sweeps, damping: self.damping });
        }
        let features = rounding.features();
        let trace: f64 = (0..features).map(|k| outputs.products_of(k)[k]).sum();
        let damping = self.damping * trace / features as f64;
        let rows: Vec<(Vec<f32>, usize)> = (0..rounding.rows())
            .into_par_iter()
            .map(|row| self.row(row, rounding, outputs, damping))
            .collect();
        let moved = rows.iter().map(|(_, moved)| moved).sum();
        Ok(Descended { weights: rows.into_iter().flat_map(|(weights, _)| weights).collect(), moved })
    }

    fn row(
        &self,
        row: usize,
        rounding: &SoftRounding,
        outputs: &LinearReconstruction,
        damping: f64,
    ) -> (Vec<f32>, usize) {
        let features = rounding.features();
        let scale = rounding.scale(row);
        let (lowest, highest) = rounding.bounds();
        let weights = &rounding.weights()[row * features..(row + 1) * features];
        let nearest = rounding.nearest_integers(row);
        let mut integers = nearest.clone();
        let change = |integer: f64, k: usize| integer * scale - f64::from(weights[k]);
        let changes: Vec<f64> = integers.iter().enumerate().map(|(k, &q)| change(q, k)).collect();
        let mut gradient = outputs.half_gradient(row, &changes);
        for _ in 0..self.sweeps {
            let mut quiet = true;
            for k in 0..features {
                let curvature = outputs.products_of(k)[k] + damping;
                if curvature <= 0.0 {
                    continue;
                }
                let slope = gradient[k] + damping * change(integers[k], k);
                let steps = (-slope / (curvature * scale)).round_ties_even();
                let steps = (integers[k] + steps).clamp(lowest, highest) - integers[k];
                // `steps^2 curvature scale + 2 steps slope` is what the error changes by.
                if steps != 0.0 && steps * (steps * curvature * scale + 2.0 * slope) < 0.0 {
                    integers[k] += steps;
                    let d = steps * scale;
                    gradient.iter_mut().zip(outputs.products_of(k)).for_each(|(g, p)| *g += d * p);
                    quiet = false;
                }
            }
            if quiet {
                break;
            }
        }
        let moved = integers.iter().zip(&nearest).filter(|(a, b)| a != b).count();
        (integers.iter().map(|q| (q * scale) as f32).collect(), moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEATURES: usize = 4;
    const SCALE: f32 = 0.25;

    /// One output whose inputs are strongly correlated.
    fn layer(seed: u32) -> (SoftRounding, LinearReconstruction) {
        let wave = |i: u32, pace: f32| ((i + 31 * seed) as f32 * pace).sin();
        let weights: Vec<f32> = (0..FEATURES as u32).map(|i| wave(i, 1.3)).collect();
        let inputs: Vec<f32> =
            (0..60 * FEATURES as u32).map(|i| 1.0 + wave(i / 4, 0.9) + 0.4 * wave(i, 2.7)).collect();
        let target = |x: &[f32]| x.iter().zip(&weights).map(|(x, w)| x * w).sum::<f32>() + 0.02 * x[0];
        let targets: Vec<f32> = inputs.chunks_exact(FEATURES).map(target).collect();
        let mut sums = LinearReconstruction::new(&weights, 1).unwrap();
        sums.add(&inputs, &targets).unwrap();
        (SoftRounding::new(&weights, &[SCALE], -7, 7).unwrap(), sums)
    }

    fn least(outputs: &LinearReconstruction, around: &[f32]) -> f64 {
        let mut best = f64::INFINITY;
        for code in 0..7u32.pow(FEATURES as u32) {
            let step = |k: usize| (code / 7u32.pow(k as u32) % 7) as f32 - 3.0;
            let weights: Vec<f32> = around
                .iter()
                .enumerate()
                .map(|(k, w)| (w + step(k) * SCALE).clamp(-7.0 * SCALE, 7.0 * SCALE))
                .collect();
            best = best.min(outputs.mean_squared_error(&weights).unwrap());
        }
        best
    }

    #[test]
    fn it_ends_where_no_single_weight_can_gain_and_near_the_best_of_all() {
        let mut sums = [0.0; 3];
        for seed in 0..40 {
            let (rounding, outputs) = layer(seed);
            let got =
                CoordinateDescent { damping: 0.0, ..Default::default() }.linear(&rounding, &outputs).unwrap();
            let error = |w: &[f32]| outputs.mean_squared_error(w).unwrap();
            let (found, nearest) = (error(&got.weights), error(&rounding.nearest()));
            assert!(found <= nearest * (1.0 + 1e-9), "{seed}: {found} {nearest}");
            for k in 0..FEATURES {
                for by in [-SCALE, SCALE] {
                    let mut moved = got.weights.clone();
                    moved[k] += by;
                    let allowed = moved[k].abs() <= 7.0 * SCALE;
                    assert!(!allowed || error(&moved) >= found * (1.0 - 1e-9), "{seed}: weight {k} by {by}");
                }
            }
            let least = least(&outputs, &rounding.nearest());
            [found, nearest, least].iter().zip(&mut sums).for_each(|(error, sum)| *sum += error);
        }
        let [found, nearest, least] = sums;
        assert!(found < 0.5 * nearest && found < 3.0 * least, "{found} of {nearest}, least {least}");
    }

    #[test]
    fn damping_keeps_weights_where_samples_say_nothing() {
        let weights = [0.3f32, 0.4];
        let mut sums = LinearReconstruction::new(&weights, 1).unwrap();
        // The second input never differs from zero.
        sums.add(&[1.0, 0.0, 2.0, 0.0], &[0.3, 0.6]).unwrap();
        let rounding = SoftRounding::new(&weights, &[0.25], -7, 7).unwrap();
        for damping in [0.0, 0.01] {
            let got = CoordinateDescent { damping, sweeps: 5 }.linear(&rounding, &sums).unwrap();
            assert_eq!(got.weights, [0.25, 0.5], "{damping}");
            assert_eq!(got.moved, 0);
        }
        for (sweeps, damping) in [(0, 0.0), (1, -1.0), (1, f64::NAN)] {
            let refused = CoordinateDescent { sweeps, damping }.linear(&rounding, &sums);
            assert!(matches!(refused, Err(Error::Descent { .. })), "{sweeps} {damping}");
        }
        let other = LinearReconstruction::new(&weights, 2).unwrap();
        assert!(CoordinateDescent::default().linear(&rounding, &other).is_err());
    }
}
