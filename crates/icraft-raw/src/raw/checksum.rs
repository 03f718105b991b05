//! The checksum by which a json file names its raw file.

use crate::Checksum;

/// MD5 in lower-case hexadecimal, over the whole content of a raw file, table included: `raw_md5` of a legacy
/// json, `params_md5` of a later one.
///
/// ```
/// assert_eq!(icraft_raw::md5_hex(b""), "d41d8cd98f00b204e9800998ecf8427e");
/// ```
#[must_use]
pub fn md5_hex(bytes: &[u8]) -> String {
    Checksum::of(bytes).to_string()
}
