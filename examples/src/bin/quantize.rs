//! Quantises a detector by several calibrators and tells what each costs in average precision.

#![forbid(unsafe_code)]

use clap::Parser;
use coco_eval::Summary;
use examples::arguments::{
    ConcatArgument, PreactivationArgument, SchemeArgument, asset, given_or_asset, parse_image_size,
    parse_unit, thread_count,
};
use examples::calibration::{Calibration, calibrate};
use examples::dataset::Dataset;
use examples::demo;
use examples::error::{Error, Result, exit};
use examples::images::list_images;
use examples::network::{Model, Network, find_weights};
use examples::output::{create_folder, note, print, sha256, sha256_file, sha256_files, write_atomic};
use examples::resources::{cpu_seconds, peak_rss_bytes};
use examples::run::{Options, Outcome, evaluate};
use ptq::{
    Fusion, Method, Placement, PlacementOptions, QuantConfig, WeightMethod, Width, lower_float, lower_integer,
};
use quant_core::Scheme;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use yolo_model::{ImageSize, NmsParams};

/// Quantise a detector and measure what it costs.
///
/// Without arguments: the assets' yolov5n where YOLO_ASSETS is set, else the small demonstration model in fixtures/demo.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Checkpoint (.pt, .pth, .torchscript, .safetensors); a bare name is also looked for in $YOLO_ASSETS/weights
    #[arg(long)]
    weights: Option<PathBuf>,
    /// Architecture: a yaml file or a built-in name; not needed for checkpoints that describe theirs
    #[arg(long)]
    model: Option<String>,
    /// Folder of the images to evaluate on [default: $YOLO_ASSETS/coco/val206]
    #[arg(long)]
    images: Option<PathBuf>,
    /// Their annotations, COCO json [default: $YOLO_ASSETS/coco/instances_val206.json]
    #[arg(long)]
    annotations: Option<PathBuf>,
    /// Folder of the images to calibrate on [default: $YOLO_ASSETS/coco/train128]
    #[arg(long)]
    calibration: Option<PathBuf>,
    /// Methods: all, or some of max,minmax,percentile,entropy,mse
    #[arg(long, default_value = "all", value_delimiter = ',')]
    methods: Vec<String>,
    /// Calibrate on at most this many images, the first by name
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    num_calib: Option<u32>,
    /// Detections need a score above this
    #[arg(long, default_value = "0.001", value_parser = parse_unit)]
    conf: f32,
    /// Of two boxes of a class that overlap more than this, the better stays
    #[arg(long, default_value = "0.6", value_parser = parse_unit)]
    iou: f32,
    /// Size of the network's input: SIDE or HEIGHTxWIDTH [default: 640; the demonstration's own]
    #[arg(long, value_parser = parse_image_size)]
    imgsz: Option<ImageSize>,
    /// Threads, of one core each; 0 for all cores
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Scheme of 8-bit activations, for percentile, entropy and mse (max is symmetric, minmax affine)
    #[arg(long, value_enum, default_value = "affine")]
    scheme: SchemeArgument,
    /// Width of the arguments of activations and of the head's outputs
    #[arg(long, value_enum, default_value = "16")]
    preactivation: PreactivationArgument,
    /// What happens where branches with different ranges are concatenated
    #[arg(long, value_enum, default_value = "tie-exclusive")]
    concat: ConcatArgument,
    /// Choose weight scales by least squared error instead of the maximum
    #[arg(long)]
    mse_weights: bool,
    /// Leave convolutions whose name starts with this in f32; may be repeated
    #[arg(long)]
    float_layers: Vec<String>,
    /// Go on without images that can't be read or are not annotated, and count them
    #[arg(long)]
    skip_bad: bool,
    /// Folder for summary.json and the networks
    #[arg(long, default_value = "out/quantize")]
    out: PathBuf,
    /// Print the summary as JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// What to work on, with all defaults filled in.
#[derive(Serialize)]
struct Inputs {
    weights: PathBuf,
    model: Option<String>,
    images: PathBuf,
    annotations: PathBuf,
    calibration: PathBuf,
    size: ImageSize,
    demonstration: bool,
}

/// One row of the table.
#[derive(Serialize)]
struct Run {
    name: String,
    precision: &'static str,
    preactivation_bits: Option<u8>,
    scheme: Option<Scheme>,
    ap: f64,
    ap50: f64,
    ap75: f64,
    ap_small: f64,
    ap_medium: f64,
    ap_large: f64,
    stats: [f64; 12],
    /// Against the float run.
    delta_ap: f64,
    ms_per_image: f64,
    model_bytes: usize,
    /// Saved network, in the output folder.
    file: String,
    /// SHA-256 of the detections as COCO json.
    detections_sha256: String,
}

