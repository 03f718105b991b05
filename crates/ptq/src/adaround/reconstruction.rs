//! How far a linear layer's outputs move when its weights do, over all inputs at once.
//!
//! The squared error of the outputs is a quadratic form in the weights. With the layer's weights `w` of one output, its change `d`,
//! inputs `x` and the error `r = target - w x` that the layer has before, it is
//!
//! ```text
//! sum over samples (d x - r)^2 = d G d - 2 d c + e        G = sum x x'    c = sum r x    e = sum r^2
//! ```
//!
//! `G`, `c` and `e` are collected once; a step of the optimiser then costs `rows * features^2`, however many samples there are, and
//! sees all of them. Since `d` and `r` are small, nothing cancels.

use crate::Error;
use rayon::prelude::*;

/// The sums above, in f64, for a layer's weights.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearReconstruction {
    weights: Vec<f32>,
    rows: usize,
    features: usize,
    samples: u64,
    /// `features x features`.
    products: Vec<f64>,
    /// `rows x features`.
    cross: Vec<f64>,
    /// Per row.
    residual: Vec<f64>,
    /// Sum of the inputs, per feature.
    input_sums: Vec<f64>,
    /// Sum of the errors `r`, per row.
    residual_sums: Vec<f64>,
}

impl LinearReconstruction {
    /// Of a layer with these `weights` (`rows x features`) and no samples yet.
    ///
    /// # Errors
    /// [`Error::Length`] unless `rows` divides the weights, and both are at least 1.
    pub fn new(weights: &[f32], rows: usize) -> Result<Self, Error> {
        if rows == 0 || weights.is_empty() || !weights.len().is_multiple_of(rows) {
            return Err(Error::Length {
                what: "weights in whole rows",
                expected: rows,
                found: weights.len(),
            });
        }
        let features = weights.len() / rows;
        Ok(Self {
            weights: weights.to_vec(),
            rows,
            features,
            samples: 0,
            products: vec![0.0; features * features],
            cross: vec![0.0; weights.len()],
            residual: vec![0.0; rows],
            input_sums: vec![0.0; features],
            residual_sums: vec![0.0; rows],
        })
    }

    /// Outputs of the layer.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Weights per output.
    pub(crate) fn features(&self) -> usize {
        self.features
    }

    /// Adds samples: `inputs` (`samples x features`; for a convolution its patches, one row per position) and the `targets`
    /// (`samples x rows`) that the layer should give, without bias.
    ///
    /// Sums run over samples in their order, whatever the number of threads.
    ///
    /// # Errors
    /// [`Error::Length`] if the two do not have the same number of samples; [`Error::NonFinite`] if a number is not finite.
    pub fn add(&mut self, inputs: &[f32], targets: &[f32]) -> Result<(), Error> {
        let samples = inputs.len() / self.features;
        if !inputs.len().is_multiple_of(self.features)
            || samples.checked_mul(self.rows) != Some(targets.len())
        {
            let expected = samples.saturating_mul(self.rows);
            return Err(Error::Length { what: "targets", expected, found: targets.len() });
        }
        Error::check_finite(inputs.iter().chain(targets))?;
        self.add_products(inputs);
        self.add_residuals(inputs, targets);
        self.samples += samples as u64;
        Ok(())
    }

