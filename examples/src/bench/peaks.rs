//! How fast a thread of this machine multiplies at most.

use quant_core::{Isa, Operands};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Measurements before anything else is timed; each further turn adds one.
const FIRST_MEASUREMENTS: usize = 5;
/// A measurement takes about as long as this: long for the clock, short for other work to come in between.
const MEASUREMENT: Duration = Duration::from_millis(1);

/// Peaks by what is multiplied, the best of all measurements: whatever disturbs one makes it lower, nothing makes it higher.
pub struct Peaks {
    isa: Isa,
    peaks: BTreeMap<Operands, Peak>,
}

struct Peak {
    repetitions: u32,
    giga_per_second: f64,
}

impl Peaks {
    /// Measures the peaks of the fastest instruction set.
    #[must_use]
    pub fn new(operands: impl Iterator<Item = Operands>) -> Self {
        let isa = Isa::detect();
        let peak = |operands| Peak { repetitions: enough_repetitions(isa, operands), giga_per_second: 0.0 };
        let peaks = operands.map(|operands| (operands, peak(operands))).collect();
        let mut this = Self { isa, peaks };
        (0..FIRST_MEASUREMENTS).for_each(|_| this.measure());
        this
    }

    /// Measures each once more.
    pub fn measure(&mut self) {
        for (&operands, peak) in &mut self.peaks {
            let (products, time) = measurement(self.isa, operands, peak.repetitions);
            peak.giga_per_second = peak.giga_per_second.max(products as f64 / 1e9 / time.as_secs_f64());
        }
    }

    /// Products per second of a thread, in 10^9; of operands that are not measured 0.
    #[must_use]
    pub fn giga_per_second(&self, operands: Operands) -> f64 {
        self.peaks.get(&operands).map_or(0.0, |peak| peak.giga_per_second)
    }
}

fn measurement(isa: Isa, operands: Operands, repetitions: u32) -> (u64, Duration) {
    let start = Instant::now();
    let products = isa.multiply(operands, repetitions);
    // No clock counts less than this.
    (products, start.elapsed().max(Duration::from_nanos(1)))
}

/// A power of two that takes long enough.
fn enough_repetitions(isa: Isa, operands: Operands) -> u32 {
    let mut repetitions = 1 << 10;
    while repetitions < 1 << 30 && measurement(isa, operands, repetitions).1 < MEASUREMENT {
        repetitions *= 2;
    }
    repetitions
}
