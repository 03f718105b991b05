//! Results files.

use std::io::Read;
use std::path::Path;

use super::lists::{List, Stopped, between_records, open_list};
use super::rows::{Field, ResultRow};
use super::source::{Opened, Source, name_file, open_failed, open_path};
use super::stream::Stream;
use crate::detections::{Detection, Detections};
use crate::error::Error;
use crate::policy::InputPolicy;
use crate::refusal::{Refusal, required};

impl Detections {
    /// Reads a COCO results file: a list of objects with `image_id`, `category_id`, `bbox` and `score`.
    ///
    /// Other fields are skipped, `id`, `area` and `iscrowd` among them. An empty list is an empty set
    /// (quirk `empty-results`). With the feature `rayon`, long files are read by all threads of the current
    /// pool; rows, their order and errors are the same.
    ///
    /// # Errors
    ///
    /// Text that is not such JSON or exceeds the policy's limits, with the index and field at fault, and all
    /// of [`push`](Self::push)'s.
    pub fn from_json(json: &[u8], policy: InputPolicy) -> Result<Self, Error> {
        read(&json, policy)
    }

    /// Reads a COCO results file from disk; see [`from_json`](Self::from_json).
    ///
    /// # Errors
    ///
    /// A file that cannot be read, and all of [`from_json`](Self::from_json)'s.
    pub fn from_json_file(path: impl AsRef<Path>, policy: InputPolicy) -> Result<Self, Error> {
        let path = path.as_ref();
        let detections = match open_path(path)? {
            Opened::Regular(file) => read(&file, policy),
            Opened::Stream(file) => Self::from_json_reader(file, policy),
        };
        detections.map_err(name_file(path))
    }

    /// Reads a COCO results file from any source of bytes, in one thread; see [`from_json`](Self::from_json).
    ///
    /// # Errors
    ///
    /// What the source reports, and all of [`from_json`](Self::from_json)'s.
    pub fn from_json_reader(source: impl Read, policy: InputPolicy) -> Result<Self, Error> {
        let mut stream = Stream::new(source, 0, 0, &policy.limits);
        let mut detections = Self::new(policy);
        if open_list(&mut stream)? == Stopped::BeforeRow {
            detections.take_rows(&mut stream, u64::MAX)?;
        }
        stream.finish().map_err(between_records)?;
        Ok(detections)
    }

    /// Adds rows up to the end of the list, or to the first that starts at byte `until` or later.
    pub(super) fn take_rows(&mut self, stream: &mut Stream<impl Read>, until: u64) -> Result<Stopped, Error> {
        let limits = self.policy().limits;
        List::at_row(stream, self.len(), &limits).read(until, |row| self.add_row(row))
    }

    /// Checks and adds a row of a file.
    #[inline]
    fn add_row(&mut self, row: &mut ResultRow) -> Result<(), Refusal> {
        self.add(&Detection {
            image_id: required(Field::ImageId, row.image_id)?,
            category_id: required(Field::CategoryId, row.category_id)?,
            bbox: required(Field::Bbox, row.bbox)?,
            score: required(Field::Score, row.score)?,
        })
    }
}

/// Part of the first buffer after which the length of a row is judged.
const SAMPLE: usize = 4;

fn read<S: Source>(source: &S, policy: InputPolicy) -> Result<Detections, Error> {
    let mut stream = Stream::new(source.open(0).map_err(open_failed(0))?, 0, 0, &policy.limits);
    let mut detections = Detections::new(policy);
    let mut stopped = open_list(&mut stream)?;
    if stopped == Stopped::BeforeRow {
        stopped = detections.take_rows(&mut stream, (policy.limits.first_buffer() / SAMPLE) as u64)?;
    }
    if stopped == Stopped::BeforeRow {
        detections.reserve(rows_to_come(detections.len(), stream.byte(), source.length(), &policy));
        #[cfg(feature = "rayon")]
        {
            stopped = super::parts::read(source, &mut stream, &mut detections)?;
        }
    }
    if stopped == Stopped::BeforeRow {
        detections.take_rows(&mut stream, u64::MAX)?;
    }
    stream.finish().map_err(between_records)?;
    Ok(detections)
}

/// How many rows follow if they are as long as the `rows` in the first `bytes`, and 1 in 64 more.
fn rows_to_come(rows: usize, bytes: u64, length: u64, policy: &InputPolicy) -> usize {
    let bytes_to_come = u128::from(length.saturating_sub(bytes));
    let estimate = bytes_to_come * rows as u128 / u128::from(bytes.max(1));
    let limit = policy.limits.most_rows().saturating_sub(rows);
    usize::try_from(estimate + estimate / 64).map_or(limit, |estimate| estimate.min(limit))
}
