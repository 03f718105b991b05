//! Records of the lists in COCO files: `{"name": value, ...}`, of which some fields are read.

use super::lexer::{Fault, expect, literal, next_token, string};
use super::number::{flag, float, integer};
use super::skip::skip_value;
use crate::error::{JsonFault, Record};

/// A field that some kind of record is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Id,
    ImageId,
    CategoryId,
    Bbox,
    Area,
    Crowd,
    Score,
    FileName,
    Name,
}

impl Field {
    /// The name with quotes, as it stands in a file.
    #[inline(always)]
    const fn quoted(self) -> &'static str {
        match self {
            Self::Id => r#""id""#,
            Self::ImageId => r#""image_id""#,
            Self::CategoryId => r#""category_id""#,
            Self::Bbox => r#""bbox""#,
            Self::Area => r#""area""#,
            Self::Crowd => r#""iscrowd""#,
            Self::Score => r#""score""#,
            Self::FileName => r#""file_name""#,
            Self::Name => r#""name""#,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        self.quoted().trim_matches('"')
    }
}

/// A kind of record. Of a repeated field the last value counts, as in Python.
pub(crate) trait Row: Default {
    /// The fields that [`read`](Self::read) takes; all others are skipped.
    const FIELDS: &'static [Field];

    /// What errors call the record at `index`, with what has been read of it.
    fn record(&self, index: usize) -> Record;

    /// Reads the value of `field`.
    fn read(&mut self, field: Field, bytes: &[u8], at: &mut usize) -> Result<(), Fault>;
}

/// Reads one record; `reading` tells the field in whose value a fault lies.
#[inline]
pub(crate) fn parse_row<R: Row>(
    row: &mut R,
    reading: &mut Option<Field>,
    bytes: &[u8],
    at: &mut usize,
) -> Result<(), Fault> {
    expect(bytes, at, b'{', JsonFault::Record)?;
    if next_token(bytes, at)? == b'}' {
        *at += 1;
        return Ok(());
    }
    loop {
        let field = key(R::FIELDS, bytes, at)?;
        *reading = field;
        match field {
            Some(field) => row.read(field, bytes, at)?,
            None => skip_value(bytes, at)?,
        }
        *reading = None;
        match next_token(bytes, at)? {
            b',' => *at += 1,
            b'}' => break,
            _ => return Err(JsonFault::CommaOrEnd.into()),
        }
    }
    *at += 1;
    Ok(())
}

/// Reads a name and its colon, up to the value.
#[inline(always)] // so that the names become constants to compare with
fn key(fields: &[Field], bytes: &[u8], at: &mut usize) -> Result<Option<Field>, Fault> {
    if next_token(bytes, at)? != b'"' {
        return Err(JsonFault::Key.into());
    }
    let rest = &bytes[*at..];
    let verbatim = fields.iter().find(|field| rest.starts_with(field.quoted().as_bytes()));
    let field = match verbatim {
        Some(field) => {
            *at += field.quoted().len();
            Some(*field)
        }
        None => {
            let name = string(bytes, at)?;
            fields.iter().copied().find(|field| field.name() == name)
        }
    };
    expect(bytes, at, b':', JsonFault::Colon)?;
    next_token(bytes, at)?;
    Ok(field)
}

/// Where in a sound record the last value of `field` starts, or element `element` of it if it is a list.
pub(crate) fn locate(field: Field, element: usize, bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut found = None;
    expect(bytes, &mut at, b'{', JsonFault::Record).ok()?;
    loop {
        if key(&[field], bytes, &mut at).ok()?.is_some() {
            found = Some(at);
        }
        skip_value(bytes, &mut at).ok()?;
        if next_token(bytes, &mut at).ok()? == b'}' {
            break;
        }
        at += 1;
    }
    let mut start = found?;
    if bytes.get(start) == Some(&b'[') {
        start += 1;
        for _ in 0..element {
            skip_value(bytes, &mut start).ok()?;
            expect(bytes, &mut start, b',', JsonFault::Box).ok()?;
        }
        next_token(bytes, &mut start).ok()?;
    }
    Some(start)
}

/// An element of `annotations`. Read without `ignore` (quirk `ignore-is-iscrowd`).
#[derive(Default)]
pub(crate) struct AnnotationRow {
    pub(crate) id: Option<i64>,
    pub(crate) image_id: Option<i64>,
    pub(crate) category_id: Option<i64>,
    pub(crate) bbox: Option<[f64; 4]>,
    pub(crate) area: Option<f64>,
    pub(crate) crowd: Option<bool>,
}

impl Row for AnnotationRow {
    const FIELDS: &'static [Field] =
        &[Field::Bbox, Field::ImageId, Field::CategoryId, Field::Id, Field::Area, Field::Crowd];

