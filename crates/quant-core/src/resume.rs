//! Running the rest of a program from tensors that another run has left.

use crate::values::Owned;
use crate::{Constant, Error, Executor, Format, Program, Recording, Step, Values};
use std::collections::HashMap;
use std::ops::Range;

/// The steps that have to run where the tensors of a recorded run are known.
///
/// Made once for a pair of programs, and used for any number of runs and image sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remainder {
    /// In order.
    steps: Vec<usize>,
    /// For every tensor of the program the recorded one that has its values.
    known: Vec<Option<usize>>,
}

impl Remainder {
    /// All steps from `first` on; every earlier tensor is known from a recording of the same program. None beyond the last step.
    #[must_use]
    pub fn suffix(program: &Program, first: usize) -> Self {
        Self::part(program, first..program.steps().len())
    }

    /// The steps of a range; every tensor made before is known from a recording of the same program. Outputs made later are not there
    /// after such a run.
    #[must_use]
    pub fn part(program: &Program, steps: Range<usize>) -> Self {
        let mut known: Vec<Option<usize>> = (0..program.tensors().len()).map(Some).collect();
        let later = program.steps().iter().skip(steps.start);
        later.for_each(|step| known[step.output] = None);
        Self { steps: (steps.start..steps.end.min(program.steps().len())).collect(), known }
    }

    /// The steps of `program` whose results differ from those of `recorded` on the same image, whatever the image.
    ///
    /// A tensor is known if a step of the same name, operator and constants makes one of the same format from known tensors. So a change
    /// costs the steps that depend on it, not those that happen to come later.
    #[must_use]
    pub fn between(recorded: &Program, program: &Program) -> Self {
        let by_name: HashMap<&str, &Step> =
            recorded.steps().iter().map(|step| (step.name.as_str(), step)).collect();
        let mut known = vec![None; program.tensors().len()];
        known[0] = Some(0);
        for step in program.steps() {
            let same = by_name.get(step.name.as_str()).filter(|same| {
                let inputs = step.inputs.iter().map(|&id| known[id]);
                inputs.eq(same.inputs.iter().map(|&id| Some(id)))
                    && same_work((recorded, same), (program, step))
            });
            known[step.output] = same.map(|same| same.output);
        }
        let steps = program.steps().iter().enumerate();
        Self {
            steps: steps.filter(|(_, step)| known[step.output].is_none()).map(|(i, _)| i).collect(),
            known,
        }
    }

    /// Only the steps that `tensor` depends on. Outputs that depend on others are not there after a run.
    #[must_use]
    pub fn towards(&self, program: &Program, tensor: usize) -> Self {
        let mut needed = vec![false; program.tensors().len()];
        needed[tensor] = true;
        let mut steps = self.steps.clone();
        for &index in self.steps.iter().rev() {
            let step = &program.steps()[index];
            if needed[step.output] {
                step.inputs.iter().for_each(|&id| needed[id] = true);
            }
        }
        steps.retain(|&index| needed[program.steps()[index].output]);
        Self { steps, known: self.known.clone() }
    }

    /// Indices of the steps, in order.
    #[must_use]
    pub fn steps(&self) -> &[usize] {
        &self.steps
    }

    /// The recorded tensor that has the values of `tensor`; `None` where a step computes them.
    #[must_use]
    pub fn known(&self, tensor: usize) -> Option<usize> {
        self.known.get(tensor).copied().flatten()
    }
}

/// Whether two steps compute the same from the same values: operator, formats, and the content of all constants.
pub(crate) fn same_work((program_a, a): (&Program, &Step), (program_b, b): (&Program, &Step)) -> bool {
    fn formats<'a>(program: &'a Program, step: &'a Step) -> impl Iterator<Item = Format> + 'a {
        step.inputs.iter().chain([&step.output]).map(|&id| program.tensors()[id].format)
    }
    fn constants<'a>(program: &'a Program, step: &'a Step) -> impl Iterator<Item = Option<&'a Constant>> {
        step.op.constants().into_iter().flatten().map(|name| program.constants().get(name))
    }
    a.op == b.op
        && formats(program_a, a).eq(formats(program_b, b))
        && constants(program_a, a).eq(constants(program_b, b))
}

impl Executor<'_> {
    /// Runs the steps of `remainder` and takes all other tensors that they need from `recording`. The outputs are then those of a whole
    /// run, bit for bit; those that the remainder does not compute are taken from the recording too.
    ///
    /// # Errors
    /// [`Error::Recording`] if a tensor is missing in the recording, or has another length or type: the recording is of another program or
    /// image size, or the remainder of another program.
    pub fn resume(&mut self, remainder: &Remainder, recording: &Recording) -> Result<(), Error> {
        self.resume_steps(remainder, recording, |_, _| ())
    }

    /// As [`Executor::resume`], showing every tensor that a step computes to `tap(index, values)` as soon as it is there.
    ///
    /// # Errors
    /// As [`Executor::resume`].
    pub fn resume_with(
        &mut self,
        remainder: &Remainder,
        recording: &Recording,
        mut tap: impl FnMut(usize, Values<'_>),
    ) -> Result<(), Error> {
        let mut shown = Owned::default();
        self.resume_steps(remainder, recording, |executor, tensor| {
            executor.planes(tensor, &mut shown);
            tap(tensor, shown.values());
        })
    }

    fn resume_steps(
        &mut self,
        remainder: &Remainder,
        recording: &Recording,
        mut made: impl FnMut(&Self, usize),
    ) -> Result<(), Error> {
        let program = self.program();
        let mut there = vec![false; program.tensors().len()];
        let steps = program.steps().len();
        if remainder.known.len() != there.len() || remainder.steps.last().is_some_and(|&last| last >= steps) {
            return Err(Error::Recording { tensor: String::new() });
        }
        for &index in &remainder.steps {
            let step = &program.steps()[index];
            // A tensor has its place from the step that makes it to the last that reads it, so this is not too early.
            for &id in &step.inputs {
                self.fetch(id, &mut there, remainder, recording)?;
            }
            self.run_step(index, None);
            there[step.output] = true;
            made(self, step.output);
        }
        let outputs = program.outputs().iter().filter(|&&id| remainder.known(id).is_some());
        outputs.copied().try_for_each(|id| self.fetch(id, &mut there, remainder, recording))?;
        self.keep_outputs();
        Ok(())
    }

    fn fetch(
        &mut self,
        tensor: usize,
        there: &mut [bool],
        remainder: &Remainder,
        recording: &Recording,
    ) -> Result<(), Error> {
        if std::mem::replace(&mut there[tensor], true) {
            return Ok(());
        }
        let info = &self.program().tensors()[tensor];
        let values = remainder.known(tensor).and_then(|known| recording.get(known));
        let fits = |v: &Values<'_>| v.len() == self.len(tensor) && v.is_of(info.format);
        let values = values.filter(fits).ok_or_else(|| Error::Recording { tensor: info.name.clone() })?;
        self.load(tensor, values);
        Ok(())
    }
}
