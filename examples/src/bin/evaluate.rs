//! Average precision of any detector's results, by COCO's rules.

#![forbid(unsafe_code)]

use clap::Parser;
use coco_eval::{
    ConfusionMatrix, ConfusionParams, Detections, EvalParams, Evaluation, GroundTruth, Outcomes, Summary,
    TideParams, TideReport, confusion_matrix, tide,
};
use examples::annotations::{Annotations, read_results};
use examples::curves::{self, CurveFile};
use examples::drawing::render;
use examples::error::{Error, Result, exit};
use examples::figures::{self, CategoryOrder};
use examples::output::{check_outputs, note, print, write_output};
use examples::protocol::ProtocolArguments;
use examples::report::{CategoryRow, ConfusionRows, Report};
use examples::shards::{Shard, merge};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Evaluate a COCO results file: the twelve figures as pycocotools prints them, and what is behind them.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The results file to evaluate
    #[arg(long, required_unless_present = "merge")]
    results: Option<PathBuf>,
    #[command(flatten)]
    protocol: ProtocolArguments,
    /// Also show the figures of each category
    #[arg(long)]
    per_class: bool,
    /// Order of that table
    #[arg(long, value_enum, default_value = "id", requires = "per_class")]
    sort: CategoryOrder,
    /// Write precision-recall curves: .csv, .svg or .png; a .csv with --per-class has those of each category
    #[arg(long, value_name = "FILE")]
    pr_curve: Option<PathBuf>,
    /// Also show what kinds of error the detector makes, and what each costs
    #[arg(long, conflicts_with = "class_agnostic")]
    tide: bool,
    /// Write which category is taken for which, .csv
    #[arg(long, value_name = "FILE", conflicts_with = "class_agnostic")]
    confusion: Option<PathBuf>,
    /// For --confusion: detections need this score
    #[arg(long, default_value_t = ConfusionParams::default().score, requires = "confusion")]
    score: f64,
    /// For --confusion: overlap from which a detection is matched
    #[arg(long, default_value_t = ConfusionParams::default().iou, requires = "confusion")]
    iou: f64,
    /// Evaluate only the I-th of N parts of the images, for --merge
    #[arg(long, value_name = "I/N", requires = "save_outcomes",
        conflicts_with_all = ["per_class", "pr_curve", "tide", "confusion", "json"])]
    shard: Option<String>,
    /// Write what each detection is, for --merge
    #[arg(long, value_name = "FILE")]
    save_outcomes: Option<PathBuf>,
    /// Evaluate what --save-outcomes wrote, all files as one; --annotations then gives names only
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["results", "tide", "confusion", "shard",
        "max_dets", "iou_thresholds", "area", "class_agnostic", "images_subset", "categories"])]
    merge: Vec<PathBuf>,
    /// Print figures and hashes of all arrays as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

/// An evaluation, and what it was made from.
struct Evaluated {
    annotations: Option<Annotations>,
    detections: Option<Detections>,
    /// Kept only to be saved.
    outcomes: Option<Outcomes>,
    evaluation: Evaluation,
    summary: Summary,
}

/// What was asked for beside the figures.
struct Analyses {
    tide: Option<TideReport>,
    confusion: Option<(ConfusionMatrix, ConfusionParams)>,
}

fn run(arguments: &Arguments) -> Result<()> {
    let shard = arguments.shard.as_deref().map(Shard::parse).transpose()?;
    let params = arguments.protocol.params()?;
    check(arguments)?;
    arguments.protocol.install(|| match shard {
        Some(shard) => evaluate_part(arguments, params, shard),
        None => evaluate_all(arguments, params),
    })
}

