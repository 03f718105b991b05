//! The MD5 sum that a json holds of its raw file.

use super::NetworkError;
use crate::excerpt::excerpt;
use md5::{Digest, Md5};
use std::fmt;
use std::str::FromStr;

/// MD5 of a whole raw file, printed as 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checksum([u8; 16]);

impl Checksum {
    /// The checksum of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Md5::digest(bytes).into())
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Checksum {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let digits: Option<Vec<u8>> =
            text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
        match digits {
            Some(digits) if digits.len() == 32 => {
                Ok(Self(std::array::from_fn(|i| digits[2 * i] << 4 | digits[2 * i + 1])))
            }
            _ => Err(NetworkError::Checksum { text: excerpt(text) }),
        }
    }
}
