//! How tensors lie in memory: planar outside (`[channel][y][x]`), pixel by pixel inside (`[y][x][channel]`).
//!
//! Inside, the channels of a pixel are neighbours, so that a pixel is a row of a matrix product as it lies there. 8-bit integers are
//! kept with 128 added, unsigned, since the dot-product instructions of x86-64 take one unsigned factor.

use rayon::prelude::*;

/// Pixels that are moved together: small enough for the first-level cache, whole cache lines of either side.
const BLOCK: usize = 32;

/// What is added to 8-bit integers inside.
pub(crate) const OFFSET: u8 = 128;

/// An 8-bit integer as it is kept inside.
#[inline(always)]
pub(crate) fn to_offset(q: i8) -> u8 {
    q as u8 ^ OFFSET
}

/// The integer that is kept as `u`.
#[inline(always)]
pub(crate) fn from_offset(u: u8) -> i8 {
    (u ^ OFFSET) as i8
}

/// Pixels from planes: `pixels[p * channels + c] = convert(planes[c * count + p])`; some pixels at a time in parallel.
pub(crate) fn to_pixels<A: Copy + Sync, B: Send>(
    planes: &[A],
    channels: usize,
    pixels: &mut [B],
    convert: impl Fn(A) -> B + Sync,
) {
    /// Blocks of a task.
    const BLOCKS: usize = 64;
    let (count, block) = (planes.len() / channels.max(1), (BLOCK * channels).max(1));
    pixels[..count * channels].par_chunks_mut(BLOCKS * block).enumerate().for_each(|(task, pixels)| {
        for (index, pixels) in pixels.chunks_mut(block).enumerate() {
            let first = (task * BLOCKS + index) * BLOCK;
            for channel in 0..channels {
                let line = &planes[channel * count + first..];
                let rows = pixels.chunks_exact_mut(channels);
                rows.zip(line).for_each(|(row, &v)| row[channel] = convert(v));
            }
        }
    });
}

/// Planes from pixels: `planes[c * count + p] = convert(pixels[p * channels + c])`; some channels at a time in parallel.
pub(crate) fn to_planes<A: Copy + Sync, B: Send>(
    pixels: &[A],
    planes: &mut [B],
    channels: usize,
    convert: impl Fn(A) -> B + Sync,
) {
    /// Channels of a task: neighbours share cache lines.
    const CHANNELS: usize = 16;
    let count = planes.len() / channels.max(1);
    planes.par_chunks_mut((CHANNELS * count).max(1)).enumerate().for_each(|(task, planes)| {
        for first in (0..count).step_by(BLOCK) {
            let end = (first + BLOCK).min(count);
            for (channel, plane) in (task * CHANNELS..).zip(planes.chunks_exact_mut(count)) {
                let rows = pixels[first * channels..].chunks_exact(channels);
                plane[first..end].iter_mut().zip(rows).for_each(|(v, row)| *v = convert(row[channel]));
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_become_pixels_and_planes_again() {
        for (channels, count) in [(1, 1), (3, 100), (33, 5), (64, 32), (7, 65)] {
            let planes: Vec<u32> = (0..(channels * count) as u32).collect();
            let mut pixels = vec![0u32; channels * count];
            to_pixels(&planes, channels, &mut pixels, |v| v);
            for pixel in 0..count {
                for channel in 0..channels {
                    assert_eq!(pixels[pixel * channels + channel], planes[channel * count + pixel]);
                }
            }
            let mut again = vec![0u32; planes.len()];
            to_planes(&pixels, &mut again, channels, |v| v);
            assert_eq!(again, planes);
        }
    }

    #[test]
    fn offsets_keep_the_order() {
        assert!((i8::MIN..i8::MAX).all(|q| to_offset(q) < to_offset(q + 1)));
        assert!((i8::MIN..=i8::MAX).all(|q| from_offset(to_offset(q)) == q));
        assert_eq!(to_offset(0), OFFSET);
    }
}
