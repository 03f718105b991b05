//! Uniform quantisers: `q = clamp(round(x / scale) + zero_point, q_min, q_max)`, `x' = (q - zero_point) * scale`.

use crate::{Error, Rounding, round};
use serde::{Deserialize, Serialize};

/// Whether zero sits in the middle of the integer range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// `zero_point` is 0 (for unsigned integers the lowest value).
    Symmetric,
    /// `zero_point` is any integer of the range, so that the range `[low, high]` is used fully.
    Affine,
}

/// Which values share a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Granularity {
    /// The whole tensor.
    PerTensor,
    /// Each index of the first dimension (output channels of a convolution's weight).
    PerChannel,
}

/// What kind of integers a tensor is quantised to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuantSpec {
    bits: u8,
    signed: bool,
    scheme: Scheme,
    narrow: bool,
    granularity: Granularity,
}

impl QuantSpec {
    /// A specification; `narrow` leaves out the lowest value of signed integers, so that their range is symmetric (`-127..=127`).
    ///
    /// # Errors
    /// [`Error::Bits`] unless `bits` is in `[2, 16]`.
    pub fn new(
        bits: u8,
        signed: bool,
        scheme: Scheme,
        narrow: bool,
        granularity: Granularity,
    ) -> Result<Self, Error> {
        if (2..=16).contains(&bits) {
            Ok(Self { bits, signed, scheme, narrow, granularity })
        } else {
            Err(Error::Bits { bits })
        }
    }

    /// Signed 8-bit activations, per tensor, full range.
    #[must_use]
    pub const fn int8(scheme: Scheme) -> Self {
        Self { bits: 8, signed: true, scheme, narrow: false, granularity: Granularity::PerTensor }
    }

    /// Signed 16-bit, symmetric, per tensor, narrow.
    #[must_use]
    pub const fn int16() -> Self {
        Self {
            bits: 16,
            signed: true,
            scheme: Scheme::Symmetric,
            narrow: true,
            granularity: Granularity::PerTensor,
        }
    }

    /// Signed 8-bit weights, symmetric, per output channel, narrow.
    #[must_use]
    pub const fn int8_weights() -> Self {
        Self {
            bits: 8,
            signed: true,
            scheme: Scheme::Symmetric,
            narrow: true,
            granularity: Granularity::PerChannel,
        }
    }

    /// Width, in `[2, 16]`.
    #[must_use]
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// Symmetric or affine.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Per tensor or per channel.
    #[must_use]
    pub fn granularity(&self) -> Granularity {
        self.granularity
    }

    /// The lowest integer.
    #[must_use]
    pub fn q_min(&self) -> i32 {
        let lowest = if self.signed { -(1 << (self.bits - 1)) } else { 0 };
        lowest + i32::from(self.narrow && self.signed)
    }

    /// The highest integer.
    #[must_use]
    pub fn q_max(&self) -> i32 {
        if self.signed { (1 << (self.bits - 1)) - 1 } else { (1 << self.bits) - 1 }
    }

    /// The quantiser whose range covers `[low, high]` and zero.
    ///
    /// Symmetric: `scale = max(|low|, |high|) / q_max`. Affine: `scale = (high' - low') / (q_max - q_min)` with
    /// `low' = min(low, 0)`, `high' = max(high, 0)` and `zero_point = round(q_min - low' / scale)`, half to even, so that zero is exact.
    /// An empty range gives scale 1.
    ///
    /// # Errors
    /// [`Error::Range`] if a bound is not finite or `low > high`.
    pub fn params_for_range(&self, low: f32, high: f32) -> Result<QuantParams, Error> {
        if !(low.is_finite() && high.is_finite() && low <= high) {
            return Err(Error::Range { low, high });
        }
        let (low, high) = (f64::from(low.min(0.0)), f64::from(high.max(0.0)));
        let (q_min, q_max) = (f64::from(self.q_min()), f64::from(self.q_max()));
        let scale = match self.scheme {
            Scheme::Symmetric => high.max(-low) / q_max,
            Scheme::Affine => (high - low) / (q_max - q_min),
        } as f32;
        if scale < f32::MIN_POSITIVE {
            return Ok(QuantParams { scale: 1.0, zero_point: 0.clamp(self.q_min(), self.q_max()) });
        }
        let zero_point = match self.scheme {
            Scheme::Symmetric => 0,
            Scheme::Affine => (q_min - low / f64::from(scale)).round_ties_even().clamp(q_min, q_max) as i32,
        };
        Ok(QuantParams { scale, zero_point })
    }
}

