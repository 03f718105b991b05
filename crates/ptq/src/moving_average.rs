//! Averages of the extremes of batches.

use crate::{Error, Range};

/// An exponential average of the extremes of batches, as calibrators and quantisation-aware training of TensorFlow, PyTorch and ONNX
/// Runtime keep it.
///
/// The first batch is taken as it is; after it `end = decay * end + (1 - decay) * extreme`, in f64, for each end. PyTorch's averaging
/// constant of 0.01 is a decay of 0.99. **The result depends on the order of the batches and on their sizes**: the last ones count most, and
/// averages of two halves can't be merged. So it is no [`Method`](crate::Method), and nothing else here uses it; it is for repeating
/// what was trained or measured that way.
///
/// ```
/// let mut average = ptq::MovingAverage::new(0.5)?;
/// average.observe(-1.0, 2.0)?;
/// average.observe(0.0, 4.0)?;
/// assert_eq!(average.range(), Some(ptq::Range { low: -0.5, high: 3.0 }));
/// # Ok::<(), ptq::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MovingAverage {
    decay: f64,
    ends: Option<(f64, f64)>,
}

impl MovingAverage {
    /// An average in which a batch loses the part `1 - decay` of its weight with each that follows; `decay` in `[0, 1)`.
    ///
    /// # Errors
    /// [`Error::Decay`] for another number.
    pub fn new(decay: f64) -> Result<Self, Error> {
        if (0.0..1.0).contains(&decay) { Ok(Self { decay, ends: None }) } else { Err(Error::Decay { decay }) }
    }

    /// The part of an end that stays when a batch comes.
    #[must_use]
    pub fn decay(&self) -> f64 {
        self.decay
    }

    /// Adds a batch by its extremes.
    ///
    /// # Errors
    /// [`quant_core::Error::Range`] unless both are finite and `low <= high`; the average stays as it was.
    pub fn observe(&mut self, low: f32, high: f32) -> Result<(), Error> {
        if !(low.is_finite() && high.is_finite() && low <= high) {
            return Err(quant_core::Error::Range { low, high }.into());
        }
        let (low, high) = (f64::from(low), f64::from(high));
        let blend = |end: f64, extreme: f64| self.decay * end + (1.0 - self.decay) * extreme;
        self.ends = Some(self.ends.map_or((low, high), |(l, h)| (blend(l, low), blend(h, high))));
        Ok(())
    }

    /// The average; `None` before the first batch.
    #[must_use]
    pub fn range(&self) -> Option<Range> {
        self.ends.map(|(low, high)| Range { low: low as f32, high: high as f32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recurrence_is_the_sum_of_decayed_batches() {
        let batches = [(-1.0f32, 2.0f32), (-4.0, 1.0), (0.0, 0.0), (-2.5, 30.0), (1.0, 3.0)];
        for decay in [0.0, 0.5, 0.9, 0.99] {
            let mut average = MovingAverage::new(decay).unwrap();
            for (low, high) in batches {
                average.observe(low, high).unwrap();
            }
            // The closed form: the first batch has the weight of all that came before it.
            let last = batches.len() - 1;
            let weight = |i: usize| {
                let share = if i == 0 { 1.0 } else { 1.0 - decay };
                share * decay.powi((last - i) as i32)
            };
            let sum = |end: fn(&(f32, f32)) -> f32| {
                batches.iter().enumerate().map(|(i, batch)| weight(i) * f64::from(end(batch))).sum::<f64>()
            };
            let Range { low, high } = average.range().unwrap();
            assert!((f64::from(low) - sum(|b| b.0)).abs() < 1e-6, "{decay}: {low}");
            assert!((f64::from(high) - sum(|b| b.1)).abs() < 1e-5, "{decay}: {high}");
        }
    }

    #[test]
    fn order_matters() {
        let run = |batches: [(f32, f32); 2]| {
            let mut average = MovingAverage::new(0.9).unwrap();
            batches.iter().for_each(|&(low, high)| average.observe(low, high).unwrap());
            average.range().unwrap().high
        };
        assert_eq!((run([(0.0, 1.0), (0.0, 2.0)]), run([(0.0, 2.0), (0.0, 1.0)])), (1.1, 1.9));
    }

    #[test]
    fn unusable_numbers_are_refused_and_leave_the_average_alone() {
        for decay in [-0.1, 1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(MovingAverage::new(decay), Err(Error::Decay { .. })), "{decay}");
        }
        let mut average = MovingAverage::new(0.5).unwrap();
        assert_eq!(average.range(), None);
        average.observe(-1.0, 1.0).unwrap();
        for (low, high) in [(f32::NAN, 1.0), (0.0, f32::INFINITY), (2.0, 1.0)] {
            assert!(average.observe(low, high).is_err(), "{low} {high}");
        }
        assert_eq!(average.range(), Some(Range { low: -1.0, high: 1.0 }));
    }

    proptest::proptest! {
        #[test]
        fn averages_stay_within_the_extremes(
            decay in 0.0..1.0, batches in proptest::collection::vec((-1e30f32..1e30, 0f32..1e30), 1..20)
        ) {
            let mut average = MovingAverage::new(decay).unwrap();
            let mut all = (f32::INFINITY, f32::NEG_INFINITY);
            for (low, width) in batches {
                average.observe(low, low + width).unwrap();
                all = (all.0.min(low), all.1.max(low + width));
            }
            let Range { low, high } = average.range().unwrap();
            proptest::prop_assert!(low <= high && low >= all.0 && high <= all.1, "{low}..{high} of {all:?}");
        }
    }
}
