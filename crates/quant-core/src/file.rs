//! Saved programs: a safetensors container.
//!
//! Constants are tensors of one dimension and type `F32`, `I8` or `I32` under their names. The metadata holds `format` (`quant-program`),
//! `version` (`1`), `program` (the [`Description`] as JSON), `sha256` (of all else, see [`checksum`]) and the program's own metadata under
//! keys with the prefix `meta.`.

use crate::{Constant, Description, Error, FileFault, Program};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

const FORMAT: &str = "quant-program";
const VERSION: &str = "1";
const META_PREFIX: &str = "meta.";

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
        let written = std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
        written.map_err(|error| {
            // The first error is the one to report.
            let _ = std::fs::remove_file(&temporary);
            io(error)
        })
    }

    /// Reads a saved program, checking its checksum and all its rules.
    ///
    /// # Errors
    /// [`Error::Io`] if the file can't be read, [`Error::File`] with the fault if it is not a saved program or damaged.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        Self::from_bytes(&bytes).map_err(|reason| Error::File { path: path.to_owned(), reason })
    }

    /// Whether `bytes` are marked as a saved program; says nothing of its validity.
    #[must_use]
    pub fn is_program(bytes: &[u8]) -> bool {
        let header = SafeTensors::read_metadata(bytes).ok();
        let metadata = header.and_then(|(_, header)| header.metadata().clone());
        metadata.is_some_and(|m| m.get("format").is_some_and(|f| f == FORMAT))
    }

    /// The content of a file.
    ///
    /// # Errors
    /// If a constant or a key has a name that the container reserves.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FileFault> {
        let description = serde_json::to_string(self.description())?;
        let constants: Vec<(&str, Dtype, Vec<u8>)> =
            self.constants().iter().map(|(n, c)| encode(n, c)).collect();
        let sha256 = checksum(&description, &self.metadata, &constants);
        let mut metadata: HashMap<String, String> =
            self.metadata.iter().map(|(key, value)| (format!("{META_PREFIX}{key}"), value.clone())).collect();
        for (key, value) in
            [("format", FORMAT), ("version", VERSION), ("program", &description), ("sha256", &sha256)]
        {
            metadata.insert(key.to_owned(), value.to_owned());
        }
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
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let key = |name: &'static str| metadata.get(name).ok_or(FileFault::Key(name));
        if key("format")? != FORMAT {
            return Err(FileFault::Key("format"));
        }
        let version = key("version")?;
        if version != VERSION {
            return Err(FileFault::Version { found: version.clone(), supported: VERSION });
        }
        let tensors = SafeTensors::deserialize(bytes)?;
        let mut constants: BTreeMap<String, Constant> = BTreeMap::new();
        for (name, view) in tensors.iter() {
            let constant = decode(&view).ok_or_else(|| FileFault::ConstantType(name.to_owned()))?;
            constants.insert(name.to_owned(), constant);
        }
        let own: BTreeMap<String, String> = metadata
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(META_PREFIX)?.to_owned(), value.clone())))
            .collect();
        let description = key("program")?;
        let encoded: Vec<(&str, Dtype, Vec<u8>)> = constants.iter().map(|(n, c)| encode(n, c)).collect();
        if checksum(description, &own, &encoded) != *key("sha256")? {
            return Err(FileFault::Checksum);
        }
        let description: Description = serde_json::from_str(description)?;
        let mut program =
            Program::new(description, constants).map_err(|e| FileFault::Invalid(Box::new(e)))?;
        program.metadata = own;
        Ok(program)
    }
}

fn encode<'a>(name: &'a str, constant: &Constant) -> (&'a str, Dtype, Vec<u8>) {
    match constant {
        Constant::F32(values) => (name, Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Constant::I32(values) => (name, Dtype::I32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Constant::I8(values) => (name, Dtype::I8, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
    }
}

fn decode(view: &TensorView<'_>) -> Option<Constant> {
    let words = || view.data().chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]);
    Some(match view.dtype() {
        Dtype::F32 => Constant::F32(words().map(f32::from_le_bytes).collect()),
        Dtype::I32 => Constant::I32(words().map(i32::from_le_bytes).collect()),
        Dtype::I8 => Constant::I8(view.data().iter().map(|&b| b as i8).collect()),
        _ => return None,
    })
}

/// SHA-256, in hexadecimal, over: the description; then for each metadata key in order the key and the value; then for each constant in
/// order its name, its type's name and its bytes, little-endian. Every part is preceded by its length as a 64-bit little-endian integer.
fn checksum(
    description: &str,
    metadata: &BTreeMap<String, String>,
    constants: &[(&str, Dtype, Vec<u8>)],
) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(description.as_bytes());
    for (key, value) in metadata {
        part(key.as_bytes());
        part(value.as_bytes());
    }
    for (name, dtype, bytes) in constants {
        part(name.as_bytes());
        part(dtype.to_string().as_bytes());
        part(bytes);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
