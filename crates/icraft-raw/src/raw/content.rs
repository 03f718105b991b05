//! Where the bytes of a raw file are: mapped, or on the heap.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;
use std::{fmt, io};

use memmap2::Mmap;

/// The bytes of a raw file.
pub(super) enum Content {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Content {
    /// Maps a file.
    #[allow(unsafe_code)]
    pub(super) fn map(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // A folder can be opened, and mapping it fails without a word of why.
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        // SAFETY: the map is read-only and private to this process. Nothing but plain numbers, for which every bit
        // pattern is valid, is ever read from it, and ids and addresses are copied out before they are checked,
        // so no bound depends on bytes that could change. What remains is the caller's: nobody may write to this
        // very file (same inode) or cut it short while the map lives; `RawFile::open` says so. Files that this
        // crate writes are new inodes, renamed into place, so replacing a mapped file by them is harmless.
        unsafe { Mmap::map(&file) }.map(Self::Mapped)
    }
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self {
            Self::Mapped(_) => "mapped",
            Self::Owned(_) => "owned",
        };
        write!(f, "{} {place} bytes", self.len())
    }
}