/// Scale and zero point of one quantiser.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct QuantParams {
    /// Real value of one step; positive and finite.
    pub scale: f32,
    /// The integer that stands for zero.
    pub zero_point: i32,
}

impl QuantParams {
    /// `clamp(round(x / scale) + zero_point, q_min, q_max)`; NaN becomes `q_min`.
    #[must_use]
    pub fn quantize(&self, x: f64, q_min: i32, q_max: i32, rounding: Rounding) -> i32 {
        let q = round(x / f64::from(self.scale), rounding) + f64::from(self.zero_point);
        if q.is_nan() { q_min } else { q.clamp(f64::from(q_min), f64::from(q_max)) as i32 }
    }

    /// `(q - zero_point) * scale`.
    #[must_use]
    pub fn dequantize(&self, q: i32) -> f32 {
        (q - self.zero_point) as f32 * self.scale
    }
}

/// Quantises and dequantises `values` in place; `quantizers` holds one element, or one per channel, whose values are contiguous.
///
/// # Errors
/// [`Error::Channels`] unless the number of quantisers is 1 or divides the number of values; with
/// [`Granularity::PerTensor`] it must be 1.
pub fn fake_quantize(
    values: &mut [f32],
    quantizers: &[QuantParams],
    spec: &QuantSpec,
    rounding: Rounding,
) -> Result<(), Error> {
    let channels = quantizers.len();
    let per_tensor = spec.granularity == Granularity::PerTensor;
    if channels == 0 || !values.len().is_multiple_of(channels) || (per_tensor && channels != 1) {
        return Err(Error::Channels { values: values.len(), quantizers: channels });
    }
    let (q_min, q_max) = (spec.q_min(), spec.q_max());
    let per_channel = (values.len() / channels).max(1);
    for (channel, quantizer) in values.chunks_mut(per_channel).zip(quantizers) {
        // The kind of rounding is settled outside of the loop, which then becomes vector instructions.
        match rounding {
            Rounding::HalfEven => {
                fake_quantize_channel(channel, *quantizer, q_min, q_max, Rounding::HalfEven);
            }
            other => fake_quantize_channel(channel, *quantizer, q_min, q_max, other),
        }
    }
    Ok(())
}

