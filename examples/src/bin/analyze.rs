//! Finds the layers that quantisation hurts, and chooses which to keep in higher precision.

#![forbid(unsafe_code)]

use clap::{ArgGroup, Parser};
use examples::analysis::errors::errors;
use examples::analysis::files::{AnalysisFile, SensitivityPart};
use examples::analysis::job::Job;
use examples::analysis::select::{Budget, Strategy, select};
use examples::analysis::sensitivity::sensitivity;
use examples::analysis::settings::{Score, Settings, Task};
use examples::analysis::state::State;
use examples::arguments::{
    ConcatArgument, EvaluationArguments, SchemeArgument, WidthArgument, parse_image_size, parse_precision,
    thread_count,
};
use examples::calibration_file::SavedCalibration;
use examples::demo;
use examples::error::{Error, Result, exit};
use examples::inputs::Given;
use examples::methods::parse_method;
use examples::output::{check_outputs, check_writable, note, print, write_output};
use examples::resources::{cpu_seconds, peak_rss_bytes};
use examples::weights::ScaleArguments;
use ptq::analysis::{By, Cost, Mode, Precision, Sensitivity};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use yolo_model::ImageSize;

/// Find the layers that quantisation hurts, and choose which to keep in higher precision.
///
/// Without --weights: the assets' yolov5n where YOLO_ASSETS is set, else the demonstration model in fixtures/demo.
#[derive(Parser)]
#[command(version, group(ArgGroup::new("budget").args(["budget_map", "budget_bytes", "budget_macs", "budget_layers"])))]
struct Arguments {
    /// Checkpoint; a bare name is also looked for in $YOLO_ASSETS/weights
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
    /// Take statistics that `calibrate` wrote, instead of images to calibrate on
    #[arg(long, value_name = "FILE", conflicts_with_all = ["calibration", "num_calib"])]
    calibration_file: Option<PathBuf>,
    /// Calibrate on at most this many images, the first by name
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    num_calib: Option<u32>,
    /// Analyse, or measure what is selected, on at most this many images, the first by name [default: all; 16 for errors and scores
    /// other than map]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    num_images: Option<u32>,
    /// Size of the network's input: SIDE or HEIGHTxWIDTH [default: 640; the demonstration's own]
    #[arg(long, value_parser = parse_image_size)]
    imgsz: Option<ImageSize>,
    /// What to look at
    #[arg(long, value_enum, default_value = "leave-one-out")]
    mode: Task,
    /// How a variant is judged
    #[arg(long, value_enum, default_value = "map")]
    score: Score,
    /// What changes together
    #[arg(long, value_enum, default_value = "layer")]
    by: ByArgument,
    /// Method: max, minmax, percentile, entropy, mse, sqnr, octav, aciq, aciq-gauss or aciq-laplace
    #[arg(long, default_value = "mse")]
    method: String,
    /// Scheme of 8-bit activations, for all methods but max (symmetric) and minmax (affine)
    #[arg(long, value_enum, default_value = "affine")]
    scheme: SchemeArgument,
    /// Width of the arguments of activations and of the head's outputs in quantised layers
    #[arg(long, value_enum, default_value = "16")]
    preactivation: WidthArgument,
    /// Precisions that the changed layer or block gets: some of int8-pre8,int8-pre16,f32 [default: f32; with only-one-on that of
    /// --preactivation]
    #[arg(long, value_delimiter = ',', value_parser = parse_precision)]
    candidates: Vec<Precision>,
    /// What happens where branches with different ranges are concatenated
    #[arg(long, value_enum, default_value = "tie-exclusive")]
    concat: ConcatArgument,
    #[command(flatten)]
    scales: ScaleArguments,
    /// Keep layers whose name begins with this regular expression in f32 everywhere; may be repeated
    #[arg(long, value_name = "REGEX")]
    ignore: Vec<String>,
    /// Sets of images to draw for intervals
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..))]
    samples: u32,
    /// Show this many layers or blocks [default: 10; all for errors]
    #[arg(long)]
    top: Option<usize>,
    /// Go on with what an interrupted run has left in --out
    #[arg(long)]
    resume: bool,
    /// End after this many blocks of images as if interrupted
    #[arg(long, hide = true)]
    stop_after: Option<usize>,
    /// Folder for sensitivity.json or errors.json; with --select the file for the precisions [default: out/analyze;
    /// out/analyze/precision.json]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print the result as JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Choose precisions from sensitivities instead of analysing; what was analysed is told by their file
    #[arg(long, value_enum, requires = "budget")]
    select: Option<Strategy>,
    /// Sensitivities to choose from
    #[arg(long, value_name = "FILE", default_value = "out/analyze/sensitivity.json")]
    from: PathBuf,
    /// Lose at most this much AP, at the least of --cost
    #[arg(long, value_name = "DROP", requires = "select", allow_negative_numbers = true)]
    budget_map: Option<f64>,
    /// Add at most this many bytes of weights
    #[arg(long, value_name = "N", requires = "select")]
    budget_bytes: Option<u64>,
    /// Compute at most this many multiplications per image in f32
    #[arg(long, value_name = "N", requires = "select")]
    budget_macs: Option<u64>,
    /// Keep at most this many layers in f32
    #[arg(long, value_name = "N", requires = "select")]
    budget_layers: Option<u64>,
    /// What to spend little of for --budget-map
    #[arg(long, value_enum, default_value = "macs")]
    cost: CostArgument,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ByArgument {
    /// Every convolution by itself
    Layer,
    /// All convolutions of a top-level module
    Block,
}

