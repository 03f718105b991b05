//! Two detectors on the same images: how much is lost, and whether that is more than chance.

#![forbid(unsafe_code)]

use clap::Parser;
use coco_eval::{BootstrapParams, Comparison, EvalParams, ImageInfluence, Outcomes, Verdict};
use examples::annotations::{Annotations, read_results};
use examples::comparison::{InputFile, Inputs, Report};
use examples::error::{Error, Result, exit_with};
use examples::output::{check_outputs, note, print, write_output};
use examples::progress::{bar, spin};
use examples::protocol::ProtocolArguments;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Compare two COCO results files by a paired bootstrap over images.
///
/// Exit code 0 whatever the verdict, unless --fail-beyond is given; 2 for an error.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Results of the first detector, such as the float network
    #[arg(long)]
    baseline: PathBuf,
    /// Results of the second detector, such as the quantised network
    #[arg(long)]
    candidate: PathBuf,
    #[command(flatten)]
    protocol: ProtocolArguments,
    /// Loss in AP that is accepted: 0.005 is half a point
    #[arg(long, default_value_t = 0.005, allow_negative_numbers = true)]
    tolerance: f64,
    /// Sets of images to draw
    #[arg(long, default_value_t = BootstrapParams::default().samples)]
    samples: usize,
    /// Seed of the draws
    #[arg(long, default_value_t = BootstrapParams::default().seed)]
    seed: u64,
    /// Share of the samples that an interval holds
    #[arg(long, default_value_t = 0.95, allow_negative_numbers = true)]
    confidence: f64,
    /// Show this many of the images that cost most; 0 saves the time to find them
    #[arg(long, value_name = "N", default_value_t = 10)]
    images: usize,
    /// Show all categories
    #[arg(long)]
    per_class: bool,
    /// Write figures, categories and images as a table
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
    /// Exit code 1 if the loss is beyond the tolerance
    #[arg(long)]
    fail_beyond: bool,
    /// Exit code 1 also if these images can't tell
    #[arg(long, requires = "fail_beyond")]
    fail_undecided: bool,
}

fn main() -> ExitCode {
    exit_with(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let params = arguments.protocol.params()?;
    check(arguments)?;
    let report = arguments.protocol.install(|| report(arguments, params))?;
    if let Some(path) = &arguments.csv {
        write_output(path, report.csv().as_bytes())?;
        note(format_args!("wrote {}", path.display()));
    }
    if arguments.json {
        print(serde_json::to_string_pretty(&report)?)?;
    } else {
        print(report.text(arguments.per_class))?;
    }
    let fails = match report.verdict {
        Verdict::Within => false,
        Verdict::Beyond => arguments.fail_beyond,
        _ => arguments.fail_undecided,
    };
    Ok(if fails { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn check(arguments: &Arguments) -> Result<()> {
    let Arguments { tolerance, confidence, samples, .. } = arguments;
    let rules = [
        (
            "--tolerance",
            tolerance.to_string(),
            tolerance.is_finite() && *tolerance >= 0.0,
            "expected 0 or more",
        ),
        (
            "--confidence",
            confidence.to_string(),
            *confidence > 0.0 && *confidence < 1.0,
            "expected a number between 0 and 1",
        ),
        ("--samples", samples.to_string(), *samples >= 2, "expected 2 or more; an interval needs hundreds"),
    ];
    for (option, value, holds, expected) in rules {
        if !holds {
            return Err(Error::Argument { option, value, expected });
        }
    }
    let mut inputs = vec![arguments.baseline.as_path(), &arguments.candidate];
    inputs.extend(arguments.protocol.annotations.as_deref());
    check_outputs(&Vec::from_iter(arguments.csv.as_deref()), &inputs)
}

fn report(arguments: &Arguments, params: EvalParams) -> Result<Report> {
    let path = arguments.protocol.annotations_path()?;
    let annotations = Annotations::read(&path, arguments.protocol.policy.into())?;
    let params = arguments.protocol.select(params, &annotations)?;
    let baseline = collect(arguments, &arguments.baseline, &annotations, &params)?;
    let candidate = collect(arguments, &arguments.candidate, &annotations, &params)?;
    let comparison = compare(arguments, &baseline, &candidate)?;
    let worst = worst_images(arguments, &baseline, &candidate)?;
    let mut report = Report::new(comparison, arguments.tolerance, &worst, &annotations);
    if arguments.json {
        report.inputs = Some(Inputs {
            annotations: InputFile::new(&path)?,
            baseline: InputFile::new(&arguments.baseline)?,
            candidate: InputFile::new(&arguments.candidate)?,
        });
    }
    Ok(report)
}

fn collect(
    arguments: &Arguments,
    results: &Path,
    annotations: &Annotations,
    params: &EvalParams,
) -> Result<Outcomes> {
    let detections = read_results(results, arguments.protocol.policy.into())?;
    Outcomes::collect(&annotations.ground_truth, &detections, params).map_err(Error::coco(results))
}

/// Draws the same samples for both, one detector after the other.
fn compare(arguments: &Arguments, baseline: &Outcomes, candidate: &Outcomes) -> Result<Comparison> {
    let params = BootstrapParams { samples: arguments.samples, seed: arguments.seed };
    let progress = bar(2 * params.samples, "sampling");
    let baseline = baseline.bootstrap(params, || progress.inc(1))?;
    let candidate = candidate.bootstrap(params, || progress.inc(1))?;
    progress.finish_and_clear();
    Ok(Comparison::new(&baseline, &candidate, arguments.confidence)?)
}

/// The images that add to a loss, the worst first.
fn worst_images(
    arguments: &Arguments,
    baseline: &Outcomes,
    candidate: &Outcomes,
) -> Result<Vec<ImageInfluence>> {
    if arguments.images == 0 {
        return Ok(Vec::new());
    }
    let influences = spin("leaving out one image after another", || baseline.image_influences(candidate))?;
    let worse = influences.into_iter().filter(|image| image.influence < 0.0);
    Ok(worse.take(arguments.images).collect())
}
