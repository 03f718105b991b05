//! Files in memory without a copy of them on the heap.

use memmap2::Mmap;
use std::fs::{File, metadata};
use std::io;
use std::path::Path;

/// Maps a file.
///
/// Its bytes change if somebody writes to the file meanwhile, and reading beyond a new end stops the process. So a map has to be
/// short-lived, and constants are copied from it before their checksum is taken.
#[allow(unsafe_code)]
pub(crate) fn map(path: &Path) -> io::Result<Mmap> {
    // Asked first, since to open a pipe is to wait for its writer.
    let kind = metadata(path)?.file_type();
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !kind.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let file = File::open(path)?;
    // SAFETY: the map is read-only, and nobody may write to the file as long as it lives. That can't be enforced; `Program::load` and
    // `Program::is_program_file`, the users of it, ask it of their callers, and hold it no longer than they parse.
    unsafe { Mmap::map(&file) }
}
