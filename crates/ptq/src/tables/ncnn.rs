//! ncnn's calibration table, as `ncnn2table` writes and `ncnn2int8` reads it.
//!
//! ```text
//! conv0_param_0 156.639840 536.163147
//! conv0 127.437767
//! ```
//!
//! Every line is a key and numbers, each followed by a blank; keys of weights end in `_param_0`. Numbers are `127 / amax` in C's
//! `%f`: six decimals, so small ones lose digits.

use super::{TableError, check_unique, lines};

/// Ends the keys of weights.
const WEIGHTS: &str = "_param_0";
/// What a number has to be.
const EXPECTED: &str = "a positive, finite scale of at least 0.000001";

/// A calibration table: scales `127 / amax` by key, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NcnnTable {
    entries: Vec<(String, Vec<f32>)>,
}

impl NcnnTable {
    /// Reads a table. Numbers may be apart by any white space.
    ///
    /// # Errors
    /// [`TableError::Separator`] if a line has no number; [`TableError::Number`] if one is not a positive, finite scale;
    /// [`TableError::Duplicate`].
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let mut entries = Vec::new();
        let mut numbers = Vec::new();
        for (line, text) in lines(text) {
            let mut words = text.split_whitespace();
            let key = words.next().unwrap_or_default();
            let scales = words.map(|word| scale(line, word)).collect::<Result<Vec<f32>, _>>()?;
            if scales.is_empty() {
                return Err(TableError::Separator { line, found: text.to_owned(), separator: " " });
            }
            entries.push((key.to_owned(), scales));
            numbers.push(line);
        }
        check_unique(numbers.into_iter().zip(entries.iter().map(|(key, _)| key.as_str())))?;
        Ok(Self { entries })
    }

    /// Keys and scales in order.
    #[must_use]
    pub fn entries(&self) -> &[(String, Vec<f32>)] {
        &self.entries
    }

    /// Scales of a layer's weights, one per output channel.
    #[must_use]
    pub fn weights(&self, layer: &str) -> Option<&[f32]> {
        self.get(&format!("{layer}{WEIGHTS}"))
    }

    /// Scales of a layer's input.
    #[must_use]
    pub fn input(&self, layer: &str) -> Option<&[f32]> {
        self.get(layer)
    }

    fn get(&self, key: &str) -> Option<&[f32]> {
        self.entries.iter().find(|(k, _)| k == key).map(|(_, scales)| scales.as_slice())
    }

    /// Sets the scales of a layer's weights to `127 / amax`, one per output channel.
    ///
    /// # Errors
    /// [`TableError::Value`] if a scale is not positive and finite or would be written as 0, or there is none;
    /// [`TableError::Name`] if the layer's name is empty or has white space.
    pub fn set_weights(&mut self, layer: &str, amax: &[f32]) -> Result<(), TableError> {
        check_name(layer)?;
        self.set(format!("{layer}{WEIGHTS}"), amax)
    }

    /// Sets the scale of a layer's input to `127 / threshold`.
    ///
    /// # Errors
    /// As in [`Self::set_weights`].
    pub fn set_input(&mut self, layer: &str, threshold: f32) -> Result<(), TableError> {
        check_name(layer)?;
        self.set(layer.to_owned(), &[threshold])
    }

    fn set(&mut self, key: String, amax: &[f32]) -> Result<(), TableError> {
        let scales: Vec<f32> = amax.iter().map(|amax| 127.0 / amax).collect();
        if let Some(scale) = scales.iter().find(|s| !writable(**s)) {
            return Err(TableError::Value { name: key, value: f64::from(*scale), expected: EXPECTED });
        }
        if scales.is_empty() {
            return Err(TableError::Value { name: key, value: f64::NAN, expected: "at least one scale" });
        }
        match self.entries.iter_mut().find(|(k, _)| *k == key) {
            Some(entry) => entry.1 = scales,
            None => self.entries.push((key, scales)),
        }
        Ok(())
    }

    /// The table as ncnn writes it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let line = |(key, scales): &(String, Vec<f32>)| {
            let numbers: String = scales.iter().map(|scale| format!("{scale:.6} ")).collect();
            format!("{key} {numbers}\n")
        };
        self.entries.iter().map(line).collect()
    }
}

/// Positive, finite and not 0 in six decimals.
fn writable(scale: f32) -> bool {
    scale.is_finite() && scale >= 1e-6
}

fn scale(line: usize, word: &str) -> Result<f32, TableError> {
    let number = word.parse::<f32>().ok().filter(|scale| writable(*scale));
    number.ok_or_else(|| TableError::Number { line, found: word.to_owned(), expected: EXPECTED })
}

fn check_name(name: &str) -> Result<(), TableError> {
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(TableError::Name { name: name.to_owned(), reason: "it is empty or has white space" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn weights_and_inputs_are_told_apart() {
        let text = "conv0_param_0 156.639847 536.163147 \nconv0 127.437767 \n";
        let table = NcnnTable::parse(text).unwrap();
        assert_eq!(table.weights("conv0"), Some(&[156.639_84, 536.163_15][..]));
        assert_eq!(table.input("conv0"), Some(&[127.437_77][..]));
        assert_eq!(table.to_text(), text);
        let mut built = NcnnTable::default();
        built.set_weights("conv0", &[127.0, 63.5]).unwrap();
        built.set_input("conv0", 1.0).unwrap();
        assert_eq!(built.to_text(), "conv0_param_0 1.000000 2.000000 \nconv0 127.000000 \n");
    }

    #[test]
    fn errors_say_the_line() {
        for (text, want) in [
            ("a 1\nb", "line 2 is"),
            ("a 1\n\nb x", "line 3: \"x\""),
            ("a inf", "line 1: \"inf\""),
            ("a 1 nan", "line 1: \"nan\""),
            ("a 0.0", "line 1: \"0.0\""),
            ("a 1\na 2", "line 2: a occurs"),
        ] {
            let error = NcnnTable::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(want), "{text:?}: {error}");
        }
        let mut table = NcnnTable::default();
        for amax in [0.0, f32::NAN, -1.0, f32::INFINITY] {
            assert!(matches!(table.set_input("a", amax), Err(TableError::Value { .. })), "{amax}");
        }
        assert!(matches!(table.set_weights("a", &[]), Err(TableError::Value { .. })));
        assert!(matches!(table.set_input("a b", 1.0), Err(TableError::Name { .. })));
    }

    proptest! {
        #[test]
        fn texts_are_stable_and_numbers_right_to_six_decimals(
            rows in prop::collection::vec(("[!-~]{1,12}", prop::collection::vec(1e-5f32..1e6, 1..5)), 0..20)
        ) {
            let mut table = NcnnTable::default();
            for (name, amax) in &rows {
                table.set_weights(name, amax).unwrap();
            }
            let read = NcnnTable::parse(&table.to_text()).unwrap();
            prop_assert_eq!(read.to_text(), table.to_text());
            for ((_, a), (_, b)) in read.entries().iter().zip(table.entries()) {
                prop_assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 6e-7));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "([a1 .\n]|.){0,60}") {
            if let Ok(table) = NcnnTable::parse(&text) {
                prop_assert!(NcnnTable::parse(&table.to_text()).is_ok());
            }
        }
    }
}
