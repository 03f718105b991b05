//! The largest magnitude.

use crate::compat::{Error, axis::Axis, numeric};

/// `MaxCalibrator` without an axis: the largest magnitude over all batches. NaN and infinities pass through.
#[derive(Debug, Clone, Default)]
pub struct MaxCalibrator {
    amax: Option<f32>,
}

impl MaxCalibrator {
    /// Looks at one batch.
    ///
    /// # Errors
    /// [`Error::EmptyBatch`].
    pub fn collect(&mut self, values: &[f32]) -> Result<(), Error> {
        let local = amax(values)?;
        self.amax = Some(self.amax.map_or(local, |amax| larger(amax, local)));
        Ok(())
    }

    /// The largest magnitude.
    ///
    /// # Errors
    /// [`Error::NoData`].
    pub fn amax(&self) -> Result<f32, Error> {
        self.amax.ok_or(Error::NoData)
    }
}

/// The largest magnitude of each index along `axis` (negative ones count from the end): `MaxCalibrator` on one tensor, its `keepdims`
/// result flattened. Convolutions and linear layers use axis 0, transposed convolutions axis 1.
///
/// # Errors
/// [`Error::Shape`].
pub fn channel_maxima(values: &[f32], shape: &[usize], axis: isize) -> Result<Vec<f32>, Error> {
    let axis = Axis::new(values.len(), shape, axis)?;
    axis.channels(values).iter().map(|channel| amax(channel)).collect()
}

fn amax(values: &[f32]) -> Result<f32, Error> {
    let (low, high) = numeric::extremes(values).ok_or(Error::EmptyBatch)?;
    Ok(larger(low.abs(), high.abs()))
}

/// The larger one; NaN if one is, as torch has it.
fn larger(a: f32, b: f32) -> f32 {
    if a.is_nan() || a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_stays() {
        let mut calibrator = MaxCalibrator::default();
        for (batch, expected) in [(&[1.0, -2.0][..], 2.0), (&[0.5], 2.0), (&[-f32::INFINITY], f32::INFINITY)]
        {
            calibrator.collect(batch).unwrap();
            assert_eq!(calibrator.amax(), Ok(expected));
        }
        calibrator.collect(&[f32::NAN]).unwrap();
        calibrator.collect(&[1.0]).unwrap();
        assert!(calibrator.amax().unwrap().is_nan());
        assert_eq!(calibrator.collect(&[]), Err(Error::EmptyBatch));
    }

    #[test]
    fn channels_follow_the_axis() {
        let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let table: [(isize, &[f32]); 4] =
            [(0, &[5.0, 11.0]), (1, &[7.0, 9.0, 11.0]), (2, &[10.0, 11.0]), (-1, &[10.0, 11.0])];
        for (axis, expected) in table {
            assert_eq!(channel_maxima(&values, &[2, 3, 2], axis).unwrap(), expected, "{axis}");
        }
        for (shape, axis) in
            [(&[2, 3, 2][..], 3), (&[2, 3, 2], -4), (&[2, 3], 0), (&[], 0), (&[usize::MAX, 2], 0)]
        {
            assert!(channel_maxima(&values, shape, axis).is_err(), "{shape:?} {axis}");
        }
        assert!(channel_maxima(&[], &[0, 2], 0).is_err());
    }
}
