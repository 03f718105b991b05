//! Networks of the earlier generation as json.
//!
//! Six keys of the format are known, those that published scripts use: `operations`, `raw_md5`, `op_type`, `input_ftmp`,
//! `output_ftmp` and `norm_ratio[].value`. All else is this crate's own choice, absent in files of the compiler:
//!
//! | object | key | value |
//! |---|---|---|
//! | top | `name`, `raw_bytes` | name of the network; length of the raw file |
//! | operation | `op_id`, `name`, `namespace` | id, default position; name; namespace of the later generation |
//! | operation | `raws` | its parameters |
//! | feature map | `ftmp_id`, `name`, `size`, `layout` | id; name; dimensions; layout as the later generation writes it |
//! | feature map | `norm_ratio[].count`, `norm_axis` | channels that the value holds for, default 1; axis |
//! | feature map | `dtype` | element type as the later generation writes it, without its norm ratios |
//! | parameter | `raw_id`, `name`, `size`, `layout`, `dtype` | as of feature maps, norm ratios included |
//! | parameter | `slot` | position among the inputs, or `params`, or `instr` |
//! | both | `dtype_attributes` | further keys of the type |
//!
//! Keys beyond these are attributes.

use super::NetworkError;
use super::element::{TYPE_KEY, decimal, in_range, read_element, string, write_element};
use super::fields::{Attributes, Fields, Place, count, each, expression, integer, text, wrong_type};
use super::model::{ElementType, FeatureMap, Network, Operation, Param, ParamSlot, TensorAttributes};
use super::xir::{SPELLINGS, object};
use crate::{Generation, NormRatios, PerAxis};
use serde_json::{Value, json};

pub(super) fn read(mut fields: Fields<'_>) -> Result<Network, NetworkError> {
    let mut position = 0;
    let operations = fields.required("operations", |value, place| {
        each(value, place, |value, place| {
            position += 1;
            read_operation(value, place, position - 1)
        })
    })?;
    Ok(Network {
        generation: Generation::Legacy,
        name: fields.optional("name", text)?.unwrap_or_default(),
        operations,
        checksum: fields.optional("raw_md5", super::read_checksum)?,
        raw_length: fields.optional("raw_bytes", |v, p| count(v, p).map(|length| length as u64))?,
        attributes: fields.rest(&Attributes::new()),
    })
}

fn read_operation(value: Value, place: &Place<'_>, position: i64) -> Result<Operation, NetworkError> {
    let mut fields = Fields::new(value, place)?;
    let inputs = fields.required("input_ftmp", |v, p| each(v, p, read_feature_map))?;
    let mut slot = inputs.len();
    let params = fields.optional("raws", |value, place| {
        each(value, place, |value, place| {
            slot += 1;
            read_param(value, place, ParamSlot::Input(slot - 1))
        })
    })?;
    Ok(Operation {
        id: fields.optional("op_id", integer)?.unwrap_or(position),
        kind: fields.required("op_type", text)?,
        namespace: fields.optional("namespace", text)?.unwrap_or_default(),
        name: fields.optional("name", text)?.unwrap_or_default(),
        inputs,
        params: params.unwrap_or_default(),
        outputs: fields.required("output_ftmp", |v, p| each(v, p, read_feature_map))?,
        attributes: fields.rest(&Attributes::new()),
    })
}

fn read_feature_map(value: Value, place: &Place<'_>) -> Result<FeatureMap, NetworkError> {
    let mut fields = Fields::new(value, place)?;
    let id = fields.optional("ftmp_id", integer)?;
    let element = normalised_element(&mut fields, place)?;
    Ok(FeatureMap {
        id,
        name: fields.optional("name", text)?.unwrap_or_default(),
        shape: fields.optional("size", |v, p| each(v, p, count))?.unwrap_or_default(),
        element,
        layout: fields.optional("layout", expression)?,
        attributes: tensor_attributes(fields)?,
    })
}

fn read_param(value: Value, place: &Place<'_>, default_slot: ParamSlot) -> Result<Param, NetworkError> {
    let mut fields = Fields::new(value, place)?;
    Ok(Param {
        id: fields.required("raw_id", integer)?,
        name: fields.optional("name", text)?.unwrap_or_default(),
        shape: fields.optional("size", |v, p| each(v, p, count))?.unwrap_or_default(),
        element: fields.optional("dtype", read_element)?.unwrap_or(ElementType::Other(Value::Null)),
        layout: fields.optional("layout", expression)?,
        slot: fields.optional("slot", read_slot)?.unwrap_or(default_slot),
        attributes: tensor_attributes(fields)?,
    })
}

fn tensor_attributes(mut fields: Fields<'_>) -> Result<TensorAttributes, NetworkError> {
    let dtype =
        fields.optional("dtype_attributes", |v, p| Ok(Fields::new(v, p)?.rest(&Attributes::new())))?;
    Ok(TensorAttributes { dtype: dtype.unwrap_or_default(), tensor: fields.rest(&Attributes::new()) })
}

fn read_slot(value: Value, place: &Place<'_>) -> Result<ParamSlot, NetworkError> {
    match value.as_str() {
        Some("params") => Ok(ParamSlot::Params),
        Some("instr") => Ok(ParamSlot::Instructions),
        _ => count(value, place).map(ParamSlot::Input),
    }
}

