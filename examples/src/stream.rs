//! Numbers for drawings.

use nn_graph::formula_uniform;

/// A stream of numbers in `[0, 1)` that depends on its name alone.
pub(crate) struct Stream<'a> {
    name: &'a str,
    index: u64,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(name: &'a str) -> Self {
        Self { name, index: 0 }
    }

    pub(crate) fn next(&mut self) -> f64 {
        self.index += 1;
        formula_uniform(self.name, self.index)
    }

    pub(crate) fn within(&mut self, low: f64, high: f64) -> f64 {
        low + self.next() * (high - low)
    }

    /// Red, green and blue, each at least `margin` from 0 and from 255.
    pub(crate) fn colour(&mut self, margin: f64) -> [f64; 3] {
        [0; 3].map(|_| self.within(margin, 255.0 - margin))
    }

    /// Of mean 0 and standard deviation 1, nearly: the sum of a few even ones.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..6).map(|_| self.next()).sum::<f64>() * 2f64.sqrt() - 3.0 * 2f64.sqrt()
    }
}
