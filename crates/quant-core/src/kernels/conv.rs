//! Convolution as a matrix product over pixels.
//!
//! An output pixel is a row `x W`: `x` the patch under it, in the order (ky, kx, channel), `W` the weights, a column per output
//! channel. The plain way would build all patches and multiply. Departures from it are
//!
//! 1. a line of a patch, `(kx, channel)`, is contiguous in memory, and patches of neighbouring pixels are equally far apart: a tile of
//!    pixels inside of one row needs no patches, its rows of the matrix are read where they are. So are those of a 1x1 convolution,
//!    also where their channels are joined from several tensors. Only tiles at borders are built;
//! 2. lines are padded to whole groups of the inner loop, by weights that are zero: what is read behind a line does not matter;
//! 3. weights are packed once, by output channels of a tile, so that the inner loop reads them in order;
//! 4. the sums of a tile stay in registers over the whole depth and are finished (bias, requantisation, activation) while they are in
//!    the first-level cache;
//! 5. pixels are cut into blocks, which are the unit of parallel work, so that results don't depend on the number of threads.

use crate::simd::{self, Rows, TILE_CHANNELS, TILE_PIXELS, Target, Tile, Weights};
use crate::{ConvGeometry, Isa};
use rayon::prelude::*;
use std::ops::Range;

/// Tiles that strips of weights are used for before the next strip.
const RUN_TILES: usize = 4;
/// Pixels of such a run.
const RUN_PIXELS: usize = RUN_TILES * TILE_PIXELS;
/// Multiplications of a task, the unit of parallel work, are not worth less than this.
const TASK_PRODUCTS: usize = 1 << 20;

/// An element type that convolution is implemented for.
pub(crate) trait Element: Copy + Default + Send + Sync + 'static {
    /// Type of weights.
    type Weight: Copy + Default + Send + Sync;
    /// Type of sums.
    type Sum: Copy + Default;
    /// Values that a step of the inner loop takes of each pixel.
    const GROUP: usize;

    /// Planes that weights are split into, one after the other.
    fn planes(_weights: &[Self::Weight]) -> usize {
        1
    }

    /// A weight's share in a plane.
    fn share(weight: Self::Weight, _plane: usize) -> Self::Weight {
        weight
    }

    fn tile(
        isa: Isa,
        rows: &[Rows<'_, Self>],
        weights: Weights<'_, Self::Weight>,
        pixels: usize,
        sums: &mut Tile<Self::Sum>,
    );
}

impl Element for f32 {
    type Weight = f32;
    type Sum = f32;
    const GROUP: usize = 1;

    fn tile(
        isa: Isa,
        rows: &[Rows<'_, f32>],
        weights: Weights<'_, f32>,
        pixels: usize,
        sums: &mut Tile<f32>,
    ) {
        simd::tile_f32(isa, rows, weights, pixels, sums);
    }
}

/// An 8-bit integer with 128 added.
impl Element for u8 {
    type Weight = i8;
    type Sum = i32;
    const GROUP: usize = 4;

    fn tile(isa: Isa, rows: &[Rows<'_, u8>], weights: Weights<'_, i8>, pixels: usize, sums: &mut Tile<i32>) {
        simd::tile_u8(isa, rows, weights, pixels, sums);
    }
}

/// Weights above 8 bits have two planes, `w = low + 256 high`, so that many products fit 32 bits.
impl Element for i16 {
    type Weight = i16;
    type Sum = i64;
    const GROUP: usize = 2;

    fn planes(weights: &[i16]) -> usize {
        if weights.iter().all(|&w| i8::try_from(w).is_ok()) { 1 } else { 2 }
    }

    fn share(weight: i16, plane: usize) -> i16 {
        let low = i16::from(weight as i8);
        if plane == 0 { low } else { ((i32::from(weight) - i32::from(low)) >> 8) as i16 }
    }

