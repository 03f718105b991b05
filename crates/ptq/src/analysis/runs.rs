//! Running a base and its variants, each from the first tensor that changes.

use quant_core::{Error, Executor, Program, Recording, Remainder, StepOp};

/// A base program and variants of it, ready for images of one size. Threads share it, each by a [`Session`].
pub struct VariantRuns<'p> {
    base: Executor<'p>,
    variants: Vec<(Executor<'p>, Remainder)>,
}

/// Convolutions of all variants of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Savings {
    /// If every variant ran whole.
    pub whole: usize,
    /// That do run.
    pub run: usize,
}

impl<'p> VariantRuns<'p> {
    /// Compares each variant with the base, and prepares the steps in which it differs.
    ///
    /// # Errors
    /// As [`Executor::new`].
    pub fn new(
        base: &'p Program,
        variants: &'p [Program],
        height: usize,
        width: usize,
    ) -> Result<Self, Error> {
        let executor = Executor::new(base, height, width)?;
        let prepare = |variant| Ok((executor.sharing(variant)?, Remainder::between(base, variant)));
        let variants = variants.iter().map(prepare).collect::<Result<_, Error>>()?;
        Ok(Self { base: executor, variants })
    }

    /// Number of variants.
    #[must_use]
    pub fn variants(&self) -> usize {
        self.variants.len()
    }

    /// Convolutions that `variant` computes.
    #[must_use]
    pub fn convolutions(&self, variant: usize) -> usize {
        let (executor, remainder) = &self.variants[variant];
        count(executor.program(), remainder.steps().iter().copied())
    }

    /// How many convolutions the recorded tensors save.
    #[must_use]
    pub fn savings(&self) -> Savings {
        let all = |program: &Program| count(program, 0..program.steps().len());
        Savings {
            whole: self.variants.iter().map(|(executor, _)| all(executor.program())).sum(),
            run: (0..self.variants.len()).map(|variant| self.convolutions(variant)).sum(),
        }
    }

    /// Memory for the runs of one thread.
    #[must_use]
    pub fn session(&self) -> Session<'_, 'p> {
        Session { runs: self, base: self.base.clone(), recording: Recording::default(), last: None }
    }
}

fn count(program: &Program, steps: impl Iterator<Item = usize>) -> usize {
    let is_convolution = |&step: &usize| {
        matches!(
            program.steps()[step].op,
            StepOp::ConvF32 { .. } | StepOp::ConvI8 { .. } | StepOp::ConvI16 { .. }
        )
    };
    steps.filter(is_convolution).count()
}

/// Runs on one image after another.
pub struct Session<'r, 'p> {
    runs: &'r VariantRuns<'p>,
    base: Executor<'p>,
    recording: Recording,
    /// The executor of the variant that ran last, for its memory.
    last: Option<Executor<'p>>,
}

impl<'p> Session<'_, 'p> {
    /// Runs the base on an image and shows it to `visit(None, executor)`, then each variant to `visit(Some(variant), executor)`; the outputs are
    /// those of whole runs, bit for bit.
    ///
    /// # Errors
    /// As [`Executor::run`], and those of `visit`, after which nothing more is run.
    pub fn run<E: From<Error>>(
        &mut self,
        image: &[f32],
        mut visit: impl FnMut(Option<usize>, &Executor<'p>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.base.record(image, &mut self.recording)?;
        visit(None, &self.base)?;
        for (index, (prepared, remainder)) in self.runs.variants.iter().enumerate() {
            // One set of feature maps for all variants, so that memory does not grow with their number.
            let mut executor = prepared.clone();
            self.last.take().into_iter().for_each(|last| executor.recycle(last));
            executor.resume(remainder, &self.recording)?;
            visit(Some(index), &executor)?;
            self.last = Some(executor);
        }
        Ok(())
    }
}
