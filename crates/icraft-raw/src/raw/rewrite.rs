//! Copies of a raw file with other payloads.

use std::collections::BTreeMap;

use super::{RawError, RawFile};

/// New payloads by the bytes (start, end) that they replace, each with the id that it was given for.
type Planned<'p> = BTreeMap<(usize, usize), (u32, &'p [u8])>;

impl RawFile {
    /// A copy of this file, table, addresses and order untouched, in which some tensors have new payloads of
    /// exactly the length that [`bytes`](Self::bytes) gives. It is in memory: its [`md5`](Self::md5) is the
    /// checksum for the json that goes with it, [`save`](Self::save) writes it.
    ///
    /// Tensors that share an address (later generation only) change together or not at all: each of them needs the
    /// same new payload, or an empty one, which says that the tensor has no elements.
    ///
    /// # Errors
    ///
    /// [`RawError::UnknownId`], [`RawError::ChangedTwice`], [`RawError::Shared`], [`RawError::LengthChanged`].
    pub fn rewritten(&self, changes: &[(u32, &[u8])]) -> Result<Self, RawError> {
        let mut payloads = vec![None; self.entries().len()];
        for &(id, payload) in changes {
            if payloads[self.row(id)?].replace(payload).is_some() {
                return Err(RawError::ChangedTwice { id });
            }
        }
        let mut bytes = self.as_bytes().to_vec();
        for ((start, end), (id, payload)) in self.plan(&payloads)? {
            let (old, expected, found) = (&mut bytes[start..end], (end - start) as u64, payload.len() as u64);
            if expected != found {
                return Err(RawError::LengthChanged { id, expected, found });
            }
            old.copy_from_slice(payload);
        }
        Self::from_bytes(bytes)
    }

    /// What to write where, from the new payloads of all rows.
    fn plan<'p>(&self, payloads: &[Option<&'p [u8]>]) -> Result<Planned<'p>, RawError> {
        let mut planned = Planned::new();
        for (range, id, payload) in
            self.places(payloads).filter_map(|(range, id, new)| Some((range, id, new?)))
        {
            let (other, agreed) = planned.entry(range).or_insert((id, payload));
            if agreed.is_empty() {
                (*other, *agreed) = (id, payload);
            } else if !payload.is_empty() && payload != *agreed {
                return Err(RawError::Shared { id, other: *other });
            }
        }
        for (range, other, _) in self.places(payloads).filter(|(_, _, new)| new.is_none()) {
            // An empty range has no bytes to share.
            if let Some(&(id, _)) = planned.get(&range).filter(|_| range.0 < range.1) {
                return Err(RawError::Shared { id, other });
            }
        }
        Ok(planned)
    }

    /// Of each row: the bytes it has, its id, its new payload.
    fn places<'p>(
        &self,
        payloads: &[Option<&'p [u8]>],
    ) -> impl Iterator<Item = ((usize, usize), u32, Option<&'p [u8]>)> {
        payloads.iter().enumerate().map(|(row, &payload)| {
            let range = self.derived_range(row);
            ((range.start, range.end), self.entries()[row].id, payload)
        })
    }
}
