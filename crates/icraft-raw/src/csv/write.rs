//! Cells and lines in the compiler's form.

use crate::decimal::Decimal;
use std::fmt::Display;

/// A line whose cells stand in given columns.
#[derive(Debug)]
pub(super) struct Line<'c> {
    columns: &'c [(&'static str, usize)],
}

impl<'c> Line<'c> {
    pub(super) fn new(columns: &'c [(&'static str, usize)]) -> Self {
        Self { columns }
    }

    /// The line with `cells` in the columns' order, and its line end.
    pub(super) fn with_cells<const N: usize>(&self, cells: [String; N]) -> String {
        let width = self.columns.iter().map(|&(_, column)| column + 1).max().unwrap_or(0);
        let mut line = vec![String::new(); width];
        for (&(_, column), cell) in self.columns.iter().zip(cells) {
            line[column] = cell;
        }
        line.join(",") + "\n"
    }
}

pub(super) fn size(dimensions: &[usize]) -> String {
    joined(dimensions, "x")
}

pub(super) fn numbers(values: &[f32]) -> String {
    let values: Vec<Decimal> = values.iter().copied().map(Decimal).collect();
    joined(&values, " ")
}

pub(super) fn integers(values: &[i32]) -> String {
    joined(values, " ")
}

fn joined<T: Display>(values: &[T], separator: &str) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(separator)
}
