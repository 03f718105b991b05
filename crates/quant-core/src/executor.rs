//! Running a program.

use crate::kernels::conv::{PackedWeights, Planes, convolve};
use crate::kernels::{elementwise, spatial};
use crate::simd::{self, Requantize};
use crate::table::Table;
use crate::{ConvGeometry, Error, Format, Isa, Program, Step, StepOp};

/// A tensor's values, planar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Values<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// 8-bit integers.
    I8(&'a [i8]),
    /// 16-bit integers.
    I16(&'a [i16]),
}

impl Values<'_> {
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Values::F32(v) => v.len(),
            Values::I8(v) => v.len(),
            Values::I16(v) => v.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The real numbers that the values stand for under `format`.
    #[must_use]
    pub fn to_f32(&self, format: Format) -> Vec<f32> {
        match (self, format.params()) {
            (Values::F32(v), _) => v.to_vec(),
            (Values::I8(v), Some(params)) => v.iter().map(|&q| params.dequantize(q.into())).collect(),
            (Values::I16(v), Some(params)) => v.iter().map(|&q| params.dequantize(q.into())).collect(),
            (Values::I8(v), None) => v.iter().map(|&q| q.into()).collect(),
            (Values::I16(v), None) => v.iter().map(|&q| q.into()).collect(),
        }
    }
}

/// Storage of one or, one after the other, several tensors.
#[derive(Debug)]
enum Buffer {
    F32(Vec<f32>),
    I8(Vec<i8>),
    I16(Vec<i16>),
}

impl Buffer {
    fn for_format(format: Format) -> Self {
        match format {
            Format::F32 => Buffer::F32(Vec::new()),
            Format::I8(_) => Buffer::I8(Vec::new()),
            Format::I16(_) => Buffer::I16(Vec::new()),
        }
    }

    fn grow(&mut self, len: usize) {
        match self {
            Buffer::F32(v) => v.resize(len.max(v.len()), 0.0),
            Buffer::I8(v) => v.resize(len.max(v.len()), 0),
            Buffer::I16(v) => v.resize(len.max(v.len()), 0),
        }
    }

    fn values(&self, len: usize) -> Values<'_> {
        match self {
            Buffer::F32(v) => Values::F32(&v[..len]),
            Buffer::I8(v) => Values::I8(&v[..len]),
            Buffer::I16(v) => Values::I16(&v[..len]),
        }
    }

    fn element_bytes(&self) -> usize {
        match self {
            Buffer::F32(_) => 4,
            Buffer::I8(_) => 1,
            Buffer::I16(_) => 2,
        }
    }

    fn bytes(&self) -> usize {
        let len = match self {
            Buffer::F32(v) => v.len(),
            Buffer::I8(v) => v.len(),
            Buffer::I16(v) => v.len(),
        };
        len * self.element_bytes()
    }
}

/// What a step needs beyond its description, prepared once.
enum Prepared {
    ConvF32(PackedWeights<f32>),
    ConvI8 { weights: PackedWeights<i8>, requantize: Vec<Requantize>, table: Option<Table> },
    Table(Option<Table>),
    Rescale(Vec<Option<Box<[i8; 256]>>>),
    Nothing,
}

