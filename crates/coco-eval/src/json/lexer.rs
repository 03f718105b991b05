//! Tokens of JSON text in a window of bytes.
//!
//! Every function takes the window and the place in it, moves the place past what it has read, and tells
//! text that is wrong from a window that is too short to judge. A window never decides where the text ends,
//! so a token that touches its end is unfinished.

use std::borrow::Cow;

use crate::error::JsonFault;

/// Why a token could not be read; the place is then where the fault lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The window ends inside the token.
    More,
    /// Other text than JSON, or another value than asked for.
    Wrong(JsonFault),
    /// More open brackets than [`MAX_DEPTH`](super::skip::MAX_DEPTH).
    TooDeep,
}

impl From<JsonFault> for Fault {
    fn from(fault: JsonFault) -> Self {
        Self::Wrong(fault)
    }
}

/// The byte at the place.
#[inline]
pub(crate) fn peek(bytes: &[u8], at: usize) -> Result<u8, Fault> {
    bytes.get(at).copied().ok_or(Fault::More)
}

/// Skips spaces, tabs and line ends, and returns the byte after them.
#[inline]
pub(crate) fn next_token(bytes: &[u8], at: &mut usize) -> Result<u8, Fault> {
    loop {
        match peek(bytes, *at)? {
            b' ' | b'\n' | b'\r' | b'\t' => *at += 1,
            token => return Ok(token),
        }
    }
}

/// Skips white space and the byte `token`.
#[inline]
pub(crate) fn expect(bytes: &[u8], at: &mut usize, token: u8, otherwise: JsonFault) -> Result<(), Fault> {
    if next_token(bytes, at)? != token {
        return Err(otherwise.into());
    }
    *at += 1;
    Ok(())
}

/// Skips `true`, `false` or `null`.
pub(crate) fn literal(bytes: &[u8], at: &mut usize, word: &[u8]) -> Result<(), Fault> {
    let rest = bytes.get(*at..).unwrap_or_default();
    if rest.starts_with(word) {
        *at += word.len();
        Ok(())
    } else if word.starts_with(rest) {
        Err(Fault::More)
    } else {
        Err(JsonFault::Value.into())
    }
}

/// Skips the rest of a string whose opening quote has been read, with its closing quote.
///
/// When the window ends first, the place is behind the last whole character: reading can go on there.
pub(crate) fn skip_string(bytes: &[u8], at: &mut usize) -> Result<(), Fault> {
    loop {
        skip_plain(bytes, at);
        match peek(bytes, *at)? {
            b'"' => {
                *at += 1;
                return Ok(());
            }
            b'\\' => _ = escape(bytes, at)?,
            0..0x20 => return Err(JsonFault::ControlCharacter.into()),
            _ => wide_character(bytes, at)?,
        }
    }
}

/// Skips characters that stand for themselves and take one byte.
fn skip_plain(bytes: &[u8], at: &mut usize) {
    let rest = bytes.get(*at..).unwrap_or_default();
    let plain = |byte: &u8| matches!(byte, 0x20..0x80) && !matches!(byte, b'"' | b'\\');
    *at += rest.iter().position(|byte| !plain(byte)).unwrap_or(rest.len());
}

/// Reads a string with its quotes and resolves its escapes.
pub(crate) fn string<'b>(bytes: &'b [u8], at: &mut usize) -> Result<Cow<'b, str>, Fault> {
    expect(bytes, at, b'"', JsonFault::String)?;
    let start = *at;
    skip_string(bytes, at)?;
    let text = str::from_utf8(&bytes[start..*at - 1]).map_err(|_| JsonFault::Utf8)?;
    if text.contains('\\') { unescape(text).map(Cow::Owned) } else { Ok(Cow::Borrowed(text)) }
}

fn unescape(mut text: &str) -> Result<String, Fault> {
    let mut plain = String::with_capacity(text.len());
    while let Some(mut at) = text.find('\\') {
        plain.push_str(&text[..at]);
        plain.push(escape(text.as_bytes(), &mut at)?);
        text = &text[at..];
    }
    plain.push_str(text);
    Ok(plain)
}

/// Reads one escape, surrogate pairs as one; the place stays before its backslash unless it is whole.
fn escape(bytes: &[u8], at: &mut usize) -> Result<char, Fault> {
    let plain = match peek(bytes, *at + 1)? {
        mark @ (b'"' | b'\\' | b'/') => char::from(mark),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode_escape(bytes, at),
        _ => return Err(JsonFault::Escape.into()),
    };
    *at += 2;
    Ok(plain)
}

fn unicode_escape(bytes: &[u8], at: &mut usize) -> Result<char, Fault> {
    let unit = hex(bytes, *at + 2)?;
    let (code, length) = match unit {
        0xD800..0xDC00 => (surrogate_pair(unit, bytes, *at + 6)?, 12),
        _ => (unit, 6),
    };
    let character = char::from_u32(code).ok_or(JsonFault::Surrogate)?;
    *at += length;
    Ok(character)
}

/// The character of the leading surrogate `high` and of the escape at `at`, which must be a trailing one.
fn surrogate_pair(high: u32, bytes: &[u8], at: usize) -> Result<u32, Fault> {
    if peek(bytes, at)? != b'\\' || peek(bytes, at + 1)? != b'u' {
        return Err(JsonFault::Surrogate.into());
    }
    match hex(bytes, at + 2)? {
        low @ 0xDC00..0xE000 => Ok(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)),
        _ => Err(JsonFault::Surrogate.into()),
    }
}

fn hex(bytes: &[u8], at: usize) -> Result<u32, Fault> {
    (at..at + 4).try_fold(0, |code, at| {
        let digit = char::from(peek(bytes, at)?).to_digit(16).ok_or(JsonFault::Escape)?;
        Ok(code << 4 | digit)
    })
}

/// Skips one character of several bytes.
fn wide_character(bytes: &[u8], at: &mut usize) -> Result<(), Fault> {
    let width = match peek(bytes, *at)? {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => return Err(JsonFault::Utf8.into()),
    };
    let end = bytes.len().min(*at + width);
    match str::from_utf8(&bytes[*at..end]) {
        Ok(_) => *at = end,
        Err(fault) if fault.error_len().is_none() => return Err(Fault::More),
        Err(_) => return Err(JsonFault::Utf8.into()),
    }
    Ok(())
}
