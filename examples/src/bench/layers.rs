//! The table of layers: what each step of a network costs.

use super::products;
use super::products::kind;
use quant_core::Executor;
use serde::Serialize;
use std::fmt::Write;

/// A row of the table: a step of the network, or what is no step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerRow {
    /// Name of the step; `image and outputs` for what is none.
    pub name: String,
    /// What it does: `conv i8 3x3/2`, `concat`; `copy` for what is no step.
    pub kind: String,
    /// Channels, height and width of the output; none for what is no step.
    pub shape: Option<[usize; 3]>,
    /// Multiplications of one image.
    pub mac: u64,
    /// Wall time in milliseconds.
    pub ms: f64,
    /// Part of the time of all rows.
    pub share: f64,
    /// Multiplications per second, in 10^9; none where there are none.
    pub gmac_per_s: Option<f64>,
}

/// A row for every step of `executor`'s program, which takes `ms(index)` milliseconds, and a last one for the `remainder`.
#[must_use]
pub fn layer_rows(executor: &Executor<'_>, ms: impl Fn(usize) -> f64, remainder: f64) -> Vec<LayerRow> {
    let steps = executor.program().steps();
    let total = (0..steps.len()).map(&ms).sum::<f64>() + remainder;
    let row = |name: &str, kind: String, shape, mac: u64, ms: f64| LayerRow {
        name: name.to_owned(),
        kind,
        shape,
        mac,
        ms,
        share: ms / total,
        gmac_per_s: (mac > 0 && ms > 0.0).then(|| mac as f64 / ms / 1e6),
    };
    let step = |(index, step): (usize, &quant_core::Step)| {
        let shape = executor.shapes()[step.output];
        let mac = products(step, shape).map_or(0, |(_, count)| count);
        row(&step.name, kind(&step.op), Some(shape), mac, ms(index))
    };
    let rest = row("image and outputs", "copy".to_owned(), None, 0, remainder);
    steps.iter().enumerate().map(step).chain([rest]).collect()
}

/// The rows as text, with a line of sums.
#[must_use]
pub fn layer_table(rows: &[LayerRow]) -> String {
    let mut text = format!(
        "{:<28} {:<14} {:>12} {:>9} {:>8} {:>7} {:>8}",
        "layer", "kind", "output", "MMAC", "ms", "share", "GMAC/s"
    );
    let mut line = |name: &str, kind: &str, shape: &str, mac: u64, ms: f64, share: f64, rate: Option<f64>| {
        let (mmac, share) = (mac as f64 / 1e6, share * 100.0);
        let rate = rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"));
        let _ = write!(
            text,
            "\n{name:<28} {kind:<14} {shape:>12} {mmac:>9.2} {ms:>8.3} {share:>5.1} % {rate:>8}"
        );
    };
    for row in rows {
        let shape = row.shape.map_or_else(String::new, |[c, h, w]| format!("{c}x{h}x{w}"));
        line(&row.name, &row.kind, &shape, row.mac, row.ms, row.share, row.gmac_per_s);
    }
    let (mac, ms) = (rows.iter().map(|row| row.mac).sum::<u64>(), rows.iter().map(|row| row.ms).sum::<f64>());
    line("all", "", "", mac, ms, 1.0, Some(mac as f64 / ms / 1e6));
    text
}
