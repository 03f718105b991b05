//! Results files.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serializer;

use crate::detections::Detections;
use crate::error::Error;

impl Detections {
    /// Writes a COCO results file: one list of `{image_id, category_id, bbox, score}`, in the order they
    /// came.
    ///
    /// Numbers are the shortest decimals that read back to the same f64.
    ///
    /// # Errors
    ///
    /// What the sink reports.
    pub fn write_json(&self, sink: impl Write) -> Result<(), Error> {
        let mut sink = BufWriter::new(sink);
        serde_json::Serializer::new(&mut sink)
            .collect_seq(self.iter())
            .and_then(|()| sink.flush().map_err(serde_json::Error::io))
            .map_err(|cause| Error::Write { cause })
    }

    /// Writes a COCO results file to disk; see [`write_json`](Self::write_json).
    ///
    /// The text goes to `PATH.partial`, which is then renamed: an interrupted run leaves the old file or
    /// none.
    ///
    /// # Errors
    ///
    /// A file that cannot be created, written or renamed.
    pub fn write_json_file(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let partial = partial_path(path);
        let file = File::create(&partial).map_err(|cause| Error::File { path: partial.clone(), cause })?;
        let written = self.write_and_rename(&file, &partial, path);
        if written.is_err() {
            // the first error is the one to report
            let _ = fs::remove_file(&partial);
        }
        written
    }

    fn write_and_rename(&self, file: &File, partial: &Path, path: &Path) -> Result<(), Error> {
        self.write_json(file)?;
        let failed = |cause| Error::File { path: path.to_owned(), cause };
        file.sync_all().map_err(failed)?;
        fs::rename(partial, path).map_err(failed)
    }
}

fn partial_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".partial");
    PathBuf::from(name)
}
