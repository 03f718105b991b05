//! Numbers, correctly rounded.
//!
//! A decimal is its digits `m` as an integer and a power of ten `e`. When `m <= 2^53` and `|e| <= 22`, both
//! are exact in f64 and one multiplication or division rounds correctly; everything else is left to
//! `str::parse`. Departures from that plain form:
//!
//! 1. Decimals that end within eight bytes, nearly all of a results file, are taken from one 64-bit word
//!    without a loop over digits, whose length no branch predictor can guess: the point is squeezed out and
//!    the digits are summed pairwise.

use super::lexer::{Fault, peek};
use crate::error::JsonFault;

/// Powers of ten that are exact in f64.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Reads a finite number.
#[inline(always)] // the place stays in a register
pub(crate) fn float(bytes: &[u8], at: &mut usize) -> Result<f64, Fault> {
    match short_decimal(bytes.get(*at..).unwrap_or_default()) {
        Some((value, length)) => {
            *at += length;
            Ok(value)
        }
        None => long_float(bytes, at),
    }
}

/// Reads a number in integer notation that an `i64` holds.
#[inline]
pub(crate) fn integer(bytes: &[u8], at: &mut usize) -> Result<i64, Fault> {
    match short_integer(bytes.get(*at..).unwrap_or_default()) {
        Some((value, length)) => {
            *at += length;
            Ok(value)
        }
        None => long_integer(bytes, at),
    }
}

/// Skips a number of any size.
pub(crate) fn skip_number(bytes: &[u8], at: &mut usize) -> Result<(), Fault> {
    scan(bytes, *at).map(|parts| *at = parts.end)
}

/// Reads a number in integer notation as whether it is not 0.
pub(crate) fn flag(bytes: &[u8], at: &mut usize) -> Result<bool, Fault> {
    let parts = scan(bytes, *at)?;
    let text = text(bytes, *at, &parts);
    if !parts.integer || text.parse::<i64>().is_err() && text.parse::<u64>().is_err() {
        return Err(JsonFault::Flag.into());
    }
    *at = parts.end;
    Ok(parts.mantissa != 0)
}

#[cold]
#[inline(never)]
fn long_float(bytes: &[u8], at: &mut usize) -> Result<f64, Fault> {
    let parts = scan(bytes, *at)?;
    let value = match exact(&parts) {
        Some(magnitude) => magnitude,
        None => text(bytes, *at, &parts).parse().map_err(|_| JsonFault::Number)?,
    };
    if f64::is_infinite(value) {
        return Err(JsonFault::NumberRange.into());
    }
    *at = parts.end;
    Ok(value)
}

#[cold]
#[inline(never)]
fn long_integer(bytes: &[u8], at: &mut usize) -> Result<i64, Fault> {
    let parts = scan(bytes, *at)?;
    if !parts.integer {
        return Err(JsonFault::Integer.into());
    }
    let value = text(bytes, *at, &parts).parse().map_err(|_| JsonFault::IntegerRange)?;
    *at = parts.end;
    Ok(value)
}

/// A number's digits and what stands around them.
struct Parts {
    negative: bool,
    /// All digits but those of the exponent, when there are at most 19 after leading zeros.
    mantissa: u64,
    exact: bool,
    /// Power of ten that the mantissa is to be multiplied by.
    exponent: i64,
    /// Whether there is neither point nor exponent, nor a negative zero, which no integer holds.
    integer: bool,
    end: usize,
}

/// Checks the grammar `-? (0 | [1-9][0-9]*) (\. [0-9]+)? ([eE] [+-]? [0-9]+)?`.
fn scan(bytes: &[u8], start: usize) -> Result<Parts, Fault> {
    let mut at = start;
    let negative = peek(bytes, at)? == b'-';
    at += usize::from(negative);
    let mut digits = Digits::default();
    let whole = at;
    digits.take(bytes, &mut at)?;
    if bytes[whole] == b'0' && at > whole + 1 {
        return Err(JsonFault::Number.into());
    }
    let mut exponent = 0;
    let mut integer = !(negative && digits.significant == 0);
    if peek(bytes, at)? == b'.' {
        at += 1;
        integer = false;
        let point = at;
        digits.take(bytes, &mut at)?;
        exponent -= (at - point) as i64;
    }
    if matches!(peek(bytes, at)?, b'e' | b'E') {
        at += 1;
        integer = false;
        exponent += scan_exponent(bytes, &mut at)?;
    }
    let exact = digits.significant <= 19;
    Ok(Parts { negative, mantissa: digits.mantissa, exact, exponent, integer, end: at })
}

#[derive(Default)]
struct Digits {
    mantissa: u64,
    significant: usize,
}

impl Digits {
    /// Reads one digit or more.
    fn take(&mut self, bytes: &[u8], at: &mut usize) -> Result<(), Fault> {
        let start = *at;
        loop {
            match peek(bytes, *at)? {
                digit @ b'0'..=b'9' => self.add(digit - b'0'),
                _ if *at == start => return Err(JsonFault::Number.into()),
                _ => return Ok(()),
            }
            *at += 1;
        }
    }

