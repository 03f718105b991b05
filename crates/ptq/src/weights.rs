//! Weights as integers: scales per output channel or per tensor, by any method.

use crate::squared_error::weight_bound;
use crate::{Error, Method, ScaleGrid, Statistics};
use quant_core::{Granularity, QuantParams, QuantSpec, Rounding, Scheme};
use serde::{Deserialize, Serialize};

/// How the weights of convolutions are quantised: symmetric, signed, without the lowest integer (`-127..=127` at 8 bits).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightConfig {
    /// How the largest weight that is not clipped is chosen. [`Method::MinMax`] is [`Method::Max`] here, since the scheme is symmetric.
    pub method: Method,
    /// One scale per output channel, or one per convolution.
    pub granularity: Granularity,
    /// Width in bits, 2 to 16; above 8 only where all inputs have 16 bits. Integers of up to 8 are stored in 8, others in 16.
    pub bits: u8,
    /// Scales that there may be.
    #[serde(default)]
    pub scales: ScaleGrid,
}

impl Default for WeightConfig {
    /// 8 bits, `max |w| / 127` per output channel.
    fn default() -> Self {
        Self { method: Method::Max, granularity: Granularity::PerChannel, bits: 8, scales: ScaleGrid::Any }
    }
}

impl WeightConfig {
    /// The integers.
    ///
    /// # Errors
    /// [`Error::WeightBits`] unless there are 2 to 16 bits.
    pub fn spec(&self) -> Result<QuantSpec, Error> {
        if !(2..=16).contains(&self.bits) {
            return Err(Error::WeightBits { bits: self.bits });
        }
        Ok(QuantSpec::new(self.bits, true, Scheme::Symmetric, true, self.granularity)?)
    }

    /// One scale per row of `weights`, which has `rows` rows (output channels) in C order; all equal if the granularity is per tensor.
    ///
    /// [`Method::Max`] and [`Method::Mse`] look at the weights themselves, the others at their histogram. Rows of zeros get scale 1.
    ///
    /// # Errors
    /// [`Error::Length`] unless `rows` divides the weights; [`Error::NonFinite`]; [`Error::WeightBits`]; those of [`Method::range`].
    pub fn scales(&self, weights: &[f32], rows: usize) -> Result<Vec<f32>, Error> {
        if rows == 0 || weights.is_empty() || !weights.len().is_multiple_of(rows) {
            return Err(Error::Length {
                what: "weights in whole rows",
                expected: rows,
                found: weights.len(),
            });
        }
        let spec = self.spec()?;
        match self.granularity {
            Granularity::PerTensor => Ok(vec![self.scale(weights, &spec)?; rows]),
            Granularity::PerChannel => {
                weights.chunks_exact(weights.len() / rows).map(|row| self.scale(row, &spec)).collect()
            }
        }
    }

    fn scale(&self, weights: &[f32], spec: &QuantSpec) -> Result<f32, Error> {
        let bound = match (self.method, self.scales) {
            (Method::Max | Method::MinMax, ScaleGrid::Any) => weight_bound(weights, spec, false)?,
            (Method::Mse, ScaleGrid::Any) => weight_bound(weights, spec, true)?,
            (method, scales) => {
                let mut statistics = Statistics::default();
                statistics.observe(weights);
                // The scheme is symmetric, which is the difference between the two.
                let method = if method == Method::MinMax { Method::Max } else { method };
                return Ok(scales.params(method, &statistics, spec)?.scale);
            }
        };
        Ok(spec.params_for_range(-bound, bound)?.scale)
    }
}

/// Steps that a bias may have beside sums of 32 bits.
pub(crate) const MAX_BIAS_I8: i64 = 1 << 29;
/// Steps that a bias may have beside sums below 2^46.
pub(crate) const MAX_BIAS_I16: i64 = 1 << 44;

/// Weights and biases of a convolution as integers.
pub(crate) struct QuantizedWeight {
    pub(crate) weight: Vec<i16>,
    /// In units of `scale_in * scale`.
    pub(crate) bias: Vec<i64>,
    /// Per output channel.
    pub(crate) scales: Vec<f64>,
}

