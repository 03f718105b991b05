//! The optimisation of one linear layer by Adam.

use super::{LinearReconstruction, SoftRounding, rounding_penalty, rounding_penalty_slope};
use crate::Error;
use rayon::prelude::*;

/// How AdaRound learns. The default is AIMET's, but that every step sees all samples instead of some by chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaRound {
    /// Steps of Adam, at least 1.
    pub iterations: u32,
    /// Adam's step size; its other constants are 0.9, 0.999 and 1e-8.
    pub learning_rate: f64,
    /// Weight of the penalty for undecided weights.
    pub penalty: f64,
    /// Part of the iterations before the penalty sets in, in `[0, 1)`.
    pub warm_start: f64,
    /// The penalty's exponent when it sets in: large, so that only weights nearly decided feel it.
    pub first_beta: f64,
    /// Its exponent in the end.
    pub last_beta: f64,
}

impl Default for AdaRound {
    fn default() -> Self {
        Self {
            iterations: 10_000,
            learning_rate: 1e-3,
            penalty: 0.01,
            warm_start: 0.2,
            first_beta: 20.0,
            last_beta: 2.0,
        }
    }
}

/// Loss before a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaRoundLoss {
    /// Squared error of the outputs with soft weights, summed over outputs, mean over samples.
    pub reconstruction: f64,
    /// The penalty, weighted; 0 before it sets in.
    pub rounding: f64,
}

/// What AdaRound gives.
#[derive(Debug, Clone, PartialEq)]
pub struct AdaRounded {
    /// The weights on their grid.
    pub weights: Vec<f32>,
    /// `V` of every weight in the end.
    pub parameters: Vec<f64>,
    /// Rows that kept rounding to nearest because it was better on the samples.
    pub nearest_rows: usize,
    /// The loss before each step.
    pub losses: Vec<AdaRoundLoss>,
}

/// Adam's decay of the mean and of the mean square, and what keeps its divisor from zero.
const DECAY: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

impl AdaRound {
    /// The exponent at an iteration; none before the penalty sets in. From then on half a cosine from `first_beta` to `last_beta`.
    #[must_use]
    pub fn beta(&self, iteration: u32) -> Option<f64> {
        let start = self.warm_start * f64::from(self.iterations);
        let iteration = f64::from(iteration);
        if iteration < start {
            return None;
        }
        let part = (iteration - start) / (f64::from(self.iterations) - start);
        let cosine = (part * std::f64::consts::PI).cos();
        Some(self.last_beta + 0.5 * (self.first_beta - self.last_beta) * (1.0 + cosine))
    }

    /// Chooses the rounding of a linear layer's weights, `rounding`, that keeps its outputs, `outputs`. Rows that come out worse than
    /// rounding to nearest keep that, which the original does not look at; outputs are independent, so each row decides alone.
    ///
    /// Loss: squared error of the outputs, plus `penalty` times the sum of [`rounding_penalty`]. All in f64; rows in parallel, with the
    /// same result for any number of threads.
    ///
    /// # Errors
    /// [`Error::Length`] if the two are not of layers of one shape; [`Error::Iterations`] without iterations or with a warm start
    /// outside `[0, 1)`.
    pub fn linear(
        &self,
        rounding: &SoftRounding,
        outputs: &LinearReconstruction,
    ) -> Result<AdaRounded, Error> {
        if (outputs.rows(), outputs.features()) != (rounding.rows(), rounding.features()) {
            let (expected, found) = (rounding.weights().len(), outputs.rows() * outputs.features());
            return Err(Error::Length { what: "weights in the same rows", expected, found });
        }
        if self.iterations == 0 || !(0.0..1.0).contains(&self.warm_start) {
            return Err(Error::Iterations { iterations: self.iterations, warm_start: self.warm_start });
        }
        let mut state: Vec<Parameter> = rounding.initial().into_iter().map(Parameter::new).collect();
        let losses = (0..self.iterations).map(|i| self.step(i, &mut state, rounding, outputs)).collect();
        let parameters: Vec<f64> = state.iter().map(|p| p.value).collect();
        let mut weights = rounding.hard(&parameters)?;
        let nearest_rows = keep_better(&mut weights, &rounding.nearest(), outputs);
        Ok(AdaRounded { weights, parameters, nearest_rows, losses })
    }

    /// One step of all rows; the loss before it.
    fn step(
        &self,
        iteration: u32,
        state: &mut [Parameter],
        rounding: &SoftRounding,
        outputs: &LinearReconstruction,
    ) -> AdaRoundLoss {
        let beta = self.beta(iteration);
        let adam = Adam::new(self.learning_rate, iteration);
        let features = rounding.features();
        let blocks: Vec<AdaRoundLoss> = state
            .par_chunks_mut(features * BLOCK)
            .enumerate()
            .map(|(block, state)| self.step_rows(block * BLOCK, state, beta, &adam, rounding, outputs))
            .collect();
        let sum = |part: fn(&AdaRoundLoss) -> f64| blocks.iter().map(part).sum();
        AdaRoundLoss { reconstruction: sum(|l| l.reconstruction), rounding: sum(|l| l.rounding) }
    }

    /// One step of the rows from `row` on.
    fn step_rows(
        &self,
        row: usize,
        state: &mut [Parameter],
        beta: Option<f64>,
        adam: &Adam,
        rounding: &SoftRounding,
        outputs: &LinearReconstruction,
    ) -> AdaRoundLoss {
        let first = row * rounding.features();
        let weights: Vec<f64> =
            state.iter().enumerate().map(|(k, p)| rounding.soft_weight(first + k, p.value)).collect();
        let mut gradient = vec![0.0; state.len()];
        let reconstruction = outputs.errors(row, &weights, &mut gradient).iter().sum();
        let mut penalty = 0.0;
        for (k, (parameter, gradient)) in state.iter_mut().zip(gradient).enumerate() {
            let v = parameter.value;
            let mut gradient = gradient * rounding.soft_slope(first + k, v);
            if let Some(beta) = beta {
                penalty += rounding_penalty(v, beta);
                gradient += self.penalty * rounding_penalty_slope(v, beta);
            }
            parameter.step(gradient, adam);
        }
        AdaRoundLoss { reconstruction, rounding: self.penalty * penalty }
    }
}