    fn tile(
        isa: Isa,
        rows: &[Rows<'_, i16>],
        weights: Weights<'_, i16>,
        pixels: usize,
        sums: &mut Tile<i64>,
    ) {
        simd::tile_i16(isa, rows, weights, pixels, sums);
    }
}

/// Weights in the order in which the inner loop reads them.
///
/// Of each group of the convolution, for every [`TILE_CHANNELS`] output channels, `[depth / GROUP][channels][GROUP]`: the depth has the
/// lines of a patch, each padded with zeros to whole groups. The last channels take half a tile where that is enough.
#[derive(Debug, Clone)]
pub(crate) struct PackedWeights<T: Element> {
    pub(crate) geometry: ConvGeometry,
    /// Values of a line, with those that pad.
    line: usize,
    strips: Vec<Strip<T::Weight>>,
}

/// The weights of a tile's channels.
#[derive(Debug, Clone)]
struct Strip<W> {
    /// Output channels.
    channels: Range<usize>,
    /// Channels with those that pad.
    width: usize,
    values: Vec<W>,
}

impl<T: Element> PackedWeights<T> {
    /// Packs a weight of shape `(out, in / groups, kh, kw)`.
    pub(crate) fn new(geometry: ConvGeometry, weight: &[T::Weight]) -> Self {
        let channels = geometry.out_channels / geometry.groups;
        let line = (geometry.depth() / geometry.kernel[0]).next_multiple_of(T::GROUP);
        let depth = line * geometry.kernel[0];
        let planes = T::planes(weight);
        let mut strips = Vec::new();
        for group in 0..geometry.groups {
            for first in (0..channels).step_by(TILE_CHANNELS) {
                let count = (channels - first).min(TILE_CHANNELS);
                let first = group * channels + first;
                let width = if count > TILE_CHANNELS / 2 { TILE_CHANNELS } else { TILE_CHANNELS / 2 };
                let mut strip = Strip {
                    channels: first..first + count,
                    width,
                    values: vec![T::Weight::default(); planes * depth * width],
                };
                for (plane, values) in strip.values.chunks_exact_mut(depth * width).enumerate() {
                    let share = |w| T::share(w, plane);
                    fill(values, (&strip.channels, width), (&geometry, line, T::GROUP), weight, share);
                }
                strips.push(strip);
            }
        }
        Self { geometry, line, strips }
    }

    /// Values of a patch, with those that pad.
    fn depth(&self) -> usize {
        self.line * self.geometry.kernel[0]
    }

    /// The strips of one group.
    fn of_group(&self, group: usize) -> &[Strip<T::Weight>] {
        let count = self.strips.len() / self.geometry.groups;
        &self.strips[group * count..(group + 1) * count]
    }
}

/// Fills a plane of a strip of `width` channels with shares of the weights of its `channels`.
fn fill<W: Copy>(
    plane: &mut [W],
    (channels, width): (&Range<usize>, usize),
    (geometry, line, group): (&ConvGeometry, usize, usize),
    weight: &[W],
    share: impl Fn(W) -> W,
) {
    let [kh, kw] = geometry.kernel;
    let inputs = geometry.in_channels / geometry.groups;
    let rows = weight.chunks_exact(geometry.depth()).skip(channels.start).take(channels.len());
    for (column, row) in rows.enumerate() {
        for (channel, window) in row.chunks_exact(kh * kw).enumerate() {
            for (place, &w) in window.iter().enumerate() {
                let k = place / kw * line + place % kw * inputs + channel;
                plane[(k / group * width + column) * group + k % group] = share(w);
            }
        }
    }
}

/// Channels of a tensor, pixel by pixel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a, T> {
    pub(crate) values: &'a [T],
    pub(crate) channels: usize,
}

/// Input of a convolution: tensors side by side in the channels, their size, and the value of padding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pixels<'a, T> {
    pub(crate) parts: &'a [Part<'a, T>],
    pub(crate) size: [usize; 2],
    pub(crate) padding: T,
}

