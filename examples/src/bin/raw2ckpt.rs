//! Turns a raw file of Icraft into a checkpoint that PyTorch's names lead through.

#![forbid(unsafe_code)]

use clap::Parser;
use examples::error::{Error, Result, exit};
use examples::icraft::arguments::PairArguments;
use examples::icraft::checkpoints::to_params;
use examples::icraft::report::CheckpointReport;
use examples::output::{check_outputs, create_folder, print};
use nn_graph::write_safetensors;
use std::path::PathBuf;
use std::process::ExitCode;

/// Turn a json and its raw file, float or quantised, into a checkpoint.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    pair: PairArguments,
    /// The checkpoint to write
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    /// Print what was done as JSON
    #[arg(long)]
    json_summary: bool,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<()> {
    check_outputs(&[&arguments.out], &arguments.pair.inputs())?;
    let (pair, known, tensors) = arguments.pair.read()?;
    let mut params = to_params(&pair, &tensors)?;
    let others = known.names.as_ref().map(|names| names.others.clone()).unwrap_or_default();
    let report = CheckpointReport::new(&pair, &tensors, known.names.as_ref());
    params.extend(others);
    arguments.out.parent().map_or(Ok(()), create_folder)?;
    write_safetensors(&arguments.out, &params, &report.metadata())
        .map_err(|error| Error::model(&arguments.out)(error.into()))?;
    match arguments.json_summary {
        true => print(serde_json::to_string_pretty(&report)?),
        false => print(report),
    }
}
