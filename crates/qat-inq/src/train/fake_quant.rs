//! Quantisers whose gradients pass straight through.

use burn::tensor::Tensor;

/// `round(clamp(x / step, low, high)) step`, halves to even. The gradient with respect to `x` is that of the result where `x` is in
/// `[low step, high step]`, and 0 beyond.
///
/// With a zero point, `low` and `high` are those of the integers less the zero point.
#[must_use]
pub fn fake_quantize_ste<const D: usize>(x: Tensor<D>, step: f32, [low, high]: [f32; 2]) -> Tensor<D> {
    // All that needs no gradient is computed outside of its path: feature maps are large, and every pass over them counts.
    let values = x.clone().inner();
    let clamped = values.clone().clamp(low * step, high * step);
    let outside = values.clone().not_equal(clamped.clone());
    let quantised = clamped.div_scalar(step).round().mul_scalar(step);
    let added = quantised - values.mask_fill(outside.clone(), 0.0);
    x.mask_fill(outside, 0.0) + added
}

/// The same with a step for every value, or for all along dimensions of length 1, that may be learned (Esser et al., "Learned step size
/// quantization", ICLR 2020):
///
/// ```text
/// d / d x    = 1 where low <= x / step <= high, else 0
/// d / d step = round(x / step) - x / step there, else low or high
/// ```
///
/// The paper multiplies the latter by `1 / sqrt(count high)`, which is up to the caller.
#[must_use]
pub fn learned_quantize<const D: usize>(x: Tensor<D>, step: Tensor<D>, [low, high]: [f32; 2]) -> Tensor<D> {
    let ratio = x.clone().inner() / step.clone().inner();
    let clamped = ratio.clone().clamp(low, high);
    let outside = ratio.clone().not_equal(clamped.clone());
    // Inside, x + (round(x / step) - x / step) step is round(x / step) step; the factor of the step is LSQ's gradient.
    let slope = clamped.round() - ratio.mask_fill(outside.clone(), 0.0);
    x.mask_fill(outside, 0.0) + slope * step
}
