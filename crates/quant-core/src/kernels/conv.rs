//! Convolution by im2col and a blocked matrix product.
//!
//! For one group the convolution is a product `W (out x depth) * X (depth x pixels)`, where column `p` of `X` is the patch under output pixel
//! `p`. `X` is never built whole: departures from the plain product are
//!
//! 1. the pixels are cut into blocks whose patches fit the second-level cache; a block is packed once and used by all output channels; blocks
//!    are the unit of parallel work, so results don't depend on the number of threads;
//! 2. weights are packed once, when the executor is made, into strips of `MR` channels; patches into strips of `NR` pixels, so that the
//!    inner loop reads both in order;
//! 3. the sums of a tile (`MR x NR`) stay in registers over the whole depth and are finished (bias, requantisation, activation) while
//!    they are in the first-level cache.

use crate::{ConvGeometry, Isa, simd, simd::MR, simd::NR, simd::Tile};
use rayon::prelude::*;

/// Bytes of packed patches that a block may take.
const BLOCK_BYTES: usize = 192 * 1024;
/// Most pixels in a block.
const MAX_BLOCK_PIXELS: usize = 1024;

/// An element type that convolution is implemented for.
pub(crate) trait Element: Copy + Default + Send + Sync + 'static {
    /// Packed form.
    type Packed: Copy + Default + Send + Sync;
    /// Type of sums.
    type Sum: Copy + Default + Send + Sync;
    /// Consecutive rows of the patch matrix that are packed together.
    const GROUP: usize;

    fn pack(self) -> Self::Packed;
    /// `out[n * GROUP + i] = pack(lines[i][n])`; `lines` holds `GROUP` lines one after the other.
    fn interleave(isa: Isa, lines: &[Self], out: &mut [Self::Packed]);
    fn tile(isa: Isa, weights: &[Self::Packed], patches: &[Self::Packed], sums: &mut Tile<Self::Sum>);
}

impl Element for f32 {
    type Packed = f32;
    type Sum = f32;
    const GROUP: usize = 1;

    fn pack(self) -> f32 {
        self
    }

    fn interleave(_: Isa, lines: &[f32], out: &mut [f32]) {
        out.copy_from_slice(lines);
    }

    fn tile(isa: Isa, weights: &[f32], patches: &[f32], sums: &mut Tile<f32>) {
        simd::tile_f32(isa, weights, patches, sums);
    }
}

impl Element for i8 {
    type Packed = i16;
    type Sum = i32;
    const GROUP: usize = 2;

    fn pack(self) -> i16 {
        i16::from(self)
    }

    fn interleave(isa: Isa, lines: &[i8], out: &mut [i16]) {
        let (first, second) = lines.split_at(lines.len() / 2);
        simd::interleave(isa, [first, second], out);
    }

    fn tile(isa: Isa, weights: &[i16], patches: &[i16], sums: &mut Tile<i32>) {
        simd::tile_i16(isa, weights, patches, sums);
    }
}

/// Weights in the order in which the inner loop reads them: `[group][strip of MR channels][depth / GROUP][MR][GROUP]`, zero padded.
#[derive(Debug, Clone)]
pub(crate) struct PackedWeights<T: Element> {
    geometry: ConvGeometry,
    values: Vec<T::Packed>,
}

impl<T: Element> PackedWeights<T> {
    /// Packs a weight of shape `(out, in / groups, kh, kw)`.
    pub(crate) fn new(geometry: ConvGeometry, weight: &[T]) -> Self {
        let depth = geometry.depth();
        let channels = geometry.out_channels / geometry.groups;
        let mut values =
            Vec::with_capacity(geometry.out_channels.next_multiple_of(MR) * depth.next_multiple_of(T::GROUP));
        for group in weight.chunks_exact(channels * depth) {
            for strip in group.chunks(MR * depth) {
                for k in (0..depth).step_by(T::GROUP) {
                    for m in 0..MR {
                        values.extend((k..k + T::GROUP).map(|k| match strip.get(m * depth + k) {
                            Some(&w) if k < depth => w.pack(),
                            _ => T::Packed::default(),
                        }));
                    }
                }
            }
        }
        Self { geometry, values }
    }

