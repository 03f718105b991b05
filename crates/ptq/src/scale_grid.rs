//! Scales that hardware can represent: the best of them near the one that a method asks for.

use crate::squared_error::Moments;
use crate::{Error, Method, Range, Statistics};
use quant_core::{QuantParams, QuantSpec, Scheme};
use serde::{Deserialize, Serialize};

/// Which scales a quantiser may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
pub enum ScaleGrid {
    /// Any single-precision number.
    #[default]
    Any,
    /// `2^n`: multiplying by it is a shift.
    PowerOfTwo,
    /// `m * 2^n` with an integer `m` of that many bits: a short multiplication and a shift. One bit is [`ScaleGrid::PowerOfTwo`].
    Mantissa {
        /// Significant bits of `m`, in `[1, 15]`.
        bits: u8,
    },
}

/// Bits of a single-precision number's fraction.
const FRACTION_BITS: u32 = f32::MANTISSA_DIGITS - 1;

impl ScaleGrid {
    /// The quantiser for the range that `method` chooses, with the best scale of the grid near the range's own, `s`.
    ///
    /// - [`Method::Max`] and [`Method::MinMax`], which do not clip: the least scale of the grid that is not below `s` and at which a zero
    ///   point exists that leaves every value's nearest integer in range. If there is none below infinity: the largest scale.
    /// - Others: of the two scales of the grid below `s` or equal to it and the two above, and, if affine, of the zero points between
    ///   those that put the lower and the upper end of the range in place (`round(q_min - low / scale)` and
    ///   `round(q_max - high / scale)`; at most 32, evenly spread), the least squared error on the histogram, with clipping errors
    ///   weighed as [`Method::Sqnr`] does if it is the method. Rounding a scale up or down is therefore never better. Among equals
    ///   the first, in the order just below `s`, just above, next below, next above.
    ///
    /// Scales stay normal numbers. [`ScaleGrid::Any`] gives [`QuantSpec::params_for_range`], and so does an empty range, whose scale 1 is
    /// on every grid. `spec` should have the scheme that [`Method::scheme`] gives.
    ///
    /// # Errors
    /// As [`Method::range`]; [`Error::MantissaBits`] for a mantissa outside of `[1, 15]`.
    pub fn params(
        self,
        method: Method,
        statistics: &Statistics,
        spec: &QuantSpec,
    ) -> Result<QuantParams, Error> {
        let step_bits = self.step_bits()?;
        let range = method.range(statistics, spec)?;
        let exact = spec.params_for_range(range.low, range.high)?;
        let Some(step_bits) = step_bits else { return Ok(exact) };
        if range.low == 0.0 && range.high == 0.0 {
            return Ok(exact);
        }
        Ok(match method {
            Method::Max | Method::MinMax => covering(range, exact.scale, step_bits, spec),
            Method::Sqnr { clip_weight } => {
                least_error(statistics, range, exact.scale, step_bits, spec, clip_weight)
            }
            Method::Percentile { .. }
            | Method::Entropy
            | Method::Mse
            | Method::Octav
            | Method::Aciq { .. } => least_error(statistics, range, exact.scale, step_bits, spec, 1.0),
        })
    }

    /// Whether the grid has this scale.
    ///
    /// # Errors
    /// [`Error::MantissaBits`] for a mantissa outside of `[1, 15]`.
    pub fn contains(self, scale: f32) -> Result<bool, Error> {
        let usable = scale.is_normal() && scale > 0.0;
        let on_grid = |bits: u32| scale.to_bits().trailing_zeros() >= bits;
        Ok(usable && self.step_bits()?.is_none_or(on_grid))
    }

    /// How many of the lowest bits of a single-precision scale are zero; `None` if any may be set.
    fn step_bits(self) -> Result<Option<u32>, Error> {
        match self {
            ScaleGrid::Any => Ok(None),
            ScaleGrid::PowerOfTwo => Ok(Some(FRACTION_BITS)),
            ScaleGrid::Mantissa { bits } if (1..=15).contains(&bits) => {
                Ok(Some(FRACTION_BITS + 1 - u32::from(bits)))
            }
            ScaleGrid::Mantissa { bits } => Err(Error::MantissaBits { bits }),
        }
    }
}

