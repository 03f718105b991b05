//! Bounded reading of the opcodes' arguments.

use super::super::error::PickleFault;

/// Longest text or byte string in a pickle, in bytes.
pub(super) const MAX_TEXT: usize = 1 << 24;

/// The pickle's bytes and a position in them.
#[derive(Debug)]
pub(super) struct Source<'a> {
    bytes: &'a [u8],
    position: usize, // at most bytes.len()
}

impl<'a> Source<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The next `length` bytes.
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], PickleFault> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let taken = rest
            .get(..length)
            .ok_or(PickleFault::Truncated { wanted: (length - rest.len().min(length)) as u64 })?;
        self.position += length;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleFault> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| PickleFault::Truncated { wanted: N as u64 })
    }

    pub(super) fn byte(&mut self) -> Result<u8, PickleFault> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, PickleFault> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, PickleFault> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, PickleFault> {
        self.array().map(u64::from_le_bytes)
    }

    /// A text or byte string of a stated length.
    pub(super) fn string(&mut self, length: u64) -> Result<&'a [u8], PickleFault> {
        match usize::try_from(length) {
            Ok(length) if length <= MAX_TEXT => self.take(length),
            _ => Err(PickleFault::TextTooLong { length, limit: MAX_TEXT }),
        }
    }

    /// A UTF-8 text of a stated length.
    pub(super) fn text(&mut self, length: u64) -> Result<&'a str, PickleFault> {
        std::str::from_utf8(self.string(length)?).map_err(|_| PickleFault::TextNotUtf8)
    }

    /// A UTF-8 line, without the newline that ends it.
    pub(super) fn line(&mut self) -> Result<&'a str, PickleFault> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let length =
            rest.iter().position(|&byte| byte == b'\n').ok_or(PickleFault::Truncated { wanted: 1 })?;
        let line = self.text(length as u64)?;
        self.position += 1;
        Ok(line)
    }
}
