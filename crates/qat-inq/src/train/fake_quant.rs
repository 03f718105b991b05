//! Quantisers whose gradients pass straight through.

use burn::tensor::Tensor;

/// The value of `y`, with the gradient of `x`.
fn straight_through<const D: usize>(x: Tensor<D>, y: Tensor<D>) -> Tensor<D> {
    let correction = y.detach() - x.clone().detach();
    x + correction
}

/// `round(clamp(x / step, low, high)) step`, halves to even. The gradient with respect to `x` is that of the result where `x` is in
/// `[low step, high step]`, and 0 beyond.
///
/// With a zero point, `low` and `high` are those of the integers less the zero point.
#[must_use]
pub fn fake_quantize<const D: usize>(x: Tensor<D>, step: f32, [low, high]: [f32; 2]) -> Tensor<D> {
    let inside = x.clamp(low * step, high * step);
    let rounded = inside.clone().detach().div_scalar(step).round().mul_scalar(step);
    straight_through(inside, rounded)
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
    let inside = (x / step.clone()).clamp(low, high);
    straight_through(inside.clone(), inside.round()) * step
}
