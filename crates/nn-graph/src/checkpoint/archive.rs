//! PyTorch's zip container: a top folder with `data.pkl` and one stored entry `data/KEY` per storage.
//!
//! Source: `caffe2/serialize/inline_container.h` in PyTorch. Everything is checked once when the archive is
//! opened (directory, checksums, sizes); what it hands out afterwards are slices of the file.

use std::collections::BTreeMap;
use std::io::{self, Cursor};

use zip::{CompressionMethod, ZipArchive};

use super::error::CheckpointError;

/// What the archive has under a name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entry<'a> {
    /// Bytes as they are in the file.
    Stored(&'a [u8]),
    /// Compressed or encrypted bytes, which are never unpacked.
    Packed,
}

/// The entries below the archive's top folder.
#[derive(Debug)]
pub(super) struct Archive<'a> {
    file_length: usize,
    entries: BTreeMap<String, Entry<'a>>, // by name without the top folder
}

impl<'a> Archive<'a> {
    /// Reads the directory and verifies the checksum of every stored entry.
    ///
    /// # Errors
    /// A damaged archive, overlapping or repeated entries, no (or no single) `data.pkl`, a foreign byte
    /// order.
    pub(super) fn open(file: &'a [u8]) -> Result<Self, CheckpointError> {
        let mut zip = ZipArchive::new(Cursor::new(file)).map_err(|source| CheckpointError::Zip { source })?;
        if zip.has_duplicate_names() {
            return Err(CheckpointError::DuplicateEntries);
        }
        refuse_overlap(&mut zip, file.len())?;
        let mut all = BTreeMap::new();
        for index in 0..zip.len() {
            let (name, entry) = read_entry(&mut zip, index, file)?;
            all.insert(name, entry);
        }
        let prefix = format!("{}/", top_folder(&all)?);
        let entries = all
            .into_iter()
            .filter_map(|(name, entry)| Some((name.strip_prefix(&prefix)?.to_owned(), entry)))
            .collect();
        let archive = Self { file_length: file.len(), entries };
        archive.check_byte_order()?;
        Ok(archive)
    }

    /// Length of the whole file in bytes.
    pub(super) fn file_length(&self) -> usize {
        self.file_length
    }

    /// The entry `name` below the top folder.
    pub(super) fn entry(&self, name: &str) -> Option<Entry<'a>> {
        self.entries.get(name).copied()
    }

    /// The bytes of `data.pkl`.
    pub(super) fn pickle(&self) -> Result<&'a [u8], CheckpointError> {
        match self.entry("data.pkl") {
            Some(Entry::Stored(bytes)) => Ok(bytes),
            Some(Entry::Packed) => Err(CheckpointError::PackedEntry { entry: "data.pkl".to_owned() }),
            None => Err(CheckpointError::MissingPickle),
        }
    }

    /// Whether the archive was written by TorchScript: it then carries source code and a table of constants.
    pub(super) fn is_torchscript(&self) -> bool {
        self.entry("constants.pkl").is_some() && self.entries.keys().any(|name| name.starts_with("code/"))
    }

    fn check_byte_order(&self) -> Result<(), CheckpointError> {
        match self.entry("byteorder") {
            None | Some(Entry::Stored(b"little")) => Ok(()),
            Some(Entry::Packed) => Err(CheckpointError::PackedEntry { entry: "byteorder".to_owned() }),
            Some(Entry::Stored(order)) => {
                let order = order.get(..order.len().min(16)).unwrap_or_default();
                Err(CheckpointError::ByteOrder { order: String::from_utf8_lossy(order).into_owned() })
            }
        }
    }
}

type Zip<'a> = ZipArchive<Cursor<&'a [u8]>>;

/// Entries that share bytes would let a small file claim any amount of data: all of them must fit the file
/// together.
fn refuse_overlap(zip: &mut Zip<'_>, file_length: usize) -> Result<(), CheckpointError> {
    let mut claimed = 0u64;
    for index in 0..zip.len() {
        let entry = zip.by_index_data(index).map_err(|source| CheckpointError::Zip { source })?;
        claimed = claimed.saturating_add(entry.compressed_size());
    }
    let file = file_length as u64;
    if claimed > file { Err(CheckpointError::OverlappingEntries { claimed, file }) } else { Ok(()) }
}

fn read_entry<'a>(
    zip: &mut Zip<'a>,
    index: usize,
    file: &'a [u8],
) -> Result<(String, Entry<'a>), CheckpointError> {
    let fail = |source| CheckpointError::Zip { source };
    let data = zip.by_index_data(index).map_err(fail)?;
    let name = data.name().map_err(fail)?.into_owned();
    if data.compression() != CompressionMethod::Stored || data.encrypted() {
        return Ok((name, Entry::Packed));
    }
    let mut entry = zip.by_index(index).map_err(fail)?;
    let damaged = |source| CheckpointError::DamagedEntry { entry: name.clone(), source };
    // Reading to the end is what makes the zip reader compare the checksum.
    let length = io::copy(&mut entry, &mut io::sink()).map_err(damaged)?;
    let bytes = entry.data_start().and_then(|start| {
        let start = usize::try_from(start).ok()?;
        file.get(start..start.checked_add(usize::try_from(length).ok()?)?)
    });
    if length != entry.size() {
        return Err(damaged(io::ErrorKind::UnexpectedEof.into()));
    }
    let bytes = bytes.ok_or_else(|| damaged(io::ErrorKind::UnexpectedEof.into()))?;
    Ok((name, Entry::Stored(bytes)))
}

/// The one folder that holds `data.pkl`; PyTorch calls it `archive` or by the name of the file.
fn top_folder(entries: &BTreeMap<String, Entry<'_>>) -> Result<String, CheckpointError> {
    let mut folders = entries
        .keys()
        .filter_map(|name| name.strip_suffix("/data.pkl"))
        .filter(|folder| !folder.contains('/'));
    let first = folders.next().ok_or(CheckpointError::MissingPickle)?.to_owned();
    match folders.next() {
        None => Ok(first),
        Some(second) => Err(CheckpointError::SeveralPickles { first, second: second.to_owned() }),
    }
}
