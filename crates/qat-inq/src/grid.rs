//! Values that weights may have.

use crate::Error;
use quant_core::{Rounding, round};

/// Values that the weights of a tensor may have.
#[derive(Debug, Clone, PartialEq)]
pub enum Grid {
    /// Multiples of a step.
    Uniform(UniformGrid),
    /// `{0, ±2^n}` for `n` from `smallest` to `largest`, as Zhou et al. have it.
    PowersOfTwo {
        /// The largest exponent.
        largest: i32,
        /// The smallest.
        smallest: i32,
    },
}

/// `q * step` for integers `q` in `[low, high]`.
#[derive(Debug, Clone, PartialEq)]
pub struct UniformGrid {
    steps: Vec<f32>,
    columns: Vec<f32>,
    low: i32,
    high: i32,
    rounding: Rounding,
}

impl UniformGrid {
    /// With a step for every row of a tensor, that is for every output channel, or one for all.
    ///
    /// # Errors
    /// [`Error::Step`]; [`Error::Range`] unless `low < high`.
    pub fn new(steps: &[f32], low: i32, high: i32, rounding: Rounding) -> Result<Self, Error> {
        Self::with_columns(steps, &[1.0], low, high, rounding)
    }

    /// With a step for every row, times a factor for every column of it: with normalised feature maps a weight's step depends on the input channel too.
    /// A row's length is a multiple of that of the factors, each of which holds for as many neighbours.
    ///
    /// # Errors
    /// As [`UniformGrid::new`], for factors too.
    pub fn with_columns(
        steps: &[f32],
        columns: &[f32],
        low: i32,
        high: i32,
        rounding: Rounding,
    ) -> Result<Self, Error> {
        if low >= high {
            return Err(Error::Range { low, high });
        }
        for list in [steps, columns] {
            if let Some(channel) = list.iter().position(|step| !(*step > 0.0 && step.is_finite())) {
                return Err(Error::Step { step: list[channel], channel });
            }
        }
        Ok(Self { steps: steps.to_vec(), columns: columns.to_vec(), low, high, rounding })
    }

    fn step(&self, index: usize, row: usize) -> f32 {
        let step = self.steps[(index / row).min(self.steps.len() - 1)];
        let width = (row / self.columns.len()).max(1);
        let column = self.columns[(index % row / width).min(self.columns.len() - 1)];
        (f64::from(step) * f64::from(column)) as f32
    }
}

impl Grid {
    /// `{0, ±2^n}` of `bits` bits for weights whose largest magnitude is `largest`: `n` goes from `floor(log2(4/3 largest))` down, over `2^(bits - 2)` values.
    /// One code of the `bits` is for zero.
    ///
    /// # Errors
    /// [`Error::Step`] unless the magnitude is positive and finite; [`Error::Range`] for fewer than 2 bits or more than 8.
    pub fn powers_of_two(largest: f32, bits: u32) -> Result<Self, Error> {
        if !(largest > 0.0 && largest.is_finite()) {
            return Err(Error::Step { step: largest, channel: 0 });
        }
        if !(2..=8).contains(&bits) {
            return Err(Error::Range { low: 2, high: bits as i32 });
        }
        let most = (f64::from(largest) * 4.0 / 3.0).log2().floor() as i32;
        Ok(Self::PowersOfTwo { largest: most, smallest: most + 1 - (1 << (bits - 2)) })
    }

    /// The value of the grid that a weight becomes; `index` is its place in the tensor, `row` the length of a row.
    fn nearest(&self, value: f32, index: usize, row: usize) -> f32 {
        match self {
            Self::Uniform(grid) => {
                let step = grid.step(index, row);
                let q = round(f64::from(value) / f64::from(step), grid.rounding);
                // `+ 0.0` makes one of two zeros.
                q.clamp(f64::from(grid.low), f64::from(grid.high)) as f32 * step + 0.0
            }
            Self::PowersOfTwo { largest, smallest } => power(value, *largest, *smallest),
        }
    }

    /// Puts every value of a tensor of so many rows on the grid.
    ///
    /// # Errors
    /// [`Error::Rows`] unless the rows divide the values and there is a step for each, or one for all.
    pub fn project(&self, values: &mut [f32], rows: usize) -> Result<(), Error> {
        let row = self.row(values.len(), rows)?;
        values.iter_mut().enumerate().for_each(|(index, value)| *value = self.nearest(*value, index, row));
        Ok(())
    }

