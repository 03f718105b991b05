//! The model's own description: architecture and class names.

use std::collections::BTreeMap;

use serde_yaml_ng::value::{Tag, TaggedValue};
use serde_yaml_ng::{Mapping, Number, Value};

use super::error::CheckpointError;
use super::pickle::{Id, Node, Pickle};

/// Most values and bytes of text in a definition; that of a large detector has some 1000 values.
const MAX_VALUES: usize = 1 << 18;
/// Deepest nesting of a definition.
const MAX_DEPTH: usize = 16;
/// Longest `extra/config.txt` that is read, in bytes.
const MAX_CONFIG: usize = 1 << 16;

/// Converts plain Python values to yaml. A value without a yaml form becomes a null tagged with its class, so
/// that whoever reads the definition can name it.
///
/// # Errors
/// [`CheckpointError::DefinitionTooLarge`] for a definition beyond the limits or one that contains itself.
pub(super) fn definition(pickle: &Pickle, id: Id) -> Result<Value, CheckpointError> {
    Converter { pickle, values: 0 }.value(id, 0)
}

struct Converter<'a> {
    pickle: &'a Pickle,
    values: usize,
}

impl Converter<'_> {
    fn value(&mut self, id: Id, depth: usize) -> Result<Value, CheckpointError> {
        // Texts count by length: one long text may be referred to many times.
        self.values += 1 + self.pickle.text(id).map_or(0, str::len);
        if self.values > MAX_VALUES || depth > MAX_DEPTH {
            return Err(CheckpointError::DefinitionTooLarge { values: MAX_VALUES, depth: MAX_DEPTH });
        }
        if let Some(items) = self.pickle.dict(id) {
            return self.mapping(items, depth).map(Value::Mapping);
        }
        if let Some(items) = self.pickle.sequence(id) {
            let items: Result<_, _> = items.iter().map(|&item| self.value(item, depth + 1)).collect();
            return items.map(Value::Sequence);
        }
        Ok(match self.pickle.node(id) {
            Node::None => Value::Null,
            Node::Bool(value) => Value::Bool(*value),
            Node::Int(value) => Value::Number(Number::from(*value)),
            Node::Float(value) => Value::Number(Number::from(*value)),
            Node::Text(text) => Value::String(text.to_string()),
            Node::Object(object) => self.opaque(object.callee),
            _ => self.opaque(id),
        })
    }

    fn mapping(&mut self, items: &[(Id, Id)], depth: usize) -> Result<Mapping, CheckpointError> {
        let mut mapping = Mapping::new();
        for &(key, value) in items {
            let key = self.value(key, depth + 1)?;
            mapping.insert(key, self.value(value, depth + 1)?);
        }
        Ok(mapping)
    }

    fn opaque(&self, class: Id) -> Value {
        let class = self.pickle.class_name(class).replace(char::is_whitespace, "_");
        Value::Tagged(Box::new(TaggedValue { tag: Tag::new(class), value: Value::Null }))
    }
}

/// Class names as Python values; see [`names`].
///
/// # Errors
/// [`CheckpointError::DefinitionTooLarge`] for names beyond the limits of a definition.
pub(super) fn class_names(pickle: &Pickle, id: Id) -> Result<Vec<String>, CheckpointError> {
    definition(pickle, id).map(|value| names(&value))
}

/// Class names of the `config.txt` (JSON, and hence yaml) that the YOLO exporters put into a TorchScript
/// archive.
pub(super) fn config_class_names(config: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(config).ok().filter(|text| text.len() <= MAX_CONFIG);
    let config: Option<Value> = text.and_then(|text| serde_yaml_ng::from_str(text).ok());
    config.as_ref().and_then(|config| config.get("names")).map(names).unwrap_or_default()
}

/// A list of texts, or texts by the numbers from 0 (in JSON, texts of numbers). Anything else gives an empty
/// list.
fn names(value: &Value) -> Vec<String> {
    let names = match value {
        Value::Sequence(names) => names.iter().map(|name| name.as_str().map(str::to_owned)).collect(),
        Value::Mapping(names) => names.iter().map(numbered).collect::<Option<_>>().and_then(complete),
        _ => None,
    };
    names.unwrap_or_default()
}

fn numbered((key, name): (&Value, &Value)) -> Option<(usize, String)> {
    let number = match key {
        Value::String(number) => number.parse().ok()?,
        _ => usize::try_from(key.as_u64()?).ok()?,
    };
    Some((number, name.as_str()?.to_owned()))
}

/// Names by number as a list; `None` if a number is missing, because the names after it would shift.
fn complete(names: BTreeMap<usize, String>) -> Option<Vec<String>> {
    let complete = names.keys().enumerate().all(|(index, &number)| index == number);
    complete.then(|| names.into_values().collect())
}
