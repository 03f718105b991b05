//! What `compare` prints for people.

use crate::comparison::{CategoryRow, ImageRow, Report, percent};
use crate::figures::decimals;
use coco_eval::{FigureDifference, Interval};
use std::fmt::Write;

/// Categories shown where not all are asked for.
const CATEGORIES: usize = 10;

impl Report {
    /// Tables of figures, categories and images, and the verdict. All categories, or those that add to a loss, ten at most.
    #[must_use]
    pub fn text(&self, all_categories: bool) -> String {
        let mut text = String::new();
        self.write_figures(&mut text);
        let Self { images, samples, seed, .. } = self;
        _ = writeln!(text, "{images} images, {samples} samples of as many, seed {seed}");
        _ = writeln!(text, "{}", self.sentence);
        self.write_categories(&mut text, all_categories);
        self.write_images(&mut text);
        text.truncate(text.trim_end().len());
        text
    }

    fn interval_header(&self) -> String {
        format!("{} % interval", percent(self.confidence))
    }

    fn write_figures(&self, text: &mut String) {
        _ = writeln!(
            text,
            "{:<8} {:>9} {:>9} {:>10} {:>9} {:>20} {:>9}",
            "figure",
            "baseline",
            "candidate",
            "difference",
            "relative",
            self.interval_header(),
            "worse in"
        );
        for row in &self.figures {
            let FigureDifference { name, baseline, candidate, .. } = row;
            let relative = row.difference.filter(|_| *baseline > 0.0).map(|difference| difference / baseline);
            _ = writeln!(
                text,
                "{name:<8} {:>9} {:>9} {:>10} {:>9} {:>20} {:>9}",
                decimals(*baseline),
                decimals(*candidate),
                signed(row.difference),
                relative.map_or_else(dash, |share| format!("{:+.1} %", share * 100.0)),
                ends(row.interval),
                row.share_worse.map_or_else(dash, |share| format!("{:.1} %", share * 100.0)),
            );
        }
    }

    fn write_categories(&self, text: &mut String, all: bool) {
        let count = self.categories.len();
        let costly = |row: &&CategoryRow| row.row.contribution.is_some_and(|adds| adds < 0.0);
        let shown = if all { count } else { self.categories.iter().filter(costly).take(CATEGORIES).count() };
        let hint = if shown == count { "" } else { "; --per-class shows all" };
        _ = writeln!(
            text,
            "\nwhat categories add to the difference in AP, worst first ({shown} of {count}{hint})"
        );
        if shown == 0 {
            return;
        }
        _ = writeln!(
            text,
            "{:<20} {:>8} {:>9} {:>9} {:>10} {:>20} {:>8} {:>8}",
            "category",
            "objects",
            "baseline",
            "candidate",
            "difference",
            self.interval_header(),
            "adds",
            "share"
        );
        for CategoryRow { name, share, row } in &self.categories[..shown] {
            _ = writeln!(
                text,
                "{name:<20} {:>8} {:>9} {:>9} {:>10} {:>20} {:>8} {:>8}",
                row.baseline.positives,
                decimals(row.baseline.ap),
                decimals(row.candidate.ap),
                signed(row.difference),
                ends(row.interval),
                signed(row.contribution),
                share.map_or_else(dash, |share| format!("{:.0} %", share * 100.0)),
            );
        }
    }

    fn write_images(&self, text: &mut String) {
        if self.worst_images.is_empty() {
            return;
        }
        _ = writeln!(
            text,
            "\nimages that cost most: the difference in AP, minus what it is without the image"
        );
        _ = writeln!(text, "{:>12} {:>10}  file", "image", "influence");
        for ImageRow { file_name, row } in &self.worst_images {
            let name = file_name.as_deref().unwrap_or_default();
            _ = writeln!(text, "{:>12} {:>+10.5}  {name}", row.image_id, row.influence);
        }
    }
}

fn dash() -> String {
    "-".to_owned()
}

fn signed(value: Option<f64>) -> String {
    value.map_or_else(dash, |value| format!("{value:+.4}"))
}

/// An interval as a table shows it.
#[must_use]
pub fn ends(interval: Option<Interval>) -> String {
    interval.map_or_else(dash, |interval| format!("[{:+.4}, {:+.4}]", interval.low, interval.high))
}
