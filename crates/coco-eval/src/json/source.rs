//! Where the bytes of a file come from.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::error::{Error, Position, Record};

/// Bytes of known number that can be read from any place on.
pub(crate) trait Source: Sync {
    type Reader<'s>: Read
    where
        Self: 's;

    fn length(&self) -> u64;

    /// A reader that starts at byte `from`.
    fn open(&self, from: u64) -> io::Result<Self::Reader<'_>>;
}

impl Source for &[u8] {
    type Reader<'s>
        = &'s [u8]
    where
        Self: 's;

    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn open(&self, from: u64) -> io::Result<&[u8]> {
        Ok(usize::try_from(from).ok().and_then(|from| self.get(from..)).unwrap_or_default())
    }
}

/// A file on disk.
pub(crate) struct RegularFile<'p> {
    path: &'p Path,
    length: u64,
}

impl Source for RegularFile<'_> {
    type Reader<'s>
        = File
    where
        Self: 's;

    fn length(&self) -> u64 {
        self.length
    }

    fn open(&self, from: u64) -> io::Result<File> {
        let mut file = File::open(self.path)?;
        file.seek(SeekFrom::Start(from))?;
        Ok(file)
    }
}

/// What a path names.
pub(crate) enum Opened<'p> {
    Regular(RegularFile<'p>),
    /// A pipe or a device.
    Stream(File),
}

/// Opens `path`.
pub(crate) fn open_path(path: &Path) -> Result<Opened<'_>, Error> {
    let open = || {
        let file = File::open(path)?;
        let facts = file.metadata()?;
        let regular = RegularFile { path, length: facts.len() };
        Ok(if facts.is_file() { Opened::Regular(regular) } else { Opened::Stream(file) })
    };
    open().map_err(|cause| Error::File { path: path.to_owned(), cause })
}

/// Names the file in an error of the operating system.
pub(crate) fn name_file(path: &Path) -> impl FnOnce(Error) -> Error {
    |error| match error {
        Error::Read { cause, .. } => Error::File { path: path.to_owned(), cause },
        other => other,
    }
}

/// An error on opening `source` at a place of which only the byte is of interest.
pub(crate) fn open_failed(byte: u64) -> impl FnOnce(io::Error) -> Error {
    move |cause| Error::Read { record: Record::File, position: Position { line: 1, byte }, cause }
}
