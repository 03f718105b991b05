//! The tensors of a pair: what each is called, how it lies in the raw file, and what its integers stand for.

use super::error::IcraftError;
use super::log::{ParameterLog, disagreement};
use super::names::Names;
use super::pairs::Pair;
use super::reversal::{ReversedBy, mark};
use crate::error::Result;
use icraft_raw::{
    BitWidth, ElementType, Param, PerAxis, Quantized, RawFile, RawType, Role, Scales, StorageType,
    TensorScales, decode, raw_shape, reverse_input_channels, to_framework_layout,
};
use nn_graph::Tensor;
use serde::Serialize;
use std::collections::BTreeMap;

/// In the later generation tensors may share a payload. All of them together may name this many times the bytes of the file.
const MOST_SHARED: u64 = 8;

/// Where scales come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScaleSource {
    /// The json.
    Json,
    /// The log of the quantiser.
    Csv,
}

/// What the elements of a tensor are.
#[derive(Debug, Clone, PartialEq)]
pub enum Encoding {
    /// f32.
    Float,
    /// Integers.
    Integers(Integers),
}

/// Integers `q` with real value `q * scale`.
#[derive(Debug, Clone, PartialEq)]
pub struct Integers {
    /// What holds one of them.
    pub element: RawType,
    /// Bits of the values, at most those of the element.
    pub bits: u32,
    /// One scale, or one for each output channel.
    pub scales: Vec<f32>,
    /// Where they come from.
    pub source: ScaleSource,
}

impl Integers {
    /// The scales as the codec wants them.
    #[must_use]
    pub fn tensor_scales(&self) -> TensorScales<'_> {
        match *self.scales.as_slice() {
            [only] => TensorScales::PerTensor(only),
            ref all => TensorScales::PerChannel(all),
        }
    }
}

/// A tensor of a raw file.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTensor {
    /// Its id.
    pub id: u32,
    /// Its name in PyTorch.
    pub name: String,
    /// Its shape there, `[O, I, H, W]` or `[O]`.
    pub shape: Vec<usize>,
    /// Its elements.
    pub encoding: Encoding,
    /// What told that its input channels are in reverse, if they are.
    pub reversed: Option<ReversedBy>,
}

/// What a json may leave open.
#[derive(Debug, Default)]
pub struct Known {
    /// Names and shapes.
    pub names: Option<Names>,
    /// Scales.
    pub log: Option<ParameterLog>,
    /// Width of the network, where the json names no types; none for f32.
    pub width: Option<BitWidth>,
    /// Whether the user says that the network takes BGR.
    pub bgr: bool,
}

/// The tensors of a pair in the order of the json, or of the table where the json lists none. Tensors without elements are left out.
///
/// # Errors
/// An [`IcraftError`] for whatever is not known or does not fit; sizes have to explain every byte of the raw file.
pub fn stored_tensors(pair: &Pair, known: &Known) -> Result<Vec<StoredTensor>> {
    let listed = listed(pair)?;
    let mut tensors =
        if listed.is_empty() { from_mapping(pair, known)? } else { from_json(pair, &listed, known)? };
    check_names(pair, &tensors)?;
    mark(pair, known.names.as_ref(), known.bgr, &mut tensors)?;
    Ok(tensors)
}

/// Parameters of all operations, each id once.
fn listed(pair: &Pair) -> Result<Vec<(u32, &Param)>> {
    let mut seen: BTreeMap<u32, &Param> = BTreeMap::new();
    let mut listed = Vec::new();
    for param in pair.network.operations.iter().flat_map(|operation| &operation.params) {
        let json = || pair.json_path.clone();
        let wrong = |_| IcraftError::Id { json: json(), name: param.name.clone(), id: param.id };
        let id = u32::try_from(param.id).map_err(wrong)?;
        match seen.insert(id, param) {
            None => listed.push((id, param)),
            Some(first) if first.shape == param.shape && first.element == param.element => {}
            Some(_) => return Err(IcraftError::ListedTwice { json: json(), id }.into()),
        }
    }
    Ok(listed)
}