/// A tile that is to be finished.
pub(crate) struct Finished<'a, S, O> {
    /// Its sums; those beyond its pixels and channels mean nothing.
    pub(crate) sums: &'a mut Tile<S>,
    /// How many pixels it has.
    pub(crate) pixels: usize,
    /// Which output channels.
    pub(crate) channels: Range<usize>,
    /// The first pixel.
    pub(crate) first: usize,
    /// Where the results go, pixel by pixel from the tile's first on, all channels.
    pub(crate) out: &'a mut [O],
    /// All channels of a pixel.
    pub(crate) stride: usize,
}

impl<S: Copy, O> Finished<'_, S, O> {
    /// The sums, and where they go.
    pub(crate) fn split(&mut self) -> (&mut Tile<S>, Target<'_, O>) {
        let target = Target {
            values: &mut self.out[self.channels.start..],
            stride: self.stride,
            channels: self.channels.len(),
        };
        (self.sums, target)
    }

    /// Puts `f` of every sum in its place.
    pub(crate) fn store(&mut self, f: impl Fn(S) -> O) {
        let count = self.channels.len();
        for (sums, out) in self.sums[..self.pixels].iter().zip(self.out.chunks_exact_mut(self.stride)) {
            let out = &mut out[self.channels.start..][..count];
            out.iter_mut().zip(sums).for_each(|(out, &sum)| *out = f(sum));
        }
    }
}

impl Finished<'_, f32, f32> {
    /// Puts every sum, and what is of the same place in `other`, in its place.
    pub(crate) fn store_sums(&mut self, other: &[f32]) {
        let (count, place) = (self.channels.len(), self.first * self.stride);
        let others = other[place..].chunks_exact(self.stride);
        let rows = self.sums[..self.pixels].iter().zip(self.out.chunks_exact_mut(self.stride));
        for ((sums, out), other) in rows.zip(others) {
            let (out, other) =
                (&mut out[self.channels.start..][..count], &other[self.channels.start..][..count]);
            out.iter_mut().zip(sums.iter().zip(other)).for_each(|(out, (sum, other))| *out = sum + other);
        }
    }
}

/// Computes the sums of every output value and hands them, a tile at a time, to `finish`, which writes the results.
pub(crate) fn convolve<T: Element, O: Copy + Send + Sync>(
    isa: Isa,
    weights: &PackedWeights<T>,
    input: Pixels<'_, T>,
    output_size: [usize; 2],
    output: &mut [O],
    finish: impl Fn(&mut Finished<'_, T::Sum, O>) + Sync,
) {
    let channels = weights.geometry.out_channels;
    let convolution = Convolution { isa, weights, input, output_width: output_size[1], finish };
    let task = task_pixels(weights.depth() * channels);
    output.par_chunks_mut(task * channels).enumerate().for_each_init(
        Scratch::default,
        |scratch, (index, out)| {
            for group in 0..weights.geometry.groups {
                for (run, out) in out.chunks_mut(RUN_PIXELS * channels).enumerate() {
                    convolution.run(index * task + run * RUN_PIXELS, group, out, scratch);
                }
            }
        },
    );
}

/// Pixels of a task: whole runs.
fn task_pixels(products: usize) -> usize {
    TASK_PRODUCTS.div_ceil(products.max(1) * RUN_PIXELS) * RUN_PIXELS
}

/// Lines of patches, or tensors that are joined, that a tile is read from at most.
const MAX_LINES: usize = 8;

/// What a tile is read from.
#[derive(Clone, Copy)]
struct TileRows<'a, T> {
    rows: [Rows<'a, T>; MAX_LINES],
    count: usize,
}

impl<T: Copy> Default for TileRows<'_, T> {
    fn default() -> Self {
        Self { rows: [Rows { values: &[], stride: 0, depth: 0 }; MAX_LINES], count: 0 }
    }
}

impl<'a, T> TileRows<'a, T> {
    /// Adds rows, as long as there is room.
    fn push(&mut self, rows: Rows<'a, T>) {
        if let Some(place) = self.rows.get_mut(self.count) {
            *place = rows;
            self.count += 1;
        }
    }

