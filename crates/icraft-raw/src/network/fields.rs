//! Takes a tree of json apart, key by key; what is left over is kept by the caller.

#![allow(
    clippy::needless_pass_by_value,
    reason = "readers of a value have one signature, whether they keep it or not"
)]

use super::NetworkError;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Further keys of an object, in the order of their names.
pub type Attributes = BTreeMap<String, Value>;

/// Where a value lies.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'p> {
    Root,
    Key(&'p Place<'p>, &'p str),
    Index(&'p Place<'p>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("$"),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// The keys of an object that have not been taken yet.
#[derive(Debug)]
pub(super) struct Fields<'p> {
    map: Map<String, Value>,
    place: &'p Place<'p>,
}

impl<'p> Fields<'p> {
    pub(super) fn new(value: Value, place: &'p Place<'p>) -> Result<Self, NetworkError> {
        match value {
            Value::Object(map) => Ok(Self { map, place }),
            other => Err(wrong_type(&other, place, "an object")),
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// The value of `key` as `read` makes it, if there is one.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(Value, &Place<'_>) -> Result<T, NetworkError>,
    ) -> Result<Option<T>, NetworkError> {
        let value = self.map.remove(key);
        value.map(|value| read(value, &Place::Key(self.place, key))).transpose()
    }

    /// The value of `key` as `read` makes it.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(Value, &Place<'_>) -> Result<T, NetworkError>,
    ) -> Result<T, NetworkError> {
        let place = self.place;
        self.optional(key, read)?.ok_or_else(|| NetworkError::Missing { path: place.to_string(), key })
    }

    /// What has not been taken, except keys that hold the value which writing puts there by itself.
    pub(super) fn rest(self, defaults: &Attributes) -> Attributes {
        self.map.into_iter().filter(|(key, value)| defaults.get(key) != Some(value)).collect()
    }
}

pub(super) fn text(value: Value, place: &Place<'_>) -> Result<String, NetworkError> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(wrong_type(&other, place, "a string")),
    }
}

/// A string in the form of `T`.
pub(super) fn expression<T>(value: Value, place: &Place<'_>) -> Result<T, NetworkError>
where
    T: FromStr<Err = crate::ExpressionError>,
{
    let text = text(value, place)?;
    text.parse().map_err(|cause| NetworkError::Expression { path: place.to_string(), cause })
}

pub(super) fn integer(value: Value, place: &Place<'_>) -> Result<i64, NetworkError> {
    value.as_i64().ok_or_else(|| unfit(&value, place, "an integer of 64 bits"))
}

pub(super) fn count(value: Value, place: &Place<'_>) -> Result<usize, NetworkError> {
    let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
    count.ok_or_else(|| unfit(&value, place, "an integer from 0"))
}

/// A finite f32.
pub(super) fn number(value: Value, place: &Place<'_>) -> Result<f32, NetworkError> {
    let number = value.as_f64().map(|number| number as f32).filter(|number| number.is_finite());
    number.ok_or_else(|| unfit(&value, place, "a finite number"))
}

/// The elements of a list as `read` makes them.
pub(super) fn each<T>(
    value: Value,
    place: &Place<'_>,
    mut read: impl FnMut(Value, &Place<'_>) -> Result<T, NetworkError>,
) -> Result<Vec<T>, NetworkError> {
    let Value::Array(elements) = value else { return Err(wrong_type(&value, place, "a list")) };
    let numbered = elements.into_iter().enumerate();
    numbered.map(|(index, element)| read(element, &Place::Index(place, index))).collect()
}

fn unfit(value: &Value, place: &Place<'_>, expected: &'static str) -> NetworkError {
    match value {
        Value::Number(number) => {
            NetworkError::Value { path: place.to_string(), found: number.to_string(), expected }
        }
        other => wrong_type(other, place, expected),
    }
}

pub(super) fn wrong_type(value: &Value, place: &Place<'_>, expected: &'static str) -> NetworkError {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    NetworkError::WrongType { path: place.to_string(), expected, found }
}
