//! Extremes, kept or averaged.

use super::Bounds;
use crate::compat::{Error, numeric};
use numeric::numpy;

/// `MinMaxCalibrater` for one tensor.
#[derive(Debug, Clone, Default)]
pub struct MinMaxCalibrator {
    symmetric: bool,
    averaging: Option<f32>,
    range: Option<Bounds>,
}

impl MinMaxCalibrator {
    /// The calibrator with its defaults: extremes of everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `symmetric=True`: both ends are moved to the larger magnitude.
    #[must_use]
    pub fn symmetric(mut self) -> Self {
        self.symmetric = true;
        self
    }

    /// `moving_average=True`: the mean of the batches' extremes within one `collect`; over several, the old range is moved by
    /// `constant` (0.01 is the reference's default) of the way to the new one.
    ///
    /// # Errors
    /// [`Error::Averaging`] outside `[0, 1]`.
    pub fn averaging(mut self, constant: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&constant) {
            return Err(Error::Averaging { constant });
        }
        self.averaging = Some(constant as f32);
        Ok(self)
    }

    /// One run over the data, as the batches of the reader.
    ///
    /// quirk `nan-lanes`: the `ReduceMin` and `ReduceMax` that the reference adds to the model lose some values after a NaN, which ones
    /// depends on the vector unit and the batch; a NaN is an error here.
    ///
    /// # Errors
    /// [`Error::EmptyBatch`], [`Error::NoData`] without batches, [`Error::Nan`]; the calibrator is then as it was.
    pub fn collect(&mut self, batches: &[&[f32]]) -> Result<(), Error> {
        let extremes: Vec<Bounds> = batches.iter().map(|batch| extremes(batch)).collect::<Result<_, _>>()?;
        let mut new = match self.averaging {
            Some(_) => mean(&extremes),
            None => extremes.iter().copied().reduce(Bounds::merge),
        }
        .ok_or(Error::NoData)?;
        if self.symmetric {
            let magnitude = new.lowest.abs().max(new.highest.abs());
            new = Bounds { lowest: -magnitude, highest: magnitude };
        }
        self.range = Some(match (self.range, self.averaging) {
            (None, _) => new,
            (Some(old), None) => old.merge(new),
            (Some(old), Some(constant)) => Bounds {
                lowest: old.lowest + constant * (new.lowest - old.lowest),
                highest: old.highest + constant * (new.highest - old.highest),
            },
        });
        Ok(())
    }

    /// The range.
    ///
    /// # Errors
    /// [`Error::NoData`].
    pub fn range(&self) -> Result<Bounds, Error> {
        self.range.ok_or(Error::NoData)
    }
}

fn extremes(values: &[f32]) -> Result<Bounds, Error> {
    let (lowest, highest) = numeric::extremes(values).ok_or(Error::EmptyBatch)?;
    match values.iter().position(|x| x.is_nan()) {
        Some(index) => Err(Error::Nan { index }),
        None => Ok(Bounds { lowest, highest }),
    }
}

/// `numpy.nanmean` of f32: summed in f32, divided in f64.
fn mean(extremes: &[Bounds]) -> Option<Bounds> {
    let mean = |end: fn(&Bounds) -> f32| {
        let ends: Vec<f32> = extremes.iter().map(end).collect();
        (f64::from(numpy::sum(&ends)) / ends.len() as f64) as f32
    };
    let bounds = Bounds { lowest: mean(|b| b.lowest), highest: mean(|b| b.highest) };
    (!extremes.is_empty()).then_some(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_grow_or_move() {
        let batches: [&[f32]; 2] = [&[-1.0, 2.0], &[-3.0, 4.0]];
        let table = [
            (MinMaxCalibrator::new(), (-3.0, 4.0), (-3.0, 8.0)),
            (MinMaxCalibrator::new().symmetric(), (-4.0, 4.0), (-8.0, 8.0)),
            (MinMaxCalibrator::new().averaging(0.5).unwrap(), (-2.0, 3.0), (-1.0, 5.5)),
            (MinMaxCalibrator::new().symmetric().averaging(0.5).unwrap(), (-3.0, 3.0), (-5.5, 5.5)),
        ];
        for (mut calibrator, first, second) in table {
            for (batches, (lowest, highest)) in [(&batches[..], first), (&[&[0.0, 8.0][..]], second)] {
                calibrator.collect(batches).unwrap();
                assert_eq!(calibrator.range(), Ok(Bounds { lowest, highest }), "{calibrator:?}");
            }
        }
    }

    #[test]
    fn what_has_no_extremes_is_an_error() {
        let mut calibrator = MinMaxCalibrator::new();
        assert_eq!(calibrator.collect(&[&[1.0, f32::NAN]]), Err(Error::Nan { index: 1 }));
        assert_eq!(calibrator.collect(&[&[]]), Err(Error::EmptyBatch));
        assert_eq!(calibrator.collect(&[]), Err(Error::NoData));
        assert_eq!(calibrator.range(), Err(Error::NoData));
        assert!(MinMaxCalibrator::new().averaging(1.5).is_err());
    }
}
