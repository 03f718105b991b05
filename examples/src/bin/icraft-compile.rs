//! Compiles detectors to the files of Icraft, by open counterparts of its first three stages.

#![forbid(unsafe_code)]

use clap::Parser;
use examples::arguments::{EvaluationArguments, thread_count};
use examples::dataset::Dataset;
use examples::error::{Error, Result, exit};
use examples::icraft::compile::{Compiled, Job, Overrides};
use examples::icraft::evaluate::{Entry, Manifest, SummaryFile, entries, runs};
use examples::network::Network;
use examples::output::{check_writable, create_folder, is_same, note, print, write_atomic};
use examples::run::{Options, evaluate};
use examples::weights::{BiasArgument, TreatmentArguments};
use icraft_raw::Simulation;
use ptq::{Method, Reconstruct, ReconstructedLayer};
use quant_core::Rounding;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compile detectors as configurations of Icraft say: parse, optimize, quantize.
///
/// Writes NAME_parsed, _optimized, _normed and _quantized as json and raw, and the two logs of the quantiser. The vendor's tool goes on from
/// there: adapt and generate make code for its silicon.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Configurations, .ini or .toml; of several the first gives the float network
    #[arg(required = true)]
    configs: Vec<PathBuf>,
    /// Architecture of the checkpoint: a yaml file or a built-in name; not needed for checkpoints that describe theirs
    #[arg(long)]
    model: Option<String>,
    /// Take a setting in place of the configurations', such as quantize.bits=16; may be given several times
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// Choose saturation points so, whatever the configurations say: kld, ems, null, or a method of `quantize`
    #[arg(long)]
    saturation: Option<String>,
    /// Choose scales of weights so: max, or another method of `quantize`
    #[arg(long, default_value = "max")]
    weight_method: String,
    /// How the accelerator rounds sums when it cuts them, which is not known
    #[arg(long, value_enum, default_value = "half-up")]
    cut_rounding: RoundingArgument,
    /// How it rounds what it scales, which is not known
    #[arg(long, value_enum, default_value = "half-up")]
    scale_rounding: RoundingArgument,
    /// Run the networks that were written on annotated images, and write summary.json
    #[arg(long)]
    evaluate: bool,
    #[command(flatten)]
    treatment: TreatmentArguments,
    #[command(flatten)]
    evaluation: EvaluationArguments,
    /// Sets of images to draw for the intervals of differences in AP; 0 for no intervals
    #[arg(long, default_value_t = 1000)]
    samples: usize,
    /// Folder for summary.json [default: that of the first configuration's files]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print the summary as JSON instead of a table
    #[arg(long, requires = "evaluate")]
    json: bool,
}

/// Directions of rounding.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum RoundingArgument {
    /// Towards minus infinity, as an arithmetic shift does.
    Floor,
    /// From one half up.
    HalfUp,
    /// From one half to the even integer.
    HalfEven,
}

impl From<RoundingArgument> for Rounding {
    fn from(argument: RoundingArgument) -> Self {
        match argument {
            RoundingArgument::Floor => Rounding::Floor,
            RoundingArgument::HalfUp => Rounding::HalfUp,
            RoundingArgument::HalfEven => Rounding::HalfEven,
        }
    }
}

/// Share of the sets of images that an interval holds.
const CONFIDENCE: f64 = 0.95;

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<()> {
    let simulation = Simulation {
        cut: arguments.cut_rounding.into(),
        scale: arguments.scale_rounding.into(),
        fused: true,
    };
    let overrides = Overrides {
        model: arguments.model.clone(),
        settings: arguments.set.clone(),
        saturation: arguments.saturation.clone(),
        weight_method: Some(weight_method(arguments)?),
        reconstruct: treatment(arguments)?,
        simulation,
        threads: thread_count(arguments.evaluation.threads),
    };
    let jobs: Vec<Job> =
        arguments.configs.iter().map(|path| Job::load(path, &overrides)).collect::<Result<_>>()?;
    // So that ways to a folder can be compared, it has to exist.
    jobs.iter().try_for_each(|job| create_folder(job.folder()).and_then(|()| create_folder(job.logs())))?;
    if let Some((first, second)) = clash(&jobs) {
        return Err(Error::Taken { path: arguments.configs[first.max(second)].clone() });
    }
    let out = arguments.out.clone().unwrap_or_else(|| jobs[0].folder().to_owned());
    check_writable(&out)?;
    let mut compiled = Vec::new();
    for (job, config) in jobs.iter().zip(&arguments.configs) {
        let images: usize = job.parts().iter().map(Vec::len).sum();
        note(format_args!(
            "{}: {} bits, {images} images in {} parts",
            config.display(),
            job.bits,
            job.parts().len()
        ));
        compiled.push((job.compile()?, job.bits));
    }
    if !arguments.evaluate {
        return print(report(&jobs, &compiled));
    }
    let summary = summary(arguments, &jobs, &entries(&compiled, simulation)?, simulation)?;
    create_folder(&out)?;
    let text = serde_json::to_string_pretty(&summary)?;
    write_atomic(&out.join("summary.json"), text.as_bytes())?;
    if arguments.json {
        print(text)
    } else {
        print(format!("{}\n{}", report(&jobs, &compiled), table(&summary)))
    }
}

