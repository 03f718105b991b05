//! onnxruntime's calibration tables: ranges as JSON, and the largest magnitudes as text for its TensorRT execution provider.
//!
//! ```text
//! {"data": [-2.640000104904175, 2.640000104904175], "relu0": [0.0, 1.9230562448501587]}
//!
//! data 2.640000104904175
//! relu0 1.9230562448501587
//! ```

use super::{TableError, check_unique, lines};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use std::fmt;

/// Ranges by tensor, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OrtRanges {
    entries: Vec<(String, [f64; 2])>,
}

impl OrtRanges {
    /// Reads the JSON of a calibration, `{"name": [low, high], ...}`.
    ///
    /// # Errors
    /// [`TableError::Json`], whose source says line and column; [`TableError::Range`] unless `low <= high`, both finite;
    /// [`TableError::Duplicate`] with the place in the table instead of the line.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let Pairs(entries) = serde_json::from_str(text)?;
        for (name, range) in &entries {
            check_range(name, *range)?;
        }
        check_unique(entries.iter().enumerate().map(|(i, (name, _))| (i + 1, name.as_str())))?;
        Ok(Self { entries })
    }

    /// Names with `[low, high]` in order.
    #[must_use]
    pub fn entries(&self) -> &[(String, [f64; 2])] {
        &self.entries
    }

    /// Sets a tensor's range, at the end if it is new.
    ///
    /// # Errors
    /// [`TableError::Range`] unless `low <= high`, both finite.
    pub fn set(&mut self, name: &str, low: f64, high: f64) -> Result<(), TableError> {
        check_range(name, [low, high])?;
        match self.entries.iter_mut().find(|(n, _)| n == name) {
            Some(entry) => entry.1 = [low, high],
            None => self.entries.push((name.to_owned(), [low, high])),
        }
        Ok(())
    }

    /// The largest magnitudes, `max(|low|, |high|)`, by name in order of the names, as onnxruntime's text table has them. Later
    /// versions write `max(low, high)` instead, which clips tensors that reach further below zero (quirk `ort-table-max`); this does not.
    ///
    /// # Errors
    /// [`TableError::Name`] if a name has a line break or is empty.
    pub fn maxima(&self) -> Result<OrtMaxima, TableError> {
        let mut maxima = OrtMaxima::default();
        let mut sorted: Vec<_> = self.entries.iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, [low, high]) in sorted {
            maxima.set(name, low.abs().max(high.abs()))?;
        }
        Ok(maxima)
    }

    /// The JSON as Python's `json.dumps` writes it: one line, all but ASCII escaped.
    #[must_use]
    pub fn to_text(&self) -> String {
        let entry = |(name, [low, high]): &(String, [f64; 2])| {
            format!("\"{}\": [{}, {}]", escaped(name), python(*low), python(*high))
        };
        format!("{{{}}}", self.entries.iter().map(entry).collect::<Vec<_>>().join(", "))
    }
}

/// Largest magnitudes by tensor, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OrtMaxima {
    entries: Vec<(String, f64)>,
}

impl OrtMaxima {
    /// Reads a text table: a name, a blank and a number per line, split at the last blank.
    ///
    /// # Errors
    /// [`TableError::Separator`]; [`TableError::Number`] unless the number is finite and not negative; [`TableError::Duplicate`].
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let mut entries = Vec::new();
        let mut numbers = Vec::new();
        for (line, text) in lines(text) {
            let (name, number) = text
                .rsplit_once(' ')
                .filter(|(name, _)| check_name(name).is_ok())
                .ok_or_else(|| TableError::Separator { line, found: text.to_owned(), separator: " " })?;
            let value = number.parse::<f64>().ok().filter(|v| v.is_finite() && *v >= 0.0);
            let expected = "a finite number that is not negative";
            let value =
                value.ok_or_else(|| TableError::Number { line, found: number.to_owned(), expected })?;
            entries.push((name.to_owned(), value));
            numbers.push(line);
        }
        check_unique(numbers.into_iter().zip(entries.iter().map(|(name, _)| name.as_str())))?;
        Ok(Self { entries })
    }

    /// Names and largest magnitudes in order.
    #[must_use]
    pub fn entries(&self) -> &[(String, f64)] {
        &self.entries
    }

    /// Sets a tensor's largest magnitude, at the end if it is new.
    ///
    /// # Errors
    /// [`TableError::Value`] unless it is finite and not negative; [`TableError::Name`] if the name is empty or has a line break.
    pub fn set(&mut self, name: &str, amax: f64) -> Result<(), TableError> {
        if !(amax.is_finite() && amax >= 0.0) {
            let expected = "finite and not negative";
            return Err(TableError::Value { name: name.to_owned(), value: amax, expected });
        }
        check_name(name)?;
        match self.entries.iter_mut().find(|(n, _)| n == name) {
            Some(entry) => entry.1 = amax,
            None => self.entries.push((name.to_owned(), amax)),
        }
        Ok(())
    }

    /// The table as onnxruntime writes it.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.entries.iter().map(|(name, amax)| format!("{name} {}\n", python(*amax))).collect()
    }
}

