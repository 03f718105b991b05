//! A raw file, checked and ready to be read.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use super::atomic::write_atomically;
use super::content::Content;
use super::table::{read_table, rows_by_id};
use super::{Durability, Generation, RawEntry, RawError, md5_hex};
use crate::element::{RawElement, typed};

/// A raw file whose table has been checked: every address lies in the file, every id is unique.
///
/// The file tells where payloads start, never how long they are or of which type: that is known from the
/// network's json. [`sized`](Self::sized) and [`view_sized`](Self::view_sized) take it from there;
/// [`bytes`](Self::bytes) and [`view`](Self::view) derive lengths from the addresses.
#[derive(Debug)]
pub struct RawFile {
    content: Content,
    generation: Generation,
    entries: Vec<RawEntry>,
    /// Id and row, sorted by id.
    rows: Vec<(u32, u32)>,
    /// Addresses, ascending, each once.
    starts: Vec<u64>,
}

impl RawFile {
    /// Maps a file and checks its table. No payload is read before it is asked for.
    ///
    /// Nobody may write into the file, or cut it short, while it is open here: numbers could change between two
    /// looks at them, and reading behind a new end stops the process. Replacing it by another file of the same
    /// name, as [`write_raw`](crate::write_raw) does, is harmless. Where that can't be granted, read the file into
    /// memory for [`from_bytes`](Self::from_bytes).
    ///
    /// # Errors
    ///
    /// [`RawError::Open`] from the operating system; else what [`from_bytes`](Self::from_bytes) says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, RawError> {
        let path = path.as_ref();
        let content =
            Content::map(path).map_err(|source| RawError::Open { path: path.to_owned(), source })?;
        Self::new(content)
    }

    /// Checks the content of a raw file. Memory beside the content is at most five times the table.
    ///
    /// # Errors
    ///
    /// A header or table that is damaged or cut short, an id that stands in two rows, an address in the table
    /// or beyond the end; in a legacy file also a first payload elsewhere than right after the table, and addresses
    /// that go down. The generation is [`Generation::Xir`] when the magic is there, else [`Generation::Legacy`].
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self, RawError> {
        Self::new(Content::Owned(bytes.into()))
    }

    fn new(content: Content) -> Result<Self, RawError> {
        let (generation, entries) = read_table(&content)?;
        let rows = rows_by_id(entries.iter().map(|entry| entry.id))?;
        let mut starts: Vec<u64> = entries.iter().map(|entry| entry.address).collect();
        starts.sort_unstable();
        starts.dedup();
        Ok(Self { content, generation, entries, rows, starts })
    }

    /// The layout.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The table, in its own order.
    #[must_use]
    pub fn entries(&self) -> &[RawEntry] {
        &self.entries
    }

    /// The whole file.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.content
    }

    /// MD5 of the whole file in lower-case hexadecimal; see [`md5_hex`].
    #[must_use]
    pub fn md5(&self) -> String {
        md5_hex(&self.content)
    }

    /// The payload of a tensor, its length **derived** from the addresses.
    ///
    /// Legacy: up to the address in the next row, or the end of the file. That is exact, and tensors with the
    /// address of the next row are empty. XIR: up to the next higher address, or the end of the file. That is an upper
    /// bound: an empty tensor gets the payload of the tensor that it shares its address with. Use
    /// [`sized`](Self::sized) wherever the length is known.
    ///
    /// # Errors
    ///
    /// [`RawError::UnknownId`].
    pub fn bytes(&self, id: u32) -> Result<&[u8], RawError> {
        Ok(&self.content[self.derived_range(self.row(id)?)])
    }

    /// The first `length` bytes from the tensor's address on, for a length known from elsewhere: the product of
    /// the shape times the bytes of an element. Tensors may overlap here; [`check_sizes`](Self::check_sizes) tells.
    ///
    /// # Errors
    ///
    /// [`RawError::UnknownId`]; [`RawError::PayloadBeyondEnd`].
    pub fn sized(&self, id: u32, length: u64) -> Result<&[u8], RawError> {
        let address = self.entries[self.row(id)?].address;
        let end = self.content.len() as u64;
        let last = address.checked_add(length).filter(|&last| last <= end);
        let last = last.ok_or(RawError::PayloadBeyondEnd { id, address, length, end })?;
        Ok(&self.content[address as usize..last as usize])
    }

    /// The elements of [`bytes`](Self::bytes): borrowed when they lie aligned in memory and the machine is
    /// little-endian, else a copy.
    ///
    /// # Errors
    ///
    /// [`RawError::UnknownId`]; [`RawError::PartialElement`] when the bytes are no whole number of elements.
    pub fn view<T: RawElement>(&self, id: u32) -> Result<Cow<'_, [T]>, RawError> {
        let bytes = self.bytes(id)?;
        let length = bytes.len() as u64;
        typed(bytes).ok_or(RawError::PartialElement { id, length, element: T::TYPE })
    }

    /// The first `elements` elements from the tensor's address on; see [`sized`](Self::sized) and
    /// [`view`](Self::view).
    ///
    /// # Errors
    ///
    /// [`RawError::UnknownId`]; [`RawError::PayloadBeyondEnd`].
    pub fn view_sized<T: RawElement>(&self, id: u32, elements: u64) -> Result<Cow<'_, [T]>, RawError> {
        let length = elements.saturating_mul(T::TYPE.bytes() as u64);
        typed(self.sized(id, length)?).ok_or(RawError::PartialElement { id, length, element: T::TYPE })
    }

    /// Writes the file; see [`write_raw`](crate::write_raw).
    ///
    /// # Errors
    ///
    /// [`RawError::Write`].
    pub fn save(&self, path: impl AsRef<Path>, durability: Durability) -> Result<(), RawError> {
        write_atomically(path.as_ref(), durability, |file| std::io::Write::write_all(file, &self.content))
    }

    /// Row of an id.
    pub(super) fn row(&self, id: u32) -> Result<usize, RawError> {
        let found = self.rows.binary_search_by_key(&id, |&(id, _)| id);
        found.map(|index| self.rows[index].1 as usize).map_err(|_| RawError::UnknownId { id })
    }

    /// Bytes from a row's address to the next one's.
    pub(super) fn derived_range(&self, row: usize) -> Range<usize> {
        let address = self.entries[row].address;
        let next = match self.generation {
            Generation::Legacy => self.entries.get(row + 1).map(|entry| entry.address),
            Generation::Xir => {
                self.starts.get(self.starts.partition_point(|&start| start <= address)).copied()
            }
        };
        address as usize..next.map_or(self.content.len(), |next| next as usize)
    }
}
