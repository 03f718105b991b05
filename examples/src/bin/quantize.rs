//! Quantises a detector by several calibrators and tells what each costs in average precision.

#![forbid(unsafe_code)]

use clap::Parser;
use examples::arguments::{
    ConcatArgument, EvaluationArguments, PreactivationArgument, SchemeArgument, WidthArgument,
    given_or_asset, parse_image_size,
};
use examples::calibration::Calibration;
use examples::calibration_file::{PREPROCESSING, SavedCalibration};
use examples::calibration_source::CalibrationSource;
use examples::candidates::{Candidate, Recipe};
use examples::coverage_table::judge;
use examples::dataset::Dataset;
use examples::demo;
use examples::error::{Error, Result, exit_with};
use examples::images::list_images;
use examples::inputs::Given;
use examples::methods::MethodChoice;
use examples::network::{Model, Network};
use examples::output::{check_writable, create_folder, note, print, sha256_file, sha256_files, write_atomic};
use examples::precision::{placements, read_config};
use examples::resources::{cpu_seconds, peak_rss_bytes};
use examples::run::{Evaluated, Options, Outcome, evaluate};
use examples::summary::{Clock, IMAGES_FILE, Inputs, Manifest, Run, SummaryFile};
use examples::weights::WeightArguments;
use ptq::analysis::PrecisionConfig;
use ptq::{Placement, PlacementOptions, Width};
use quant_core::{Step, StepOp};
use std::path::PathBuf;
use std::process::ExitCode;
use yolo_model::ImageSize;

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
    #[command(flatten)]
    evaluation: EvaluationArguments,
    /// Folder of the images to calibrate on [default: $YOLO_ASSETS/coco/train128]
    #[arg(long)]
    calibration: Option<PathBuf>,
    /// Take the statistics from this file, which `calibrate` wrote, instead of running the float network on images
    #[arg(long, value_name = "FILE", conflicts_with_all = ["calibration", "num_calib"])]
    calibration_file: Option<PathBuf>,
    /// Methods: all (the first five), auto (the best for each tensor), or some of max,minmax,percentile,entropy,mse,sqnr,octav,aciq,aciq-gauss,aciq-laplace
    #[arg(long, default_value = "all", value_delimiter = ',')]
    methods: Vec<String>,
    /// Calibrate on at most this many images, the first by name
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    num_calib: Option<u32>,
    /// Size of the network's input: SIDE or HEIGHTxWIDTH [default: the calibration file's, else 640; the demonstration's own]
    #[arg(long, value_parser = parse_image_size)]
    imgsz: Option<ImageSize>,
    /// Exit with code 1, before anything is made, if there are too few calibration images; otherwise this is a warning
    #[arg(long)]
    strict: bool,
    /// Scheme of 8-bit activations, for all methods but max (symmetric) and minmax (affine)
    #[arg(long, value_enum, default_value = "affine")]
    scheme: SchemeArgument,
    /// Width of all tensors; with 16, --preactivation does not matter
    #[arg(long, value_enum, default_value = "8", conflicts_with = "config")]
    activations: WidthArgument,
    /// Width of the arguments of activations and of the head's outputs
    #[arg(long, value_enum, default_value = "16")]
    preactivation: PreactivationArgument,
    /// What happens where branches with different ranges are concatenated
    #[arg(long, value_enum, default_value = "tie-exclusive")]
    concat: ConcatArgument,
    #[command(flatten)]
    weight: WeightArguments,
    /// Folder of the images that auto, --rounding and --bias-correction look at [default: the images to calibrate on]
    #[arg(long)]
    layer_images: Option<PathBuf>,
    /// Leave convolutions whose name starts with this in f32; may be repeated
    #[arg(long)]
    float_layers: Vec<String>,
    /// Give each layer the precision that `analyze --select` has chosen
    #[arg(long, value_name = "FILE", conflicts_with_all = ["preactivation", "float_layers"])]
    config: Option<PathBuf>,
    /// Sets of images to draw for the intervals of differences in AP; 0 for no intervals
    #[arg(long, default_value_t = 1000)]
    samples: usize,
    /// Also write each network's detections, for `compare`
    #[arg(long)]
    save_detections: bool,
    /// Folder for summary.json and the networks
    #[arg(long, default_value = "out/quantize")]
    out: PathBuf,
    /// Print the summary as JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Share of the sets of images that an interval holds.
