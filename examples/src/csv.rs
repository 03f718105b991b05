//! Comma-separated values, after RFC 4180.

use std::fmt::Display;

/// A field, in quotes where it needs them.
#[must_use]
pub fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// A number in the fewest digits that read back to it, nothing for none.
#[must_use]
pub fn optional(value: Option<impl Display>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_quotes_has_them() {
        let rows = [("cat", "cat"), ("a, b", "\"a, b\""), ("the \"cat\"", "\"the \"\"cat\"\"\""), ("", "")];
        let wrong: Vec<_> = rows.iter().filter(|(text, expected)| field(text) != *expected).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!((optional(Some(0.1)), optional(None::<f64>)), ("0.1".to_owned(), String::new()));
    }
}