/// What is done to parameters; all of it is measured.
fn treatment(arguments: &Arguments) -> Result<Option<Reconstruct>> {
    if arguments.treatment.bias_correction == BiasArgument::Analytic {
        return Err(Error::Argument {
            option: "--bias-correction",
            value: "analytic".to_owned(),
            expected: "none, weights or outputs: normalised networks have no BatchNorm to expect anything from",
        });
    }
    Ok(arguments.treatment.reconstruction())
}

fn weight_method(arguments: &Arguments) -> Result<Method> {
    Method::from_name(&arguments.weight_method).ok_or_else(|| Error::Argument {
        option: "--weight-method",
        value: arguments.weight_method.clone(),
        expected: "max, or another method of `quantize`: mse, percentile, entropy, sqnr, octav, aciq",
    })
}

/// Two configurations that would write the same files.
fn clash(jobs: &[Job]) -> Option<(usize, usize)> {
    let files: Vec<Vec<PathBuf>> = jobs.iter().map(Job::files).collect();
    let shared =
        |a: usize, b: usize| files[a].iter().any(|one| files[b].iter().any(|other| is_same(one, other)));
    let mut pairs = (0..jobs.len()).flat_map(|a| (a + 1..jobs.len()).map(move |b| (a, b)));
    pairs.find(|&(a, b)| shared(a, b))
}

fn summary(
    arguments: &Arguments,
    jobs: &[Job],
    entries: &[Entry],
    simulation: Simulation,
) -> Result<SummaryFile> {
    let (images, annotations) = arguments.evaluation.paths()?;
    let dataset = Dataset::open(&images, &annotations, arguments.evaluation.skip_bad)?;
    let category_ids = dataset.category_ids(&jobs[0].model.class_names, &annotations)?;
    let networks: Vec<&Network> = entries.iter().map(|entry| &entry.network).collect();
    let options = Options { samples: arguments.samples, ..arguments.evaluation.options() };
    let evaluated = evaluate(&networks, &dataset, &category_ids, &options)?;
    let (conf, iou) = (arguments.evaluation.conf, arguments.evaluation.iou);
    Ok(SummaryFile {
        runs: runs(entries, &evaluated, CONFIDENCE)?,
        images: evaluated.image_ids.len(),
        images_skipped: evaluated.skipped,
        manifest: Manifest::new(&arguments.configs, simulation, conf, iou)?,
    })
}

/// What was written.
fn report(jobs: &[Job], compiled: &[(Compiled, u8)]) -> String {
    let lines = jobs.iter().zip(compiled).flat_map(|(job, (compiled, bits))| {
        let stages: Vec<String> = compiled.written.iter().map(|written| written.stage.to_string()).collect();
        let written = format!(
            "{}: {} ({bits} bits; {} of {} weights clipped); logs in {}",
            job.folder().display(),
            stages.join(", "),
            compiled.clipped,
            compiled.weights,
            job.logs().display()
        );
        std::iter::once(written).chain(reconstruction(&compiled.reconstructed))
    });
    let mut lines: Vec<String> = lines.collect();
    lines.push("next: adapt and generate, which need the vendor's tool; these files fit it".to_owned());
    lines.join("\n")
}

/// How much nearer the outputs of convolutions have come to those of the float network.
fn reconstruction(layers: &[ReconstructedLayer]) -> Option<String> {
    let mean = |error: fn(&ReconstructedLayer) -> f64| {
        layers.iter().map(|layer| error(layer) / layer.signal).sum::<f64>() / layers.len() as f64
    };
    let [before, after] = [mean(|layer| layer.before), mean(|layer| layer.after)];
    let count = layers.len();
    (count > 0).then(|| format!("outputs of {count} convolutions: mean error {before:.3e} of the signal to nearest, now {after:.3e}"))
}

fn table(summary: &SummaryFile) -> String {
    let mut lines = vec![examples::summary::Run::heading()];
    lines.extend(summary.runs.iter().map(examples::summary::Run::line));
    lines.push(format!("{} images ({} skipped)", summary.images, summary.images_skipped));
    lines.join("\n")
}
