//! Checkpoints: trained parameters and the model definition that comes with them.
//!
//! Four containers are read, told apart by their content: a pickled ultralytics model, a pickled state dict,
//! a TorchScript archive (these three are zip archives around a pickle) and safetensors. A pickle is taken as
//! data: nothing in it is ever imported or called. `docs/checkpoints.md` has the formats, the limits and the
//! closed table of known globals.

mod archive;
mod definition;
mod element;
mod error;
mod pickle;
mod tensor;
mod tensor_file;
mod walk;

use std::collections::BTreeMap;
use std::path::Path;

use crate::Params;

use archive::{Archive, Entry};
use pickle::{Id, Pickle};
use tensor::TensorReader;
use walk::{Collector, is_module, is_state_dict};

pub use element::ElementType;
pub use error::{CheckpointError, PickleFault, TensorFault};
pub use tensor_file::write_safetensors;

/// First bytes of a zip archive: a local file header, or the end record of an empty archive.
const ZIP_MAGICS: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];
/// The integer 0x1950a86a20f9469cfc6c as pickled at the start of PyTorch's old container, after two bytes of
/// protocol.
const LEGACY_MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
/// What parallel wrappers of PyTorch put before every name.
const WRAPPER_PREFIX: &str = "module.";

/// The container that a checkpoint came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CheckpointFormat {
    /// A pickled `torch.nn.Module`, alone or in the dict that ultralytics trainers save.
    UltralyticsModule,
    /// A pickled dict from names to tensors, alone or under `state_dict` or `model`.
    StateDict,
    /// A TorchScript archive.
    TorchScript,
    /// A safetensors file.
    Safetensors,
}

/// The content of a checkpoint.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Checkpoint {
    /// Floating-point parameters and buffers by PyTorch path (`model.0.conv.weight`), as `f32`: exact for
    /// stored binary16, bfloat16 and binary32, rounded to the nearest for binary64.
    pub params: Params,
    /// The architecture that an ultralytics model carries in its attribute `yaml`. A value that yaml cannot
    /// express is a null tagged with its Python class.
    pub definition: Option<serde_yaml_ng::Value>,
    /// Class names in the order of their numbers; empty if the file has none, or not one for each number.
    pub class_names: Vec<String>,
    /// How many tensors the model has of each stored element type, skipped ones included.
    pub stored_types: BTreeMap<ElementType, usize>,
    /// Sorted paths of what `params` leaves out: integer tensors (`num_batches_tracked`), lists of tensors in
    /// TorchScript, and values of a state dict that are no tensors.
    pub skipped: Vec<String>,
    /// The metadata of a safetensors header; empty for other formats.
    pub metadata: BTreeMap<String, String>,
    /// The container.
    pub format: CheckpointFormat,
}

impl Checkpoint {
    /// Reads a checkpoint file of any known format; the name of the file does not matter.
    ///
    /// # Errors
    /// [`CheckpointError::Read`] for the file itself, otherwise as [`Checkpoint::from_bytes`].
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let bytes =
            std::fs::read(path).map_err(|source| CheckpointError::Read { path: path.to_owned(), source })?;
        Self::from_bytes(&bytes)
    }

    /// Reads a checkpoint from the bytes of its file.
    ///
    /// # Errors
    /// The rule that the bytes break. No input panics, runs code, or makes this allocate beyond fixed limits and a small
    /// multiple of its length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let mut checkpoint = if ZIP_MAGICS.iter().any(|magic| bytes.starts_with(magic)) {
            from_archive(&Archive::open(bytes)?)?
        } else if bytes.first() == Some(&0x80)
            && bytes.get(2..).is_some_and(|rest| rest.starts_with(LEGACY_MAGIC))
        {
            return Err(CheckpointError::LegacyFormat);
        } else if tensor_file::looks_like(bytes) {
            tensor_file::read(bytes)?
        } else {
            return Err(CheckpointError::UnknownFormat);
        };
        if checkpoint.params.is_empty() {
            return Err(CheckpointError::NoParameters);
        }
        checkpoint.strip_wrapper();
        checkpoint.skipped.sort_unstable();
        Ok(checkpoint)
    }

    /// Names of the parameters that hold NaN or infinite values, each with the number of such values.
    #[must_use]
    pub fn non_finite(&self) -> Vec<(String, usize)> {
        let bad = |values: &[f32]| values.iter().filter(|value| !value.is_finite()).count();
        let counts = self.params.iter().map(|(name, tensor)| (name.clone(), bad(tensor.data())));
        counts.filter(|&(_, count)| count > 0).collect()
    }

    fn empty(format: CheckpointFormat) -> Self {
        Self {
            params: Params::new(),
            definition: None,
            class_names: Vec::new(),
            stored_types: BTreeMap::new(),
            skipped: Vec::new(),
            metadata: BTreeMap::new(),
            format,
        }
    }

    /// Removes the prefix of a parallel wrapper when every parameter has it.
    fn strip_wrapper(&mut self) {
        if !self.params.keys().all(|name| name.starts_with(WRAPPER_PREFIX)) {
            return;
        }
        let strip = |name: String| name.strip_prefix(WRAPPER_PREFIX).map(str::to_owned).unwrap_or(name);
        self.params = std::mem::take(&mut self.params)
            .into_iter()
            .map(|(name, tensor)| (strip(name), tensor))
            .collect();
        self.skipped = std::mem::take(&mut self.skipped).into_iter().map(strip).collect();
    }
}

