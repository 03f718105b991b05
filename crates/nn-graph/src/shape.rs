//! Shape inference and counts.

use crate::{Conv, Graph, MaxPool, Node, Op, error::Error};

/// `(channels, height, width)`.
pub type Shape = [usize; 3];

/// No tensor has more values.
const MAX_VALUES: usize = 1 << 40;

impl Graph {
    /// The largest stride of the head's levels: image sides must be multiples of it.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.head.as_ref().and_then(|h| h.strides.iter().copied().max()).unwrap_or(1)
    }

    /// Shapes of all tensors, in the order of [`Graph::nodes`], for an image of `height` x `width` pixels.
    ///
    /// # Errors
    /// If a side is not a positive multiple of the stride, or inputs of a node don't fit each other.
    pub fn infer_shapes(&self, height: usize, width: usize) -> Result<Vec<Shape>, Error> {
        let stride = self.stride();
        if height == 0 || width == 0 || !height.is_multiple_of(stride) || !width.is_multiple_of(stride) {
            return Err(Error::ImageSize { height, width, stride });
        }
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let inputs: Vec<Shape> = node.inputs.iter().map(|id| shapes[id.0]).collect();
            let [h, w] = output_size(node, &inputs, [height, width])?;
            let shape = [node.channels, h, w];
            let count = shape.iter().try_fold(1usize, |n, &side| n.checked_mul(side));
            if count.is_none_or(|count| count > MAX_VALUES) {
                return Err(too_large(node, shape));
            }
            shapes.push(shape);
        }
        Ok(shapes)
    }

    /// Floating-point operations of one forward pass: two for each multiplication of the convolutions (the figure that papers print).
    ///
    /// # Errors
    /// As [`Graph::infer_shapes`].
    pub fn flops(&self, height: usize, width: usize) -> Result<u64, Error> {
        let shapes = self.infer_shapes(height, width)?;
        Ok(self.nodes.iter().zip(&shapes).map(|(node, &shape)| 2 * node_macs(node, shape)).sum())
    }
}

/// Multiplications of `node` where its output has `shape`.
pub(crate) fn node_macs(node: &Node, [channels, height, width]: Shape) -> u64 {
    let Op::Conv(conv) = &node.op else { return 0 };
    let per_output = conv.in_channels / conv.groups * conv.kernel[0] * conv.kernel[1];
    (channels * height * width) as u64 * per_output as u64
}

fn output_size(node: &Node, inputs: &[Shape], image: [usize; 2]) -> Result<[usize; 2], Error> {
    let same = || -> [usize; 2] { [inputs[0][1], inputs[0][2]] };
    match &node.op {
        Op::Input { .. } => Ok(image),
        Op::Conv(conv) => conv_size(conv, inputs[0]).ok_or_else(|| too_small(node, inputs[0])),
        Op::MaxPool(pool) => pool_size(pool, inputs[0]).ok_or_else(|| too_small(node, inputs[0])),
        Op::Upsample { scale } => {
            let [height, width] = same();
            let grown = height.checked_mul(*scale).zip(width.checked_mul(*scale));
            grown.map(|(h, w)| [h, w]).ok_or_else(|| too_large(node, inputs[0]))
        }
        Op::SpaceToDepth if inputs[0][1] % 2 == 1 || inputs[0][2] % 2 == 1 => Err(too_small(node, inputs[0])),
        Op::SpaceToDepth => Ok(same().map(|side| side / 2)),
        Op::Add | Op::Concat => {
            let fits = inputs
                .iter()
                .all(|s| s[1..] == inputs[0][1..] && (node.op == Op::Concat || s[0] == inputs[0][0]));
            if fits {
                Ok(same())
            } else {
                Err(Error::Shapes { node: node.name.clone(), shapes: inputs.to_vec() })
            }
        }
        Op::BatchNorm { .. } | Op::Activation(_) => Ok(same()),
    }
}

fn too_large(node: &Node, shape: Shape) -> Error {
    Error::TooManyValues { node: node.name.clone(), shape }
}

fn too_small(node: &Node, shape: Shape) -> Error {
    Error::TooSmall { node: node.name.clone(), shape }
}

/// `floor((side + 2 padding - dilation (kernel - 1) - 1) / stride) + 1`.
fn window_size(side: usize, kernel: usize, stride: usize, padding: usize, dilation: usize) -> Option<usize> {
    let reach = dilation.checked_mul(kernel.checked_sub(1)?)?.checked_add(1)?;
    let padded = padding.checked_mul(2)?.checked_add(side)?;
    Some(padded.checked_sub(reach)? / stride + 1)
}

fn conv_size(conv: &Conv, input: Shape) -> Option<[usize; 2]> {
    let side = |axis: usize| {
        window_size(
            input[axis + 1],
            conv.kernel[axis],
            conv.stride[axis],
            conv.padding[axis],
            conv.dilation[axis],
        )
    };
    Some([side(0)?, side(1)?])
}

fn pool_size(pool: &MaxPool, input: Shape) -> Option<[usize; 2]> {
    let side = |axis: usize| window_size(input[axis + 1], pool.kernel, pool.stride, pool.padding, 1);
    Some([side(0)?, side(1)?])
}
