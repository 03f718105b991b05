//! What can be wrong with a checkpoint.

use std::path::PathBuf;

use super::element::ElementType;

/// A rule that a checkpoint broke.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The bytes begin like no format that is read.
    #[error("the file is neither a zip archive (.pt, TorchScript) nor a safetensors file")]
    UnknownFormat,
    /// The file is a checkpoint of the form that PyTorch wrote before version 1.6.
    #[error(
        "the checkpoint has the form that PyTorch wrote before version 1.6; load it in PyTorch and save it again"
    )]
    LegacyFormat,
    /// The zip directory is damaged, or the end of the file is missing.
    #[error("the zip archive is truncated or damaged: {source}")]
    Zip {
        /// What the zip reader said.
        source: zip::result::ZipError,
    },
    /// The bytes of an entry do not have the checksum that the archive states, or cannot be reached.
    #[error("archive entry `{entry}` is damaged: {source}")]
    DamagedEntry {
        /// Name of the entry.
        entry: String,
        /// What the zip reader said.
        source: std::io::Error,
    },
    /// Two entries have the same name, so that readers may disagree on the content.
    #[error("the zip archive holds several entries of one name")]
    DuplicateEntries,
    /// Entries share bytes.
    #[error("the archive's entries claim {claimed} bytes, but the file has only {file}")]
    OverlappingEntries {
        /// Sum of the stored sizes of all entries, in bytes.
        claimed: u64,
        /// Length of the file in bytes.
        file: u64,
    },
    /// No entry `FOLDER/data.pkl`.
    #[error("the zip archive is not a PyTorch checkpoint: it has no `data.pkl` in a top folder")]
    MissingPickle,
    /// More than one entry `FOLDER/data.pkl`.
    #[error("the zip archive holds two checkpoints, `{first}` and `{second}`")]
    SeveralPickles {
        /// One top folder.
        first: String,
        /// Another one.
        second: String,
    },
    /// An entry that is needed is compressed or encrypted; PyTorch stores tensors as they are.
    #[error("archive entry `{entry}` is compressed or encrypted; tensors and pickles must be stored plainly")]
    PackedEntry {
        /// Name of the entry.
        entry: String,
    },
    /// The `byteorder` entry says something other than `little`.
    #[error("the checkpoint was written with byte order `{order}`; only `little` is read")]
    ByteOrder {
        /// The entry's first characters.
        order: String,
    },
    /// The pickle breaks a rule of its format or a limit.
    #[error("data.pkl at byte {offset}: {fault}")]
    Pickle {
        /// Where the opcode starts in `data.pkl`.
        offset: usize,
        /// The broken rule.
        fault: PickleFault,
    },
    /// The top object of the pickle is neither a module nor a dict that holds one or tensors.
    #[error("the checkpoint holds {found}, not a model or a dict of tensors")]
    NotAModel {
        /// What it is instead: a Python class or type.
        found: String,
    },
    /// A model or state dict without any floating-point tensor.
    #[error("the checkpoint has no floating-point parameters")]
    NoParameters,
    /// A module lacks one of its tables.
    #[error("module `{module}` has no dict `{attribute}`")]
    ModuleTable {
        /// Path of the module; empty for the model itself.
        module: String,
        /// `_modules`, `_parameters` or `_buffers`.
        attribute: &'static str,
    },
    /// A key of a module table is not a text.
    #[error("a name in module `{module}` is not a text")]
    NameNotText {
        /// Path of the module.
        module: String,
    },
    /// A path is longer than the limit.
    #[error("a parameter name starting with `{start}` is longer than {limit} bytes")]
    NameTooLong {
        /// The first characters.
        start: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// Two tensors have the same path.
    #[error("two parameters are called `{name}`")]
    DuplicateName {
        /// The path.
        name: String,
    },
    /// Modules are nested deeper than the limit, or contain themselves.
    #[error("modules are nested more than {limit} deep below `{module}`, or contain themselves")]
    TooDeep {
        /// Path of the module.
        module: String,
        /// The limit.
        limit: usize,
    },
    /// More modules and tensors than the limit, or more attributes in one module.
    #[error("the model has more than {limit} modules and tensors, or attributes in one module")]
    TooManyEntries {
        /// The limit.
        limit: usize,
    },
    /// A parameter cannot be read.
    #[error("parameter `{name}`: {fault}")]
    Tensor {
        /// PyTorch path of the parameter.
        name: String,
        /// The broken rule.
        fault: TensorFault,
    },
    /// The model definition (or the table of class names) is nested too deeply, contains itself or is too
    /// long.
    #[error(
        "the model definition has more than {values} values and characters or is nested more than {depth} deep"
    )]
    DefinitionTooLarge {
        /// The limit on the number of values and characters.
        values: usize,
        /// The limit on nesting.
        depth: usize,
    },
    /// The safetensors header or its offsets break the format.
    #[error("not a valid safetensors file: {source}")]
    Safetensors {
        /// What the safetensors reader said.
        source: safetensors::SafeTensorError,
    },
    /// A parameter has the name that safetensors keeps for metadata.
    #[error("a parameter cannot be called `__metadata__` in a safetensors file")]
    ReservedName,
}