    fn add(&mut self, digit: u8) {
        self.significant += usize::from(self.significant > 0 || digit > 0);
        // beyond 19 digits the mantissa is not used
        self.mantissa = self.mantissa.wrapping_mul(10).wrapping_add(digit.into());
    }
}

fn scan_exponent(bytes: &[u8], at: &mut usize) -> Result<i64, Fault> {
    let sign = peek(bytes, *at)?;
    *at += usize::from(matches!(sign, b'+' | b'-'));
    let start = *at;
    let mut digits = Digits::default();
    digits.take(bytes, at)?;
    // a longer one is out of the exact range, whatever its digits
    let magnitude = if *at - start > 9 { 1 << 40 } else { digits.mantissa as i64 };
    Ok(if sign == b'-' { -magnitude } else { magnitude })
}

fn text<'b>(bytes: &'b [u8], start: usize, parts: &Parts) -> &'b str {
    str::from_utf8(&bytes[start..parts.end]).unwrap_or_default()
}

/// The value, when one exact operation gives it.
fn exact(parts: &Parts) -> Option<f64> {
    if !parts.exact || parts.mantissa > 1 << 53 {
        return None;
    }
    let power = *POWERS.get(usize::try_from(parts.exponent.unsigned_abs()).ok()?)?;
    let mantissa = parts.mantissa as f64;
    let magnitude = if parts.exponent < 0 { mantissa / power } else { mantissa * power };
    Some(if parts.negative { -magnitude } else { magnitude })
}

/// A decimal without sign and exponent that ends within eight bytes, and its length.
#[inline]
fn short_decimal(rest: &[u8]) -> Option<(f64, usize)> {
    let word = u64::from_le_bytes(*rest.first_chunk()?);
    let others = other_bytes(word);
    let whole = others.trailing_zeros() / 8;
    if !starts_number(word, whole) {
        return None;
    }
    if byte(word, whole) != b'.' {
        return ends_value(word, whole).then(|| (sum_digits(word, whole) as f64, whole as usize));
    }
    let end = (others & (others - 1)).trailing_zeros() / 8;
    if end < whole + 2 || !ends_value(word, end) {
        return None;
    }
    let digits = remove_byte(word, whole);
    let value = sum_digits(digits, end - 1) as f64 / POWERS[(end - 1 - whole) as usize];
    Some((value, end as usize))
}

/// An integer without sign that ends within eight bytes, and its length.
#[inline]
fn short_integer(rest: &[u8]) -> Option<(i64, usize)> {
    let word = u64::from_le_bytes(*rest.first_chunk()?);
    let digits = other_bytes(word).trailing_zeros() / 8;
    let sound = starts_number(word, digits) && ends_value(word, digits);
    sound.then(|| (sum_digits(word, digits) as i64, digits as usize))
}

/// The highest bit of each byte that is not a digit.
#[inline]
fn other_bytes(word: u64) -> u64 {
    let value = word ^ 0x3030_3030_3030_3030; // 0 to 9 for digits
    let above_nine = (value & 0x7F7F_7F7F_7F7F_7F7F) + 0x7676_7676_7676_7676;
    (above_nine | value) & 0x8080_8080_8080_8080
}

/// Byte `index`, or 0 behind the word.
#[inline]
fn byte(word: u64, index: u32) -> u8 {
    word.checked_shr(8 * index).unwrap_or(0) as u8
}

/// Whether the first `digits` bytes can start a number, and do not fill the word.
#[inline]
fn starts_number(word: u64, digits: u32) -> bool {
    digits == 1 || (2..8).contains(&digits) && word as u8 != b'0'
}

/// Whether byte `index` ends a number for certain.
#[inline]
fn ends_value(word: u64, index: u32) -> bool {
    matches!(byte(word, index), b',' | b']' | b'}' | b' ' | b'\n' | b'\r')
}

/// Closes the gap that byte `index` leaves.
#[inline]
fn remove_byte(word: u64, index: u32) -> u64 {
    let before = (1 << (8 * index)) - 1;
    word & before | word >> 8 & !before
}

/// The integer that the first `digits` bytes spell, 1 to 7 of them.
#[inline]
fn sum_digits(word: u64, digits: u32) -> u64 {
    let units = (word ^ 0x3030_3030_3030_3030) << (8 * (8 - digits)); // zeros in front
    let tens = units.wrapping_mul(10).wrapping_add(units >> 8); // each even byte: two digits
    let even = (tens & 0x0000_00FF_0000_00FF).wrapping_mul(0x000F_4240_0000_0064);
    let odd = (tens >> 16 & 0x0000_00FF_0000_00FF).wrapping_mul(0x0000_2710_0000_0001);
    even.wrapping_add(odd) >> 32
}
