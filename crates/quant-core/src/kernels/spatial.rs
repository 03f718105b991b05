//! Operators that only move or compare values: the same code for every element type. Tensors lie pixel by pixel.

use rayon::prelude::*;

/// An element with a lowest value.
pub(crate) trait Ordered: Copy + PartialOrd + Send + Sync {
    const LOWEST: Self;
}

impl Ordered for f32 {
    const LOWEST: Self = f32::NEG_INFINITY;
}

impl Ordered for u8 {
    const LOWEST: Self = u8::MIN;
}

impl Ordered for i16 {
    const LOWEST: Self = i16::MIN;
}

/// `to = max(to, from)`, value by value.
fn raise<T: PartialOrd + Copy>(to: &mut [T], from: &[T]) {
    to.iter_mut().zip(from).for_each(|(to, &from)| *to = if from > *to { from } else { *to });
}

/// A window, its stride, and the padding on every side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

impl Window {
    /// The part of window `i` that lies within `0..side`.
    fn at(self, i: usize, side: usize) -> std::ops::Range<usize> {
        let start = i * self.stride;
        let clip = |end: usize| end.saturating_sub(self.padding).min(side);
        clip(start)..clip(start + self.kernel)
    }
}

/// Maximum over windows, first along rows, then along columns; output rows in parallel.
pub(crate) fn max_pool<T: Ordered>(
    input: &[T],
    [height, width]: [usize; 2],
    channels: usize,
    window: Window,
    out_width: usize,
    output: &mut [T],
) {
    let line = out_width * channels;
    let mut rows = vec![T::LOWEST; height * line];
    rows.par_chunks_exact_mut(line).zip(input.par_chunks_exact(width * channels)).for_each(|(row, input)| {
        for (x, out) in row.chunks_exact_mut(channels).enumerate() {
            window.at(x, width).for_each(|x| raise(out, &input[x * channels..(x + 1) * channels]));
        }
    });
    output.par_chunks_exact_mut(line).enumerate().for_each(|(y, out)| {
        out.fill(T::LOWEST);
        window.at(y, height).for_each(|y| raise(out, &rows[y * line..(y + 1) * line]));
    });
}

/// Repeats every pixel `scale` times in both directions.
pub(crate) fn upsample<T: Copy + Send + Sync>(
    input: &[T],
    width: usize,
    channels: usize,
    scale: usize,
    output: &mut [T],
) {
    let line = width * channels;
    let rows = input.par_chunks_exact(line).zip(output.par_chunks_exact_mut(line * scale * scale));
    rows.for_each(|(input, output)| {
        let (first, rest) = output.split_at_mut(line * scale);
        for (pixel, out) in input.chunks_exact(channels).zip(first.chunks_exact_mut(channels * scale)) {
            out.chunks_exact_mut(channels).for_each(|out| out.copy_from_slice(pixel));
        }
        rest.chunks_exact_mut(line * scale).for_each(|row| row.copy_from_slice(first));
    });
}

/// 2x2 blocks to channels; offsets (y, x) = (0,0), (1,0), (0,1), (1,1), each with all channels.
pub(crate) fn space_to_depth<T: Copy>(input: &[T], width: usize, channels: usize, output: &mut [T]) {
    for (index, out) in output.chunks_exact_mut(4 * channels).enumerate() {
        let (y, x) = (index / (width / 2), index % (width / 2));
        for ([dy, dx], out) in
            [[0, 0], [1, 0], [0, 1], [1, 1]].into_iter().zip(out.chunks_exact_mut(channels))
        {
            let from = ((2 * y + dy) * width + 2 * x + dx) * channels;
            out.copy_from_slice(&input[from..from + channels]);
        }
    }
}
