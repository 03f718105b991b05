//! Running a program.

use crate::kernels::conv::{PackedWeights, Planes, convolve};
use crate::kernels::{elementwise, spatial};
use crate::plan::{buffer_lengths, infer_shapes, plan, planned_bytes};
use crate::resume::same_work;
use crate::simd::{self, Requantize};
use crate::table::Table;
use crate::values::Buffer;
use crate::{Error, Format, Isa, Program, Step, StepOp, Values};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// What a step needs beyond its description, prepared once, when it first runs.
enum Prepared {
    ConvF32(PackedWeights<f32>),
    ConvI8 { weights: PackedWeights<i8>, requantize: Vec<Requantize>, table: Option<Table> },
    Table(Option<Table>),
    Rescale(Vec<Option<Box<[i8; 256]>>>),
    Nothing,
}

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
    /// Buffer of each tensor; tensors that don't live at the same time share.
    slots: Vec<usize>,
    /// Values that each buffer has room for once it is used.
    lengths: Vec<usize>,
    /// Empty before their first use.
    buffers: Vec<Buffer>,
}

impl Clone for Executor<'_> {
    fn clone(&self) -> Self {
        Self {
            program: self.program,
            isa: self.isa,
            shapes: self.shapes.clone(),
            prepared: self.prepared.clone(),
            slots: self.slots.clone(),
            lengths: self.lengths.clone(),
            buffers: self.buffers.iter().map(Buffer::empty_like).collect(),
        }
    }
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
        let (slots, buffers) = plan(program);
        let lengths = buffer_lengths(&shapes, &slots, &buffers)?;
        let prepared = program.steps().iter().map(prepared).collect();
        Ok(Self { program, isa, shapes, prepared, slots, lengths, buffers })
    }

    /// Runs the program on an image, planar `(channels, height, width)`.
    ///
    /// # Errors
    /// [`Error::InputLength`] if `input` has another length.
    pub fn run(&mut self, input: &[f32]) -> Result<(), Error> {
        self.run_with(input, |_, _| {})
    }

    /// As [`Executor::run`], showing every tensor to `tap(index, values)` as soon as it is there, the input first.
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub fn run_with(&mut self, input: &[f32], mut tap: impl FnMut(usize, Values<'_>)) -> Result<(), Error> {
        let expected = self.len(0);
        if input.len() != expected {
            return Err(Error::InputLength { found: input.len(), expected });
        }
        self.load(0, Values::F32(input));
        tap(0, Values::F32(input));
        for index in 0..self.program.steps().len() {
            let output = self.run_step(index);
            tap(output, self.values(output));
        }
        Ok(())
    }

    /// Runs one step, whose inputs are there; the tensor that it wrote.
    pub(crate) fn run_step(&mut self, index: usize) -> usize {
        let step = &self.program.steps()[index];
        let slot = self.slots[step.output];
        let mut output = std::mem::replace(&mut self.buffers[slot], Buffer::I8(Vec::new()));
        output.grow(self.lengths[slot]);
        self.step(index, step, &mut output);
        self.buffers[slot] = output;
        step.output
    }

    /// Puts values, as many as the tensor has and of its type, in the tensor's place.
    pub(crate) fn load(&mut self, tensor: usize, values: Values<'_>) {
        let slot = self.slots[tensor];
        self.buffers[slot].grow(self.lengths[slot]);
        match (&mut self.buffers[slot], values) {
            (Buffer::F32(buffer), Values::F32(v)) => buffer[..v.len()].copy_from_slice(v),
            (Buffer::I8(buffer), Values::I8(v)) => buffer[..v.len()].copy_from_slice(v),
            (Buffer::I16(buffer), Values::I16(v)) => buffer[..v.len()].copy_from_slice(v),
            _ => unreachable_by_validation(),
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
        self.program.outputs().iter().map(|&id| (id, self.values(id)))
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

    pub(crate) fn len(&self, tensor: usize) -> usize {
        self.shapes[tensor].iter().product()
    }

    /// A tensor's values, as long as nothing has taken its place.
    pub(crate) fn values(&self, tensor: usize) -> Values<'_> {
        self.buffers[self.slots[tensor]].values(self.len(tensor))
    }

    fn size(&self, tensor: usize) -> [usize; 2] {
        [self.shapes[tensor][1], self.shapes[tensor][2]]
    }

    fn format(&self, tensor: usize) -> Format {
        self.program.tensors()[tensor].format
    }

    fn step(&self, index: usize, step: &Step, output: &mut Buffer) {
        let len = self.len(step.output);
        let input = self.values(step.inputs[0]);
        let prepared = self.prepared[index].get_or_init(|| prepare(self.program, step));
        match (&step.op, prepared) {
            (StepOp::Quantize, _) => self.quantize(step, output),
            (StepOp::Dequantize, _) => self.dequantize(step, output),
            (StepOp::ConvF32 { .. }, Prepared::ConvF32(weights)) => self.conv_f32(step, weights, output),
            (StepOp::ConvI8 { .. }, Prepared::ConvI8 { weights, requantize, table }) => {
                self.conv_i8(step, weights, requantize, table.as_ref(), output);
            }
            (StepOp::Activation(activation), Prepared::Table(table)) => match (input, output, table) {
                (Values::F32(x), Buffer::F32(y), _) => {
                    y[..len].copy_from_slice(x);
                    simd::bias_activation(self.isa, &mut y[..len], 0.0, Some(*activation));
                }
                (Values::I8(x), Buffer::I8(y), Some(t)) => {
                    elementwise::map(x, &mut y[..len], |q| t.get(q.into()) as i8);
                }
                (Values::I8(x), Buffer::I16(y), Some(t)) => {
                    elementwise::map(x, &mut y[..len], |q| t.get(q.into()));
                }
                (Values::I16(x), Buffer::I8(y), Some(t)) => {
                    elementwise::map(x, &mut y[..len], |q| t.get(q.into()) as i8);
                }
                (Values::I16(x), Buffer::I16(y), Some(t)) => {
                    elementwise::map(x, &mut y[..len], |q| t.get(q.into()));
                }
                _ => unreachable_by_validation(),
            },
            (StepOp::Add { .. }, _) => self.add(step, output),
            (StepOp::Concat { .. }, Prepared::Rescale(tables)) => self.concat(step, tables, output),
            _ => match (input, output) {
                (Values::F32(x), Buffer::F32(y)) => self.spatial(step, x, &mut y[..len]),
                (Values::I8(x), Buffer::I8(y)) => self.spatial(step, x, &mut y[..len]),
                (Values::I16(x), Buffer::I16(y)) => self.spatial(step, x, &mut y[..len]),
                _ => unreachable_by_validation(),
            },
        }
    }

    fn quantize(&self, step: &Step, output: &mut Buffer) {
        let format = self.format(step.output);
        let (Values::F32(x), Some(params), Some(range)) =
            (self.values(step.inputs[0]), format.params(), format.range())
        else {
            return unreachable_by_validation();
        };
        let mut scratch = [0i32; 256];
        for (block, x) in x.chunks(scratch.len()).enumerate() {
            let scratch = &mut scratch[..x.len()];
            simd::quantize(self.isa, x, scratch, params.scale, params.zero_point, range);
            let at = block * 256..block * 256 + x.len();
            match output {
                Buffer::I8(y) => y[at].iter_mut().zip(scratch).for_each(|(y, q)| *y = *q as i8),
                Buffer::I16(y) => y[at].iter_mut().zip(scratch).for_each(|(y, q)| *y = *q as i16),
                Buffer::F32(_) => unreachable_by_validation(),
            }
        }
    }

    fn dequantize(&self, step: &Step, output: &mut Buffer) {
        let (Some(params), Buffer::F32(y)) = (self.format(step.inputs[0]).params(), output) else {
            return unreachable_by_validation();
        };
        let y = &mut y[..self.len(step.output)];
        match self.values(step.inputs[0]) {
            Values::I8(x) => elementwise::map(x, y, |q| params.dequantize(q.into())),
            Values::I16(x) => elementwise::map(x, y, |q| params.dequantize(q.into())),
            Values::F32(_) => unreachable_by_validation(),
        }
    }

    fn conv_f32(&self, step: &Step, weights: &PackedWeights<f32>, output: &mut Buffer) {
        let (StepOp::ConvF32 { bias, activation, .. }, Values::F32(x), Buffer::F32(y)) =
            (&step.op, self.values(step.inputs[0]), output)
        else {
            return unreachable_by_validation();
        };
        let bias = self.program.f32(bias);
        let planes = Planes { values: x, size: self.size(step.inputs[0]), padding: 0.0 };
        let y = &mut y[..self.len(step.output)];
        convolve(self.isa, weights, planes, self.size(step.output), y, |channel, sums, out| {
            simd::bias_activation(self.isa, sums, bias[channel], *activation);
            out.copy_from_slice(sums);
        });
    }

    fn conv_i8(
        &self,
        step: &Step,
        weights: &PackedWeights<i8>,
        requantize: &[Requantize],
        table: Option<&Table>,
        output: &mut Buffer,
    ) {
        let Values::I8(x) = self.values(step.inputs[0]) else { return unreachable_by_validation() };
        let padding = self.format(step.inputs[0]).params().map_or(0, |p| p.zero_point) as i8;
        let planes = Planes { values: x, size: self.size(step.inputs[0]), padding };
        let (size, len) = (self.size(step.output), self.len(step.output));
        match output {
            Buffer::I8(y) => {
                convolve(self.isa, weights, planes, size, &mut y[..len], |channel, sums, out| {
                    self.finish_i8(sums, &requantize[channel], table, out);
                });
            }
            Buffer::I16(y) => {
                convolve(self.isa, weights, planes, size, &mut y[..len], |channel, sums, out| {
                    self.finish_i8(sums, &requantize[channel], table, out);
                });
            }
            Buffer::F32(_) => unreachable_by_validation(),
        }
    }

    fn finish_i8<O: elementwise::Integer>(
        &self,
        sums: &mut [i32],
        how: &Requantize,
        table: Option<&Table>,
        out: &mut [O],
    ) {
        simd::requantize(self.isa, sums, how);
        match table {
            None => out.iter_mut().zip(sums).for_each(|(out, &mut q)| *out = O::narrow(q)),
            Some(table) => {
                out.iter_mut().zip(sums).for_each(|(out, &mut q)| *out = O::narrow(table.get(q).into()));
            }
        }
    }

    fn add(&self, step: &Step, output: &mut Buffer) {
        let StepOp::Add { multipliers, rounding } = &step.op else { return unreachable_by_validation() };
        let len = self.len(step.output);
        let format = self.format(step.output);
        let [a, b] = [0, 1].map(|i| self.values(step.inputs[i]));
        let [z_a, z_b] = [0, 1].map(|i| self.format(step.inputs[i]).params().map_or(0, |p| p.zero_point));
        if let (Values::F32(a), Values::F32(b), Buffer::F32(y)) = (a, b, &mut *output) {
            y[..len].iter_mut().zip(a.iter().zip(b)).for_each(|(y, (a, b))| *y = a + b);
            return;
        }
        let (Some(multipliers), Some(params), Some(range)) = (multipliers, format.params(), format.range())
        else {
            return unreachable_by_validation();
        };
        let how = elementwise::Sum { multipliers, rounding: *rounding, zero_point: params.zero_point, range };
        macro_rules! add {
            ($a:expr, $b:expr) => {{
                let (a, b) = (
                    elementwise::Term { values: $a, zero_point: z_a },
                    elementwise::Term { values: $b, zero_point: z_b },
                );
                match output {
                    Buffer::I8(y) => elementwise::add(a, b, &how, &mut y[..len]),
                    Buffer::I16(y) => elementwise::add(a, b, &how, &mut y[..len]),
                    Buffer::F32(_) => unreachable_by_validation(),
                }
            }};
        }
        match (a, b) {
            (Values::I8(a), Values::I8(b)) => add!(a, b),
            (Values::I8(a), Values::I16(b)) => add!(a, b),
            (Values::I16(a), Values::I8(b)) => add!(a, b),
            (Values::I16(a), Values::I16(b)) => add!(a, b),
            _ => unreachable_by_validation(),
        }
    }

    fn concat(&self, step: &Step, tables: &[Option<Box<[i8; 256]>>], output: &mut Buffer) {
        let mut at = 0;
        for (&id, table) in step.inputs.iter().zip(tables) {
            let range = at..at + self.len(id);
            at = range.end;
            match (self.values(id), &mut *output, table) {
                (Values::F32(x), Buffer::F32(y), _) => y[range].copy_from_slice(x),
                (Values::I16(x), Buffer::I16(y), _) => y[range].copy_from_slice(x),
                (Values::I8(x), Buffer::I8(y), None) => y[range].copy_from_slice(x),
                (Values::I8(x), Buffer::I8(y), Some(table)) => {
                    elementwise::map(x, &mut y[range], |q| table[usize::from(q as u8)]);
                }
                _ => unreachable_by_validation(),
            }
        }
    }

    fn spatial<T: spatial::Ordered>(&self, step: &Step, input: &[T], output: &mut [T]) {
        let size = self.size(step.inputs[0]);
        match step.op {
            StepOp::MaxPool { kernel, stride, padding } => {
                spatial::max_pool(input, size, (kernel, stride, padding), self.size(step.output), output);
            }
            StepOp::Upsample { scale } => spatial::upsample(input, size[1], scale, output),
            StepOp::SpaceToDepth => spatial::space_to_depth(input, size, output),
            _ => unreachable_by_validation(),
        }
    }
}

/// A combination of formats that `validate` refuses: nothing is computed.
fn unreachable_by_validation() {
    debug_assert!(false, "a program that was not validated");
}

fn prepare(program: &Program, step: &Step) -> Prepared {
    let format = |id: usize| program.tensors()[id].format;
    match &step.op {
        StepOp::ConvF32 { geometry, weight, .. } => {
            Prepared::ConvF32(PackedWeights::new(*geometry, program.f32(weight)))
        }
        StepOp::ConvI8 { geometry, weight, activation, .. } => Prepared::ConvI8 {
            weights: PackedWeights::new(*geometry, program.i8(weight)),
            requantize: requantizers(program, step),
            table: activation.and_then(|(f, argument)| Table::activation(f, argument, format(step.output))),
        },
        StepOp::Activation(f) => {
            Prepared::Table(Table::activation(*f, format(step.inputs[0]), format(step.output)))
        }
        StepOp::Concat { rescale, rounding } => {
            let table = |(&id, &factor): (&usize, &Option<crate::Multiplier>)| {
                let (from, to) = (format(id).params()?, format(step.output).params()?);
                Some(Box::new(elementwise::rescale_table(from, to, factor?, *rounding)))
            };
            Prepared::Rescale(step.inputs.iter().zip(rescale).map(table).collect())
        }
        _ => Prepared::Nothing,
    }
}

/// Bias, with the share of the input's zero point moved into it, and multiplier of every output channel.
fn requantizers(program: &Program, step: &Step) -> Vec<Requantize> {
    let StepOp::ConvI8 { geometry, weight, bias, multipliers, rounding, activation } = &step.op else {
        return Vec::new();
    };
    let target = activation.map_or(program.tensors()[step.output].format, |(_, argument)| argument);
    let (Some(params), Some((low, high))) = (target.params(), target.range()) else { return Vec::new() };
    let input_zero = program.tensors()[step.inputs[0]].format.params().map_or(0, |p| p.zero_point);
    let rows = program.i8(weight).chunks_exact(geometry.depth());
    let pairs = program.i32(multipliers).chunks_exact(2);
    rows.zip(program.i32(bias))
        .zip(pairs)
        .map(|((row, &bias), pair)| Requantize {
            bias: bias - input_zero * row.iter().map(|&w| i32::from(w)).sum::<i32>(),
            mantissa: pair[0],
            shift: pair[1] as u32,
            rounding: *rounding,
            zero_point: params.zero_point,
            low,
            high,
        })
        .collect()
}
