//! Patterns of layer names.

use super::{AnalysisError, Layer};
use regex_lite::Regex;

/// A regular expression that has to match from the beginning of a name, but not to its end, as Python's `re.match`: `model\.2` also takes
/// `model.24`, `model\.2\.` does not.
#[derive(Debug, Clone)]
pub struct LayerPattern(Regex);

impl LayerPattern {
    /// Reads a pattern, in the syntax of the crate `regex-lite` (Perl's without look-around and back-references).
    ///
    /// # Errors
    /// [`AnalysisError::Pattern`] says what can't be read.
    pub fn new(pattern: &str) -> Result<Self, AnalysisError> {
        let wrong = |source| AnalysisError::Pattern { pattern: pattern.to_owned(), source };
        Regex::new(pattern).map(Self).map_err(wrong)
    }

    /// The text that it was made of.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether a name begins so.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        // The leftmost match is the one at the start where there is one.
        self.0.find(name).is_some_and(|found| found.start() == 0)
    }

    /// The layers whose name begins so.
    ///
    /// # Errors
    /// [`AnalysisError::NoMatch`] if there is none.
    pub fn select<'a>(&self, layers: &'a [Layer]) -> Result<Vec<&'a Layer>, AnalysisError> {
        let found: Vec<&Layer> = layers.iter().filter(|layer| self.matches(&layer.name)).collect();
        if found.is_empty() { Err(self.no_match(layers)) } else { Ok(found) }
    }

    fn no_match(&self, layers: &[Layer]) -> AnalysisError {
        AnalysisError::NoMatch {
            pattern: self.as_str().to_owned(),
            layers: layers.len(),
            example: layers.first().map_or_else(String::new, |layer| layer.name.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matching_is_pythons_re_match() {
        // Python: bool(re.match(pattern, name)).
        let rows = [
            (r"model\.2\.", "model.2.cv1.conv", true),
            (r"model\.2\.", "model.24.m.0", false),
            (r"model\.2", "model.24.m.0", true),
            (r"cv1", "model.2.cv1.conv", false),
            (r".*cv1", "model.2.cv1.conv", true),
            (r"model\.(9|10)\.", "model.10.conv", true),
            (r"a|model", "model.0.conv", true),
            (r"conv|model\.7", "model.0.conv", false),
            (r"^model", "model.0.conv", true),
            (r"model\.0$", "model.0.conv", false),
            (r"", "model.0.conv", true),
            (r"(?x) model # all", "model.0.conv", true),
        ];
        let wrong: Vec<_> = rows
            .iter()
            .filter(|(pattern, name, expected)| {
                LayerPattern::new(pattern).unwrap().matches(name) != *expected
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn broken_patterns_are_named() {
        for pattern in ["(", "[a", "a{2,1}", r"(?<name"] {
            let error = LayerPattern::new(pattern).unwrap_err().to_string();
            assert!(error.contains(pattern.trim_start_matches("(?")), "{error}");
        }
    }
}