    fn record(&self, index: usize) -> Record {
        Record::Annotation { index, id: self.id }
    }

    fn read(&mut self, field: Field, bytes: &[u8], at: &mut usize) -> Result<(), Fault> {
        match field {
            Field::Id => self.id = Some(integer(bytes, at)?),
            Field::ImageId => self.image_id = Some(integer(bytes, at)?),
            Field::CategoryId => self.category_id = Some(integer(bytes, at)?),
            Field::Bbox => self.bbox = Some(four_numbers(bytes, at)?),
            Field::Area => self.area = Some(float(bytes, at)?),
            Field::Crowd => self.crowd = Some(crowd(bytes, at)?),
            Field::Score | Field::FileName | Field::Name => skip_value(bytes, at)?,
        }
        Ok(())
    }
}

/// An element of a results file. Read without `id`, `area` and `iscrowd`, whatever the file says there (quirk
/// `result-fields-overwritten`).
#[derive(Default)]
pub(crate) struct ResultRow {
    pub(crate) image_id: Option<i64>,
    pub(crate) category_id: Option<i64>,
    pub(crate) bbox: Option<[f64; 4]>,
    pub(crate) score: Option<f64>,
}

impl Row for ResultRow {
    const FIELDS: &'static [Field] = &[Field::ImageId, Field::CategoryId, Field::Bbox, Field::Score];

    fn record(&self, index: usize) -> Record {
        Record::Result { index }
    }

    #[inline]
    fn read(&mut self, field: Field, bytes: &[u8], at: &mut usize) -> Result<(), Fault> {
        match field {
            Field::ImageId => self.image_id = Some(integer(bytes, at)?),
            Field::CategoryId => self.category_id = Some(integer(bytes, at)?),
            Field::Bbox => self.bbox = Some(four_numbers(bytes, at)?),
            Field::Score => self.score = Some(float(bytes, at)?),
            _ => skip_value(bytes, at)?,
        }
        Ok(())
    }
}

/// An element of `images`.
#[derive(Default)]
pub(crate) struct ImageRow {
    pub(crate) id: Option<i64>,
    pub(crate) file_name: Option<String>,
}

impl Row for ImageRow {
    const FIELDS: &'static [Field] = &[Field::Id, Field::FileName];

    fn record(&self, index: usize) -> Record {
        Record::Image { index }
    }

    fn read(&mut self, field: Field, bytes: &[u8], at: &mut usize) -> Result<(), Fault> {
        match field {
            Field::Id => self.id = Some(integer(bytes, at)?),
            _ => self.file_name = optional_text(bytes, at)?,
        }
        Ok(())
    }
}

/// An element of `categories`.
#[derive(Default)]
pub(crate) struct CategoryRow {
    pub(crate) id: Option<i64>,
    pub(crate) name: Option<String>,
}

impl Row for CategoryRow {
    const FIELDS: &'static [Field] = &[Field::Id, Field::Name];

    fn record(&self, index: usize) -> Record {
        Record::Category { index }
    }

    fn read(&mut self, field: Field, bytes: &[u8], at: &mut usize) -> Result<(), Fault> {
        match field {
            Field::Id => self.id = Some(integer(bytes, at)?),
            _ => self.name = optional_text(bytes, at)?,
        }
        Ok(())
    }
}

#[inline]
fn four_numbers(bytes: &[u8], at: &mut usize) -> Result<[f64; 4], Fault> {
    let mut numbers = [0.0; 4];
    let mut before = b'[';
    for number in &mut numbers {
        expect(bytes, at, before, JsonFault::Box)?;
        next_token(bytes, at)?;
        *number = float(bytes, at)?;
        before = b',';
    }
    expect(bytes, at, b']', JsonFault::Box)?;
    Ok(numbers)
}

/// `iscrowd`, written as 0 or 1 by most tools and as a boolean by some; any other integer counts as true.
fn crowd(bytes: &[u8], at: &mut usize) -> Result<bool, Fault> {
    let fault = match bytes.get(*at) {
        Some(b't') => return literal(bytes, at, b"true").map(|()| true),
        Some(b'f') => return literal(bytes, at, b"false").map(|()| false),
        _ => flag(bytes, at),
    };
    fault.map_err(|fault| if fault == Fault::More { fault } else { JsonFault::Flag.into() })
}

fn optional_text(bytes: &[u8], at: &mut usize) -> Result<Option<String>, Fault> {
    if bytes.get(*at) == Some(&b'n') {
        return literal(bytes, at, b"null").map(|()| None);
    }
    string(bytes, at).map(|text| Some(text.into_owned()))
}