    fn as_slice(&self) -> &[Rows<'a, T>] {
        &self.rows[..self.count]
    }
}

/// Memory of a thread.
struct Scratch<T>(Vec<T>);

impl<T> Default for Scratch<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// A convolution of one image.
struct Convolution<'a, T: Element, F> {
    isa: Isa,
    weights: &'a PackedWeights<T>,
    input: Pixels<'a, T>,
    output_width: usize,
    finish: F,
}

impl<T: Element, F> Convolution<'_, T, F> {
    /// Computes the channels of one group of the pixels from `first` on, at most [`RUN_PIXELS`], all of whose channels `out` holds.
    fn run<O: Copy>(&self, first: usize, group: usize, out: &mut [O], Scratch(patches): &mut Scratch<T>)
    where
        F: Fn(&mut Finished<'_, T::Sum, O>),
    {
        let (stride, depth) = (self.weights.geometry.out_channels, self.weights.depth());
        let count = out.len() / stride;
        let tiles = || (0..count).step_by(TILE_PIXELS).map(|start| (start, (count - start).min(TILE_PIXELS)));
        let mut in_place = [false; RUN_TILES];
        for ((start, pixels), in_place) in tiles().zip(&mut in_place) {
            *in_place = self.is_in_place(first + start, pixels);
            if !*in_place {
                patches.resize((RUN_PIXELS * depth).max(patches.len()), T::default());
                self.build(first + start, group, &mut patches[start * depth..(start + pixels) * depth]);
            }
        }
        let mut rows = [TileRows::default(); RUN_TILES];
        for (((start, _), in_place), rows) in tiles().zip(in_place).zip(&mut rows) {
            if in_place {
                self.in_place(first + start, rows);
            } else {
                rows.push(Rows { values: &patches[start * depth..], stride: depth, depth });
            }
        }
        let mut sums: Tile<T::Sum> = [[T::Sum::default(); TILE_CHANNELS]; TILE_PIXELS];
        for strip in self.weights.of_group(group) {
            let weights = Weights { values: &strip.values, channels: strip.width };
            for ((start, pixels), rows) in tiles().zip(&rows) {
                T::tile(self.isa, rows.as_slice(), weights, pixels, &mut sums);
                (self.finish)(&mut Finished {
                    sums: &mut sums,
                    pixels,
                    channels: strip.channels.clone(),
                    first: first + start,
                    out: &mut out[start * stride..(start + pixels) * stride],
                    stride,
                });
            }
        }
    }

    /// Whether the patches of a tile can be read where they are: pointwise, or inside of one row.
    fn is_in_place(&self, first: usize, pixels: usize) -> bool {
        let ConvGeometry { kernel, stride, padding, dilation, groups, .. } = self.weights.geometry;
        if self.weights.geometry.is_pointwise() {
            let whole = self.input.parts.iter().all(|part| part.channels.is_multiple_of(T::GROUP));
            return whole && self.input.parts.len() <= MAX_LINES;
        }
        let ([part], 1, 1) = (self.input.parts, groups, dilation[1]) else { return false };
        if kernel[0] > MAX_LINES {
            return false;
        }
        let [height, width] = self.input.size;
        let (y, x) = (first / self.output_width, first % self.output_width);
        let inside = |at: usize, axis: usize, side: usize, reach: usize| {
            at * stride[axis] >= padding[axis] && at * stride[axis] - padding[axis] + reach <= side
        };
        let lines = (kernel[0] - 1) * dilation[0] + 1;
        x + pixels <= self.output_width
            && inside(y, 0, height, lines)
            && inside(x, 1, width, kernel[1])
            && inside(x + pixels - 1, 1, width, kernel[1])
            && {
                // What pads the last line has to be there too.
                let row = y * stride[0] - padding[0] + lines - 1;
                let last = row * width + (x + pixels - 1) * stride[1] - padding[1];
                last * part.channels + self.weights.line <= part.values.len()
            }
    }

    /// The lines of the patches of a tile, where they are.
    fn in_place<'r>(&'r self, first: usize, rows: &mut TileRows<'r, T>) {
        let ConvGeometry { kernel, stride, padding, dilation, .. } = self.weights.geometry;
        let parts = self.input.parts;
        if self.weights.geometry.is_pointwise() {
            return parts.iter().for_each(|part| {
                rows.push(Rows {
                    values: &part.values[first * part.channels..],
                    stride: part.channels,
                    depth: part.channels,
                });
            });
        }
        let (y, x) = (first / self.output_width, first % self.output_width);
        for ky in 0..kernel[0] {
            let row = y * stride[0] + ky * dilation[0] - padding[0];
            let from = row * self.input.size[1] + x * stride[1] - padding[1];
            rows.push(Rows {
                values: &parts[0].values[from * parts[0].channels..],
                stride: stride[1] * parts[0].channels,
                depth: self.weights.line,
            });
        }
    }

    /// Builds the patches of the pixels from `first` on. What pads lines meets zero weights and does not matter.
    fn build(&self, first: usize, group: usize, patches: &mut [T]) {
        let geometry = &self.weights.geometry;
        let line = geometry.depth() / geometry.kernel[0];
        for (pixel, patch) in (first..).zip(patches.chunks_exact_mut(self.weights.depth())) {
            let (y, x) = (pixel / self.output_width, pixel % self.output_width);
            for (ky, out) in patch.chunks_exact_mut(self.weights.line).enumerate() {
                self.line([y, x], ky, group, &mut out[..line]);
            }
        }
    }

    /// Line `ky` of the patch under the output pixel `(y, x)`.
    fn line(&self, [y, x]: [usize; 2], ky: usize, group: usize, out: &mut [T]) {
        let ConvGeometry { kernel, stride, padding, dilation, groups, in_channels, .. } =
            self.weights.geometry;
        let [height, width] = self.input.size;
        let row = (y * stride[0] + ky * dilation[0]).wrapping_sub(padding[0]);
        if row >= height {
            return out.fill(self.input.padding);
        }
        let start = (x * stride[1]).wrapping_sub(padding[1]);
        let whole = groups == 1 && dilation[1] == 1;
        if let ([part], true) = (self.input.parts, whole && start < width && start + kernel[1] <= width) {
            let from = (row * width + start) * part.channels;
            return copy(&part.values[from..from + out.len()], out);
        }
        let inputs = in_channels / groups;
        for (kx, out) in out.chunks_exact_mut(inputs).enumerate() {
            let column = start.wrapping_add(kx * dilation[1]);
            if column < width {
                self.pixel(row * width + column, group, out);
            } else {
                out.fill(self.input.padding);
            }
        }
    }

    /// The group's channels of an input pixel.
    fn pixel(&self, pixel: usize, group: usize, mut out: &mut [T]) {
        let mut skip = group * out.len();
        for part in self.input.parts {
            let count = part.channels.saturating_sub(skip).min(out.len());
            if count > 0 {
                let (now, later) = std::mem::take(&mut out).split_at_mut(count);
                let from = pixel * part.channels + skip;
                copy(&part.values[from..from + count], now);
                out = later;
            }
            skip = skip.saturating_sub(part.channels);
        }
    }
}

/// Copies a few values: blocks of fixed length, the last overlapping the one before, cost less than a call.
#[inline(always)]
fn copy<T: Copy>(from: &[T], to: &mut [T]) {
    const STEP: usize = 16;
    let count = from.len();
    if count < STEP || to.len() != count {
        to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
        return;
    }
    let (blocks, _) = to.as_chunks_mut::<STEP>();
    for (to, from) in blocks.iter_mut().zip(from.as_chunks::<STEP>().0) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<STEP>(), from.last_chunk::<STEP>()) {
        *to = *from;
    }
}
