//! Figures of other evaluators on the same two sets, taken elsewhere.

use serde::Serialize;

/// What a program needs for the whole job on one thread.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Published {
    pub(crate) program: &'static str,
    /// User and system time of the whole process, the interpreter's start included.
    pub(crate) cpu_seconds_d100: f64,
    pub(crate) cpu_seconds_d300: f64,
    pub(crate) peak_mebibytes_d300: f64,
}

/// The machine they were measured on.
pub(crate) const PUBLISHED_MACHINE: &str = "2 vCPU of an AMD EPYC (Zen 4), shared with other work";

/// Medians of nine runs on d100 and six on d300; three and two of the first two programs. A fresh process each.
pub(crate) const PUBLISHED: [Published; 5] = [
    row("pycocotools 2.0.11", 43.9, 93.2, 3689.0),
    row("faster-coco-eval 1.8.0", 8.9, 21.5, 2667.0),
    row("hotcoco-cli 1.3.1", 0.79, 1.94, 465.0),
    row("ultrafast-pycocotools 0.1.14", 0.65, 1.49, 342.0),
    row("vernier-cli 0.6.0", 0.45, 1.13, 319.0),
];

/// CPU time of one bootstrap sample of two models on d100 by hotcoco 1.3.1, on the same machine.
pub(crate) const HOTCOCO_SECONDS_PER_SAMPLE: f64 = 0.18;

const fn row(program: &'static str, d100: f64, d300: f64, mebibytes: f64) -> Published {
    Published { program, cpu_seconds_d100: d100, cpu_seconds_d300: d300, peak_mebibytes_d300: mebibytes }
}
