//! How far the work is, on stderr; hidden where stderr is not a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// A bar over `count` steps.
#[must_use]
pub fn bar(count: usize, label: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:<12} {bar:40} {pos}/{len} {elapsed} (eta {eta})");
    let bar = ProgressBar::new(count as u64).with_message(label.to_owned());
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

/// Runs `work` beside a sign of life, for steps that can't be counted.
pub fn spin<T>(label: &str, work: impl FnOnce() -> T) -> T {
    let spinner = ProgressBar::new_spinner().with_message(label.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(100));
    let result = work();
    spinner.finish_and_clear();
    result
}
