//! Bilinear resize of RGB bytes, with the bits of OpenCV's `INTER_LINEAR`.
//!
//! The simple algorithm: the centre of target pixel `d` lies at `(d + 0.5) * source / target - 0.5` in the source;
//! the value there is the average of its four neighbours, weighted by nearness. Nothing is smoothed when shrinking.
//! The departures from it, all of them taken from OpenCV so that images equal the ones a network was validated on:
//!
//! 1. Weights are integers of 11 bits: `round_half_even(2048 * fraction)`, the fraction in f32.
//! 2. Columns first: `h = a0*left + a1*right`, exact in i32 (at most `255 * 2048`).
//! 3. Rows second, with two truncations: `v = (((b0*(h0 >> 4)) >> 16) + ((b1*(h1 >> 4)) >> 16) + 2) >> 2`.
//! 4. Left and right of the outermost pixel centres the weight is moved to the outermost pixel. Above and below,
//!    the weights stay and the row index is clamped, so the two truncations of rule 3 still happen.
//! 5. When both sides are exactly halved, the result is the mean of 2 x 2 pixels, `(sum + 2) >> 2`.

use crate::image_size::{CHANNELS, ImageSize};

/// Bits of a weight.
const WEIGHT_ONE: f32 = 2048.0;

/// Where one target coordinate reads, and with which weights.
#[derive(Clone, Copy)]
struct Tap {
    near: usize,       // source index
    far: usize,        // source index, near + 1 except at an edge
    weights: [i32; 2], // of near and far, in [0, 2048]
}

/// A rectangle of rows in a larger RGB image to write a resized image into.
pub(crate) struct Window<'a> {
    pub(crate) pixels: &'a mut [u8], // the whole image, HWC
    pub(crate) row_values: usize,    // values per row of the whole image
    pub(crate) left: usize,          // pixels
    pub(crate) top: usize,           // rows
    pub(crate) size: ImageSize,      // of the rectangle
}

impl Window<'_> {
    /// The rectangle's rows, from the top.
    fn rows(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let columns = self.left * CHANNELS..(self.left + self.size.width) * CHANNELS;
        let rows = self.pixels.chunks_exact_mut(self.row_values).skip(self.top).take(self.size.height);
        rows.map(move |row| &mut row[columns.clone()])
    }
}

/// Resizes `source` (HWC RGB of `size`) into `window`. The caller has checked that both lie inside their slices.
pub(crate) fn resize_into(source: &[u8], size: ImageSize, mut window: Window<'_>) {
    let target = window.size;
    if size == target {
        copy(source, size, &mut window);
    } else if size.height == 2 * target.height && size.width == 2 * target.width {
        halve(source, size, &mut window);
    } else {
        interpolate(source, size, &mut window);
    }
}

fn copy(source: &[u8], size: ImageSize, window: &mut Window<'_>) {
    for (target, source) in window.rows().zip(source.chunks_exact(size.width * CHANNELS)) {
        target.copy_from_slice(source);
    }
}

/// Rule 5.
fn halve(source: &[u8], size: ImageSize, window: &mut Window<'_>) {
    let row_values = size.width * CHANNELS;
    for (target, pair) in window.rows().zip(source.chunks_exact(2 * row_values)) {
        let (upper, lower) = pair.split_at(row_values);
        for (index, value) in target.iter_mut().enumerate() {
            let left = index / CHANNELS * 2 * CHANNELS + index % CHANNELS;
            let right = left + CHANNELS;
            let sum =
                [upper[left], upper[right], lower[left], lower[right]].map(u16::from).iter().sum::<u16>();
            *value = ((sum + 2) >> 2) as u8;
        }
    }
}

/// Rules 1 to 4. Each source row is combined along its columns at most once, as it enters the window of two rows.
fn interpolate(source: &[u8], size: ImageSize, window: &mut Window<'_>) {
    let columns = column_taps(size.width, window.size.width);
    let rows = row_taps(size.height, window.size.height);
    let source_row = |row: usize| &source[row * size.width * CHANNELS..][..size.width * CHANNELS];
    let mut near = HorizontalRow::new(columns.len());
    let mut far = HorizontalRow::new(columns.len());
    for (target, tap) in window.rows().zip(&rows) {
        if far.index == Some(tap.near) {
            std::mem::swap(&mut near, &mut far);
        }
        near.fill(tap.near, source_row(tap.near), &columns);
        far.fill(tap.far, source_row(tap.far), &columns);
        combine_rows(&near.values, &far.values, tap.weights, target);
    }
}

/// A source row after rule 2, and which one it is.
struct HorizontalRow {
    index: Option<usize>,
    values: Vec<i32>, // in [0, 255 * 2048]
}

impl HorizontalRow {
    fn new(width: usize) -> Self {
        Self { index: None, values: vec![0; width * CHANNELS] }
    }

    fn fill(&mut self, index: usize, source: &[u8], taps: &[Tap]) {
        if self.index == Some(index) {
            return;
        }
        self.index = Some(index);
        for (values, tap) in self.values.chunks_exact_mut(CHANNELS).zip(taps) {
            let left = &source[tap.near * CHANNELS..][..CHANNELS];
            let right = &source[tap.far * CHANNELS..][..CHANNELS];
            for ((value, &left), &right) in values.iter_mut().zip(left).zip(right) {
                *value = tap.weights[0] * i32::from(left) + tap.weights[1] * i32::from(right);
            }
        }
    }
}

/// Rule 3.
fn combine_rows(near: &[i32], far: &[i32], [near_weight, far_weight]: [i32; 2], target: &mut [u8]) {
    for ((value, &near), &far) in target.iter_mut().zip(near).zip(far) {
        let near = (near_weight * (near >> 4)) >> 16;
        let far = (far_weight * (far >> 4)) >> 16;
        *value = ((near + far + 2) >> 2) as u8; // at most (1020 + 2) >> 2 = 255
    }
}

/// Rule 4 for columns.
fn column_taps(source: usize, target: usize) -> Vec<Tap> {
    let last = source - 1;
    let outermost = |index: usize| Tap { near: index, far: index, weights: weights(0.0) };
    let tap = |(index, fraction): (i64, f32)| match usize::try_from(index) {
        Err(_) => outermost(0),
        Ok(index) if index >= last => outermost(last),
        Ok(index) => Tap { near: index, far: index + 1, weights: weights(fraction) },
    };
    (0..target).map(|index| tap(source_position(index, source, target))).collect()
}

/// Rule 4 for rows.
fn row_taps(source: usize, target: usize) -> Vec<Tap> {
    let clamp = |index: i64| usize::try_from(index).unwrap_or(0).min(source - 1);
    let tap =
        |(index, fraction)| Tap { near: clamp(index), far: clamp(index + 1), weights: weights(fraction) };
    (0..target).map(|index| tap(source_position(index, source, target))).collect()
}

/// Integer part and f32 fraction of the source coordinate of a target pixel's centre.
///
/// The coordinate is computed in f64, `(index + 0.5) * (1 / (target / source)) - 0.5`, then rounded to f32.
fn source_position(index: usize, source: usize, target: usize) -> (i64, f32) {
    let scale = 1.0 / (target as f64 / source as f64);
    let position = ((index as f64 + 0.5) * scale - 0.5) as f32;
    let floor = position.floor();
    (floor as i64, position - floor)
}

/// Rule 1.
fn weights(fraction: f32) -> [i32; 2] {
    [1.0 - fraction, fraction].map(|weight| (weight * WEIGHT_ONE).round_ties_even() as i32)
}
