//! The two layouts of a raw file.

use std::fmt;

/// The first bytes of a file of the later generation: `ICRAFT_RAW` between two bytes `A5`.
pub(super) const XIR_MAGIC: [u8; 12] = *b"\xA5ICRAFT_RAW\xA5";

/// Which generation of Icraft a raw file belongs to. All numbers are little-endian, addresses count from the
/// start of the file, and nothing is padded.
///
/// | | [`Legacy`](Self::Legacy) (V1.1, V2.0) | [`Xir`](Self::Xir) (3.x) |
/// |---|---|---|
/// | magic | none | `A5 "ICRAFT_RAW" A5`, 12 bytes |
/// | count of tensors, `n` | 32 bits | 32 bits |
/// | entry of the table | id 32 bits, address 32 bits | id 32 bits, address 64 bits |
/// | payloads start at | `4 + 8 n` | `16 + 12 n` |
/// | order of payloads | that of the table, without gaps | any; tensors may share an address |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Generation {
    /// Icraft V1.1 and V2.0. Addresses are signed to its tools, so a file stays below 2 GiB.
    Legacy,
    /// Icraft 3.x. Ids are the `v_id` of the network's json.
    Xir,
}

impl Generation {
    /// Bytes before the table: `4` or `16`.
    #[must_use]
    pub const fn header_bytes(self) -> u64 {
        match self {
            Self::Legacy => 4,
            Self::Xir => 16,
        }
    }

    /// Bytes that each tensor takes in the table: `8` or `12`.
    #[must_use]
    pub const fn entry_bytes(self) -> u64 {
        match self {
            Self::Legacy => 8,
            Self::Xir => 12,
        }
    }

    /// Where the payloads of `count` tensors start: `4 + 8 count` or `16 + 12 count`. With the bytes of all
    /// payloads added, that is the length of the file, and the `params_bytes` of the later generation's json.
    #[must_use]
    pub const fn payload_start(self, count: u32) -> u64 {
        self.header_bytes() + self.entry_bytes() * count as u64
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Legacy => "legacy",
            Self::Xir => "XIR",
        })
    }
}