impl From<ByArgument> for By {
    fn from(argument: ByArgument) -> Self {
        match argument {
            ByArgument::Layer => By::Layer,
            ByArgument::Block => By::Block,
        }
    }
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum CostArgument {
    /// Bytes of weights
    Bytes,
    /// Multiplications in f32
    Macs,
    /// Layers in f32
    Layers,
}

impl From<CostArgument> for Cost {
    fn from(argument: CostArgument) -> Self {
        match argument {
            CostArgument::Bytes => Cost::Bytes,
            CostArgument::Macs => Cost::Macs,
            CostArgument::Layers => Cost::Layers,
        }
    }
}

/// Images for scores that need few.
const FEW_IMAGES: usize = 16;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    exit(match arguments.select {
        Some(strategy) => choose(&arguments, strategy),
        None => analyze(&arguments),
    })
}

fn analyze(arguments: &Arguments) -> Result<()> {
    let out = arguments.out.clone().unwrap_or_else(|| PathBuf::from("out/analyze"));
    let settings = settings(arguments)?;
    check_writable(&out)?;
    let job = Job::load(settings, thread_count(arguments.evaluation.threads))?;
    announce(&job);
    let state = State::open(&out, &job, arguments.resume, arguments.stop_after)?;
    let done = match job.settings.task.mode() {
        Some(mode) => analyze_sensitivity(arguments, &job, mode, &state, &out)?,
        None => analyze_errors(arguments, &job, &state, &out)?,
    };
    if done {
        state.remove()?;
    } else {
        note("stopped; --resume goes on");
    }
    cost();
    Ok(())
}

fn analyze_sensitivity(
    arguments: &Arguments,
    job: &Job,
    mode: Mode,
    state: &State,
    out: &Path,
) -> Result<bool> {
    let Some(part) = sensitivity(job, mode, state)? else { return Ok(false) };
    let path = out.join("sensitivity.json");
    let file = AnalysisFile::new(part, job.settings.clone(), job.hashes.clone());
    let text = file.write(&path)?;
    if arguments.json {
        print(text.trim_end())?;
    } else {
        print(describe(&file.analysis.sensitivity, arguments.top.unwrap_or(10)))?;
        print(format_args!("wrote {}", path.display()))?;
    }
    Ok(true)
}

fn analyze_errors(arguments: &Arguments, job: &Job, state: &State, out: &Path) -> Result<bool> {
    let Some(part) = errors(job, state)? else { return Ok(false) };
    let path = out.join("errors.json");
    let file = AnalysisFile::new(part, job.settings.clone(), job.hashes.clone());
    let text = file.write(&path)?;
    if arguments.json {
        print(text.trim_end())?;
    } else {
        print(file.analysis.table(arguments.top))?;
        print(format_args!("{} images\nwrote {}", file.analysis.images, path.display()))?;
    }
    Ok(true)
}

fn describe(sensitivity: &Sensitivity, top: usize) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.5}"));
    let [whole, run] = sensitivity.convolutions;
    format!(
        "{}\n{}: float {}, base {}; {} images; {} of {} convolutions per image computed, the others recorded",
        sensitivity.table(top),
        sensitivity.score,
        number(sensitivity.float),
        number(sensitivity.base),
        sensitivity.images,
        run,
        whole
    )
}