#[derive(Serialize)]
struct Phase {
    name: &'static str,
    cpu_seconds: Option<f64>,
}

#[derive(Serialize)]
struct SummaryFile {
    runs: Vec<Run>,
    best: Option<String>,
    cpu_seconds: Option<f64>,
    peak_rss_bytes: Option<u64>,
    phases: Vec<Phase>,
    images: usize,
    images_skipped: usize,
    images_not_annotated: usize,
    calibration_images: usize,
    calibration_skipped: usize,
    rules: Vec<String>,
    manifest: Manifest,
}

#[derive(Serialize)]
struct Manifest {
    tool: &'static str,
    version: &'static str,
    weights_sha256: String,
    annotations_sha256: String,
    images_sha256: String,
    calibration_sha256: String,
    preprocessing: &'static str,
    inputs: Inputs,
    conf: f32,
    iou: f32,
    threads: usize,
    instruction_set: &'static str,
    concat: ptq::ConcatPolicy,
    weight_method: WeightMethod,
    float_layers: Vec<String>,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

/// A network to be evaluated, and how it came about.
struct Candidate {
    name: String,
    network: Network,
    quantized: Option<(Width, Scheme)>,
}

fn run(arguments: &Arguments) -> Result<()> {
    let mut clock = Clock::default();
    let methods = parse_methods(&arguments.methods)?;
    let inputs = inputs(arguments)?;
    let threads = thread_count(arguments.threads);
    let model = Model::load(&inputs.weights, inputs.model.as_deref())?;
    model.graph.infer_shapes(inputs.size.height, inputs.size.width).map_err(Error::model(&inputs.weights))?;
    let dataset = Dataset::open(&inputs.images, &inputs.annotations, arguments.skip_bad)?;
    let category_ids = dataset.category_ids(&model.class_names, &inputs.annotations)?;
    let mut calibration_images = list_images(&inputs.calibration)?;
    calibration_images.truncate(arguments.num_calib.map_or(usize::MAX, |n| n as usize));
    announce(&inputs, &dataset, calibration_images.len());
    clock.phase("load");

    let placements = placements(&model, arguments);
    let references: Vec<&Placement> = placements.iter().collect();
    let calibration =
        calibrate(&model, &references, &calibration_images, inputs.size, threads, arguments.skip_bad)?;
    clock.phase("calibrate");
    let candidates = candidates(&model, &inputs, arguments, &methods, &placements, &calibration)?;
    clock.phase("quantise");
    let nms = NmsParams { confidence: arguments.conf, iou: arguments.iou, ..NmsParams::default() };
    let options = Options { nms, threads, skip_bad: arguments.skip_bad };
    let networks: Vec<Network> = candidates.iter().map(|c| c.network.clone()).collect();
    let (outcomes, skipped) = evaluate(&networks, &dataset, &category_ids, &options)?;
    clock.phase("evaluate");

    let manifest = manifest(inputs, arguments, &calibration_images, &dataset, threads)?;
    let runs = write_networks(&arguments.out, &candidates, &outcomes)?;
    clock.phase("write");
    let best = runs[1..].iter().max_by(|a, b| a.ap.total_cmp(&b.ap)).map(|run| run.name.clone());
    let summary = SummaryFile {
        runs,
        best,
        cpu_seconds: cpu_seconds(),
        peak_rss_bytes: peak_rss_bytes(),
        phases: clock.phases,
        images: dataset.images.len() - skipped,
        images_skipped: skipped,
        images_not_annotated: dataset.not_annotated,
        calibration_images: calibration.used,
        calibration_skipped: calibration.skipped,
        rules: placements[0].rule_counts().into_iter().map(|(r, n)| format!("{} x{n}", r.name())).collect(),
        manifest,
    };
    let text = serde_json::to_string_pretty(&summary)?;
    write_atomic(&arguments.out.join("summary.json"), text.as_bytes())?;
    if arguments.json { print(text) } else { print_table(&summary, &arguments.out) }
}

/// CPU time by phase.
#[derive(Default)]
struct Clock {
    before: f64,
    phases: Vec<Phase>,
}

impl Clock {
    fn phase(&mut self, name: &'static str) {
        let now = cpu_seconds();
        self.phases.push(Phase { name, cpu_seconds: now.map(|now| now - self.before) });
        self.before = now.unwrap_or(0.0);
    }
}

fn parse_methods(names: &[String]) -> Result<Vec<Method>> {
    if names == ["all"] {
        return Ok(Method::ALL.to_vec());
    }
    let parse = |name: &String| {
        let expected = "expected all, or some of max, minmax, percentile, entropy, mse";
        Method::from_name(name).ok_or_else(|| Error::Argument {
            option: "--methods",
            value: name.clone(),
            expected,
        })
    };
    names.iter().map(parse).collect()
}

fn inputs(arguments: &Arguments) -> Result<Inputs> {
    let weights = arguments.weights.as_deref().map(find_weights).or_else(|| asset("weights/yolov5n.pt"));
    let Some(weights) = weights else {
        let folder = demo::folder();
        return Ok(Inputs {
            weights: folder.join("model.safetensors"),
            model: arguments.model.clone().or_else(|| Some(folder.join("model.yaml").display().to_string())),
            images: arguments.images.clone().unwrap_or_else(|| folder.join("images")),
            annotations: arguments.annotations.clone().unwrap_or_else(|| folder.join("annotations.json")),
            calibration: arguments.calibration.clone().unwrap_or_else(|| folder.join("calibration")),
            size: arguments.imgsz.unwrap_or(demo::SIZE),
            demonstration: true,
        });
    };
    Ok(Inputs {
        weights,
        model: arguments.model.clone(),
        images: given_or_asset(arguments.images.clone(), "--images", "coco/val206")?,
        annotations: given_or_asset(
            arguments.annotations.clone(),
            "--annotations",
            "coco/instances_val206.json",
        )?,
        calibration: given_or_asset(arguments.calibration.clone(), "--calibration", "coco/train128")?,
        size: arguments.imgsz.unwrap_or(ImageSize::new(640, 640)),
        demonstration: false,
    })
}

fn announce(inputs: &Inputs, dataset: &Dataset, calibration_images: usize) {
    if inputs.demonstration {
        note(demo::NOTE);
    }
    note(format_args!(
        "{}: {} images to evaluate, {calibration_images} to calibrate, {}x{}",
        inputs.weights.display(),
        dataset.images.len(),
        inputs.size.height,
        inputs.size.width
    ));
    if dataset.not_annotated > 0 {
        note(format_args!("{} images without annotations are left out", dataset.not_annotated));
    }
    if dataset.not_in_folder > 0 {
        note(format_args!(
            "{} annotated images are not in the folder and don't count",
            dataset.not_in_folder
        ));
    }
}

fn placements(model: &Model, arguments: &Arguments) -> Vec<Placement> {
    let place = |&preactivation: &Width| {
        let options = PlacementOptions {
            preactivation,
            concat: arguments.concat.into(),
            ..PlacementOptions::default()
        };
        Placement::new(&model.graph, options)
    };
    arguments.preactivation.widths().iter().map(place).collect()
}

/// The float network, then one per width and method.
fn candidates(
    model: &Model,
    inputs: &Inputs,
    arguments: &Arguments,
    methods: &[Method],
    placements: &[Placement],
    calibration: &Calibration,
) -> Result<Vec<Candidate>> {
    let float = lower_float(&model.graph, &model.params, Fusion::Fused)?;
    let float = model.network(float, inputs.size)?;
    let mut candidates = vec![Candidate { name: "float".to_owned(), network: float, quantized: None }];
    for placement in placements {
        for method in methods {
            let scheme = arguments.scheme.into();
            let mut config =
                QuantConfig::calibrate(&model.graph, placement, &calibration.collection, *method, scheme)?;
            config.weights = if arguments.mse_weights { WeightMethod::Mse } else { WeightMethod::Max };
            let float =
                |name: &&str| arguments.float_layers.iter().any(|prefix| name.starts_with(prefix.as_str()));
            config.float = model
                .graph
                .nodes()
                .iter()
                .map(|n| n.name.as_str())
                .filter(float)
                .map(str::to_owned)
                .collect();
            let program = lower_integer(&model.graph, &model.params, &config)?;
            let mut network = model.network(program, inputs.size)?;
            network.program.metadata.insert("method".to_owned(), serde_json::to_string(method)?);
            let width = placement.options().preactivation;
            let suffix = if width == Width::Bits8 { "-pre8" } else { "" };
            let name = format!("{}{suffix}", method.name());
            candidates.push(Candidate { name, network, quantized: Some((width, method.scheme(scheme))) });
        }
    }
    Ok(candidates)
}

/// Saves every network; nothing is written before all has been evaluated.
fn write_networks(out: &Path, candidates: &[Candidate], outcomes: &[Outcome]) -> Result<Vec<Run>> {
    create_folder(out)?;
    let float_ap = outcomes[0].summary.ap;
    let mut runs = Vec::new();
    for (candidate, outcome) in candidates.iter().zip(outcomes) {
        let file = format!("{}.safetensors", candidate.name);
        candidate.network.program.save(&out.join(&file))?;
        let size = std::fs::metadata(out.join(&file)).map_err(Error::io(out.join(&file)))?.len();
        let Summary { ap, ap50, ap75, ap_small, ap_medium, ap_large, .. } = outcome.summary;
        let mut detections = Vec::new();
        outcome.detections.write_json(&mut detections)?;
        runs.push(Run {
            name: candidate.name.clone(),
            precision: if candidate.quantized.is_some() { "int8" } else { "f32" },
            preactivation_bits: candidate
                .quantized
                .map(|(width, _)| if width == Width::Bits8 { 8 } else { 16 }),
            scheme: candidate.quantized.map(|(_, scheme)| scheme),
            ap,
            ap50,
            ap75,
            ap_small,
            ap_medium,
            ap_large,
            stats: outcome.summary.to_array(),
            delta_ap: ap - float_ap,
            ms_per_image: outcome.ms_per_image,
            model_bytes: size as usize,
            file,
            detections_sha256: sha256(&detections),
        });
    }
    Ok(runs)
}

fn manifest(
    inputs: Inputs,
    arguments: &Arguments,
    calibration: &[PathBuf],
    dataset: &Dataset,
    threads: usize,
) -> Result<Manifest> {
    Ok(Manifest {
        tool: "quantize",
        version: env!("CARGO_PKG_VERSION"),
        weights_sha256: sha256_file(&inputs.weights)?,
        annotations_sha256: sha256_file(&inputs.annotations)?,
        images_sha256: sha256_files(dataset.images.iter().map(|image| image.path.as_path()))?,
        calibration_sha256: sha256_files(calibration.iter().map(PathBuf::as_path))?,
        preprocessing: "letterbox, grey 114; RGB; divided by 255",
        inputs,
        conf: arguments.conf,
        iou: arguments.iou,
        threads,
        instruction_set: quant_core::Isa::detect().name(),
        concat: arguments.concat.into(),
        weight_method: if arguments.mse_weights { WeightMethod::Mse } else { WeightMethod::Max },
        float_layers: arguments.float_layers.clone(),
    })
}

fn print_table(summary: &SummaryFile, out: &Path) -> Result<()> {
    if summary.manifest.inputs.demonstration {
        print(demo::NOTE)?;
    }
    print(format_args!(
        "{:<16} {:>6} {:>10} {:>7} {:>7} {:>7} {:>7} {:>7} {:>8} {:>9} {:>9}",
        "run", "pre", "scheme", "AP", "AP50", "APs", "APm", "APl", "dAP", "KiB", "ms/image"
    ))?;
    for run in &summary.runs {
        print(format_args!(
            "{:<16} {:>6} {:>10} {:>7.4} {:>7.4} {:>7.4} {:>7.4} {:>7.4} {:>+8.4} {:>9.0} {:>9.1}",
            run.name,
            run.preactivation_bits.map_or_else(|| "f32".to_owned(), |bits| bits.to_string()),
            run.scheme.map_or("", |s| if s == Scheme::Affine { "affine" } else { "symmetric" }),
            run.ap,
            run.ap50,
            run.ap_small,
            run.ap_medium,
            run.ap_large,
            run.delta_ap,
            run.model_bytes as f64 / 1024.0,
            run.ms_per_image,
        ))?;
    }
    let phases = summary.phases.iter().filter_map(|p| Some(format!("{} {:.1}", p.name, p.cpu_seconds?)));
    print(format_args!(
        "{} images ({} skipped), calibrated on {} ({} skipped); ms/image is one core's median forward time",
        summary.images, summary.images_skipped, summary.calibration_images, summary.calibration_skipped
    ))?;
    if let (Some(cpu), Some(peak)) = (summary.cpu_seconds, summary.peak_rss_bytes) {
        let phases = phases.collect::<Vec<_>>().join(", ");
        print(format_args!(
            "CPU {cpu:.1} s ({phases}), peak memory {:.0} MiB",
            peak as f64 / (1 << 20) as f64
        ))?;
    }
    print(format_args!("quantiser rules: {}", summary.rules.join(", ")))?;
    print(format_args!("wrote {}", out.join("summary.json").display()))
}