fn from_json(pair: &Pair, listed: &[(u32, &Param)], known: &Known) -> Result<Vec<StoredTensor>> {
    let types = listed.iter().map(|(id, param)| json_type(pair, *id, param, known));
    let types = types.collect::<Result<Vec<_>>>()?;
    check_sizes(pair, listed, &types)?;
    let elements: Vec<u64> = listed.iter().map(|(_, param)| element_count(&param.shape)).collect();
    let nameless = |&(id, param): &(u32, &Param)| param.name.is_empty() && known_name(known, id).is_none();
    let without: Vec<u32> = listed
        .iter()
        .zip(&elements)
        .filter(|(item, n)| **n > 0 && nameless(item))
        .map(|(item, _)| item.0)
        .collect();
    if let Some(&first) = without.first() {
        return Err(IcraftError::NoNames { json: pair.json_path.clone(), count: without.len(), first }.into());
    }
    let rows = listed.iter().zip(types).zip(elements).filter(|(_, elements)| *elements > 0);
    rows.map(|((&(id, param), (element, bits)), _)| {
        let named = known_name(known, id);
        let name = named.map_or_else(|| param.name.clone(), str::to_owned);
        let encoding = if element == RawType::F32 {
            Encoding::Float
        } else {
            let (scales, source) = scales(&name, id, param, known.log.as_ref())?;
            Encoding::Integers(Integers { element, bits, scales, source })
        };
        Ok(StoredTensor { id, name, shape: framework_shape(&param.shape), encoding, reversed: None })
    })
    .collect()
}

fn known_name(known: &Known, id: u32) -> Option<&str> {
    Some(&known.names.as_ref()?.by_id.get(&id)?.name)
}

/// What holds an element, and bits of its values.
fn json_type(pair: &Pair, id: u32, param: &Param, known: &Known) -> Result<(RawType, u32)> {
    let label = if param.name.is_empty() { format!("parameter {id}") } else { param.name.clone() };
    if is_hardware(param) {
        return Err(IcraftError::Hardware { json: pair.json_path.clone(), tensor: label }.into());
    }
    let found = match &param.element {
        ElementType::Storage(StorageType::Float(32))
        | ElementType::Normalized(_)
        | ElementType::Calibrated(_) => return Ok((RawType::F32, 32)),
        ElementType::Storage(StorageType::Signed(bits)) => (*bits, false),
        ElementType::Quantized(Quantized { storage: StorageType::Signed(bits), zero_points, .. }) => {
            (*bits, zero_points.iter().any(|&point| point != 0))
        }
        ElementType::Other(value) if value.is_null() => return default_type(pair, id, &param.shape, known),
        // nothing is stored, so it does not matter how
        other if param.shape.contains(&0) => (other.storage().map_or(8, StorageType::bits), false),
        other => {
            let found = other.storage().map_or("of an unknown type".to_owned(), |found| found.to_string());
            return Err(IcraftError::Element { tensor: label, found }.into());
        }
    };
    match found {
        (_, true) => Err(IcraftError::ZeroPoints { tensor: label }.into()),
        (bits @ 2..=8, _) => Ok((RawType::I8, bits)),
        (bits @ 9..=16, _) => Ok((RawType::I16, bits)),
        (bits @ 17..=32, _) => Ok((RawType::I32, bits)),
        (bits, _) if param.shape.contains(&0) => Ok((RawType::I8, bits.clamp(2, 8))),
        (bits, _) => {
            let found = StorageType::Signed(bits).to_string();
            Err(IcraftError::Element { tensor: label, found }.into())
        }
    }
}

/// Instructions, and tensors whose channels have been split (`OIHWo32i32`).
pub(super) fn is_hardware(param: &Param) -> bool {
    let layout = param.layout.as_ref().map(ToString::to_string).unwrap_or_default();
    let axes = layout.trim_start_matches("@layout(");
    !matches!(param.slot, icraft_raw::ParamSlot::Input(_))
        || axes.chars().any(|axis| axis.is_ascii_lowercase())
}

/// The type by the rule of the earlier generation, where the json names none.
fn default_type(pair: &Pair, id: u32, shape: &[usize], known: &Known) -> Result<(RawType, u32)> {
    let Some(width) = known.width else {
        let bytes = pair.raw.bytes(id).map_err(IcraftError::raw(&pair.raw_path))?.len();
        let elements = usize::try_from(element_count(shape)).unwrap_or(usize::MAX);
        let tensor = format!("parameter {id}");
        return match elements.checked_mul(4) == Some(bytes) {
            true => Ok((RawType::F32, 32)),
            false => Err(IcraftError::NoType { tensor, bytes, elements }.into()),
        };
    };
    let role = if shape.len() == 1 { Role::Bias } else { Role::Weight };
    Ok((icraft_raw::Stage::Quantized.element_type(width, role), width.value_bits(role)))
}

