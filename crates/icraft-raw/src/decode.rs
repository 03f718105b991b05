//! Integers to real numbers.

use crate::element::{QuantizedElement, words};
use crate::{TensorScales, ValueError};

/// The real numbers of a quantised payload: `q * scale`.
///
/// The product of `i8` and `i16` with an f32 is rounded once, to the nearest f32. For `i32` it is
/// computed in f64 and then rounded to f32, since an f32 cannot hold every such integer.
///
/// # Errors
///
/// [`ValueError::PartialElement`], [`ValueError::Scale`]; [`ValueError::ScaleCount`] when the
/// channels do not divide the elements.
pub fn decode<T: QuantizedElement>(payload: &[u8], scales: TensorScales<'_>) -> Result<Vec<f32>, ValueError> {
    let mut values = vec![0.0; payload.len() / T::TYPE.bytes()];
    decode_into::<T>(payload, scales, &mut values)?;
    Ok(values)
}

/// [`decode`] into a slice of as many elements.
///
/// # Errors
///
/// Those of [`decode`]; [`ValueError::Destination`]. The slice is left as it is then.
pub fn decode_into<T: QuantizedElement>(
    payload: &[u8],
    scales: TensorScales<'_>,
    values: &mut [f32],
) -> Result<(), ValueError> {
    let partial = ValueError::PartialElement { length: payload.len(), element: T::TYPE };
    let words = words::<T>(payload).ok_or(partial)?;
    let row = scales.row(words.len())?;
    if words.len() != values.len() {
        return Err(ValueError::Destination { elements: words.len(), destination: values.len() });
    }
    for (words, values) in words.chunks(row.len()).zip(values.chunks_mut(row.len())) {
        for ((&word, value), &scale) in words.iter().zip(values).zip(&row) {
            *value = T::from_file(word).scaled(scale);
        }
    }
    Ok(())
}
