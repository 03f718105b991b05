//! The table of a raw file, read and checked as a whole before anything is taken from the file.

use super::generation::XIR_MAGIC;
use super::{Generation, RawError};

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawEntry {
    /// Key of the tensor: the legacy `raw_id`, or the `v_id` of the json. Opaque, in no particular order;
    /// whether legacy tools take it for signed is unknown, so it is the bit pattern.
    pub id: u32,
    /// First byte of the payload, from the start of the file.
    pub address: u64,
}

/// Reads and checks the table.
pub(super) fn read_table(bytes: &[u8]) -> Result<(Generation, Vec<RawEntry>), RawError> {
    let generation = claimed_generation(bytes)?;
    let length = bytes.len() as u64;
    let header = generation.header_bytes();
    let count = word(bytes, header as usize - 4)
        .map(u32::from_le_bytes)
        .ok_or(RawError::TooShort { length, needed: header })?;
    let needed = generation.payload_start(count);
    let table = (usize::try_from(needed).ok())
        .and_then(|end| bytes.get(header as usize..end))
        .ok_or(RawError::TableBeyondEnd { generation, count, needed, length })?;
    let entries = table.chunks_exact(generation.entry_bytes() as usize).map(entry).collect::<Vec<_>>();
    check_addresses(generation, &entries, length)?;
    Ok((generation, entries))
}

/// The layout that the first bytes speak for. Four bytes of the magic suffice to rule out a legacy file: as a
/// count, they would ask for a table of more than 2 GiB.
fn claimed_generation(bytes: &[u8]) -> Result<Generation, RawError> {
    if !bytes.starts_with(&XIR_MAGIC[..4]) {
        return Ok(Generation::Legacy);
    }
    let differs = |(offset, (&found, &expected)): (usize, (&u8, &u8))| {
        (found != expected).then_some(RawError::Magic { offset, found, expected })
    };
    let damage = bytes.iter().zip(&XIR_MAGIC).enumerate().find_map(differs);
    damage.map_or(Ok(Generation::Xir), Err)
}

/// An entry of either layout: an id, and an address of as many bytes as there are left.
fn entry(row: &[u8]) -> RawEntry {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
    let (id, address) = row.split_at(4);
    RawEntry { id: number(id) as u32, address: number(address) }
}

fn word(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn check_addresses(generation: Generation, entries: &[RawEntry], length: u64) -> Result<(), RawError> {
    let payload_start = generation.payload_start(entries.len() as u32);
    let Some(first) = entries.first() else {
        let unclaimed = length - payload_start;
        return if unclaimed == 0 { Ok(()) } else { Err(RawError::NoTensors { unclaimed }) };
    };
    if generation == Generation::Legacy {
        check_order(first, entries, payload_start)?;
    }
    for (row, &RawEntry { id, address }) in entries.iter().enumerate() {
        if address < payload_start {
            return Err(RawError::AddressInTable { row, id, address, payload_start });
        }
        if address > length {
            return Err(RawError::AddressBeyondEnd { row, id, address, length });
        }
    }
    Ok(())
}

/// Legacy payloads follow the table and each other. Readers of that generation rely on it: they never seek.
fn check_order(first: &RawEntry, entries: &[RawEntry], expected: u64) -> Result<(), RawError> {
    if first.address != expected {
        return Err(RawError::FirstAddress { id: first.id, address: first.address, expected });
    }
    let descends = entries.windows(2).position(|pair| pair[1].address < pair[0].address);
    descends.map_or(Ok(()), |before| {
        let RawEntry { id, address } = entries[before + 1];
        Err(RawError::AddressDescends { row: before + 1, id, address, previous: entries[before].address })
    })
}

/// Rows sorted by id, for look-ups; fails on an id that stands in two rows.
pub(super) fn rows_by_id(ids: impl Iterator<Item = u32>) -> Result<Vec<(u32, u32)>, RawError> {
    let mut rows: Vec<(u32, u32)> = ids.zip(0..).collect();
    rows.sort_unstable();
    let twice = rows.windows(2).find(|pair| pair[0].0 == pair[1].0);
    match twice {
        Some(&[(id, first), (_, second)]) => {
            Err(RawError::DuplicateId { id, first: first as usize, second: second as usize })
        }
        _ => Ok(rows),
    }
}