/// Where the parameters of a pickle are.
enum Content<'a> {
    Module(Id),
    Tensors(&'a [(Id, Id)]),
}

fn from_archive(archive: &Archive<'_>) -> Result<Checkpoint, CheckpointError> {
    let pickle = pickle::read(archive.pickle()?)?;
    let mut collector = Collector::new(&pickle, TensorReader::new(archive, &pickle));
    let mut checkpoint;
    if archive.is_torchscript() {
        checkpoint = Checkpoint::empty(CheckpointFormat::TorchScript);
        collector.attributes(pickle.root())?;
        if let Some(Entry::Stored(config)) = archive.entry("extra/config.txt") {
            checkpoint.class_names = definition::config_class_names(config);
        }
    } else {
        match content(&pickle)? {
            Content::Module(module) => {
                checkpoint = Checkpoint::empty(CheckpointFormat::UltralyticsModule);
                collector.modules(module)?;
                describe(&mut checkpoint, &pickle, module)?;
            }
            Content::Tensors(items) => {
                checkpoint = Checkpoint::empty(CheckpointFormat::StateDict);
                collector.state_dict(items)?;
            }
        }
    }
    checkpoint.params = collector.params;
    checkpoint.skipped = collector.skipped;
    checkpoint.stored_types = collector.stored_types;
    Ok(checkpoint)
}

/// Finds the module or the state dict. Trainers keep the averaged weights under `ema`; ultralytics loads
/// those first.
fn content(pickle: &Pickle) -> Result<Content<'_>, CheckpointError> {
    let root = pickle.root();
    if is_module(pickle, root) {
        return Ok(Content::Module(root));
    }
    let items = pickle.dict(root).unwrap_or_default();
    let values = |keys: [&str; 2]| keys.map(|key| pickle.lookup(items, key)).into_iter().flatten();
    if let Some(module) = values(["ema", "model"]).find(|&value| is_module(pickle, value)) {
        return Ok(Content::Module(module));
    }
    let dict = values(["state_dict", "model"]).chain([root]).find(|&value| is_state_dict(pickle, value));
    let tensors = dict.and_then(|dict| pickle.dict(dict)).map(Content::Tensors);
    tensors.ok_or_else(|| CheckpointError::NotAModel { found: pickle.describe(root) })
}

/// Takes over the attributes `yaml` and `names` of a model, or of the model inside a parallel wrapper.
fn describe(checkpoint: &mut Checkpoint, pickle: &Pickle, module: Id) -> Result<(), CheckpointError> {
    let attribute = |module: Id, name: &str| pickle.lookup(pickle.attributes(module)?, name);
    let inner = attribute(module, "_modules")
        .and_then(|modules| pickle.lookup(pickle.dict(modules)?, "module"))
        .filter(|_| attribute(module, "yaml").is_none());
    let model = inner.unwrap_or(module);
    if let Some(yaml) = attribute(model, "yaml").filter(|&yaml| pickle.dict(yaml).is_some()) {
        checkpoint.definition = Some(definition::definition(pickle, yaml)?);
    }
    if let Some(names) = attribute(model, "names") {
        checkpoint.class_names = definition::class_names(pickle, names)?;
    }
    Ok(())
}
