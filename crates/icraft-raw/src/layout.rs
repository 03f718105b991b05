//! The order of a parameter's elements: as frameworks have it, and as raw files do.
//!
//! Frameworks keep the weights of a convolution as output, input, height, width; raw files as height, width, input,
//! output. Height and width keep their order, so both are a single axis here, the kernel, and the change is
//! `[O][I][K]` to `[K][I][O]`.

/// Why a tensor could not be brought from one layout to the other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// A shape whose layout in raw files is not known.
    #[error(
        "shape {shape:?} has {} axes; known are 1 (bias), 3 and 4 (convolutions); give a linear layer's weight as a \
         convolution's, [O, I, 1, 1]",
        shape.len()
    )]
    Axes {
        /// The shape.
        shape: Vec<usize>,
    },
    /// A shape of another size than its values.
    #[error("shape {shape:?} does not have {elements} elements")]
    Elements {
        /// The shape.
        shape: Vec<usize>,
        /// Elements given.
        elements: usize,
    },
    /// A parameter without an axis of input channels.
    #[error("shape {shape:?} has no input channels to be reversed; only weights of convolutions have")]
    NoInputs {
        /// The shape.
        shape: Vec<usize>,
    },
}

/// A parameter's shape, height and width in one.
#[derive(Clone, Copy)]
struct Axes {
    outputs: usize,
    inputs: usize,
    kernel: usize,
}

impl Axes {
    /// Of a shape in the framework's order.
    fn new(shape: &[usize], elements: usize) -> Result<Self, LayoutError> {
        let product = shape.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis));
        if product != Some(elements) {
            return Err(LayoutError::Elements { shape: shape.to_vec(), elements });
        }
        match *shape {
            // Some axis is 0, and the others may be anything.
            [_] | [_, _, _] | [_, _, _, _] if elements == 0 => Ok(Self { outputs: 0, inputs: 0, kernel: 0 }),
            [outputs] => Ok(Self { outputs, inputs: 1, kernel: 1 }),
            [outputs, inputs, kernel] => Ok(Self { outputs, inputs, kernel }),
            [outputs, inputs, height, width] => Ok(Self { outputs, inputs, kernel: height * width }),
            _ => Err(LayoutError::Axes { shape: shape.to_vec() }),
        }
    }

    /// Calls `pair` with each element's position in the framework's layout and in that of raw files.
    ///
    /// Sixteen outputs at a time: their rows are read from front to back, and what is written are whole lines of the
    /// cache, where one output at a time would touch a line for each element.
    fn for_each(self, mut pair: impl FnMut(usize, usize)) {
        const BLOCK: usize = 16;
        let row = self.inputs * self.kernel;
        for first in (0..self.outputs).step_by(BLOCK) {
            let outputs = first..self.outputs.min(first + BLOCK);
            for input in 0..self.inputs {
                for kernel in 0..self.kernel {
                    let (framework, raw) =
                        (input * self.kernel + kernel, (kernel * self.inputs + input) * self.outputs);
                    outputs.clone().for_each(|output| pair(output * row + framework, raw + output));
                }
            }
        }
    }
}

/// The shape that a raw file's tensor has: `[O, I, H, W]` becomes `[H, W, I, O]`, `[O, I, N]` becomes `[N, I, O]`,
/// `[O]` stays.
///
/// # Errors
///
/// [`LayoutError::Axes`] for any other number of axes.
pub fn raw_shape(shape: &[usize]) -> Result<Vec<usize>, LayoutError> {
    match *shape {
        [outputs] => Ok(vec![outputs]),
        [outputs, inputs, length] => Ok(vec![length, inputs, outputs]),
        [outputs, inputs, height, width] => Ok(vec![height, width, inputs, outputs]),
        _ => Err(LayoutError::Axes { shape: shape.to_vec() }),
    }
}

/// From the framework's layout to that of raw files: OIHW to HWIO (axes permuted by 2, 3, 1, 0), OIN to NIO, a bias
/// as it is. `shape` is the framework's. In a grouped convolution, I is the inputs of one group.
///
/// A transposed convolution is IOHW in the framework and HWOI in raw files, which is the same permutation.
///
/// # Errors
///
/// [`LayoutError::Elements`], [`LayoutError::Axes`].
pub fn to_raw_layout<T: Copy + Default>(values: &[T], shape: &[usize]) -> Result<Vec<T>, LayoutError> {
    let axes = Axes::new(shape, values.len())?;
    let mut raw = vec![T::default(); values.len()];
    axes.for_each(|from, to| raw[to] = values[from]);
    Ok(raw)
}

/// The inverse of [`to_raw_layout`]: HWIO to OIHW (axes permuted by 3, 2, 0, 1), NIO to OIN. `shape` is still the
/// framework's, that of the result.
///
/// # Errors
///
/// [`LayoutError::Elements`], [`LayoutError::Axes`].
pub fn to_framework_layout<T: Copy + Default>(values: &[T], shape: &[usize]) -> Result<Vec<T>, LayoutError> {
    let axes = Axes::new(shape, values.len())?;
    let mut framework = vec![T::default(); values.len()];
    axes.for_each(|to, from| framework[to] = values[from]);
    Ok(framework)
}

/// Reverses the input channels of a weight in the layout of raw files (axis 2 of HWIO). `shape` is the framework's.
///
/// From the normed stage on, a network that takes its images as BGR has its first convolution so; reversing again
/// gives back the framework's order.
///
/// # Errors
///
/// [`LayoutError::Elements`], [`LayoutError::Axes`]; [`LayoutError::NoInputs`] for a shape of one axis.
pub fn reverse_input_channels<T>(values: &mut [T], shape: &[usize]) -> Result<(), LayoutError> {
    let Axes { outputs, inputs, .. } = Axes::new(shape, values.len())?;
    if shape.len() == 1 {
        return Err(LayoutError::NoInputs { shape: shape.to_vec() });
    }
    if values.is_empty() {
        return Ok(());
    }
    for plane in values.chunks_exact_mut(inputs * outputs) {
        for input in 0..inputs / 2 {
            let (front, back) = plane.split_at_mut((inputs - 1 - input) * outputs);
            front[input * outputs..][..outputs].swap_with_slice(&mut back[..outputs]);
        }
    }
    Ok(())
}
