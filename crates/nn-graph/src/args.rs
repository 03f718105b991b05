//! Positional arguments of a definition's modules.

use crate::{Conv, error::Error};
use serde_yaml_ng::Value;

/// No number in a definition may be larger: keeps sizes from hostile files far from overflow.
pub(crate) const MAX_CHANNELS: usize = 1 << 16;

/// Positional arguments of a module, with defaults.
pub(crate) struct Args<'a> {
    pub(crate) layer: usize,
    pub(crate) module: &'a str,
    pub(crate) values: &'a [Value],
}

impl Args<'_> {
    pub(crate) fn wrong(&self, position: usize, name: &'static str, expected: &'static str) -> Error {
        Error::Argument { layer: self.layer, module: self.module.to_owned(), position, name, expected }
    }

    /// A value at `position`; `None` where it is absent or null.
    pub(crate) fn at(&self, position: usize) -> Option<&Value> {
        self.values.get(position).filter(|v| !v.is_null() && v.as_str() != Some("None"))
    }

    pub(crate) fn integer(
        &self,
        position: usize,
        name: &'static str,
        default: usize,
    ) -> Result<usize, Error> {
        let Some(value) = self.at(position) else { return Ok(default) };
        let number = value.as_u64().filter(|&n| n <= MAX_CHANNELS as u64);
        number.map(|n| n as usize).ok_or_else(|| self.wrong(position, name, "a whole number from 0 to 65536"))
    }

    pub(crate) fn positive(
        &self,
        position: usize,
        name: &'static str,
        default: usize,
    ) -> Result<usize, Error> {
        match self.integer(position, name, default)? {
            0 => Err(self.wrong(position, name, "a positive whole number")),
            n => Ok(n),
        }
    }

    /// Refuses arguments beyond those that the module has: ignoring them would give another network.
    pub(crate) fn at_most(&self, count: usize) -> Result<(), Error> {
        if self.values.len() > count { Err(self.wrong(count, "beyond the last", "absent")) } else { Ok(()) }
    }

    /// Whether the argument is True or False.
    pub(crate) fn is_flag(&self, position: usize) -> bool {
        self.at(position).is_some_and(|v| v.is_bool() || matches!(v.as_str(), Some("True" | "False")))
    }

    /// Python's booleans; yaml 1.2 reads `False` as text.
    pub(crate) fn flag(&self, position: usize, name: &'static str, default: bool) -> Result<bool, Error> {
        match self.at(position) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(s)) if s == "True" => Ok(true),
            Some(Value::String(s)) if s == "False" => Ok(false),
            Some(_) => Err(self.wrong(position, name, "True or False")),
        }
    }

    pub(crate) fn ratio(&self, position: usize, name: &'static str, default: f64) -> Result<f64, Error> {
        let Some(value) = self.at(position) else { return Ok(default) };
        let ratio = value.as_f64().filter(|r| *r > 0.0 && *r <= 8.0);
        ratio.ok_or_else(|| self.wrong(position, name, "a ratio in (0, 8]"))
    }

    /// The window sizes of SPP.
    pub(crate) fn kernels(&self, position: usize) -> Result<Vec<usize>, Error> {
        let Some(value) = self.at(position) else { return Ok(vec![5, 9, 13]) };
        let list =
            value.as_sequence().map(|l| l.iter().map(|v| v.as_u64().filter(|k| k % 2 == 1 && *k < 256)));
        let list = list.and_then(|l| l.map(|k| k.map(|k| k as usize)).collect::<Option<Vec<_>>>());
        list.filter(|l| !l.is_empty()).ok_or_else(|| self.wrong(position, "k", "a list of odd window sizes"))
    }

    pub(crate) fn check_groups(&self, position: usize, conv: &Conv) -> Result<(), Error> {
        let divides =
            conv.in_channels.is_multiple_of(conv.groups) && conv.out_channels.is_multiple_of(conv.groups);
        if divides { Ok(()) } else { Err(self.wrong(position, "g", "a divisor of both channel counts")) }
    }
}
