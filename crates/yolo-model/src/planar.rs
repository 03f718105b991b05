//! From interleaved bytes to the planar tensors that networks read.

use crate::Result;
use crate::image_size::{CHANNELS, ImageSize, check_length};

/// Writes an RGB image (height x width x 3) as a 3 x height x width tensor of `value / 255`, an f32 division.
///
/// # Errors
/// When a slice is not `height * width * 3` values, or a side is zero.
pub fn to_planar_f32(pixels: &[u8], size: ImageSize, output: &mut [f32]) -> Result<()> {
    to_planar(pixels, size, output, |value| f32::from(value) / 255.0)
}

/// Writes an RGB image (height x width x 3) as a 3 x height x width tensor of the same bytes.
///
/// # Errors
/// When a slice is not `height * width * 3` values, or a side is zero.
pub fn to_planar_u8(pixels: &[u8], size: ImageSize, output: &mut [u8]) -> Result<()> {
    to_planar(pixels, size, output, |value| value)
}

fn to_planar<T>(pixels: &[u8], size: ImageSize, output: &mut [T], convert: impl Fn(u8) -> T) -> Result<()> {
    size.check_rgb("interleaved image", pixels.len())?;
    check_length("planar output", pixels.len(), output.len())?;
    for (channel, plane) in output.chunks_exact_mut(size.height * size.width).enumerate() {
        for (value, pixel) in plane.iter_mut().zip(pixels.chunks_exact(CHANNELS)) {
            *value = convert(pixel[channel]);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_hold_the_channels() {
        let pixels = [1, 2, 3, 4, 5, 6];
        let mut bytes = [0; 6];
        to_planar_u8(&pixels, ImageSize::new(1, 2), &mut bytes).unwrap();
        assert_eq!(bytes, [1, 4, 2, 5, 3, 6]);
        let mut floats = [0.0; 6];
        to_planar_f32(&pixels, ImageSize::new(1, 2), &mut floats).unwrap();
        assert_eq!(floats, bytes.map(|value| f32::from(value) / 255.0));
        let message = to_planar_u8(&pixels, ImageSize::new(1, 2), &mut [0; 5]).unwrap_err().to_string();
        assert_eq!(message, "planar output holds 5 values, its shape needs 6");
    }
}
