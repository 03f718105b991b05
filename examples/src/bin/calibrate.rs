//! Collects a detector's calibration statistics in a file, in one go or in parts, shows them, and tells whether they are enough.

#![forbid(unsafe_code)]

use clap::Parser;
use examples::arguments::{ConcatArgument, parse_image_size, thread_count};
use examples::calibration::{Calibration, calibrate, listed};
use examples::calibration_file::{SavedCalibration, manifest, merge};
use examples::calibration_table::CalibrationTable;
use examples::coverage_table::{coverage_table, judge};
use examples::demo;
use examples::error::{Error, Result, exit_with};
use examples::images::first_images;
use examples::model_inputs::ModelInputs;
use examples::network::Model;
use examples::output::{check_outputs, note, print, sha256, write_output};
use examples::shards::Shard;
use ptq::{CalibrationFile, CalibrationImage, Placement, PlacementOptions};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use yolo_model::ImageSize;

/// Collect calibration statistics for `quantize --calibration-file`, merge those of several parts, show them, or tell whether they are enough.
///
/// Without --weights: the assets' yolov5n where YOLO_ASSETS is set, else the small demonstration model in fixtures/demo.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Checkpoint (.pt, .pth, .torchscript, .safetensors); a bare name is also looked for in $YOLO_ASSETS/weights
    #[arg(long)]
    weights: Option<PathBuf>,
    /// Architecture: a yaml file or a built-in name; not needed for checkpoints that describe theirs
    #[arg(long)]
    model: Option<String>,
    /// Folder of the images to calibrate on [default: $YOLO_ASSETS/coco/train128]
    #[arg(long)]
    calibration: Option<PathBuf>,
    /// Calibrate on at most this many images, the first by name
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    num_calib: Option<u32>,
    /// Size of the network's input: SIDE or HEIGHTxWIDTH [default: 640; the demonstration's own]
    #[arg(long, value_parser = parse_image_size)]
    imgsz: Option<ImageSize>,
    /// What happens where branches with different ranges are concatenated: as `quantize` will be told
    #[arg(long, value_enum, default_value = "tie-exclusive")]
    concat: ConcatArgument,
    /// Calibrate only on the I-th of N parts of the images, for --merge
    #[arg(long, value_name = "I/N")]
    shard: Option<String>,
    /// Threads, of one core each; 0 for all cores
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Go on without images that can't be read, and count them
    #[arg(long)]
    skip_bad: bool,
    /// Join these files, of parts that share no image
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["weights", "model", "calibration",
        "num_calib", "imgsz", "concat", "shard", "threads", "skip_bad"])]
    merge: Vec<PathBuf>,
    /// Show what a file tells of every tensor
    #[arg(long, value_name = "FILE", group = "view", conflicts_with_all = ["merge", "weights", "model", "calibration",
        "num_calib", "imgsz", "concat", "shard", "skip_bad", "out"])]
    show: Option<PathBuf>,
    /// Tell whether a file's images were enough, and which tensors' ranges grow most with more of them
    #[arg(long, value_name = "FILE", group = "view", conflicts_with_all = ["merge", "weights", "model", "calibration",
        "num_calib", "imgsz", "concat", "shard", "threads", "skip_bad", "out"])]
    coverage: Option<PathBuf>,
    /// With --coverage: exit code 1 if they were not
    #[arg(long, requires = "coverage")]
    strict: bool,
    /// With --show or --coverage: print JSON instead of a table
    #[arg(long, requires = "view")]
    json: bool,
    /// The file to write
    #[arg(long, value_name = "FILE", default_value = "out/calibration.json")]
    out: PathBuf,
}

fn main() -> ExitCode {
    exit_with(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(file) = &arguments.coverage {
        return coverage(file, arguments);
    }
    match &arguments.show {
        Some(file) => show(file, arguments),
        None if arguments.merge.is_empty() => save(&arguments.out, &collect(arguments)?),
        None => merge_parts(arguments),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn coverage(path: &Path, arguments: &Arguments) -> Result<ExitCode> {
    let file = SavedCalibration::read(path)?;
    let coverage = Calibration::from(&file.content).coverage();
    if arguments.json {
        print(serde_json::to_string_pretty(&coverage)?)?;
    } else {
        print(coverage_table(&coverage))?;
    }
    Ok(judge(&coverage, arguments.strict).unwrap_or(ExitCode::SUCCESS))
}

fn show(path: &Path, arguments: &Arguments) -> Result<()> {
    let file = SavedCalibration::read(path)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(thread_count(arguments.threads)).build()?;
    let table = pool.install(|| CalibrationTable::new(&file));
    if arguments.json { print(serde_json::to_string_pretty(&table)?) } else { print(table.text()) }
}

fn merge_parts(arguments: &Arguments) -> Result<()> {
    let parts: Vec<&Path> = arguments.merge.iter().map(PathBuf::as_path).collect();
    check_outputs(&[&arguments.out], &parts)?;
    save(&arguments.out, &merge(&arguments.merge)?)
}

fn save(out: &Path, file: &CalibrationFile) -> Result<()> {
    let text = file.to_json()?;
    write_output(out, text.as_bytes())?;
    print(format_args!(
        "wrote {}: statistics of {} tensors on {} images ({} skipped), sha256 {}",
        out.display(),
        file.collection().iter().count(),
        file.images().len(),
        file.images_skipped(),
        sha256(text.as_bytes())
    ))
}

fn collect(arguments: &Arguments) -> Result<CalibrationFile> {
    let shard = arguments.shard.as_deref().map(Shard::parse).transpose()?;
    let inputs = ModelInputs::find(arguments.weights.as_deref(), arguments.model.as_deref(), arguments.imgsz);
    let definition = inputs.model.as_deref().map(Path::new);
    let read: Vec<&Path> = definition.into_iter().chain([inputs.weights.as_path()]).collect();
    check_outputs(&[&arguments.out], &read)?;
    let images = images(arguments, &inputs, shard)?;
    let model = Model::load(&inputs.weights, inputs.model.as_deref())?;
    let options = PlacementOptions { concat: arguments.concat.into(), ..PlacementOptions::default() };
    let manifest = manifest(&inputs.weights, &model, inputs.size, options.into())?;
    if inputs.demonstration {
        note(demo::NOTE);
    }
    let placement = Placement::new(&model.graph, options);
    let threads = thread_count(arguments.threads);
    let calibration = calibrate(&model, &[&placement], &images, inputs.size, threads, arguments.skip_bad)?;
    let (images, skipped) = (calibration.images, calibration.skipped);
    Ok(CalibrationFile::new(manifest, images, skipped, calibration.collection)?)
}

/// The images of the part, out of the first by name.
fn images(arguments: &Arguments, inputs: &ModelInputs, shard: Option<Shard>) -> Result<Vec<PathBuf>> {
    let folder = inputs.calibration_folder(arguments.calibration.clone())?;
    let mut images = first_images(&folder, arguments.num_calib)?;
    if !arguments.skip_bad {
        // Before the work, and whatever the parts. Of files that can't be read, several may well be equal.
        let listed = images.iter().map(|path| listed(path, Vec::new())).collect::<Result<Vec<_>>>()?;
        CalibrationImage::check_all(&listed).map_err(Error::calibration_file(&folder))?;
    }
    if let Some(shard) = shard {
        images = shard.select(images);
    }
    if images.is_empty() {
        let value = arguments.shard.clone().unwrap_or_default();
        let expected = "this part has no image, because there are fewer images than parts";
        return Err(Error::Argument { option: "--shard", value, expected });
    }
    Ok(images)
}
