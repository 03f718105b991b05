//! How fast a network runs, by precision, number of threads and size.

#![forbid(unsafe_code)]

use clap::Parser;
use examples::arguments::{parse_image_size, thread_count};
use examples::bench::{BenchPrecision, Given, Measured, Turns, json_rows, networks, table};
use examples::demo;
use examples::error::{Result, exit};
use examples::model_inputs::ModelInputs;
use examples::output::{note, print};
use quant_core::Isa;
use std::path::PathBuf;
use std::process::ExitCode;
use yolo_model::ImageSize;

/// Time the forward pass of a network by precision, number of threads and size, beside what this machine can do at most.
///
/// Without --weights: the assets' yolov5n where YOLO_ASSETS is set, else the small demonstration model in fixtures/demo.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Checkpoint, or network saved by `quantize`; a bare name is also looked for in $YOLO_ASSETS/weights
    #[arg(long)]
    weights: Option<PathBuf>,
    /// Architecture of the checkpoint: a yaml file or a built-in name
    #[arg(long)]
    model: Option<String>,
    /// Precisions of a checkpoint [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    precision: Vec<BenchPrecision>,
    /// Folder of images to calibrate on, the first 8 by name [default: $YOLO_ASSETS/coco/train128]
    #[arg(long)]
    calibration: Option<PathBuf>,
    /// Numbers of threads; 0 for all cores
    #[arg(long, value_name = "LIST", default_value = "1", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(..=1024))]
    threads: Vec<u16>,
    /// Sizes of the network's input: SIDE or HEIGHTxWIDTH [default: the saved network's, else 640; the demonstration's own]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse_image_size)]
    imgsz: Vec<ImageSize>,
    /// Runs that count
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: u32,
    /// Also tell what every layer costs
    #[arg(long)]
    layers: bool,
    /// Print a JSON list instead of tables
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<()> {
    let first_size = arguments.imgsz.first().copied();
    let inputs = ModelInputs::find(arguments.weights.as_deref(), arguments.model.as_deref(), first_size);
    if inputs.demonstration {
        note(demo::NOTE);
    }
    let networks = networks(Given {
        inputs: &inputs,
        precisions: &arguments.precision,
        calibration: arguments.calibration.clone(),
        size: first_size,
    })?;
    let sizes = match arguments.imgsz.as_slice() {
        [] => networks.iter().take(1).map(|timed| timed.network.size).collect(),
        sizes => sizes.to_vec(),
    };
    let threads: Vec<usize> = arguments.threads.iter().map(|&threads| thread_count(threads.into())).collect();
    let runs = arguments.runs as usize;
    let (turns, peaks) = Turns::new(&networks, &threads, &sizes)?.run(runs, arguments.layers)?;
    let measured: Vec<Measured> = turns.iter().map(|turn| Measured::new(turn, &peaks)).collect();
    let name = inputs.weights.file_stem().unwrap_or_default().to_string_lossy();
    let instructions = Isa::detect().name();
    if arguments.json {
        print(serde_json::to_string_pretty(&json_rows(&name, instructions, &measured))?)
    } else {
        print(table(&name, instructions, runs, &measured))
    }
}
