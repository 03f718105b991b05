//! Networks of the later generation as json.

use super::NetworkError;
use super::element::{TYPE_KEY, read_element, string, write_element};
use super::fields::{Attributes, Fields, Place, count, each, expression, integer, text};
use super::model::{FeatureMap, Network, Operation, Param, ParamSlot, TensorAttributes};
use crate::excerpt::excerpt;
use crate::{ElementType, Generation, Layout};
use serde_json::{Value, json};

const NAMESPACE: &str = "icraft::xir";
const VALUE: &str = "icraft::xir::Value";
const PARAMS: &str = "icraft::xir::Params";
const TENSOR_TYPE: &str = "icraft::xir::TensorType";
const HARD_OP: &str = "HardOp";

/// Kinds that the generations spell differently: legacy, later.
pub(super) const SPELLINGS: &[(&str, &str)] = &[("Silu", "SiLU")];

/// Keys that every object of a class has. Absent attributes are written so, and such values are not kept as attributes.
fn defaults<const N: usize>(keys: [(&str, Value); N]) -> Attributes {
    keys.map(|(key, value)| (key.to_owned(), value)).into()
}

fn operation_defaults() -> Attributes {
    defaults([("compile_target", json!("@hostt")), ("tags", json!({}))])
}

fn value_defaults() -> Attributes {
    defaults([("mtype", json!("@hostm")), ("tags", json!({}))])
}

fn param_defaults() -> Attributes {
    defaults([("_allow_no_data", json!(false)), ("mtype", json!("@hostm")), ("tags", json!({}))])
}

fn dtype_defaults() -> Attributes {
    defaults([("merged_distrs", json!([]))])
}

pub(super) fn read(mut fields: Fields<'_>) -> Result<Network, NetworkError> {
    fields.optional(TYPE_KEY, text)?;
    Ok(Network {
        generation: Generation::Xir,
        name: fields.required("name", text)?,
        operations: fields.required("ops", |v, p| each(v, p, read_operation))?,
        checksum: fields.optional("params_md5", super::read_checksum)?,
        raw_length: fields.optional("params_bytes", |v, p| count(v, p).map(|length| length as u64))?,
        attributes: fields.rest(&Attributes::new()),
    })
}

fn read_operation(value: Value, place: &Place<'_>) -> Result<Operation, NetworkError> {
    let mut fields = Fields::new(value, place)?;
    let full = fields.required(TYPE_KEY, text)?;
    let (namespace, kind) = full.rsplit_once("::").unwrap_or(("", &full));
    let (inputs, mut params) = read_inputs(&mut fields)?;
    for (key, slot) in [("params", ParamSlot::Params), ("instr", ParamSlot::Instructions)] {
        let read = |v, p: &Place<'_>| each(v, p, |v, p| read_param(v, p, slot));
        params.extend(fields.optional(key, read)?.unwrap_or_default());
    }
    Ok(Operation {
        id: fields.required("op_id", integer)?,
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: fields.optional("name", text)?.unwrap_or_default(),
        inputs,
        params,
        outputs: fields.required("outputs", |v, p| each(v, p, read_feature_map))?,
        attributes: fields.rest(&operation_defaults()),
    })
}

fn read_inputs(fields: &mut Fields<'_>) -> Result<(Vec<FeatureMap>, Vec<Param>), NetworkError> {
    let (mut inputs, mut params) = (Vec::new(), Vec::new());
    let mut position = 0;
    fields.required("inputs", |value, place| {
        each(value, place, |value, place| {
            if value.get(TYPE_KEY).and_then(Value::as_str) == Some(PARAMS) {
                params.push(read_param(value, place, ParamSlot::Input(position))?);
            } else {
                inputs.push(read_feature_map(value, place)?);
            }
            position += 1;
            Ok(())
        })
    })?;
    Ok((inputs, params))
}

/// Id, name, and type of a tensor, and the keys left over.
struct Tensor {
    id: i64,
    name: String,
    dtype: Dtype,
    rest: Attributes,
}

/// What `dtype` holds.
struct Dtype {
    shape: Vec<usize>,
    element: ElementType,
    layout: Option<Layout>,
    rest: Attributes,
}

fn read_tensor(
    value: Value,
    place: &Place<'_>,
    class: &'static str,
    defaults: &Attributes,
) -> Result<Tensor, NetworkError> {
    let mut fields = Fields::new(value, place)?;
    let found = fields.required(TYPE_KEY, text)?;
    if found != class {
        let path = Place::Key(place, TYPE_KEY).to_string();
        return Err(NetworkError::Value { path, found: excerpt(&found), expected: class });
    }
    Ok(Tensor {
        id: fields.required("v_id", integer)?,
        name: fields.optional("name", text)?.unwrap_or_default(),
        dtype: fields.required("dtype", read_dtype)?,
        rest: fields.rest(defaults),
    })
}

fn read_dtype(value: Value, place: &Place<'_>) -> Result<Dtype, NetworkError> {
    let mut fields = Fields::new(value, place)?;
    fields.optional(TYPE_KEY, text)?;
    Ok(Dtype {
        shape: fields.required("shape", |v, p| each(v, p, count))?,
        element: fields.required("element_dtype", read_element)?,
        layout: fields.optional("layout", expression)?,
        rest: fields.rest(&dtype_defaults()),
    })
}

