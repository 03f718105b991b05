//! Memory of a run: shapes of all tensors, and the buffers that they share.

use crate::values::Buffer;
use crate::{ConvGeometry, Error, Format, Program, Step, StepOp};

/// No tensor of a run has more values.
const MAX_VALUES: usize = 1 << 28;
/// No run takes more memory for its feature maps.
const MAX_BUFFER_BYTES: usize = 1 << 33;

/// `(channels, height, width)` of every tensor for an image of that height and width.
pub(crate) fn infer_shapes(program: &Program, image: [usize; 2]) -> Result<Vec<[usize; 3]>, Error> {
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
        StepOp::ConvF32 { geometry, .. }
        | StepOp::ConvI8 { geometry, .. }
        | StepOp::ConvI16 { geometry, .. } => geometry.output_size(size),
        StepOp::MaxPool { kernel, stride, padding } => ConvGeometry {
            in_channels: 1,
            out_channels: 1,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [1; 2],
            groups: 1,
            border: 0,
        }
        .output_size(size),
        StepOp::Upsample { scale } => Some([size[0].checked_mul(scale)?, size[1].checked_mul(scale)?]),
        StepOp::SpaceToDepth if size[0] % 2 == 1 || size[1] % 2 == 1 => None,
        StepOp::SpaceToDepth => Some(size.map(|side| side / 2)),
        _ => Some(size),
    }
}

/// Where a tensor's values are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In this buffer, for as long as it is used.
    Buffer(usize),
    /// Side by side in the channels, in the places of these tensors: a concatenation that nobody has to carry out.
    Joined(Vec<usize>),
}

/// Length of every buffer: that of its largest tensor, unless all together would be too large.
pub(crate) fn buffer_lengths(
    shapes: &[[usize; 3]],
    places: &[Place],
    buffers: &[Buffer],
) -> Result<Vec<usize>, Error> {
    let mut lengths = vec![0usize; buffers.len()];
    for (shape, place) in shapes.iter().zip(places) {
        if let Place::Buffer(slot) = *place {
            lengths[slot] = lengths[slot].max(shape.iter().product());
        }
    }
    let bytes = planned_bytes(buffers, &lengths);
    if bytes > MAX_BUFFER_BYTES {
        return Err(Error::Memory { bytes, limit: MAX_BUFFER_BYTES });
    }
    Ok(lengths)
}

/// Bytes of buffers of these lengths.
pub(crate) fn planned_bytes(buffers: &[Buffer], lengths: &[usize]) -> usize {
    buffers.iter().zip(lengths).map(|(buffer, len)| len * buffer.element_bytes()).sum()
}

/// Of every step the addition that it can be done with in one pass: a convolution whose result nothing else reads, with a shortcut that
/// is there before, and has the type of the sum.
pub(crate) fn fused_additions(program: &Program) -> Vec<Option<usize>> {
    let (steps, tensors) = (program.steps(), program.tensors());
    let mut made_by = vec![None; tensors.len()];
    steps.iter().enumerate().for_each(|(index, step)| made_by[step.output] = Some(index));
    let kind = |id: usize| std::mem::discriminant(&tensors[id].format);
    let addition = |(index, step): (usize, &Step)| {
        let is_conv =
            matches!(step.op, StepOp::ConvF32 { .. } | StepOp::ConvI8 { .. } | StepOp::ConvI16 { .. });
        let mut readers = (0..steps.len()).filter(|&reader| steps[reader].inputs.contains(&step.output));
        let (reader, None) = (readers.next()?, readers.next()) else { return None };
        let (StepOp::Add { .. }, [a, b]) = (&steps[reader].op, &steps[reader].inputs[..]) else {
            return None;
        };
        let other = if *a == step.output { *b } else { *a };
        let early = made_by[other].is_none_or(|maker| maker < index);
        let fits = is_conv && a != b && early && kind(other) == kind(steps[reader].output);
        (fits && !program.outputs().contains(&step.output)).then_some(reader)
    };
    steps.iter().enumerate().map(addition).collect()
}

/// Gives every tensor a buffer of its type, using one again once its last reader has run.
///
/// Sums of `fused` additions have theirs from the convolution on.
pub(crate) fn plan(program: &Program, fused: &[Option<usize>]) -> (Vec<Place>, Vec<Buffer>) {
    let tensors = program.tensors();
    let joined = joined(program);
    // The buffers that a tensor's readers read.
    let sources = |id: usize| joined[id].clone().unwrap_or_else(|| vec![id]);
    let mut last_use = vec![0; tensors.len()];
    for (index, step) in program.steps().iter().enumerate() {
        step.inputs.iter().flat_map(|&id| sources(id)).for_each(|id| last_use[id] = index);
    }
    program.outputs().iter().for_each(|&id| last_use[id] = usize::MAX);
    let mut places = vec![Place::Buffer(0); tensors.len()];
    let mut buffers = vec![Buffer::for_format(tensors[0].format)];
    let mut free: Vec<usize> = Vec::new();
    let mut placed = vec![false; tensors.len()];
    for (index, step) in program.steps().iter().enumerate() {
        let sum = fused[index].map(|add| program.steps()[add].output);
        for output in [Some(step.output), sum].into_iter().flatten() {
            if std::mem::replace(&mut placed[output], true) {
                continue;
            }
            let wanted = Buffer::for_format(tensors[output].format);
            let same =
                |&slot: &usize| std::mem::discriminant(&buffers[slot]) == std::mem::discriminant(&wanted);
            places[output] = match (&joined[output], free.iter().position(same)) {
                (Some(parts), _) => Place::Joined(parts.clone()),
                (None, Some(position)) => Place::Buffer(free.swap_remove(position)),
                (None, None) => {
                    buffers.push(wanted);
                    Place::Buffer(buffers.len() - 1)
                }
            };
        }
        let inputs = step.inputs.iter().flat_map(|&id| sources(id));
        let mut done: Vec<usize> = inputs.filter(|&id| last_use[id] == index).collect();
        // A step may read a tensor twice; its buffer becomes free once.
        done.sort_unstable();
        done.dedup();
        free.extend(done.iter().filter_map(|&id| match places[id] {
            Place::Buffer(slot) => Some(slot),
            Place::Joined(_) => None,
        }));
    }
    (places, buffers)
}

/// Of every tensor the parts that it may stay in: those of a concatenation without re-scaling that only convolutions read, which take
/// pixels as they lie.
fn joined(program: &Program) -> Vec<Option<Vec<usize>>> {
    let mut joined = vec![None; program.tensors().len()];
    for step in program.steps() {
        let copied = match &step.op {
            StepOp::Concat { rescale, .. } => rescale.iter().all(Option::is_none),
            StepOp::Join => true,
            _ => continue,
        };
        let readers = || program.steps().iter().filter(|reader| reader.inputs.contains(&step.output));
        let pixels_as_they_lie = |reader: &Step| match reader.op {
            StepOp::ConvF32 { geometry, .. }
            | StepOp::ConvI8 { geometry, .. }
            | StepOp::ConvI16 { geometry, .. } => geometry.is_pointwise(),
            _ => false,
        };
        let whole_groups = step.inputs.iter().all(|&id| {
            let tensor = &program.tensors()[id];
            tensor.format == Format::F32 || tensor.channels.is_multiple_of(4)
        });
        let once = step.inputs.iter().all(|id| step.inputs.iter().filter(|other| *other == id).count() == 1);
        if copied
            && whole_groups
            && once
            && !program.outputs().contains(&step.output)
            && readers().all(pixels_as_they_lie)
        {
            joined[step.output] = Some(step.inputs.clone());
        }
    }
    joined
}
