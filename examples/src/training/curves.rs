//! Losses and precision over the epochs of a training, as a drawing.

use super::log::Epoch;
use crate::drawing::{DrawingFile, render};
use crate::error::Result;
use crate::output::write_atomic;
use crate::plot::{Line, LinePlot};
use std::path::Path;

/// What the parts of the loss are called.
const LOSSES: [&str; 3] = ["boxes", "objectness", "classes"];

/// The lines: parts of the loss as shares of what they were in the first epoch, at most 1, and AP and AP50 where they were evaluated.
fn plot(epochs: &[Epoch]) -> LinePlot {
    let at = |epoch: &Epoch, y: f64| (epoch.epoch as f64, y.clamp(0.0, 1.0));
    let loss = |part: usize| {
        let first = epochs.first().map_or(1.0, |epoch| epoch.losses[part]).max(f64::MIN_POSITIVE);
        let points = epochs.iter().map(|epoch| at(epoch, epoch.losses[part] / first)).collect();
        Line { label: LOSSES[part].to_owned(), points }
    };
    let precision = |(figure, label): (usize, &str)| {
        let points = epochs.iter().filter_map(|epoch| Some(at(epoch, epoch.ap?[figure]))).collect();
        Line { label: label.to_owned(), points }
    };
    let lines = (0..3).map(loss).chain([(0, "AP"), (1, "AP50")].map(precision)).collect();
    let end = epochs.last().map_or(1.0, |epoch| epoch.epoch as f64).max(2.0);
    let title = "Losses, of those of the first epoch, and precision".to_owned();
    LinePlot { title, axes: ["epoch", "share; precision"], end, lines }
}

/// Writes the drawing, SVG.
///
/// # Errors
/// Names the file.
pub(super) fn write(path: &Path, epochs: &[Epoch]) -> Result<()> {
    write_atomic(path, &render(&plot(epochs), DrawingFile::Svg)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_fall_from_one_and_what_was_not_evaluated_is_left_out() {
        let epoch = |epoch: u64, loss: f64, ap: Option<[f64; 2]>| Epoch {
            epoch,
            steps: epoch,
            losses: [loss, 2.0 * loss, 0.0],
            rate: 0.1,
            ap,
            seconds: 1.0,
        };
        let plot = plot(&[epoch(1, 4.0, None), epoch(2, 1.0, Some([0.2, 0.5])), epoch(3, 8.0, None)]);
        assert_eq!(plot.lines[0].points, [(1.0, 1.0), (2.0, 0.25), (3.0, 1.0)]);
        assert_eq!(plot.lines[1].points, plot.lines[0].points);
        assert_eq!(
            (plot.lines[3].points[..].to_vec(), plot.lines[4].points[0]),
            (vec![(2.0, 0.2)], (2.0, 0.5))
        );
        assert_eq!(plot.end, 3.0);
    }
}