const CONFIDENCE: f64 = 0.95;

fn main() -> ExitCode {
    exit_with(run(&Arguments::parse()))
}

/// Everything that was read and checked before the work begins.
struct Job {
    inputs: Inputs,
    methods: Vec<MethodChoice>,
    model: Model,
    dataset: Dataset,
    category_ids: Vec<i64>,
    source: CalibrationSource,
    layer_images: Option<Vec<PathBuf>>,
    placements: Vec<Placement>,
    precision: Option<PrecisionConfig>,
    threads: usize,
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut clock = Clock::default();
    let job = load(arguments)?;
    announce(&job);
    clock.phase("load");
    let (size, skip_bad) = (job.inputs.size, arguments.evaluation.skip_bad);
    let calibration = job.source.statistics(&job.model, &job.placements, size, job.threads, skip_bad)?;
    if let Some(code) = judge(&calibration.coverage(), arguments.strict) {
        return Ok(code);
    }
    clock.phase("calibrate");
    let candidates = candidates(&job, arguments, &calibration)?;
    clock.phase("quantise");
    let networks: Vec<&Network> = candidates.iter().map(|c| &c.network).collect();
    let options = Options { samples: arguments.samples, ..arguments.evaluation.options() };
    let evaluated = evaluate(&networks, &job.dataset, &job.category_ids, &options)?;
    clock.phase("evaluate");
    let manifest = manifest(&job, arguments, &calibration)?;
    let runs = write_networks(arguments, &candidates, &evaluated)?;
    clock.phase("write");
    let summary = summary(job, runs, clock, &calibration, evaluated.skipped, manifest);
    let text = serde_json::to_string_pretty(&summary)?;
    write_atomic(&arguments.out.join("summary.json"), text.as_bytes())?;
    if arguments.json { print(text) } else { print(summary.table(&arguments.out)) }?;
    Ok(ExitCode::SUCCESS)
}

fn load(arguments: &Arguments) -> Result<Job> {
    let methods = MethodChoice::parse_all(&arguments.methods)?;
    check_writable(&arguments.out)?;
    let file = arguments.calibration_file.as_deref().map(SavedCalibration::read).transpose()?;
    let inputs = inputs(arguments, file.as_ref())?;
    let model = Model::load(&inputs.weights, inputs.model.as_deref())?;
    let model = arguments.weight.prepare(model, file.is_some())?;
    model.graph.infer_shapes(inputs.size.height, inputs.size.width).map_err(Error::model(&inputs.weights))?;
    check_float_layers(&model, arguments)?;
    let dataset = Dataset::open(&inputs.images, &inputs.annotations, arguments.evaluation.skip_bad)?;
    let category_ids = dataset.category_ids(&model.class_names, &inputs.annotations)?;
    let read = |path: &PathBuf| read_config(path, &inputs.weights, &model, inputs.size);
    let precision = arguments.config.as_ref().map(read).transpose()?;
    let placements = match precision {
        Some(_) => placements(&model.graph, arguments.concat.into(), arguments.weight.scale_grid()).into(),
        None => placements_of_widths(&model, arguments),
    };
    let source = match file {
        Some(file) => CalibrationSource::file(file, &inputs.weights, &model, inputs.size, &placements[0])?,
        None => CalibrationSource::images(&inputs.calibration, arguments.num_calib)?,
    };
    let threads = arguments.evaluation.options().threads;
    let layer_images = layer_images(arguments, &methods, &source)?;
    Ok(Job {
        inputs,
        methods,
        model,
        dataset,
        category_ids,
        source,
        layer_images,
        placements,
        precision,
        threads,
    })
}

