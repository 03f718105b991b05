//! Makes the files in `fixtures/demo`: model, images, annotations. The result is the same on every machine.

#![forbid(unsafe_code)]

use clap::Parser;
use examples::demo;
use examples::error::{Error, Result, exit};
use examples::images::Picture;
use examples::network::named_graph;
use examples::output::{create_folder, print, write_atomic};
use image::{ImageEncoder, codecs::png};
use nn_graph::write_safetensors;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

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
    let annotations = annotations(&names, &images, &truth);
    write_atomic(&folder.join("annotations.json"), serde_json::to_string(&annotations)?.as_bytes())?;
    let boxes: usize = truth.iter().map(Vec::len).sum();
    print(format_args!("{}: {} images, {boxes} boxes", folder.display(), images.len()))
}

fn draw_all(set: &str, count: usize) -> Vec<(String, Picture)> {
    let one = |i| (format!("{set}-{i:02}.png"), demo::draw(&format!("{set}-{i:02}")));
    (0..count).map(one).collect()
}

fn save_all(folder: &Path, pictures: &[(String, Picture)]) -> Result<()> {
    create_folder(folder)?;
    for (name, picture) in pictures {
        let path = folder.join(name);
        let mut bytes = Vec::new();
        let (compression, filter) = (png::CompressionType::Best, png::FilterType::Adaptive);
        png::PngEncoder::new_with_quality(&mut bytes, compression, filter)
            .write_image(
                &picture.pixels,
                picture.size.width as u32,
                picture.size.height as u32,
                image::ExtendedColorType::Rgb8,
            )
            .map_err(|source| Error::Image { path: path.clone(), source })?;
        write_atomic(&path, &bytes)?;
    }
    Ok(())
}

fn annotations(
    names: &[String],
    images: &[Picture],
    truth: &[Vec<yolo_model::Detection>],
) -> serde_json::Value {
    let image = |(i, (name, picture)): (usize, (&String, &Picture))| json!({ "id": i + 1, "file_name": name, "height": picture.size.height, "width": picture.size.width });
    let mut rows = Vec::new();
    for (i, found) in truth.iter().enumerate() {
        for d in found {
            let [x1, y1, x2, y2] = d.bbox.map(|v| (f64::from(v) * 100.0).round() / 100.0);
            let (w, h) = (x2 - x1, y2 - y1);
            rows.push(json!({
                "id": rows.len() + 1, "image_id": i + 1, "category_id": d.class + 1,
                "bbox": [x1, y1, (w * 100.0).round() / 100.0, (h * 100.0).round() / 100.0],
                "area": (w * h * 100.0).round() / 100.0, "iscrowd": 0,
            }));
        }
    }
    let category = |(i, name): (usize, &&str)| json!({ "id": i + 1, "name": name });
    json!({
        "images": names.iter().zip(images).enumerate().map(image).collect::<Vec<_>>(),
        "annotations": rows,
        "categories": demo::CLASS_NAMES.iter().enumerate().map(category).collect::<Vec<_>>(),
    })
}