/// Refuses outputs and thresholds that would fail after the work.
fn check(arguments: &Arguments) -> Result<()> {
    arguments.pr_curve.as_deref().map(CurveFile::of).transpose()?;
    if !(arguments.iou > 0.0 && arguments.iou <= 1.0) {
        let (value, expected) = (arguments.iou.to_string(), "expected a number above 0 and at most 1");
        return Err(Error::Argument { option: "--iou", value, expected });
    }
    if arguments.score.is_nan() {
        let value = arguments.score.to_string();
        return Err(Error::Argument { option: "--score", value, expected: "expected a number" });
    }
    let outputs = [&arguments.pr_curve, &arguments.confusion, &arguments.save_outcomes];
    let inputs = [&arguments.protocol.annotations, &arguments.results].into_iter().flatten();
    let inputs: Vec<&Path> = inputs.chain(&arguments.merge).map(PathBuf::as_path).collect();
    check_outputs(&outputs.into_iter().flatten().map(PathBuf::as_path).collect::<Vec<_>>(), &inputs)
}

/// Annotations, results, and the parameters with what is selected of them.
fn read(arguments: &Arguments, params: EvalParams) -> Result<(Annotations, Detections, EvalParams)> {
    let policy = arguments.protocol.policy.into();
    let annotations = Annotations::read(&arguments.protocol.annotations_path()?, policy)?;
    let params = arguments.protocol.select(params, &annotations)?;
    let detections = read_results(results(arguments), policy)?;
    Ok((annotations, detections, params))
}

/// The results file, which is there unless outcomes are merged.
fn results(arguments: &Arguments) -> &Path {
    arguments.results.as_deref().unwrap_or(Path::new(""))
}

/// Writes the outcomes of one part of the images.
fn evaluate_part(arguments: &Arguments, params: EvalParams, shard: Shard) -> Result<()> {
    let (annotations, detections, params) = read(arguments, params)?;
    let images = shard.images(&annotations.ground_truth, &params);
    let outcomes = Outcomes::collect_images(&annotations.ground_truth, &detections, &params, &images)
        .map_err(Error::coco(results(arguments)))?;
    save(arguments, &outcomes)
}

fn save(arguments: &Arguments, outcomes: &Outcomes) -> Result<()> {
    let Some(path) = &arguments.save_outcomes else { return Ok(()) };
    write_output(path, &serde_json::to_vec(outcomes)?)?;
    note(format_args!("wrote {}: outcomes on {} images", path.display(), outcomes.image_ids().len()));
    Ok(())
}

fn evaluate_all(arguments: &Arguments, params: EvalParams) -> Result<()> {
    let (evaluated, analyses) = match arguments.merge.as_slice() {
        [] => from_results(arguments, params)?,
        paths => (from_outcomes(arguments, paths)?, Analyses { tide: None, confusion: None }),
    };
    evaluated.outcomes.as_ref().map_or(Ok(()), |outcomes| save(arguments, outcomes))?;
    write_curves(arguments, &evaluated)?;
    write_confusion(arguments, &analyses)?;
    if arguments.json {
        print(serde_json::to_string_pretty(&report(arguments, &evaluated, &analyses))?)
    } else {
        print_text(arguments, &evaluated, &analyses)
    }
}

fn from_results(arguments: &Arguments, params: EvalParams) -> Result<(Evaluated, Analyses)> {
    let (annotations, detections, params) = read(arguments, params)?;
    let truth = &annotations.ground_truth;
    let at_fault = || Error::coco(results(arguments));
    let (outcomes, evaluation) = if arguments.save_outcomes.is_some() {
        let outcomes = Outcomes::collect(truth, &detections, &params).map_err(at_fault())?;
        let evaluation = outcomes.accumulate();
        (Some(outcomes), evaluation)
    } else {
        (None, coco_eval::evaluate(truth, &detections, &params).map_err(at_fault())?)
    };
    let analyses = analyse(arguments, truth, &detections, &params)?;
    let summary = evaluation.summarize()?;
    let (annotations, detections) = (Some(annotations), Some(detections));
    Ok((Evaluated { annotations, detections, outcomes, evaluation, summary }, analyses))
}

