//! Complete IoU of boxes, as tensors with gradients.

use burn::tensor::Tensor;
use std::f64::consts::PI;

/// Keeps quotients finite.
const EPSILON: f64 = 1e-7;

/// CIoU of pairs of boxes, rows of centre x, y, width, height (Zheng et al., "Distance-IoU loss", AAAI 2020):
///
/// ```text
/// IoU - d^2 / c^2 - alpha v        v = 4 / pi^2 (atan(w2 / h2) - atan(w1 / h1))^2        alpha = v / (1 - IoU + v)
/// ```
///
/// with the distance `d` of the centres and the diagonal `c` of the smallest box around both. `alpha` counts as a constant for gradients. As in
/// YOLOv5, `1e-7` is added to the union, to `c^2` and to the denominator of `alpha`. The result has a row for each pair.
#[must_use]
pub fn ciou(one: &Tensor<2>, other: &Tensor<2>) -> Tensor<2> {
    let column = |boxes: &Tensor<2>, k: usize| boxes.clone().narrow(1, k, 1);
    let ends = |boxes: &Tensor<2>, axis: usize| {
        let (centre, half) = (column(boxes, axis), column(boxes, 2 + axis) / 2.0);
        [centre.clone() - half.clone(), centre + half]
    };
    let [across, along] = [0, 1].map(|axis| {
        let ([low, high], [other_low, other_high]) = (ends(one, axis), ends(other, axis));
        let inside = high.clone().min_pair(other_high.clone()) - low.clone().max_pair(other_low.clone());
        let around = high.max_pair(other_high) - low.min_pair(other_low);
        let apart = column(one, axis) - column(other, axis);
        [inside.clamp_min(0.0), around.clone() * around, apart.clone() * apart]
    });
    let ([width, width_around, dx], [height, height_around, dy]) = (across, along);
    let area = |boxes: &Tensor<2>| column(boxes, 2) * column(boxes, 3);
    let inside = width * height;
    let union = area(one) + area(other) - inside.clone() + EPSILON;
    let iou = inside / union;
    let shape = |boxes: &Tensor<2>| (column(boxes, 2) / column(boxes, 3)).atan();
    let skew = shape(other) - shape(one);
    let v = skew.clone() * skew * (4.0 / (PI * PI));
    // Rounding may put the IoU of equal boxes above 1.
    let alpha = (v.clone() / (v.clone() - iou.clone() + (1.0 + EPSILON)).clamp_min(EPSILON)).detach();
    iou - (dx + dy) / (width_around + height_around + EPSILON) - v * alpha
}
