//! Running a program.

use crate::plan::{Place, buffer_lengths, fused_additions, infer_shapes, plan, planned_bytes};
use crate::pool::awake;
use crate::prepared::{Prepared, prepare};
use crate::resume::same_work;
use crate::values::{Buffer, Owned, Stored};
use crate::{Error, Format, Isa, Program, Step, StepOp, Values};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// A program made ready for images of one size: memory planned; weights are packed and tables filled when a step first runs.
///
/// Work inside a step runs on the current rayon pool. The bits of the result depend neither on its size nor on the instruction set.
///
/// A clone shares weights and tables with the original, and makes feature maps of its own when it runs.
pub struct Executor<'p> {
    program: &'p Program,
    isa: Isa,
    shapes: Vec<[usize; 3]>,
    prepared: Vec<Arc<OnceLock<Prepared>>>,
    /// Where each tensor is; tensors that don't live at the same time share buffers.
    places: Vec<Place>,
    /// Values that each buffer has room for once it is used.
    lengths: Vec<usize>,
    /// Of every step the addition that is done with it, where nobody wants to see what is between.
    fused: Vec<Option<usize>>,
    /// Empty before their first use.
    buffers: Vec<Buffer>,
    /// The outputs of the last run, planar.
    outputs: Vec<Owned>,
}

impl Clone for Executor<'_> {
    fn clone(&self) -> Self {
        Self {
            program: self.program,
            isa: self.isa,
            shapes: self.shapes.clone(),
            prepared: self.prepared.clone(),
            places: self.places.clone(),
            lengths: self.lengths.clone(),
            fused: self.fused.clone(),
            buffers: self.buffers.iter().map(Buffer::empty_like).collect(),
            outputs: no_outputs(self.program),
        }
    }
}

/// Outputs of the right types without values.
fn no_outputs(program: &Program) -> Vec<Owned> {
    let empty = |&id: &usize| {
        let mut values = Owned::default();
        values.resize_for(program.tensors()[id].format, 0);
        values
    };
    program.outputs().iter().map(empty).collect()
}

impl<'p> Executor<'p> {
    /// Prepares `program` for images of `height` x `width`, with the fastest instructions of this machine.
    ///
    /// # Errors
    /// [`Error::Shape`] if a kernel does not fit, joined tensors differ in size, or a tensor has more than 2^28 values;
    /// [`Error::Memory`] if the feature maps need more than 8 GiB.
    pub fn new(program: &'p Program, height: usize, width: usize) -> Result<Self, Error> {
        Self::with_isa(program, height, width, Isa::detect())
    }

    /// As [`Executor::new`], with given instructions.
    ///
    /// # Errors
    /// As [`Executor::new`].
    pub fn with_isa(program: &'p Program, height: usize, width: usize, isa: Isa) -> Result<Self, Error> {
        Self::with_prepared(program, [height, width], isa, |_| Arc::default())
    }

