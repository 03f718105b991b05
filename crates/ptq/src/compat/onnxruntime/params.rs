//! Scales, zero points and the linear quantisation operators.

use super::Bounds;
use crate::compat::axis::Axis;
use crate::compat::{Error, numeric};

/// An integer type of quantised values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntegerType {
    /// -128 to 127.
    Int8,
    /// 0 to 255.
    Uint8,
    /// int8 with `reduce_range`: scales are for -64 to 64.
    ReducedInt8,
    /// uint8 with `reduce_range`: scales are for 0 to 127.
    ReducedUint8,
}

/// Whether the range is made symmetric first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Symmetry {
    /// As it is, with zero in it.
    #[default]
    Asymmetric,
    /// From minus to plus the larger magnitude.
    Symmetric,
}

impl IntegerType {
    /// The integers of the ends of the range. int8 is narrow where symmetric.
    fn range(self, symmetry: Symmetry) -> (i32, i32) {
        match (self, symmetry) {
            (Self::Int8, Symmetry::Symmetric) => (-127, 127),
            (Self::ReducedInt8, _) => (-64, 64),
            (Self::ReducedUint8, _) => (0, 127),
            _ => self.limits(),
        }
    }

    /// quirk `saturates-at-the-type`: values beyond the range are limited to the type, not to the integers that the scale is for: a symmetric
    /// int8 value can become -128.
    fn limits(self) -> (i32, i32) {
        match self {
            Self::Int8 | Self::ReducedInt8 => (-128, 127),
            Self::Uint8 | Self::ReducedUint8 => (0, 255),
        }
    }
}

/// A scale and a zero point, and the integers that hold the values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuantParams {
    /// Real step.
    pub scale: f32,
    /// The integer of 0.
    pub zero_point: i32,
    /// The type.
    pub integer_type: IntegerType,
}

/// `compute_scale_zp`: the range is widened to zero, to `min_real_range` at its upper end, and made symmetric; then, in f64,
/// `scale = (high - low) / (q_max - q_min)` and `zero_point = round(q_min - low / scale)` or, if symmetric, `round((q_min + q_max) / 2)`,
/// halves to even.
///
/// quirk `tiny-scale-is-one`: a scale below the least normal f32 becomes 1 and its zero point 0, also for types around another one.
///
/// # Errors
/// [`Error::NoScale`] if a bound is NaN.
pub fn scale_zero_point(
    bounds: Bounds,
    integer_type: IntegerType,
    symmetry: Symmetry,
    min_real_range: Option<f32>,
) -> Result<QuantParams, Error> {
    let Bounds { lowest, highest } = bounds;
    if lowest.is_nan() || highest.is_nan() || min_real_range.is_some_and(f32::is_nan) {
        return Err(Error::NoScale { low: lowest, high: highest });
    }
    let (mut low, mut high) = (lowest.min(0.0), highest.max(0.0));
    high = min_real_range.map_or(high, |least| high.max(low + least));
    if symmetry == Symmetry::Symmetric {
        high = low.abs().max(high.abs());
        low = -high;
    }
    let (q_min, q_max) = integer_type.range(symmetry);
    let (q_min, q_max) = (f64::from(q_min), f64::from(q_max));
    let scale = (f64::from(high) - f64::from(low)) / (q_max - q_min);
    if scale < f64::from(f32::MIN_POSITIVE) {
        return Ok(QuantParams { scale: 1.0, zero_point: 0, integer_type });
    }
    let zero_point = match symmetry {
        Symmetry::Symmetric => (q_min + q_max) / 2.0,
        Symmetry::Asymmetric => q_min - f64::from(low) / scale,
    };
    // An infinite range leaves NaN here, which becomes 0 on x86-64 as it does in Rust.
    Ok(QuantParams { scale: scale as f32, zero_point: zero_point.round_ties_even() as i32, integer_type })
}

impl QuantParams {
    /// `QuantizeLinear` on a CPU: `saturate(round(x / scale) + zero_point)` in f32, halves to even.
    ///
    /// # Errors
    /// [`Error::Scale`], [`Error::ZeroPoint`] outside the type, [`Error::Nan`].
    pub fn quantize(&self, values: &[f32]) -> Result<Vec<i32>, Error> {
        let (low, high) = self.integer_type.limits();
        if !(low..=high).contains(&self.zero_point) {
            return Err(Error::ZeroPoint { zero_point: self.zero_point, low, high });
        }
        if !(self.scale > 0.0 && self.scale.is_finite()) {
            return Err(Error::Scale { scale: self.scale });
        }
        match values.iter().position(|x| x.is_nan()) {
            Some(index) => Err(Error::Nan { index }),
            None => Ok(values.iter().map(|&x| self.quantize_one(x)).collect()),
        }
    }

    /// Clamps before it rounds and shifts; all three are integers, so that the order does not matter.
    #[inline]
    fn quantize_one(&self, x: f32) -> i32 {
        let (low, high) = self.integer_type.limits();
        let (low, high) = ((low - self.zero_point) as f32, (high - self.zero_point) as f32);
        numeric::round_small((x / self.scale).clamp(low, high)) as i32 + self.zero_point
    }

