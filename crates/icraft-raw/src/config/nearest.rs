//! Warnings of unknown names, with the known name that is nearest.

use super::keys::{Section, keys_of};
use crate::Generation;
use crate::excerpt::excerpt;
use std::fmt;

/// Longest name that is compared; no known name comes near it.
const COMPARED: usize = 32;

/// A setting or section that was passed over because nothing is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigWarning {
    /// Line, from 1.
    pub line: usize,
    /// The section as written, empty outside of sections.
    pub section: String,
    /// The key as written, cut short; none if the whole section is unknown.
    pub key: Option<String>,
    /// The known name that is nearest to it, if any is near.
    pub nearest: Option<&'static str>,
}

impl ConfigWarning {
    pub(super) fn section(line: usize, name: &str) -> Self {
        let nearest = nearest(name, Section::ALL.into_iter().map(Section::name));
        Self { line, section: excerpt(name), key: None, nearest }
    }

    pub(super) fn outside_sections(line: usize, key: &str) -> Self {
        Self { line, section: String::new(), key: Some(excerpt(key)), nearest: None }
    }

    pub(super) fn key(line: usize, section: Section, key: &str, generation: Generation) -> Self {
        let nearest = nearest(key, keys_of(section, generation).map(|key| key.name));
        Self { line, section: section.name().to_owned(), key: Some(excerpt(key)), nearest }
    }
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, section, key, nearest } = self;
        match key {
            None => write!(f, "line {line}: unknown section [{section}]")?,
            Some(key) if section.is_empty() => {
                write!(f, "line {line}: `{key}` stands outside of any section")?;
            }
            Some(key) => write!(f, "line {line}: unknown key `{key}` in [{section}]")?,
        }
        nearest.map_or(Ok(()), |nearest| write!(f, "; did you mean `{nearest}`?"))
    }
}

/// The name at the least distance, if no more than half of the longer name's letters differ.
fn nearest(word: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    if word.len() > COMPARED {
        return None;
    }
    let rated = known.map(|name| (distance(word.as_bytes(), name.as_bytes()), name));
    let near = rated.filter(|(distance, name)| 2 * distance <= name.len().max(word.len()));
    near.min().map(|(_, name)| name)
}

/// Insertions, deletions and replacements of bytes that lead from one name to the other (Levenshtein).
fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distances() {
        let table = [
            ("bits", "bits", 0),
            ("bits", "bit", 1),
            ("", "per", 3),
            ("saturaton", "saturation", 1),
            ("batch", "bits", 3),
        ];
        for (from, to, expected) in table {
            assert_eq!(distance(from.as_bytes(), to.as_bytes()), expected, "{from} {to}");
            assert_eq!(distance(to.as_bytes(), from.as_bytes()), expected, "{to} {from}");
        }
    }
}
