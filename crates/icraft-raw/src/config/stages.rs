//! One struct for each section; [`CONFIG_KEYS`](crate::CONFIG_KEYS) tells what each field means.

use super::keys::Section;
use super::values::{DumpFormat, ElementKind, ForwardMode, FromSetting, MixPrecision, Settings, Switch};
use crate::{Generation, Granularity, SaturationMethod};

/// Keys that most sections have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageFiles {
    /// Chip.
    pub target: Option<String>,
    /// json to read.
    pub json: Option<String>,
    /// raw file to read.
    pub raw: Option<String>,
    /// Folder that json and raw are written to.
    pub jr_path: Option<String>,
    /// Folder of the logs.
    pub log_path: Option<String>,
    /// Further logs and dumps; default false.
    pub debug: bool,
}

/// `[parse]`
#[derive(Debug, Clone, PartialEq)]
pub struct ParseConfig {
    /// Paths and target; there is nothing to read but the model.
    pub files: StageFiles,
    /// `name` or `net_name`.
    pub name: Option<String>,
    /// `pytorch`, `onnx`.
    pub framework: Option<String>,
    /// Version of the framework.
    pub frame_version: Option<String>,
    /// `input` or `inputs`: dimensions of each input.
    pub inputs: Vec<Vec<usize>>,
    /// Order of the axes of each input.
    pub inputs_layout: Vec<String>,
    /// Element type of each input.
    pub inputs_dtype: Vec<String>,
    /// Model file.
    pub network: Option<String>,
    /// Second model file.
    pub weights: Option<String>,
    /// `resize`, `nop`, `resize:1,h,w,c`, one for each input.
    pub pre_method: Vec<String>,
    /// `nop`
    pub post_method: Option<String>,
    /// Divisor of each channel of each input.
    pub pre_scale: Vec<Vec<f64>>,
    /// Mean of each channel of each input, taken away before the division.
    pub pre_mean: Vec<Vec<f64>>,
    /// `chann_swap` or `channel_swap`: a permutation of the channels of each input.
    pub channel_swap: Vec<Vec<usize>>,
    /// Check of the model.
    pub pre_check: Option<String>,
    /// `bgr` or `rgb`.
    pub image_channel_order: Option<String>,
}

/// `[optimize]` and `[adapt]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptimizeConfig {
    /// Paths and target.
    pub files: StageFiles,
    /// Passes to run besides the usual ones.
    pub pass_on: Vec<String>,
    /// Passes to leave out.
    pub pass_off: Vec<String>,
    /// Switches integral passes off.
    pub no_integral: Option<Switch>,
    /// Configuration of custom operations.
    pub custom_config: Option<String>,
}

/// `[quantize]`
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizeConfig {
    /// Paths and target.
    pub files: StageFiles,
    /// What calibration files are.
    pub forward_mode: Option<ForwardMode>,
    /// Folder of the calibration files.
    pub forward_dir: Option<String>,
    /// List of the calibration files, see [`CalibrationList`](crate::CalibrationList).
    pub forward_list: Option<String>,
    /// How saturation points are found.
    pub saturation: Option<SaturationMethod>,
    /// Equal parts that the list is split into, from 1; default 1.
    pub batch: usize,
    /// 8, 12 or 16; default 8.
    pub bits: u32,
    /// Element type for zhuge.
    pub qdtype: Option<ElementKind>,
    /// What shares a scale; default tensor in ini files, channel in toml files.
    pub per: Granularity,
    /// Class names.
    pub names_file: Option<String>,
    /// Bins of the histograms; default 4096.
    pub bin_num: usize,
    /// Inputs without the ImageMake block.
    pub no_imagemake: Option<Switch>,
    /// Inputs that are not shifted by 128.
    pub no_transinput: Option<Switch>,
    /// Feature map log to take saturation points from.
    pub ftmp_csv: Option<String>,
    /// Parameter log to take saturation points from.
    pub raw_csv: Option<String>,
    /// Library that reads calibration files.
    pub decode_dll: Option<String>,
    /// Precision of each operation.
    pub mix_precision: Option<MixPrecision>,
    /// Strength of smoothing.
    pub smooth_alpha: Option<f64>,
    /// Calibration files that are made up.
    pub autoqset_num: Option<u64>,
    /// Configuration of the automatic tuning.
    pub quant_autotune_config: Option<String>,
}

/// `[generate]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerateConfig {
    /// Paths and target.
    pub files: StageFiles,
    /// 8, 12 or 16, equal to `bits` of `[quantize]`.
    pub qbits: Option<u32>,
    /// First address in DDR memory, in units of 64 bytes.
    pub ddr_base: Option<u64>,
    /// Rows of processing elements, in 1..=4.
    pub rows: Option<u64>,
    /// Columns of processing elements, in 1..=4.
    pub cols: Option<u64>,
    /// Option of the code generator.
    pub xlmopt: Option<String>,
    /// Option of the code generator.
    pub klmopt: Option<String>,
    /// Option of the code generator.
    pub icropt: Option<String>,
    /// Option of the code generator.
    pub ocmopt: Option<String>,
    /// Option of the code generator.
    pub etmopt: Option<String>,
    /// Operations that are not fused.
    pub no_mergeops: Option<Switch>,
    /// Description of the device.
    pub device_info: Option<String>,
}

