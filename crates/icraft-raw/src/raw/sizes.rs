//! Do the sizes that a json gives explain every byte of the raw file?

use super::{Generation, RawError, RawFile};

/// The bytes of one tensor.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    address: u64,
    length: u64,
    id: u32,
}

impl RawFile {
    /// Checks sizes known from elsewhere, in bytes, against the addresses: every tensor of the table has one, no two
    /// payloads overlap, and no byte is left over. Then the length of the file is
    /// [`payload_start`](Generation::payload_start) plus the sum of the sizes.
    ///
    /// In a file of the later generation, tensors of the same address and size are one payload stored once, and
    /// are counted once. An id may be listed repeatedly, with the same size.
    ///
    /// # Errors
    ///
    /// The first of: [`RawError::UnknownId`], [`RawError::SizesDiffer`], [`RawError::NoSize`],
    /// [`RawError::PayloadBeyondEnd`], [`RawError::Overlap`], [`RawError::Gap`].
    pub fn check_sizes(&self, sizes: impl IntoIterator<Item = (u32, u64)>) -> Result<(), RawError> {
        let mut spans = self.spans(sizes)?;
        spans.sort_unstable();
        if self.generation() == Generation::Xir {
            spans.dedup_by_key(|span| (span.address, span.length));
        }
        self.check_spans(spans.iter().filter(|span| span.length > 0))
    }

    /// One span for each row of the table.
    fn spans(&self, sizes: impl IntoIterator<Item = (u32, u64)>) -> Result<Vec<Span>, RawError> {
        let mut lengths = vec![None; self.entries().len()];
        for (id, second) in sizes {
            let first = *lengths[self.row(id)?].get_or_insert(second);
            if first != second {
                return Err(RawError::SizesDiffer { id, first, second });
            }
        }
        let rows = self.entries().iter().zip(lengths);
        rows.map(|(&entry, length)| {
            let length = length.ok_or(RawError::NoSize { id: entry.id })?;
            Ok(Span { address: entry.address, length, id: entry.id })
        })
        .collect()
    }

    /// Walks over spans in the order of their addresses.
    fn check_spans<'s>(&self, spans: impl Iterator<Item = &'s Span>) -> Result<(), RawError> {
        let count = self.entries().len() as u32;
        let mut covered = self.generation().payload_start(count);
        let mut other = None;
        for &Span { address, length, id } in spans {
            match other {
                Some(other) if address < covered => {
                    return Err(RawError::Overlap { id, address, other, other_end: covered });
                }
                _ if address > covered => return Err(RawError::Gap { from: covered, to: address }),
                _ => {}
            }
            self.sized(id, length)?;
            covered = address + length;
            other = Some(id);
        }
        let end = self.as_bytes().len() as u64;
        if covered < end { Err(RawError::Gap { from: covered, to: end }) } else { Ok(()) }
    }
}
