//! Element types and layouts as words.

use super::ExpressionError;
use super::cursor::Cursor;
use std::fmt;
use std::str::FromStr;

/// How one element is stored: `@sint(8)`, `@uint(64)`, `@fp(32)`, `@bf(16)`. The number is its width in bits, 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StorageType {
    /// `@sint(bits)`, an integer in two's complement.
    Signed(u32),
    /// `@uint(bits)`, an integer without sign.
    Unsigned(u32),
    /// `@fp(bits)`, a float of IEEE 754.
    Float(u32),
    /// `@bf(bits)`, a float with the exponent of f32.
    BrainFloat(u32),
}

impl StorageType {
    /// Width of one element in bits.
    pub fn bits(self) -> u32 {
        match self {
            Self::Signed(bits) | Self::Unsigned(bits) | Self::Float(bits) | Self::BrainFloat(bits) => bits,
        }
    }

    /// Bits that one element takes in a raw file: signed integers of up to 32 bits lie in words of 8, 16 or 32.
    pub fn stored_bits(self) -> u32 {
        match self {
            Self::Signed(bits @ 1..=32) => bits.next_power_of_two().max(8),
            other => other.bits(),
        }
    }
}

impl FromStr for StorageType {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        let mut cursor = Cursor::new(text);
        let kind = match cursor.name()? {
            "sint" => Self::Signed,
            "uint" => Self::Unsigned,
            "fp" => Self::Float,
            "bf" => Self::BrainFloat,
            _ => return Err(Cursor::new(text).expected("`@sint(`, `@uint(`, `@fp(` or `@bf(`")),
        };
        let at = cursor.at;
        let bits: u32 = cursor.integer("1 to 64 bits")?;
        if !(1..=64).contains(&bits) {
            return Err(ExpressionError::Integer { at, text: bits.to_string(), expected: "1 to 64 bits" });
        }
        cursor.close()?;
        Ok(kind(bits))
    }
}

impl fmt::Display for StorageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Signed(_) => "sint",
            Self::Unsigned(_) => "uint",
            Self::Float(_) => "fp",
            Self::BrainFloat(_) => "bf",
        };
        write!(f, "@{name}({})", self.bits())
    }
}

/// The order of a tensor's axes: `@layout(NHWC)`, `@layout(OIHWo32i32)`, `@layout(*)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Layout(String);

impl Layout {
    /// The letters between the parentheses.
    pub fn axes(&self) -> &str {
        &self.0
    }
}

impl FromStr for Layout {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        let mut cursor = Cursor::new(text);
        if cursor.name()? != "layout" {
            return Err(Cursor::new(text).expected("`@layout(`"));
        }
        let axes = cursor.take_while(|c| c.is_ascii_alphanumeric() || c == '*');
        if axes.is_empty() {
            return Err(cursor.expected("letters of axes, or `*`"));
        }
        cursor.close()?;
        Ok(Self(axes.to_owned()))
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@layout({})", self.0)
    }
}
