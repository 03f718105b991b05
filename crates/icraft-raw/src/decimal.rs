//! How the toolchain prints an f32: the shortest digits that read back to it.

use std::fmt;

/// Positional notation holds from 1e-4 up to below this power of ten; exponents outside have at least two digits.
const POSITIONAL: std::ops::Range<i32> = -4..16;

/// Prints as `255`, `0.13699304` or `6.1035156e-05`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decimal(pub(crate) f32);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scientific = format!("{:e}", self.0);
        let split = scientific.split_once('e').and_then(|(digits, e)| Some((digits, e.parse::<i32>().ok()?)));
        match split {
            Some((digits, exponent)) if !POSITIONAL.contains(&exponent) => {
                let sign = if exponent < 0 { '-' } else { '+' };
                write!(f, "{digits}e{sign}{:02}", exponent.unsigned_abs())
            }
            _ => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Decimal;

    #[test]
    fn prints_as_the_toolchain_does() {
        let table = [
            (255.0, "255"),
            (1.0, "1"),
            (0.0, "0"),
            (0.13699304, "0.13699304"),
            (0.000109601126, "0.000109601126"),
            (6.1035156e-5, "6.1035156e-05"),
            (5.197836e-10, "5.197836e-10"),
            (1e15, "1000000000000000"),
            (1e16, "1e+16"),
            (f32::MIN_POSITIVE, "1.1754944e-38"),
        ];
        for (value, text) in table {
            assert_eq!(Decimal(value).to_string(), text);
        }
    }
}