fn from_outcomes(arguments: &Arguments, paths: &[PathBuf]) -> Result<Evaluated> {
    let policy = arguments.protocol.policy.into();
    let given = arguments.protocol.annotations.as_deref();
    let annotations = given.map(|path| Annotations::read(path, policy)).transpose()?;
    let outcomes = merge(paths)?;
    if let Some(annotations) = &annotations {
        let covered = |id: &i64| outcomes.image_ids().binary_search(id).is_ok();
        let left_out = annotations.ground_truth.images().iter().filter(|image| !covered(&image.id)).count();
        if left_out > 0 {
            note(format_args!(
                "warning: {left_out} images of the annotations are in none of the merged files"
            ));
        }
    }
    let evaluation = outcomes.accumulate();
    let summary = evaluation.summarize()?;
    Ok(Evaluated { annotations, detections: None, outcomes: Some(outcomes), evaluation, summary })
}

fn analyse(
    arguments: &Arguments,
    truth: &GroundTruth,
    detections: &Detections,
    params: &EvalParams,
) -> Result<Analyses> {
    let (image_ids, category_ids) = (params.image_ids.clone(), params.category_ids.clone());
    let confusion = ConfusionParams {
        iou: arguments.iou,
        score: arguments.score,
        image_ids: image_ids.clone(),
        category_ids: category_ids.clone(),
        ..ConfusionParams::default()
    };
    let matrix = arguments.confusion.as_ref().map(|_| confusion_matrix(truth, detections, &confusion));
    let errors = TideParams { image_ids, category_ids, ..TideParams::default() };
    let report = arguments.tide.then(|| tide(truth, detections, &errors));
    Ok(Analyses {
        tide: report.transpose()?,
        confusion: matrix.transpose()?.map(|matrix| (matrix, confusion)),
    })
}

fn write_curves(arguments: &Arguments, evaluated: &Evaluated) -> Result<()> {
    let Some(path) = &arguments.pr_curve else { return Ok(()) };
    let Evaluated { annotations, evaluation, summary, .. } = evaluated;
    let bytes = match CurveFile::of(path)? {
        CurveFile::Drawing(file) => render(&curves::drawing(evaluation, summary), file)?,
        CurveFile::Csv if arguments.per_class => {
            curves::category_csv(evaluation, annotations.as_ref()).into_bytes()
        }
        CurveFile::Csv => curves::mean_csv(evaluation).into_bytes(),
    };
    write(path, &bytes)
}

fn write_confusion(arguments: &Arguments, analyses: &Analyses) -> Result<()> {
    let (Some(path), Some((matrix, _))) = (&arguments.confusion, &analyses.confusion) else { return Ok(()) };
    let mut bytes = Vec::new();
    matrix.write_csv(&mut bytes).map_err(Error::io(path))?;
    write(path, &bytes)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_output(path, bytes)?;
    note(format_args!("wrote {}", path.display()));
    Ok(())
}

fn report(arguments: &Arguments, evaluated: &Evaluated, analyses: &Analyses) -> Report {
    let Evaluated { annotations, detections, evaluation, summary, .. } = evaluated;
    let mut report = Report::new(evaluation, summary, detections.as_ref().map(Detections::len));
    if arguments.per_class {
        let rows = figures::categories(evaluation, arguments.sort);
        report.per_category =
            Some(rows.iter().map(|row| CategoryRow::new(row, annotations.as_ref())).collect());
    }
    report.tide = analyses.tide.as_ref().map(Into::into);
    report.confusion = analyses.confusion.as_ref().map(|(matrix, params)| ConfusionRows::new(matrix, params));
    report
}

fn print_text(arguments: &Arguments, evaluated: &Evaluated, analyses: &Analyses) -> Result<()> {
    let Evaluated { annotations, evaluation, summary, .. } = evaluated;
    print(figures::lines(evaluation, summary).join("\n"))?;
    if arguments.per_class {
        let rows = figures::categories(evaluation, arguments.sort);
        print(format_args!("\n{}", figures::category_table(&rows, annotations.as_ref())))?;
    }
    if let Some(report) = &analyses.tide {
        print(format_args!("\n{}", report.to_string().trim_end()))?;
    }
    Ok(())
}
