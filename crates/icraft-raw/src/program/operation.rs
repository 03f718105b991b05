//! Keys of operations' attributes, and how they are read.

use super::ProgramError;
use crate::Operation;
use serde_json::Value;

/// Stride, padding and dilation, in y and x.
pub(super) const FILTER: [[&str; 2]; 3] =
    [["stride_height", "stride_width"], ["pad_height", "pad_width"], ["dilation_height", "dilation_width"]];
/// Window, stride and padding.
pub(super) const POOL: [[&str; 2]; 3] =
    [["pool_height", "pool_width"], ["stride_height", "stride_width"], ["pad_height", "pad_width"]];
/// Of an upsampling.
pub(super) const SCALE: &str = "scale_factor";
/// Of an input: how the image reaches it.
pub(super) const MOVED: &str = "image_transform";
/// Of a convolution: the real value beyond the borders.
pub(super) const PADDING_VALUE: &str = "padding_value";

/// A whole number, or `default` where the key is absent.
pub(super) fn number(
    operation: &Operation,
    key: &'static str,
    default: usize,
) -> Result<usize, ProgramError> {
    let wrong = ProgramError::Attribute { operation: operation.id, key, expected: "a whole number" };
    match operation.attributes.get(key) {
        None => Ok(default),
        Some(value) => value.as_u64().and_then(|n| usize::try_from(n).ok()).ok_or(wrong),
    }
}

/// Two of them.
pub(super) fn pair(
    operation: &Operation,
    keys: [&'static str; 2],
    default: usize,
) -> Result<[usize; 2], ProgramError> {
    Ok([number(operation, keys[0], default)?, number(operation, keys[1], default)?])
}

/// A finite number, or zero where the key is absent.
pub(super) fn real(operation: &Operation, key: &'static str) -> Result<f64, ProgramError> {
    let wrong = ProgramError::Attribute { operation: operation.id, key, expected: "a finite number" };
    operation
        .attributes
        .get(key)
        .map_or(Ok(0.0), |value| value.as_f64().filter(|v| v.is_finite()).ok_or(wrong))
}

/// The image's transform, if there is one.
pub(super) fn transform(operation: &Operation) -> Result<Option<super::InputTransform>, ProgramError> {
    let Some(value) = operation.attributes.get(MOVED) else { return Ok(None) };
    let real = |key: &str| value.get(key).and_then(Value::as_f64).map(|v| v as f32).filter(|v| v.is_finite());
    let order = value.get("order").and_then(Value::as_array).and_then(|list| {
        list.iter()
            .map(|index| index.as_u64().and_then(|n| usize::try_from(n).ok()))
            .collect::<Option<Vec<_>>>()
    });
    match (real("scale"), real("offset"), order) {
        (Some(scale), Some(offset), Some(order)) => Ok(Some(super::InputTransform { scale, offset, order })),
        _ => Err(ProgramError::Attribute {
            operation: operation.id,
            key: MOVED,
            expected: "an object with scale, offset and order",
        }),
    }
}
