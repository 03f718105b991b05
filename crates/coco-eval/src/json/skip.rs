//! Values that nobody asked for, skipped token by token in constant memory.

use super::lexer::{Fault, literal, next_token, skip_string};
use super::number::skip_number;
use crate::error::JsonFault;

/// How many brackets a skipped value may have open at once.
pub(crate) const MAX_DEPTH: u32 = u128::BITS;

/// What must come next.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    /// The rest of a string: a key, or a value.
    InString {
        key: bool,
    },
}

/// A value being skipped. It can stop wherever a window ends and go on in the next.
pub(crate) struct Skipper {
    /// One bit for each open bracket, the innermost lowest: 1 for an object, 0 for a list.
    objects: u128,
    depth: u32,
    next: Next,
}

/// Skips one value, white space before it included.
pub(crate) fn skip_value(bytes: &[u8], at: &mut usize) -> Result<(), Fault> {
    Skipper::new().advance(bytes, at)
}

impl Skipper {
    pub(crate) fn new() -> Self {
        Self { objects: 0, depth: 0, next: Next::Value }
    }

    /// Goes on until the value ends. After [`Fault::More`] all before the place is done with.
    pub(crate) fn advance(&mut self, bytes: &[u8], at: &mut usize) -> Result<(), Fault> {
        loop {
            if self.next == Next::CommaOrEnd && self.depth == 0 {
                return Ok(());
            }
            self.step(bytes, at)?;
        }
    }

    fn step(&mut self, bytes: &[u8], at: &mut usize) -> Result<(), Fault> {
        if let Next::InString { key } = self.next {
            skip_string(bytes, at)?;
            self.next = if key { Next::Colon } else { Next::CommaOrEnd };
            return Ok(());
        }
        let token = next_token(bytes, at)?;
        match (self.next, token) {
            (Next::ValueOrEnd, b']') | (Next::KeyOrEnd, b'}') => self.close(at),
            (Next::Value | Next::ValueOrEnd, _) => return self.start_value(token, bytes, at),
            (Next::Key | Next::KeyOrEnd, b'"') => self.pass(at, Next::InString { key: true }),
            (Next::Key | Next::KeyOrEnd, _) => return Err(JsonFault::Key.into()),
            (Next::Colon, b':') => self.pass(at, Next::Value),
            (Next::Colon, _) => return Err(JsonFault::Colon.into()),
            (_, b',') => self.pass(at, if self.in_object() { Next::Key } else { Next::Value }),
            (_, b'}') if self.in_object() => self.close(at),
            (_, b']') if !self.in_object() => self.close(at),
            (_, _) => return Err(JsonFault::CommaOrEnd.into()),
        }
        Ok(())
    }

    fn start_value(&mut self, token: u8, bytes: &[u8], at: &mut usize) -> Result<(), Fault> {
        match token {
            b'[' => return self.open(at, 0, Next::ValueOrEnd),
            b'{' => return self.open(at, 1, Next::KeyOrEnd),
            b'"' => {
                self.pass(at, Next::InString { key: false });
                return Ok(());
            }
            b'-' | b'0'..=b'9' => skip_number(bytes, at)?,
            b't' => literal(bytes, at, b"true")?,
            b'f' => literal(bytes, at, b"false")?,
            b'n' => literal(bytes, at, b"null")?,
            _ => return Err(JsonFault::Value.into()),
        }
        self.next = Next::CommaOrEnd;
        Ok(())
    }

    fn open(&mut self, at: &mut usize, kind: u128, next: Next) -> Result<(), Fault> {
        if self.depth == MAX_DEPTH {
            return Err(Fault::TooDeep);
        }
        self.objects = self.objects << 1 | kind;
        self.depth += 1;
        self.pass(at, next);
        Ok(())
    }

    fn close(&mut self, at: &mut usize) {
        self.objects >>= 1;
        self.depth -= 1;
        self.pass(at, Next::CommaOrEnd);
    }

    fn pass(&mut self, at: &mut usize, next: Next) {
        *at += 1;
        self.next = next;
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }
}
