//! The least squared error of fake-quantising the centres of the bins.

use super::fake_quant::{Quantizer, check_sign};
use super::{Histogram, IntegerFormat, RangeLimit, Search};
use crate::compat::{Error, numeric};

/// `_compute_amax_mse`: the centre of the bin that, taken as `amax`, gives the least mean of `(fake(c) - c)^2 * count` over the bins.
///
/// All in f32, summed as torch does, in the narrow range; the first of equal losses wins. Candidates are the centres from
/// `start_bin` to the last bin. quirk `centre-not-edge`: where entropy returns an edge, and the maximum is one, this returns a centre,
/// which is never the maximum.
///
/// # Errors
/// [`Error::EdgeCount`] if edges and counts do not fit, [`Error::NegativeInput`] and [`Error::NegativeAmax`] for negative centres,
/// [`Error::NoCandidate`], [`Error::Search`].
pub fn mse(histogram: &Histogram, format: IntegerFormat, search: Search) -> Result<f32, Error> {
    let Histogram { counts, edges } = histogram;
    if edges.len() != counts.len() + 1 {
        return Err(Error::EdgeCount { edges: edges.len(), counts: counts.len() });
    }
    let counts: Vec<f32> = counts.iter().map(|&count| count as f32).collect();
    let centres: Vec<f32> = edges.windows(2).map(|pair| (pair[1] as f32 + pair[0] as f32) / 2.0).collect();
    let candidates: Vec<usize> = search.candidates(centres.len())?.collect();
    check_sign(&centres, format)?;
    let mut terms = vec![0.0; centres.len()];
    let mut losses = Vec::with_capacity(candidates.len());
    for &candidate in &candidates {
        let quantizer = Quantizer::new(centres[candidate], format, RangeLimit::Narrow)?;
        losses.push(f64::from(loss(&quantizer, &centres, &counts, &mut terms)));
    }
    let best = numeric::argmin(losses).unwrap_or(0);
    Ok(centres[candidates[best]])
}

fn loss(quantizer: &Quantizer, centres: &[f32], counts: &[f32], terms: &mut [f32]) -> f32 {
    for ((term, &centre), &count) in terms.iter_mut().zip(centres).zip(counts) {
        let error = quantizer.fake(centre) - centre;
        *term = error * error * count;
    }
    numeric::torch::mean(terms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_must_fit_and_candidates_exist() {
        let edges: Vec<f64> = (0..10).map(f64::from).collect();
        let histogram = |counts: usize| Histogram::new(vec![1; counts], edges.clone()).unwrap();
        let search = Search { start_bin: 4, stride: 1 };
        assert!(mse(&histogram(9), IntegerFormat::INT8, search).is_ok());
        assert!(matches!(mse(&histogram(8), IntegerFormat::INT8, search), Err(Error::EdgeCount { .. })));
        for (start_bin, stride) in [(9, 1), (0, 1), (4, 0)] {
            assert!(mse(&histogram(9), IntegerFormat::INT8, Search { start_bin, stride }).is_err());
        }
    }
}