    /// The strips of one group, each of `strip_len` values.
    fn strips(&self, group: usize) -> std::slice::ChunksExact<'_, T::Packed> {
        let strip = self.strip_len();
        let strips = (self.geometry.out_channels / self.geometry.groups).div_ceil(MR);
        self.values[group * strips * strip..(group + 1) * strips * strip].chunks_exact(strip)
    }

    fn strip_len(&self) -> usize {
        self.geometry.depth().next_multiple_of(T::GROUP) * MR
    }
}

/// Input of a convolution: planes, their size, and the value of padding.
#[derive(Clone, Copy)]
pub(crate) struct Planes<'a, T> {
    pub(crate) values: &'a [T],
    pub(crate) size: [usize; 2],
    pub(crate) padding: T,
}

/// Computes the sums of every output value and hands them, up to `NR` pixels of one channel at a time, to
/// `finish(channel, sums, out)`, which writes the same number of results.
pub(crate) fn convolve<T: Element, O: Copy + Send + Sync>(
    isa: Isa,
    weights: &PackedWeights<T>,
    input: Planes<'_, T>,
    output_size: [usize; 2],
    output: &mut [O],
    finish: impl Fn(usize, &mut [T::Sum], &mut [O]) + Sync,
) {
    let geometry = &weights.geometry;
    let pixels = output_size[0] * output_size[1];
    let block_pixels = block_pixels::<T>(geometry.depth());
    let channels = geometry.out_channels / geometry.groups;
    for (group, output) in output.chunks_exact_mut(channels * pixels).enumerate() {
        let patches = Patches { geometry, input, group, output_width: output_size[1] };
        let blocks = column_blocks(output, pixels, block_pixels);
        blocks.into_par_iter().enumerate().for_each_init(
            || (Vec::new(), Vec::new()),
            |(packed, lines), (block, mut rows)| {
                let first = block * block_pixels;
                let count = block_pixels.min(pixels - first);
                patches.pack(isa, first, count, packed, lines);
                multiply_block(isa, weights, group, packed, count, &mut rows, &finish);
            },
        );
    }
}

/// Pixels per block: as many strips as fit [`BLOCK_BYTES`], at least one.
fn block_pixels<T: Element>(depth: usize) -> usize {
    let strip_bytes = depth.next_multiple_of(T::GROUP) * NR * size_of::<T::Packed>();
    (BLOCK_BYTES / strip_bytes.max(1)).clamp(1, MAX_BLOCK_PIXELS / NR) * NR
}

/// Cuts every row (channel) of `output` at the same columns: one list of row pieces per block.
fn column_blocks<O>(output: &mut [O], pixels: usize, block_pixels: usize) -> Vec<Vec<&mut [O]>> {
    let mut blocks: Vec<Vec<&mut [O]>> = Vec::new();
    blocks.resize_with(pixels.div_ceil(block_pixels), || Vec::with_capacity(output.len() / pixels));
    for row in output.chunks_exact_mut(pixels) {
        for (block, piece) in blocks.iter_mut().zip(row.chunks_mut(block_pixels)) {
            block.push(piece);
        }
    }
    blocks
}

fn multiply_block<T: Element, O: Copy>(
    isa: Isa,
    weights: &PackedWeights<T>,
    group: usize,
    packed: &[T::Packed],
    count: usize,
    rows: &mut [&mut [O]],
    finish: &impl Fn(usize, &mut [T::Sum], &mut [O]),
) {
    let channels = rows.len();
    let strip = weights.strip_len() / MR * NR;
    for (n, patches) in packed.chunks_exact(strip).enumerate() {
        let pixels = n * NR..(n * NR + NR).min(count);
        for (m, strip) in weights.strips(group).enumerate() {
            let mut sums = [[T::Sum::default(); NR]; MR];
            T::tile(isa, strip, patches, &mut sums);
            let row = m * MR;
            for (channel, sums) in (row..channels.min(row + MR)).zip(&mut sums) {
                finish(
                    group * channels + channel,
                    &mut sums[..pixels.len()],
                    &mut rows[channel][pixels.clone()],
                );
            }
        }
    }
}

