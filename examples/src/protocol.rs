//! What of some results to evaluate, and how: the options that `evaluate` and `compare` share.

use crate::annotations::Annotations;
use crate::arguments::{given_or_asset, thread_count};
use crate::error::{Error, Result};
use coco_eval::{AreaRange, EvalParams, GroundTruth, InputPolicy, Pooling};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Options of an evaluation by COCO's rules.
#[derive(Debug, clap::Args)]
pub struct ProtocolArguments {
    /// Annotations, COCO json [default: $YOLO_ASSETS/coco/instances_val206.json]
    #[arg(long)]
    pub annotations: Option<PathBuf>,
    /// Caps on the detections per image and category: three numbers or more
    #[arg(long, value_name = "N,N,N", default_value = "1,10,100", value_delimiter = ',')]
    pub max_dets: Vec<usize>,
    /// IoU thresholds [default: 0.5 to 0.95 in steps of 0.05]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub iou_thresholds: Vec<f64>,
    /// A range of areas in square pixels, beside COCO's four or in the place of one of them; may be repeated
    #[arg(long, value_name = "NAME=LOW..HIGH")]
    pub area: Vec<String>,
    /// Take all categories as one
    #[arg(long)]
    pub class_agnostic: bool,
    /// Only these images: ids with commas between them, or a file with ids
    #[arg(long, value_name = "IDS|FILE", allow_hyphen_values = true)]
    pub images_subset: Option<String>,
    /// Only these categories: names or ids
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub categories: Vec<String>,
    /// What to do with negative sizes and ids that occur twice
    #[arg(long, value_enum, default_value = "default")]
    pub policy: PolicyArgument,
    /// Threads; 0 for all cores
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
}

/// How strictly files are read.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum PolicyArgument {
    /// Take everything, as pycocotools does
    Pycocotools,
    /// Refuse negative sizes
    Default,
    /// Refuse negative sizes and annotation ids that occur twice
    Strict,
}

impl From<PolicyArgument> for InputPolicy {
    fn from(argument: PolicyArgument) -> Self {
        match argument {
            PolicyArgument::Pycocotools => InputPolicy::PYCOCOTOOLS,
            PolicyArgument::Default => InputPolicy::default(),
            PolicyArgument::Strict => InputPolicy::STRICT,
        }
    }
}

impl ProtocolArguments {
    /// The annotations file, given or among the assets.
    ///
    /// # Errors
    /// [`Error::Missing`] where neither is there.
    pub fn annotations_path(&self) -> Result<PathBuf> {
        given_or_asset(self.annotations.clone(), "--annotations", "coco/instances_val206.json")
    }

    /// The parameters that do not depend on the annotations.
    ///
    /// # Errors
    /// [`Error::Argument`] for an option that can't be used.
    pub fn params(&self) -> Result<EvalParams> {
        let mut params = EvalParams::default();
        if self.max_dets.len() < 3 {
            let expected = "expected three numbers or more, such as 1,10,100";
            return Err(argument("--max-dets", join(&self.max_dets), expected));
        }
        params.max_detections.clone_from(&self.max_dets);
        if let Some(bad) = self.iou_thresholds.iter().find(|value| !(0.0..=1.0).contains(*value)) {
            return Err(argument("--iou-thresholds", bad.to_string(), "expected numbers from 0 to 1"));
        }
        if !self.iou_thresholds.is_empty() {
            params.iou_thresholds.clone_from(&self.iou_thresholds);
        }
        for text in &self.area {
            set_area(&mut params.area_ranges, parse_area(text)?);
        }
        if self.class_agnostic {
            params.pooling = Pooling::ClassAgnostic;
        }
        Ok(params)
    }

    /// `params` with the images and categories to look at.
    ///
    /// # Errors
    /// [`Error::Argument`] for what the annotations do not list; a file of ids that can't be read.
    pub fn select(&self, params: EvalParams, annotations: &Annotations) -> Result<EvalParams> {
        let image_ids = self.images_subset.as_deref().map(|text| subset(text, &annotations.ground_truth));
        let category_ids = (!self.categories.is_empty()).then(|| self.category_ids(annotations));
        Ok(EvalParams {
            image_ids: image_ids.transpose()?,
            category_ids: category_ids.transpose()?,
            ..params
        })
    }

