//! Detects on an image or a folder, draws the boxes, and can dump every feature map.

#![forbid(unsafe_code)]

use clap::Parser;
use examples::arguments::{parse_image_size, parse_unit};
use examples::error::{Error, Result, exit};
use examples::icraft::dump::Dump;
use examples::images::{decode, list_images, prepare, write_png};
use examples::network::{Network, find_weights};
use examples::npy::npy;
use examples::output::{create_folder, print, write_atomic};
use examples::workers::skip_bad;
use image::codecs::png::CompressionType;
use ptq::Fusion;
use quant_core::Executor;
use serde_json::json;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use yolo_model::{Detection, ImageSize, NmsParams, draw_detections};

/// Detect objects and draw their boxes.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Network saved by `quantize`, json of `icraft-compile`, or a checkpoint
    #[arg(long)]
    weights: PathBuf,
    /// Architecture of the checkpoint: a yaml file or a built-in name
    #[arg(long)]
    model: Option<String>,
    /// Image, or folder of images
    #[arg(long)]
    source: PathBuf,
    /// Detections need a score above this
    #[arg(long, default_value = "0.25", value_parser = parse_unit::<f32>)]
    conf: f32,
    /// Of two boxes of a class that overlap more than this, the better stays
    #[arg(long, default_value = "0.45", value_parser = parse_unit::<f32>)]
    iou: f32,
    /// Size of the network's input: SIDE or HEIGHTxWIDTH [default: the saved network's, else 640]
    #[arg(long, value_parser = parse_image_size)]
    imgsz: Option<ImageSize>,
    /// Write every feature map as OUT/NAME/TENSOR.npy, with a tensors.json of shapes, scales and zero points
    #[arg(long)]
    dump_features: bool,
    /// Write every feature map of a network of Icraft as OUT/NAME/ID.ftmp: SFB (real numbers, f32) or SQB (integers)
    #[arg(long, value_name = "FORM", conflicts_with_all = ["dump_features", "model", "imgsz"])]
    dump_ftmps: Option<String>,
    /// Go on without images that can't be read
    #[arg(long)]
    skip_bad: bool,
    /// Folder for the drawings (PNG)
    #[arg(long, default_value = "out/detect")]
    out: PathBuf,
    /// Print the detections as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<()> {
    let fusion = if arguments.dump_features { Fusion::EveryTensor } else { Fusion::Fused };
    let weights = find_weights(&arguments.weights);
    let (dumps, network) = match &arguments.dump_ftmps {
        Some(form) => {
            let (dumps, network) = Dump::new(&weights, form)?;
            (Some(dumps), network)
        }
        None => (None, Network::load(&weights, arguments.model.as_deref(), arguments.imgsz, fusion)?),
    };
    let folder = arguments.source.is_dir();
    let paths = if folder { list_images(&arguments.source)? } else { vec![arguments.source.clone()] };
    let nms = NmsParams { confidence: arguments.conf, iou: arguments.iou, ..NmsParams::default() };
    let mut executor = network.executor()?;
    let names = output_names(&paths);
    check_targets(&paths, &names, &arguments.out)?;
    let (mut reports, mut read) = (Vec::new(), 0);
    for (path, name) in paths.iter().zip(&names) {
        let Some(mut picture) = skip_bad(decode(path), arguments.skip_bad)? else { continue };
        read += 1;
        let (input, transform) = prepare(&picture, network.size)?;
        create_folder(&arguments.out)?;
        if let Some(dumps) = &dumps {
            dumps.run(&network, &mut executor, &input, &arguments.out.join(name))?;
        } else if arguments.dump_features {
            dump(&network, &mut executor, &input, &arguments.out.join(name))?;
        } else {
            executor.run(&input)?;
        }
        let mut detections = network.detections(&executor, &nms)?;
        detections.iter_mut().for_each(|d| d.bbox = transform.to_source(d.bbox));
        draw_detections(&mut picture.pixels, picture.size, &detections, &network.class_names)?;
        write_png(&arguments.out.join(format!("{name}.png")), &picture, CompressionType::default())?;
        if arguments.json {
            reports.push(report(path, &detections, &network.class_names));
        } else {
            print_detections(path, &detections, &network.class_names)?;
        }
    }
    if read == 0 {
        return Err(Error::AllBad { count: paths.len() });
    }
    if arguments.json {
        print(serde_json::to_string_pretty(&reports)?)?;
    }
    Ok(())
}