/// The patch matrix of one group.
struct Patches<'a, T> {
    geometry: &'a ConvGeometry,
    input: Planes<'a, T>,
    group: usize,
    output_width: usize,
}

impl<T: Element> Patches<'_, T> {
    /// Packs the patches of `count` pixels from `first` on: `[strip of NR pixels][depth / GROUP][NR][GROUP]`.
    fn pack(&self, isa: Isa, first: usize, count: usize, packed: &mut Vec<T::Packed>, lines: &mut Vec<T>) {
        let depth = self.geometry.depth();
        let padded = count.next_multiple_of(NR);
        let strip = depth.next_multiple_of(T::GROUP) * NR;
        packed.resize(padded / NR * strip, T::Packed::default());
        lines.clear();
        lines.resize(T::GROUP * padded, T::default());
        let mut piece = vec![T::default(); T::GROUP * NR];
        for k in (0..depth).step_by(T::GROUP) {
            for (i, line) in lines.chunks_exact_mut(padded).enumerate() {
                // A row beyond the depth meets zero weights; what it holds does not matter.
                if k + i < depth {
                    self.line(k + i, first, &mut line[..count]);
                }
            }
            for n in 0..padded / NR {
                for (piece, line) in piece.chunks_exact_mut(NR).zip(lines.chunks_exact(padded)) {
                    piece.copy_from_slice(&line[n * NR..(n + 1) * NR]);
                }
                let at = n * strip + k * NR;
                T::interleave(isa, &piece, &mut packed[at..at + T::GROUP * NR]);
            }
        }
    }

    /// Row `k` of the patch matrix (input channel, ky, kx) for the pixels from `first` on.
    fn line(&self, k: usize, first: usize, line: &mut [T]) {
        let ConvGeometry { kernel: [kh, kw], stride, padding, dilation, .. } = *self.geometry;
        let [height, width] = self.input.size;
        let channel = self.group * (self.geometry.in_channels / self.geometry.groups) + k / (kh * kw);
        let plane = &self.input.values[channel * height * width..(channel + 1) * height * width];
        let (ky, kx) = (k / kw % kh, k % kw);
        let mut done = 0;
        while done < line.len() {
            let (y, x) = ((first + done) / self.output_width, (first + done) % self.output_width);
            let run = (self.output_width - x).min(line.len() - done);
            let piece = &mut line[done..done + run];
            match (y * stride[0] + ky * dilation[0]).checked_sub(padding[0]).filter(|&y| y < height) {
                None => piece.fill(self.input.padding),
                Some(y) => {
                    let start = (x * stride[1] + kx * dilation[1]) as isize - padding[1] as isize;
                    copy_strided(
                        &plane[y * width..(y + 1) * width],
                        start,
                        stride[1],
                        self.input.padding,
                        piece,
                    );
                }
            }
            done += run;
        }
    }
}

/// `out[i] = row[start + i * stride]`, `padding` where that lies outside of the row.
fn copy_strided<T: Copy>(row: &[T], start: isize, stride: usize, padding: T, out: &mut [T]) {
    let before = (-start).max(0) as usize;
    let head = before.div_ceil(stride).min(out.len());
    let (outside, out) = out.split_at_mut(head);
    outside.fill(padding);
    let start = (start + (head * stride) as isize).max(0) as usize;
    // A piece may begin beyond the row's end, in the padding on the right.
    let row = &row[start.min(row.len())..];
    let inside = row.len().div_ceil(stride).min(out.len());
    let (out, outside) = out.split_at_mut(inside);
    outside.fill(padding);
    if stride == 1 {
        out.copy_from_slice(&row[..inside]);
    } else {
        out.iter_mut().zip(row.iter().step_by(stride)).for_each(|(o, &v)| *o = v);
    }
}
