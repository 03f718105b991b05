//! Whether a calibration's images were enough: as a table, and as a warning or an error.

use crate::output::note;
use ptq::coverage::{Coverage, CoverageVerdict, TensorCoverage};
use std::process::ExitCode;

/// Tensors in the table.
const ROWS: usize = 15;

/// The tensors whose ranges grow most, and the verdict.
#[must_use]
pub fn coverage_table(coverage: &Coverage) -> String {
    let rows = &coverage.tensors[..ROWS.min(coverage.tensors.len())];
    let widest = rows.iter().map(|row| row.tensor.len()).max().unwrap_or(0).max(6);
    let mut lines = vec![
        format!(
            "ranges that grow most with more images ({} of {}; --json has all)",
            rows.len(),
            coverage.tensors.len()
        ),
        format!(
            "{:<widest$} {:>10} {:>8} {:>10} {:>8} {:>7} {:>8} {:>9}  largest on",
            "tensor", "amax", "growth %", "one image%", "tail %", "zero %", "records", "exceeds %"
        ),
    ];
    lines.extend(rows.iter().map(|row| line(row, widest)));
    lines.push(format!(
        "growth: what doubling the images adds to the range; one image: what the largest adds to the others'; \
         tail: values beyond half the range; exceeds: a new image, by records ({:.2} % where order does not matter)",
        coverage.unseen * 100.0
    ));
    lines.push(coverage.sentence());
    lines.join("\n")
}

fn line(row: &TensorCoverage, widest: usize) -> String {
    format!(
        "{:<widest$} {:>10.4} {:>8.2} {:>10.2} {:>8.4} {:>7.2} {:>8} {:>9.2}  {}",
        row.tensor,
        row.amax,
        row.growth * 100.0,
        row.influence * 100.0,
        row.tail * 100.0,
        row.zeros * 100.0,
        row.records,
        row.exceeds * 100.0,
        row.image
    )
}

/// Tells on stderr if the images were not enough: as an error with exit code 1 if `strict`, else as a warning.
#[must_use]
pub fn judge(coverage: &Coverage, strict: bool) -> Option<ExitCode> {
    if coverage.verdict == CoverageVerdict::Enough {
        return None;
    }
    let kind = if strict { "error" } else { "warning" };
    note(format_args!("{kind}: calibration: {}", coverage.sentence()));
    strict.then(|| ExitCode::from(1))
}
