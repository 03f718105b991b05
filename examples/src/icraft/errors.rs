//! How far integers are from the numbers that they stand for, and why.

use serde::Serialize;

/// The error of a tensor, split by its cause. With `f` the numbers and `d` what the integers stand for, the relative L1 error is
/// `sum |f - d| / sum |f|`. The terms of numbers beyond the integers' range, by more than half a step, are the saturation part, all others
/// the rounding part. Sums are in f64, in the order of the elements. Where all numbers are 0 the parts are absolute.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ErrorSplit {
    /// Elements.
    pub elements: usize,
    /// Elements beyond the range.
    pub saturated: usize,
    /// `sum |f|`.
    pub magnitude: f64,
    /// Rounding and saturation together.
    pub relative_l1: f64,
    /// The rounding part.
    pub rounding: f64,
    /// The saturation part.
    pub saturation: f64,
}

/// What integers of a channel can stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// The step between two of them.
    pub scale: f64,
    /// The least integer.
    pub least: f64,
    /// The greatest integer.
    pub greatest: f64,
}

impl Grid {
    /// Of integers of `bits` bits: symmetric, unless `uses_least` says that the one beyond is in use too.
    #[must_use]
    pub fn new(scale: f32, bits: u32, uses_least: bool) -> Self {
        let half = 2f64.powi(bits as i32 - 1);
        let least = if uses_least { -half } else { 1.0 - half };
        Self { scale: f64::from(scale), least, greatest: half - 1.0 }
    }

    /// The largest number that has an integer of its own.
    #[must_use]
    pub fn saturation(&self) -> f64 {
        self.greatest * self.scale
    }

    fn saturates(&self, value: f64) -> bool {
        value > (self.greatest + 0.5) * self.scale || value < (self.least - 0.5) * self.scale
    }
}

/// Splits the error of a tensor; `grid` is that of an element's channel.
#[must_use]
pub fn split(float: &[f32], fixed: &[f32], grid: impl Fn(usize) -> Grid) -> ErrorSplit {
    let (mut magnitude, mut parts, mut saturated) = (0.0, [0.0; 2], 0);
    for (index, (&float, &fixed)) in float.iter().zip(fixed).enumerate() {
        let (float, fixed) = (f64::from(float), f64::from(fixed));
        let saturates = grid(index).saturates(float);
        magnitude += float.abs();
        parts[usize::from(saturates)] += (float - fixed).abs();
        saturated += usize::from(saturates);
    }
    let [rounding, saturation] = parts.map(|part| if magnitude > 0.0 { part / magnitude } else { part });
    let relative_l1 = rounding + saturation;
    ErrorSplit { elements: float.len(), saturated, magnitude, relative_l1, rounding, saturation }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart_at_half_a_step_beyond_the_range() {
        let grid = Grid::new(0.5, 3, false);
        assert_eq!((grid.saturation(), grid.least), (1.5, -3.0));
        // 1.75 is halfway beyond: its error is that of rounding still
        let error = split(&[1.0, 1.75, 2.0, -2.0], &[1.0, 1.5, 1.5, -1.5], |_| grid);
        assert_eq!((error.elements, error.saturated, error.magnitude), (4, 2, 6.75));
        assert_eq!((error.rounding, error.saturation), (0.25 / 6.75, 1.0 / 6.75));
        let full = split(&[-2.0], &[-2.0], |_| Grid::new(0.5, 3, true));
        assert_eq!((full.saturated, full.relative_l1), (0, 0.0));
    }
}
