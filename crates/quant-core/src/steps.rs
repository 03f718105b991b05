//! What the steps of a program do to stored tensors.

use crate::executor::Executor;
use crate::kernels::conv::{Element, Finished, PackedWeights, Part, Pixels, convolve};
use crate::kernels::elementwise;
use crate::kernels::spatial::{self, Window};
use crate::layout::to_offset;
use crate::prepared::{CutChannels, Prepared, Rescale};
use crate::simd::{self, Bytes, Integer, Sum, TILE_CHANNELS, TILE_PIXELS, Target, Tile, Words};
use crate::table::{Entries, Table};
use crate::values::{Buffer, Stored};
use crate::{Format, Isa, Step, StepOp, saturate};
use rayon::prelude::*;

/// A combination of formats that `validate` refuses: nothing is computed.
fn unreachable_by_validation() {
    debug_assert!(false, "a program that was not validated");
}

impl Executor<'_> {
    /// Runs a step, whose inputs are there; a convolution together with the addition that follows, if that is given.
    pub(crate) fn step(&self, step: &Step, prepared: &Prepared, add: Option<&Step>, output: &mut Buffer) {
        match (&step.op, prepared) {
            (StepOp::Quantize, _) => self.quantize(step, output),
            (StepOp::Dequantize, _) => self.dequantize(step, output),
            (StepOp::ConvF32 { .. }, prepared) => self.conv_f32(step, prepared, add, output),
            (StepOp::ConvI8 { .. }, prepared) => self.conv_i8(step, prepared, add, output),
            (StepOp::ConvI16 { .. }, prepared) => self.conv_i16(step, prepared, add, output),
            (StepOp::Activation(_), Prepared::Table(table)) => self.activation(step, table.as_ref(), output),
            (StepOp::Add { .. }, _) => self.add(step, output),
            (StepOp::Concat { .. } | StepOp::Join, Prepared::Rescale(rescale)) => {
                self.concat(step, rescale, output);
            }
            _ => {
                let len = self.len(step.output);
                match (self.stored(step.inputs[0]), output) {
                    (Stored::F32(x), Buffer::F32(y)) => self.spatial(step, x, &mut y[..len]),
                    (Stored::U8(x), Buffer::U8(y)) => self.spatial(step, x, &mut y[..len]),
                    (Stored::I16(x), Buffer::I16(y)) => self.spatial(step, x, &mut y[..len]),
                    _ => unreachable_by_validation(),
                }
            }
        }
    }

    /// Quantises an image, which is planar, into the first tensor that reads it.
    pub(crate) fn quantize_image(&self, image: &[f32], step: &Step, output: &mut Buffer) {
        /// Values of a plane that are converted at a time.
        const RUN: usize = 256;
        let format = self.format(step.output);
        let (Some(params), Some(range)) = (format.params(), format.range()) else {
            return unreachable_by_validation();
        };
        let channels = self.shapes()[step.output][0];
        let count = image.len() / channels;
        let isa = self.isa();
        // Runs of all planes, so that the pixels that they become stay in the cache.
        macro_rules! quantize_runs {
            ($y:expr, $element:ty) => {
                $y.par_chunks_mut(RUN * channels).enumerate().for_each(|(run, y)| {
                    let mut scratch = [0i32; RUN];
                    let pixels = run * RUN..((run + 1) * RUN).min(count);
                    for (channel, plane) in image.chunks_exact(count).enumerate() {
                        let scratch = &mut scratch[..pixels.len()];
                        let run = &plane[pixels.clone()];
                        simd::quantize(isa, run, scratch, params.scale, params.zero_point, range);
                        for (pixel, &q) in y.chunks_exact_mut(channels).zip(&*scratch) {
                            pixel[channel] = <$element>::store(q);
                        }
                    }
                })
            };
        }
        let len = self.len(step.output);
        match output {
            Buffer::U8(y) => quantize_runs!(y[..len], u8),
            Buffer::I16(y) => quantize_runs!(y[..len], i16),
            Buffer::F32(_) => unreachable_by_validation(),
        }
    }

    fn quantize(&self, step: &Step, output: &mut Buffer) {
        const RUN: usize = 256;
        let format = self.format(step.output);
        let (Stored::F32(x), Some(params), Some(range)) =
            (self.stored(step.inputs[0]), format.params(), format.range())
        else {
            return unreachable_by_validation();
        };
        let mut scratch = [0i32; RUN];
        for (run, x) in x.chunks(RUN).enumerate() {
            let scratch = &mut scratch[..x.len()];
            simd::quantize(self.isa(), x, scratch, params.scale, params.zero_point, range);
            let at = run * RUN..run * RUN + x.len();
            match output {
                Buffer::U8(y) => y[at].iter_mut().zip(scratch).for_each(|(y, q)| *y = u8::store(*q)),
                Buffer::I16(y) => y[at].iter_mut().zip(scratch).for_each(|(y, q)| *y = i16::store(*q)),
                Buffer::F32(_) => unreachable_by_validation(),
            }
        }
    }

    fn dequantize(&self, step: &Step, output: &mut Buffer) {
        let (Some(params), Buffer::F32(y)) = (self.format(step.inputs[0]).params(), output) else {
            return unreachable_by_validation();
        };
        let y = &mut y[..self.len(step.output)];
        match self.stored(step.inputs[0]) {
            Stored::U8(x) => elementwise::map(x, y, |q| params.dequantize(q.integer())),
            Stored::I16(x) => elementwise::map(x, y, |q| params.dequantize(q.integer())),
            Stored::F32(_) => unreachable_by_validation(),
        }
    }

    /// The parts that a tensor consists of, of the type that `as_slice` takes.
    fn parts<'s, T>(
        &'s self,
        tensor: usize,
        as_slice: impl Fn(Stored<'s>) -> Option<&'s [T]>,
    ) -> Vec<Part<'s, T>> {
        let part = |id: usize| {
            let channels = self.shapes()[id][0];
            as_slice(self.stored(id)).map(|values| Part { values, channels })
        };
        self.sources(tensor).into_iter().filter_map(part).collect()
    }

    fn conv_f32(&self, step: &Step, prepared: &Prepared, add: Option<&Step>, output: &mut Buffer) {
        let (
            StepOp::ConvF32 { geometry, activation, .. },
            Prepared::ConvF32 { weights, bias },
            Buffer::F32(y),
        ) = (&step.op, prepared, output)
        else {
            return unreachable_by_validation();
        };
        let parts = self.parts(step.inputs[0], f32_values);
        let other = add.and_then(|add| f32_values(self.stored(shortcut_of(step, add))));
        let input =
            Pixels { parts: &parts, size: self.size(step.inputs[0]), padding: geometry.border as f32 };
        let (isa, y) = (self.isa(), &mut y[..self.len(step.output)]);
        convolve(isa, weights, input, self.size(step.output), y, |tile: &mut Finished<'_, f32, f32>| {
            simd::bias_activation(isa, tile.sums, tile.pixels, &bias[tile.channels.start..], *activation);
            match other {
                Some(other) => tile.store_sums(other),
                None => tile.store(|value| value),
            }
        });
    }

    fn conv_i8(&self, step: &Step, prepared: &Prepared, add: Option<&Step>, output: &mut Buffer) {
        let Prepared::ConvI8 { weights, channels, cut, table } = prepared else {
            return unreachable_by_validation();
        };
        let parts = self.parts(step.inputs[0], u8_values);
        let padding = to_offset(self.padding(step, weights) as i8);
        let input = Pixels { parts: &parts, size: self.size(step.inputs[0]), padding };
        let (isa, table) = (self.isa(), table.as_ref());
        let bytes = |sums: &mut Tile<i32>, pixels, first, target: &mut Target<'_, u8>| {
            cut_sums(isa, sums, pixels, cut.as_ref(), first);
            simd::finish_u8(isa, sums, pixels, &channels.from(first), bytes(table), target);
        };
        let words = |sums: &mut Tile<i32>, pixels, first, target: &mut Target<'_, i16>| {
            cut_sums(isa, sums, pixels, cut.as_ref(), first);
            simd::requantize(isa, sums, pixels, &channels.from(first));
            simd::store_i16(isa, sums, pixels, words(table), target);
        };
        self.conv_integer(step, (weights, input), add, output, bytes, words);
    }

    fn conv_i16(&self, step: &Step, prepared: &Prepared, add: Option<&Step>, output: &mut Buffer) {
        let Prepared::ConvI16 { weights, channels, cut, table } = prepared else {
            return unreachable_by_validation();
        };
        let parts = self.parts(step.inputs[0], i16_values);
        let padding = self.padding(step, weights) as i16;
        let input = Pixels { parts: &parts, size: self.size(step.inputs[0]), padding };
        let (isa, table) = (self.isa(), table.as_ref());
        let requantized = |sums: &mut Tile<i64>, pixels: usize, first: usize| {
            cut_sums(isa, sums, pixels, cut.as_ref(), first);
            let mut q = [[0; TILE_CHANNELS]; TILE_PIXELS];
            simd::requantize_wide(isa, sums, pixels, &channels.from(first), &mut q);
            q
        };
        let bytes = |sums: &mut Tile<i64>, pixels, first, target: &mut Target<'_, u8>| {
            store_u8(&requantized(sums, pixels, first)[..pixels], bytes(table), target);
        };
        let words = |sums: &mut Tile<i64>, pixels, first, target: &mut Target<'_, i16>| {
            simd::store_i16(isa, &requantized(sums, pixels, first), pixels, words(table), target);
        };
        self.conv_integer(step, (weights, input), add, output, bytes, words);
    }

    /// The integer that stands where a convolution reads beyond the borders.
    fn padding<T: Element>(&self, step: &Step, weights: &PackedWeights<T>) -> i32 {
        weights.geometry.border + self.format(step.inputs[0]).params().map_or(0, |p| p.zero_point)
    }

    /// A convolution whose tiles `bytes` or `words` finishes, by the format of its result; `add` adds a shortcut to that.
    fn conv_integer<T: Element>(
        &self,
        step: &Step,
        (weights, input): (&PackedWeights<T>, Pixels<'_, T>),
        add: Option<&Step>,
        output: &mut Buffer,
        bytes: impl Fn(&mut Tile<T::Sum>, usize, usize, &mut Target<'_, u8>) + Sync,
        words: impl Fn(&mut Tile<T::Sum>, usize, usize, &mut Target<'_, i16>) + Sync,
    ) {
        let (size, len, isa) = (self.size(step.output), self.len(step.output), self.isa());
        let shortcut =
            add.and_then(|add| Some((self.sum(add, step.output)?, self.stored(shortcut_of(step, add)))));
        macro_rules! run {
            ($y:expr, $tile:ident => $finish:expr) => {
                convolve(isa, weights, input, size, &mut $y[..len], |$tile| $finish)
            };
        }
        match (self.format(step.output), output, shortcut) {
            (Format::I8(_), Buffer::U8(y), None) => run!(y, tile => finish(tile, &bytes)),
            (Format::I12(_) | Format::I16(_), Buffer::I16(y), None) => run!(y, tile => finish(tile, &words)),
            (Format::I8(_), Buffer::U8(y), Some((how, Stored::U8(other)))) => {
                run!(y, tile => finish_with(isa, tile, &bytes, &how, other));
            }
            (Format::I8(_), Buffer::I16(y), Some((how, Stored::I16(other)))) => {
                run!(y, tile => finish_with(isa, tile, &bytes, &how, other));
            }
            (Format::I12(_) | Format::I16(_), Buffer::U8(y), Some((how, Stored::U8(other)))) => {
                run!(y, tile => finish_with(isa, tile, &words, &how, other));
            }
            (Format::I12(_) | Format::I16(_), Buffer::I16(y), Some((how, Stored::I16(other)))) => {
                run!(y, tile => finish_with(isa, tile, &words, &how, other));
            }
            _ => unreachable_by_validation(),
        }
    }

    /// How `add` adds its inputs, this one of them first.
    fn sum(&self, add: &Step, first: usize) -> Option<Sum> {
        let StepOp::Add { multipliers, rounding } = &add.op else { return None };
        let multipliers = multipliers.as_ref()?;
        let zero_point = |id: usize| self.format(id).params().map_or(0, |p| p.zero_point);
        let swap = add.inputs[0] != first;
        let [first, second] = if swap { [1, 0] } else { [0, 1] };
        Some(Sum {
            mantissas: [multipliers.mantissas[first], multipliers.mantissas[second]],
            shift: multipliers.shift.into(),
            rounding: *rounding,
            zero_points: [add.inputs[first], add.inputs[second], add.output].map(zero_point),
            range: self.format(add.output).range()?,
        })
    }

    fn activation(&self, step: &Step, table: Option<&Table>, output: &mut Buffer) {
        let StepOp::Activation(activation) = &step.op else { return unreachable_by_validation() };
        let len = self.len(step.output);
        let first = table.map_or(0, |table| table.first);
        let index = |q: i32| (q - first) as usize;
        match (self.stored(step.inputs[0]), output, table.map(|table| &table.values)) {
            (Stored::F32(x), Buffer::F32(y), _) => {
                y[..len].copy_from_slice(x);
                simd::activate(self.isa(), &mut y[..len], *activation);
            }
            (Stored::U8(x), Buffer::U8(y), Some(Entries::U8(t))) => {
                elementwise::map(x, &mut y[..len], |q| t.get(index(q.integer())));
            }
            (Stored::I16(x), Buffer::U8(y), Some(Entries::U8(t))) => {
                elementwise::map(x, &mut y[..len], |q| t.get(index(q.integer())));
            }
            (Stored::U8(x), Buffer::I16(y), Some(Entries::I16(t))) => {
                elementwise::map(x, &mut y[..len], |q| t.get(index(q.integer())));
            }
            (Stored::I16(x), Buffer::I16(y), Some(Entries::I16(t))) => {
                elementwise::map(x, &mut y[..len], |q| t.get(index(q.integer())));
            }
            _ => unreachable_by_validation(),
        }
    }

    fn add(&self, step: &Step, output: &mut Buffer) {
        let len = self.len(step.output);
        let [a, b] = [0, 1].map(|i| self.stored(step.inputs[i]));
        if let (Stored::F32(a), Stored::F32(b), Buffer::F32(y)) = (a, b, &mut *output) {
            return elementwise::add_f32(a, b, &mut y[..len]);
        }
        let Some(how) = self.sum(step, step.inputs[0]) else { return unreachable_by_validation() };
        macro_rules! add {
            ($a:expr, $b:expr) => {
                match output {
                    Buffer::U8(y) => elementwise::add(self.isa(), $a, $b, &how, &mut y[..len]),
                    Buffer::I16(y) => elementwise::add(self.isa(), $a, $b, &how, &mut y[..len]),
                    Buffer::F32(_) => unreachable_by_validation(),
                }
            };
        }
        match (a, b) {
            (Stored::U8(a), Stored::U8(b)) => add!(a, b),
            (Stored::U8(a), Stored::I16(b)) => add!(a, b),
            (Stored::I16(a), Stored::U8(b)) => add!(a, b),
            (Stored::I16(a), Stored::I16(b)) => add!(a, b),
            _ => unreachable_by_validation(),
        }
    }

    /// Carries out a concatenation whose parts can't stay where they are.
    fn concat(&self, step: &Step, rescale: &[Option<Rescale>], output: &mut Buffer) {
        let len = self.len(step.output);
        let stride = self.shapes()[step.output][0];
        let mut at = 0;
        for (&id, rescale) in step.inputs.iter().zip(rescale) {
            let channels = self.shapes()[id][0];
            let place = (stride, at, channels);
            match (self.stored(id), &mut *output, rescale) {
                (Stored::F32(x), Buffer::F32(y), _) => place_channels(x, &mut y[..len], place, |v| v),
                (Stored::I16(x), Buffer::I16(y), None) => place_channels(x, &mut y[..len], place, |v| v),
                (Stored::U8(x), Buffer::U8(y), None) => place_channels(x, &mut y[..len], place, |v| v),
                (Stored::U8(x), Buffer::U8(y), Some(Rescale::Bytes(table))) => {
                    place_channels(x, &mut y[..len], place, |v| table[usize::from(v)]);
                }
                (
                    Stored::I16(x),
                    Buffer::I16(y),
                    Some(Rescale::Words { from, to, range, factor, rounding }),
                ) => {
                    place_channels(x, &mut y[..len], place, |v| {
                        let scaled = factor.apply(i32::from(v) - from, *rounding) + i64::from(*to);
                        saturate(scaled, range.0, range.1) as i16
                    });
                }
                _ => unreachable_by_validation(),
            }
            at += channels;
        }
    }

    fn spatial<T: spatial::Ordered>(&self, step: &Step, input: &[T], output: &mut [T]) {
        let [channels, height, width] = self.shapes()[step.inputs[0]];
        match step.op {
            StepOp::MaxPool { kernel, stride, padding } => {
                let (window, out_width) = (Window { kernel, stride, padding }, self.size(step.output)[1]);
                spatial::max_pool(input, [height, width], channels, window, out_width, output);
            }
            StepOp::Upsample { scale } => spatial::upsample(input, width, channels, scale, output),
            StepOp::SpaceToDepth => spatial::space_to_depth(input, width, channels, output),
            _ => unreachable_by_validation(),
        }
    }
}

fn f32_values(stored: Stored<'_>) -> Option<&[f32]> {
    match stored {
        Stored::F32(values) => Some(values),
        _ => None,
    }
}

fn u8_values(stored: Stored<'_>) -> Option<&[u8]> {
    match stored {
        Stored::U8(values) => Some(values),
        _ => None,
    }
}

fn i16_values(stored: Stored<'_>) -> Option<&[i16]> {
    match stored {
        Stored::I16(values) => Some(values),
        _ => None,
    }
}

/// What `add` adds to the result of `convolution`.
fn shortcut_of(convolution: &Step, add: &Step) -> usize {
    if add.inputs[0] == convolution.output { add.inputs[1] } else { add.inputs[0] }
}

/// Cuts the sums of a tile whose first channel is given, if they are to be cut.
fn cut_sums<S: simd::SumOfProducts>(
    isa: Isa,
    sums: &mut Tile<S>,
    pixels: usize,
    cut: Option<&CutChannels<S>>,
    first: usize,
) {
    if let Some(cut) = cut {
        simd::cut(isa, sums, pixels, &cut.from(first));
    }
}

/// Finishes a tile by `make`, where it belongs.
fn finish<S: Copy, O>(
    tile: &mut Finished<'_, S, O>,
    make: &impl Fn(&mut Tile<S>, usize, usize, &mut Target<'_, O>),
) {
    let (pixels, first) = (tile.pixels, tile.channels.start);
    let (sums, mut target) = tile.split();
    make(sums, pixels, first, &mut target);
}

/// Finishes a tile by `make`, and adds what is of the same place in `other`.
fn finish_with<S: Copy, C: Integer, O: Integer>(
    isa: Isa,
    tile: &mut Finished<'_, S, O>,
    make: &impl Fn(&mut Tile<S>, usize, usize, &mut Target<'_, C>),
    how: &Sum,
    other: &[O],
) {
    let (pixels, first, count) = (tile.pixels, tile.channels.start, tile.channels.len());
    let place = tile.first * tile.stride + first;
    let (sums, target) = tile.split();
    let mut made = [[C::store(0); TILE_CHANNELS]; TILE_PIXELS];
    let values = made.as_flattened_mut();
    make(sums, pixels, first, &mut Target { values, stride: TILE_CHANNELS, channels: count });
    for (pixel, made) in made[..pixels].iter().enumerate() {
        let at = pixel * target.stride;
        let other = &other[place + at..place + at + count];
        simd::add(isa, &made[..count], other, how, &mut target.values[at..at + count]);
    }
}

/// Stores bytes, or those that a table has for arguments.
fn store_u8(q: &[[i32; TILE_CHANNELS]], table: Option<&Bytes>, target: &mut Target<'_, u8>) {
    for (q, out) in q.iter().zip(target.values.chunks_mut(target.stride)) {
        let pairs = out[..target.channels].iter_mut().zip(q);
        match table {
            Some(table) => pairs.for_each(|(out, &q)| *out = table.get(q as usize)),
            None => pairs.for_each(|(out, &q)| *out = q as u8),
        }
    }
}

/// The entries of a table, if they are bytes.
fn bytes(table: Option<&Table>) -> Option<&Bytes> {
    match &table?.values {
        Entries::U8(bytes) => Some(bytes),
        Entries::I16(_) => None,
    }
}

/// The entries of a table, if they are words.
fn words(table: Option<&Table>) -> Option<&Words> {
    match &table?.values {
        Entries::I16(words) => Some(words),
        Entries::U8(_) => None,
    }
}

/// Puts `channels` of every pixel in their place, from `at` on, among the `stride` channels of the output's.
fn place_channels<T: Copy + Send + Sync>(
    input: &[T],
    output: &mut [T],
    (stride, at, channels): (usize, usize, usize),
    f: impl Fn(T) -> T + Sync,
) {
    /// Pixels of a task.
    const RUN: usize = 256;
    let runs = output.par_chunks_mut(RUN * stride).zip(input.par_chunks(RUN * channels));
    runs.for_each(|(output, input)| {
        for (out, pixel) in output.chunks_exact_mut(stride).zip(input.chunks_exact(channels)) {
            out[at..at + channels].iter_mut().zip(pixel).for_each(|(out, &v)| *out = f(v));
        }
    });
}
