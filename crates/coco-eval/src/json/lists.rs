//! Lists of records, read row by row into a sink.

use std::io::Read;

use super::rows::{Field, Row, parse_row};
use super::stream::{Halt, Stop, Stream};
use crate::error::{Error, JsonFault, Record};
use crate::policy::ReadLimits;
use crate::refusal::Refusal;

/// A list whose opening bracket has been read.
pub(crate) struct List<'s, S> {
    stream: &'s mut Stream<S>,
    /// Index of the row to come.
    index: usize,
    limit: usize,
}

/// Where a reader of rows stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// Behind the closing bracket.
    AtEnd,
    /// Before a row that starts at or behind the byte asked for.
    BeforeRow,
}

/// Reads a whole list.
pub(crate) fn read_list<R: Row>(
    stream: &mut Stream<impl Read>,
    limits: &ReadLimits,
    sink: impl FnMut(&mut R) -> Result<(), Refusal>,
) -> Result<(), Error> {
    match open_list(stream)? {
        Stopped::AtEnd => Ok(()),
        Stopped::BeforeRow => List::at_row(stream, 0, limits).read(u64::MAX, sink).map(|_| ()),
    }
}

/// Reads the opening bracket, and the closing one if it follows.
pub(crate) fn open_list(stream: &mut Stream<impl Read>) -> Result<Stopped, Error> {
    stream.expect(b'[', JsonFault::List).map_err(between_records)?;
    if stream.token().map_err(between_records)? != b']' {
        return Ok(Stopped::BeforeRow);
    }
    stream.pass();
    Ok(Stopped::AtEnd)
}

/// Passes what stands behind a row: the closing bracket, or a comma and white space.
#[inline]
pub(crate) fn pass_separator(stream: &mut Stream<impl Read>) -> Result<Stopped, Error> {
    let stopped = match stream.token().map_err(between_records)? {
        b',' => Stopped::BeforeRow,
        b']' => Stopped::AtEnd,
        _ => return Err(between_records(stream.wrong(JsonFault::CommaOrEnd))),
    };
    stream.pass();
    if stopped == Stopped::BeforeRow {
        stream.token().map_err(between_records)?;
    }
    Ok(stopped)
}

/// An error between records.
pub(crate) fn between_records(halt: Halt) -> Error {
    halt.into_error(Record::File, None)
}

impl<'s, S: Read> List<'s, S> {
    /// A list about to give the row with this index.
    pub(crate) fn at_row(stream: &'s mut Stream<S>, index: usize, limits: &ReadLimits) -> Self {
        Self { stream, index, limit: limits.most_rows() }
    }

    /// Reads rows up to the end of the list, or to the first that starts at byte `until` or later.
    pub(crate) fn read<R: Row>(
        &mut self,
        until: u64,
        mut sink: impl FnMut(&mut R) -> Result<(), Refusal>,
    ) -> Result<Stopped, Error> {
        while self.stream.byte() < until {
            self.read_row(&mut sink)?;
            self.index += 1;
            if pass_separator(self.stream)? == Stopped::AtEnd {
                return Ok(Stopped::AtEnd);
            }
        }
        Ok(Stopped::BeforeRow)
    }

    #[inline]
    fn read_row<R: Row>(
        &mut self,
        sink: &mut impl FnMut(&mut R) -> Result<(), Refusal>,
    ) -> Result<(), Error> {
        if self.index >= self.limit {
            let (record, position) = (R::default().record(self.index), Some(self.stream.position()));
            return Err(Error::TooManyRows { record, position, limit: self.limit });
        }
        let (mut row, mut reading) = (R::default(), None);
        let read = self.stream.atom(|bytes, at| {
            (row, reading) = (R::default(), None);
            parse_row(&mut row, &mut reading, bytes, at)?;
            sink(&mut row).map_err(|refusal| {
                *at = refusal.locate(bytes);
                Stop::Refused(refusal)
            })
        });
        read.map_err(|halt| halt.into_error(row.record(self.index), reading.map(Field::name)))
    }
}