    fn category_ids(&self, annotations: &Annotations) -> Result<Vec<i64>> {
        let categories = annotations.ground_truth.categories();
        let find = |text: &String| {
            let named = categories.iter().find(|c| c.name.as_ref() == Some(text));
            let numbered = || categories.iter().find(|c| text.parse() == Ok(c.id));
            let found = named.or_else(numbered).map(|c| c.id);
            found.ok_or_else(|| {
                argument("--categories", text.clone(), "no category of the annotations has this name or id")
            })
        };
        self.categories.iter().map(find).collect()
    }

    /// Runs `work` on as many threads as asked for.
    ///
    /// # Errors
    /// If threads can't be started, and what `work` reports.
    pub fn install<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(thread_count(self.threads)).build()?;
        pool.install(work)
    }
}

fn argument(option: &'static str, value: String, expected: &'static str) -> Error {
    Error::Argument { option, value, expected }
}

fn join(values: &[usize]) -> String {
    values.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

fn parse_area(text: &str) -> Result<AreaRange> {
    let parts = text.split_once('=').and_then(|(name, ends)| Some((name, ends.split_once("..")?)));
    let range = parts.and_then(|(name, (low, high))| {
        Some(AreaRange::new(name, low.trim().parse().ok()?, high.trim().parse().ok()?))
    });
    let usable = |range: &AreaRange| !range.name.is_empty() && range.low <= range.high;
    range.filter(usable).ok_or_else(|| {
        argument("--area", text.to_owned(), "expected NAME=LOW..HIGH in square pixels, such as tiny=0..256")
    })
}

/// Puts a range in the place of the one of its name, else behind all.
fn set_area(ranges: &mut Vec<AreaRange>, range: AreaRange) {
    match ranges.iter_mut().find(|other| other.name == range.name) {
        Some(other) => *other = range,
        None => ranges.push(range),
    }
}

/// Ids in `text`, or in the file that it names: integers with commas or white space between them.
fn subset(text: &str, ground_truth: &GroundTruth) -> Result<Vec<i64>> {
    let parse = |text: &str| {
        let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
        words.map(|word| word.parse().ok()).collect::<Option<Vec<i64>>>()
    };
    let ids = match parse(text) {
        Some(ids) => Some(ids),
        None => parse(&std::fs::read_to_string(Path::new(text)).map_err(Error::io(text))?),
    };
    let bad = |value: String, expected| argument("--images-subset", value, expected);
    let ids = ids.filter(|ids| !ids.is_empty());
    let ids =
        ids.ok_or_else(|| bad(text.to_owned(), "expected integers with commas or white space between"))?;
    let listed: BTreeSet<i64> = ground_truth.images().iter().map(|image| image.id).collect();
    match ids.iter().find(|id| !listed.contains(id)) {
        Some(id) => Err(bad(id.to_string(), "no image of the annotations has this id")),
        None => Ok(ids),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_added_or_replaced() {
        let mut ranges = coco_eval::coco_area_ranges();
        set_area(&mut ranges, parse_area("tiny=0..256").unwrap());
        set_area(&mut ranges, parse_area("small=0..1e3").unwrap());
        let names: Vec<&str> = ranges.iter().map(|range| range.name.as_str()).collect();
        assert_eq!(names, ["all", "small", "medium", "large", "tiny"]);
        assert_eq!((ranges[1].high, ranges[4].high), (1000.0, 256.0));
        let bad = ["", "tiny", "tiny=", "tiny=1", "tiny=2..1", "=0..1", "tiny=a..b", "tiny=NaN..1"];
        let taken: Vec<&&str> = bad.iter().filter(|text| parse_area(text).is_ok()).collect();
        assert!(taken.is_empty(), "{taken:?}");
    }
}