/// A program made ready for images of one size: weights packed, tables filled, memory planned.
///
/// Work inside a step runs on the current rayon pool. The bits of the result depend neither on its size nor on the instruction set.
pub struct Executor<'p> {
    program: &'p Program,
    isa: Isa,
    shapes: Vec<[usize; 3]>,
    prepared: Vec<Prepared>,
    /// Buffer of each tensor; tensors that don't live at the same time share.
    slots: Vec<usize>,
    buffers: Vec<Buffer>,
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
        let shapes = infer_shapes(program, [height, width])?;
        let (slots, mut buffers) = plan(program);
        allocate(&shapes, &slots, &mut buffers)?;
        let prepared = program.steps().iter().map(|step| prepare(program, step)).collect();
        Ok(Self { program, isa, shapes, prepared, slots, buffers })
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
        if let Buffer::F32(buffer) = &mut self.buffers[self.slots[0]] {
            buffer[..expected].copy_from_slice(input);
        }
        tap(0, Values::F32(input));
        let program = self.program;
        for (index, step) in program.steps().iter().enumerate() {
            let slot = self.slots[step.output];
            let mut output = std::mem::replace(&mut self.buffers[slot], Buffer::I8(Vec::new()));
            self.step(index, step, &mut output);
            self.buffers[slot] = output;
            tap(step.output, self.values(step.output));
        }
        Ok(())
    }

    /// The program's outputs after a run: index of the tensor, and its values.
    pub fn outputs(&self) -> impl Iterator<Item = (usize, Values<'_>)> {
        self.program.outputs().iter().map(|&id| (id, self.values(id)))
    }

    /// `(channels, height, width)` of every tensor.
    #[must_use]
    pub fn shapes(&self) -> &[[usize; 3]] {
        &self.shapes
    }

    /// Bytes of all feature map buffers.
    #[must_use]
    pub fn buffer_bytes(&self) -> usize {
        self.buffers.iter().map(Buffer::bytes).sum()
    }

    fn len(&self, tensor: usize) -> usize {
        self.shapes[tensor].iter().product()
    }

    fn values(&self, tensor: usize) -> Values<'_> {
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
        match (&step.op, &self.prepared[index]) {
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

/// No tensor of a run has more values.
const MAX_VALUES: usize = 1 << 28;
/// No run takes more memory for its feature maps.
const MAX_BUFFER_BYTES: usize = 1 << 33;

fn infer_shapes(program: &Program, image: [usize; 2]) -> Result<Vec<[usize; 3]>, Error> {
    let mut shapes = vec![[0; 3]; program.tensors().len()];
    shapes[0] = [program.tensors()[0].channels, image[0], image[1]];
    check_count("image", shapes[0])?;
    for step in program.steps() {
        let first = shapes[step.inputs[0]];
        let size = output_size(&step.op, [first[1], first[2]]);
        let [height, width] =
            size.ok_or_else(|| shape_error(&step.name, "the window must fit its input", first))?;
        if let Some(&other) = step.inputs.iter().find(|&&id| shapes[id][1..] != first[1..]) {
            let rule = "joined tensors must have one height and width";
            return Err(shape_error(&step.name, rule, shapes[other]));
        }
        let shape = [program.tensors()[step.output].channels, height, width];
        check_count(&step.name, shape)?;
        shapes[step.output] = shape;
    }
    Ok(shapes)
}

fn shape_error(step: &str, rule: &'static str, shape: [usize; 3]) -> Error {
    Error::Shape { step: step.to_owned(), rule, shape }
}

fn check_count(step: &str, shape: [usize; 3]) -> Result<(), Error> {
    let count = shape.iter().try_fold(1usize, |n, &side| n.checked_mul(side));
    let fits = count.is_some_and(|n| (1..=MAX_VALUES).contains(&n));
    if fits { Ok(()) } else { Err(shape_error(step, "between 1 and 2^28 values", shape)) }
}

fn output_size(op: &StepOp, size: [usize; 2]) -> Option<[usize; 2]> {
    match *op {
        StepOp::ConvF32 { geometry, .. } | StepOp::ConvI8 { geometry, .. } => geometry.output_size(size),
        StepOp::MaxPool { kernel, stride, padding } => ConvGeometry {
            in_channels: 1,
            out_channels: 1,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [1; 2],
            groups: 1,
        }
        .output_size(size),
        StepOp::Upsample { scale } => Some([size[0].checked_mul(scale)?, size[1].checked_mul(scale)?]),
        StepOp::SpaceToDepth if size[0] % 2 == 1 || size[1] % 2 == 1 => None,
        StepOp::SpaceToDepth => Some(size.map(|side| side / 2)),
        _ => Some(size),
    }
}

/// Makes every buffer as large as its largest tensor, unless all together would be too large.
fn allocate(shapes: &[[usize; 3]], slots: &[usize], buffers: &mut [Buffer]) -> Result<(), Error> {
    let mut lengths = vec![0usize; buffers.len()];
    for (shape, &slot) in shapes.iter().zip(slots) {
        lengths[slot] = lengths[slot].max(shape.iter().product());
    }
    let bytes: usize = buffers.iter().zip(&lengths).map(|(buffer, &len)| len * buffer.element_bytes()).sum();
    if bytes > MAX_BUFFER_BYTES {
        return Err(Error::Memory { bytes, limit: MAX_BUFFER_BYTES });
    }
    buffers.iter_mut().zip(lengths).for_each(|(buffer, len)| buffer.grow(len));
    Ok(())
}

/// Gives every tensor a buffer of its type, using one again once its last reader has run.
fn plan(program: &Program) -> (Vec<usize>, Vec<Buffer>) {
    let tensors = program.tensors();
    let mut last_use = vec![0; tensors.len()];
    for (index, step) in program.steps().iter().enumerate() {
        step.inputs.iter().for_each(|&id| last_use[id] = index);
    }
    program.outputs().iter().for_each(|&id| last_use[id] = usize::MAX);
    let mut slots = vec![0; tensors.len()];
    let mut buffers = vec![Buffer::for_format(tensors[0].format)];
    let mut free: Vec<usize> = Vec::new();
    for (index, step) in program.steps().iter().enumerate() {
        let wanted = Buffer::for_format(tensors[step.output].format);
        let same = |&slot: &usize| std::mem::discriminant(&buffers[slot]) == std::mem::discriminant(&wanted);
        slots[step.output] = match free.iter().position(same) {
            Some(position) => free.swap_remove(position),
            None => {
                buffers.push(wanted);
                buffers.len() - 1
            }
        };
        let mut done: Vec<usize> = step.inputs.iter().copied().filter(|&id| last_use[id] == index).collect();
        // A step may read a tensor twice; its buffer becomes free once.
        done.sort_unstable();
        done.dedup();
        free.extend(done.into_iter().map(|id| slots[id]));
    }
    (slots, buffers)
}
