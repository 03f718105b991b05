//! Operators that only move or compare values: the same code for every element type.

use rayon::prelude::*;

/// An element with a lowest value.
pub(crate) trait Ordered: Copy + PartialOrd + Send + Sync {
    const LOWEST: Self;
}

impl Ordered for f32 {
    const LOWEST: Self = f32::NEG_INFINITY;
}

impl Ordered for i8 {
    const LOWEST: Self = i8::MIN;
}

impl Ordered for i16 {
    const LOWEST: Self = i16::MIN;
}

fn larger<T: PartialOrd>(a: T, b: T) -> T {
    if b > a { b } else { a }
}

/// Maximum over windows, first along rows, then along columns; planes in parallel.
pub(crate) fn max_pool<T: Ordered>(
    input: &[T],
    [height, width]: [usize; 2],
    (kernel, stride, padding): (usize, usize, usize),
    [out_height, out_width]: [usize; 2],
    output: &mut [T],
) {
    let planes =
        input.par_chunks_exact(height * width).zip(output.par_chunks_exact_mut(out_height * out_width));
    planes.for_each_init(
        || vec![T::LOWEST; height * out_width],
        |rows, (input, output)| {
            for (input, row) in input.chunks_exact(width).zip(rows.chunks_exact_mut(out_width)) {
                for (x, out) in row.iter_mut().enumerate() {
                    let window = window(x, kernel, stride, padding, width);
                    *out = input[window].iter().copied().fold(T::LOWEST, larger);
                }
            }
            for (y, out) in output.chunks_exact_mut(out_width).enumerate() {
                out.fill(T::LOWEST);
                for y in window(y, kernel, stride, padding, height) {
                    let row = &rows[y * out_width..(y + 1) * out_width];
                    out.iter_mut().zip(row).for_each(|(out, &v)| *out = larger(*out, v));
                }
            }
        },
    );
}

/// The part of window `i` that lies within `0..side`.
fn window(i: usize, kernel: usize, stride: usize, padding: usize, side: usize) -> std::ops::Range<usize> {
    let start = i * stride;
    start.saturating_sub(padding).min(side)..(start + kernel).saturating_sub(padding).min(side)
}

/// Repeats every value `scale` times in both directions.
pub(crate) fn upsample<T: Copy + Send + Sync>(input: &[T], width: usize, scale: usize, output: &mut [T]) {
    let out_width = width * scale;
    let rows = input.par_chunks_exact(width).zip(output.par_chunks_exact_mut(out_width * scale));
    rows.for_each(|(input, output)| {
        let (first, rest) = output.split_at_mut(out_width);
        first.chunks_exact_mut(scale).zip(input).for_each(|(out, &v)| out.fill(v));
        rest.chunks_exact_mut(out_width).for_each(|row| row.copy_from_slice(first));
    });
}

/// 2x2 blocks to channels; offsets (y, x) = (0,0), (1,0), (0,1), (1,1), each with all channels.
pub(crate) fn space_to_depth<T: Copy>(input: &[T], [height, width]: [usize; 2], output: &mut [T]) {
    let plane = height * width;
    let out_plane = plane / 4;
    let channels = input.len() / plane.max(1);
    for (block, [dy, dx]) in [[0, 0], [1, 0], [0, 1], [1, 1]].into_iter().enumerate() {
        for channel in 0..channels {
            let at = (block * channels + channel) * out_plane;
            for (y, out) in output[at..at + out_plane].chunks_exact_mut(width / 2).enumerate() {
                let row = channel * plane + (2 * y + dy) * width + dx;
                out.iter_mut().enumerate().for_each(|(x, out)| *out = input[row + 2 * x]);
            }
        }
    }
}
