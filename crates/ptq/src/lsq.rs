//! Learned step size quantisation: the quantiser and its gradients (Esser et al., *Learned Step Size Quantization*, ICLR 2020,
//! arXiv 1902.08153).

use crate::Error;

/// Which values the quantiser does not clip, as far as gradients are concerned.
///
/// The two differ for `v / step` in `(highest, highest + 1/2]` and `[lowest - 1/2, lowest)`, which round to an end without being cut
/// off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LsqInside {
    /// `lowest < v / step < highest`: the paper, where `-Qn < v / s < Qp`.
    Unrounded,
    /// `lowest <= round(v / step) <= highest`: PyTorch's learnable fake quantisation.
    Rounded,
}

/// A quantiser `round(clamp(v / step, lowest, highest)) * step`, halves to even, with a learned step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LsqQuantizer {
    lowest: i32,
    highest: i32,
    inside: LsqInside,
}

/// Gradients of a loss that passes through an [`LsqQuantizer`].
#[derive(Debug, Clone, PartialEq)]
pub struct LsqGradients {
    /// With respect to the values: that of the output inside, 0 where it clips.
    pub values: Vec<f32>,
    /// With respect to the step, summed in f64, not yet scaled by [`LsqQuantizer::gradient_scale`].
    pub step: f64,
}

impl LsqQuantizer {
    /// Integers from `lowest` (`-Qn` in the paper) to `highest` (`Qp`): -128 and 127, or 0 and 255.
    ///
    /// # Errors
    /// [`Error::QuantRange`] unless `lowest <= 0 < highest` and both are within `2^24`.
    pub fn new(lowest: i32, highest: i32, inside: LsqInside) -> Result<Self, Error> {
        const LIMIT: i32 = 1 << 24;
        if (-LIMIT..=0).contains(&lowest) && (1..=LIMIT).contains(&highest) {
            Ok(Self { lowest, highest, inside })
        } else {
            Err(Error::QuantRange { quant_min: lowest, quant_max: highest })
        }
    }

    /// The first step, from values of a tensor: `2 mean(|v|) / sqrt(highest)`, the mean in f64 (paper, section 2.1).
    ///
    /// # Errors
    /// [`Error::NoValues`] if there are none; [`Error::Step`] if the result is no step: all values are 0, or not all are finite.
    pub fn initial_step(&self, values: &[f32]) -> Result<f32, Error> {
        if values.is_empty() {
            return Err(Error::NoValues);
        }
        let mean = values.iter().map(|&v| f64::from(v.abs())).sum::<f64>() / values.len() as f64;
        let step = (2.0 * mean / f64::from(self.highest).sqrt()) as f32;
        valid(step)?;
        Ok(step)
    }

    /// What the step's gradient is multiplied by, so that steps learn as fast as weights: `1 / sqrt(count * highest)`, where `count`
    /// is the number of weights of a layer or of features of an activation (paper, section 2.2).
    #[must_use]
    pub fn gradient_scale(&self, count: usize) -> f64 {
        1.0 / (count as f64 * f64::from(self.highest)).sqrt()
    }

    /// The values quantised and back. NaN stays.
    ///
    /// # Errors
    /// [`Error::Step`] unless `step` and its reciprocal are positive and finite.
    pub fn forward(&self, values: &[f32], step: f32) -> Result<Vec<f32>, Error> {
        valid(step)?;
        Ok(values.iter().map(|&v| self.integer(v, step) * step).collect())
    }

    /// Gradients for `output`, the gradient with respect to what [`Self::forward`] gives.
    ///
    /// ```text
    /// d out / d v = 1 inside, 0 where it clips
    /// d out / d s = round(v / s) - v / s inside, lowest or highest where it clips
    /// ```
    ///
    /// # Errors
    /// [`Error::Step`] as in [`Self::forward`]; [`Error::Length`] unless both slices have the same length.
    pub fn backward(&self, values: &[f32], output: &[f32], step: f32) -> Result<LsqGradients, Error> {
        valid(step)?;
        if values.len() != output.len() {
            return Err(Error::Length { what: "gradients", expected: values.len(), found: output.len() });
        }
        let mut gradients = LsqGradients { values: Vec::with_capacity(values.len()), step: 0.0 };
        for (&v, &gradient) in values.iter().zip(output) {
            let inside = self.is_inside(v, step);
            gradients.values.push(if inside { gradient } else { 0.0 });
            let q = f64::from(self.integer(v, step));
            let slope = if inside { q - f64::from(v) / f64::from(step) } else { q };
            gradients.step += f64::from(gradient) * slope;
        }
        Ok(gradients)
    }

