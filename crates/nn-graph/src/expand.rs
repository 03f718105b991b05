//! Expansion of a definition's modules into primitive operators.
//!
//! The rules of each module (channels, inner names, order of operations) are those of YOLOv5's `models/common.py`, release 7.0.

use crate::args::{Args, MAX_CHANNELS};
use crate::definition::anchor_levels;
use crate::{
    Activation, Conv, Definition, DetectHead, Graph, Layer, LayerDefinition, MaxPool, Node, Op, TensorId,
    error::Error,
};
use serde_yaml_ng::Value;

/// Epsilon of every BatchNorm in YOLOv5 and YOLOv7 (PyTorch's own default is 1e-5).
const BATCH_NORM_EPSILON: f32 = 1e-3;
/// Channel counts are rounded up to a multiple of this.
const CHANNEL_MULTIPLE: usize = 8;
/// No model has more operators.
const MAX_NODES: usize = 1 << 14;
/// Largest factor of one upsampling.
const MAX_UPSAMPLE: usize = 64;

/// Modules that [`Graph::from_definition`] understands.
pub const MODULES: [&str; 10] =
    ["Bottleneck", "C3", "Concat", "Conv", "DWConv", "Detect", "Focus", "SPP", "SPPF", "Upsample"];

impl Graph {
    /// Expands a definition into primitive operators with PyTorch's names.
    ///
    /// # Errors
    /// Unknown modules, unusable arguments, references to layers that don't exist; each names the layer.
    pub fn from_definition(definition: &Definition) -> Result<Self, Error> {
        let activation = parse_activation(&definition.activation).ok_or(Error::Key {
            key: "activation",
            expected: "nn.SiLU(), nn.ReLU(), nn.ReLU6(), nn.Hardswish() or nn.LeakyReLU(slope)",
        })?;
        let input = Node {
            name: "input".to_owned(),
            op: Op::Input { channels: definition.input_channels },
            inputs: Vec::new(),
            channels: definition.input_channels,
            layer: None,
        };
        let mut expander =
            Expander { definition, activation, nodes: vec![input], layers: Vec::new(), head: None };
        for (index, layer) in definition.layers.iter().enumerate() {
            if layer.module == "Detect" && index + 1 != definition.layers.len() {
                return Err(Error::LayerLine { layer: index, reason: "Detect must be the last layer" });
            }
            expander.layer(index, layer)?;
            expander.check_size(index)?;
        }
        let outputs = expander.layers.last().map(|l| l.outputs.clone()).unwrap_or_default();
        let mut graph = Graph {
            name: definition.name.clone(),
            nodes: expander.nodes,
            layers: expander.layers,
            outputs,
            head: expander.head,
        };
        graph.find_strides()?;
        Ok(graph)
    }

    /// Strides of the head's levels, read off the shapes of a test image: powers of two, as the side of the image is one.
    fn find_strides(&mut self) -> Result<(), Error> {
        const PROBE: usize = 1024;
        let Some(head) = &mut self.head else { return Ok(()) };
        head.strides = vec![1; self.outputs.len()];
        let shapes = self.infer_shapes(PROBE, PROBE)?;
        let mut strides = Vec::new();
        for id in &self.outputs {
            let [_, height, width] = shapes[id.0];
            let whole = height > 0 && height == width && PROBE.is_multiple_of(height);
            let node = &self.nodes[id.0].name;
            strides.push(whole.then(|| PROBE / height).ok_or_else(|| Error::Stride { node: node.clone() })?);
        }
        if let Some(head) = &mut self.head {
            head.strides = strides;
        }
        Ok(())
    }
}

/// The text forms of activations that yaml files use.
fn parse_activation(text: &str) -> Option<Activation> {
    let (name, rest) = text.trim().trim_start_matches("nn.").split_once('(')?;
    let args = rest.strip_suffix(')')?;
    Some(match name {
        "SiLU" => Activation::Silu,
        "ReLU" => Activation::Relu,
        "ReLU6" => Activation::Relu6,
        "Hardswish" => Activation::Hardswish,
        "LeakyReLU" if args.trim().is_empty() => Activation::LeakyRelu { slope: 0.01 },
        "LeakyReLU" => Activation::LeakyRelu {
            slope: args.split(',').next()?.trim_start_matches("negative_slope=").trim().parse().ok()?,
        },
        _ => return None,
    })
}

