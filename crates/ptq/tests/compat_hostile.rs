//! Calibrators of other tools on any values whatever: a result or an error, never a panic.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use ptq::compat::{aimet, ppq};
use ptq::{AdaRound, LinearReconstruction, LsqInside, LsqQuantizer, SoftRounding};
use quant_core::Scheme;

/// Batches of any floats, many of them special or large.
fn batches() -> impl Strategy<Value = Vec<Vec<f32>>> {
    let special =
        prop::sample::select(vec![0.0, -0.0, f32::NAN, f32::INFINITY, f32::MIN, f32::MAX, 1e-45, 1.0]);
    let value = prop_oneof![prop::num::f32::ANY, -1f32..1.0, special];
    prop::collection::vec(prop::collection::vec(value, 0..20), 0..4)
}

fn scheme(symmetric: bool) -> Scheme {
    if symmetric { Scheme::Symmetric } else { Scheme::Affine }
}

proptest! {
    #[test]
    fn ppq_takes_anything(batches in batches(), symmetric: bool, low in -300i32..10, width in 1i32..300, bits in 0u32..20) {
        let slices: Vec<&[f32]> = batches.iter().map(Vec::as_slice).collect();
        let grid = ppq::Grid::new(scheme(symmetric), low, low + width).unwrap();
        let _ = ppq::min_max(&slices, grid);
        let _ = ppq::percentile(&slices, ppq::PERCENTILE, grid);
        if let Ok(histogram) = ppq::Histogram::new(&slices, scheme(symmetric), 512) {
            let _ = ppq::kl(&histogram, bits);
            let _ = ppq::mse(&histogram, grid);
        }
        for batch in &slices {
            let _ = ppq::isotone(batch, 2, grid);
            let _ = ppq::min_max_per_channel(batch, &[2, batch.len() / 2], 1, grid);
            let _ = ppq::min_max_per_channel(batch, &[usize::MAX, 2], 0, grid);
        }
    }

    #[test]
    fn aimet_takes_anything(batches in batches(), symmetric: bool, steps in 2u32..300, tf_enhanced: bool) {
        let slices: Vec<&[f32]> = batches.iter().map(Vec::as_slice).collect();
        let grid = aimet::Grid::new(scheme(symmetric), steps).unwrap();
        let _ = aimet::min_max(&slices, grid);
        let mut histogram = aimet::HistogramObserver::new(64, None).unwrap();
        if tf_enhanced {
            histogram = aimet::HistogramObserver::tf_enhanced();
        }
        for batch in &slices {
            let _ = histogram.observe(batch);
        }
        let _ = aimet::percentile(&histogram, 99.9, grid);
        let _ = aimet::sqnr(&histogram, aimet::SqnrSearch::default(), grid);
    }

    #[test]
    fn learning_takes_anything(batches in batches(), step in prop::num::f32::ANY, scale in prop::num::f32::ANY) {
        let quantizer = LsqQuantizer::new(-8, 7, LsqInside::Rounded).unwrap();
        for values in &batches {
            let _ = quantizer.initial_step(values);
            let _ = quantizer.forward(values, step);
            let _ = quantizer.backward(values, values, step);
            if let (Ok(rounding), Ok(mut outputs)) =
                (SoftRounding::new(values, &[scale], -8, 7), LinearReconstruction::new(values, 1))
            {
                let _ = outputs.add(values, &[1.0]);
                let learned = AdaRound { iterations: 5, ..AdaRound::default() }.linear(&rounding, &outputs);
                prop_assert!(learned.is_ok());
            }
        }
    }
}
