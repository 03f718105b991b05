//! What a training tells: a row for every epoch.

use crate::csv::optional;
use crate::error::{Error, Result};
use crate::output::write_atomic;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::Path;

/// An epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Its number, from 1.
    pub epoch: u64,
    /// Steps so far.
    pub steps: u64,
    /// Mean loss of boxes, objectness and classes.
    pub losses: [f64; 3],
    /// Learning rate of weights at its end.
    pub rate: f64,
    /// AP and AP50 of the average, where it was evaluated.
    pub ap: Option<[f64; 2]>,
    /// Seconds that it took, evaluation included.
    pub seconds: f64,
}

/// Reads the epochs of a training, or none where there is no log.
///
/// # Errors
/// If the log can't be read.
pub fn read(path: &Path) -> Result<Vec<Epoch>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io(path)(error)),
    }
}

/// Writes the epochs as JSON, and as CSV beside it.
///
/// # Errors
/// Names the file.
pub fn write(path: &Path, epochs: &[Epoch]) -> Result<()> {
    write_atomic(path, serde_json::to_string_pretty(epochs)?.as_bytes())?;
    let mut text = "epoch,steps,box,objectness,class,rate,ap,ap50,seconds\n".to_owned();
    for Epoch { epoch, steps, losses: [boxes, objectness, classes], rate, ap, seconds } in epochs {
        let [ap, ap50] = [0, 1].map(|k| optional(ap.map(|ap| ap[k])));
        let row = format!(
            "{epoch},{steps},{boxes:.6},{objectness:.6},{classes:.6},{rate:.6},{ap},{ap50},{seconds:.2}"
        );
        // Writing to a string does not fail.
        let _ = writeln!(text, "{row}");
    }
    write_atomic(&path.with_extension("csv"), text.as_bytes())
}
