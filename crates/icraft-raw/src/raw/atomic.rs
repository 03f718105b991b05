//! Files that appear complete or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{Durability, RawError};

/// Writes a file under a temporary name beside `path`, then renames it. On failure the temporary file is removed.
pub(super) fn write_atomically(
    path: &Path,
    durability: Durability,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), RawError> {
    let fail = |source| RawError::Write { path: path.to_owned(), source };
    let (temporary, mut file) = create_beside(path).map_err(fail)?;
    let written = fill(&mut file)
        .and_then(|()| if durability == Durability::Synced { file.sync_all() } else { Ok(()) })
        .and_then(|()| fs::rename(&temporary, path));
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
