//! Checkpoints from pairs of json and raw, and pairs from checkpoints.

use super::error::IcraftError;
use super::pairs::Pair;
use super::tensors::{Encoding, Integers, StoredTensor};
use crate::error::{Error, Result};
use icraft_raw::{
    Document, IntegerGrid, IntegerRange, QuantizedElement, RawElement, RawFile, RawType, TieRounding,
    payload, quantize, reverse_input_channels, to_raw_layout,
};
use nn_graph::{Params, Tensor};
use serde::Serialize;
use std::path::Path;

/// The parameters of a pair by their PyTorch names.
///
/// # Errors
/// As [`StoredTensor::read`].
pub fn to_params(pair: &Pair, tensors: &[StoredTensor]) -> Result<Params> {
    tensors.iter().map(|tensor| Ok((tensor.name.clone(), tensor.read(pair)?))).collect()
}

/// How numbers become integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantization {
    /// Halfway between two integers.
    pub ties: TieRounding,
    /// Integers used.
    pub range: IntegerRange,
}

/// What became of one tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TensorChange {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its elements.
    pub elements: usize,
    /// Elements whose stored value is another than before.
    pub changed: usize,
    /// Among these, integers that were clamped to the range.
    pub clamped: usize,
}

/// A raw file with new payloads, and the json that goes with it.
#[derive(Debug)]
pub struct Rewritten {
    /// The raw file: table and addresses as before.
    pub raw: RawFile,
    /// The json with the new checksum, else as before.
    pub json: String,
    /// MD5 of the raw file.
    pub checksum: String,
    /// What became of every tensor.
    pub changes: Vec<TensorChange>,
}

/// The pair with the parameters of a checkpoint, read from `source`. An element whose number is bit by bit the one that the file's own
/// integer stands for keeps that integer; so what was not trained stays as it is even where f32 can't tell two integers of 32 bits apart.
/// Parameters that the raw file does not have are not looked at.
///
/// # Errors
/// [`IcraftError::MissingTensor`] and [`IcraftError::Shape`]; [`IcraftError::Values`] for numbers that can't be quantised;
/// [`IcraftError::Raw`] if tensors that share a payload would differ; [`IcraftError::Network`] for a json without a checksum.
pub fn rewrite(
    pair: &Pair,
    tensors: &[StoredTensor],
    params: &Params,
    source: &Path,
    how: Quantization,
) -> Result<Rewritten> {
    let encoded =
        tensors.iter().map(|tensor| encode(pair, tensor, wanted(tensor, params, pair, source)?, how));
    let (changes, payloads): (Vec<TensorChange>, Vec<Vec<u8>>) =
        encoded.collect::<Result<Vec<_>>>()?.into_iter().unzip();
    let bytes: Vec<(u32, &[u8])> =
        tensors.iter().zip(&payloads).map(|(tensor, bytes)| (tensor.id, bytes.as_slice())).collect();
    let raw = pair.raw.rewritten(&bytes).map_err(IcraftError::raw(&pair.raw_path))?;
    let wrong = || IcraftError::network(&pair.json_path);
    let document = Document::parse(&pair.text).map_err(wrong())?;
    let json = document.with_raw(raw.as_bytes()).map_err(wrong())?;
    Ok(Rewritten { checksum: raw.md5(), raw, json, changes })
}

/// The tensor of a checkpoint that a stored one is to become.
fn wanted<'p>(tensor: &StoredTensor, params: &'p Params, pair: &Pair, source: &Path) -> Result<&'p Tensor> {
    let name = || tensor.name.clone();
    let missing = || IcraftError::MissingTensor { path: source.to_owned(), name: name() };
    let found = params.get(&tensor.name).ok_or_else(missing)?;
    if found.shape() == tensor.shape {
        return Ok(found);
    }
    Err(Error::Icraft(IcraftError::Shape {
        path: source.to_owned(),
        name: name(),
        found: found.shape().to_vec(),
        other: pair.raw_path.clone(),
        expected: tensor.shape.clone(),
    }))
}

fn encode(
    pair: &Pair,
    tensor: &StoredTensor,
    wanted: &Tensor,
    how: Quantization,
) -> Result<(TensorChange, Vec<u8>)> {
    let wrong = || IcraftError::layout(&tensor.name);
    let mut values = to_raw_layout(wanted.data(), &tensor.shape).map_err(wrong())?;
    if tensor.reversed.is_some() {
        reverse_input_channels(&mut values, &tensor.shape).map_err(wrong())?;
    }
    let stored = tensor.real_values(pair)?;
    let is_new = |(new, old): (&f32, &f32)| new.to_bits() != old.to_bits();
    let is_new: Vec<bool> = values.iter().zip(&stored).map(is_new).collect();
    let (clamped, bytes) = match &tensor.encoding {
        Encoding::Float => (0, payload(&values).into_owned()),
        Encoding::Integers(integers) => {
            let merge = Merge { pair, tensor, integers, values: &values, is_new: &is_new, how };
            match integers.element {
                RawType::I8 => merge.run::<i8>()?,
                RawType::I16 => merge.run::<i16>()?,
                RawType::I32 | RawType::F32 => merge.run::<i32>()?,
            }
        }
    };
    let width = tensor.element().bytes();
    let pieces = bytes.chunks(width).zip(tensor.bytes(pair)?.chunks(width));
    let changed = pieces.filter(|(new, old)| new != old).count();
    let (id, name, elements) = (tensor.id, tensor.name.clone(), values.len());
    Ok((TensorChange { id, name, elements, changed, clamped }, bytes))
}

/// New integers where numbers are new, the file's own elsewhere.
struct Merge<'m> {
    pair: &'m Pair,
    tensor: &'m StoredTensor,
    integers: &'m Integers,
    values: &'m [f32],
    is_new: &'m [bool],
    how: Quantization,
}

impl Merge<'_> {
    /// How many were clamped, and the payload.
    fn run<T: QuantizedElement + RawElement>(&self) -> Result<(usize, Vec<u8>)> {
        let Self { integers, values, .. } = *self;
        let grid = IntegerGrid { bits: integers.bits, range: self.how.range, ties: self.how.ties };
        let wrong = || IcraftError::values(&self.tensor.name);
        // What is not new may lie beyond the range, and is not to be counted.
        let kept = |(&value, &new): (&f32, &bool)| if new || !value.is_finite() { value } else { 0.0 };
        let news: Vec<f32> = values.iter().zip(self.is_new).map(kept).collect();
        let new = quantize::<T>(&news, integers.tensor_scales(), grid).map_err(wrong())?;
        let old = self.pair.raw.view_sized::<T>(self.tensor.id, values.len() as u64);
        let old = old.map_err(IcraftError::raw(&self.pair.raw_path))?;
        let merged = new.values.iter().zip(old.iter()).zip(self.is_new);
        let merged: Vec<T> = merged.map(|((&new, &old), &is_new)| if is_new { new } else { old }).collect();
        Ok((new.clamped, payload(&merged).into_owned()))
    }
}
