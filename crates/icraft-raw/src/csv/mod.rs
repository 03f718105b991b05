//! Logs of the quantiser: `raws.csv`, `ftmps.csv` and `mix_config.csv`.
//!
//! The later generation also takes them as input (`raw_csv`, `ftmp_csv`, `mix_precision`), so what is written here steers
//! its saturation points and precisions.

mod error;
mod ftmps;
mod mix;
mod profile;
mod raws;
mod table;
mod vector;
mod write;

pub use error::{CsvError, NumberFault};
pub use ftmps::{FtmpRow, read_ftmps, read_ftmps_file, write_ftmps};
pub use mix::{MixRow, ParamsAndOutput, read_mix_config, read_mix_config_file, write_mix_config};
pub use profile::{BiasRule, FtmpColumns, Profile, RawColumns, ScaleRule};
pub use raws::{RawRow, read_raws, read_raws_file, write_raws};

use std::path::Path;

fn access(path: &Path) -> Result<String, CsvError> {
    std::fs::read_to_string(path).map_err(|cause| CsvError::File { path: path.to_owned(), cause })
}
