//! What a run has done so far, so that it can go on after it was ended.
//!
//! Images are worked on in blocks; what a block gives goes to a file of its own, complete or not at all. A run that is killed loses its
//! last block. Results are formed from all blocks in order, so that it makes no difference how often the work was interrupted.

use crate::analysis::job::Job;
use crate::analysis::settings::{Hashes, Settings};
use crate::error::{Error, Result};
use crate::output::{create_folder, write_atomic};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Images of a block.
const BLOCK: usize = 16;

/// What blocks belong to.
#[derive(PartialEq, Serialize, Deserialize)]
struct Header {
    version: String,
    settings: Settings,
    hashes: Hashes,
    block: usize,
}

/// The folder of a run's blocks.
pub struct State {
    folder: PathBuf,
    images: usize,
    /// Blocks to work on before the run ends as if it were killed.
    stop_after: usize,
}

impl State {
    /// Opens `OUT/state`. With `resume`, blocks that are there are kept; otherwise they are removed.
    ///
    /// # Errors
    /// [`Error::OtherState`] if `resume` finds blocks of other settings or files.
    pub fn open(out: &Path, job: &Job, resume: bool, stop_after: Option<usize>) -> Result<Self> {
        let folder = out.join("state");
        let path = folder.join("job.json");
        let header = Header {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            settings: job.settings.clone(),
            hashes: job.hashes.clone(),
            block: BLOCK,
        };
        if resume && path.exists() {
            let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
            if serde_json::from_slice::<Header>(&bytes).ok().is_none_or(|found| found != header) {
                return Err(Error::OtherState { path });
            }
        } else {
            remove(&folder)?;
            create_folder(&folder)?;
            write_atomic(&path, serde_json::to_string_pretty(&header)?.as_bytes())?;
        }
        let stop_after = stop_after.unwrap_or(usize::MAX);
        Ok(Self { folder, images: job.dataset.images.len(), stop_after })
    }

    /// What all blocks give: read where they are done, else made by `work(images)` and written. `None` if the run is to end before.
    ///
    /// # Errors
    /// Those of `work`, and of files.
    pub fn blocks<T: Serialize + DeserializeOwned>(
        &self,
        mut work: impl FnMut(Range<usize>) -> Result<T>,
    ) -> Result<Option<Vec<T>>> {
        let (mut done, mut made) = (Vec::new(), 0);
        for start in (0..self.images).step_by(BLOCK) {
            let path = self.folder.join(format!("block-{start:06}.json"));
            if path.exists() {
                done.push(read(&path)?);
                continue;
            }
            if made == self.stop_after {
                return Ok(None);
            }
            let block = work(start..self.images.min(start + BLOCK))?;
            write_atomic(&path, &serde_json::to_vec(&block)?)?;
            made += 1;
            done.push(block);
        }
        Ok(Some(done))
    }

    /// Removes the folder once the results are written.
    ///
    /// # Errors
    /// Names the folder.
    pub fn remove(self) -> Result<()> {
        remove(&self.folder)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    serde_json::from_slice(&bytes).map_err(|_| Error::OtherState { path: path.to_owned() })
}

/// Removes a state, but no folder that is something else.
fn remove(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    if !folder.join("job.json").exists() {
        return Err(Error::OtherState { path: folder.to_owned() });
    }
    std::fs::remove_dir_all(folder).map_err(Error::io(folder))
}
