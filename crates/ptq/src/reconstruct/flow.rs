//! Many images that go through a network together, step by step.

use crate::Error;
use quant_core::{Executor, Program, Recording, Remainder, Values};
use rayon::prelude::*;

/// The images on their way through the integer network: of each the tensors that are still to be read.
pub(super) struct Flow {
    pub(super) recordings: Vec<Recording>,
    /// Steps that have run.
    done: usize,
    /// Per tensor the last step that reads it; outputs are read afterwards.
    last_reader: Vec<usize>,
}

impl Flow {
    pub(super) fn new(program: &Program) -> Self {
        let mut last_reader = vec![0; program.tensors().len()];
        for (index, step) in program.steps().iter().enumerate() {
            step.inputs.iter().for_each(|&input| last_reader[input] = index);
        }
        program.outputs().iter().for_each(|&output| last_reader[output] = usize::MAX);
        Self { recordings: Vec::new(), done: 1, last_reader }
    }

    /// Takes an image through the first step, which makes integers of it and so a quarter of its size.
    pub(super) fn enter(&mut self, executor: &Executor<'_>, image: &[f32]) -> Result<(), quant_core::Error> {
        let mut recording = Recording::default();
        recording.set(0, Values::F32(image));
        self.run(executor, &mut recording, 0..1)?;
        self.recordings.push(recording);
        Ok(())
    }

    /// Takes all images to just before the step `name`; its index.
    pub(super) fn advance(&mut self, executor: &Executor<'_>, name: &str) -> Result<usize, Error> {
        let steps = executor.program().steps();
        let target = steps.iter().position(|step| step.name == name);
        let target = target.ok_or_else(|| Error::NoStep { layer: name.to_owned() })?;
        if target > self.done {
            let mut recordings = std::mem::take(&mut self.recordings);
            recordings
                .par_iter_mut()
                .try_for_each(|recording| self.run(executor, recording, self.done..target))?;
            self.recordings = recordings;
            self.done = target;
        }
        Ok(target)
    }

    fn run(
        &self,
        executor: &Executor<'_>,
        recording: &mut Recording,
        steps: std::ops::Range<usize>,
    ) -> Result<(), quant_core::Error> {
        let part = Remainder::part(executor.program(), steps.clone());
        let mut made = Recording::default();
        executor.clone().resume_with(&part, recording, |tensor, values| made.set(tensor, values))?;
        for (tensor, &last) in self.last_reader.iter().enumerate() {
            if last < steps.end {
                recording.forget(tensor);
            } else if let Some(values) = made.get(tensor).filter(|values| !values.is_empty()) {
                recording.set(tensor, values);
            }
        }
        Ok(())
    }
}