    /// How many values are not on the grid, bit by bit.
    ///
    /// # Errors
    /// As [`Grid::project`].
    pub fn count_off(&self, values: &[f32], rows: usize) -> Result<usize, Error> {
        let row = self.row(values.len(), rows)?;
        let off = |(index, value): &(usize, &f32)| {
            self.nearest(**value, *index, row).to_bits() != (**value + 0.0).to_bits()
        };
        Ok(values.iter().enumerate().filter(off).count())
    }

    fn row(&self, values: usize, rows: usize) -> Result<usize, Error> {
        let wrong = Error::Rows { values, rows };
        let fits = match self {
            Self::Uniform(grid) => grid.steps.len() == 1 || grid.steps.len() == rows,
            Self::PowersOfTwo { .. } => true,
        };
        if rows == 0 || !values.is_multiple_of(rows) || !fits {
            return Err(wrong);
        }
        let row = (values / rows).max(1);
        match self {
            Self::Uniform(grid) if !row.is_multiple_of(grid.columns.len()) => Err(wrong),
            _ => Ok(row),
        }
    }
}

/// `sign(w) b` with the largest `b` for which `(a + b) / 2 <= |w|`, `a` being the next smaller value (0 below the smallest power); else 0.
fn power(value: f32, largest: i32, smallest: i32) -> f32 {
    let size = f64::from(value.abs());
    let reached = |&exponent: &i32| {
        let b = f64::from(exponent).exp2();
        let a = if exponent == smallest { 0.0 } else { b / 2.0 };
        (a + b) / 2.0 <= size
    };
    match (smallest..=largest).rev().find(reached) {
        Some(exponent) => (f64::from(exponent).exp2() as f32).copysign(value),
        None => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn powers_are_those_of_the_paper() {
        // s = 1: n1 = floor(log2(4/3)) = 0; 4 bits: n2 = 0 + 1 - 4 = -3.
        assert_eq!(Grid::powers_of_two(1.0, 4).unwrap(), Grid::PowersOfTwo { largest: 0, smallest: -3 });
        assert_eq!(Grid::powers_of_two(0.8, 3).unwrap(), Grid::PowersOfTwo { largest: 0, smallest: -1 });
        assert_eq!(Grid::powers_of_two(0.74, 3).unwrap(), Grid::PowersOfTwo { largest: -1, smallest: -2 });
        let grid = Grid::powers_of_two(1.0, 4).unwrap();
        let mut values = [1.0, 0.76, 0.75, 0.74, 0.4, 0.37, -0.2, 0.06, 0.0625, -0.07, 1.3];
        grid.project(&mut values, 1).unwrap();
        assert_eq!(values, [1.0, 1.0, 1.0, 0.5, 0.5, 0.25, -0.25, 0.0, 0.125, -0.125, 1.0]);
        assert!(Grid::powers_of_two(0.0, 4).is_err() && Grid::powers_of_two(1.0, 1).is_err());
    }

    #[test]
    fn steps_are_by_row_and_column() {
        let grid = UniformGrid::with_columns(&[1.0, 0.5], &[1.0, 4.0], -2, 2, Rounding::HalfEven).unwrap();
        let grid = Grid::Uniform(grid);
        let mut values = [0.6, 9.0, 0.5, 1.9, /* row */ 0.3, -9.0, 1.2, 2.9];
        grid.project(&mut values, 2).unwrap();
        assert_eq!(values, [1.0, 2.0, 0.0, 0.0, 0.5, -1.0, 2.0, 2.0]);
        assert_eq!(grid.count_off(&values, 2).unwrap(), 0);
        assert_eq!(grid.count_off(&[0.6, 1.0, 4.0, 4.0, 0.5, 0.5, 0.5, 2.0], 2).unwrap(), 2);
        assert!(grid.project(&mut values, 3).is_err());
        assert!(UniformGrid::new(&[0.0], -1, 1, Rounding::HalfEven).is_err());
        assert!(UniformGrid::new(&[1.0], 1, 1, Rounding::HalfEven).is_err());
    }

    proptest! {
        #[test]
        fn projecting_twice_is_projecting_once(values in prop::collection::vec(-3.0..3.0f32, 12), step in 1e-3..0.5f32, powers: bool) {
            let uniform = UniformGrid::new(&[step], -127, 127, Rounding::HalfAway).unwrap();
            let grid = if powers { Grid::powers_of_two(3.0, 5).unwrap() } else { Grid::Uniform(uniform) };
            let mut once = values.clone();
            grid.project(&mut once, 3).unwrap();
            prop_assert_eq!(grid.count_off(&once, 3).unwrap(), 0);
            let mut twice = once.clone();
            grid.project(&mut twice, 3).unwrap();
            prop_assert_eq!(once, twice);
        }
    }
}