/// The graph while it grows.
struct Expander<'a> {
    definition: &'a Definition,
    activation: Activation,
    nodes: Vec<Node>,
    layers: Vec<Layer>,
    head: Option<DetectHead>,
}

impl Expander<'_> {
    fn layer(&mut self, index: usize, layer: &LayerDefinition) -> Result<(), Error> {
        let inputs =
            layer.from.iter().map(|&from| self.resolve(index, from)).collect::<Result<Vec<_>, _>>()?;
        let args = Args { layer: index, module: &layer.module, values: &layer.args };
        check_line(index, layer)?;
        let name = format!("model.{index}");
        let outputs = match layer.module.as_str() {
            "Detect" => self.detect(&name, &inputs, &args)?,
            "Concat" => vec![self.concat(&name, inputs, &args)?],
            "Upsample" => vec![self.upsample(&name, inputs[0], &args)?],
            _ => vec![self.block(&name, inputs[0], layer, &args)?],
        };
        self.layers.push(Layer { name, module: layer.module.clone(), outputs });
        Ok(())
    }

    /// The tensor that `from` means for layer `index`.
    fn resolve(&self, index: usize, from: i64) -> Result<TensorId, Error> {
        if index == 0 && from == -1 {
            return Ok(TensorId(0));
        }
        let absolute = if from < 0 { index as i64 + from } else { from };
        let layer = usize::try_from(absolute).ok().and_then(|i| self.layers.get(i));
        match layer.map(|l| l.outputs.as_slice()) {
            Some(&[output]) => Ok(output),
            _ => Err(Error::From { layer: index, from }),
        }
    }

    /// The blocks whose first argument is a channel count, repeated `number` times where they don't repeat inside.
    fn block(
        &mut self,
        name: &str,
        input: TensorId,
        layer: &LayerDefinition,
        args: &Args,
    ) -> Result<TensorId, Error> {
        let out = self.scaled_channels(args)?;
        args.at_most(match layer.module.as_str() {
            "C3" | "Bottleneck" => 4,
            "SPP" | "SPPF" => 2,
            _ => 7,
        })?;
        let number = self.scaled_depth(layer.number);
        if number > MAX_NODES {
            return Err(Error::TooLarge { layer: args.layer, limit: MAX_NODES, what: "operators" });
        }
        if layer.module == "C3" {
            return self.c3(name, input, out, number, args.flag(1, "shortcut", true)?, args);
        }
        let mut x = input;
        for repeat in 0..number {
            let path = if number == 1 { name.to_owned() } else { format!("{name}.{repeat}") };
            x = match layer.module.as_str() {
                "Conv" => self.conv_from_args(&path, x, out, args)?,
                "DWConv" => self.depthwise(&path, x, out, args)?,
                "Bottleneck" => {
                    let shortcut = args.flag(1, "shortcut", true)?;
                    let hidden = self.hidden(out, args.ratio(3, "e", 0.5)?, args)?;
                    self.bottleneck(&path, x, out, hidden, shortcut, args.positive(2, "g", 1)?, args)?
                }
                "SPP" => self.spp(&path, x, out, &args.kernels(1)?),
                "SPPF" => self.sppf(&path, x, out, args.positive(1, "k", 5)?),
                "Focus" => self.focus(&path, x, out, args)?,
                _ => return Err(unknown_module(args.layer, &layer.module)),
            };
        }
        Ok(x)
    }

    /// Arguments `out, k = 1, s = 1, p = k / 2, g = 1, d = 1, act = True`; before release 7.0 there was no `d`, so a flag in its place is `act`.
    fn conv_from_args(
        &mut self,
        name: &str,
        input: TensorId,
        out: usize,
        args: &Args,
    ) -> Result<TensorId, Error> {
        args.at_most(7)?;
        let kernel = args.positive(1, "k", 1)?;
        let mut conv = Conv::same(self.channels(input), out, kernel, args.positive(2, "s", 1)?);
        conv.groups = args.positive(4, "g", 1)?;
        let act_at = if args.is_flag(5) { 5 } else { 6 };
        let dilation = if act_at == 5 { 1 } else { args.positive(5, "d", 1)? };
        let padding = args.integer(3, "p", same_padding(kernel, dilation))?;
        (conv.dilation, conv.padding) = ([dilation; 2], [padding; 2]);
        args.check_groups(4, &conv)?;
        Ok(self.conv(name, input, conv, args.flag(act_at, "act", true)?))
    }

    /// Arguments `out, k = 1, s = 1, d = 1, act = True`; as many groups as both channel counts allow.
    fn depthwise(&mut self, name: &str, input: TensorId, out: usize, args: &Args) -> Result<TensorId, Error> {
        args.at_most(5)?;
        let (channels, kernel) = (self.channels(input), args.positive(1, "k", 1)?);
        let mut conv = Conv::same(channels, out, kernel, args.positive(2, "s", 1)?);
        let act_at = if args.is_flag(3) { 3 } else { 4 };
        let dilation = if act_at == 3 { 1 } else { args.positive(3, "d", 1)? };
        (conv.dilation, conv.padding) = ([dilation; 2], [same_padding(kernel, dilation); 2]);
        conv.groups = greatest_common_divisor(channels, out);
        Ok(self.conv(name, input, conv, args.flag(act_at, "act", true)?))
    }

    fn scaled_depth(&self, number: usize) -> usize {
        if number == 1 {
            1
        } else {
            ((number as f64 * self.definition.depth_multiple).round_ties_even() as usize).max(1)
        }
    }

    /// The first argument times `width_multiple`, raised to a multiple of 8.
    fn scaled_channels(&self, args: &Args) -> Result<usize, Error> {
        let base = args.positive(0, "out channels", 0)?;
        // A layer as wide as the head's outputs keeps its width.
        let definition = self.definition;
        if base == definition.anchors[0].len() / 2 * (5 + definition.classes) {
            return Ok(base);
        }
        let units = (base as f64 * self.definition.width_multiple / CHANNEL_MULTIPLE as f64).ceil();
        let channels = units as usize * CHANNEL_MULTIPLE;
        if channels > MAX_CHANNELS {
            Err(args.wrong(0, "out channels", "at most 65536 after scaling"))
        } else {
            Ok(channels)
        }
    }

    fn hidden(&self, out: usize, ratio: f64, args: &Args) -> Result<usize, Error> {
        let hidden = (out as f64 * ratio) as usize;
        if hidden == 0 {
            Err(args.wrong(0, "out channels", "wide enough for one hidden channel"))
        } else {
            Ok(hidden)
        }
    }

    /// Keeps the sizes that a definition can reach within bounds: a short line may repeat modules and join layers with themselves.
    fn check_size(&self, layer: usize) -> Result<(), Error> {
        let limit = |limit, what| Error::TooLarge { layer, limit, what };
        if self.nodes.len() > MAX_NODES {
            return Err(limit(MAX_NODES, "operators"));
        }
        let added = self.nodes.iter().rev().take_while(|node| node.layer == Some(layer));
        match added.map(|node| node.channels).max() {
            Some(channels) if channels > MAX_CHANNELS => Err(limit(MAX_CHANNELS, "channels")),
            _ => Ok(()),
        }
    }

    fn push(&mut self, name: String, op: Op, inputs: Vec<TensorId>, channels: usize) -> TensorId {
        self.nodes.push(Node { name, op, inputs, channels, layer: Some(self.layers.len()) });
        TensorId(self.nodes.len() - 1)
    }

    fn channels(&self, id: TensorId) -> usize {
        self.nodes[id.0].channels
    }

    /// Convolution, BatchNorm and, if `activated`, the activation: `NAME.conv`, `NAME.bn`, `NAME.act`.
    fn conv(&mut self, name: &str, input: TensorId, conv: Conv, activated: bool) -> TensorId {
        let channels = conv.out_channels;
        let x = self.push(format!("{name}.conv"), Op::Conv(conv), vec![input], channels);
        let x =
            self.push(format!("{name}.bn"), Op::BatchNorm { epsilon: BATCH_NORM_EPSILON }, vec![x], channels);
        if !activated {
            return x;
        }
        self.push(format!("{name}.act"), Op::Activation(self.activation), vec![x], channels)
    }

    fn same_conv(&mut self, name: &str, input: TensorId, out: usize, kernel: usize) -> TensorId {
        let conv = Conv::same(self.channels(input), out, kernel, 1);
        self.conv(name, input, conv, true)
    }

    #[expect(clippy::too_many_arguments, reason = "they are the module's own")]
    fn bottleneck(
        &mut self,
        name: &str,
        input: TensorId,
        out: usize,
        hidden: usize,
        shortcut: bool,
        groups: usize,
        args: &Args,
    ) -> Result<TensorId, Error> {
        let x = self.same_conv(&format!("{name}.cv1"), input, hidden, 1);
        let conv = Conv { groups, ..Conv::same(hidden, out, 3, 1) };
        args.check_groups(2, &conv)?;
        let x = self.conv(&format!("{name}.cv2"), x, conv, true);
        if shortcut && self.channels(input) == out {
            return Ok(self.push(format!("{name}.add"), Op::Add, vec![input, x], out));
        }
        Ok(x)
    }

    fn c3(
        &mut self,
        name: &str,
        input: TensorId,
        out: usize,
        number: usize,
        shortcut: bool,
        args: &Args,
    ) -> Result<TensorId, Error> {
        let hidden = self.hidden(out, args.ratio(3, "e", 0.5)?, args)?;
        let groups = args.positive(2, "g", 1)?;
        let mut main = self.same_conv(&format!("{name}.cv1"), input, hidden, 1);
        for repeat in 0..number {
            main =
                self.bottleneck(&format!("{name}.m.{repeat}"), main, hidden, hidden, shortcut, groups, args)?;
        }
        let side = self.same_conv(&format!("{name}.cv2"), input, hidden, 1);
        let joined = self.push(format!("{name}.cat"), Op::Concat, vec![main, side], 2 * hidden);
        Ok(self.same_conv(&format!("{name}.cv3"), joined, out, 1))
    }

    fn pool(&mut self, name: String, input: TensorId, kernel: usize) -> TensorId {
        let channels = self.channels(input);
        self.push(
            name,
            Op::MaxPool(MaxPool { kernel, stride: 1, padding: kernel / 2 }),
            vec![input],
            channels,
        )
    }

    fn spp(&mut self, name: &str, input: TensorId, out: usize, kernels: &[usize]) -> TensorId {
        let hidden = (self.channels(input) / 2).max(1);
        let x = self.same_conv(&format!("{name}.cv1"), input, hidden, 1);
        let mut parts = vec![x];
        for (i, &kernel) in kernels.iter().enumerate() {
            parts.push(self.pool(format!("{name}.m.{i}"), x, kernel));
        }
        let channels = hidden * parts.len();
        let joined = self.push(format!("{name}.cat"), Op::Concat, parts, channels);
        self.same_conv(&format!("{name}.cv2"), joined, out, 1)
    }

    fn sppf(&mut self, name: &str, input: TensorId, out: usize, kernel: usize) -> TensorId {
        let hidden = (self.channels(input) / 2).max(1);
        let mut parts = vec![self.same_conv(&format!("{name}.cv1"), input, hidden, 1)];
        for i in 0..3 {
            parts.push(self.pool(format!("{name}.m.{i}"), parts[i], kernel));
        }
        let joined = self.push(format!("{name}.cat"), Op::Concat, parts, 4 * hidden);
        self.same_conv(&format!("{name}.cv2"), joined, out, 1)
    }

    fn focus(&mut self, name: &str, input: TensorId, out: usize, args: &Args) -> Result<TensorId, Error> {
        let channels = 4 * self.channels(input);
        let x = self.push(format!("{name}.space_to_depth"), Op::SpaceToDepth, vec![input], channels);
        self.conv_from_args(&format!("{name}.conv"), x, out, args)
    }

    /// Argument `dimension = 1`, the channels.
    fn concat(&mut self, name: &str, inputs: Vec<TensorId>, args: &Args) -> Result<TensorId, Error> {
        args.at_most(1)?;
        if args.integer(0, "dimension", 1)? != 1 {
            return Err(args.wrong(0, "dimension", "1, the channels"));
        }
        let channels = inputs.iter().map(|&id| self.channels(id)).sum();
        Ok(self.push(name.to_owned(), Op::Concat, inputs, channels))
    }

    /// Arguments `size, scale_factor, mode`; only whole factors and mode `nearest`.
    fn upsample(&mut self, name: &str, input: TensorId, args: &Args) -> Result<TensorId, Error> {
        args.at_most(3)?;
        if args.at(0).is_some() {
            return Err(args.wrong(0, "size", "None"));
        }
        let scale = args.positive(1, "scale_factor", 0)?;
        if scale > MAX_UPSAMPLE {
            return Err(args.wrong(1, "scale_factor", "at most 64"));
        }
        if args.values.get(2).and_then(Value::as_str).is_some_and(|mode| mode != "nearest") {
            return Err(args.wrong(2, "mode", "nearest"));
        }
        let channels = self.channels(input);
        Ok(self.push(name.to_owned(), Op::Upsample { scale }, vec![input], channels))
    }

    /// One 1x1 convolution with bias per level: `NAME.m.0`, `NAME.m.1`, ...
    fn detect(&mut self, name: &str, inputs: &[TensorId], args: &Args) -> Result<Vec<TensorId>, Error> {
        let classes = match args.values.first() {
            Some(Value::String(s)) if s == "nc" => self.definition.classes,
            _ => args.positive(0, "nc", 0)?,
        };
        args.at_most(2)?;
        let literal = args.at(1).filter(|v| v.as_str() != Some("anchors")).map(anchor_levels);
        let levels = match literal {
            None => self.definition.anchors.clone(),
            Some(levels) => {
                levels.ok_or_else(|| args.wrong(1, "anchors", "the definition's, or lists of w, h, ..."))?
            }
        };
        if levels.len() != inputs.len() {
            return Err(args.wrong(1, "anchors", "one list per level that is read"));
        }
        let anchors: Vec<Vec<[f32; 2]>> =
            levels.iter().map(|level| level.chunks_exact(2).map(|wh| [wh[0], wh[1]]).collect()).collect();
        let channels = anchors[0].len() * (5 + classes);
        self.head = Some(DetectHead { name: name.to_owned(), classes, anchors, strides: Vec::new() });
        let level = |(i, &input): (usize, &TensorId)| {
            let conv = Conv { bias: true, ..Conv::same(self.channels(input), channels, 1, 1) };
            self.push(format!("{name}.m.{i}"), Op::Conv(conv), vec![input], channels)
        };
        Ok(inputs.iter().enumerate().map(level).collect())
    }
}

/// Padding that keeps the size at stride 1: half of the reach of the dilated kernel.
fn same_padding(kernel: usize, dilation: usize) -> usize {
    (dilation * (kernel - 1)).div_ceil(2)
}

fn unknown_module(layer: usize, module: &str) -> Error {
    Error::UnknownModule { layer, module: module.to_owned(), known: &MODULES }
}

/// What a line must fulfil whatever its arguments: the module is known, modules without repetition have `number` 1, and only joining modules read several
/// layers.
fn check_line(index: usize, layer: &LayerDefinition) -> Result<(), Error> {
    if !MODULES.contains(&layer.module.as_str()) {
        return Err(unknown_module(index, &layer.module));
    }
    let wrong = |reason| Err(Error::LayerLine { layer: index, reason });
    let joins = matches!(layer.module.as_str(), "Concat" | "Detect");
    if (joins || layer.module == "Upsample") && layer.number != 1 {
        return wrong("this module can't be repeated, number must be 1");
    }
    if !joins && layer.from.len() != 1 {
        return wrong("this module reads one layer");
    }
    Ok(())
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
