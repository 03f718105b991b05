//! Files that a program leaves: complete or not at all.

use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Writes a line to stdout. Where nobody reads it any more, as in `detect ... | head -1`, the line is dropped: the files that the
/// program makes are wanted all the same.
///
/// # Errors
/// If stdout can't be written for another reason, such as a full disk.
pub fn print(line: impl Display) -> Result<()> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => Err(Error::io("stdout")(source)),
        _ => Ok(()),
    }
}

/// Writes a line to stderr; there is nobody to tell if that fails.
pub fn note(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A name of this process's own beside a file, under which that is written before it takes its own name.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// Writes a file by way of a temporary one beside it.
///
/// # Errors
/// Names the file.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = temporary(path);
    let written = std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|source| {
        // The first error is the one to report.
        let _ = std::fs::remove_file(&temporary);
        Error::Io { path: path.to_owned(), source }
    })
}

/// Makes a folder and those above it.
///
/// # Errors
/// Names the folder.
pub fn create_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(Error::io(path))
}

/// Checks that files can be written into a folder that may not exist yet, before long work is done for them; leaves nothing behind.
///
/// # Errors
/// Names the folder, or the file that stands in its way.
pub fn check_writable(folder: &Path) -> Result<()> {
    let here = Path::new(".");
    let nearest = folder.ancestors().find(|path| path.exists()).unwrap_or(here);
    let nearest = if nearest.as_os_str().is_empty() { here } else { nearest };
    let probe = nearest.join(format!(".probe.{}.tmp", std::process::id()));
    std::fs::write(&probe, []).map_err(Error::io(nearest))?;
    std::fs::remove_file(&probe).map_err(Error::io(nearest))
}

/// Checks that `path` can be written, before long work is done for it; leaves nothing behind. Folders above it may be missing.
///
/// # Errors
/// Names the folder that takes no file, or `path` where that is a folder.
fn check_output(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Error::io(path)(ErrorKind::IsADirectory.into()));
    }
    check_writable(path.parent().unwrap_or(Path::new("")))
}

/// Checks that all of `outputs` can be written, and that none replaces one of `inputs` or another.
///
/// # Errors
/// Names the file, or the folder that takes no file.
pub fn check_outputs(outputs: &[&Path], inputs: &[&Path]) -> Result<()> {
    for (number, output) in outputs.iter().enumerate() {
        let mut others = inputs.iter().chain(&outputs[..number]);
        if others.any(|other| is_same(output, other)) {
            return Err(Error::Taken { path: output.to_path_buf() });
        }
        check_output(output)?;
    }
    Ok(())
}

/// Whether both lead to one file, by whatever way, or will when it is written.
#[must_use]
pub fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| {
        let beside = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
        path.canonicalize().ok().or_else(beside)
    };
    one == other || real(one).is_some_and(|one| real(other) == Some(one))
}

/// Writes a file that [`check_outputs`] allowed, with the folders above it.
///
/// # Errors
/// Names the file or folder.
pub fn write_output(path: &Path, bytes: &[u8]) -> Result<()> {
    path.parent().map_or(Ok(()), create_folder)?;
    write_atomic(path, bytes)
}

/// SHA-256 of bytes, in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(Sha256::new_with_prefix(bytes))
}

/// SHA-256 of numbers as little-endian bytes, in hexadecimal.
#[must_use]
pub fn sha256_numbers(numbers: &[f64]) -> String {
    let mut hash = Sha256::new();
    numbers.iter().for_each(|number| hash.update(number.to_le_bytes()));
    hexadecimal(hash)
}

fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of a file.
///
/// # Errors
/// Names the file.
pub fn sha256_file(path: &Path) -> Result<String> {
    Ok(sha256(&std::fs::read(path).map_err(Error::io(path))?))
}

/// SHA-256 over names and contents of files, in the order given: for each the name, a zero byte, and the SHA-256 of its content in
/// hexadecimal.
///
/// # Errors
/// Names the file that can't be read.
pub fn sha256_files<'a>(paths: impl Iterator<Item = &'a Path>) -> Result<String> {
    let name = |path: &'a Path| path.file_name().unwrap_or_default().as_encoded_bytes();
    let files = paths.map(|path| Ok((name(path), sha256_file(path)?)));
    let files = files.collect::<Result<Vec<_>>>()?;
    Ok(sha256_list(files.iter().map(|(name, sha256)| (*name, sha256.as_str()))))
}

/// As [`sha256_files`], of names and hashes that are known.
#[must_use]
pub fn sha256_list<'a>(files: impl Iterator<Item = (&'a [u8], &'a str)>) -> String {
    let mut hash = Sha256::new();
    for (name, sha256) in files {
        hash.update(name);
        hash.update([0]);
        hash.update(sha256);
    }
    hexadecimal(hash)
}
