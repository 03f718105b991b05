//! Draws pictures of shapes with annotations. The result is the same on every machine.

#![forbid(unsafe_code)]

use clap::Parser;
use examples::drawn::{Annotated, coco};
use examples::error::{Result, exit};
use examples::images::{Picture, write_png};
use examples::output::{check_writable, create_folder, print, write_atomic};
use examples::progress::bar;
use examples::shapes::{CLASS_NAMES, draw};
use image::codecs::png::CompressionType;
use rayon::prelude::*;
use std::path::PathBuf;
use std::process::ExitCode;

/// Draw pictures of shapes, with annotations as COCO has them: a task for small detectors.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Folder for images/ and annotations.json
    #[arg(long)]
    out: PathBuf,
    /// How many
    #[arg(long, default_value_t = 40)]
    images: usize,
    /// Side of a picture in pixels
    #[arg(long, default_value_t = 192, value_parser = clap::value_parser!(u16).range(32..=2048))]
    side: u16,
    /// Pictures of one seed are others than those of another
    #[arg(long, default_value = "shapes")]
    seed: String,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<()> {
    check_writable(&arguments.out)?;
    let folder = arguments.out.join("images");
    create_folder(&folder)?;
    let drawing = bar(arguments.images, "drawing");
    let digits = arguments.images.saturating_sub(1).to_string().len().max(2);
    let pictures = (0..arguments.images).into_par_iter().map(|index| {
        let (picture, objects) = draw(&format!("{}-{index}", arguments.seed), arguments.side.into());
        let name = format!("{}-{index:0digits$}.png", arguments.seed);
        write_png(&folder.join(&name), &picture, CompressionType::Best)?;
        drawing.inc(1);
        let annotated = |object: examples::shapes::Object| Annotated {
            class: object.class,
            bbox: object.bbox,
            area: Some(object.area as f64),
        };
        Ok((name, picture, objects.into_iter().map(annotated).collect()))
    });
    let pictures: Vec<(String, Picture, Vec<Annotated>)> = pictures.collect::<Result<_>>()?;
    drawing.finish_and_clear();
    let annotations = serde_json::to_string(&coco(&pictures, &CLASS_NAMES))?;
    write_atomic(&arguments.out.join("annotations.json"), annotations.as_bytes())?;
    let objects: usize = pictures.iter().map(|picture| picture.2.len()).sum();
    print(format_args!("{}: {} pictures, {objects} objects", arguments.out.display(), pictures.len()))
}
