//! Annotations files.

use std::io::Read;
use std::path::Path;

use super::lexer::string;
use super::lists::{Stopped, between_records, open_list, pass_separator, read_list};
use super::rows::{AnnotationRow, CategoryRow, Field, ImageRow};
use super::source::{Opened, Source, name_file, open_failed, open_path};
use super::stream::{Stop, Stream};
use crate::error::{Error, JsonFault, Position, Record};
use crate::ground_truth::{Annotation, Category, GroundTruth, Image};
use crate::policy::{InputPolicy, ReadLimits};
use crate::refusal::{Refusal, required};

impl GroundTruth {
    /// Reads a COCO annotations file: an object with `images`, `categories` and `annotations`.
    ///
    /// Each annotation needs `id`, `image_id`, `category_id`, `bbox`, `area` and `iscrowd`; everything
    /// else is skipped. Of a repeated section or field the last counts, as in Python.
    ///
    /// # Errors
    ///
    /// Text that is not such JSON or exceeds the policy's limits, with the record and field at fault, and all
    /// of [`new`](Self::new)'s.
    pub fn from_json(json: &[u8], policy: InputPolicy) -> Result<Self, Error> {
        read(&json, policy)
    }

    /// Reads a COCO annotations file from disk; see [`from_json`](Self::from_json).
    ///
    /// # Errors
    ///
    /// A file that cannot be read, and all of [`from_json`](Self::from_json)'s.
    pub fn from_json_file(path: impl AsRef<Path>, policy: InputPolicy) -> Result<Self, Error> {
        let path = path.as_ref();
        let ground_truth = match open_path(path)? {
            Opened::Regular(file) => read(&file, policy),
            Opened::Stream(file) => Self::from_json_reader(file, policy),
        };
        ground_truth.map_err(name_file(path))
    }

    /// Reads a COCO annotations file from any source of bytes; see [`from_json`](Self::from_json).
    ///
    /// Errors about two records that clash have no position, for the source cannot be read twice.
    ///
    /// # Errors
    ///
    /// What the source reports, and all of [`from_json`](Self::from_json)'s.
    pub fn from_json_reader(source: impl Read, policy: InputPolicy) -> Result<Self, Error> {
        let mut stream = Stream::new(source, 0, 0, &policy.limits);
        let (mut images, mut categories, mut annotations) = (None, None, None);
        read_sections(&mut stream, |section, stream| {
            match section {
                Section::Images => images = Some(read_images(stream, &policy.limits)?),
                Section::Categories => categories = Some(read_categories(stream, &policy.limits)?),
                Section::Annotations => {
                    let table = annotations.insert(Self::empty(policy));
                    read_list(stream, &policy.limits, |row| table.add_row(row))?;
                }
            }
            Ok(())
        })?;
        stream.finish().map_err(between_records)?;
        let missing = |section| Error::MissingSection { section };
        let ground_truth = annotations.ok_or(missing("annotations"))?;
        let images = images.ok_or(missing("images"))?;
        ground_truth.finish(images, categories.ok_or(missing("categories"))?)
    }

    /// Checks and adds a row of a file.
    fn add_row(&mut self, row: &mut AnnotationRow) -> Result<(), Refusal> {
        self.add(&Annotation {
            id: required(Field::Id, row.id)?,
            image_id: required(Field::ImageId, row.image_id)?,
            category_id: required(Field::CategoryId, row.category_id)?,
            bbox: required(Field::Bbox, row.bbox)?,
            area: required(Field::Area, row.area)?,
            crowd: required(Field::Crowd, row.crowd)?,
        })
    }
}

fn read(source: &impl Source, policy: InputPolicy) -> Result<GroundTruth, Error> {
    let start = source.open(0).map_err(open_failed(0))?;
    GroundTruth::from_json_reader(start, policy).map_err(|mut error| {
        let late = match &mut error {
            Error::DuplicateId { record: Record::Annotation { index, .. }, position, .. }
            | Error::UnknownId { record: Record::Annotation { index, .. }, position, .. } => {
                (*index, position)
            }
            _ => return error,
        };
        *late.1 = find_annotation(source, late.0, &policy.limits);
        error
    })
}

/// Where the annotation at `index` starts in a file that has been read before.
#[cold]
fn find_annotation(source: &impl Source, index: usize, limits: &ReadLimits) -> Option<Position> {
    let mut stream = Stream::new(source.open(0).ok()?, 0, 0, limits);
    let mut found = None;
    let walk = read_sections(&mut stream, |section, stream| match section {
        Section::Images | Section::Categories => stream.skip(),
        Section::Annotations => {
            found = None;
            let mut list = open_list(stream)?;
            for row in 0.. {
                if list == Stopped::AtEnd {
                    break;
                }
                found = found.or((row == index).then(|| stream.position()));
                stream.skip()?;
                list = pass_separator(stream)?;
            }
            Ok(())
        }
    });
    walk.ok().and(found)
}

/// Reads the outermost object; `read` gets each section that is of use where its value starts.
fn read_sections<S: Read>(
    stream: &mut Stream<S>,
    mut read: impl FnMut(Section, &mut Stream<S>) -> Result<(), Error>,
) -> Result<(), Error> {
    stream.expect(b'{', JsonFault::Object).map_err(between_records)?;
    if stream.token().map_err(between_records)? == b'}' {
        stream.pass();
        return Ok(());
    }
    loop {
        match section_name(stream)? {
            Some(section) => read(section, stream)?,
            None => stream.skip()?,
        }
        match stream.token().map_err(between_records)? {
            b',' => stream.pass(),
            b'}' => break,
            _ => return Err(between_records(stream.wrong(JsonFault::CommaOrEnd))),
        }
    }
    stream.pass();
    Ok(())
}

enum Section {
    Images,
    Categories,
    Annotations,
}

/// Reads the name of a section and its colon.
fn section_name(stream: &mut Stream<impl Read>) -> Result<Option<Section>, Error> {
    if stream.token().map_err(between_records)? != b'"' {
        return Err(between_records(stream.wrong(JsonFault::Key)));
    }
    let name = stream.atom(|bytes, at| {
        Ok::<_, Stop>(match &*string(bytes, at)? {
            "images" => Some(Section::Images),
            "categories" => Some(Section::Categories),
            "annotations" => Some(Section::Annotations),
            _ => None,
        })
    });
    let name = name.map_err(between_records)?;
    stream.expect(b':', JsonFault::Colon).map_err(between_records)?;
    Ok(name)
}

fn read_images(stream: &mut Stream<impl Read>, limits: &ReadLimits) -> Result<Vec<Image>, Error> {
    let mut images = Vec::new();
    read_list(stream, limits, |row: &mut ImageRow| {
        images.push(Image { id: required(Field::Id, row.id)?, file_name: row.file_name.take() });
        Ok(())
    })?;
    Ok(images)
}

fn read_categories(stream: &mut Stream<impl Read>, limits: &ReadLimits) -> Result<Vec<Category>, Error> {
    let mut categories = Vec::new();
    read_list(stream, limits, |row: &mut CategoryRow| {
        categories.push(Category { id: required(Field::Id, row.id)?, name: row.name.take() });
        Ok(())
    })?;
    Ok(categories)
}