/// `[run]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunConfig {
    /// Paths.
    pub files: StageFiles,
    /// File of each input.
    pub input: Vec<String>,
    /// What runs the network.
    pub backends: Vec<String>,
    /// Form of dumped feature maps.
    pub dump_format: Option<DumpFormat>,
    /// Feature maps to dump.
    pub dump_ftmp: Option<String>,
    /// Whether outputs are dumped; default false.
    pub dump_output: bool,
    /// Float arithmetic in place of integers; default false.
    pub fake_qf: bool,
    /// Whether inputs and outputs are logged; default false.
    pub log_io: bool,
    /// Whether times are logged; default false.
    pub log_time: bool,
}

/// The settings of one section.
struct Of<'s>(&'s Settings, Section);

impl Of<'_> {
    fn get<T: FromSetting>(&self, key: &'static str) -> Option<T> {
        self.0.get(self.1, &[key])
    }

    /// What the generations name differently.
    fn either<T: FromSetting>(&self, legacy: &'static str, xir: &'static str) -> Option<T> {
        self.0.get(self.1, &[legacy, xir])
    }

    fn list<T>(&self, key: &'static str) -> Vec<T>
    where
        Vec<T>: FromSetting,
    {
        self.get(key).unwrap_or_default()
    }

    fn flag(&self, key: &'static str) -> bool {
        self.get(key).unwrap_or(false)
    }

    /// 8, 12 or 16.
    fn width(&self, key: &'static str) -> Option<u32> {
        self.get::<u64>(key).and_then(|width| u32::try_from(width).ok())
    }

    fn files(&self) -> StageFiles {
        StageFiles {
            target: self.get("target"),
            json: self.get("json"),
            raw: self.get("raw"),
            jr_path: self.get("jr_path"),
            log_path: self.get("log_path"),
            debug: self.flag("debug"),
        }
    }
}

impl ParseConfig {
    pub(super) fn new(settings: &Settings) -> Self {
        let of = Of(settings, Section::Parse);
        Self {
            files: of.files(),
            name: of.either("name", "net_name"),
            framework: of.get("framework"),
            frame_version: of.get("frame_version"),
            inputs: of.either("input", "inputs").unwrap_or_default(),
            inputs_layout: of.list("inputs_layout"),
            inputs_dtype: of.list("inputs_dtype"),
            network: of.get("network"),
            weights: of.get("weights"),
            pre_method: of.list("pre_method"),
            post_method: of.get("post_method"),
            pre_scale: of.list("pre_scale"),
            pre_mean: of.list("pre_mean"),
            channel_swap: of.either("chann_swap", "channel_swap").unwrap_or_default(),
            pre_check: of.get("pre_check"),
            image_channel_order: of.get("image_channel_order"),
        }
    }
}

impl OptimizeConfig {
    pub(super) fn new(settings: &Settings, section: Section) -> Self {
        let of = Of(settings, section);
        Self {
            files: of.files(),
            pass_on: of.list("pass_on"),
            pass_off: of.list("pass_off"),
            no_integral: of.get("no_integral"),
            custom_config: of.get("custom_config"),
        }
    }
}

impl QuantizeConfig {
    pub(super) fn new(settings: &Settings, generation: Generation) -> Self {
        let of = Of(settings, Section::Quantize);
        let per = match generation {
            Generation::Legacy => Granularity::Tensor,
            Generation::Xir => Granularity::Channel,
        };
        let count = |key| of.get::<u64>(key).and_then(|count| usize::try_from(count).ok());
        Self {
            files: of.files(),
            forward_mode: of.get("forward_mode"),
            forward_dir: of.get("forward_dir"),
            forward_list: of.get("forward_list"),
            saturation: of.get("saturation"),
            batch: count("batch").unwrap_or(1),
            bits: of.width("bits").unwrap_or(8),
            qdtype: of.get("qdtype"),
            per: of.get("per").unwrap_or(per),
            names_file: of.get("names_file"),
            bin_num: count("bin_num").unwrap_or(4096),
            no_imagemake: of.get("no_imagemake"),
            no_transinput: of.get("no_transinput"),
            ftmp_csv: of.get("ftmp_csv"),
            raw_csv: of.get("raw_csv"),
            decode_dll: of.get("decode_dll"),
            mix_precision: of.get("mix_precision"),
            smooth_alpha: of.get("smooth_alpha"),
            autoqset_num: of.get("autoqset_num"),
            quant_autotune_config: of.get("quant_autotune_config"),
        }
    }
}

impl GenerateConfig {
    pub(super) fn new(settings: &Settings) -> Self {
        let of = Of(settings, Section::Generate);
        Self {
            files: of.files(),
            qbits: of.width("qbits"),
            ddr_base: of.get("ddr_base"),
            rows: of.get("rows"),
            cols: of.get("cols"),
            xlmopt: of.get("xlmopt"),
            klmopt: of.get("klmopt"),
            icropt: of.get("icropt"),
            ocmopt: of.get("ocmopt"),
            etmopt: of.get("etmopt"),
            no_mergeops: of.get("no_mergeops"),
            device_info: of.get("device_info"),
        }
    }
}

impl RunConfig {
    pub(super) fn new(settings: &Settings) -> Self {
        let of = Of(settings, Section::Run);
        Self {
            files: of.files(),
            input: of.list("input"),
            backends: of.list("backends"),
            dump_format: of.get("dump_format"),
            dump_ftmp: of.get("dump_ftmp"),
            dump_output: of.flag("dump_output"),
            fake_qf: of.flag("fake_qf"),
            log_io: of.flag("log_io"),
            log_time: of.flag("log_time"),
        }
    }
}