    /// The integer of a value, as a number. The reciprocal of the step is rounded to f32, as in PyTorch.
    fn integer(&self, v: f32, step: f32) -> f32 {
        (v * (1.0 / step)).round_ties_even().clamp(self.lowest as f32, self.highest as f32)
    }

    fn is_inside(&self, v: f32, step: f32) -> bool {
        let (lowest, highest, ratio) = (self.lowest as f32, self.highest as f32, v * (1.0 / step));
        match self.inside {
            LsqInside::Unrounded => lowest < ratio && ratio < highest,
            LsqInside::Rounded => (lowest..=highest).contains(&ratio.round_ties_even()),
        }
    }
}

fn valid(step: f32) -> Result<(), Error> {
    if step > 0.0 && step.is_finite() && (1.0 / step).is_finite() {
        Ok(())
    } else {
        Err(Error::Step { step })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantizer(inside: LsqInside) -> LsqQuantizer {
        LsqQuantizer::new(-4, 3, inside).unwrap()
    }

    #[test]
    fn gradients_inside_on_the_border_and_outside() {
        // value, whether inside by the paper, by PyTorch, gradient of the step if inside
        let rows = [
            (0.3, true, true, -0.3),
            (-2.6, true, true, -0.4),
            (2.9, true, true, 0.1),
            (3.2, false, true, -0.2),
            (3.7, false, false, 3.0),
            (-4.4, false, true, 0.4),
            (-4.6, false, false, -4.0),
        ];
        for (v, unrounded, rounded, slope) in rows {
            for (inside, is_inside) in [(LsqInside::Unrounded, unrounded), (LsqInside::Rounded, rounded)] {
                let got = quantizer(inside).backward(&[v], &[2.0], 1.0).unwrap();
                assert_eq!(got.values[0], if is_inside { 2.0 } else { 0.0 }, "{v} {inside:?}");
                let slope = if is_inside { slope } else { f64::from(v.clamp(-4.0, 3.0).round()) };
                assert!((got.step - 2.0 * slope).abs() < 1e-6, "{v} {inside:?}: {}", got.step);
            }
        }
    }

    #[test]
    fn the_step_that_the_gradient_leads_to_has_less_error() {
        let values: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.37).sin() * 2.0).collect();
        let q = LsqQuantizer::new(-8, 7, LsqInside::Unrounded).unwrap();
        let error = |step: f32| {
            let out = q.forward(&values, step).unwrap();
            out.iter().zip(&values).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
        };
        let mut step = q.initial_step(&values).unwrap();
        let start = error(step);
        for _ in 0..200 {
            let out = q.forward(&values, step).unwrap();
            let output: Vec<f32> = out.iter().zip(&values).map(|(a, b)| 2.0 * (a - b)).collect();
            let gradient = q.backward(&values, &output, step).unwrap().step * q.gradient_scale(values.len());
            step -= (1e-4 * gradient) as f32;
        }
        assert!(error(step) < 0.95 * start, "{} for {start}", error(step));
    }

    #[test]
    fn unusable_arguments_are_refused() {
        let q = quantizer(LsqInside::Rounded);
        for step in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-45] {
            assert!(matches!(q.forward(&[1.0], step), Err(Error::Step { .. })), "{step}");
        }
        assert!(matches!(q.backward(&[1.0], &[], 1.0), Err(Error::Length { .. })));
        assert!(matches!(q.initial_step(&[]), Err(Error::NoValues)));
        assert!(matches!(q.initial_step(&[0.0]), Err(Error::Step { .. })));
        for (lowest, highest) in [(1, 3), (-4, 0), (i32::MIN, 3)] {
            assert!(LsqQuantizer::new(lowest, highest, LsqInside::Rounded).is_err());
        }
    }
}
