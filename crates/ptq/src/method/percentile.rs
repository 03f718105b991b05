//! Clipping by counting values.

use super::magnitudes;
use crate::{Range, Statistics};

/// Upper edge of the first bin at which the count from the start reaches `count`, at most `limit`.
fn edge_reaching(bins: impl Iterator<Item = u64>, count: f64, width: f64, limit: f32) -> f32 {
    let mut total = 0u64;
    for (k, bin) in bins.enumerate() {
        total += bin;
        if total as f64 >= count {
            return (((k + 1) as f64 * width) as f32).min(limit);
        }
    }
    limit
}

/// The bound that keeps `percent` of all magnitudes, rounded up to a bin's edge.
pub(super) fn percentile(statistics: &Statistics, percent: f64) -> f32 {
    let bins = magnitudes(statistics.histogram());
    let count = statistics.count() as f64 * percent / 100.0;
    edge_reaching(bins.into_iter(), count, statistics.histogram().width(), statistics.absolute_maximum())
}

/// Each end is moved inwards over half of the values to be cut, over all of them where the other sign does not occur; no end crosses
/// zero.
pub(super) fn percentile_range(statistics: &Statistics, (low, high): (f32, f32), percent: f64) -> Range {
    let histogram = statistics.histogram();
    let (positive, negative) = (histogram.positive(), histogram.negative());
    let ends = if low >= 0.0 || high <= 0.0 { 1.0 } else { 2.0 };
    let cut = statistics.count() as f64 * (100.0 - percent) / 100.0 / ends;
    let end = |side: &[u64], limit: f32| {
        let inside = side.iter().sum::<u64>() as f64 - cut;
        if inside <= 0.0 {
            0.0
        } else {
            edge_reaching(side.iter().copied(), inside, histogram.width(), limit)
        }
    };
    Range { low: -end(negative, (-low).max(0.0)), high: end(positive, high.max(0.0)) }
}
