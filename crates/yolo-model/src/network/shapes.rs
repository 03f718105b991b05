//! Whether an operator can read what it is about to read: checked before Burn would panic.

use super::NetworkError;
use nn_graph::{Graph, Node, Op};

/// Checks the shapes of all that `node` reads; of the input, the shape of the image if there is one.
pub(super) fn check(graph: &Graph, node: &Node, shapes: &[[usize; 4]]) -> Result<(), NetworkError> {
    if shapes.is_empty() {
        return Ok(()); // the image is absent, which is not a matter of shapes
    }
    let whole = shapes.iter().all(|shape| shape.iter().all(|&side| side > 0));
    if whole && channels_fit(graph, node, shapes) && sizes_fit(&node.op, shapes) {
        return Ok(());
    }
    Err(NetworkError::Shapes { node: node.name.clone(), shapes: shapes.to_vec() })
}

fn channels_fit(graph: &Graph, node: &Node, shapes: &[[usize; 4]]) -> bool {
    if let Op::Input { channels } = node.op {
        return shapes.iter().all(|shape| shape[1] == channels);
    }
    shapes.iter().zip(&node.inputs).all(|(shape, id)| shape[1] == graph.node(*id).channels)
}

fn sizes_fit(op: &Op, shapes: &[[usize; 4]]) -> bool {
    let Some(&[batch, _, height, width]) = shapes.first() else { return false };
    match op {
        Op::Conv(conv) => [height, width].iter().enumerate().all(|(axis, side)| {
            side + 2 * conv.padding[axis] > conv.dilation[axis] * conv.kernel[axis].saturating_sub(1)
        }),
        Op::MaxPool(pool) => height.min(width) + 2 * pool.padding >= pool.kernel,
        Op::SpaceToDepth => height.is_multiple_of(2) && width.is_multiple_of(2),
        Op::Add | Op::Concat => shapes.iter().all(|&[b, _, h, w]| [b, h, w] == [batch, height, width]),
        Op::Input { .. } | Op::BatchNorm { .. } | Op::Activation(_) | Op::Upsample { .. } => true,
    }
}
