//! Average precision of a saved network, float or quantised, or of a checkpoint.

#![forbid(unsafe_code)]

use clap::Parser;
use examples::arguments::{EvaluationArguments, parse_image_size};
use examples::bench::{layer_rows, layer_table};
use examples::dataset::Dataset;
use examples::error::{Error, Result, exit};
use examples::network::{Network, find_weights};
use examples::output::{check_writable, note, print, write_atomic};
use examples::run::{Evaluated, Options, evaluate};
use ptq::Fusion;
use quant_core::StepTimes;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use yolo_model::ImageSize;

/// Evaluate a network on annotated images: the twelve COCO figures.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Network saved by `quantize`, or a checkpoint
    #[arg(long)]
    weights: PathBuf,
    /// Architecture of the checkpoint: a yaml file or a built-in name
    #[arg(long)]
    model: Option<String>,
    #[command(flatten)]
    evaluation: EvaluationArguments,
    /// Size of the network's input: SIDE or HEIGHTxWIDTH [default: the saved network's, else 640]
    #[arg(long, value_parser = parse_image_size)]
    imgsz: Option<ImageSize>,
    /// Write the detections as a COCO results file
    #[arg(long)]
    save_json: Option<PathBuf>,
    /// Also tell what every layer costs, as the mean over images; on stderr with --json
    #[arg(long)]
    profile: bool,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<()> {
    let path = find_weights(&arguments.weights);
    let network = Network::load(&path, arguments.model.as_deref(), arguments.imgsz, Fusion::Fused)?;
    network.check_size()?;
    if let Some(folder) = arguments.save_json.as_deref().and_then(Path::parent) {
        check_writable(folder)?;
    }
    let (images, annotations) = arguments.evaluation.paths()?;
    let dataset = Dataset::open(&images, &annotations, arguments.evaluation.skip_bad)?;
    let category_ids = dataset.category_ids(&network.class_names, &annotations)?;
    let options = Options { profile: arguments.profile, ..arguments.evaluation.options() };
    let Evaluated { outcomes, skipped, image_ids, times } =
        evaluate(&[&network], &dataset, &category_ids, &options)?;
    let outcome = &outcomes[0];
    if let Some(path) = &arguments.save_json {
        let mut bytes = Vec::new();
        outcome.detections.write_json(&mut bytes).map_err(Error::coco(path))?;
        write_atomic(path, &bytes)?;
    }
    if arguments.json {
        let report = json!({
            "stats": outcome.summary.to_array(),
            "detections": outcome.detections.len(),
            "images": dataset.images.len() - skipped,
            "images_skipped": skipped,
            "ms_per_image": outcome.ms_per_image,
        });
        print(serde_json::to_string_pretty(&report)?)?;
    } else {
        print(outcome.summary)?;
        print(format_args!(
            "{} images ({skipped} skipped), {} detections, {:.1} ms per image on one core",
            dataset.images.len() - skipped,
            outcome.detections.len(),
            outcome.ms_per_image
        ))?;
    }
    match times.first().map(|times| profile(&network, times, image_ids.len())).transpose()? {
        Some(table) if arguments.json => note(table),
        Some(table) => print(format_args!("\n{table}"))?,
        None => {}
    }
    Ok(())
}

/// The table of layers, means over all images.
fn profile(network: &Network, times: &StepTimes, images: usize) -> Result<String> {
    let mean = |time: Duration| time.as_secs_f64() * 1e3 / images as f64;
    let rows = layer_rows(&network.executor()?, |step| mean(times.steps[step]), mean(times.remainder));
    Ok(layer_table(&rows))
}
