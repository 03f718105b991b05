//! How long the steps of a run take.

use crate::pool::awake;
use crate::{Error, Executor};
use std::time::{Duration, Instant};

/// Wall times of the parts of one run or, added up, of several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepTimes {
    /// Of every step, indices as in [`crate::Program::steps`]; zero for a concatenation whose parts stay where they are. Empty before a run.
    pub steps: Vec<Duration>,
    /// Of what is no step: bringing an image into its place, unless the first step takes it as it comes, and the outputs into planes.
    pub remainder: Duration,
}

impl StepTimes {
    /// All parts together.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.steps.iter().sum::<Duration>() + self.remainder
    }
}

/// Part by part; times of as many steps as either has.
impl std::ops::AddAssign<&StepTimes> for StepTimes {
    fn add_assign(&mut self, other: &StepTimes) {
        self.steps.resize(self.steps.len().max(other.steps.len()), Duration::ZERO);
        self.steps.iter_mut().zip(&other.steps).for_each(|(sum, time)| *sum += *time);
        self.remainder += other.remainder;
    }
}

impl Executor<'_> {
    /// As [`Executor::run`], adding the wall time of every part to `times`. The clock is read once per step.
    ///
    /// Weights are packed and tables filled when a step first runs, and count there: run once before.
    ///
    /// # Errors
    /// As [`Executor::run`]; nothing is added then.
    pub fn run_timed(&mut self, input: &[f32], times: &mut StepTimes) -> Result<(), Error> {
        times.steps.resize(self.program().steps().len(), Duration::ZERO);
        let mut last = Instant::now();
        let done = |part: Option<usize>| {
            let now = Instant::now();
            let time = match part {
                Some(step) => &mut times.steps[step],
                None => &mut times.remainder,
            };
            *time += now - last;
            last = now;
        };
        awake(|| self.run_parts(input, done))
    }
}