/// The scale of the grid that is `places` above the largest one not above `scale`; `None` if that is no normal number. Positive numbers of
/// single precision are in the order of their bits, exponent first, and so are those whose lowest bits are zero.
fn neighbour(scale: f32, step_bits: u32, places: i32) -> Option<f32> {
    let index = (scale.to_bits() >> step_bits).checked_add_signed(places)?;
    let found = f32::from_bits(index.checked_mul(1 << step_bits)?);
    (found.is_normal() && found > 0.0).then_some(found)
}

/// The zero point that puts the lower end of a range in place, and the one for the upper end.
fn zero_points(range: Range, scale: f32, spec: &QuantSpec) -> (i32, i32) {
    if spec.scheme() == Scheme::Symmetric {
        return (0, 0);
    }
    let (q_min, q_max) = (f64::from(spec.q_min()), f64::from(spec.q_max()));
    let per_scale = |end: f32| f64::from(end) / f64::from(scale);
    let integer = |place: f64| place.round_ties_even().clamp(q_min, q_max) as i32;
    (integer(q_min - per_scale(range.low.min(0.0))), integer(q_max - per_scale(range.high.max(0.0))))
}

/// Zero points tried for a scale, at most.
const ZERO_POINTS: i32 = 32;

/// Integers from `first` to `last`, whichever is larger, evenly spread if there are more than [`ZERO_POINTS`].
fn between((first, last): (i32, i32)) -> impl Iterator<Item = i32> {
    let parts = (last - first).abs().min(ZERO_POINTS - 1);
    (0..=parts).map(move |i| first + (last - first) * i / parts.max(1))
}

/// The candidate with the least error.
fn least_error(
    statistics: &Statistics,
    range: Range,
    exact: f32,
    step_bits: u32,
    spec: &QuantSpec,
    clip_weight: f64,
) -> QuantParams {
    let moments = Moments::new(statistics);
    let scales = [0, 1, -1, 2].into_iter().filter_map(|places| neighbour(exact, step_bits, places));
    let candidates = scales.flat_map(|scale| {
        between(zero_points(range, scale, spec)).map(move |zero_point| QuantParams { scale, zero_point })
    });
    let errors = candidates.map(|params| (moments.squared_error(params, spec, clip_weight), params));
    let best = errors.reduce(|best, next| if next.0 < best.0 { next } else { best });
    // There always is a candidate: rounding down stays in the octave of a normal number.
    best.map_or(QuantParams { scale: exact, zero_point: 0 }, |(_, params)| params)
}

/// The least scale that clips nothing, or the largest one.
fn covering(range: Range, exact: f32, step_bits: u32, spec: &QuantSpec) -> QuantParams {
    let below = neighbour(exact, step_bits, 0);
    let first = i32::from(below != Some(exact));
    let scales = (first..).map_while(|places| neighbour(exact, step_bits, places));
    let mut last = below.unwrap_or(exact);
    for scale in scales {
        if let Some(zero_point) = covering_zero_point(range, scale, spec) {
            return QuantParams { scale, zero_point };
        }
        last = scale;
    }
    QuantParams { scale: last, zero_point: zero_points(range, last, spec).0 }
}

/// The zero point nearest to the one that puts the lower end in place, of those that leave both ends' nearest integers in range.
fn covering_zero_point(range: Range, scale: f32, spec: &QuantSpec) -> Option<i32> {
    let nearest = |end: f32| (f64::from(end) / f64::from(scale)).round_ties_even();
    if spec.scheme() == Scheme::Symmetric {
        // `scale` is not below the exact one, up to its rounding.
        return Some(0);
    }
    let least = f64::from(spec.q_min()) - nearest(range.low.min(0.0));
    let most = f64::from(spec.q_max()) - nearest(range.high.max(0.0));
    (least <= most).then(|| f64::from(zero_points(range, scale, spec).0).clamp(least, most) as i32)
}