fn choose(arguments: &Arguments, strategy: Strategy) -> Result<()> {
    let out = arguments.out.clone().unwrap_or_else(|| PathBuf::from("out/analyze/precision.json"));
    let budget = budget(arguments)?;
    check_outputs(&[&out], &[&arguments.from])?;
    let file = AnalysisFile::<SensitivityPart>::read(&arguments.from)?;
    let mut job = Job::load(file.settings.clone(), thread_count(arguments.evaluation.threads))?;
    job.check_hashes(&file.hashes)?;
    job.take_images(arguments.num_images.map(|n| n as usize))?;
    let config = select(&file, &job, strategy, budget)?;
    let text = config.to_json()?;
    write_output(&out, text.as_bytes())?;
    if arguments.json {
        return print(text.trim_end());
    }
    for layer in &job.layers {
        let precision = config.precision(&layer.name).unwrap_or(job.settings.precision);
        if precision != job.settings.precision {
            print(format_args!("{:<10} {}", precision, layer.name))?;
        }
    }
    let counts = config.counts().map(|(precision, count)| format!("{count} {precision}"));
    let asked = |key: &str| config.asked.get(key).map_or_else(String::new, ToString::to_string);
    print(format_args!("layers: {}", counts.join(", ")))?;
    print(format_args!(
        "AP {} (float {}), measured on {} images; cost added: {}",
        asked("ap_measured"),
        asked("ap_float"),
        asked("images"),
        asked("cost_added")
    ))?;
    print(format_args!("wrote {}\nnext: quantize --config {0}", out.display()))
}

fn budget(arguments: &Arguments) -> Result<Budget> {
    let Arguments { budget_map, budget_bytes, budget_macs, budget_layers, .. } = *arguments;
    if let Some(drop) = budget_map {
        if !drop.is_finite() || drop < 0.0 {
            let (option, value) = ("--budget-map", drop.to_string());
            return Err(Error::Argument { option, value, expected: "expected 0 or more" });
        }
        return Ok(Budget::Map(drop, arguments.cost.into()));
    }
    let costs = [(Cost::Bytes, budget_bytes), (Cost::Macs, budget_macs), (Cost::Layers, budget_layers)];
    let given = costs.into_iter().find_map(|(cost, most)| Some(Budget::Cost(cost, most?)));
    let (option, value) = ("--select", String::new());
    given.ok_or(Error::Argument { option, value, expected: "needs a budget" })
}

/// All options, with defaults filled in.
fn settings(arguments: &Arguments) -> Result<Settings> {
    let file = arguments.calibration_file.as_deref().map(SavedCalibration::read).transpose()?;
    let given = Given {
        weights: arguments.weights.as_deref(),
        model: arguments.model.as_deref(),
        evaluation: &arguments.evaluation,
        calibration: arguments.calibration.as_deref(),
        calibration_file: arguments.calibration_file.as_deref(),
        size: arguments.imgsz.or_else(|| file.as_ref().map(SavedCalibration::size)),
    };
    let inputs = given.inputs()?;
    if inputs.demonstration {
        note(demo::NOTE);
    }
    let method = parse_method("--method", &arguments.method)?;
    let precision = arguments.preactivation.into();
    let few = arguments.mode == Task::Errors || arguments.score != Score::Map;
    let num_images = arguments.num_images.map(|n| n as usize).or(few.then_some(FEW_IMAGES));
    Ok(Settings {
        weights: inputs.weights,
        model: inputs.model,
        images: inputs.images,
        annotations: inputs.annotations,
        calibration: inputs.calibration,
        size: inputs.size,
        task: arguments.mode,
        score: arguments.score,
        by: arguments.by.into(),
        method,
        scheme: method.scheme(arguments.scheme.into()),
        concat: arguments.concat.into(),
        weight: arguments.scales.config()?,
        precision,
        candidates: candidates(arguments, precision),
        ignore: arguments.ignore.clone(),
        num_images,
        num_calib: arguments.num_calib,
        conf: arguments.evaluation.conf,
        iou: arguments.evaluation.iou,
        skip_bad: arguments.evaluation.skip_bad,
        samples: arguments.samples as usize,
    })
}

/// In rising order, each once.
fn candidates(arguments: &Arguments, precision: Precision) -> Vec<Precision> {
    let default = if arguments.mode == Task::OnlyOneOn { precision } else { Precision::F32 };
    let mut candidates = arguments.candidates.clone();
    candidates.sort_unstable();
    candidates.dedup();
    if candidates.is_empty() { vec![default] } else { candidates }
}

fn announce(job: &Job) {
    note(format_args!(
        "{}: {} layers in {} scopes, {} images",
        job.settings.weights.display(),
        job.layers.len(),
        job.scopes.len(),
        job.dataset.images.len()
    ));
}

/// What the run took, where the system tells.
fn cost() {
    if let (Some(cpu), Some(peak)) = (cpu_seconds(), peak_rss_bytes()) {
        note(format_args!("CPU {cpu:.1} s, peak memory {:.0} MiB", peak as f64 / f64::from(1 << 20)));
    }
}
