//! `@scales(...)`, `@exp_scales(...)` and `@norm_ratios(...)`.

use super::cursor::Cursor;
use super::{ExpressionError, PerAxis};
use crate::decimal::Decimal;
use std::fmt;
use std::str::FromStr;

/// A scale in the hardware's form `mantissa * 2^-shift`, with the value as printed: `128/21/6.1035156e-05`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// m, in the files at hand in 1..=255.
    pub mantissa: u32,
    /// n, in the files at hand in 0..=21.
    pub shift: u32,
    /// The scale as the file prints it.
    pub value: f32,
}

impl Scale {
    /// The scale `mantissa * 2^-shift`.
    pub fn new(mantissa: u32, shift: u32) -> Self {
        Self { mantissa, shift, value: product(mantissa, shift) }
    }

    /// Whether `value` is `mantissa * 2^-shift` rounded to f32.
    ///
    /// The one known exception are output channels that padding added, which the compiler prints as `1/8/1`.
    pub fn is_consistent(&self) -> bool {
        self.value == product(self.mantissa, self.shift)
    }
}

/// Exact in f64 up to a shift of 1022, then rounded once.
fn product(mantissa: u32, shift: u32) -> f32 {
    (f64::from(mantissa) * (-f64::from(shift)).exp2()) as f32
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.mantissa, self.shift, Decimal(self.value))
    }
}

fn scale(cursor: &mut Cursor<'_>) -> Result<Scale, ExpressionError> {
    let mantissa = cursor.integer("32 bits without sign")?;
    cursor.expect("/")?;
    let shift = cursor.integer("32 bits without sign")?;
    cursor.expect("/")?;
    Ok(Scale { mantissa, shift, value: cursor.non_negative()? })
}

/// The scales of a tensor, in either form.
#[derive(Debug, Clone, PartialEq)]
pub enum Scales {
    /// `@exp_scales(...)`: mantissas and shifts, as BUYI computes.
    Exponent(PerAxis<Scale>),
    /// `@scales(...)`: plain numbers.
    Float(PerAxis<f32>),
}

impl Scales {
    /// Number of scales, runs counted in full.
    pub fn count(&self) -> usize {
        match self {
            Self::Exponent(list) => list.count(),
            Self::Float(list) => list.count(),
        }
    }

    /// The scale of every channel as printed.
    ///
    /// # Errors
    ///
    /// If the list holds neither one scale nor `channels` scales.
    pub fn expand(&self, channels: usize) -> Result<Vec<f32>, ExpressionError> {
        match self {
            Self::Exponent(list) => Ok(list.expand(channels)?.iter().map(|scale| scale.value).collect()),
            Self::Float(list) => list.expand(channels),
        }
    }
}

impl FromStr for Scales {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        let mut cursor = Cursor::new(text);
        let scales = match cursor.name()? {
            "exp_scales" => Self::Exponent(PerAxis::read(&mut cursor, scale)?),
            "scales" => Self::Float(PerAxis::read(&mut cursor, Cursor::non_negative)?),
            _ => return Err(Cursor::new(text).expected("`@exp_scales(` or `@scales(`")),
        };
        cursor.close()?;
        Ok(scales)
    }
}

impl fmt::Display for Scales {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exponent(list) => write!(f, "@exp_scales({list})"),
            Self::Float(list) => write!(f, "@scales({})", decimals(list)),
        }
    }
}

/// The norm ratios N of a feature map, `@norm_ratios(...)`: real value = integer * N.
#[derive(Debug, Clone, PartialEq)]
pub struct NormRatios(pub PerAxis<f32>);

impl FromStr for NormRatios {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        let mut cursor = Cursor::new(text);
        if cursor.name()? != "norm_ratios" {
            return Err(Cursor::new(text).expected("`@norm_ratios(`"));
        }
        let ratios = PerAxis::read(&mut cursor, Cursor::positive)?;
        cursor.close()?;
        Ok(Self(ratios))
    }
}

impl fmt::Display for NormRatios {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@norm_ratios({})", decimals(&self.0))
    }
}

fn decimals(list: &PerAxis<f32>) -> PerAxis<Decimal> {
    list.map(Decimal)
}
