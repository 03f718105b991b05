//! Files in memory without a copy of them on the heap.

use memmap2::Mmap;
use std::fs::File;
use std::io;
use std::path::Path;

/// Maps a file.
///
/// Its bytes can change under the reader's eyes if somebody writes to the file meanwhile, and reading beyond a new end stops the process. So a map
/// has to be short-lived, and what is read from it has to be copied before it is checked.
#[allow(unsafe_code)]
pub(crate) fn map(path: &Path) -> io::Result<Mmap> {
    let file = File::open(path)?;
    // A folder can be opened, and mapping it fails without a word of why.
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    // SAFETY: the map is read-only, private to this process, and its bytes have no invariants. What remains is that the file must not be
    // changed as long as the map lives; the one user of it, `Program::load`, holds it while it copies the constants.
    unsafe { Mmap::map(&file) }
}
