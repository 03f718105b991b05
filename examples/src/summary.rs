//! What `quantize` leaves behind: `summary.json`, and the table on the screen.

use crate::comparison_text::ends;
use crate::demo;
use crate::error::Result;
use crate::figures::decimals;
use crate::methods::MethodChoice;
use crate::output::sha256;
use crate::resources::cpu_seconds;
use crate::run::Outcome;
use crate::weights::WeightTreatment;
use coco_eval::{Comparison, Interval, Summary};
use ptq::{GroupChoice, Method, NetworkError, ReconstructedLayer};
use std::collections::BTreeMap;

use quant_core::Scheme;
use serde::Serialize;
use std::path::{Path, PathBuf};
use yolo_model::ImageSize;

/// Ids of the images evaluated, one a line, beside saved detections.
pub const IMAGES_FILE: &str = "images.txt";

/// What to work on, with all defaults filled in.
#[derive(Serialize)]
pub struct Inputs {
    /// Checkpoint.
    pub weights: PathBuf,
    /// Architecture, where the checkpoint does not describe it.
    pub model: Option<String>,
    /// Folder of the images to evaluate on.
    pub images: PathBuf,
    /// Their annotations.
    pub annotations: PathBuf,
    /// Folder of the images to calibrate on, or the calibration file.
    pub calibration: PathBuf,
    /// Size of the network's input.
    pub size: ImageSize,
    /// Whether this is the demonstration in `fixtures/demo`.
    pub demonstration: bool,
}

/// One network and what it achieved.
#[derive(Serialize)]
pub struct Run {
    /// `float`, or the method, with `-pre8` where arguments of activations have 8 bits, `-16` where all tensors have 16, `-mixed` where layers
    /// have precisions of their own.
    pub name: String,
    /// `f32` or `int8`.
    pub precision: &'static str,
    /// Width of the arguments of activations.
    pub preactivation_bits: Option<u8>,
    /// Scheme of the 8-bit activations.
    pub scheme: Option<Scheme>,
    /// AP over IoU 0.5 to 0.95.
    pub ap: f64,
    /// AP at IoU 0.5.
    pub ap50: f64,
    /// AP at IoU 0.75.
    pub ap75: f64,
    /// AP of small objects.
    pub ap_small: f64,
    /// AP of medium objects.
    pub ap_medium: f64,
    /// AP of large objects.
    pub ap_large: f64,
    /// The twelve COCO figures.
    pub stats: [f64; 12],
    /// AP minus that of the float run.
    pub delta_ap: f64,
    /// Interval of that difference over sets of images drawn in pairs, holding [`Manifest::confidence`] of them; none for the
    /// float run, or without samples.
    pub interval_ap: Option<Interval>,
    /// Standard error of that difference.
    pub standard_error: Option<f64>,
    /// Median forward time on one core.
    pub ms_per_image: f64,
    /// Size of the saved network.
    pub model_bytes: u64,
    /// Saved network, in the output folder.
    pub file: String,
    /// What `auto` chose for each group of tensors, and what other methods would have given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<GroupChoice>,
    /// The networks that `auto` compared at their outputs: the choice by tensors, and each method for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkError>,
    /// What reconstruction gained in each layer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<ReconstructedLayer>,
    /// SHA-256 of the detections as COCO json.
    pub detections_sha256: String,
    /// The detections as COCO json, in the output folder, where they were asked for.
    pub detections_file: Option<String>,
}

/// A phase of the work.
#[derive(Serialize)]
pub struct Phase {
    /// Name.
    pub name: &'static str,
    /// CPU time of all threads.
    pub cpu_seconds: Option<f64>,
}

/// The content of `summary.json`.
#[derive(Serialize)]
pub struct SummaryFile {
    /// The float network, then the quantised ones.
    pub runs: Vec<Run>,
    /// Name of the quantised run with the highest AP.
    pub best: Option<String>,
    /// CPU time of the whole process.
    pub cpu_seconds: Option<f64>,
    /// Peak resident memory.
    pub peak_rss_bytes: Option<u64>,
    /// Where the time went.
    pub phases: Vec<Phase>,
    /// Images evaluated.
    pub images: usize,
    /// Images that could not be read.
    pub images_skipped: usize,
    /// Images without annotations.
    pub images_not_annotated: usize,
    /// Images calibrated on.
    pub calibration_images: usize,
    /// Calibration images that could not be read.
    pub calibration_skipped: u64,
    /// How often each placement rule was applied, for the first width.
    pub rules: Vec<String>,
    /// Files and sizes.
    pub inputs: Inputs,
    /// What determines the results.
    pub manifest: Manifest,
}