/// Rows that one thread steps together.
const BLOCK: usize = 8;

/// Replaces rows by those of `nearest` where these have less error; how many.
fn keep_better(weights: &mut [f32], nearest: &[f32], outputs: &LinearReconstruction) -> usize {
    let features = outputs.features();
    let better: Vec<bool> =
        outputs.all_errors(nearest).iter().zip(outputs.all_errors(weights)).map(|(n, w)| *n < w).collect();
    let rows = weights.chunks_exact_mut(features).zip(nearest.chunks_exact(features)).zip(&better);
    for ((weights, nearest), _) in rows.filter(|(_, better)| **better) {
        weights.copy_from_slice(nearest);
    }
    better.iter().filter(|b| **b).count()
}

/// A parameter with Adam's running means.
#[derive(Debug, Clone, Copy)]
struct Parameter {
    value: f64,
    mean: f64,
    square: f64,
}

impl Parameter {
    fn new(value: f64) -> Self {
        Self { value, mean: 0.0, square: 0.0 }
    }

    fn step(&mut self, gradient: f64, adam: &Adam) {
        self.mean = DECAY.0 * self.mean + (1.0 - DECAY.0) * gradient;
        self.square = DECAY.1 * self.square + (1.0 - DECAY.1) * gradient * gradient;
        self.value -= adam.rate * self.mean / (self.square.sqrt() / adam.root + EPSILON);
    }
}

/// Step size and divisor of an iteration, corrected for means that start at zero.
struct Adam {
    rate: f64,
    root: f64,
}

impl Adam {
    fn new(learning_rate: f64, iteration: u32) -> Self {
        let t = f64::from(iteration) + 1.0;
        Self { rate: learning_rate / (1.0 - DECAY.0.powf(t)), root: (1.0 - DECAY.1.powf(t)).sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A layer whose inputs are correlated, so that rounding errors of neighbours can cancel.
    fn layer() -> (SoftRounding, LinearReconstruction, Vec<f32>) {
        let (rows, features, samples) = (11, 16, 200);
        let weights: Vec<f32> = (0..rows * features).map(|i| (i as f32 * 1.3).sin()).collect();
        let inputs: Vec<f32> =
            (0..samples * features).map(|i| 1.0 + 0.3 * ((i * i % 1013) as f32 * 0.7).sin()).collect();
        let targets: Vec<f32> = inputs
            .chunks_exact(features)
            .flat_map(|x| {
                weights.chunks_exact(features).map(move |w| w.iter().zip(x).map(|(w, x)| w * x).sum())
            })
            .collect();
        let mut sums = LinearReconstruction::new(&weights, rows).unwrap();
        sums.add(&inputs, &targets).unwrap();
        (SoftRounding::new(&weights, &vec![0.15; rows], -8, 7).unwrap(), sums, weights)
    }

    fn short() -> AdaRound {
        AdaRound { iterations: 500, learning_rate: 0.01, ..AdaRound::default() }
    }

    #[test]
    fn outputs_change_far_less_than_with_rounding_to_nearest() {
        let (rounding, outputs, _) = layer();
        let got = short().linear(&rounding, &outputs).unwrap();
        let error = |w: &[f32]| outputs.mean_squared_error(w).unwrap();
        let (learned, nearest) = (error(&got.weights), error(&rounding.nearest()));
        assert!(learned < 0.4 * nearest, "{learned} for {nearest}");
        assert!(got.weights.iter().all(|w| (w / 0.15 - (w / 0.15).round()).abs() < 1e-4));
        assert_eq!(got.losses.len(), 500);
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let (rounding, outputs, _) = layer();
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| short().linear(&rounding, &outputs).unwrap())
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn rows_that_learning_makes_worse_keep_nearest() {
        let (rounding, outputs, _) = layer();
        // Far too fast: parameters fly apart.
        let wild = AdaRound { iterations: 3, learning_rate: 100.0, ..AdaRound::default() };
        let got = wild.linear(&rounding, &outputs).unwrap();
        assert!(got.nearest_rows > 0);
        let error = |w: &[f32]| outputs.mean_squared_error(w).unwrap();
        assert!(error(&got.weights) <= error(&rounding.nearest()));
    }

    #[test]
    fn the_exponent_falls_after_the_warm_start() {
        let learn = AdaRound { iterations: 100, ..AdaRound::default() };
        assert_eq!((learn.beta(19), learn.beta(20)), (None, Some(20.0)));
        let betas: Vec<f64> = (20..100).map(|i| learn.beta(i).unwrap()).collect();
        assert!(betas.is_sorted_by(|a, b| a > b) && betas[79] > 2.0 && betas[79] < 2.1);
    }

    #[test]
    fn unusable_settings_are_refused() {
        let (rounding, outputs, weights) = layer();
        for learn in [AdaRound { iterations: 0, ..short() }, AdaRound { warm_start: 1.0, ..short() }] {
            assert!(matches!(learn.linear(&rounding, &outputs), Err(Error::Iterations { .. })), "{learn:?}");
        }
        let other = LinearReconstruction::new(&weights, 16).unwrap();
        assert!(matches!(short().linear(&rounding, &other), Err(Error::Length { .. })));
    }
}
