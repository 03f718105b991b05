//! How the toolchain prints an f32: the shortest digits that read back to it.

use std::fmt;

/// Positional notation holds from 1e-4 up to below this power of ten; exponents outside have at least two digits.
const POSITIONAL: std::ops::Range<i32> = -4..16;

/// Prints as `255`, `0.13699304` or `6.1035156e-05`. Of two shortest numbers that are equally near, the even one is printed:
/// 2^-12 = 0.000244140625 as `0.00024414062`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Decimal(pub(crate) f32);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 < 0.0 { "-" } else { "" })?;
        let (digits, exponent) = shortest(self.0.abs());
        if !POSITIONAL.contains(&exponent) {
            let sign = if exponent < 0 { '-' } else { '+' };
            return write!(f, "{digits}e{sign}{:02}", exponent.unsigned_abs());
        }
        let (digits, places) = (digits.replace('.', ""), exponent.unsigned_abs() as usize);
        if exponent < 0 {
            return write!(f, "0.{}{digits}", "0".repeat(places - 1));
        }
        match digits.split_at_checked(places + 1) {
            Some((whole, "")) => f.write_str(whole),
            Some((whole, fraction)) => write!(f, "{whole}.{fraction}"),
            None => write!(f, "{digits:0<width$}", width = places + 1),
        }
    }
}

/// `d.ddd` and the power of ten of its first digit, of a number that is not negative.
fn shortest(value: f32) -> (String, i32) {
    let shortest = format!("{value:e}");
    let (digits, _) = parts(&shortest);
    // formatting to a given precision breaks ties to even, formatting to the shortest does not
    let even = format!("{value:.*e}", digits.len().saturating_sub(2));
    let (digits, exponent) = if even.parse() == Ok(value) { parts(&even) } else { parts(&shortest) };
    (digits.to_owned(), exponent)
}

fn parts(scientific: &str) -> (&str, i32) {
    let (digits, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    (digits, exponent.parse().unwrap_or(0))
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
            (2f32.powi(-12), "0.00024414062"),
            (2f32.powi(-14), "6.1035156e-05"),
            (8388609.0, "8388609"),
            (0.3, "0.3"),
            (-1.5, "-1.5"),
            (-0.0, "0"),
            (254.96889, "254.96889"),
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
