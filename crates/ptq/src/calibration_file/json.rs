//! The file as JSON.

use super::{
    CalibrationFile, CalibrationFileError, CalibrationImage, CalibrationManifest, check_tensor_count,
};
use crate::Statistics;
use crate::statistics::StoredStatistics;
use serde::Deserialize;
use std::fmt::Write;

/// The version of the format that is written and read.
const VERSION: u32 = 1;

/// A file before anything is known of its numbers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(rename = "format_version")]
    _version: u32,
    manifest: CalibrationManifest,
    images: Vec<CalibrationImage>,
    images_skipped: u64,
    tensors: Vec<StoredTensor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTensor {
    name: String,
    statistics: StoredStatistics,
}

/// The only field that files of all versions have.
#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

impl CalibrationFile {
    /// Reads what [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// Whatever does not hold of the file, with the tensor or field at fault; see [`Self::new`] and
    /// [`crate::StatisticsFault`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, CalibrationFileError> {
        let Version { format_version: found } = serde_json::from_slice(bytes)?;
        if found != VERSION {
            return Err(CalibrationFileError::Version { found, known: VERSION });
        }
        let Stored { manifest, images, images_skipped, tensors, .. } = serde_json::from_slice(bytes)?;
        check_names(&tensors)?;
        let tensors = tensors.into_iter().map(StoredTensor::check);
        Self::new(manifest, images, images_skipped, tensors.collect::<Result<_, _>>()?)
    }

    /// The file: JSON with a line per image and per tensor. Equal statistics give equal bytes.
    ///
    /// # Errors
    /// None that JSON can't hold exist; the writer's are passed on.
    pub fn to_json(&self) -> Result<String, CalibrationFileError> {
        let images = self.images.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        let mut tensors = Vec::new();
        for (name, statistics) in self.collection.iter() {
            let (name, statistics) = (serde_json::to_string(name)?, serde_json::to_string(statistics)?);
            tensors.push(format!("{{\"name\":{name},\"statistics\":{statistics}}}"));
        }
        let manifest = serde_json::to_string_pretty(&self.manifest)?.replace('\n', "\n  ");
        let mut text = format!("{{\n  \"format_version\": {VERSION},\n  \"manifest\": {manifest},\n");
        // Writing into a String can't fail.
        let _ = writeln!(text, "  \"images\": [\n    {}\n  ],", images.join(",\n    "));
        let _ = writeln!(text, "  \"images_skipped\": {},", self.images_skipped);
        let _ = writeln!(text, "  \"tensors\": [\n    {}\n  ]\n}}", tensors.join(",\n    "));
        Ok(text)
    }
}

fn check_names(tensors: &[StoredTensor]) -> Result<(), CalibrationFileError> {
    check_tensor_count(tensors.len())?;
    let mut names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(CalibrationFileError::SameTensor { name: pair[0].to_owned() }),
        None => Ok(()),
    }
}

impl StoredTensor {
    fn check(self) -> Result<(String, Statistics), CalibrationFileError> {
        match Statistics::try_from(self.statistics) {
            Ok(statistics) => Ok((self.name, statistics)),
            Err(fault) => Err(CalibrationFileError::Statistics { tensor: self.name, fault }),
        }
    }
}