/// The product of a shape; the greatest number where none holds it.
fn element_count(shape: &[usize]) -> u64 {
    let product = shape.iter().fold(1u64, |product, &side| product.saturating_mul(side as u64));
    if shape.contains(&0) { 0 } else { product }
}

/// Sizes have to explain every byte of the raw file, and payloads that tensors share are not to multiply it.
fn check_sizes(pair: &Pair, listed: &[(u32, &Param)], types: &[(RawType, u32)]) -> Result<()> {
    let size = |((id, param), (element, _)): (&(u32, &Param), &(RawType, u32))| {
        (*id, element_count(&param.shape).saturating_mul(element.bytes() as u64))
    };
    let sizes: Vec<(u32, u64)> = listed.iter().zip(types).map(size).collect();
    pair.raw.check_sizes(sizes.iter().copied()).map_err(IcraftError::raw(&pair.raw_path))?;
    let named = sizes.iter().fold(0u64, |sum, (_, length)| sum.saturating_add(*length));
    let length = pair.raw.as_bytes().len() as u64;
    if named > length.saturating_mul(MOST_SHARED) {
        let raw = pair.raw_path.clone();
        return Err(IcraftError::Shared { raw, named, length, most: MOST_SHARED }.into());
    }
    Ok(())
}

/// The json's scales, else the log's. Where both have them they have to agree.
pub(super) fn scales(
    name: &str,
    id: u32,
    param: &Param,
    log: Option<&ParameterLog>,
) -> Result<(Vec<f32>, ScaleSource)> {
    let logged = log.map(|log| log.scales(name, id, &param.shape)).transpose()?.flatten();
    let listed = param.element.scale().filter(|scales| scales.count() > 0);
    let listed = listed.map(|scales| json_scales(name, param, scales)).transpose()?;
    match (listed, logged) {
        (Some(json), Some(csv)) => match disagreement(&json, &csv) {
            None => Ok((json, ScaleSource::Json)),
            Some(channel) => {
                let at = |list: &[f32]| list.get(channel).or(list.first()).copied().unwrap_or(f32::NAN);
                let (json, csv) = (at(&json), at(&csv));
                Err(IcraftError::ScalesDisagree { tensor: name.to_owned(), channel, json, csv }.into())
            }
        },
        (Some(json), None) => Ok((json, ScaleSource::Json)),
        (None, Some(csv)) => Ok((csv, ScaleSource::Csv)),
        (None, None) => Err(IcraftError::NoScales { tensor: name.to_owned(), id }.into()),
    }
}

/// One scale, or one for each output channel.
fn json_scales(name: &str, param: &Param, scales: &Scales) -> Result<Vec<f32>> {
    let (axis, shared) = match scales {
        Scales::Exponent(list) => (list.axis(), list.shared().map(|scale| scale.value)),
        Scales::Float(list) => (list.axis(), PerAxis::shared(list)),
    };
    if let Some(shared) = shared {
        return Ok(vec![shared]);
    }
    let rank = param.shape.len();
    if let Some(axis) = axis.filter(|&axis| axis != -1 && usize::try_from(axis).ok() != rank.checked_sub(1)) {
        return Err(IcraftError::ScaleAxis { tensor: name.to_owned(), axis, rank }.into());
    }
    let channels = param.shape.last().copied().unwrap_or(1);
    let wrong = |source| IcraftError::Expression { tensor: name.to_owned(), source }.into();
    scales.expand(channels).map_err(wrong)
}

/// Tensors of a json that lists none: names and shapes by content, types by the rule of the earlier generation.
fn from_mapping(pair: &Pair, known: &Known) -> Result<Vec<StoredTensor>> {
    let entries = pair.raw.entries();
    let Some(names) = &known.names else {
        let (count, first) = (entries.len(), entries.first().map_or(0, |entry| entry.id));
        return Err(IcraftError::NoNames { json: pair.json_path.clone(), count, first }.into());
    };
    entries.iter().map(|entry| mapped(pair, entry.id, names, known)).collect()
}

