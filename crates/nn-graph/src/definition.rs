//! The yaml dialect in which ultralytics' models are written.
//!
//! A definition lists layers as `[from, number, module, args]`. `number` is multiplied by `depth_multiple` (and rounded, at least 1)
//! where it is above 1, output channels by `width_multiple` (and raised to a multiple of 8). See [`crate::Graph::from_definition`].

use crate::error::Error;
use serde_yaml_ng::{Mapping, Value};

/// Names of the built-in models.
pub const BUILTIN_MODELS: [&str; 10] = [
    "yolov5n", "yolov5s", "yolov5m", "yolov5l", "yolov5x", "yolov5n6", "yolov5s6", "yolov5m6", "yolov5l6",
    "yolov5x6",
];

/// Depth and width multiples of the sizes n, s, m, l, x.
const YOLOV5_SIZES: [(char, f64, f64); 5] =
    [('n', 0.33, 0.25), ('s', 0.33, 0.50), ('m', 0.67, 0.75), ('l', 1.0, 1.0), ('x', 1.33, 1.25)];

/// One line of a definition.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerDefinition {
    /// Layers that it reads; negative numbers count back from this one.
    pub from: Vec<i64>,
    /// How often the module is repeated, before `depth_multiple`.
    pub number: usize,
    /// Name of the module, without `nn.`.
    pub module: String,
    /// Its arguments, with `nc` and `anchors` not yet filled in.
    pub args: Vec<Value>,
}

/// A model definition: the content of a yaml file, or of the `yaml` attribute of a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// Name of the model, for reports.
    pub name: String,
    /// Channels of the image.
    pub input_channels: usize,
    /// Number of classes.
    pub classes: usize,
    /// Factor on `number`.
    pub depth_multiple: f64,
    /// Factor on output channels.
    pub width_multiple: f64,
    /// Activation of every convolution block; the text of the yaml's `activation`, `nn.SiLU()` by default.
    pub activation: String,
    /// Anchors as `w, h, w, h, ...` in pixels, per level.
    pub anchors: Vec<Vec<f32>>,
    /// Backbone and head, in order.
    pub layers: Vec<LayerDefinition>,
}

impl Definition {
    /// Reads yaml text.
    ///
    /// # Errors
    /// If the text is not yaml or lacks one of `nc`, `anchors`, `backbone`, `head`.
    pub fn from_yaml(name: &str, text: &str) -> Result<Self, Error> {
        Self::from_value(name, &serde_yaml_ng::from_str(text)?)
    }

    /// Reads a yaml value, such as [`crate::Checkpoint::definition`].
    ///
    /// # Errors
    /// As [`Definition::from_yaml`].
    pub fn from_value(name: &str, value: &Value) -> Result<Self, Error> {
        let map = value.as_mapping().ok_or(Error::Key { key: "backbone", expected: "a mapping of keys" })?;
        let mut layers = Vec::new();
        for key in ["backbone", "head"] {
            let lines = map.get(key).and_then(Value::as_sequence);
            let lines =
                lines.ok_or(Error::Key { key, expected: "a list of [from, number, module, args]" })?;
            for line in lines {
                layers.push(layer_definition(layers.len(), line)?);
            }
        }
        Ok(Self {
            name: name.to_owned(),
            input_channels: optional(map, "ch", channel_count, "a channel count from 1 to 65536")?
                .unwrap_or(3),
            classes: class_count(map)?,
            depth_multiple: multiple(map, "depth_multiple")?,
            width_multiple: multiple(map, "width_multiple")?,
            activation: optional(map, "activation", Value::as_str, "text such as nn.SiLU()")?
                .unwrap_or("nn.SiLU()")
                .to_owned(),
            anchors: anchors(map)?,
            layers,
        })
    }

    /// A built-in model, by a name of [`BUILTIN_MODELS`].
    #[must_use]
    pub fn builtin(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("yolov5")?;
        let (size, text) = match rest.strip_suffix('6') {
            Some(size) => (size, include_str!("models/yolov5-p6.yaml")),
            None => (rest, include_str!("models/yolov5.yaml")),
        };
        let &(_, depth, width) = YOLOV5_SIZES.iter().find(|(letter, ..)| size.chars().eq([*letter]))?;
        let definition = Self::from_yaml(name, text).ok()?;
        Some(Self { depth_multiple: depth, width_multiple: width, ..definition })
    }
}

fn layer_definition(layer: usize, line: &Value) -> Result<LayerDefinition, Error> {
    let wrong = |reason| Error::LayerLine { layer, reason };
    let fields = line.as_sequence().ok_or(wrong("it is not a list"))?;
    let [from, number, module, args] = fields.as_slice() else { return Err(wrong("it has not four fields")) };
    let from = match from {
        Value::Sequence(list) => list.iter().map(Value::as_i64).collect::<Option<Vec<_>>>(),
        one => one.as_i64().map(|from| vec![from]),
    };
    let module = module.as_str().ok_or(wrong("module is not a name"))?;
    Ok(LayerDefinition {
        from: from
            .filter(|f| !f.is_empty())
            .ok_or(wrong("from is neither a number nor a list of numbers"))?,
        number: number
            .as_u64()
            .filter(|n| (1..=1000).contains(n))
            .ok_or(wrong("number is not in 1..=1000"))? as usize,
        module: module.strip_prefix("nn.").unwrap_or(module).to_owned(),
        args: args.as_sequence().ok_or(wrong("args is not a list"))?.clone(),
    })
}

fn optional<'a, T>(
    map: &'a Mapping,
    key: &'static str,
    read: impl Fn(&'a Value) -> Option<T>,
    expected: &'static str,
) -> Result<Option<T>, Error> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => read(value).map(Some).ok_or(Error::Key { key, expected }),
    }
}

fn multiple(map: &Mapping, key: &'static str) -> Result<f64, Error> {
    let value = optional(map, key, Value::as_f64, "a positive number")?.unwrap_or(1.0);
    if value > 0.0 && value < 100.0 {
        Ok(value)
    } else {
        Err(Error::Key { key, expected: "a positive number" })
    }
}

fn channel_count(value: &Value) -> Option<usize> {
    value.as_u64().filter(|n| (1..=1 << 16).contains(n)).map(|n| n as usize)
}

fn class_count(map: &Mapping) -> Result<usize, Error> {
    let count = map.get("nc").and_then(Value::as_u64).filter(|n| (1..=100_000).contains(n));
    count.map(|n| n as usize).ok_or(Error::Key { key: "nc", expected: "a class count from 1 to 100000" })
}

fn anchors(map: &Mapping) -> Result<Vec<Vec<f32>>, Error> {
    const WRONG: Error =
        Error::Key { key: "anchors", expected: "a list of levels, each w, h, w, h, ... in pixels" };
    map.get("anchors").and_then(anchor_levels).ok_or(WRONG)
}

/// A list of levels with equally many anchors, each `w, h, w, h, ...`; `None` for anything else.
pub(crate) fn anchor_levels(value: &Value) -> Option<Vec<Vec<f32>>> {
    let level = |level: &Value| {
        let numbers =
            level.as_sequence()?.iter().map(|v| v.as_f64().map(|v| v as f32)).collect::<Option<Vec<_>>>()?;
        (!numbers.is_empty() && numbers.len() % 2 == 0).then_some(numbers)
    };
    let levels = value.as_sequence()?.iter().map(level).collect::<Option<Vec<_>>>()?;
    let uniform = levels.windows(2).all(|pair| pair[0].len() == pair[1].len());
    (!levels.is_empty() && uniform).then_some(levels)
}