    fn add_products(&mut self, inputs: &[f32]) {
        let features = self.features;
        self.products.par_chunks_mut(features).enumerate().for_each(|(i, row)| {
            for x in inputs.chunks_exact(features) {
                let xi = f64::from(x[i]);
                row[i..].iter_mut().zip(&x[i..]).for_each(|(sum, &xj)| *sum += xi * f64::from(xj));
            }
        });
        // The matrix is symmetric.
        for i in 1..features {
            for j in 0..i {
                self.products[i * features + j] = self.products[j * features + i];
            }
        }
        for x in inputs.chunks_exact(features) {
            self.input_sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum += f64::from(x));
        }
    }

    fn add_residuals(&mut self, inputs: &[f32], targets: &[f32]) {
        let (features, rows) = (self.features, self.rows);
        let weights = self.weights.par_chunks(features);
        let residuals = self.residual.par_iter_mut().zip(&mut self.residual_sums);
        let sums = self.cross.par_chunks_mut(features).zip(residuals);
        sums.zip(weights).enumerate().for_each(|(row, ((cross, (residual, residual_sum)), weights))| {
            for (x, target) in inputs.chunks_exact(features).zip(targets.chunks_exact(rows)) {
                let product = |(w, x): (&f32, &f32)| f64::from(*w) * f64::from(*x);
                let r = f64::from(target[row]) - weights.iter().zip(x).map(product).sum::<f64>();
                cross.iter_mut().zip(x).for_each(|(sum, &x)| *sum += r * f64::from(x));
                *residual += r * r;
                *residual_sum += r;
            }
        });
    }

    /// The same sums with `share` of the error that the layer has before: of what comes from the layers before it, which weights then make up
    /// for to that part only. Fewer samples tell less of what is worth making up for.
    #[must_use]
    pub fn compensating(&self, share: f64) -> Self {
        let mut part = self.clone();
        part.cross.iter_mut().chain(&mut part.residual_sums).for_each(|sum| *sum *= share);
        part.residual.iter_mut().for_each(|sum| *sum *= share * share);
        part
    }

    /// The same sums about the means of inputs and errors: of a layer whose bias is free to take up any shift of its outputs.
    #[must_use]
    pub fn centred(&self) -> Self {
        let (n, features) = (self.samples.max(1) as f64, self.features);
        let mut centred = self.clone();
        for (i, row) in centred.products.chunks_exact_mut(features).enumerate() {
            let mean = self.input_sums[i] / n;
            row.iter_mut().zip(&self.input_sums).for_each(|(p, sum)| *p -= mean * sum);
        }
        for (row, cross) in centred.cross.chunks_exact_mut(features).enumerate() {
            let mean = self.residual_sums[row] / n;
            cross.iter_mut().zip(&self.input_sums).for_each(|(c, sum)| *c -= mean * sum);
            centred.residual[row] -= mean * self.residual_sums[row];
        }
        centred.input_sums.fill(0.0);
        centred.residual_sums.fill(0.0);
        centred
    }

    /// Mean over samples, per output, of `old output - output` with these weights, and of `target - output`: what a bias has to make up
    /// for, of the change of weights alone and in all (empirical bias correction; Nagel et al., *Data-Free Quantization through Weight
    /// Equalization and Bias Correction*, ICCV 2019, arXiv 1906.04721).
    ///
    /// # Errors
    /// [`Error::Length`] if there are not as many weights as the layer has.
    pub fn mean_shifts(&self, weights: &[f32]) -> Result<[Vec<f64>; 2], Error> {
        self.check_weights(weights)?;
        let n = self.samples.max(1) as f64;
        let rows = weights.chunks_exact(self.features).zip(self.weights.chunks_exact(self.features));
        let moved = |(new, old): (&[f32], &[f32])| {
            let change = new.iter().zip(old).map(|(new, old)| f64::from(*new) - f64::from(*old));
            -change.zip(&self.input_sums).map(|(d, sum)| d * sum).sum::<f64>() / n
        };
        let own: Vec<f64> = rows.map(moved).collect();
        let all = own.iter().zip(&self.residual_sums).map(|(own, residual)| own + residual / n).collect();
        Ok([own, all])
    }

    fn check_weights(&self, weights: &[f32]) -> Result<(), Error> {
        let (expected, found) = (self.weights.len(), weights.len());
        if expected == found { Ok(()) } else { Err(Error::Length { what: "weights", expected, found }) }
    }

    /// Mean over samples of the squared error, for the outputs from `first` on whose `weights` these are; writes its gradient.
    ///
    /// `G` is symmetric, so `d G` is added up from its rows; each serves all outputs at hand while it is in the cache.
    pub(super) fn errors(&self, first: usize, weights: &[f64], gradient: &mut [f64]) -> Vec<f64> {
        let features = self.features;
        let start = first * features;
        let here = start..start + weights.len();
        let old = &self.weights[here.clone()];
        let change: Vec<f64> = weights.iter().zip(old).map(|(new, &old)| new - f64::from(old)).collect();
        let mut moved = vec![0.0; weights.len()];
        for (k, products) in self.products.chunks_exact(features).enumerate() {
            for (moved, change) in moved.chunks_exact_mut(features).zip(change.chunks_exact(features)) {
                let d = change[k];
                moved.iter_mut().zip(products).for_each(|(sum, p)| *sum += d * p);
            }
        }
        let per_sample = 1.0 / self.samples.max(1) as f64;
        let cross = &self.cross[here];
        for ((gradient, moved), c) in gradient.iter_mut().zip(&moved).zip(cross) {
            *gradient = 2.0 * (moved - c) * per_sample;
        }
        let terms: Vec<f64> =
            change.iter().zip(&moved).zip(cross).map(|((d, m), c)| d * (m - 2.0 * c)).collect();
        let rows = terms.chunks_exact(features).zip(&self.residual[first..]);
        rows.map(|(terms, residual)| (residual + terms.iter().sum::<f64>()).max(0.0) * per_sample).collect()
    }

    /// Half the gradient of the summed error of output `row`, `G d - c`, for a change `d` of its weights.
    pub(super) fn half_gradient(&self, row: usize, change: &[f64]) -> Vec<f64> {
        let features = self.features;
        let cross = &self.cross[row * features..(row + 1) * features];
        let mut gradient: Vec<f64> = cross.iter().map(|c| -c).collect();
        for (k, &d) in change.iter().enumerate().filter(|(_, d)| **d != 0.0) {
            gradient.iter_mut().zip(self.products_of(k)).for_each(|(g, p)| *g += d * p);
        }
        gradient
    }

    /// Row `k` of `G`.
    pub(super) fn products_of(&self, k: usize) -> &[f64] {
        &self.products[k * self.features..(k + 1) * self.features]
    }

    /// [`Self::errors`] of all outputs.
    pub(super) fn all_errors(&self, weights: &[f32]) -> Vec<f64> {
        let weights: Vec<f64> = weights.iter().map(|&w| f64::from(w)).collect();
        self.errors(0, &weights, &mut vec![0.0; weights.len()])
    }

    /// Mean over samples of the squared error of all outputs, summed over outputs: `mean_n sum_o (x w_o - target_o)^2`.
    ///
    /// # Errors
    /// [`Error::Length`] if there are not as many weights as the layer has.
    pub fn mean_squared_error(&self, weights: &[f32]) -> Result<f64, Error> {
        self.check_weights(weights)?;
        Ok(self.all_errors(weights).iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Straight from the definition.
    fn naive(weights: &[f32], inputs: &[f32], targets: &[f32], rows: usize) -> f64 {
        let features = weights.len() / rows;
        let samples = inputs.len() / features;
        let mut sum = 0.0;
        for n in 0..samples {
            for row in 0..rows {
                let output: f64 = (0..features)
                    .map(|k| f64::from(weights[row * features + k]) * f64::from(inputs[n * features + k]))
                    .sum();
                sum += (output - f64::from(targets[n * rows + row])).powi(2);
            }
        }
        sum / samples as f64
    }

    fn wave(count: usize, pace: f32) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * pace).sin()).collect()
    }

    #[test]
    fn errors_and_gradients_are_those_of_the_definition() {
        let (rows, features, samples) = (3, 5, 40);
        let (weights, inputs) = (wave(rows * features, 0.9), wave(samples * features, 1.7));
        let targets = wave(samples * rows, 0.31);
        let mut sums = LinearReconstruction::new(&weights, rows).unwrap();
        // In two parts, as images come.
        sums.add(&inputs[..15 * features], &targets[..15 * rows]).unwrap();
        sums.add(&inputs[15 * features..], &targets[15 * rows..]).unwrap();
        let moved: Vec<f32> = weights.iter().zip(wave(15, 0.4)).map(|(w, m)| w + 0.1 * m).collect();
        let want = naive(&moved, &inputs, &targets, rows);
        let got = sums.mean_squared_error(&moved).unwrap();
        assert!((got - want).abs() < 1e-9 * want, "{got} for {want}");
        let row: Vec<f64> = moved[features..2 * features].iter().map(|&w| f64::from(w)).collect();
        let (mut gradient, mut unused) = (vec![0.0; features], vec![0.0; features]);
        sums.errors(1, &row, &mut gradient);
        for k in 0..features {
            let mut at = |by: f64| {
                let mut row = row.clone();
                row[k] += by;
                sums.errors(1, &row, &mut unused)[0]
            };
            let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((gradient[k] - difference).abs() < 1e-6, "{k}: {} for {difference}", gradient[k]);
        }
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        assert!(matches!(LinearReconstruction::new(&[1.0; 5], 2), Err(Error::Length { .. })));
        assert!(matches!(LinearReconstruction::new(&[1.0; 5], 0), Err(Error::Length { .. })));
        let mut sums = LinearReconstruction::new(&[1.0; 6], 2).unwrap();
        assert!(matches!(sums.add(&[1.0; 6], &[1.0; 3]), Err(Error::Length { .. })));
        assert!(matches!(sums.add(&[1.0; 5], &[1.0; 2]), Err(Error::Length { .. })));
        assert!(matches!(sums.add(&[f32::NAN; 3], &[1.0; 2]), Err(Error::NonFinite { count: 3 })));
        assert!(matches!(sums.mean_squared_error(&[1.0]), Err(Error::Length { .. })));
    }
}
