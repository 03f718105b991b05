//! Convolutions of normalised networks as integers.

use crate::{Error, WeightConfig};
use quant_core::{Accelerator, ConvScales, Granularity, Rounding, round};

/// How convolutions become integers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IntegerConvConfig {
    /// Width of feature maps and weights, 8, 12 or 16; biases have twice as many.
    pub bits: u8,
    /// Which scales there are.
    pub accelerator: Accelerator,
    /// How the scales of the weights are chosen; its width is not looked at.
    pub weights: WeightConfig,
    /// How parameters are rounded.
    pub rounding: Rounding,
}

/// Weights and biases of a convolution as integers.
#[derive(Debug, Clone, PartialEq)]
pub struct IntegerConv {
    /// `(out, in / groups, kh, kw)`, of the width of the configuration, symmetric.
    pub weight: Vec<i32>,
    /// By output channel, twice as wide.
    pub bias: Vec<i64>,
    /// Scales of both.
    pub scales: ConvScales,
    /// Weights that were clipped.
    pub clipped: usize,
}

impl IntegerConv {
    /// Quantises normalised weights, in rows of an output channel each, and biases, with the [`scales`](Self::scales) of the weights as they
    /// are.
    ///
    /// # Errors
    /// As [`IntegerConv::scales`] and [`IntegerConv::with_scales`].
    pub fn quantize(
        weight: &[f32],
        bias: &[f32],
        largest: &[f32],
        config: &IntegerConvConfig,
    ) -> Result<Self, Error> {
        Self::with_scales(weight, bias, Self::scales([weight, bias], largest, config)?, config)
    }

    /// Scales for normalised weights, in rows of an output channel each, and biases. `largest` is by output channel the largest magnitude
    /// that the normalised result has before it is clipped.
    ///
    /// Scales of weights are `saturation / (2^(bits - 1) - 1)`, those of biases `(largest + |bias|) / (2^(2 bits - 1) - 1)`, both brought to
    /// [`ConvScales`]; with one scale per tensor the largest of all channels counts. Twice the bits then hold the sum before the bias is
    /// added, which may be larger than the result, the bias, and the result.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are as many biases as results; [`Error::NonFinite`]; those of [`WeightConfig::scales`] and
    /// [`ConvScales::new`].
    pub fn scales(
        [weight, bias]: [&[f32]; 2],
        largest: &[f32],
        config: &IntegerConvConfig,
    ) -> Result<ConvScales, Error> {
        Self::saturating(&Self::saturation(weight, bias.len(), config)?, bias, largest, config)
    }

    /// Saturation points of normalised weights in so many rows, one for each, by the method of the configuration.
    ///
    /// # Errors
    /// Those of [`WeightConfig::scales`].
    pub fn saturation(weight: &[f32], rows: usize, config: &IntegerConvConfig) -> Result<Vec<f32>, Error> {
        let weights = WeightConfig { bits: config.bits, ..config.weights };
        let limit = integer_limit(config.bits) as f64;
        let point = |scale: f32| (f64::from(scale) * limit) as f32;
        Ok(weights.scales(weight, rows)?.into_iter().map(point).collect())
    }

    /// As [`IntegerConv::scales`], for weights whose saturation points are known, one of each output channel.
    ///
    /// # Errors
    /// As there; [`Error::Length`] unless there are as many as biases.
    pub fn saturating(
        saturation: &[f32],
        bias: &[f32],
        largest: &[f32],
        config: &IntegerConvConfig,
    ) -> Result<ConvScales, Error> {
        for (what, found) in [("largest results", largest.len()), ("saturation points", saturation.len())] {
            if found != bias.len() {
                return Err(Error::Length { what, expected: bias.len(), found });
            }
        }
        Error::check_finite(saturation)?;
        let limit = integer_limit(config.bits) as f64;
        let weight_scales: Vec<f64> = saturation.iter().map(|&point| f64::from(point) / limit).collect();
        Error::check_finite(largest)?;
        Error::check_finite(bias)?;
        let held: Vec<f32> = largest.iter().zip(bias).map(|(result, bias)| result + bias.abs()).collect();
        let limit = integer_limit(2 * config.bits) as f64;
        let most = held.iter().copied().fold(0.0, f32::max);
        let bias_scales: Vec<f64> = match config.weights.granularity {
            Granularity::PerTensor => vec![f64::from(most) / limit; held.len()],
            Granularity::PerChannel => held.iter().map(|&v| f64::from(v) / limit).collect(),
        };
        Ok(ConvScales::new(&weight_scales, &bias_scales, config.bits, config.accelerator)?)
    }

    /// Quantises normalised weights and biases with given scales.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are as many biases as scales, and they divide the weights; [`Error::NonFinite`].
    pub fn with_scales(
        weight: &[f32],
        bias: &[f32],
        scales: ConvScales,
        config: &IntegerConvConfig,
    ) -> Result<Self, Error> {
        let rows = scales.weights.len();
        if bias.len() != rows || rows == 0 || !weight.len().is_multiple_of(rows) {
            return Err(Error::Length { what: "biases, one by scale", expected: rows, found: bias.len() });
        }
        Error::check_finite(weight)?;
        Error::check_finite(bias)?;
        let mut conv =
            Self { weight: Vec::with_capacity(weight.len()), bias: Vec::new(), scales, clipped: 0 };
        conv.fill(weight, bias, config);
        Ok(conv)
    }

    fn fill(&mut self, weight: &[f32], bias: &[f32], config: &IntegerConvConfig) {
        let limit = integer_limit(config.bits);
        let wide_limit = integer_limit(2 * config.bits);
        let rows = weight.chunks_exact((weight.len() / bias.len()).max(1));
        for ((row, &bias), (weights, biases)) in
            rows.zip(bias).zip(self.scales.weights.iter().zip(self.scales.biases()))
        {
            for &w in row {
                let q = round(f64::from(w) / weights.real(), config.rounding) as i64;
                self.clipped += usize::from(q.abs() > limit);
                self.weight.push(q.clamp(-limit, limit) as i32);
            }
            let q = round(f64::from(bias) / biases.real(), config.rounding) as i64;
            self.bias.push(q.clamp(-wide_limit, wide_limit));
        }
    }
}

/// The largest integer of a width.
fn integer_limit(bits: u8) -> i64 {
    (1 << (bits - 1)) - 1
}
