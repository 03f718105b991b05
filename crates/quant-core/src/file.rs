//! Saved programs: a safetensors container.
//!
//! Constants are tensors of one dimension and type `F32`, `I8`, `I16`, `I32` or `I64` under their names. The container's metadata has one key,
//! `quant-program`, with a JSON object: `sha256` and `body`. The body holds `version` (1), `program` (the [`Description`]) and
//! `metadata` (the program's own, sorted by key). One key, because the container keeps its keys in no particular order, and equal
//! programs shall be equal files.

use crate::mapped::map;
use crate::{Constant, Description, Error, FileFault, Program};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

/// The key of the container's metadata.
const KEY: &str = "quant-program";
/// Version of the format that is written and read.
const VERSION: u32 = 1;

/// What the key holds. The body stays text, so that its checksum does not depend on how it would be written again.
#[derive(Serialize, Deserialize)]
struct Header {
    /// See [`checksum`].
    sha256: String,
    body: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
struct Body<'a> {
    version: u32,
    metadata: Cow<'a, BTreeMap<String, String>>,
    program: Cow<'a, Description>,
}

/// The version alone: what is read first, since the rest depends on it.
#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

impl Program {
    /// Writes the program to a file; a file that is there is replaced only once the new one is complete.
    ///
    /// # Errors
    /// [`Error::Io`] if the file can't be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let bytes = self.to_bytes().map_err(|reason| Error::File { path: path.to_owned(), reason })?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        let written = write_synced(&temporary, &bytes).and_then(|()| std::fs::rename(&temporary, path));
        written.map_err(|error| {
            // The first error is the one to report.
            let _ = std::fs::remove_file(&temporary);
            io(error)
        })
    }

    /// Reads a saved program, checking its checksum and all its rules. The file is mapped while that happens: it must not be
    /// changed or cut short then, or the process may be stopped.
    ///
    /// # Errors
    /// [`Error::Io`] if the file can't be read or is no regular one, [`Error::File`] with the fault if it is not a saved program or damaged.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = map(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        Self::from_bytes(&bytes).map_err(|reason| Error::File { path: path.to_owned(), reason })
    }

    /// Whether `bytes` are marked as a saved program; says nothing of its validity.
    #[must_use]
    pub fn is_program(bytes: &[u8]) -> bool {
        let header = SafeTensors::read_metadata(bytes).ok();
        header.is_some_and(|(_, header)| header.metadata().as_ref().is_some_and(|m| m.contains_key(KEY)))
    }

    /// Whether a file is marked as a saved program; says nothing of its validity. As with [`Program::load`], nobody may write to it meanwhile.
    ///
    /// # Errors
    /// If the file can't be read or is no regular one.
    pub fn is_program_file(path: &Path) -> std::io::Result<bool> {
        Ok(Self::is_program(&map(path)?))
    }

    /// The content of a file.
    ///
    /// # Errors
    /// If a constant or a key has a name that the container reserves.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FileFault> {
        let body = Body {
            version: VERSION,
            metadata: Cow::Borrowed(&self.metadata),
            program: Cow::Borrowed(self.description()),
        };
        let body = serde_json::value::to_raw_value(&body)?;
        let header = Header { sha256: checksum(body.get(), self.constants()), body };
        let metadata = HashMap::from([(KEY.to_owned(), serde_json::to_string(&header)?)]);
        let constants: Vec<Encoded<'_>> = self.constants().iter().map(|(name, c)| encode(name, c)).collect();
        let views = constants
            .iter()
            .map(|(name, dtype, bytes)| {
                let count = bytes.len() / (dtype.bitsize() / 8).max(1);
                Ok((*name, TensorView::new(*dtype, vec![count], bytes)?))
            })
            .collect::<Result<Vec<_>, FileFault>>()?;
        Ok(safetensors::serialize(views, Some(metadata))?)
    }

    /// Reads the content of a file.
    ///
    /// # Errors
    /// The first fault found; never panics, whatever the bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileFault> {
        let (_, container) = SafeTensors::read_metadata(bytes)?;
        let text = container.metadata().as_ref().and_then(|m| m.get(KEY)).ok_or(FileFault::NotAProgram)?;
        let Header { sha256, body } = serde_json::from_str(text)?;
        let found = serde_json::from_str::<VersionOnly>(body.get())?.version;
        if found != VERSION {
            return Err(FileFault::Version { found, supported: VERSION });
        }
        let tensors = SafeTensors::deserialize(bytes)?;
        let mut constants: BTreeMap<String, Constant> = BTreeMap::new();
        for (name, view) in tensors.iter() {
            let constant = decode(&view).ok_or_else(|| FileFault::ConstantType(name.to_owned()))?;
            constants.insert(name.to_owned(), constant);
        }
        // Of what was read, not of what is in the file by now.
        if checksum(body.get(), &constants) != sha256 {
            return Err(FileFault::Checksum);
        }
        let body: Body<'_> = serde_json::from_str(body.get())?;
        let program = Program::new(body.program.into_owned(), constants);
        let mut program = program.map_err(|error| FileFault::Invalid(Box::new(error)))?;
        program.metadata = body.metadata.into_owned();
        Ok(program)
    }
}

/// Writes a file and waits until it is on the disk, so that the renaming that follows can't come before its content.
fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A constant as the container holds it: name, type, little-endian bytes.
type Encoded<'a> = (&'a str, Dtype, Vec<u8>);

fn encode<'a>(name: &'a str, constant: &Constant) -> Encoded<'a> {
    match constant {
        Constant::F32(values) => (name, Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Constant::I32(values) => (name, Dtype::I32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Constant::I8(values) => (name, Dtype::I8, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Constant::I16(values) => (name, Dtype::I16, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Constant::I64(values) => (name, Dtype::I64, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
    }
}

fn decode(view: &TensorView<'_>) -> Option<Constant> {
    fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
        bytes.as_chunks::<N>().0.iter().copied()
    }
    Some(match view.dtype() {
        Dtype::F32 => Constant::F32(words(view.data()).map(f32::from_le_bytes).collect()),
        Dtype::I16 => Constant::I16(words(view.data()).map(i16::from_le_bytes).collect()),
        Dtype::I32 => Constant::I32(words(view.data()).map(i32::from_le_bytes).collect()),
        Dtype::I64 => Constant::I64(words(view.data()).map(i64::from_le_bytes).collect()),
        Dtype::I8 => Constant::I8(view.data().iter().map(|&b| b as i8).collect()),
        _ => return None,
    })
}

/// SHA-256, in hexadecimal, over: the body's text as it stands in the header; then for each constant in order of names its name, its type's name and its
/// bytes, little-endian. Every part is preceded by its length as a 64-bit little-endian integer.
fn checksum(body: &str, constants: &BTreeMap<String, Constant>) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(body.as_bytes());
    for (name, constant) in constants {
        let (name, dtype, bytes) = encode(name, constant);
        part(name.as_bytes());
        part(dtype.to_string().as_bytes());
        part(&bytes);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
