//! The graph: a list of primitive operators in topological order.

use crate::{Conv, Op, Params, error::Error};

/// A tensor of the graph, identified by the node that produces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorId(pub(crate) usize);

impl TensorId {
    /// Position of the producing node in [`Graph::nodes`].
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

/// One operator; it produces exactly one tensor, which carries the node's name.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// PyTorch path of the module (`model.2.m.0.cv1.conv`), or that of the enclosing module and a verb (`model.2.m.0.add`).
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// What it reads, all produced by earlier nodes.
    pub inputs: Vec<TensorId>,
    /// Channels of the tensor that it produces.
    pub channels: usize,
    /// Index into [`Graph::layers`] of the top-level module that it belongs to; `None` for the input.
    pub layer: Option<usize>,
}

/// A top-level module, one line of the yaml.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// `model.0`, `model.1`, ...
    pub name: String,
    /// Name of the module in the yaml, without `nn.`.
    pub module: String,
    /// The tensors that leave it: one, or one per level for a detection head.
    pub outputs: Vec<TensorId>,
}

/// The geometry of a detection head; its levels are [`Graph::outputs`], `(anchors * (5 + classes), h, w)` before the sigmoid.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectHead {
    /// Name of the head's layer (`model.24`).
    pub name: String,
    /// Number of classes.
    pub classes: usize,
    /// Anchor width and height in pixels, per level.
    pub anchors: Vec<Vec<[f32; 2]>>,
    /// Input pixels per cell, per level.
    pub strides: Vec<usize>,
}

/// A parameter that the graph expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamSpec {
    /// State-dict name.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// Whether training changes it by gradient (running statistics are not counted as parameters).
    pub learnable: bool,
}

/// A detector as primitive operators.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    pub(crate) name: String,
    pub(crate) nodes: Vec<Node>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) outputs: Vec<TensorId>,
    pub(crate) head: Option<DetectHead>,
}

impl Graph {
    /// Name of the model.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All nodes; each reads only tensors of nodes before it. The first is the input.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node that produces `id`.
    #[must_use]
    pub fn node(&self, id: TensorId) -> &Node {
        &self.nodes[id.0]
    }

    /// Ids of all tensors, in the order of [`Graph::nodes`].
    pub fn tensors(&self) -> impl Iterator<Item = TensorId> + use<> {
        (0..self.nodes.len()).map(TensorId)
    }

    /// Top-level modules.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The tensors that leave the graph.
    #[must_use]
    pub fn outputs(&self) -> &[TensorId] {
        &self.outputs
    }

    /// The detection head, if the graph ends in one.
    #[must_use]
    pub fn head(&self) -> Option<&DetectHead> {
        self.head.as_ref()
    }

    /// Channels of the input image.
    #[must_use]
    pub fn input_channels(&self) -> usize {
        self.nodes[0].channels
    }

    /// For every tensor the nodes that read it, in order (a node that reads it twice is listed twice).
    #[must_use]
    pub fn consumers(&self) -> Vec<Vec<TensorId>> {
        let mut consumers = vec![Vec::new(); self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for input in &node.inputs {
                consumers[input.0].push(TensorId(index));
            }
        }
        consumers
    }

    /// Every parameter and buffer that the graph's operators read, in graph order.
    #[must_use]
    pub fn parameters(&self) -> Vec<ParamSpec> {
        self.nodes.iter().flat_map(node_parameters).collect()
    }

    /// Number of learnable parameters.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().filter(|p| p.learnable).map(|p| p.shape.iter().product::<usize>()).sum()
    }

    /// Takes the anchors that training left in the checkpoint (`HEAD.anchors`, shape `(levels, anchors, 2)`, in units of the stride)
    /// in place of the yaml's; does nothing without that buffer.
    ///
    /// # Errors
    /// [`Error::Anchors`] if the buffer's shape is not that of the head.
    pub fn adopt_anchors(&mut self, params: &Params) -> Result<(), Error> {
        let Some(head) = &mut self.head else { return Ok(()) };
        let Some(stored) = params.get(&format!("{}.anchors", head.name)) else { return Ok(()) };
        let levels = head.strides.len();
        let [l, a, 2] = *stored.shape() else { return Err(anchor_error(head, stored.shape())) };
        if l != levels || a != head.anchors[0].len() {
            return Err(anchor_error(head, stored.shape()));
        }
        for (level, rows) in stored.data().chunks_exact(2 * a).enumerate() {
            let stride = head.strides[level] as f32;
            head.anchors[level] = rows.chunks_exact(2).map(|wh| [wh[0] * stride, wh[1] * stride]).collect();
        }
        Ok(())
    }
}

fn anchor_error(head: &DetectHead, found: &[usize]) -> Error {
    let expected = vec![head.strides.len(), head.anchors[0].len(), 2];
    Error::Anchors { name: head.name.clone(), expected, found: found.to_vec() }
}

fn node_parameters(node: &Node) -> Vec<ParamSpec> {
    let spec = |suffix: &str, shape: Vec<usize>, learnable| ParamSpec {
        name: format!("{}.{suffix}", node.name),
        shape,
        learnable,
    };
    match &node.op {
        Op::Conv(conv) => conv_parameters(conv, spec),
        Op::BatchNorm { .. } => vec![
            spec("weight", vec![node.channels], true),
            spec("bias", vec![node.channels], true),
            spec("running_mean", vec![node.channels], false),
            spec("running_var", vec![node.channels], false),
        ],
        Op::Input { .. }
        | Op::Activation(_)
        | Op::Add
        | Op::Concat
        | Op::MaxPool(_)
        | Op::Upsample { .. }
        | Op::SpaceToDepth => Vec::new(),
    }
}

fn conv_parameters(conv: &Conv, spec: impl Fn(&str, Vec<usize>, bool) -> ParamSpec) -> Vec<ParamSpec> {
    let mut list = vec![spec("weight", conv.weight_shape(), true)];
    if conv.bias {
        list.push(spec("bias", vec![conv.out_channels], true));
    }
    list
}
