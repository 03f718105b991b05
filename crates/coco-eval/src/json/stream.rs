//! Bytes of a file through a window that is refilled as it is read.

use std::io::{ErrorKind, Read};

use super::lexer::{Fault, expect, next_token};
use super::skip::Skipper;
use crate::error::{Error, JsonFault, Position, Record};
use crate::policy::ReadLimits;
use crate::refusal::Refusal;

/// Why a step of reading ends without a value.
pub(crate) enum Stop {
    Fault(Fault),
    /// The text is sound, what it says is not.
    Refused(Refusal),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Why reading ended, and where.
pub(crate) struct Halt {
    cause: HaltCause,
    position: Position,
}

enum HaltCause {
    Json(JsonFault),
    TooDeep,
    TooLong { limit: usize },
    Refused(Refusal),
    Read(std::io::Error),
}

impl Halt {
    pub(crate) fn into_error(self, record: Record, field: Option<&'static str>) -> Error {
        let position = self.position;
        match self.cause {
            HaltCause::Json(fault) => Error::Json { record, field, position, fault },
            HaltCause::TooDeep => Error::TooDeep { record, position },
            HaltCause::TooLong { limit } => Error::RecordTooLong { record, position, limit },
            HaltCause::Refused(refusal) => refusal.into_error(record, Some(position)),
            HaltCause::Read(cause) => Error::Read { record, position, cause },
        }
    }
}

/// A window on the bytes of `source`: large enough for one record, whatever the length of the file.
pub(crate) struct Stream<S> {
    source: S,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    exhausted: bool,
    record_bytes: usize,
    /// Bytes of the file before the buffer.
    offset: u64,
    /// Line ends before the buffer.
    lines: u64,
}

impl<S: Read> Stream<S> {
    /// A window whose first byte is byte `offset` of the file, `lines` line ends into it.
    pub(crate) fn new(source: S, offset: u64, lines: u64, limits: &ReadLimits) -> Self {
        let buffer = vec![0; limits.first_buffer()];
        let record_bytes = limits.record_bytes.max(1);
        Self { source, buffer, start: 0, end: 0, exhausted: false, record_bytes, offset, lines }
    }

    /// Where reading stands, in bytes from the start of the file.
    #[inline]
    pub(crate) fn byte(&self) -> u64 {
        self.offset + self.start as u64
    }

    /// Line ends that reading has passed.
    pub(crate) fn lines_passed(&self) -> u64 {
        self.lines + count_lines(&self.buffer[..self.start])
    }

    pub(crate) fn position(&self) -> Position {
        Position { line: self.lines_passed() + 1, byte: self.byte() }
    }

    /// Runs `step` on the window, again with more bytes for as long as it asks for them.
    ///
    /// Bytes before the place that `step` leaves are done with, also when it asks for more.
    #[inline]
    pub(crate) fn drive<T, E: Into<Stop>>(
        &mut self,
        mut step: impl FnMut(&[u8], &mut usize) -> Result<T, E>,
    ) -> Result<T, Halt> {
        loop {
            let end = self.end.min(self.start.saturating_add(self.record_bytes));
            let mut at = 0;
            let outcome = step(&self.buffer[self.start..end], &mut at);
            self.start += at;
            match outcome {
                Ok(value) => return Ok(value),
                Err(stop) => self.more(&stop.into(), at, end == self.end)?,
            }
        }
    }

    /// Like [`drive`](Self::drive), for a `step` that starts afresh when it has got more bytes.
    #[inline]
    pub(crate) fn atom<T>(
        &mut self,
        mut step: impl FnMut(&[u8], &mut usize) -> Result<T, Stop>,
    ) -> Result<T, Halt> {
        self.drive(|bytes, at| {
            let outcome = step(bytes, at);
            if matches!(outcome, Err(Stop::Fault(Fault::More))) {
                *at = 0;
            }
            outcome
        })
    }

    /// The next byte that is not white space; it is not passed.
    #[inline]
    pub(crate) fn token(&mut self) -> Result<u8, Halt> {
        self.drive(next_token)
    }

    /// Passes white space and the byte `token`.
    pub(crate) fn expect(&mut self, token: u8, otherwise: JsonFault) -> Result<(), Halt> {
        self.drive(|bytes, at| expect(bytes, at, token, otherwise))
    }

    /// Passes one byte of the window.
    #[inline]
    pub(crate) fn pass(&mut self) {
        self.start = self.end.min(self.start + 1);
    }

    /// Passes one value, whatever its length.
    pub(crate) fn skip(&mut self) -> Result<(), Error> {
        let mut skipper = Skipper::new();
        self.drive(|bytes, at| skipper.advance(bytes, at)).map_err(|halt| halt.into_error(Record::File, None))
    }

    /// Passes white space, after which there must be no more bytes.
    pub(crate) fn finish(&mut self) -> Result<(), Halt> {
        match self.token() {
            Ok(_) => Err(self.wrong(JsonFault::Trailing)),
            Err(Halt { cause: HaltCause::Json(JsonFault::UnexpectedEnd), .. }) => Ok(()),
            Err(halt) => Err(halt),
        }
    }

    /// A fault of the text where reading stands.
    pub(crate) fn wrong(&self, fault: JsonFault) -> Halt {
        self.halt(HaltCause::Json(fault))
    }

    fn halt(&self, cause: HaltCause) -> Halt {
        Halt { cause, position: self.position() }
    }

    /// Gets more bytes if `stop` asks for them, after a step that has passed `passed` bytes and was shown all
    /// of the buffer, or as much as a record may have.
    #[cold]
    fn more(&mut self, stop: &Stop, passed: usize, all_shown: bool) -> Result<(), Halt> {
        match *stop {
            Stop::Fault(Fault::More) if !all_shown && passed > 0 => Ok(()),
            Stop::Fault(Fault::More) if self.end - self.start >= self.record_bytes => {
                Err(self.halt(HaltCause::TooLong { limit: self.record_bytes }))
            }
            Stop::Fault(Fault::More) if self.exhausted => {
                self.start = self.end;
                Err(self.halt(HaltCause::Json(JsonFault::UnexpectedEnd)))
            }
            Stop::Fault(Fault::More) => self.refill(),
            Stop::Fault(Fault::Wrong(fault)) => Err(self.halt(HaltCause::Json(fault))),
            Stop::Fault(Fault::TooDeep) => Err(self.halt(HaltCause::TooDeep)),
            Stop::Refused(refusal) => Err(self.halt(HaltCause::Refused(refusal))),
        }
    }

    /// Moves the unread bytes to the front and fills the rest of the buffer, which grows if they fill it.
    fn refill(&mut self) -> Result<(), Halt> {
        self.lines = self.lines_passed();
        self.offset += self.start as u64;
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(2 * self.end, 0);
        }
        while self.end < self.buffer.len() && !self.exhausted {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.exhausted = true,
                Ok(count) => self.end += count,
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => return Err(self.halt(HaltCause::Read(cause))),
            }
        }
        Ok(())
    }
}

/// Line feeds in `bytes`, counted in lanes of one byte, as many as these can hold.
fn count_lines(bytes: &[u8]) -> u64 {
    let lanes = |block: &[u8]| block.iter().map(|&byte| u8::from(byte == b'\n')).sum::<u8>();
    bytes.chunks(usize::from(u8::MAX)).map(|block| u64::from(lanes(block))).sum()
}
