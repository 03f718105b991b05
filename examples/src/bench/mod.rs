//! How fast networks run: for the program `bench`, and `val --profile`.

mod layers;
mod measured;
mod networks;
mod peaks;
mod precision;
mod products;
mod report;
mod turns;

pub use layers::{LayerRow, layer_rows, layer_table};
pub use measured::Measured;
pub use networks::{Given, TimedNetwork, networks};
pub use peaks::Peaks;
pub use precision::BenchPrecision;
pub use products::{Products, products};
pub use report::{json_rows, table};
pub use turns::{Turn, Turns};
