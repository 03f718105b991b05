//! Which share of the weights is frozen at which stage.

use crate::Error;

/// Shares of the weights that are frozen from stage to stage, rising, in `(0, 1]`.
///
/// Zhou et al., "Incremental network quantization" (ICLR 2017), use 0.5, 0.75, 0.875, 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Ratios(Vec<f64>);

impl Ratios {
    /// Checked ratios that end in 1.
    ///
    /// # Errors
    /// [`Error::NoRatio`]; [`Error::Ratio`] for one that does not exceed the one before, or exceeds 1; [`Error::OpenEnded`] if the last is below 1.
    pub fn new(ratios: &[f64]) -> Result<Self, Error> {
        let checked = Self::open_ended(ratios)?;
        match checked.0.last() {
            Some(&ratio) if ratio < 1.0 => Err(Error::OpenEnded { ratio }),
            _ => Ok(checked),
        }
    }

    /// Checked ratios that may leave some weights free, as published scripts for Icraft do, which end at 0.99.
    ///
    /// # Errors
    /// As [`Ratios::new`], without the last.
    pub fn open_ended(ratios: &[f64]) -> Result<Self, Error> {
        if ratios.is_empty() {
            return Err(Error::NoRatio);
        }
        let mut above = 0.0;
        for (index, &ratio) in ratios.iter().enumerate() {
            if !(ratio > above && ratio <= 1.0) {
                return Err(Error::Ratio { stage: index + 1, ratio, above });
            }
            above = ratio;
        }
        Ok(Self(ratios.to_vec()))
    }

    /// The ratios, stage by stage.
    #[must_use]
    pub fn stages(&self) -> &[f64] {
        &self.0
    }
}

impl Default for Ratios {
    /// Those of the paper: 0.5, 0.75, 0.875, 1.
    fn default() -> Self {
        Self(vec![0.5, 0.75, 0.875, 1.0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_rise_to_one() {
        assert_eq!(Ratios::new(&[0.5, 1.0]).unwrap().stages(), [0.5, 1.0]);
        assert_eq!(Ratios::new(Ratios::default().stages()).unwrap(), Ratios::default());
        assert!(matches!(Ratios::new(&[]), Err(Error::NoRatio)));
        assert!(matches!(Ratios::new(&[0.5, 0.99]), Err(Error::OpenEnded { .. })));
        assert!(Ratios::open_ended(&[0.5, 0.99]).is_ok());
        for (ratios, stage) in [(&[0.0][..], 1), (&[0.5, 0.5], 2), (&[0.5, 1.1], 2), (&[0.7, 0.6], 2)] {
            assert!(matches!(Ratios::new(ratios), Err(Error::Ratio { stage: found, .. }) if found == stage));
        }
        assert!(Ratios::new(&[f64::NAN]).is_err());
    }
}