/// The element type below `dtype`, with the norm ratios beside it put back into it.
fn normalised_element(fields: &mut Fields<'_>, place: &Place<'_>) -> Result<ElementType, NetworkError> {
    let axis = fields.optional("norm_axis", read_axis)?;
    let ratio = fields.optional("norm_ratio", |v, p| read_fragments(v, p, axis))?;
    let Some(ratio) = ratio else {
        return Ok(fields.optional("dtype", read_element)?.unwrap_or(ElementType::Other(Value::Null)));
    };
    let dtype = fields.optional("dtype", |value, _| Ok(value))?;
    let mut dtype = dtype.unwrap_or_else(|| json!({ TYPE_KEY: "icraft::xir::NormalizedType" }));
    let Some(keys) = dtype.as_object_mut() else {
        let place = Place::Key(place, "dtype");
        return Err(wrong_type(&dtype, &place, "an object, as there are norm ratios"));
    };
    keys.insert("normratio".to_owned(), string(&ratio));
    read_element(dtype, &Place::Key(place, "dtype"))
}

fn read_axis(value: Value, place: &Place<'_>) -> Result<i32, NetworkError> {
    let axis = integer(value, place)?;
    axis.try_into().map_err(|_| NetworkError::Value {
        path: place.to_string(),
        found: axis.to_string(),
        expected: "an integer of 32 bits",
    })
}

fn read_fragments(value: Value, place: &Place<'_>, axis: Option<i32>) -> Result<NormRatios, NetworkError> {
    let runs = each(value, place, |value, place| {
        let mut fields = Fields::new(value, place)?;
        let ratio = fields
            .required("value", |v, p| in_range(v, p, "a norm ratio above zero", |ratio| ratio > 0.0))?;
        Ok((fields.optional("count", count)?.unwrap_or(1), ratio))
    })?;
    let ratios = PerAxis::from_runs(axis, &runs);
    ratios.map(NormRatios).map_err(|cause| NetworkError::Expression { path: place.to_string(), cause })
}

pub(super) fn write(network: &Network) -> Value {
    let mut keys = Attributes::new();
    keys.extend(network.checksum.map(|checksum| ("raw_md5".to_owned(), string(&checksum))));
    keys.extend(network.raw_length.map(|length| ("raw_bytes".to_owned(), json!(length))));
    let operations: Value = network.operations.iter().map(write_operation).collect();
    let known = [("name", json!(network.name)), ("operations", operations)];
    object(network.attributes.clone(), &keys, known)
}

fn write_operation(operation: &Operation) -> Value {
    let spelling = SPELLINGS.iter().find(|(_, later)| *later == operation.kind);
    let keys = [
        ("op_id", json!(operation.id)),
        ("op_type", json!(spelling.map_or(operation.kind.as_str(), |&(legacy, _)| legacy))),
        ("namespace", json!(operation.namespace)),
        ("name", json!(operation.name)),
        ("input_ftmp", operation.inputs.iter().map(write_feature_map).collect()),
        ("raws", operation.params.iter().map(write_param).collect()),
        ("output_ftmp", operation.outputs.iter().map(write_feature_map).collect()),
    ];
    object(Attributes::new(), &operation.attributes, keys)
}

fn write_feature_map(map: &FeatureMap) -> Value {
    let mut dtype = write_element(&map.element);
    let mut optional = shared_keys(&map.attributes);
    optional.extend(map.id.map(|id| ("ftmp_id".to_owned(), json!(id))));
    optional.extend(map.layout.as_ref().map(|layout| ("layout".to_owned(), string(layout))));
    if let (Some(ratio), Some(keys)) = (map.element.norm_ratio(), dtype.as_object_mut()) {
        keys.remove("normratio");
        optional.insert("norm_ratio".to_owned(), write_fragments(ratio));
        optional.extend(ratio.axis().map(|axis| ("norm_axis".to_owned(), json!(axis))));
    }
    let keys = [("name", json!(map.name)), ("size", json!(map.shape)), ("dtype", dtype)];
    object(optional, &map.attributes.tensor, keys)
}

fn shared_keys(attributes: &TensorAttributes) -> Attributes {
    let further = Value::Object(attributes.dtype.clone().into_iter().collect());
    let written = !attributes.dtype.is_empty();
    written.then(|| ("dtype_attributes".to_owned(), further)).into_iter().collect()
}

fn write_fragments(ratio: &PerAxis<f32>) -> Value {
    ratio.runs().iter().map(|&(count, value)| json!({ "count": count, "value": decimal(value) })).collect()
}

fn write_param(param: &Param) -> Value {
    let slot = match param.slot {
        ParamSlot::Input(position) => json!(position),
        ParamSlot::Params => json!("params"),
        ParamSlot::Instructions => json!("instr"),
    };
    let mut optional = shared_keys(&param.attributes);
    optional.extend(param.layout.as_ref().map(|layout| ("layout".to_owned(), string(layout))));
    let keys = [
        ("raw_id", json!(param.id)),
        ("name", json!(param.name)),
        ("size", json!(param.shape)),
        ("dtype", write_element(&param.element)),
        ("slot", slot),
    ];
    object(optional, &param.attributes.tensor, keys)
}