/// Quantises weight and bias with one scale per output channel. A channel's scale is raised where its bias would otherwise not fit
/// `max_bias` steps: its weights are then too small to matter beside the bias.
///
/// # Errors
/// [`Error::NonFinite`], [`Error::Length`], [`Error::Step`].
pub(crate) fn quantize_weight(
    weight: &[f32],
    bias: &[f32],
    scales: &[f32],
    spec: &QuantSpec,
    scale_in: f64,
    max_bias: i64,
) -> Result<QuantizedWeight, Error> {
    let max_bias = max_bias as f64;
    check(weight, bias, scales)?;
    let mut result =
        QuantizedWeight { weight: Vec::with_capacity(weight.len()), bias: Vec::new(), scales: Vec::new() };
    let rows = weight.chunks_exact((weight.len() / bias.len()).max(1));
    for ((row, &bias), &scale) in rows.zip(bias).zip(scales) {
        let needed = (f64::from(bias).abs() / (scale_in * max_bias)) as f32;
        let zeros = row.iter().all(|w| *w == 0.0);
        let scale = if zeros && bias != 0.0 { needed.max(f32::MIN_POSITIVE) } else { scale.max(needed) };
        let params = QuantParams { scale, zero_point: 0 };
        let quantize =
            |&w: &f32| params.quantize(f64::from(w), spec.q_min(), spec.q_max(), Rounding::HalfEven) as i16;
        result.weight.extend(row.iter().map(quantize));
        let scale = f64::from(scale);
        result.bias.push((f64::from(bias) / (scale_in * scale)).round_ties_even() as i64);
        result.scales.push(scale);
    }
    Ok(result)
}

fn check(weight: &[f32], bias: &[f32], scales: &[f32]) -> Result<(), Error> {
    Error::check_finite(weight.iter().chain(bias))?;
    if scales.len() != bias.len() {
        return Err(Error::Length { what: "weight scales", expected: bias.len(), found: scales.len() });
    }
    match scales.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
        Some(&step) => Err(Error::Step { step }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(count: usize) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * 0.37).sin() * (1.0 + i as f32 / count as f32)).collect()
    }

    #[test]
    fn a_tensor_has_one_scale_and_channels_have_their_own() {
        let weights = wave(400);
        for method in Method::ALL {
            let per_channel = WeightConfig { method, ..WeightConfig::default() };
            let per_tensor = WeightConfig { granularity: Granularity::PerTensor, ..per_channel };
            let channels = per_channel.scales(&weights, 4).unwrap();
            let tensor = per_tensor.scales(&weights, 4).unwrap();
            assert!(tensor.iter().all(|s| *s == tensor[0]), "{method:?}");
            assert!(channels.windows(2).all(|pair| pair[0] != pair[1]), "{method:?} {channels:?}");
            assert_eq!(per_tensor.scales(&weights[..100], 1).unwrap()[0], channels[0], "{method:?}");
        }
    }

    #[test]
    fn fewer_bits_have_larger_steps() {
        let weights = wave(100);
        let scale = |bits| WeightConfig { bits, ..WeightConfig::default() }.scales(&weights, 1).unwrap()[0];
        assert!((scale(4) / scale(8) - 127.0 / 7.0).abs() < 1e-4);
        let bad = WeightConfig { bits: 17, ..WeightConfig::default() };
        assert!(matches!(bad.scales(&weights, 1), Err(Error::WeightBits { bits: 17 })));
    }

    #[test]
    fn restricted_scales_are_on_their_grid_and_near_the_best() {
        let weights = wave(400);
        for method in Method::PUBLISHED {
            let free = WeightConfig { method, ..WeightConfig::default() };
            for (scales, factor) in [(ScaleGrid::PowerOfTwo, 2.0), (ScaleGrid::Mantissa { bits: 4 }, 1.13)] {
                let found = WeightConfig { scales, ..free }.scales(&weights, 4).unwrap();
                for (scale, free) in found.iter().zip(free.scales(&weights, 4).unwrap()) {
                    assert!(scales.contains(*scale).unwrap(), "{method:?} {scale}");
                    let ratio = scale / free;
                    assert!(
                        ratio <= factor * 1.001 && ratio >= 0.999 / factor,
                        "{method:?} {scales:?}: {ratio}"
                    );
                }
            }
        }
    }

    #[test]
    fn zeros_and_what_is_not_finite() {
        let config = WeightConfig::default();
        assert_eq!(config.scales(&[0.0; 8], 2).unwrap(), [1.0, 1.0]);
        assert!(matches!(config.scales(&[f32::NAN, 1.0], 1), Err(Error::NonFinite { count: 1 })));
        assert!(matches!(config.scales(&[1.0; 3], 2), Err(Error::Length { .. })));
    }

    #[test]
    fn a_large_bias_raises_the_scale_of_its_channel_alone() {
        let spec = QuantSpec::int8_weights();
        let weight = [1e-6, -1e-6, 1.0, -1.0];
        let scales = [1e-6 / 127.0, 1.0 / 127.0];
        let got = quantize_weight(&weight, &[1.0, 1.0], &scales, &spec, 1e-6, MAX_BIAS_I8).unwrap();
        assert!(got.scales[0] > f64::from(scales[0]) && got.bias[0].abs() <= 1 << 29);
        assert_eq!((got.scales[1], &got.weight[2..]), (f64::from(scales[1]), &[127i16, -127][..]));
        assert!(quantize_weight(&weight, &[1.0, 1.0], &[1.0, 0.0], &spec, 1.0, MAX_BIAS_I8).is_err());
        assert!(quantize_weight(&weight, &[1.0, 1.0], &[1.0], &spec, 1.0, MAX_BIAS_I8).is_err());
    }
}
