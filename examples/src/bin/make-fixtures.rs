//! Makes the files in `fixtures/demo`: model, images, annotations. The result is the same on every machine.

#![forbid(unsafe_code)]

use clap::Parser;
use examples::demo;
use examples::drawn::{Annotated, coco};
use examples::error::{Error, Result, exit};
use examples::images::{Picture, write_png};
use examples::network::named_graph;
use examples::output::{create_folder, print, write_atomic};
use image::codecs::png::CompressionType;
use nn_graph::write_safetensors;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use yolo_model::Detection;

/// Make the demonstration's files again.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Folder that holds model.yaml, and gets the rest
    #[arg(long, default_value = "fixtures/demo")]
    folder: PathBuf,
    /// Images with annotations
    #[arg(long, default_value_t = 24)]
    images: usize,
    /// Images for calibration
    #[arg(long, default_value_t = 12)]
    calibration: usize,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<()> {
    let folder = &arguments.folder;
    let graph = named_graph(&folder.join("model.yaml").display().to_string())?;
    let calibration = draw_all("calibration", arguments.calibration);
    let images = draw_all("images", arguments.images);
    let pictures = |list: Vec<(String, Picture)>| list.into_iter().unzip::<_, _, Vec<String>, Vec<Picture>>();
    save_all(&folder.join("calibration"), &calibration)?;
    save_all(&folder.join("images"), &images)?;
    let (_, calibration) = pictures(calibration);
    let (names, images) = pictures(images);
    let (params, model) = demo::build(&graph, &calibration)?;
    let weights = folder.join("model.safetensors");
    write_safetensors(&weights, &params, &BTreeMap::new()).map_err(|e| Error::model(weights)(e.into()))?;
    let truth = demo::truth(&model, &images)?;
    let annotated = |found: Vec<Detection>| {
        let object = |d: Detection| Annotated { class: d.class, bbox: d.bbox.map(f64::from), area: None };
        found.into_iter().map(object).collect()
    };
    let boxes: usize = truth.iter().map(Vec::len).sum();
    let rows = names.into_iter().zip(images).zip(truth);
    let rows: Vec<_> = rows.map(|((name, picture), found)| (name, picture, annotated(found))).collect();
    let annotations = serde_json::to_string(&coco(&rows, &demo::CLASS_NAMES))?;
    write_atomic(&folder.join("annotations.json"), annotations.as_bytes())?;
    print(format_args!("{}: {} images, {boxes} boxes", folder.display(), rows.len()))
}

fn draw_all(set: &str, count: usize) -> Vec<(String, Picture)> {
    let one = |i| (format!("{set}-{i:02}.png"), demo::draw(&format!("{set}-{i:02}")));
    (0..count).map(one).collect()
}

fn save_all(folder: &Path, pictures: &[(String, Picture)]) -> Result<()> {
    create_folder(folder)?;
    pictures
        .iter()
        .try_for_each(|(name, picture)| write_png(&folder.join(name), picture, CompressionType::Best))
}