/// The images to look at layers with, if anything does: the calibration images, or those of the folder that is named instead.
fn layer_images(
    arguments: &Arguments,
    methods: &[MethodChoice],
    source: &CalibrationSource,
) -> Result<Option<Vec<PathBuf>>> {
    let needed =
        methods.contains(&MethodChoice::Auto) || arguments.weight.treatment.reconstruction().is_some();
    match (needed, &arguments.layer_images, source) {
        (false, None, _) => Ok(None),
        (false, Some(folder), _) => Err(Error::Argument {
            option: "--layer-images",
            value: folder.display().to_string(),
            expected: "nothing looks at layers: it goes with --methods auto, --rounding or --bias-correction",
        }),
        (true, None, CalibrationSource::Images(paths)) => Ok(Some(paths.clone())),
        (true, given, _) => {
            list_images(&given_or_asset(given.clone(), "--layer-images", "coco/train128")?).map(Some)
        }
    }
}

fn summary(
    job: Job,
    runs: Vec<Run>,
    clock: Clock,
    calibration: &Calibration,
    skipped: usize,
    manifest: Manifest,
) -> SummaryFile {
    let best = runs[1..].iter().max_by(|a, b| a.ap.total_cmp(&b.ap)).map(|run| run.name.clone());
    let rule = |(rule, count): (ptq::Rule, usize)| format!("{} x{count}", rule.name());
    SummaryFile {
        runs,
        best,
        cpu_seconds: cpu_seconds(),
        peak_rss_bytes: peak_rss_bytes(),
        phases: clock.phases,
        images: job.dataset.images.len() - skipped,
        images_skipped: skipped,
        images_not_annotated: job.dataset.not_annotated,
        calibration_images: calibration.images.len(),
        calibration_skipped: calibration.skipped,
        rules: job.placements[0].rule_counts().into_iter().map(rule).collect(),
        inputs: job.inputs,
        manifest,
    }
}

/// Every `--float-layers` has to mean something.
fn check_float_layers(model: &Model, arguments: &Arguments) -> Result<()> {
    let convolutions = || model.graph.nodes().iter().filter(|n| matches!(n.op, nn_graph::Op::Conv(_)));
    let unused = |prefix: &&String| !convolutions().any(|n| n.name.starts_with(prefix.as_str()));
    match arguments.float_layers.iter().find(unused) {
        Some(prefix) => Err(Error::Argument {
            option: "--float-layers",
            value: prefix.clone(),
            expected: "no convolution's name starts with it; `inspect` lists the names",
        }),
        None => Ok(()),
    }
}

fn inputs(arguments: &Arguments, file: Option<&SavedCalibration>) -> Result<Inputs> {
    let given = Given {
        weights: arguments.weights.as_deref(),
        model: arguments.model.as_deref(),
        evaluation: &arguments.evaluation,
        calibration: arguments.calibration.as_deref(),
        calibration_file: file.map(|file| file.path.as_path()),
        size: arguments.imgsz.or_else(|| file.map(SavedCalibration::size)),
    };
    given.inputs()
}