/// Everything that determines the results.
#[derive(Serialize)]
pub struct Manifest {
    /// This program.
    pub tool: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Arguments as they were given.
    pub command: Vec<String>,
    /// Hash of the checkpoint.
    pub weights_sha256: String,
    /// Hash of the annotations.
    pub annotations_sha256: String,
    /// Hash of names and contents of the images evaluated.
    pub images_sha256: String,
    /// Hash of names and contents of the calibration images used.
    pub calibration_sha256: String,
    /// Hash of the calibration file, where statistics come from one.
    pub calibration_file_sha256: Option<String>,
    /// How images become the network's input.
    pub preprocessing: &'static str,
    /// Methods with their parameters.
    pub methods: Vec<MethodChoice>,
    /// Score threshold.
    pub conf: f32,
    /// IoU threshold of non-maximum suppression.
    pub iou: f32,
    /// Threads.
    pub threads: usize,
    /// Instructions used; they don't change the results.
    pub instruction_set: &'static str,
    /// Ties at concatenations.
    pub concat: ptq::ConcatPolicy,
    /// What was done to weights.
    pub weights: WeightTreatment,
    /// Hash of names and contents of the images that layers were looked at with; null where none were.
    pub layer_images_sha256: Option<String>,
    /// Prefixes of convolutions that stay in f32.
    pub float_layers: Vec<String>,
    /// Hash of the configuration of precisions, where one was given.
    pub config_sha256: Option<String>,
    /// Sets of images drawn for intervals.
    pub samples: usize,
    /// Share of these sets that an interval holds.
    pub confidence: f64,
}

/// CPU time by phase.
#[derive(Default)]
pub struct Clock {
    before: f64,
    /// Phases that have ended.
    pub phases: Vec<Phase>,
}

impl Clock {
    /// Ends a phase.
    pub fn phase(&mut self, name: &'static str) {
        let now = cpu_seconds();
        self.phases.push(Phase { name, cpu_seconds: now.map(|now| now - self.before) });
        self.before = now.unwrap_or(0.0);
    }
}

impl SummaryFile {
    /// The table, what the run cost, and where its files are.
    #[must_use]
    pub fn table(&self, out: &Path) -> String {
        let mut lines = Vec::new();
        if self.inputs.demonstration {
            lines.push(demo::NOTE.to_owned());
        }
        lines.push(Run::heading());
        lines.extend(self.runs.iter().map(Run::line));
        lines.push(format!(
            "{} images ({} skipped), calibrated on {} ({} skipped); ms/image is one core's median forward time",
            self.images, self.images_skipped, self.calibration_images, self.calibration_skipped
        ));
        if self.manifest.samples > 0 {
            lines.push(format!(
                "interval of dAP: 95 % of {} sets of images, drawn in pairs; `compare` tells more",
                self.manifest.samples
            ));
        }
        lines.extend(self.runs.iter().filter_map(Run::chosen));
        lines.extend(self.cost());
        lines.push(format!("quantiser rules: {}", self.rules.join(", ")));
        lines.push(format!("wrote {}", out.join("summary.json").display()));
        lines.extend(self.next_command(out));
        lines.join("\n")
    }

    /// How to look closer at the best run, where detections were saved.
    fn next_command(&self, out: &Path) -> Option<String> {
        let file = |run: &Run| Some(out.join(run.detections_file.as_ref()?).display().to_string());
        let best = self.runs.iter().find(|run| Some(&run.name) == self.best.as_ref())?;
        Some(format!(
            "next: compare --annotations {} --images-subset {} --baseline {} --candidate {}",
            self.inputs.annotations.display(),
            out.join(IMAGES_FILE).display(),
            file(self.runs.first()?)?,
            file(best)?
        ))
    }

