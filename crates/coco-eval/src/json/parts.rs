//! Results read by several threads.
//!
//! A file is cut every so many bytes. Each part looks for something like a border between rows behind its
//! cut, and reads rows from there to the next cut. That is a guess, since the same bytes may stand in a
//! string: a part counts only if the rows before it end exactly where it starts. Where a guess fails, or a
//! part holds a fault, the rows before it simply go on in one thread, which also finds the fault with the
//! right row and line. Parts are read in waves, so that little more than the table itself is held.

use std::ops::Range;

use rayon::prelude::*;

use super::lexer::Fault;
use super::lists::Stopped;
use super::source::{Source, open_failed};
use super::stream::Stream;
use crate::detections::Detections;
use crate::error::{Error, JsonFault};

/// Buffers of text in one part.
const PART_BUFFERS: u64 = 4;
/// Parts that each thread gets in one wave; more than one, as some run faster.
const PARTS_PER_THREAD: usize = 2;

/// Bytes looked at before a cut, so that a row that starts at the cut itself is found.
const MARGIN: u64 = 16;

/// Rows that one thread has read.
struct Part {
    /// Where its first row starts.
    start: u64,
    /// Where the row behind its last starts, or behind the list.
    end: u64,
    lines: u64,
    stopped: Stopped,
    rows: Detections,
}

/// Reads on from the row before which `stream` stands, to the end of the list or at most two parts before
/// the end of the file.
pub(crate) fn read<'s, S: Source>(
    source: &'s S,
    stream: &mut Stream<S::Reader<'s>>,
    detections: &mut Detections,
) -> Result<Stopped, Error> {
    let part_bytes = PART_BUFFERS * detections.policy().limits.first_buffer() as u64;
    let wave_bytes = part_bytes * (PARTS_PER_THREAD * rayon::current_num_threads()) as u64;
    let mut tables = Vec::new();
    let mut stopped = Stopped::BeforeRow;
    while stopped == Stopped::BeforeRow && stream.byte() + 2 * part_bytes < source.length() {
        let wave_end = stream.byte() + wave_bytes;
        let range = stream.byte()..wave_end.min(source.length());
        let cuts: Vec<u64> = range.step_by(usize::try_from(part_bytes).unwrap_or(usize::MAX)).collect();
        tables.resize_with(cuts.len(), || Detections::new(detections.policy()));
        let mut parts = read_wave(source, &cuts, part_bytes, tables);
        stopped = join(source, &mut parts, stream, detections)?;
        tables = parts.into_iter().map(|part| part.rows).collect();
        if stopped == Stopped::BeforeRow {
            stopped = detections.take_rows(stream, wave_end)?;
        }
    }
    Ok(stopped)
}

/// Reads a part from each of `cuts` on, the first of which is before a row; those that fail are left out.
///
/// Rows go into `tables`, which are empty but may have room from the wave before.
fn read_wave(source: &impl Source, cuts: &[u64], part_bytes: u64, tables: Vec<Detections>) -> Vec<Part> {
    let parts = cuts.par_iter().enumerate().zip(tables);
    let parts = parts.map(|((place, &cut), table)| {
        read_part(source, cut..cut.saturating_add(part_bytes), place == 0, table)
    });
    parts.collect::<Vec<_>>().into_iter().flatten().collect()
}

/// Reads the rows that start in `range`.
fn read_part(source: &impl Source, range: Range<u64>, at_row: bool, mut rows: Detections) -> Option<Part> {
    let limits = rows.policy().limits;
    let margin = if at_row { 0 } else { MARGIN.min(range.start) };
    let from = range.start - margin;
    let mut stream = Stream::new(source.open(from).ok()?, from, 0, &limits);
    if !at_row {
        stream.drive(|bytes, at| find_row(bytes, at, margin as usize, limits.first_buffer())).ok()?;
    }
    let (start, lines_before) = (stream.byte(), stream.lines_passed());
    let stopped = rows.take_rows(&mut stream, range.end).ok()?;
    Some(Part { start, end: stream.byte(), lines: stream.lines_passed() - lines_before, stopped, rows })
}

/// Moves to the first `{` behind `}` and `,` that is no less than `margin` bytes in.
fn find_row(bytes: &[u8], at: &mut usize, margin: usize, patience: usize) -> Result<(), Fault> {
    let behind_row = |before: &[u8]| {
        before.trim_ascii_end().strip_suffix(b",").is_some_and(|row| row.trim_ascii_end().ends_with(b"}"))
    };
    let mut places = margin..bytes.len();
    match places.find(|&place| bytes[place] == b'{' && behind_row(&bytes[..place])) {
        Some(place) => *at = place,
        None if bytes.len() > patience => return Err(JsonFault::Record.into()),
        None => return Err(Fault::More),
    }
    Ok(())
}

/// Takes the rows of the parts that fit where `stream` stands; before others it reads on by itself.
fn join<'s, S: Source>(
    source: &'s S,
    parts: &mut [Part],
    stream: &mut Stream<S::Reader<'s>>,
    detections: &mut Detections,
) -> Result<Stopped, Error> {
    let limits = detections.policy().limits;
    for part in parts {
        if detections.take_rows(stream, part.start)? == Stopped::AtEnd {
            return Ok(Stopped::AtEnd);
        }
        if stream.byte() != part.start || detections.len() + part.rows.len() > limits.most_rows() {
            part.rows.clear();
            continue;
        }
        detections.append(&mut part.rows);
        let lines = stream.lines_passed() + part.lines;
        let reader = source.open(part.end).map_err(open_failed(part.end))?;
        *stream = Stream::new(reader, part.end, lines, &limits);
        if part.stopped == Stopped::AtEnd {
            return Ok(Stopped::AtEnd);
        }
    }
    Ok(Stopped::BeforeRow)
}
