//! safetensors files: a JSON header with types, shapes and offsets, then the elements.
//!
//! Source: the format section of the safetensors README. Reading goes through the `safetensors` crate.
//! Writing builds the header here, because the crate keeps metadata in a hash map, whose order would differ
//! from run to run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use crate::{Params, Tensor};

use super::element::{ElementType, View, expand};
use super::error::{CheckpointError, TensorFault};
use super::{Checkpoint, CheckpointFormat};

/// The header key that no tensor can have.
const METADATA_KEY: &str = "__metadata__";
/// The header length is a multiple of this, so that the elements are aligned.
const ALIGNMENT: usize = 8;

/// Whether the bytes begin like a safetensors file: a header length that fits the file, then a JSON object.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return false };
    rest.first() == Some(&b'{') && u64::from_le_bytes(*length) <= rest.len() as u64
}

/// Reads a safetensors file.
///
/// # Errors
/// A header that breaks the format, or an element type that is neither an integer nor a float of 16, 32 or 64
/// bits.
pub(super) fn read(bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
    let fail = |source| CheckpointError::Safetensors { source };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(fail)?;
    let file = SafeTensors::deserialize(bytes).map_err(fail)?;
    let mut checkpoint = Checkpoint::empty(CheckpointFormat::Safetensors);
    checkpoint.metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    for (name, view) in file.iter() {
        let element = element_type(view.dtype())
            .ok_or_else(|| TensorFault::ElementType { class: format!("{:?}", view.dtype()) })
            .map_err(|fault| CheckpointError::Tensor { name: name.to_owned(), fault })?;
        *checkpoint.stored_types.entry(element).or_insert(0) += 1;
        match dense(view.data(), element, view.shape()) {
            Some(tensor) => drop(checkpoint.params.insert(name.to_owned(), tensor)),
            None => checkpoint.skipped.push(name.to_owned()),
        }
    }
    Ok(checkpoint)
}

/// A tensor in C order; `None` for integers. The safetensors crate has already compared shape, type and
/// length.
fn dense(bytes: &[u8], element: ElementType, shape: &[usize]) -> Option<Tensor> {
    let count = bytes.len() / element.size();
    let elements = View { offset: 0, shape: vec![count], strides: vec![1] };
    Tensor::new(shape.to_vec(), expand(bytes, element, &elements)?)
}

fn element_type(dtype: Dtype) -> Option<ElementType> {
    Some(match dtype {
        Dtype::F64 => ElementType::Float64,
        Dtype::F32 => ElementType::Float32,
        Dtype::F16 => ElementType::Float16,
        Dtype::BF16 => ElementType::BFloat16,
        Dtype::I64 => ElementType::Int64,
        Dtype::I32 => ElementType::Int32,
        Dtype::I16 => ElementType::Int16,
        Dtype::I8 => ElementType::Int8,
        Dtype::U64 => ElementType::UInt64,
        Dtype::U32 => ElementType::UInt32,
        Dtype::U16 => ElementType::UInt16,
        Dtype::U8 => ElementType::UInt8,
        Dtype::BOOL => ElementType::Bool,
        _ => return None,
    })
}

/// Writes parameters as a safetensors file of `f32` tensors in the order of their names, with `metadata` in
/// its header. The same input gives the same bytes.
///
/// The file appears complete or not at all: it is written under a temporary name in the same folder and then
/// renamed, so an interrupted run leaves the old file.
///
/// # Errors
/// [`CheckpointError::Write`] when the folder or file cannot be written, [`CheckpointError::ReservedName`]
/// for a parameter called `__metadata__`.
pub fn write_safetensors(
    path: &Path,
    params: &Params,
    metadata: &BTreeMap<String, String>,
) -> Result<(), CheckpointError> {
    if params.contains_key(METADATA_KEY) {
        return Err(CheckpointError::ReservedName);
    }
    let fail = |source| CheckpointError::Write { path: path.to_owned(), source };
    let (temporary, file) = create_beside(path).map_err(fail)?;
    let written = write_to(file, params, metadata).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|source| {
        // The first failure is the one to report; a leftover that cannot be removed either is harmless.
        let _ = fs::remove_file(&temporary);
        fail(source)
    })
}

/// Creates a new file in the folder of `path`, hidden and named after this process.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let mut attempt = 0u32;
    loop {
        let temporary = path.with_file_name(format!(".{name}.{}.{attempt}.tmp", std::process::id()));
        match File::create_new(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 64 => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

fn write_to(file: File, params: &Params, metadata: &BTreeMap<String, String>) -> io::Result<()> {
    let header = header(params, metadata);
    let mut out = io::BufWriter::new(file);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    for tensor in params.values() {
        for value in tensor.data() {
            out.write_all(&value.to_le_bytes())?;
        }
    }
    out.into_inner()?.sync_all()
}

fn header(params: &Params, metadata: &BTreeMap<String, String>) -> String {
    let mut entries = Vec::with_capacity(params.len() + 1);
    if !metadata.is_empty() {
        let pairs: Vec<_> =
            metadata.iter().map(|(key, value)| format!("{}:{}", json(key), json(value))).collect();
        entries.push(format!("{}:{{{}}}", json(METADATA_KEY), pairs.join(",")));
    }
    let mut start = 0;
    for (name, tensor) in params {
        let end = start + size_of_val(tensor.data());
        let shape: Vec<_> = tensor.shape().iter().map(ToString::to_string).collect();
        entries.push(format!(
            r#"{}:{{"dtype":"F32","shape":[{}],"data_offsets":[{start},{end}]}}"#,
            json(name),
            shape.join(",")
        ));
        start = end;
    }
    let text = format!("{{{}}}", entries.join(","));
    let length = text.len().next_multiple_of(ALIGNMENT);
    format!("{text:length$}")
}

/// A JSON string literal (RFC 8259, section 7).
fn json(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\0'..='\u{1f}' => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(character));
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
