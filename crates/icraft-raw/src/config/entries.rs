//! Settings of a configuration with their lines, in either format.

use super::error::{ConfigError, IniFault, OverrideFault};
use super::keys::{Section, keys_of};
use super::literal::Literal;
use super::nearest::ConfigWarning;
use crate::Generation;
use crate::excerpt::excerpt;
use std::collections::HashMap;
use toml::de::{DeTable, DeValue};

/// One setting.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) section: Section,
    pub(super) key: String,
    pub(super) value: Literal,
}

/// Settings in known sections, and what was passed over.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) sections: Vec<Section>,
    pub(super) entries: Vec<Entry>,
    pub(super) warnings: Vec<ConfigWarning>,
}

impl Entries {
    /// The section of this name, noted as present, or a warning.
    fn open(&mut self, line: usize, name: &str) -> Option<Section> {
        let section = Section::named(name);
        match section {
            Some(section) => self.note(section),
            None => self.warnings.push(ConfigWarning::section(line, name)),
        }
        section
    }

    fn note(&mut self, section: Section) {
        if !self.sections.contains(&section) {
            self.sections.push(section);
        }
    }

    /// Puts a setting `SECTION.KEY=VALUE` in the place of the one that is there, if any.
    pub(super) fn replace(&mut self, text: &str, generation: Generation) -> Result<(), OverrideFault> {
        let (name, value) = setting(text).map_err(|_| OverrideFault::Form)?;
        let (section, name) = name.split_once('.').ok_or(OverrideFault::Form)?;
        let section = Section::named(section).ok_or(OverrideFault::Form)?;
        let unknown =
            || OverrideFault::Unknown { nearest: ConfigWarning::key(0, section, name, generation).nearest };
        let key = keys_of(section, generation).find(|key| key.name == name).ok_or_else(unknown)?;
        let value = Literal::Text(value.to_owned());
        if key.kind.read(&value).is_none() {
            return Err(OverrideFault::Value { expected: key.kind.expected() });
        }
        self.entries.retain(|entry| (entry.section, entry.key.as_str()) != (section, name));
        self.entries.push(Entry { line: 0, section, key: name.to_owned(), value });
        self.note(section);
        Ok(())
    }
}

/// Reads `key = value` below `[section]`. Lines that start with `#` or `;` are comments; a `;` within a value separates
/// inputs. A value may stand in double quotes. A key without a value counts as absent.
pub(super) fn read_ini(text: &str) -> Result<Entries, ConfigError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Entries::default();
    let mut seen = HashMap::new();
    // none before the first section; then the section, if it is a known one
    let mut current = None;
    for (line, content) in text.lines().enumerate().map(|(index, content)| (index + 1, content.trim())) {
        let fault = |fault| ConfigError::Ini { line, text: excerpt(content), fault };
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = content.strip_prefix('[') {
            let name = header.strip_suffix(']').ok_or_else(|| fault(IniFault::Section))?;
            current = Some(found.open(line, name.trim()));
            continue;
        }
        let (key, value) = setting(content).map_err(fault)?;
        let Some(section) = current.ok_or_else(|| fault(IniFault::NoSection))? else { continue };
        if let Some(earlier) = seen.insert((section, key), line) {
            return Err(ConfigError::Duplicate { line, earlier, section, key: excerpt(key) });
        }
        if !value.is_empty() {
            let value = Literal::Text(value.to_owned());
            found.entries.push(Entry { line, section, key: key.to_owned(), value });
        }
    }
    Ok(found)
}

fn setting(content: &str) -> Result<(&str, &str), IniFault> {
    let (key, value) = content.split_once('=').ok_or(IniFault::NoEquals)?;
    let (key, value) = (key.trim(), value.trim());
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    if key.is_empty() { Err(IniFault::NoKey) } else { Ok((key, quoted.unwrap_or(value))) }
}

/// Reads toml.
pub(super) fn read_toml(text: &str) -> Result<Entries, ConfigError> {
    let lines = LineStarts::new(text);
    let document = DeTable::parse(text).map_err(|cause| ConfigError::Toml {
        line: cause.span().map(|span| lines.line(span.start)),
        message: excerpt(cause.message()),
    })?;
    let mut found = Entries::default();
    for (name, value) in document.get_ref() {
        let line = lines.line(name.span().start);
        let DeValue::Table(table) = value.get_ref() else {
            found.warnings.push(ConfigWarning::outside_sections(line, name.get_ref()));
            continue;
        };
        let Some(section) = found.open(line, name.get_ref()) else { continue };
        for (key, value) in table {
            let (line, value) = (lines.line(key.span().start), Literal::from_toml(value.get_ref()));
            found.entries.push(Entry { line, section, key: key.get_ref().to_string(), value });
        }
    }
    found.entries.sort_by_key(|entry| entry.line);
    Ok(found)
}

/// Bytes that lines start at.
struct LineStarts(Vec<usize>);

impl LineStarts {
    fn new(text: &str) -> Self {
        let after_ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(after_ends).collect())
    }

    /// The line of a byte, from 1.
    fn line(&self, at: usize) -> usize {
        self.0.partition_point(|&start| start <= at)
    }
}
