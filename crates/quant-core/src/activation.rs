//! Non-linearities, in f64 for tables and in f32 for the float path.
//!
//! Both forms give the same bits on every platform: the f64 one uses the `libm` crate, the f32 one a fixed polynomial of fused
//! multiply-adds.

use serde::{Deserialize, Serialize};

/// An elementwise non-linearity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x` above zero, `slope * x` below.
    LeakyRelu {
        /// Slope below zero.
        slope: f32,
    },
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x * min(max(x + 3, 0), 6) / 6`.
    Hardswish,
}

impl Activation {
    /// The function in double precision: what tables are made of.
    #[must_use]
    pub fn eval(self, x: f64) -> f64 {
        match self {
            Activation::Silu => x / (1.0 + libm::exp(-x)),
            Activation::Relu => x.max(0.0),
            Activation::Relu6 => x.clamp(0.0, 6.0),
            Activation::LeakyRelu { slope } => x.max(0.0) + f64::from(slope) * x.min(0.0),
            Activation::Sigmoid => 1.0 / (1.0 + libm::exp(-x)),
            Activation::Hardswish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        }
    }

    /// The function in single precision, in place: within 4 units in the last place of [`Activation::eval`] for results above 1e-30.
    #[inline(always)]
    pub(crate) fn apply_f32(self, values: &mut [f32]) {
        match self {
            Activation::Silu => values.iter_mut().for_each(|x| *x /= 1.0 + exp(-*x)),
            Activation::Sigmoid => values.iter_mut().for_each(|x| *x = 1.0 / (1.0 + exp(-*x))),
            Activation::Relu => values.iter_mut().for_each(|x| *x = x.max(0.0)),
            Activation::Relu6 => values.iter_mut().for_each(|x| *x = x.clamp(0.0, 6.0)),
            Activation::LeakyRelu { slope } => {
                values.iter_mut().for_each(|x| *x = x.max(0.0) + slope * x.min(0.0));
            }
            Activation::Hardswish => {
                values.iter_mut().for_each(|x| *x = *x * (*x + 3.0).clamp(0.0, 6.0) / 6.0);
            }
        }
    }
}

/// `exp(x)` for x limited to `[-87, 88]`, relative error below 2e-7: `2^n exp(r)`, `n = rint(x / ln 2)`, with the Taylor polynomial of
/// degree 7 on `|r| <= ln 2 / 2`. Branch-free, so that loops over it vectorise.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Adding 1.5 * 2^23 rounds to an integer, half to even, which is then in the low bits.
    const ROUNDER: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first with few enough bits that `n * LN2_HIGH` is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let rounded = x.mul_add(std::f32::consts::LOG2_E, ROUNDER);
    let n = rounded - ROUNDER;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, x));
    let mut p = 1.0 / 5040.0;
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = r.mul_add(p, c);
    }
    // A cast would look after numbers that don't occur here, one by one.
    let exponent = rounded.to_bits().wrapping_sub(ROUNDER.to_bits()).wrapping_add(127);
    p * f32::from_bits(exponent << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Activation; 6] = [
        Activation::Silu,
        Activation::Relu,
        Activation::Relu6,
        Activation::LeakyRelu { slope: 0.1 },
        Activation::Sigmoid,
        Activation::Hardswish,
    ];

    #[test]
    fn single_precision_follows_double_precision() {
        for activation in ALL {
            for step in (-6000..=6000).step_by(if cfg!(miri) { 150 } else { 1 }) {
                let x = step as f32 / 100.0;
                let mut y = [x];
                activation.apply_f32(&mut y);
                let want = activation.eval(f64::from(x));
                let error = (f64::from(y[0]) - want).abs();
                assert!(error <= want.abs() * 5e-7 + 1e-30, "{activation:?}({x}): {} for {want}", y[0]);
            }
        }
    }

    #[test]
    fn extremes_stay_finite() {
        for x in [-1e30f32, -1000.0, 1000.0, 1e30] {
            let mut y = [x];
            Activation::Silu.apply_f32(&mut y);
            assert!(y[0].is_finite(), "silu({x})");
            assert!((f64::from(y[0]) - Activation::Silu.eval(f64::from(x))).abs() <= x.abs() as f64 * 1e-6);
        }
    }
}
