//! Average precision of a saved network, float or quantised, or of a checkpoint.

#![forbid(unsafe_code)]

use clap::Parser;
use examples::arguments::{given_or_asset, parse_image_size, parse_unit, thread_count};
use examples::dataset::Dataset;
use examples::error::{Error, Result, exit};
use examples::network::{Network, find_weights};
use examples::output::{check_writable, print, write_atomic};
use examples::run::{Options, evaluate};
use ptq::Fusion;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use yolo_model::{ImageSize, NmsParams};

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
    /// Folder of images [default: $YOLO_ASSETS/coco/val206]
    #[arg(long)]
    images: Option<PathBuf>,
    /// Their annotations, COCO json [default: $YOLO_ASSETS/coco/instances_val206.json]
    #[arg(long)]
    annotations: Option<PathBuf>,
    /// Detections need a score above this
    #[arg(long, default_value = "0.001", value_parser = parse_unit)]
    conf: f32,
    /// Of two boxes of a class that overlap more than this, the better stays
    #[arg(long, default_value = "0.6", value_parser = parse_unit)]
    iou: f32,
    /// Size of the network's input: SIDE or HEIGHTxWIDTH [default: the saved network's, else 640]
    #[arg(long, value_parser = parse_image_size)]
    imgsz: Option<ImageSize>,
    /// Threads, of one core each; 0 for all cores
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Go on without images that can't be read or are not annotated, and count them
    #[arg(long)]
    skip_bad: bool,
    /// Write the detections as a COCO results file
    #[arg(long)]
    save_json: Option<PathBuf>,
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
    let images = given_or_asset(arguments.images.clone(), "--images", "coco/val206")?;
    let annotations =
        given_or_asset(arguments.annotations.clone(), "--annotations", "coco/instances_val206.json")?;
    let dataset = Dataset::open(&images, &annotations, arguments.skip_bad)?;
    let category_ids = dataset.category_ids(&network.class_names, &annotations)?;
    let nms = NmsParams { confidence: arguments.conf, iou: arguments.iou, ..NmsParams::default() };
    let options = Options { nms, threads: thread_count(arguments.threads), skip_bad: arguments.skip_bad };
    let (outcomes, skipped) = evaluate(&[&network], &dataset, &category_ids, &options)?;
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
        print(serde_json::to_string_pretty(&report)?)
    } else {
        print(outcome.summary)?;
        print(format_args!(
            "{} images ({skipped} skipped), {} detections, {:.1} ms per image on one core",
            dataset.images.len() - skipped,
            outcome.detections.len(),
            outcome.ms_per_image
        ))
    }
}