/// A rule of the pickle format, or a limit of its reader, that `data.pkl` broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickleFault {
    /// The bytes end inside an opcode's argument, or before STOP.
    #[error("the pickle ends where {wanted} more bytes are needed")]
    Truncated {
        /// Missing argument length in bytes.
        wanted: u64,
    },
    /// An opcode outside the binary opcodes of protocols 2 to 5, or one that PyTorch never writes.
    #[error("opcode {opcode:#04x} is not supported")]
    Opcode {
        /// The byte.
        opcode: u8,
    },
    /// A protocol newer than the last known one.
    #[error("pickle protocol {version} is newer than 5")]
    Protocol {
        /// The stated version.
        version: u8,
    },
    /// An opcode takes more values than there are.
    #[error("the stack holds too few values")]
    StackUnderflow,
    /// An opcode needs a mark and there is none.
    #[error("no mark is set")]
    NoMark,
    /// An opcode acts on a value of the wrong kind.
    #[error("opcode {opcode:#04x} needs {expected}")]
    Operand {
        /// The opcode.
        opcode: u8,
        /// What it acts on.
        expected: &'static str,
    },
    /// A memo entry is read before it is written.
    #[error("memo entry {index} was never stored")]
    MemoMissing {
        /// The entry.
        index: u32,
    },
    /// A text is not UTF-8.
    #[error("a text is not valid UTF-8")]
    TextNotUtf8,
    /// A text or byte string is longer than the limit.
    #[error("a text of {length} bytes exceeds the limit of {limit}")]
    TextTooLong {
        /// Its length in bytes.
        length: u64,
        /// The limit in bytes.
        limit: usize,
    },
    /// More opcodes than the limit.
    #[error("the pickle has more than {limit} opcodes")]
    TooManyOpcodes {
        /// The limit.
        limit: usize,
    },
    /// More values on the stack, or marks, than the limit.
    #[error("the pickle's stack exceeds {limit} values")]
    StackTooLarge {
        /// The limit.
        limit: usize,
    },
    /// More memo entries than the limit.
    #[error("the pickle's memo exceeds {limit} entries")]
    MemoTooLarge {
        /// The limit.
        limit: usize,
    },
}

/// A rule that a stored tensor broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorFault {
    /// The value is something other than a tensor.
    #[error("it is {found}, not a tensor")]
    NotATensor {
        /// The Python class or type.
        found: String,
    },
    /// The tensor's own description is not formed as PyTorch forms it.
    #[error("its description has a malformed {part}")]
    Description {
        /// `storage`, `offset`, `shape` or `strides`.
        part: &'static str,
    },
    /// The storage is of an element type that is not read.
    #[error("its elements are of type {class}, which is not supported")]
    ElementType {
        /// Name of the type as the file states it.
        class: String,
    },
    /// The archive has no entry with the elements.
    #[error("archive entry `{entry}` with its elements is missing")]
    StorageMissing {
        /// Name of the entry.
        entry: String,
    },
    /// The entry with the elements is compressed or encrypted.
    #[error("archive entry `{entry}` with its elements is compressed or encrypted")]
    StoragePacked {
        /// Name of the entry.
        entry: String,
    },
    /// The entry is shorter than the pickle says.
    #[error("archive entry `{entry}` has {bytes} bytes, too few for {count} elements of {element}")]
    StorageTooShort {
        /// Name of the entry.
        entry: String,
        /// Length of the entry in bytes.
        bytes: usize,
        /// Number of elements that the pickle states.
        count: u64,
        /// Their type.
        element: ElementType,
    },
    /// The view reaches past the end of the storage.
    #[error(
        "offset {offset}, shape {shape:?} and strides {strides:?} reach outside a storage of {count} elements"
    )]
    OutOfBounds {
        /// First element.
        offset: usize,
        /// Dimensions.
        shape: Vec<usize>,
        /// Distance of neighbours along each dimension, in elements.
        strides: Vec<usize>,
        /// Number of elements of the storage.
        count: usize,
    },
    /// More dimensions than the limit.
    #[error("it has {rank} dimensions; the limit is {limit}")]
    Rank {
        /// Number of dimensions.
        rank: usize,
        /// The limit.
        limit: usize,
    },
    /// Repeated (stride 0, shared) elements would grow far beyond the file.
    #[error(
        "shape {shape:?} brings the parameters above {limit} elements, which the file's size does not justify"
    )]
    Expansion {
        /// Dimensions.
        shape: Vec<usize>,
        /// Limit on the elements of all parameters together.
        limit: usize,
    },
}