/// A name for the output of each image: its own without extension, or with it where two images would get the same.
fn output_names(paths: &[PathBuf]) -> Vec<String> {
    let text = |name: Option<&OsStr>| name.unwrap_or_default().to_string_lossy().into_owned();
    let stems: Vec<String> = paths.iter().map(|path| text(path.file_stem())).collect();
    let unique = |stem: &String| stems.iter().filter(|other| *other == stem).count() == 1;
    let name =
        |(stem, path): (&String, &PathBuf)| if unique(stem) { stem.clone() } else { text(path.file_name()) };
    stems.iter().zip(paths).map(name).collect()
}

/// No drawing may replace an image that is read.
fn check_targets(paths: &[PathBuf], names: &[String], out: &Path) -> Result<()> {
    let real = |path: &Path| path.canonicalize().ok();
    let sources: BTreeSet<PathBuf> = paths.iter().filter_map(|path| real(path)).collect();
    let replaced =
        |name: &&String| real(&out.join(format!("{name}.png"))).is_some_and(|path| sources.contains(&path));
    match names.iter().find(replaced) {
        Some(name) => Err(Error::Argument {
            option: "--out",
            value: out.join(name).with_extension("png").display().to_string(),
            expected: "this source image would be replaced by a drawing; choose another folder",
        }),
        None => Ok(()),
    }
}

fn class_name(names: &[String], class: usize) -> &str {
    names.get(class).map_or("?", String::as_str)
}

fn report(path: &Path, detections: &[Detection], names: &[String]) -> serde_json::Value {
    let row =
        |d: &Detection| json!({ "class": class_name(names, d.class), "score": d.score, "xyxy": d.bbox });
    json!({ "image": path.display().to_string(), "detections": detections.iter().map(row).collect::<Vec<_>>() })
}

fn print_detections(path: &Path, detections: &[Detection], names: &[String]) -> Result<()> {
    print(format_args!("{}: {} detections", path.display(), detections.len()))?;
    for d in detections {
        let [x1, y1, x2, y2] = d.bbox;
        let class = class_name(names, d.class);
        print(format_args!("  {class:<16} {:.3}  [{x1:.1}, {y1:.1}, {x2:.1}, {y2:.1}]", d.score))?;
    }
    Ok(())
}

/// Runs the network and writes every tensor as stored: f32, or integers with their quantiser in `tensors.json`.
fn dump(network: &Network, executor: &mut Executor<'_>, input: &[f32], folder: &Path) -> Result<()> {
    create_folder(folder)?;
    let shapes = executor.shapes().to_vec();
    let mut index = Vec::new();
    let mut failure = None;
    executor.run_with(input, |tensor, values| {
        let info = &network.program.tensors()[tensor];
        // The name comes from a file, so it must not lead out of the folder.
        let file = format!("{}.npy", info.name.replace(['/', '\\'], "_"));
        let written = write_atomic(&folder.join(&file), &npy(&shapes[tensor], values));
        failure = failure.take().or(written.err());
        let params = info.format.params();
        index.push(json!({
            "name": info.name, "file": file, "shape": shapes[tensor],
            "scale": params.map(|p| p.scale), "zero_point": params.map(|p| p.zero_point),
        }));
    })?;
    match failure {
        Some(error) => Err(error),
        None => write_atomic(&folder.join("tensors.json"), serde_json::to_string_pretty(&index)?.as_bytes()),
    }
}