    /// `DequantizeLinear` on a CPU: `(q - zero_point) * scale` in f32.
    #[must_use]
    pub fn dequantize(&self, values: &[i32]) -> Vec<f32> {
        values.iter().map(|&q| (i64::from(q) - i64::from(self.zero_point)) as f32 * self.scale).collect()
    }
}

/// `quantize_data` for each index along `axis`, symmetric int8, as the quantiser does with weights: the parameters per channel and the
/// integers in the order of the weights.
///
/// # Errors
/// [`Error::Shape`], [`Error::NoScale`], [`Error::Scale`] for infinite weights, [`Error::Nan`].
pub fn quantize_weights(
    weights: &[f32],
    shape: &[usize],
    axis: isize,
) -> Result<(Vec<QuantParams>, Vec<i32>), Error> {
    if let Some(index) = weights.iter().position(|w| w.is_nan()) {
        return Err(Error::Nan { index });
    }
    let axis = Axis::new(weights.len(), shape, axis)?;
    let channels = axis.channels(weights);
    let params = channels.iter().map(|channel| {
        let (lowest, highest) = numeric::extremes(channel).ok_or(Error::EmptyBatch)?;
        scale_zero_point(Bounds { lowest, highest }, IntegerType::Int8, Symmetry::Symmetric, None)
    });
    let params = params.collect::<Result<Vec<_>, _>>()?;
    if let Some(wrong) = params.iter().find(|params| !params.scale.is_finite()) {
        return Err(Error::Scale { scale: wrong.scale });
    }
    let integers = weights.iter().enumerate().map(|(at, &w)| params[axis.index(at)].quantize_one(w));
    Ok((params.clone(), integers.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use IntegerType::{Int8, ReducedInt8, ReducedUint8, Uint8};
    use Symmetry::{Asymmetric, Symmetric};

    #[test]
    fn scales_and_zero_points() {
        let table = [
            ((-1.0, 3.0), Uint8, Asymmetric, None, (4.0 / 255.0, 64)),
            ((-1.0, 3.0), Int8, Asymmetric, None, (4.0 / 255.0, -64)),
            ((-1.0, 3.0), Int8, Symmetric, None, (3.0 / 127.0, 0)),
            ((-1.0, 3.0), Uint8, Symmetric, None, (6.0 / 255.0, 128)),
            ((-1.0, 3.0), ReducedInt8, Symmetric, None, (3.0 / 64.0, 0)),
            ((-1.0, 3.0), ReducedUint8, Symmetric, None, (6.0 / 127.0, 64)),
            ((1.0, 2.0), Uint8, Asymmetric, None, (2.0 / 255.0, 0)),
            ((-2.0, -1.0), Uint8, Asymmetric, None, (2.0 / 255.0, 255)),
            ((0.0, 1.0), Uint8, Asymmetric, Some(2.0), (2.0 / 255.0, 0)),
            ((0.0, 0.0), Uint8, Symmetric, None, (1.0, 0)),
            ((0.0, 1e-37), Uint8, Asymmetric, None, (1.0, 0)),
            ((-f32::INFINITY, f32::INFINITY), Uint8, Asymmetric, None, (f32::INFINITY, 0)),
        ];
        for ((lowest, highest), integer_type, symmetry, least, expected) in table {
            let params = scale_zero_point(Bounds { lowest, highest }, integer_type, symmetry, least).unwrap();
            let row = (lowest, highest, integer_type, symmetry);
            assert_eq!((params.scale, params.zero_point), expected, "{row:?}");
        }
        let bounds = Bounds { lowest: f32::NAN, highest: 1.0 };
        assert!(matches!(scale_zero_point(bounds, Int8, Symmetric, None), Err(Error::NoScale { .. })));
    }

    #[test]
    fn halves_go_to_even_and_values_saturate() {
        let params = QuantParams { scale: 2.0, zero_point: -3, integer_type: Int8 };
        let values = [1.0, 3.0, -1.0, 1e20, -1e20, f32::INFINITY];
        assert_eq!(params.quantize(&values).unwrap(), [-3, -1, -3, 127, -128, 127]);
        assert_eq!(params.dequantize(&[-3, 127, i32::MAX]), [0.0, 260.0, (i32::MAX as f32 + 3.0) * 2.0]);
        assert_eq!(params.quantize(&[0.0, f32::NAN]), Err(Error::Nan { index: 1 }));
        for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(QuantParams { scale, ..params }.quantize(&values).is_err(), "{scale}");
        }
        for zero_point in [-129, 128, i32::MIN] {
            assert!(QuantParams { zero_point, ..params }.quantize(&values).is_err(), "{zero_point}");
        }
    }

    #[test]
    fn weights_have_a_scale_per_channel() {
        let (params, integers) = quantize_weights(&[1.0, 0.0, -2.0, 0.0], &[2, 2], 1).unwrap();
        assert_eq!([params[0].scale, params[1].scale], [2.0 / 127.0, 1.0]);
        assert_eq!(integers, [64, 0, -127, 0]);
        for weights in [[f32::NAN, 0.0], [f32::INFINITY, 0.0]] {
            assert!(quantize_weights(&weights, &[2, 1], 0).is_err());
        }
        assert!(quantize_weights(&[1.0], &[2], 0).is_err());
    }
}
