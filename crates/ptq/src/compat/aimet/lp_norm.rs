//! AIMET's search for the step and offset with the least squared error.

use super::super::numeric_ppq_aimet::{largest, least, sum};
use super::{Encoding, Grid, HistogramObserver};
use crate::Error;
use quant_core::Scheme;

/// What `SqnrEncodingAnalyzer` tries and how it weighs errors; the default is the original's, also for `TfEnhancedEncodingAnalyzer`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SqnrSearch {
    /// Symmetric steps: `j / (n - 1)` of the whole range's, `j = 1, ..., n`; at least 2.
    pub symmetric_deltas: u32,
    /// Asymmetric steps, likewise.
    pub asymmetric_deltas: u32,
    /// Offsets of asymmetric ranges, the observed one and one that is left out counted; at least 3.
    pub offsets: u32,
    /// Weight of errors by clipping.
    pub gamma: f32,
}

impl Default for SqnrSearch {
    fn default() -> Self {
        Self { symmetric_deltas: 101, asymmetric_deltas: 17, offsets: 21, gamma: 3.0 }
    }
}

/// `SqnrEncodingAnalyzer`, or `TfEnhancedEncodingAnalyzer` with [`HistogramObserver::tf_enhanced`]: the step and offset with the least
///
/// ```text
/// E = sum over bins of  count (|dequantised - middle|)^2  (times gamma if clipped)
/// ```
///
/// The first least of all candidates wins. Symmetric: steps `2 max(|low|, |high|) / steps * j / 100`, `j = 1, ..., 101`, and offset
/// `floor(-steps / 2)`. Asymmetric: 17 steps up to `17 / 16` of the whole range's, each with offsets from `-steps` to 0 in equal distances
/// and the observed one; each range is limited to the observed one and its step and offset computed anew, so many candidates are
/// the same or nearly (quirk `aimet-near-ties`). Errors are summed in f32, and so is the comparison of candidates.
///
/// Huge values overflow: then all errors are infinite and the first candidate, the narrowest, wins (quirk `aimet-overflow`).
///
/// # Errors
/// [`Error::NoValues`] if the histogram is empty; [`Error::SqnrSearch`] if there are too few candidates or more than 65536.
pub fn sqnr(histogram: &HistogramObserver, search: SqnrSearch, grid: Grid) -> Result<Encoding, Error> {
    let deltas = search.symmetric_deltas.min(search.asymmetric_deltas);
    let most = search.symmetric_deltas.max(search.asymmetric_deltas).max(search.offsets);
    if deltas < 2 || search.offsets < 3 || most > 1 << 16 {
        return Err(Error::SqnrSearch { deltas, offsets: search.offsets });
    }
    if histogram.counts().is_empty() {
        return Err(Error::NoValues);
    }
    let bins = Bins::new(histogram);
    let mut candidates = candidates(histogram.range(), search, grid).into_iter();
    let mut best = candidates.next().ok_or(Error::NoValues)?;
    let mut least_error = bins.error(best, search.gamma, grid);
    for candidate in candidates {
        let error = bins.error(candidate, search.gamma, grid);
        // As the original: the first NaN beats everything.
        if error < least_error || (error.is_nan() && !least_error.is_nan()) {
            (best, least_error) = (candidate, error);
        }
    }
    let min = best.offset * best.delta;
    Ok(Encoding { min, max: min + grid.steps() * best.delta })
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    delta: f32,
    offset: f32,
}

fn candidates((low, high): (f32, f32), search: SqnrSearch, grid: Grid) -> Vec<Candidate> {
    let low = least(low, 0.0);
    let high = largest(largest(high, 0.0), low + (grid.minimum_delta() * f64::from(grid.steps)) as f32);
    match grid.scheme {
        Scheme::Symmetric => symmetric(low, high, search.symmetric_deltas, grid),
        Scheme::Affine => asymmetric(low, high, search, grid),
    }
}

/// `j / (n - 1)` of the whole range's step, `j = 1, ..., n`.
fn fractions(whole: f32, count: u32) -> impl Iterator<Item = f32> {
    (1..=count).map(move |j| whole * j as f32 / (count - 1) as f32)
}

fn symmetric(low: f32, high: f32, deltas: u32, grid: Grid) -> Vec<Candidate> {
    let whole = 2.0 * largest(high, -low) / grid.steps();
    let minimum = grid.minimum_delta() as f32;
    let offset = -grid.lower_steps();
    fractions(whole, deltas).map(|delta| Candidate { delta: largest(delta, minimum), offset }).collect()
}