fn read_feature_map(value: Value, place: &Place<'_>) -> Result<FeatureMap, NetworkError> {
    let Tensor { id, name, dtype, rest } = read_tensor(value, place, VALUE, &value_defaults())?;
    let Dtype { shape, element, layout, rest: of_dtype } = dtype;
    let attributes = TensorAttributes { tensor: rest, dtype: of_dtype };
    Ok(FeatureMap { id: Some(id), name, shape, element, layout, attributes })
}

fn read_param(value: Value, place: &Place<'_>, slot: ParamSlot) -> Result<Param, NetworkError> {
    let Tensor { id, name, dtype, rest } = read_tensor(value, place, PARAMS, &param_defaults())?;
    let Dtype { shape, element, layout, rest: of_dtype } = dtype;
    let attributes = TensorAttributes { tensor: rest, dtype: of_dtype };
    Ok(Param { id, name, shape, element, layout, slot, attributes })
}

/// `base`, then `attributes`, then `keys`: the later ones win.
pub(super) fn object<const N: usize>(
    base: Attributes,
    attributes: &Attributes,
    keys: [(&str, Value); N],
) -> Value {
    let keys = keys.map(|(key, value)| (key.to_owned(), value));
    let all: Attributes = base.into_iter().chain(attributes.clone()).chain(keys).collect();
    Value::Object(all.into_iter().collect())
}

pub(super) fn write(network: &Network) -> Result<Value, NetworkError> {
    let operations: Result<Value, _> = network.operations.iter().map(write_operation).collect();
    let mut known = defaults([]);
    known.extend(network.checksum.map(|checksum| ("params_md5".to_owned(), string(&checksum))));
    known.extend(network.raw_length.map(|length| ("params_bytes".to_owned(), json!(length))));
    let keys =
        [(TYPE_KEY, json!("icraft::xir::Network")), ("name", json!(network.name)), ("ops", operations?)];
    Ok(object(network.attributes.clone(), &known, keys))
}

fn write_operation(operation: &Operation) -> Result<Value, NetworkError> {
    let outputs: Result<Value, _> =
        operation.outputs.iter().map(|map| write_map(map, operation.id)).collect();
    let keys = [
        (TYPE_KEY, json!(full_kind(operation))),
        ("op_id", json!(operation.id)),
        ("name", json!(operation.name)),
        ("inputs", write_inputs(operation)?),
        ("outputs", outputs?),
    ];
    let mut base = operation_defaults();
    base.extend(write_slot(operation, "params", ParamSlot::Params));
    base.extend(write_slot(operation, "instr", ParamSlot::Instructions));
    Ok(object(base, &operation.attributes, keys))
}

fn full_kind(operation: &Operation) -> String {
    let spelling = SPELLINGS.iter().find(|(legacy, _)| *legacy == operation.kind);
    let kind = spelling.map_or(operation.kind.as_str(), |&(_, later)| later);
    let namespace = if operation.namespace.is_empty() { NAMESPACE } else { &operation.namespace };
    format!("{namespace}::{kind}")
}

/// Feature maps in order, and parameters at their positions among them.
fn write_inputs(operation: &Operation) -> Result<Value, NetworkError> {
    let maps: Result<Vec<Value>, _> =
        operation.inputs.iter().map(|map| write_map(map, operation.id)).collect();
    let mut inputs = maps?;
    let mut params: Vec<(usize, &Param)> = Vec::new();
    for param in &operation.params {
        if let ParamSlot::Input(position) = param.slot {
            params.push((position, param));
        }
    }
    params.sort_by_key(|&(position, _)| position);
    for (position, param) in params {
        inputs.insert(position.min(inputs.len()), write_param(param));
    }
    Ok(inputs.into())
}

/// A `HardOp` has the lists even where they are empty.
fn write_slot(operation: &Operation, key: &str, slot: ParamSlot) -> Option<(String, Value)> {
    let params: Vec<Value> =
        operation.params.iter().filter(|param| param.slot == slot).map(write_param).collect();
    let written = operation.kind == HARD_OP || !params.is_empty();
    written.then(|| (key.to_owned(), params.into()))
}

fn write_map(map: &FeatureMap, operation: i64) -> Result<Value, NetworkError> {
    let id = map.id.ok_or(NetworkError::MissingId { operation })?;
    let dtype = write_dtype(&map.shape, &map.element, map.layout.as_ref(), &map.attributes.dtype);
    let keys = [(TYPE_KEY, json!(VALUE)), ("v_id", json!(id)), ("name", json!(map.name)), ("dtype", dtype)];
    Ok(object(value_defaults(), &map.attributes.tensor, keys))
}

fn write_param(param: &Param) -> Value {
    let dtype = write_dtype(&param.shape, &param.element, param.layout.as_ref(), &param.attributes.dtype);
    let keys =
        [(TYPE_KEY, json!(PARAMS)), ("v_id", json!(param.id)), ("name", json!(param.name)), ("dtype", dtype)];
    object(param_defaults(), &param.attributes.tensor, keys)
}

fn write_dtype(
    shape: &[usize],
    element: &ElementType,
    layout: Option<&Layout>,
    attributes: &Attributes,
) -> Value {
    let mut base = dtype_defaults();
    base.extend(layout.map(|layout| ("layout".to_owned(), string(layout))));
    let keys =
        [(TYPE_KEY, json!(TENSOR_TYPE)), ("shape", json!(shape)), ("element_dtype", write_element(element))];
    object(base, attributes, keys)
}
