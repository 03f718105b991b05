//! The text of a network's json, to be given back with a new checksum and all else as it was.

use super::NetworkError;
use super::checksum::Checksum;
use crate::Generation;
use crate::excerpt::excerpt;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::ops::Range;

/// A json text whose outermost object has been taken apart into keys and texts of values.
#[derive(Debug)]
pub struct Document<'t> {
    text: &'t str,
    entries: Entries<'t>,
}

/// Keys and values of an object in their order; serde's maps would forget all but the last of equal keys.
#[derive(Debug)]
struct Entries<'t>(Vec<(String, &'t RawValue)>);

impl<'t> Document<'t> {
    /// Takes `text` apart. Values are not looked into, only checked to be JSON.
    ///
    /// # Errors
    ///
    /// [`NetworkError::Syntax`] if it is no JSON object.
    pub fn parse(text: &'t str) -> Result<Self, NetworkError> {
        let entries = serde_json::from_str(text).map_err(|cause| NetworkError::Syntax { cause })?;
        Ok(Self { text, entries })
    }

    /// The generation, by the name of the list of operations.
    ///
    /// # Errors
    ///
    /// [`NetworkError::NotANetwork`] if there is no such list.
    pub fn generation(&self) -> Result<Generation, NetworkError> {
        let has = |key| self.entries.0.iter().any(|(name, _)| name == key);
        match (has("ops"), has("operations")) {
            (true, _) => Ok(Generation::Xir),
            (false, true) => Ok(Generation::Legacy),
            (false, false) => Err(NetworkError::NotANetwork),
        }
    }

    /// The checksum that the text holds.
    ///
    /// # Errors
    ///
    /// [`NetworkError::NoChecksum`], [`NetworkError::Ambiguous`], or [`NetworkError::Checksum`].
    pub fn checksum(&self) -> Result<Checksum, NetworkError> {
        let raw = self.required(keys(self.generation()?).0)?;
        let text: Result<String, _> = serde_json::from_str(raw.get());
        text.map_err(|_| NetworkError::Checksum { text: excerpt(raw.get()) })?.parse()
    }

    /// The text with the checksum of `raw`, the bytes of the whole raw file, in place of the old one, and where the text
    /// holds their number (`params_bytes`, `raw_bytes`) with that number. Every other byte stays as it is.
    ///
    /// # Errors
    ///
    /// [`NetworkError::NoChecksum`] or [`NetworkError::Ambiguous`].
    pub fn with_raw(&self, raw: &[u8]) -> Result<String, NetworkError> {
        self.with_checksum(Checksum::of(raw), raw.len() as u64)
    }

    /// As [`Document::with_raw`], for a checksum and a length that are known already.
    ///
    /// # Errors
    ///
    /// [`NetworkError::NoChecksum`] or [`NetworkError::Ambiguous`].
    pub fn with_checksum(&self, checksum: Checksum, raw_length: u64) -> Result<String, NetworkError> {
        let (checksum_key, length_key) = keys(self.generation()?);
        let mut edits = vec![(self.range(self.required(checksum_key)?), format!("\"{checksum}\""))];
        edits.extend(self.optional(length_key)?.map(|raw| (self.range(raw), raw_length.to_string())));
        edits.sort_by_key(|(range, _)| range.start);
        Ok(self.edited(&edits))
    }

    fn edited(&self, edits: &[(Range<usize>, String)]) -> String {
        let mut text = String::with_capacity(self.text.len() + 64);
        let mut copied = 0;
        for (range, replacement) in edits {
            text += &self.text[copied..range.start];
            text += replacement;
            copied = range.end;
        }
        text + &self.text[copied..]
    }

    /// Values borrow from the text, so the distance of their addresses is their place in it.
    fn range(&self, raw: &RawValue) -> Range<usize> {
        let start = raw.get().as_ptr() as usize - self.text.as_ptr() as usize;
        start..start + raw.get().len()
    }

    fn required(&self, key: &'static str) -> Result<&'t RawValue, NetworkError> {
        self.optional(key)?.ok_or(NetworkError::NoChecksum { key })
    }

    fn optional(&self, key: &'static str) -> Result<Option<&'t RawValue>, NetworkError> {
        let mut found = self.entries.0.iter().filter(|(name, _)| name == key).map(|&(_, raw)| raw);
        let first = found.next();
        match found.count() {
            0 => Ok(first),
            further => Err(NetworkError::Ambiguous { key: key.to_owned(), count: further + 1 }),
        }
    }
}

/// Keys of the checksum and of the raw file's length.
fn keys(generation: Generation) -> (&'static str, &'static str) {
    match generation {
        Generation::Legacy => ("raw_md5", "raw_bytes"),
        Generation::Xir => ("params_md5", "params_bytes"),
    }
}

impl<'t> Deserialize<'t> for Entries<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'t> Visitor<'t> for EntriesVisitor {
    type Value = Entries<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the object of a network")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Entries<'t>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}
