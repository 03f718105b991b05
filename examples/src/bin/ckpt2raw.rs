//! Puts the parameters of a checkpoint into a raw file of Icraft.

#![forbid(unsafe_code)]

use clap::Parser;
use examples::error::{Error, Result, exit};
use examples::icraft::arguments::PairArguments;
use examples::icraft::checkpoints::{Quantization, rewrite};
use examples::icraft::names::check_finite;
use examples::icraft::output::write_both;
use examples::icraft::report::RawReport;
use examples::network::find_weights;
use examples::output::{check_outputs, print};
use icraft_raw::{IntegerRange, TieRounding};
use nn_graph::Checkpoint;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write a copy of a json and its raw file with the parameters of a checkpoint.
///
/// Types, scales, table and addresses stay; integers are rounded anew where the checkpoint's numbers are others than theirs.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Checkpoint, BatchNorm folded: safetensors, .pt, .pth
    #[arg(long)]
    ckpt: PathBuf,
    #[command(flatten)]
    pair: PairArguments,
    /// The json to write: the given one with a new checksum
    #[arg(long, value_name = "FILE.json")]
    out_json: PathBuf,
    /// The raw file to write
    #[arg(long, value_name = "FILE.raw")]
    out_raw: PathBuf,
    /// Where halves are rounded to
    #[arg(long, value_enum, default_value = "half-away")]
    rounding: RoundingArgument,
    /// Integers used for numbers that are new
    #[arg(long, value_enum, default_value = "symmetric")]
    range: RangeArgument,
    /// Print what was done as JSON
    #[arg(long)]
    json_summary: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum RoundingArgument {
    /// Away from zero, as the compiler does
    HalfAway,
    /// To even, as PyTorch does
    HalfEven,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum RangeArgument {
    /// From -(2^(b-1) - 1), as the compiler does
    Symmetric,
    /// From -2^(b-1)
    Full,
}

impl Arguments {
    fn quantization(&self) -> Quantization {
        let ties = match self.rounding {
            RoundingArgument::HalfAway => TieRounding::HalfAway,
            RoundingArgument::HalfEven => TieRounding::HalfEven,
        };
        let range = match self.range {
            RangeArgument::Symmetric => IntegerRange::Symmetric,
            RangeArgument::Full => IntegerRange::Full,
        };
        Quantization { ties, range }
    }
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<()> {
    let checkpoint_path = find_weights(&arguments.ckpt);
    let mut inputs: Vec<&Path> = arguments.pair.inputs();
    inputs.push(&checkpoint_path);
    check_outputs(&[&arguments.out_json, &arguments.out_raw], &inputs)?;
    let (pair, _, tensors) = arguments.pair.read()?;
    let checkpoint =
        Checkpoint::open(&checkpoint_path).map_err(|e| Error::model(&checkpoint_path)(e.into()))?;
    check_finite(&checkpoint_path, &checkpoint)?;
    let rewritten = rewrite(&pair, &tensors, &checkpoint.params, &checkpoint_path, arguments.quantization())?;
    let raw = (arguments.out_raw.as_path(), rewritten.raw.as_bytes());
    write_both(raw, (&arguments.out_json, rewritten.json.as_bytes()))?;
    let report = RawReport::new(&pair, &checkpoint.params, &rewritten);
    match arguments.json_summary {
        true => print(serde_json::to_string_pretty(&report)?),
        false => print(report),
    }
}
