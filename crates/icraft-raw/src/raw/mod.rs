//! Raw files: a table of ids and addresses, then the payloads.

mod atomic;
mod checksum;
mod content;
mod error;
mod file;
mod generation;
mod rewrite;
mod sizes;
mod table;
mod write;

pub use checksum::md5_hex;
pub use error::RawError;
pub use file::RawFile;
pub use generation::Generation;
pub use table::RawEntry;
pub use write::{Durability, raw_bytes, write_raw};