    /// CPU time by phase and peak memory, where the system tells.
    fn cost(&self) -> Option<String> {
        let (cpu, peak) = (self.cpu_seconds?, self.peak_rss_bytes? as f64 / f64::from(1 << 20));
        let phase = |p: &Phase| Some(format!("{} {:.1}", p.name, p.cpu_seconds?));
        let phases: Vec<String> = self.phases.iter().filter_map(phase).collect();
        Some(format!("CPU {cpu:.1} s ({}), peak memory {peak:.0} MiB", phases.join(", ")))
    }
}

impl Run {
    /// The figures of a float run, compared with those of the run that is called `float` unless it is this one. What only quantised runs have, and some
    /// of them, is left empty. `detections` is the outcome's as COCO json, `file` the saved network with its size.
    ///
    /// # Errors
    /// If the intervals can't be computed.
    pub fn new(
        name: String,
        [outcome, float]: [&Outcome; 2],
        confidence: f64,
        detections: &[u8],
        (file, model_bytes): (String, u64),
    ) -> Result<Self> {
        let Summary { ap, ap50, ap75, ap_small, ap_medium, ap_large, .. } = outcome.summary;
        let comparison = match (&float.bootstrap, &outcome.bootstrap) {
            (Some(before), Some(after)) if !std::ptr::eq(outcome, float) => {
                Some(Comparison::new(before, after, confidence)?)
            }
            _ => None,
        };
        let difference = comparison.as_ref().map(|comparison| &comparison.figures[0]);
        Ok(Self {
            name,
            precision: "f32",
            preactivation_bits: None,
            scheme: None,
            ap,
            ap50,
            ap75,
            ap_small,
            ap_medium,
            ap_large,
            stats: outcome.summary.to_array(),
            delta_ap: ap - float.summary.ap,
            interval_ap: difference.and_then(|difference| difference.interval),
            standard_error: difference.and_then(|difference| difference.standard_error),
            ms_per_image: outcome.ms_per_image,
            model_bytes,
            file,
            choices: Vec::new(),
            networks: Vec::new(),
            layers: Vec::new(),
            detections_sha256: sha256(detections),
            detections_file: None,
        })
    }

    /// How often `auto` took each method.
    fn chosen(&self) -> Option<String> {
        let mut counts = BTreeMap::new();
        self.choices.iter().for_each(|choice| *counts.entry(method_label(&choice.method)).or_insert(0) += 1);
        let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{name} x{count}")).collect();
        (!counts.is_empty()).then(|| format!("{} chose {}", self.name, counts.join(", ")))
    }

    /// What stands for the width of pre-activations where there is not one.
    fn without_width(&self) -> &'static str {
        if self.precision == "f32" { "f32" } else { "mix" }
    }

    /// The table's first line.
    #[must_use]
    pub fn heading() -> String {
        format!(
            "{:<15} {:>3} {:>9} {:>6} {:>6} {:>6} {:>6} {:>6} {:>7} {:>18} {:>6} {:>8}",
            "run",
            "pre",
            "scheme",
            "AP",
            "AP50",
            "APs",
            "APm",
            "APl",
            "dAP",
            "interval of dAP",
            "KiB",
            "ms/image"
        )
    }

    /// A row of the table.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "{:<15} {:>3} {:>9} {:>6} {:>6} {:>6} {:>6} {:>6} {:>+7.4} {:>18} {:>6.0} {:>8.1}",
            self.name,
            self.preactivation_bits.map_or_else(|| self.without_width().to_owned(), |bits| bits.to_string()),
            self.scheme.map_or("", |s| if s == Scheme::Affine { "affine" } else { "symmetric" }),
            decimals(self.ap),
            decimals(self.ap50),
            decimals(self.ap_small),
            decimals(self.ap_medium),
            decimals(self.ap_large),
            self.delta_ap,
            ends(self.interval_ap),
            self.model_bytes as f64 / 1024.0,
            self.ms_per_image,
        )
    }
}

/// A method's name, with the percentile, of which `auto` has several.
fn method_label(method: &Method) -> String {
    match method {
        Method::Percentile { percent } => format!("percentile {percent}"),
        method => method.name().to_owned(),
    }
}