fn announce(job: &Job) {
    let Job { inputs, dataset, .. } = job;
    if inputs.demonstration {
        note(demo::NOTE);
    }
    note(format_args!(
        "{}: {} images to evaluate, {} to calibrate, {}x{}",
        inputs.weights.display(),
        dataset.images.len(),
        job.source.count(),
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

fn placements_of_widths(model: &Model, arguments: &Arguments) -> Vec<Placement> {
    let place = |&preactivation: &Width| {
        let options = PlacementOptions {
            activations: arguments.activations.into(),
            preactivation,
            concat: arguments.concat.into(),
            scales: arguments.weight.scale_grid(),
            ..PlacementOptions::default()
        };
        Placement::new(&model.graph, options)
    };
    match arguments.activations.into() {
        Width::Bits8 => arguments.preactivation.widths().iter().map(place).collect(),
        Width::Bits16 => vec![place(&Width::Bits16)],
    }
}

/// The float network, then one per width and method, or with a configuration of precisions one per method.
fn candidates(job: &Job, arguments: &Arguments, calibration: &Calibration) -> Result<Vec<Candidate>> {
    let recipe = Recipe {
        model: &job.model,
        size: job.inputs.size,
        scheme: arguments.scheme.into(),
        weights: &arguments.weight,
        float_layers: &arguments.float_layers,
        layer_images: job.layer_images.as_deref().unwrap_or_default(),
        statistics: &calibration.collection,
        threads: job.threads,
        skip_bad: arguments.evaluation.skip_bad,
    };
    let mut candidates = vec![recipe.float()?];
    match (&job.precision, &job.placements[..]) {
        (Some(precision), [wide, narrow]) => {
            for method in &job.methods {
                candidates.push(recipe.mixed(precision, [wide, narrow], *method)?);
            }
        }
        (_, placements) => {
            for (placement, method) in placements.iter().flat_map(|p| job.methods.iter().map(move |m| (p, m)))
            {
                candidates.push(recipe.uniform(placement, *method)?);
            }
        }
    }
    Ok(candidates)
}

/// Saves every network; nothing is written before all has been evaluated.
fn write_networks(
    arguments: &Arguments,
    candidates: &[Candidate],
    evaluated: &Evaluated,
) -> Result<Vec<Run>> {
    create_folder(&arguments.out)?;
    if arguments.save_detections {
        let ids: String = evaluated.image_ids.iter().map(|id| format!("{id}\n")).collect();
        write_atomic(&arguments.out.join(IMAGES_FILE), ids.as_bytes())?;
    }
    let float = &evaluated.outcomes[0];
    let networks = candidates.iter().zip(&evaluated.outcomes);
    networks.map(|(candidate, outcome)| write_network(arguments, candidate, outcome, float)).collect()
}

fn write_network(
    arguments: &Arguments,
    candidate: &Candidate,
    outcome: &Outcome,
    float: &Outcome,
) -> Result<Run> {
    let file = format!("{}.safetensors", candidate.name);
    let path = arguments.out.join(&file);
    candidate.network.program.save(&path)?;
    let model_bytes = std::fs::metadata(&path).map_err(Error::io(path))?.len();
    let mut detections = Vec::new();
    outcome.detections.write_json(&mut detections)?;
    let detections_file = arguments.save_detections.then(|| format!("{}.detections.json", candidate.name));
    if let Some(file) = &detections_file {
        write_atomic(&arguments.out.join(file), &detections)?;
    }
    let run =
        Run::new(candidate.name.clone(), [outcome, float], CONFIDENCE, &detections, (file, model_bytes))?;
    Ok(Run {
        precision: precision(candidate),
        preactivation_bits: candidate
            .quantized
            .and_then(|(width, _)| Some(if width? == Width::Bits8 { 8 } else { 16 })),
        scheme: candidate.quantized.map(|(_, scheme)| scheme),
        choices: candidate.choices.clone(),
        networks: candidate.networks.clone(),
        layers: candidate.layers.clone(),
        detections_file,
        ..run
    })
}

/// What convolutions read.
fn precision(candidate: &Candidate) -> &'static str {
    let wide = |step: &Step| matches!(step.op, StepOp::ConvI16 { .. });
    match candidate.quantized {
        None => "f32",
        Some(_) if candidate.network.program.steps().iter().any(wide) => "int16",
        Some(_) => "int8",
    }
}

fn manifest(job: &Job, arguments: &Arguments, calibration: &Calibration) -> Result<Manifest> {
    Ok(Manifest {
        tool: "quantize",
        version: env!("CARGO_PKG_VERSION"),
        command: std::env::args().skip(1).collect(),
        weights_sha256: sha256_file(&job.inputs.weights)?,
        annotations_sha256: sha256_file(&job.inputs.annotations)?,
        images_sha256: sha256_files(job.dataset.images.iter().map(|image| image.path.as_path()))?,
        calibration_sha256: calibration.images_sha256(),
        calibration_file_sha256: job.source.file_sha256(),
        preprocessing: PREPROCESSING,
        methods: job.methods.clone(),
        conf: arguments.evaluation.conf,
        iou: arguments.evaluation.iou,
        threads: job.threads,
        instruction_set: quant_core::Isa::detect().name(),
        concat: arguments.concat.into(),
        weights: arguments.weight.treatment()?,
        layer_images_sha256: job
            .layer_images
            .as_ref()
            .map(|paths| sha256_files(paths.iter().map(PathBuf::as_path)))
            .transpose()?,
        float_layers: arguments.float_layers.clone(),
        config_sha256: arguments.config.as_deref().map(sha256_file).transpose()?,
        samples: arguments.samples,
        confidence: CONFIDENCE,
    })
}