fn check_range(name: &str, [low, high]: [f64; 2]) -> Result<(), TableError> {
    if low.is_finite() && high.is_finite() && low <= high {
        return Ok(());
    }
    Err(TableError::Range { name: name.to_owned(), low, high })
}

fn check_name(name: &str) -> Result<(), TableError> {
    if name.trim().is_empty() || name.contains(['\n', '\r']) {
        return Err(TableError::Name { name: name.to_owned(), reason: "it is empty or has a line break" });
    }
    Ok(())
}

/// A number as Python's `repr`: the shortest digits that give it back, with an exponent below 1e-4 and from 1e16 on.
fn python(x: f64) -> String {
    let shortest = format!("{x:e}");
    let length = shortest.bytes().take_while(|b| *b != b'e').filter(u8::is_ascii_digit).count();
    // Of two shortest forms equally close to the number, Python takes the even one, as rounding to that length does.
    let rounded = format!("{x:.*e}", length - 1);
    let scientific = if rounded.parse() == Ok(x) { rounded } else { shortest };
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        return format!("{x:.*}", (length as i32 - 1 - exponent).max(1) as usize);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// Text within quotes, as Python's `json.dumps` escapes it.
fn escaped(text: &str) -> String {
    let escape = |unit: u16| format!("\\u{unit:04x}");
    let one = |c: char| match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\u{8}' => "\\b".to_owned(),
        '\u{c}' => "\\f".to_owned(),
        ' '..='~' => c.to_string(),
        _ => c.encode_utf16(&mut [0; 2]).iter().map(|&unit| escape(unit)).collect(),
    };
    text.chars().map(one).collect()
}

/// The pairs of a JSON object in their order.
struct Pairs(Vec<(String, [f64; 2])>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object of names and ranges [low, high]")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_those_of_python() {
        for (x, want) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (2.640000104904175, "2.640000104904175"),
            // Half-way between ...812 and ...813.
            (3.886_299_133_300_781_3, "3.8862991333007812"),
            (-123.5, "-123.5"),
            (0.0001, "0.0001"),
            (0.000_123_4, "0.0001234"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.25e100, "1.25e+100"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(python(x), want);
        }
    }

    #[test]
    fn maxima_are_magnitudes_in_order_of_names() {
        let mut ranges = OrtRanges::default();
        ranges.set("b", -3.0, 1.0).unwrap();
        ranges.set("a c", 0.0, 2.0).unwrap();
        assert_eq!(ranges.to_text(), r#"{"b": [-3.0, 1.0], "a c": [0.0, 2.0]}"#);
        let text = ranges.maxima().unwrap().to_text();
        assert_eq!(text, "a c 2.0\nb 3.0\n");
        assert_eq!(OrtMaxima::parse(&text).unwrap().entries()[0], ("a c".to_owned(), 2.0));
    }

    #[test]
    fn unusable_tables_are_refused() {
        for text in [
            "",
            "[]",
            "{\"a\": 1}",
            "{\"a\": [1]}",
            "{\"a\": [1, 2, 3]}",
            "{\"a\": [null, 1]}",
            "{\"a\": [NaN, 1]}",
        ] {
            assert!(matches!(OrtRanges::parse(text), Err(TableError::Json(_))), "{text}");
        }
        assert!(matches!(OrtRanges::parse("{\"a\": [2, 1]}"), Err(TableError::Range { .. })));
        assert!(matches!(
            OrtRanges::parse("{\"a\": [1, 2], \"a\": [1, 2]}"),
            Err(TableError::Duplicate { line: 2, .. })
        ));
        for (text, want) in
            [("a 1\nb", "line 2 is"), ("a -1", "line 1:"), ("a inf", "line 1:"), ("a 1\na 1", "line 2:")]
        {
            let error = OrtMaxima::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(want), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            rows in prop::collection::vec((".{1,8}", -1e30f64..1e30, 0f64..1e30), 0..10)
        ) {
            let mut ranges = OrtRanges::default();
            for (name, low, width) in &rows {
                ranges.set(name, *low, low + width).unwrap();
            }
            let text = ranges.to_text();
            prop_assert!(text.is_ascii());
            prop_assert_eq!(&OrtRanges::parse(&text).unwrap(), &ranges);
            if let Ok(maxima) = ranges.maxima() {
                prop_assert_eq!(OrtMaxima::parse(&maxima.to_text()).unwrap(), maxima);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "([{}\\[\\],:\"a1.e-]|.){0,60}") {
            let _ = OrtRanges::parse(&text);
            if let Ok(maxima) = OrtMaxima::parse(&text) {
                prop_assert_eq!(OrtMaxima::parse(&maxima.to_text()).unwrap(), maxima);
            }
        }
    }
}
