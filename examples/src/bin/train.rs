//! Trains detectors.

#![forbid(unsafe_code)]

use clap::Parser;
use examples::error::exit;
use examples::training::{TrainArguments, train};
use std::process::ExitCode;

/// Train a detector, from random parameters or from a checkpoint, as YOLOv5 does.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    train: TrainArguments,
}

fn main() -> ExitCode {
    exit(train(&Arguments::parse().train))
}
