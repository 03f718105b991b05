//! The logistic function, once for the whole crate.

/// Share of a probability that [`logit_below`] gives away, far more than the rounding of [`sigmoid`] in f32.
const SLACK: f64 = 1e-4;

/// `1 / (1 + exp(-x))` in f32, with `exp` from `libm`: the same bits on every platform.
#[inline]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-x))
}

/// A logit so low that every `x` with `sigmoid(x) > probability` lies above it.
///
/// It is `ln(p / (1 - p))` of a probability lowered by [`SLACK`], so a comparison with it can stand in front of
/// `sigmoid` without changing which values pass: what it lets through is still compared after `sigmoid`.
pub(crate) fn logit_below(probability: f32) -> f32 {
    if probability <= 0.0 {
        return f32::NEG_INFINITY;
    }
    let lowered = f64::from(probability.min(1.0)) * (1.0 - SLACK);
    libm::log(lowered / (1.0 - lowered)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(sigmoid(0.0), 0.5);
        assert_eq!(sigmoid(-200.0), 0.0);
        assert_eq!(sigmoid(200.0), 1.0);
        assert!((sigmoid(1.0) - 0.731_058_6).abs() < 1e-7);
        assert!(sigmoid(f32::NAN).is_nan());
    }

    #[test]
    fn nothing_above_the_probability_lies_below_the_logit() {
        for probability in [0.0, 1e-30, 1e-6, 0.001, 0.25, 0.5, 0.6, 0.9, 0.999, 0.999_999, 1.0] {
            let bound = logit_below(probability);
            let mut x = bound.max(-100.0);
            for _ in 0..1000 {
                assert!(sigmoid(x) <= probability, "sigmoid({x}) above {probability}");
                x -= 0.01;
            }
        }
    }
}
