//! Draws what training and quantisation did to the parameters and feature maps of a network of Icraft.

#![forbid(unsafe_code)]

use clap::{Parser, Subcommand};
use examples::arguments::parse_unit;
use examples::drawing::{DrawingFile, render};
use examples::error::{Error, Result, exit};
use examples::icraft::drawing::Histograms;
use examples::icraft::errors::ErrorSplit;
use examples::icraft::feature_maps::DumpArguments;
use examples::icraft::plots::{StageArguments, error_table, total};
use examples::icraft::training::Trained;
use examples::network::find_weights;
use examples::output::{check_outputs, print, write_output};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Draw what became of parameters and feature maps.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// A parameter before and after a stage of training with frozen weights
    Weights(WeightArguments),
    /// A parameter as numbers and as integers
    Raw(RawArguments),
    /// The errors of all parameters, split in a rounding part and a saturation part
    Errors(ErrorArguments),
    /// A dumped feature map as numbers and as integers
    Ftmp(FtmpArguments),
}

/// How a drawing is made.
#[derive(clap::Args)]
struct DrawingArguments {
    /// The drawing to write: .svg or .png
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Bins of the histograms
    #[arg(long, default_value_t = 96, value_parser = clap::value_parser!(u16).range(1..=4096))]
    bins: u16,
    /// Print the figures as JSON
    #[arg(long)]
    json_summary: bool,
}

#[derive(clap::Args)]
struct WeightArguments {
    /// Checkpoint before
    #[arg(long)]
    before: PathBuf,
    /// Checkpoint after
    #[arg(long)]
    after: PathBuf,
    /// Share of the largest magnitudes that was frozen
    #[arg(long, value_parser = parse_unit::<f64>)]
    ratio: f64,
    /// The parameter's name
    #[arg(long)]
    param: String,
    #[command(flatten)]
    drawing: DrawingArguments,
}

#[derive(clap::Args)]
struct RawArguments {
    #[command(flatten)]
    stages: StageArguments,
    /// The parameter's name
    #[arg(long)]
    param: String,
    #[command(flatten)]
    drawing: DrawingArguments,
}

#[derive(clap::Args)]
struct ErrorArguments {
    #[command(flatten)]
    stages: StageArguments,
    /// Print the table as JSON
    #[arg(long)]
    json_summary: bool,
}

#[derive(clap::Args)]
struct FtmpArguments {
    #[command(flatten)]
    dumps: DumpArguments,
    #[command(flatten)]
    drawing: DrawingArguments,
}

fn main() -> ExitCode {
    exit(match &Arguments::parse().what {
        What::Weights(arguments) => weights(arguments),
        What::Raw(arguments) => raw(arguments),
        What::Errors(arguments) => errors(arguments),
        What::Ftmp(arguments) => ftmp(arguments),
    })
}

impl DrawingArguments {
    fn file(&self) -> Result<DrawingFile> {
        DrawingFile::of(&self.out).ok_or_else(|| Error::Argument {
            option: "--out",
            value: self.out.display().to_string(),
            expected: "the name must end in .svg or .png",
        })
    }

    fn check(&self, inputs: &[&Path]) -> Result<()> {
        self.file()?;
        check_outputs(&[&self.out], inputs)
    }

    fn write(&self, drawing: &Histograms) -> Result<()> {
        write_output(&self.out, &render(drawing, self.file()?)?)
    }
}

fn weights(arguments: &WeightArguments) -> Result<()> {
    let WeightArguments { ratio, param, drawing, .. } = arguments;
    let (before, after) = (find_weights(&arguments.before), find_weights(&arguments.after));
    drawing.check(&[&before, &after])?;
    let trained = Trained::read(&before, &after, param, *ratio)?;
    drawing.write(&trained.drawing(drawing.bins.into()))?;
    match drawing.json_summary {
        true => print(serde_json::to_string_pretty(&trained)?),
        false => print(trained),
    }
}

fn raw(arguments: &RawArguments) -> Result<()> {
    let RawArguments { stages, param, drawing } = arguments;
    let stages = stages.open()?;
    drawing.check(&stages.inputs())?;
    let compared = stages.compare(param)?;
    drawing.write(&compared.drawing(drawing.bins.into()))?;
    match drawing.json_summary {
        true => print(serde_json::to_string_pretty(&compared.error)?),
        false => print(sentence(param, &compared.error)),
    }
}

fn errors(arguments: &ErrorArguments) -> Result<()> {
    let rows = arguments.stages.open()?.errors()?;
    match arguments.json_summary {
        true => print(serde_json::to_string_pretty(&json!({ "parameters": rows, "all": total(&rows) }))?),
        false => print(error_table(&rows)),
    }
}

fn ftmp(arguments: &FtmpArguments) -> Result<()> {
    let FtmpArguments { dumps, drawing } = arguments;
    let [float, fixed] = dumps.dumps();
    let mut inputs = vec![float.as_path(), &fixed, &dumps.csv];
    inputs.extend(dumps.json.as_deref());
    drawing.check(&inputs)?;
    let compared = dumps.compare()?;
    drawing.write(&compared.drawing(drawing.bins.into()))?;
    match drawing.json_summary {
        true => print(serde_json::to_string_pretty(&compared)?),
        false => print(sentence(&format!("feature map {}", compared.id), &compared.error)),
    }
}

fn sentence(name: &str, error: &ErrorSplit) -> String {
    let [total, rounding, saturation] =
        [error.relative_l1, error.rounding, error.saturation].map(|part| 100.0 * part);
    format!(
        "{name}: relative L1 error {total:.4} %, {rounding:.4} % by rounding, {saturation:.4} % by saturation of {} of {} elements",
        error.saturated, error.elements
    )
}
