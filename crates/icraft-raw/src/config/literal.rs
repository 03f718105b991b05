//! Values as they stand in a file, before a key says what they mean.

use crate::excerpt::excerpt;
use toml::de::DeValue;

/// A value of either format; ini knows texts only.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Text(String),
    Integer(i64),
    Float(f64),
    Flag(bool),
    List(Vec<Literal>),
    /// A toml value that no key takes: its type, with an article.
    Other(&'static str),
}

impl Literal {
    pub(super) fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
                .map_or(Self::Other("an integer of more than 64 bits"), Self::Integer),
            DeValue::Float(digits) => {
                digits.as_str().parse().map_or(Self::Other("a number beyond f64"), Self::Float)
            }
            DeValue::Boolean(flag) => Self::Flag(*flag),
            DeValue::Array(elements) => {
                Self::List(elements.iter().map(|element| Self::from_toml(element.get_ref())).collect())
            }
            DeValue::Datetime(_) => Self::Other("a date"),
            DeValue::Table(_) => Self::Other("a table"),
        }
    }

    /// For errors.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Text(text) => format!("{:?}", excerpt(text)),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Flag(value) => value.to_string(),
            Self::List(elements) => format!("a list of {}", elements.len()),
            Self::Other(what) => (*what).to_owned(),
        }
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Integer(value) => Some(value.to_string()),
            Self::Float(value) => Some(value.to_string()),
            Self::Flag(value) => Some(value.to_string()),
            Self::List(_) | Self::Other(_) => None,
        }
    }

    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        let number = match self {
            Self::Integer(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number: &f64| number.is_finite())
    }

    pub(super) fn flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            Self::Text(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// The elements of a list, or the parts of a text between `separator`s. One number is a list of one.
    pub(super) fn elements(&self, separator: char) -> Option<Vec<Self>> {
        match self {
            Self::List(elements) => Some(elements.clone()),
            Self::Text(text) => {
                Some(text.split(separator).map(|part| Self::Text(part.trim().to_owned())).collect())
            }
            Self::Integer(_) | Self::Float(_) => Some(vec![self.clone()]),
            Self::Flag(_) | Self::Other(_) => None,
        }
    }

    /// One list for each input. A list of scalars is that of the only input.
    pub(super) fn by_input(&self) -> Option<Vec<Vec<Self>>> {
        match self {
            Self::List(elements) if !elements.iter().any(|e| matches!(e, Self::List(_) | Self::Text(_))) => {
                Some(vec![elements.clone()])
            }
            _ => self.elements(';')?.iter().map(|input| input.elements(',')).collect(),
        }
    }
}
