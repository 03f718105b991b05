//! Turns values as they stand into values of a kind.

use super::entries::Entries;
use super::error::ConfigError;
use super::keys::{ConfigKey, Section, ValueKind, keys_of};
use super::literal::Literal;
use super::nearest::ConfigWarning;
use crate::{Generation, Granularity, SaturationMethod};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

/// What calibration files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ForwardMode {
    /// Images.
    Image,
    /// Feature maps, raw f32.
    Ftmp,
}

/// Element type of a network for zhuge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElementKind {
    /// `int8`
    Int8,
    /// `bf16`
    Bf16,
    /// `fp16`
    Fp16,
    /// `tf32`
    Tf32,
}

/// A switch for the whole network, or for some tensors or operations of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Switch {
    /// For all.
    All(bool),
    /// For these ids.
    Ids(Vec<i64>),
}

/// Where the precision of each operation comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MixPrecision {
    /// The quantiser chooses.
    Auto,
    /// The path of a `mix_config.csv`.
    File(String),
}

/// The form of dumped feature maps, three letters such as `SFB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DumpFormat {
    /// H: the hardware's layout; S: NHWC.
    pub hardware_layout: bool,
    /// Q: integers; F: floats.
    pub quantized: bool,
    /// T: text; B: binary, f32 in little endian for `SFB`.
    pub text: bool,
}

impl DumpFormat {
    /// The file that the feature map of this id is dumped to.
    pub fn file_name(self, ftmp_id: i64) -> String {
        format!("{ftmp_id}.ftmp")
    }
}

impl FromStr for DumpFormat {
    type Err = crate::UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let letter = |at: usize, off: u8, on: u8| match text.as_bytes().get(at) {
            Some(letter) if *letter == on => Some(true),
            Some(letter) if *letter == off => Some(false),
            _ => None,
        };
        let parsed =
            (text.len() == 3).then(|| (letter(0, b'S', b'H'), letter(1, b'F', b'Q'), letter(2, b'B', b'T')));
        match parsed {
            Some((Some(hardware_layout), Some(quantized), Some(text))) => {
                Ok(Self { hardware_layout, quantized, text })
            }
            _ => Err(crate::UnknownWord { expected: ValueKind::DumpFormat.expected() }),
        }
    }
}

impl fmt::Display for DumpFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |flag, off, on| if flag { on } else { off };
        let (layout, value) = (letter(self.hardware_layout, 'S', 'H'), letter(self.quantized, 'F', 'Q'));
        write!(f, "{layout}{value}{}", letter(self.text, 'B', 'T'))
    }
}

/// A value of a kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Setting {
    Text(String),
    Texts(Vec<String>),
    Shapes(Vec<Vec<usize>>),
    Numbers(Vec<Vec<f64>>),
    Count(u64),
    Number(f64),
    Flag(bool),
    Switch(Switch),
    ForwardMode(ForwardMode),
    Saturation(SaturationMethod),
    Granularity(Granularity),
    ElementKind(ElementKind),
    MixPrecision(MixPrecision),
    DumpFormat(DumpFormat),
}

impl ValueKind {
    /// What an error says that a value must be.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Texts => "texts separated by `,`",
            Self::InputTexts => "texts, those of several inputs separated by `;`",
            Self::Shapes => "dimensions from 1 separated by `,`, those of several inputs by `;`",
            Self::Numbers => "finite numbers separated by `,`, those of several inputs by `;`",
            Self::Divisors => "finite numbers other than 0 separated by `,`, those of several inputs by `;`",
            Self::Permutations => {
                "a permutation of 0, 1, ... separated by `,`, those of several inputs by `;`"
            }
            Self::Count => "an integer from 0",
            Self::Positive => "an integer from 1",
            Self::OneToFour => "1, 2, 3 or 4",
            Self::Width => "8, 12 or 16",
            Self::Number => "a finite number",
            Self::Flag => "true or false",
            Self::FlagOrIds => "true, false or a list of ids",
            Self::ForwardMode => "image or ftmp",
            Self::Saturation => SaturationMethod::EXPECTED,
            Self::Granularity => Granularity::EXPECTED,
            Self::ElementKind => "int8, bf16, fp16 or tf32",
            Self::MixPrecision => "auto or the path of a csv file",
            Self::DumpFormat => "three letters, S or H, F or Q, B or T, such as SFB",
        }
    }

    /// The value, if `literal` is one of this kind.
    pub(super) fn read(self, literal: &Literal) -> Option<Setting> {
        match self {
            Self::Text => literal.text().map(Setting::Text),
            Self::Texts => texts(literal, ',').map(Setting::Texts),
            Self::InputTexts => texts(literal, ';').map(Setting::Texts),
            Self::Shapes => {
                each(literal, |e| positive(e).and_then(|n| n.try_into().ok())).map(Setting::Shapes)
            }
            Self::Numbers => each(literal, Literal::number).map(Setting::Numbers),
            Self::Divisors => {
                each(literal, |e| e.number().filter(|number| *number != 0.0)).map(Setting::Numbers)
            }
            Self::Permutations => {
                let orders = each(literal, |e| e.integer()?.try_into().ok())?;
                orders.iter().all(|order| is_permutation(order)).then_some(Setting::Shapes(orders))
            }
            Self::Count => literal.integer()?.try_into().ok().map(Setting::Count),
            Self::Positive => positive(literal).map(Setting::Count),
            Self::OneToFour => positive(literal).filter(|n| *n <= 4).map(Setting::Count),
            Self::Width => positive(literal).filter(|n| matches!(n, 8 | 12 | 16)).map(Setting::Count),
            Self::Number => literal.number().map(Setting::Number),
            Self::Flag => literal.flag().map(Setting::Flag),
            Self::FlagOrIds => switch(literal).map(Setting::Switch),
            _ => self.read_word(literal),
        }
    }

    fn read_word(self, literal: &Literal) -> Option<Setting> {
        let Literal::Text(word) = literal else { return None };
        match (self, word.as_str()) {
            (Self::ForwardMode, "image") => Some(Setting::ForwardMode(ForwardMode::Image)),
            (Self::ForwardMode, "ftmp") => Some(Setting::ForwardMode(ForwardMode::Ftmp)),
            (Self::ElementKind, "int8") => Some(Setting::ElementKind(ElementKind::Int8)),
            (Self::ElementKind, "bf16") => Some(Setting::ElementKind(ElementKind::Bf16)),
            (Self::ElementKind, "fp16") => Some(Setting::ElementKind(ElementKind::Fp16)),
            (Self::ElementKind, "tf32") => Some(Setting::ElementKind(ElementKind::Tf32)),
            (Self::MixPrecision, "auto") => Some(Setting::MixPrecision(MixPrecision::Auto)),
            (Self::MixPrecision, _) => Some(Setting::MixPrecision(MixPrecision::File(word.clone()))),
            (Self::Saturation, _) => word.parse().ok().map(Setting::Saturation),
            (Self::Granularity, _) => word.parse().ok().map(Setting::Granularity),
            (Self::DumpFormat, _) => word.parse().ok().map(Setting::DumpFormat),
            _ => None,
        }
    }
}

