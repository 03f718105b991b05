//! What can be wrong with a raw file, or with what is asked of it.

use std::io;
use std::path::PathBuf;

use super::Generation;
use crate::RawType;

/// Why a raw file could not be read, checked, changed or written. Rows count from 0 in the order of the table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RawError {
    /// The file cannot be opened or mapped.
    #[error("cannot open the raw file {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file cannot be written; what was at the path before is still there.
    #[error("cannot write the raw file {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Not even the count of tensors fits.
    #[error(
        "a raw file has at least {needed} bytes before its table, this one has {length} in all; it is cut short"
    )]
    TooShort {
        /// Bytes of the file.
        length: u64,
        /// Bytes that its header takes.
        needed: u64,
    },
    /// A file that starts like one of the later generation, but whose magic differs further on.
    #[error(
        "byte {offset} of the magic is {found:#04x} instead of {expected:#04x}; the file is damaged, \
         for example by a transfer as text"
    )]
    Magic {
        /// First byte that differs, from 0.
        offset: usize,
        /// The file's byte.
        found: u8,
        /// The magic's byte.
        expected: u8,
    },
    /// A table that does not fit into the file.
    #[error(
        "read as a {generation} raw file, it has {count} tensors, so its table ends at byte {needed}, but the file \
         ends at {length}; it is cut short, or no raw file"
    )]
    TableBeyondEnd {
        /// The layout it was read by: XIR with the magic, else legacy.
        generation: Generation,
        /// Tensors that the header promises.
        count: u32,
        /// Where the table ends.
        needed: u64,
        /// Where the file ends.
        length: u64,
    },
    /// Bytes that belong to no tensor, because there is none.
    #[error("the table is empty, but {unclaimed} bytes follow it; this is no raw file")]
    NoTensors {
        /// Bytes behind the table.
        unclaimed: u64,
    },
    /// The payloads of a legacy file have to follow its table.
    #[error(
        "the first tensor, id {id}, starts at byte {address}, but the table of a legacy raw file ends at \
         {expected}, and the first payload follows it; this is no raw file, or a damaged one"
    )]
    FirstAddress {
        /// Id in row 0.
        id: u32,
        /// Its address.
        address: u64,
        /// The only right address.
        expected: u64,
    },
    /// The addresses of a legacy file go up.
    #[error(
        "row {row} (id {id}): address {address} is below {previous} in the row before; a legacy raw file has its \
         payloads in the order of the table"
    )]
    AddressDescends {
        /// Row of the lower address.
        row: usize,
        /// Its id.
        id: u32,
        /// The lower address.
        address: u64,
        /// Address of the row before.
        previous: u64,
    },
    /// An address in the header or the table.
    #[error(
        "row {row} (id {id}): address {address} lies inside the table, which ends at byte {payload_start}"
    )]
    AddressInTable {
        /// Row of the table.
        row: usize,
        /// Its id.
        id: u32,
        /// Its address.
        address: u64,
        /// First byte behind the table.
        payload_start: u64,
    },
    /// An address behind the file's last byte.
    #[error(
        "row {row} (id {id}): address {address} lies beyond the end of the file, {length}; it is cut short"
    )]
    AddressBeyondEnd {
        /// Row of the table.
        row: usize,
        /// Its id.
        id: u32,
        /// Its address.
        address: u64,
        /// Bytes of the file.
        length: u64,
    },
    /// An id used twice, in a table that is read or in one to be written.
    #[error("id {id} stands in row {first} and again in row {second}; ids name one tensor each")]
    DuplicateId {
        /// The id.
        id: u32,
        /// Its first row.
        first: usize,
        /// Its second row.
        second: usize,
    },
    /// An id that the table lacks.
    #[error("the raw file has no tensor of id {id}; does it belong to this json, and to this stage?")]
    UnknownId {
        /// The id.
        id: u32,
    },
    /// A payload of a given length that would reach over the file's end.
    #[error(
        "id {id}: {length} bytes from address {address} on reach beyond the end of the file, {end}; shape or type \
         are not those of this file"
    )]
    PayloadBeyondEnd {
        /// The id.
        id: u32,
        /// Its address.
        address: u64,
        /// Bytes asked for.
        length: u64,
        /// Bytes of the file.
        end: u64,
    },
    /// Half an element at the end of a payload.
    #[error(
        "id {id}: {length} bytes are no whole number of {element} elements; is it of another type or stage?"
    )]
    PartialElement {
        /// The id.
        id: u32,
        /// Bytes of the payload.
        length: u64,
        /// The type asked for.
        element: RawType,
    },
    /// A tensor of the table that no size was given for.
    #[error("id {id} is in the raw file, but no size was given for it; list every parameter")]
    NoSize {
        /// The id.
        id: u32,
    },
    /// Two sizes for one id.
    #[error(
        "id {id} has {first} bytes by one entry and {second} by another; one of them has a wrong shape or type"
    )]
    SizesDiffer {
        /// The id.
        id: u32,
        /// The size that came first.
        first: u64,
        /// The other one.
        second: u64,
    },
    /// Two payloads that share some bytes.
    #[error("id {id} starts at byte {address}, inside the payload of id {other}, which ends at {other_end}")]
    Overlap {
        /// The id of the later start.
        id: u32,
        /// Its address.
        address: u64,
        /// The id whose payload it starts in.
        other: u32,
        /// Where that payload ends.
        other_end: u64,
    },
    /// Bytes between payloads, or behind the last one, that belong to none.
    #[error("bytes {from} to {to} belong to no tensor; a size given is too small, or a parameter is missing")]
    Gap {
        /// First such byte.
        from: u64,
        /// First byte behind them.
        to: u64,
    },
    /// A new payload of another length than the old one.
    #[error(
        "id {id}: the new payload has {found} bytes, the old one {expected}; a changed file keeps every address"
    )]
    LengthChanged {
        /// The id.
        id: u32,
        /// Bytes of the old payload.
        expected: u64,
        /// Bytes of the new one.
        found: u64,
    },
    /// One id with two new payloads.
    #[error("id {id} is to be changed twice; give one new payload")]
    ChangedTwice {
        /// The id.
        id: u32,
    },
    /// A change that would also change another tensor.
    #[error(
        "id {id} shares its bytes with id {other}; change both to the same payload, or give id {other} an empty \
         one if it has no elements"
    )]
    Shared {
        /// The id to be changed.
        id: u32,
        /// The id that would change with it.
        other: u32,
    },
    /// More bytes than addresses of the layout can name.
    #[error("the file would have {length} bytes, a {generation} raw file may have {limit}")]
    TooLarge {
        /// The layout.
        generation: Generation,
        /// Bytes of the file.
        length: u64,
        /// Most bytes allowed.
        limit: u64,
    },
    /// More tensors than 32 bits count.
    #[error("{count} tensors are too many, a raw file counts them in 32 bits")]
    TooManyTensors {
        /// How many there are.
        count: usize,
    },
}
