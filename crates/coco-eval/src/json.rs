//! JSON lists read row by row, with the record and the field at hand when something is wrong.
//!
//! Rows go straight from the parser into a sink, so a file is never held as a tree. The parser's own
//! messages know line and column only; a [`Cursor`] beside it knows the record and the field.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::{Error, Record};

/// Where the reader stands, and the fault that a sink found there.
pub(crate) struct Cursor {
    record: Cell<Record>,
    field: Cell<Option<&'static str>>,
    fault: RefCell<Option<Error>>,
}

impl Cursor {
    pub(crate) fn new() -> Self {
        Self { record: Cell::new(Record::File), field: Cell::new(None), fault: RefCell::new(None) }
    }

    fn enter(&self, record: Record) {
        self.record.set(record);
        self.field.set(None);
    }

    /// Carries an error of this crate through the parser, whose error type cannot hold it.
    pub(crate) fn stop<E: de::Error>(&self, fault: Error) -> E {
        self.fault.replace(Some(fault));
        E::custom("stopped")
    }

    /// The error to report for a parser's failure: the sink's own if there is one.
    pub(crate) fn explain(&self, cause: serde_json::Error) -> Error {
        let parser = Error::Json { record: self.record.get(), field: self.field.get(), cause };
        self.fault.take().unwrap_or(parser)
    }
}

/// Parses all of `bytes` with `seed`.
pub(crate) fn parse<'de, S>(bytes: &'de [u8], cursor: &Cursor, seed: S) -> Result<S::Value, Error>
where
    S: DeserializeSeed<'de>,
{
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let value = seed.deserialize(&mut parser).map_err(|cause| cursor.explain(cause))?;
    parser.end().map_err(|cause| cursor.explain(cause))?;
    Ok(value)
}

/// Fields that rows of annotations or results may carry; which ones a file kind reads is up to [`RowKind`].
#[derive(Default)]
pub(crate) struct Row {
    pub(crate) id: Option<i64>,
    pub(crate) image_id: Option<i64>,
    pub(crate) category_id: Option<i64>,
    pub(crate) bbox: Option<[f64; 4]>,
    pub(crate) area: Option<f64>,
    pub(crate) crowd: Option<bool>,
    pub(crate) score: Option<f64>,
}

/// The two lists that share [`Row`].
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum RowKind {
    Annotation,
    Result,
}

impl RowKind {
    fn record(self, index: usize) -> Record {
        match self {
            Self::Annotation => Record::Annotation { index, id: None },
            Self::Result => Record::Result { index },
        }
    }

    /// The name of a field that this kind reads. Results are read without `id`, `area` and `iscrowd`,
    /// whatever the file says there (quirk `result-fields-overwritten`), annotations without `ignore`
    /// (quirk `ignore-is-iscrowd`).
    fn field(self, name: &str) -> Option<&'static str> {
        const SHARED: [&str; 3] = ["image_id", "category_id", "bbox"];
        let own: &[&'static str] = match self {
            Self::Annotation => &["id", "area", "iscrowd"],
            Self::Result => &["score"],
        };
        SHARED.iter().chain(own).find(|&&known| known == name).copied()
    }
}

/// A list of rows, each handed to `sink` with its index.
pub(crate) struct Rows<'c, F> {
    pub(crate) cursor: &'c Cursor,
    pub(crate) kind: RowKind,
    pub(crate) sink: F,
}

impl<'de, F> DeserializeSeed<'de> for Rows<'_, F>
where
    F: FnMut(usize, Row) -> Result<(), Error>,
{
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F> Visitor<'de> for Rows<'_, F>
where
    F: FnMut(usize, Row) -> Result<(), Error>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        for index in 0.. {
            self.cursor.enter(self.kind.record(index));
            match seq.next_element_seed(RowSeed { cursor: self.cursor, kind: self.kind, index })? {
                Some(row) => (self.sink)(index, row).map_err(|fault| self.cursor.stop(fault))?,
                None => break,
            }
        }
        self.cursor.enter(Record::File);
        Ok(())
    }
}

struct RowSeed<'c> {
    cursor: &'c Cursor,
    kind: RowKind,
    index: usize,
}

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = Row;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Row, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
        let mut row = Row::default();
        while let Some(field) = map.next_key_seed(FieldSeed(self.kind))? {
            self.cursor.field.set(field);
            match field {
                Some("id") => {
                    let id = map.next_value()?;
                    row.id = Some(id);
                    self.cursor.record.set(Record::Annotation { index: self.index, id: Some(id) });
                }
                Some("image_id") => row.image_id = Some(map.next_value()?),
                Some("category_id") => row.category_id = Some(map.next_value()?),
                Some("bbox") => row.bbox = Some(map.next_value()?),
                Some("area") => row.area = Some(map.next_value()?),
                Some("iscrowd") => row.crowd = Some(map.next_value::<Flag>()?.0),
                Some("score") => row.score = Some(map.next_value()?),
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
            self.cursor.field.set(None);
        }
        Ok(row)
    }
}

struct FieldSeed(RowKind);

impl<'de> DeserializeSeed<'de> for FieldSeed {
    type Value = Option<&'static str>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for FieldSeed {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.field(name))
    }
}

/// `iscrowd`, written as 0 or 1 by most tools and as a boolean by some; any other number counts as true.
struct Flag(bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FlagVisitor)
    }
}

struct FlagVisitor;

impl Visitor<'_> for FlagVisitor {
    type Value = Flag;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0, 1, true or false")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Flag, E> {
        Ok(Flag(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Flag, E> {
        Ok(Flag(value != 0))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Flag, E> {
        Ok(Flag(value != 0))
    }
}

/// A list of plain serde values, with the cursor moved along.
pub(crate) struct List<'c, T> {
    cursor: &'c Cursor,
    record: fn(usize) -> Record,
    element: PhantomData<T>,
}

impl<'c, T> List<'c, T> {
    pub(crate) fn new(cursor: &'c Cursor, record: fn(usize) -> Record) -> Self {
        Self { cursor, record, element: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for List<'_, T> {
    type Value = Vec<T>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<'_, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        loop {
            self.cursor.enter((self.record)(list.len()));
            match seq.next_element()? {
                Some(element) => list.push(element),
                None => break,
            }
        }
        self.cursor.enter(Record::File);
        Ok(list)
    }
}