    /// An executor of another program for images of the same size, which shares weights and tables of the steps that both programs have.
    ///
    /// # Errors
    /// As [`Executor::new`].
    pub fn sharing<'q>(&self, program: &'q Program) -> Result<Executor<'q>, Error> {
        let [_, height, width] = self.shapes[0];
        let own = self.program.steps().iter().zip(&self.prepared);
        let by_name: HashMap<&str, (&Step, &Arc<OnceLock<Prepared>>)> =
            own.map(|(step, prepared)| (step.name.as_str(), (step, prepared))).collect();
        let prepared = |step: &Step| match by_name.get(step.name.as_str()) {
            Some((same, prepared)) if same_work((self.program, same), (program, step)) => {
                Arc::clone(prepared)
            }
            _ => Arc::default(),
        };
        Executor::with_prepared(program, [height, width], self.isa, prepared)
    }

    fn with_prepared(
        program: &'p Program,
        image: [usize; 2],
        isa: Isa,
        prepared: impl Fn(&Step) -> Arc<OnceLock<Prepared>>,
    ) -> Result<Self, Error> {
        let shapes = infer_shapes(program, image)?;
        let fused = fused_additions(program);
        let (places, buffers) = plan(program, &fused);
        let lengths = buffer_lengths(&shapes, &places, &buffers)?;
        let prepared = program.steps().iter().map(prepared).collect();
        let outputs = no_outputs(program);
        Ok(Self { program, isa, shapes, prepared, places, lengths, fused, buffers, outputs })
    }

    /// Runs the program on an image, planar `(channels, height, width)`.
    ///
    /// All idle threads of the current rayon pool look for work of the run, or other work of the pool, until it is done.
    ///
    /// # Errors
    /// [`Error::InputLength`] if `input` has another length.
    pub fn run(&mut self, input: &[f32]) -> Result<(), Error> {
        awake(|| self.run_parts(input, |_| ()))
    }

    /// Runs the program on a batch, planar `(n, channels, height, width)`, and calls `each(index, executor)` after every image, when
    /// the executor has that image's outputs.
    ///
    /// A batch needs no more memory for feature maps than an image, and the outputs are those of [`Executor::run`] on every image by itself.
    ///
    /// # Errors
    /// [`Error::InputLength`] if `input` is empty or no whole number of images; nothing is run then.
    pub fn run_batch(&mut self, input: &[f32], mut each: impl FnMut(usize, &Self)) -> Result<(), Error> {
        let (found, image) = (input.len(), self.len(0));
        if found == 0 || !found.is_multiple_of(image) {
            let expected = found.next_multiple_of(image).max(image);
            return Err(Error::InputLength { found, expected });
        }
        for (index, image) in input.chunks_exact(image).enumerate() {
            self.run(image)?;
            each(index, self);
        }
        Ok(())
    }

    /// As [`Executor::run`], saying `done` after every part: a step with its index, and what is no step, which are the image's way into its
    /// place and the outputs' out of theirs. Nothing is said of concatenations that nobody has to carry out, and of additions that are done
    /// with a convolution.
    pub(crate) fn run_parts(
        &mut self,
        input: &[f32],
        mut done: impl FnMut(Option<usize>),
    ) -> Result<(), Error> {
        self.check_input(input)?;
        let image_step = self.image_step();
        if image_step.is_none() {
            self.load(0, Values::F32(input));
        }
        done(None);
        let mut fused = vec![false; self.program.steps().len()];
        for (index, step) in self.program.steps().iter().enumerate() {
            if let (Place::Buffer(_), false) = (&self.places[step.output], fused[index]) {
                match self.fused[index] {
                    Some(add) => {
                        self.run_fused(index, add);
                        fused[add] = true;
                    }
                    None => self.run_step(index, image_step.filter(|&first| first == index).map(|_| input)),
                }
                done(Some(index));
            }
        }
        self.keep_outputs();
        done(None);
        Ok(())
    }

    /// As [`Executor::run`], showing every tensor to `tap(index, values)` as soon as it is there, the input first.
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub fn run_with(&mut self, input: &[f32], mut tap: impl FnMut(usize, Values<'_>)) -> Result<(), Error> {
        self.check_input(input)?;
        self.load(0, Values::F32(input));
        tap(0, Values::F32(input));
        let mut shown = Owned::default();
        for index in 0..self.program.steps().len() {
            self.run_step(index, None);
            let output = self.program.steps()[index].output;
            self.planes(output, &mut shown);
            tap(output, shown.values());
        }
        self.keep_outputs();
        Ok(())
    }

    fn check_input(&self, input: &[f32]) -> Result<(), Error> {
        let (found, expected) = (input.len(), self.len(0));
        if found == expected { Ok(()) } else { Err(Error::InputLength { found, expected }) }
    }

    /// The step that quantises the image, if nothing else reads that: it then takes the image as it comes.
    fn image_step(&self) -> Option<usize> {
        let steps = self.program.steps();
        let mut readers = (0..steps.len()).filter(|&index| steps[index].inputs.contains(&0));
        let first = readers.next()?;
        let only = readers.next().is_none() && !self.program.outputs().contains(&0);
        (only && steps[first].op == StepOp::Quantize).then_some(first)
    }

    /// Runs one step, whose inputs are there, or which takes `image`.
    pub(crate) fn run_step(&mut self, index: usize, image: Option<&[f32]>) {
        let step = &self.program.steps()[index];
        let Place::Buffer(slot) = self.places[step.output] else { return };
        let mut output = std::mem::take(&mut self.buffers[slot]);
        output.grow(self.lengths[slot]);
        match image {
            Some(image) => self.quantize_image(image, step, &mut output),
            None => {
                let prepared = self.prepared[index].get_or_init(|| prepare(self.program, step));
                self.step(step, prepared, None, &mut output);
            }
        }
        self.buffers[slot] = output;
    }

    /// Runs a convolution and the addition of its result in one pass.
    fn run_fused(&mut self, index: usize, add: usize) {
        let [step, add] = [index, add].map(|index| &self.program.steps()[index]);
        let Place::Buffer(slot) = self.places[add.output] else { return };
        let mut output = std::mem::take(&mut self.buffers[slot]);
        output.grow(self.lengths[slot]);
        let prepared = self.prepared[index].get_or_init(|| prepare(self.program, step));
        self.step(step, prepared, Some(add), &mut output);
        self.buffers[slot] = output;
    }

    /// Puts planes, as many values as the tensor has and of its type, in the tensor's place.
    pub(crate) fn load(&mut self, tensor: usize, values: Values<'_>) {
        let mut at = 0;
        for id in self.sources(tensor) {
            let Place::Buffer(slot) = self.places[id] else { continue };
            let (len, channels) = (self.len(id), self.shapes[id][0]);
            self.buffers[slot].grow(self.lengths[slot]);
            self.buffers[slot].take_planes(values.range(at..at + len), channels);
            at += len;
        }
    }

    /// Takes over the feature maps' memory of an executor that has done its work, instead of making new.
    pub fn recycle(&mut self, used: Executor<'_>) {
        let mut spare: Vec<Buffer> = used.buffers.into_iter().filter(|buffer| buffer.len() > 0).collect();
        for buffer in self.buffers.iter_mut().filter(|buffer| buffer.len() == 0) {
            let same = |other: &Buffer| std::mem::discriminant(other) == std::mem::discriminant(&*buffer);
            if let Some(position) = spare.iter().position(same) {
                *buffer = spare.swap_remove(position);
            }
        }
    }

    /// The program's outputs after a run: index of the tensor, and its values; no values before a run.
    pub fn outputs(&self) -> impl Iterator<Item = (usize, Values<'_>)> {
        self.program.outputs().iter().copied().zip(self.outputs.iter().map(Owned::values))
    }

    /// `(channels, height, width)` of every tensor.
    #[must_use]
    pub fn shapes(&self) -> &[[usize; 3]] {
        &self.shapes
    }

    /// Bytes of all feature map buffers, once all are used.
    #[must_use]
    pub fn buffer_bytes(&self) -> usize {
        planned_bytes(&self.buffers, &self.lengths)
    }

    /// What runs.
    #[must_use]
    pub fn program(&self) -> &'p Program {
        self.program
    }

    /// Makes the outputs' planes from where they are.
    pub(crate) fn keep_outputs(&mut self) {
        let mut outputs = std::mem::take(&mut self.outputs);
        for (&id, planes) in self.program.outputs().iter().zip(&mut outputs) {
            self.planes(id, planes);
        }
        self.outputs = outputs;
    }

    /// A tensor's planes, as long as nothing has taken its place.
    pub(crate) fn planes(&self, tensor: usize, planes: &mut Owned) {
        let sources = self.sources(tensor);
        let stored = || sources.iter().map(|&id| (self.stored(id), self.shapes[id][0]));
        planes.resize_for(self.format(tensor), stored().map(|(values, _)| values.len()).sum());
        let mut first = 0;
        for (values, channels) in stored() {
            values.write_planes(channels, planes, first);
            first += values.len();
        }
    }

    /// The tensors in whose places a tensor's values are: itself, or the parts that are joined in it.
    pub(crate) fn sources(&self, tensor: usize) -> Vec<usize> {
        match &self.places[tensor] {
            Place::Buffer(_) => vec![tensor],
            Place::Joined(parts) => parts.clone(),
        }
    }

    /// A tensor where it is stored; none that is joined from others.
    pub(crate) fn stored(&self, tensor: usize) -> Stored<'_> {
        match self.places[tensor] {
            Place::Buffer(slot) => self.buffers[slot].stored(self.len(tensor)),
            Place::Joined(_) => Stored::U8(&[]),
        }
    }

    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    pub(crate) fn len(&self, tensor: usize) -> usize {
        self.shapes[tensor].iter().product()
    }

    pub(crate) fn size(&self, tensor: usize) -> [usize; 2] {
        [self.shapes[tensor][1], self.shapes[tensor][2]]
    }

    pub(crate) fn format(&self, tensor: usize) -> Format {
        self.program.tensors()[tensor].format
    }
}
