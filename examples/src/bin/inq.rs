//! Quantise a detector incrementally: freeze weights on their grid, share by share, and train the rest.

#![forbid(unsafe_code)]

use clap::Parser;
use examples::error::exit;
use examples::tuning::{InqArguments, inq};
use std::process::ExitCode;

/// Quantise a detector incrementally: freeze weights on their grid, share by share, and train the rest.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    inq: InqArguments,
}

fn main() -> ExitCode {
    exit(inq(&Arguments::parse().inq))
}
