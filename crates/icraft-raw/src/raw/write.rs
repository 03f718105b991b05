//! Raw files from tensors.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::atomic::write_atomically;
use super::generation::XIR_MAGIC;
use super::table::rows_by_id;
use super::{Generation, RawError};

/// Addresses of the legacy layout are signed 32-bit numbers.
const LEGACY_LIMIT: u64 = i32::MAX as u64;

/// Whether a written file has to be on the disk before it takes its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// Wait for the disk. After a power failure there is the old file or the new one, never part of it. The
    /// default: a raw file is the outcome of hours of training, and is written once.
    #[default]
    Synced,
    /// Leave it to the operating system to write the file later. A crash of the program is harmless still; after a
    /// power failure the file may be empty. For files that are made again in no time.
    Cached,
}

/// Writes a raw file: ids in the order of `tensors`, payloads in the same order without gaps.
///
/// The file is written under a temporary name in the same folder and renamed when complete, so an interrupted
/// run leaves the old file or none. No checksum is computed on the way; [`RawFile::md5`](crate::RawFile::md5) of the
/// file opened again costs no further reading from the disk.
///
/// # Errors
///
/// [`RawError::DuplicateId`]; [`RawError::TooLarge`] for a legacy file of 2 GiB or more;
/// [`RawError::TooManyTensors`]; [`RawError::Write`] from the operating system.
pub fn write_raw(
    path: impl AsRef<Path>,
    generation: Generation,
    tensors: &[(u32, &[u8])],
    durability: Durability,
) -> Result<(), RawError> {
    let plan = Plan::new(generation, tensors)?;
    write_atomically(path.as_ref(), durability, |file| {
        // Payloads larger than the buffer go past it, without a copy.
        let mut out = BufWriter::new(file);
        plan.write(&mut out)?;
        out.flush()
    })
}

/// The content of a raw file, as [`write_raw`] writes it.
///
/// # Errors
///
/// As [`write_raw`], but for the operating system.
pub fn raw_bytes(generation: Generation, tensors: &[(u32, &[u8])]) -> Result<Vec<u8>, RawError> {
    let plan = Plan::new(generation, tensors)?;
    let mut bytes = Vec::with_capacity(plan.length as usize);
    bytes.extend_from_slice(&plan.table());
    for (_, payload) in tensors {
        bytes.extend_from_slice(payload);
    }
    Ok(bytes)
}

/// A file to be written, whose addresses are known to fit.
struct Plan<'t> {
    generation: Generation,
    tensors: &'t [(u32, &'t [u8])],
    count: u32,
    length: u64,
}

impl<'t> Plan<'t> {
    fn new(generation: Generation, tensors: &'t [(u32, &'t [u8])]) -> Result<Self, RawError> {
        let too_many = |_| RawError::TooManyTensors { count: tensors.len() };
        let count = u32::try_from(tensors.len()).map_err(too_many)?;
        rows_by_id(tensors.iter().map(|&(id, _)| id))?;
        let payloads = tensors.iter().fold(0u64, |sum, (_, bytes)| sum.saturating_add(bytes.len() as u64));
        let length = generation.payload_start(count).saturating_add(payloads);
        let limit = match generation {
            Generation::Legacy => LEGACY_LIMIT,
            Generation::Xir => isize::MAX as u64,
        };
        if length > limit {
            return Err(RawError::TooLarge { generation, length, limit });
        }
        Ok(Self { generation, tensors, count, length })
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.table())?;
        self.tensors.iter().try_for_each(|(_, payload)| out.write_all(payload))
    }

    fn table(&self) -> Vec<u8> {
        let mut address = self.generation.payload_start(self.count);
        let mut table = Vec::with_capacity(address as usize);
        if self.generation == Generation::Xir {
            table.extend(XIR_MAGIC);
        }
        table.extend(self.count.to_le_bytes());
        for (id, payload) in self.tensors {
            table.extend(id.to_le_bytes());
            match self.generation {
                Generation::Legacy => table.extend((address as u32).to_le_bytes()),
                Generation::Xir => table.extend(address.to_le_bytes()),
            }
            address += payload.len() as u64;
        }
        table
    }
}