/// Integers count from the one of zero here, and are limited before they are rounded, which is the same.
#[inline(always)]
fn fake_quantize_channel(
    values: &mut [f32],
    quantizer: QuantParams,
    q_min: i32,
    q_max: i32,
    rounding: Rounding,
) {
    let scale = f64::from(quantizer.scale);
    let (low, high) = (f64::from(q_min - quantizer.zero_point), f64::from(q_max - quantizer.zero_point));
    for x in values {
        let steps = f64::from(*x) / scale;
        let above = if steps > low { steps } else { low }; // NaN included
        let inside = if above < high { above } else { high };
        // Adding zero turns -0 into +0: it has no sign as an integer.
        *x = (round(inside, rounding) + 0.0) as f32 * quantizer.scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(bits: u8, signed: bool, scheme: Scheme, narrow: bool) -> QuantSpec {
        QuantSpec::new(bits, signed, scheme, narrow, Granularity::PerTensor).unwrap()
    }

    #[test]
    fn ranges_of_the_integers() {
        let rows = [
            (spec(8, true, Scheme::Symmetric, false), -128, 127),
            (spec(8, true, Scheme::Symmetric, true), -127, 127),
            (spec(8, false, Scheme::Affine, false), 0, 255),
            (spec(2, true, Scheme::Symmetric, false), -2, 1),
            (spec(16, true, Scheme::Affine, false), -32768, 32767),
            (spec(4, false, Scheme::Symmetric, true), 0, 15),
        ];
        for (spec, low, high) in rows {
            assert_eq!((spec.q_min(), spec.q_max()), (low, high), "{spec:?}");
        }
        assert!(QuantSpec::new(1, true, Scheme::Affine, false, Granularity::PerTensor).is_err());
        assert!(QuantSpec::new(17, true, Scheme::Affine, false, Granularity::PerTensor).is_err());
    }

    #[test]
    fn pixels_are_quantised_without_loss() {
        let params = QuantSpec::int8(Scheme::Affine).params_for_range(0.0, 1.0).unwrap();
        assert_eq!(params.zero_point, -128);
        for pixel in 0..=255 {
            let x = pixel as f32 / 255.0;
            assert_eq!(params.quantize(f64::from(x), -128, 127, Rounding::HalfEven), pixel - 128);
        }
    }

    #[test]
    fn unusable_ranges_are_refused_and_empty_ones_get_a_scale() {
        let spec = QuantSpec::int8(Scheme::Affine);
        for (low, high) in [(f32::NAN, 1.0), (0.0, f32::INFINITY), (1.0, -1.0)] {
            assert!(spec.params_for_range(low, high).is_err());
        }
        assert_eq!(spec.params_for_range(0.0, 0.0).unwrap().scale, 1.0);
    }

    proptest::proptest! {
        #[test]
        fn fake_quantisation_is_quantisation_and_back(
            bits: u32, scale in 1e-6f32..10.0, zero_point in -300i32..300, way in 0usize..5,
            range in proptest::sample::select(vec![(-128, 127), (0, 255), (-32767, 32767), (-2, 1)])
        ) {
            let ways = [Rounding::HalfEven, Rounding::HalfUp, Rounding::HalfAway, Rounding::Floor, Rounding::Truncate];
            let (params, (low, high)) = (QuantParams { scale, zero_point }, range);
            let half = (bits % 1000) as f32 / 2.0 * scale;
            for x in [f32::from_bits(bits), half, -half, 0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut found = [x];
                fake_quantize_channel(&mut found, params, low, high, ways[way]);
                let wanted = params.dequantize(params.quantize(f64::from(x), low, high, ways[way]));
                proptest::prop_assert_eq!(found[0].to_bits(), wanted.to_bits(), "{}", x);
            }
        }

        #[test]
        fn inside_the_range_the_error_is_at_most_half_a_step(
            bits in 2u8..=16, signed: bool, affine: bool, narrow: bool, low in -100f32..0.0, high in 0.001f32..100.0, t in 0f32..1.0
        ) {
            let scheme = if affine { Scheme::Affine } else { Scheme::Symmetric };
            let low = if signed || affine { low } else { 0.0 };
            let spec = spec(bits, signed, scheme, narrow);
            let params = spec.params_for_range(low, high).unwrap();
            let mut x = [low + t * (high - low)];
            let before = x[0];
            fake_quantize(&mut x, &[params], &spec, Rounding::HalfEven).unwrap();
            // An affine zero point is rounded, which may cost another half step at the ends.
            let steps = if affine { 1.0 } else { 0.5 };
            proptest::prop_assert!((x[0] - before).abs() <= params.scale * steps * 1.001 + 1e-6);
            let again = x[0];
            fake_quantize(&mut x, &[params], &spec, Rounding::HalfEven).unwrap();
            proptest::prop_assert_eq!(x[0], again);
        }
    }
}
