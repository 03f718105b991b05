//! Configurations of the compiler's stages.

mod calibration;
mod entries;
mod error;
mod keys;
mod literal;
mod nearest;
mod stages;
mod values;

pub use calibration::CalibrationList;
pub use error::{ConfigError, IniFault, OverrideFault};
pub use keys::{CONFIG_KEYS, ConfigKey, Section, ValueKind};
pub use nearest::ConfigWarning;
pub use stages::{GenerateConfig, OptimizeConfig, ParseConfig, QuantizeConfig, RunConfig, StageFiles};
pub use values::{DumpFormat, ElementKind, ForwardMode, MixPrecision, Switch};

use crate::Generation;
use crate::excerpt::excerpt;
use keys::Section as S;
use std::path::Path;
use values::Settings;

/// The format of a configuration, which tells its generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConfigFormat {
    /// The earlier generation's.
    Ini,
    /// The later generation's.
    Toml,
}

/// A configuration. Sections that the file lacks are none; paths are as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The generation that the format belongs to.
    pub generation: Generation,
    /// `[parse]`
    pub parse: Option<ParseConfig>,
    /// `[optimize]`
    pub optimize: Option<OptimizeConfig>,
    /// `[quantize]`
    pub quantize: Option<QuantizeConfig>,
    /// `[adapt]`, which has the keys of `[optimize]`
    pub adapt: Option<OptimizeConfig>,
    /// `[generate]`
    pub generate: Option<GenerateConfig>,
    /// `[run]`
    pub run: Option<RunConfig>,
    /// Settings and sections that nothing is known of, in the order of their lines.
    pub warnings: Vec<ConfigWarning>,
}

impl Config {
    /// Reads the text of a configuration.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] with the line and key that is wrong. What is merely unknown ends up in `warnings`.
    pub fn read(text: &str, format: ConfigFormat) -> Result<Self, ConfigError> {
        Self::read_with(text, format, &[])
    }

    /// Reads the text of a configuration, in which settings `SECTION.KEY=VALUE` take the place of its own; values are written as in ini
    /// files.
    ///
    /// # Errors
    ///
    /// As [`Config::read`]; [`ConfigError::Override`], also for unknown keys.
    pub fn read_with(text: &str, format: ConfigFormat, overrides: &[String]) -> Result<Self, ConfigError> {
        let (mut entries, generation) = match format {
            ConfigFormat::Ini => (entries::read_ini(text)?, Generation::Legacy),
            ConfigFormat::Toml => (entries::read_toml(text)?, Generation::Xir),
        };
        for setting in overrides {
            let fault = |fault| ConfigError::Override { setting: excerpt(setting), fault };
            entries.replace(setting, generation).map_err(fault)?;
        }
        let settings = Settings::read(&mut entries, generation)?;
        entries.warnings.sort_by_key(|warning| warning.line);
        let has = |section| entries.sections.contains(&section);
        let config = Self {
            generation,
            parse: has(S::Parse).then(|| ParseConfig::new(&settings)),
            optimize: has(S::Optimize).then(|| OptimizeConfig::new(&settings, S::Optimize)),
            quantize: has(S::Quantize).then(|| QuantizeConfig::new(&settings, generation)),
            adapt: has(S::Adapt).then(|| OptimizeConfig::new(&settings, S::Adapt)),
            generate: has(S::Generate).then(|| GenerateConfig::new(&settings)),
            run: has(S::Run).then(|| RunConfig::new(&settings)),
            warnings: entries.warnings,
        };
        config.check_widths(&settings)?;
        Ok(config)
    }

    /// Reads a configuration file; its name ends in `.ini` or `.toml`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Extension`], [`ConfigError::File`], and those of [`Config::read`].
    pub fn from_path(path: &Path) -> Result<Self, ConfigError> {
        Self::from_path_with(path, &[])
    }

    /// Reads a configuration file, with settings as [`Config::read_with`] takes them.
    ///
    /// # Errors
    ///
    /// As [`Config::from_path`] and [`Config::read_with`].
    pub fn from_path_with(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        let format = match path.extension().and_then(|extension| extension.to_str()) {
            Some("ini") => ConfigFormat::Ini,
            Some("toml") => ConfigFormat::Toml,
            _ => return Err(ConfigError::Extension { path: path.to_owned() }),
        };
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|cause| ConfigError::File { path: path.to_owned(), cause })?;
        Self::read_with(&text, format, overrides)
    }

    fn check_widths(&self, settings: &Settings) -> Result<(), ConfigError> {
        let qbits = self.generate.as_ref().and_then(|generate| generate.qbits);
        let (Some(qbits), Some(quantize)) = (qbits, &self.quantize) else { return Ok(()) };
        if qbits == quantize.bits {
            return Ok(());
        }
        Err(ConfigError::WidthsDiffer {
            line: settings.line(S::Generate, "qbits"),
            qbits,
            bits: quantize.bits,
        })
    }
}