fn mapped(pair: &Pair, id: u32, names: &Names, known: &Known) -> Result<StoredTensor> {
    let bytes = pair.raw.bytes(id).map_err(IcraftError::raw(&pair.raw_path))?.len();
    let absent = |elements| IcraftError::NotInParsed {
        parsed: names.parsed.clone(),
        json: pair.json_path.clone(),
        id,
        elements,
    };
    let named = names.by_id.get(&id).ok_or_else(|| absent(bytes))?;
    let name = named.name.clone();
    let shape = raw_shape(&named.shape).map_err(IcraftError::layout(&name))?;
    let (element, bits) = default_type(pair, id, &shape, known)?;
    let elements: usize = shape.iter().product();
    if elements * element.bytes() != bytes {
        return Err(absent(bytes / element.bytes()).into());
    }
    let encoding = if element == RawType::F32 {
        Encoding::Float
    } else {
        let logged = known.log.as_ref().map(|log| log.scales(&name, id, &shape)).transpose()?.flatten();
        let scales = logged.ok_or_else(|| IcraftError::NoScales { tensor: name.clone(), id })?;
        Encoding::Integers(Integers { element, bits, scales, source: ScaleSource::Csv })
    };
    Ok(StoredTensor { id, name, shape: named.shape.clone(), encoding, reversed: None })
}

fn check_names(pair: &Pair, tensors: &[StoredTensor]) -> Result<()> {
    let mut seen = BTreeMap::new();
    for StoredTensor { id, name, .. } in tensors {
        if let Some(first) = seen.insert(name, i64::from(*id)) {
            let (json, name, second) = (pair.json_path.clone(), name.clone(), i64::from(*id));
            return Err(IcraftError::SameName { json, name, first, second }.into());
        }
    }
    Ok(())
}

/// The framework's order of a raw file's axes: `[H, W, I, O]` to `[O, I, H, W]`, `[N, I, O]` to `[O, I, N]`.
fn framework_shape(raw: &[usize]) -> Vec<usize> {
    match *raw {
        [height, width, inputs, outputs] => vec![outputs, inputs, height, width],
        ref other => other.iter().rev().copied().collect(),
    }
}

impl StoredTensor {
    /// Elements.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The bytes in the file.
    ///
    /// # Errors
    /// [`IcraftError::Raw`].
    pub fn bytes<'f>(&self, pair: &'f Pair) -> Result<&'f [u8]> {
        let bytes = self.elements() * self.element().bytes();
        pair.raw.sized(self.id, bytes as u64).map_err(IcraftError::raw(&pair.raw_path))
    }

    /// What holds an element.
    #[must_use]
    pub fn element(&self) -> RawType {
        match &self.encoding {
            Encoding::Float => RawType::F32,
            Encoding::Integers(integers) => integers.element,
        }
    }

    /// The numbers that the file's elements stand for, in the file's order.
    ///
    /// # Errors
    /// [`IcraftError::Raw`]; [`IcraftError::Values`] for scales that don't fit.
    pub fn real_values(&self, pair: &Pair) -> Result<Vec<f32>> {
        let bytes = self.bytes(pair)?;
        let Encoding::Integers(integers) = &self.encoding else {
            return floats(&pair.raw, self.id, self.elements()).map_err(IcraftError::raw(&pair.raw_path));
        };
        let scales = integers.tensor_scales();
        let values = match integers.element {
            RawType::I8 => decode::<i8>(bytes, scales),
            RawType::I16 => decode::<i16>(bytes, scales),
            RawType::I32 | RawType::F32 => decode::<i32>(bytes, scales),
        };
        values.map_err(IcraftError::values(&self.name))
    }

    /// The tensor as PyTorch has it: axes in its order, and the input channels too.
    ///
    /// # Errors
    /// As [`StoredTensor::real_values`]; [`IcraftError::NotFinite`]; [`IcraftError::Layout`].
    pub fn read(&self, pair: &Pair) -> Result<Tensor> {
        let mut values = self.real_values(pair)?;
        let count = values.iter().filter(|value| !value.is_finite()).count();
        if count > 0 {
            let (path, name) = (pair.raw_path.clone(), self.name.clone());
            return Err(IcraftError::NotFinite { path, name, count }.into());
        }
        if self.reversed.is_some() {
            reverse_input_channels(&mut values, &self.shape).map_err(IcraftError::layout(&self.name))?;
        }
        let values = to_framework_layout(&values, &self.shape).map_err(IcraftError::layout(&self.name))?;
        // The layout has checked that there are as many values as the shape says.
        Ok(Tensor::new(self.shape.clone(), values).unwrap_or_else(|| Tensor::vector(Vec::new())))
    }
}

fn floats(raw: &RawFile, id: u32, elements: usize) -> std::result::Result<Vec<f32>, icraft_raw::RawError> {
    Ok(raw.view_sized::<f32>(id, elements as u64)?.into_owned())
}