fn positive(literal: &Literal) -> Option<u64> {
    literal.integer().and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0)
}

fn texts(literal: &Literal, separator: char) -> Option<Vec<String>> {
    let texts: Option<Vec<String>> = literal.elements(separator)?.iter().map(Literal::text).collect();
    texts.filter(|texts| texts.iter().all(|text| !text.is_empty()))
}

fn each<T>(literal: &Literal, read: impl Fn(&Literal) -> Option<T>) -> Option<Vec<Vec<T>>> {
    let lists = literal.by_input()?;
    lists.iter().map(|list| list.iter().map(&read).collect()).collect()
}

fn is_permutation(order: &[usize]) -> bool {
    let mut sorted = order.to_vec();
    sorted.sort_unstable();
    sorted.into_iter().eq(0..order.len())
}

fn switch(literal: &Literal) -> Option<Switch> {
    match literal {
        Literal::Flag(flag) => return Some(Switch::All(*flag)),
        Literal::Text(word) if word == "true" || word == "false" => return Some(Switch::All(word == "true")),
        _ => {}
    }
    let ids: Option<Vec<i64>> = literal.elements(',')?.iter().map(Literal::integer).collect();
    ids.map(Switch::Ids)
}

/// The settings of a configuration by section and key, each with its line.
#[derive(Debug)]
pub(super) struct Settings(HashMap<(Section, &'static str), (usize, Setting)>);

impl Settings {
    /// Reads every entry as its key says; entries without a known key become warnings.
    pub(super) fn read(entries: &mut Entries, generation: Generation) -> Result<Self, ConfigError> {
        let mut settings = HashMap::new();
        for entry in std::mem::take(&mut entries.entries) {
            let known: Option<&ConfigKey> =
                keys_of(entry.section, generation).find(|key| key.name == entry.key);
            let Some(key) = known else {
                entries.warnings.push(ConfigWarning::key(entry.line, entry.section, &entry.key, generation));
                continue;
            };
            let value = key.kind.read(&entry.value).ok_or_else(|| ConfigError::Value {
                line: entry.line,
                section: entry.section,
                key: key.name,
                found: entry.value.describe(),
                expected: key.kind.expected(),
            })?;
            settings.insert((entry.section, key.name), (entry.line, value));
        }
        Ok(Self(settings))
    }

    pub(super) fn line(&self, section: Section, key: &'static str) -> usize {
        self.0.get(&(section, key)).map_or(0, |&(line, _)| line)
    }

    /// The value under the first of `names` that is set.
    pub(super) fn get<T: FromSetting>(&self, section: Section, names: &[&'static str]) -> Option<T> {
        let setting = names.iter().find_map(|&name| self.0.get(&(section, name)));
        setting.and_then(|(_, setting)| T::from_setting(setting))
    }
}

/// Types that a setting can be taken as.
pub(super) trait FromSetting: Sized {
    fn from_setting(setting: &Setting) -> Option<Self>;
}

macro_rules! from_setting {
    ($($type:ty, $variant:ident;)*) => {$(
        impl FromSetting for $type {
            fn from_setting(setting: &Setting) -> Option<Self> {
                match setting {
                    Setting::$variant(value) => Some(value.clone()),
                    _ => None,
                }
            }
        }
    )*};
}

from_setting! {
    String, Text;
    Vec<String>, Texts;
    Vec<Vec<usize>>, Shapes;
    Vec<Vec<f64>>, Numbers;
    u64, Count;
    f64, Number;
    bool, Flag;
    Switch, Switch;
    ForwardMode, ForwardMode;
    SaturationMethod, Saturation;
    Granularity, Granularity;
    ElementKind, ElementKind;
    MixPrecision, MixPrecision;
    DumpFormat, DumpFormat;
}
