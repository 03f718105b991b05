//! Train a detector with its quantisation, with steps that are learned (LSQ) or fixed.

#![forbid(unsafe_code)]

use clap::Parser;
use examples::error::exit;
use examples::tuning::{QatArguments, qat};
use std::process::ExitCode;

/// Train a detector with its quantisation, with steps that are learned (LSQ) or fixed.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    qat: QatArguments,
}

fn main() -> ExitCode {
    exit(qat(&Arguments::parse().qat))
}
