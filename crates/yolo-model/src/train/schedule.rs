//! How fast to learn when.

/// Learning rates and momentum of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Of weights.
    pub weights: f64,
    /// Of biases, and of the shifts of BatchNorm.
    pub biases: f64,
    /// Momentum.
    pub momentum: f64,
}

/// How the learning rate falls over the epochs, to `last` times the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decay {
    /// Along half a cosine.
    Cosine,
    /// In a straight line.
    Linear,
}

/// The first steps, in which rates and momentum go in straight lines from these values to the usual ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Warmup {
    /// How many; 0 for none.
    pub steps: u64,
    /// Learning rate of biases at the start; weights start with 0.
    pub biases: f64,
    /// Momentum at the start.
    pub momentum: f64,
}

/// Rates over a whole training, as YOLOv5's `train.py` has them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Learning rate at the start.
    pub first: f64,
    /// That of the last epoch as a share of the first.
    pub last: f64,
    /// How it falls.
    pub decay: Decay,
    /// Epochs in all.
    pub epochs: u64,
    /// Momentum.
    pub momentum: f64,
    /// The first steps.
    pub warmup: Warmup,
}

impl Schedule {
    /// Rates of step `step` of the training, which is in epoch `epoch`, both from 0.
    ///
    /// The factor of epoch `e` of `E` is `1 - (1 - last) (1 - cos(pi e / E)) / 2` or `1 - (1 - last) e / E`. Up to step `w` of the warm-up a
    /// value goes from its start to that of the epoch in proportion to `step / w`.
    #[must_use]
    pub fn at(&self, step: u64, epoch: u64) -> Rates {
        let share = epoch as f64 / self.epochs.max(1) as f64;
        let fallen = match self.decay {
            Decay::Cosine => (1.0 - (std::f64::consts::PI * share).cos()) / 2.0,
            Decay::Linear => share,
        };
        let rate = self.first * (1.0 - (1.0 - self.last) * fallen);
        let usual = Rates { weights: rate, biases: rate, momentum: self.momentum };
        if step > self.warmup.steps || self.warmup.steps == 0 {
            return usual;
        }
        let share = step as f64 / self.warmup.steps as f64;
        let from = |start: f64, end: f64| start + (end - start) * share;
        Rates {
            weights: from(0.0, usual.weights),
            biases: from(self.warmup.biases, usual.biases),
            momentum: from(self.warmup.momentum, usual.momentum),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_then_fall() {
        let warmup = Warmup { steps: 100, biases: 0.1, momentum: 0.8 };
        let schedule =
            Schedule { first: 0.01, last: 0.1, decay: Decay::Linear, epochs: 10, momentum: 0.937, warmup };
        let at = |step, epoch| schedule.at(step, epoch);
        assert_eq!(at(0, 0), Rates { weights: 0.0, biases: 0.1, momentum: 0.8 });
        let half = at(50, 0);
        assert!((half.weights - 0.005).abs() < 1e-12 && (half.biases - 0.055).abs() < 1e-12, "{half:?}");
        assert_eq!(at(101, 0), Rates { weights: 0.01, biases: 0.01, momentum: 0.937 });
        assert!((at(1000, 5).weights - 0.0055).abs() < 1e-12);
        let cosine = Schedule { decay: Decay::Cosine, ..schedule };
        assert!((cosine.at(1000, 5).weights - 0.0055).abs() < 1e-12);
        assert!(cosine.at(1000, 2).weights > schedule.at(1000, 2).weights);
        assert!((cosine.at(1000, 10).weights - 0.001).abs() < 1e-12);
    }
}
