//! Two files that belong together.

use crate::error::{Error, Result};
use crate::output::{create_folder, temporary};
use std::path::{Path, PathBuf};

/// Writes both under temporary names, and renames them only when both are complete. If the second can't take its name after the first has,
/// the first is taken away again where nothing was replaced by it.
///
/// # Errors
/// Names the file or folder.
pub fn write_both(first: (&Path, &[u8]), second: (&Path, &[u8])) -> Result<()> {
    let mut written: Vec<PathBuf> = Vec::new();
    let result = stage(first, &mut written).and_then(|one| {
        let other = stage(second, &mut written)?;
        let was_there = first.0.exists();
        std::fs::rename(one, first.0).map_err(Error::io(first.0))?;
        std::fs::rename(other, second.0).map_err(|source| {
            if !was_there {
                // The failure to report is that of the second file.
                let _ = std::fs::remove_file(first.0);
            }
            Error::io(second.0)(source)
        })
    });
    if result.is_err() {
        // Those that have been renamed are not there any more.
        written.iter().for_each(|path| _ = std::fs::remove_file(path));
    }
    result
}

/// Writes a temporary file beside the one that it is to become.
fn stage((path, bytes): (&Path, &[u8]), written: &mut Vec<PathBuf>) -> Result<PathBuf> {
    path.parent().map_or(Ok(()), create_folder)?;
    let temporary = temporary(path);
    written.push(temporary.clone());
    std::fs::write(&temporary, bytes).map_err(Error::io(path))?;
    Ok(temporary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_when_the_second_file_can_not_take_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["a.raw", "b.json"].map(|name| folder.path().join(name));
        std::fs::create_dir(&second).unwrap();
        let error = write_both((&first, b"new"), (&second, b"new")).unwrap_err();
        assert!(error.to_string().contains("b.json"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "the folder in the way");
        std::fs::remove_dir(&second).unwrap();
        write_both((&first, b"one"), (&second, b"other")).unwrap();
        assert_eq!(std::fs::read(&first).unwrap(), b"one");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