fn asymmetric(low: f32, high: f32, search: SqnrSearch, grid: Grid) -> Vec<Candidate> {
    let whole = (high - low) / grid.steps();
    let observed = (low / whole).round_ties_even();
    let range = (whole * observed, whole * observed + whole * grid.steps());
    let mut offsets = offsets(search.offsets, grid);
    offsets.push(observed);
    let limited = |delta, offset| limited(Candidate { delta, offset }, range, grid);
    fractions(whole, search.asymmetric_deltas)
        .flat_map(|delta| offsets.iter().map(move |&offset| limited(delta, offset)))
        .collect()
}

/// Offsets from `-steps` on in equal distances, up to 0.
fn offsets(count: u32, grid: Grid) -> Vec<f32> {
    let steps = f64::from(grid.steps);
    let count = count.min(grid.steps + 2);
    let distance = steps / f64::from(count - 2);
    // The original counts from -steps up to, not including, one distance above zero; rounding decides whether that is reached.
    let length = ((distance + steps) / distance).ceil() as u32;
    (0..length).map(|i| ((-steps + distance * f64::from(i)) as f32).round_ties_even()).collect()
}

/// The candidate cut to the observed range.
fn limited(candidate: Candidate, (low, high): (f32, f32), grid: Grid) -> Candidate {
    let min = candidate.delta * candidate.offset;
    let max = least(high, min + candidate.delta * grid.steps());
    let min = largest(low, min);
    let delta = largest((max - min) / grid.steps(), grid.minimum_delta() as f32);
    Candidate { delta, offset: (min / delta).round_ties_even() }
}

/// Middles and counts of the bins.
struct Bins<'a> {
    middles: Vec<f32>,
    counts: &'a [f32],
}

impl<'a> Bins<'a> {
    fn new(histogram: &'a HistogramObserver) -> Self {
        let (counts, edges) = (histogram.counts(), histogram.edges());
        let width = edges[1] - edges[0];
        let first = edges[0] + width / 2.0;
        Self { middles: (0..counts.len()).map(|i| first + width * i as f32).collect(), counts }
    }

    fn error(&self, Candidate { delta, offset }: Candidate, gamma: f32, grid: Grid) -> f32 {
        let steps = grid.steps();
        let errors: Vec<f32> = self
            .middles
            .iter()
            .zip(self.counts)
            .map(|(&middle, &count)| {
                let q = (middle / delta - offset).round_ties_even();
                let difference = (q.clamp(0.0, steps) + offset) * delta - middle;
                let error = difference * difference * count;
                if q < 0.0 || q > steps { error * gamma } else { error }
            })
            .collect();
        sum(&errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(values: &[f32]) -> HistogramObserver {
        let mut histogram = HistogramObserver::new(256, None).unwrap();
        histogram.observe(values).unwrap();
        histogram
    }

    fn grid(scheme: Scheme, steps: u32) -> Grid {
        Grid::new(scheme, steps).unwrap()
    }

    #[test]
    fn offsets_go_from_all_below_to_all_above() {
        assert_eq!(offsets(21, grid(Scheme::Affine, 15)), (-15..=0).map(|i| i as f32).collect::<Vec<_>>());
        let eight = offsets(21, grid(Scheme::Affine, 255));
        assert_eq!((eight.len(), eight[0], eight[1], eight[19]), (20, -255.0, -242.0, 0.0));
    }

    #[test]
    fn the_range_found_beats_the_whole_range() {
        let values: Vec<f32> =
            (0..5000).map(|i| (i as f32 * 0.37).sin().powi(9) * 4.0 + (i as f32).sin() * 0.5).collect();
        let histogram = observed(&values);
        let bins = Bins::new(&histogram);
        for scheme in [Scheme::Symmetric, Scheme::Affine] {
            let grid = grid(scheme, 15);
            let found = sqnr(&histogram, SqnrSearch::default(), grid).unwrap();
            let delta = found.delta(grid);
            let error = |delta: f32, offset: f32| bins.error(Candidate { delta, offset }, 1.0, grid);
            let whole = super::super::min_max(&[&values], grid).unwrap();
            let (found, whole) = (
                error(delta, (found.min / delta).round()),
                error(whole.delta(grid), (whole.min / whole.delta(grid)).round()),
            );
            assert!(found < whole, "{scheme:?}: {found} for {whole}");
        }
    }

    #[test]
    fn unusable_searches_are_refused() {
        let grid = grid(Scheme::Affine, 15);
        for search in [
            SqnrSearch { symmetric_deltas: 1, ..SqnrSearch::default() },
            SqnrSearch { offsets: 2, ..SqnrSearch::default() },
            SqnrSearch { asymmetric_deltas: u32::MAX, ..SqnrSearch::default() },
        ] {
            assert!(
                matches!(sqnr(&observed(&[1.0]), search, grid), Err(Error::SqnrSearch { .. })),
                "{search:?}"
            );
        }
        let empty = HistogramObserver::tf_enhanced();
        assert!(matches!(sqnr(&empty, SqnrSearch::default(), grid), Err(Error::NoValues)));
    }
}
