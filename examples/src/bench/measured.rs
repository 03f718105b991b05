//! What the runs of a configuration come to.

use super::{LayerRow, Peaks, Products, Turn, layer_rows};
use std::time::Duration;
use yolo_model::ImageSize;

/// Figures of one configuration.
pub struct Measured {
    /// Name of the precision.
    pub precision: &'static str,
    /// Threads.
    pub threads: usize,
    /// Size of the network's input.
    pub size: ImageSize,
    /// Median wall time of a run, milliseconds.
    pub ms: f64,
    /// Mean CPU time of the process in a run, milliseconds, where the system tells.
    pub cpu_ms: Option<f64>,
    /// Products of a run, in 10^9.
    pub gmac: f64,
    /// What one thread can do at most of the same products, 10^9 per second.
    pub peak_gmac_per_s: f64,
    /// Bytes of feature maps.
    pub buffer_bytes: usize,
    /// Rows of the table of layers, if steps were timed.
    pub layers: Option<Vec<LayerRow>>,
}

impl Measured {
    /// The figures of runs, of which there has to be one at least.
    #[must_use]
    pub fn new(turn: &Turn<'_>, peaks: &Peaks) -> Self {
        let Turn { network, threads, size, executor, wall, cpu, steps, .. } = turn;
        let products = Products::of(executor);
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let layers = (!steps.is_empty()).then(|| {
            let step = |index: usize| median(steps.iter().map(|times| milliseconds(times.steps[index])));
            let remainder = median(steps.iter().map(|times| milliseconds(times.remainder)));
            layer_rows(executor, step, remainder)
        });
        Self {
            precision: network.precision,
            threads: *threads,
            size: *size,
            ms: median(wall.iter().map(|seconds| seconds * 1e3)),
            cpu_ms: cpu.map(|seconds| seconds * 1e3 / wall.len() as f64),
            gmac: products.giga(),
            peak_gmac_per_s: products.giga_per_second_at(|operands| peaks.giga_per_second(operands)),
            buffer_bytes: executor.buffer_bytes(),
            layers,
        }
    }

    /// Products per second, in 10^9.
    #[must_use]
    pub fn gmac_per_s(&self) -> f64 {
        self.gmac / self.ms * 1e3
    }

    /// Share of what all threads can do at most.
    #[must_use]
    pub fn peak_share(&self) -> f64 {
        self.gmac_per_s() / (self.peak_gmac_per_s * self.threads as f64)
    }

    /// Milliseconds per million pixels of the network's input.
    #[must_use]
    pub fn ms_per_megapixel(&self) -> f64 {
        self.ms / (self.size.height * self.size.width) as f64 * 1e6
    }
}

/// The value in the middle, of two the higher; 0 of none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians_are_values_in_the_middle() {
        for (values, expected) in [(&[3.0, 1.0, 2.0][..], 2.0), (&[4.0, 1.0], 4.0), (&[7.0], 7.0), (&[], 0.0)]
        {
            assert_eq!(median(values.iter().copied()).to_bits(), f64::to_bits(expected), "{values:?}");
        }
    }
}
