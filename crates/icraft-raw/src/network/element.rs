//! Element types as json.

use super::NetworkError;
use super::fields::{Attributes, Fields, Place, each, expression, integer, number, text, wrong_type};
use super::model::{Calibrated, ElementType, Normalized, Quantized};
use crate::{NormRatios, PerAxis, Scales};
use serde_json::Value;

const NORMALIZED: &str = "icraft::xir::NormalizedType";
const CALIBRATED: &str = "icraft::xir::CalibratedType";
const QUANTIZED: &str = "icraft::xir::QuantizedType";
const NORMALIZED_QUANTIZED: &str = "icraft::xir::NormalizedQuantizedType";

/// The key of an object's type.
pub(super) const TYPE_KEY: &str = "_type_key";

pub(super) fn read_element(value: Value, place: &Place<'_>) -> Result<ElementType, NetworkError> {
    if value.is_string() {
        return expression(value, place).map(ElementType::Storage);
    }
    match value.get(TYPE_KEY).and_then(Value::as_str) {
        Some(NORMALIZED) => normalized(value, place).map(ElementType::Normalized),
        Some(CALIBRATED) => calibrated(value, place).map(ElementType::Calibrated),
        Some(QUANTIZED) => quantized(typed(value, place)?).map(ElementType::Quantized),
        Some(NORMALIZED_QUANTIZED) => normalized_quantized(value, place),
        _ if value.is_object() || value.is_null() => Ok(ElementType::Other(value)),
        _ => Err(wrong_type(&value, place, "an element type: a string or an object")),
    }
}

/// The fields of an object without its type key.
fn typed<'p>(value: Value, place: &'p Place<'p>) -> Result<Fields<'p>, NetworkError> {
    let mut fields = Fields::new(value, place)?;
    fields.optional(TYPE_KEY, text)?;
    Ok(fields)
}

fn normalized(value: Value, place: &Place<'_>) -> Result<Normalized, NetworkError> {
    let mut fields = typed(value, place)?;
    let ratio = fields.required("normratio", ratios)?;
    Ok(Normalized { ratio, attributes: fields.rest(&Attributes::new()) })
}

fn calibrated(value: Value, place: &Place<'_>) -> Result<Calibrated, NetworkError> {
    let mut fields = typed(value, place)?;
    Ok(Calibrated {
        min: fields.required("min", numbers)?,
        max: fields.required("max", numbers)?,
        sat: fields.required("sat", numbers)?,
        attributes: fields.rest(&Attributes::new()),
    })
}

fn normalized_quantized(value: Value, place: &Place<'_>) -> Result<ElementType, NetworkError> {
    let mut fields = typed(value, place)?;
    let ratio = fields.required("normratio", ratios)?;
    Ok(ElementType::NormalizedQuantized { ratio, quantized: quantized(fields)? })
}

fn quantized(mut fields: Fields<'_>) -> Result<Quantized, NetworkError> {
    Ok(Quantized {
        scale: fields.required("scale", scales)?,
        storage: fields.required("storage_dtype", expression)?,
        expressed: fields.optional("expressed_dtype", expression)?,
        zero_points: fields.optional("zero_points", |v, p| each(v, p, integer))?.unwrap_or_default(),
        attributes: fields.rest(&Attributes::new()),
    })
}

/// An expression, or a plain list as versions before 3.4 wrote it.
fn ratios(value: Value, place: &Place<'_>) -> Result<NormRatios, NetworkError> {
    if value.is_string() {
        return expression(value, place);
    }
    each(value, place, positive).map(|values| NormRatios(PerAxis::from_values(None, &values)))
}

fn positive(value: Value, place: &Place<'_>) -> Result<f32, NetworkError> {
    in_range(value, place, "a norm ratio above zero", |ratio| ratio > 0.0)
}

/// An expression, or a plain list as versions before 3.4 wrote it.
fn scales(value: Value, place: &Place<'_>) -> Result<Scales, NetworkError> {
    if value.is_string() {
        return expression(value, place);
    }
    let non_negative = |v, p: &Place<'_>| in_range(v, p, "a scale from zero", |scale| scale >= 0.0);
    each(value, place, non_negative).map(|values| Scales::Float(PerAxis::from_values(None, &values)))
}

pub(super) fn in_range(
    value: Value,
    place: &Place<'_>,
    expected: &'static str,
    allowed: impl Fn(f32) -> bool,
) -> Result<f32, NetworkError> {
    let found = number(value, place)?;
    if allowed(found) {
        return Ok(found);
    }
    Err(NetworkError::Value { path: place.to_string(), found: found.to_string(), expected })
}

fn numbers(value: Value, place: &Place<'_>) -> Result<Vec<f32>, NetworkError> {
    if value.is_number() { number(value, place).map(|only| vec![only]) } else { each(value, place, number) }
}

/// The json of an element type, in the later generation's form.
pub(super) fn write_element(element: &ElementType) -> Value {
    match element {
        ElementType::Storage(storage) => string(storage),
        ElementType::Normalized(Normalized { ratio, attributes }) => {
            object(NORMALIZED, attributes, [("normratio", string(ratio))])
        }
        ElementType::Calibrated(Calibrated { min, max, sat, attributes }) => {
            let lists = [("min", list(min)), ("max", list(max)), ("sat", list(sat))];
            object(CALIBRATED, attributes, lists)
        }
        ElementType::Quantized(quantized) => object(QUANTIZED, &quantized_keys(quantized), []),
        ElementType::NormalizedQuantized { ratio, quantized } => {
            object(NORMALIZED_QUANTIZED, &quantized_keys(quantized), [("normratio", string(ratio))])
        }
        ElementType::Other(value) => value.clone(),
    }
}

fn quantized_keys(quantized: &Quantized) -> Attributes {
    let mut keys = quantized.attributes.clone();
    keys.insert("scale".to_owned(), string(&quantized.scale));
    keys.insert("storage_dtype".to_owned(), string(&quantized.storage));
    keys.extend(quantized.expressed.map(|expressed| ("expressed_dtype".to_owned(), string(&expressed))));
    keys.insert("zero_points".to_owned(), quantized.zero_points.clone().into());
    keys
}

fn object<const N: usize>(kind: &str, attributes: &Attributes, keys: [(&str, Value); N]) -> Value {
    let keys = keys.map(|(key, value)| (key.to_owned(), value));
    let kind = (TYPE_KEY.to_owned(), string(kind));
    let all: Attributes = attributes.clone().into_iter().chain(keys).chain([kind]).collect();
    Value::Object(all.into_iter().collect())
}

pub(super) fn string(value: &(impl ToString + ?Sized)) -> Value {
    Value::String(value.to_string())
}

/// Digits as an f32 has them, so that 0.1 does not become 0.10000000149011612.
pub(super) fn decimal(value: f32) -> Value {
    serde_json::from_str(&crate::decimal::Decimal(value).to_string()).unwrap_or(Value::Null)
}

fn list(values: &[f32]) -> Value {
    values.iter().map(|&value| decimal(value)).collect()
}
