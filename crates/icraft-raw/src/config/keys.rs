//! Every key that the stages know.

use crate::Generation;
use std::fmt;

/// A section of a configuration: one stage of the compiler, or the run of its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Section {
    /// `[parse]`
    Parse,
    /// `[optimize]`
    Optimize,
    /// `[quantize]`
    Quantize,
    /// `[adapt]`
    Adapt,
    /// `[generate]`
    Generate,
    /// `[run]`
    Run,
}

impl Section {
    /// All sections, in the order in which their stages run.
    pub const ALL: [Self; 6] =
        [Self::Parse, Self::Optimize, Self::Quantize, Self::Adapt, Self::Generate, Self::Run];

    /// The section of a name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.name() == name)
    }

    /// The name between the brackets.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Optimize => "optimize",
            Self::Quantize => "quantize",
            Self::Adapt => "adapt",
            Self::Generate => "generate",
            Self::Run => "run",
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the value of a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ValueKind {
    /// A word, a path, or any text; numbers and booleans count as their text.
    Text,
    /// Texts separated by commas, or a list of them.
    Texts,
    /// Texts of several inputs, separated by `;`, or a list of them.
    InputTexts,
    /// Dimensions from 1 of each input: `1, 640, 640, 3`, inputs separated by `;`, or lists.
    Shapes,
    /// Finite numbers for each channel of each input.
    Numbers,
    /// Finite divisors other than 0 for each channel of each input.
    Divisors,
    /// A permutation of 0..n for each input.
    Permutations,
    /// An integer from 0.
    Count,
    /// An integer from 1.
    Positive,
    /// 1, 2, 3 or 4.
    OneToFour,
    /// 8, 12 or 16.
    Width,
    /// A finite number.
    Number,
    /// true or false.
    Flag,
    /// true, false, or a list of ids that are exempted.
    FlagOrIds,
    /// `image` or `ftmp`.
    ForwardMode,
    /// `kld`, `ems`, `null` or `nsigma`.
    Saturation,
    /// `tensor`, `channel` or `group=n`.
    Granularity,
    /// `int8`, `bf16`, `fp16` or `tf32`.
    ElementKind,
    /// `auto`, or the path of a csv file.
    MixPrecision,
    /// Three letters: S or H, F or Q, B or T.
    DumpFormat,
}

/// One key of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigKey {
    /// Sections that have it.
    pub sections: &'static [Section],
    /// Its name.
    pub name: &'static str,
    /// Generations that have it.
    pub generations: &'static [Generation],
    /// What its value is.
    pub kind: ValueKind,
    /// What it means.
    pub meaning: &'static str,
}

const LEGACY: &[Generation] = &[Generation::Legacy];
const XIR: &[Generation] = &[Generation::Xir];
const BOTH: &[Generation] = &[Generation::Legacy, Generation::Xir];

const PARSE: &[Section] = &[Section::Parse];
const QUANTIZE: &[Section] = &[Section::Quantize];
const GENERATE: &[Section] = &[Section::Generate];
const RUN: &[Section] = &[Section::Run];
const PASSES: &[Section] = &[Section::Optimize, Section::Adapt];
const STAGES: &[Section] =
    &[Section::Parse, Section::Optimize, Section::Quantize, Section::Adapt, Section::Generate];
const AFTER_PARSE: &[Section] =
    &[Section::Optimize, Section::Quantize, Section::Adapt, Section::Generate, Section::Run];

type Row = (&'static [Section], &'static str, &'static [Generation], ValueKind, &'static str);

/// Every known key. Those that are not here are reported as warnings.
pub const CONFIG_KEYS: &[ConfigKey] = &table([
    (STAGES, "target", BOTH, ValueKind::Text, "chip: BUYI, zhuge"),
    (STAGES, "jr_path", BOTH, ValueKind::Text, "folder that json and raw are written to"),
    (&Section::ALL, "log_path", BOTH, ValueKind::Text, "folder of the logs"),
    (AFTER_PARSE, "json", BOTH, ValueKind::Text, "json to read"),
    (AFTER_PARSE, "raw", BOTH, ValueKind::Text, "raw file to read"),
    (STAGES, "debug", LEGACY, ValueKind::Flag, "further logs and dumps"),
    (PARSE, "name", LEGACY, ValueKind::Text, "name of the network, prefix of its files"),
    (PARSE, "net_name", XIR, ValueKind::Text, "name of the network, prefix of its files"),
    (PARSE, "framework", BOTH, ValueKind::Text, "pytorch, onnx"),
    (PARSE, "frame_version", BOTH, ValueKind::Text, "version of the framework"),
    (PARSE, "input", LEGACY, ValueKind::Shapes, "N, H, W, C of each input"),
    (PARSE, "inputs", XIR, ValueKind::Shapes, "N, H, W, C of each input"),
    (PARSE, "inputs_layout", BOTH, ValueKind::InputTexts, "order of the axes of each input"),
    (PARSE, "inputs_dtype", XIR, ValueKind::InputTexts, "element type of each input"),
    (PARSE, "network", BOTH, ValueKind::Text, "model file"),
    (PARSE, "weights", BOTH, ValueKind::Text, "second model file, where the framework has one"),
    (PARSE, "pre_method", BOTH, ValueKind::InputTexts, "resize or nop"),
    (PARSE, "post_method", LEGACY, ValueKind::Text, "nop"),
    (PARSE, "pre_scale", BOTH, ValueKind::Divisors, "divisor of each channel"),
    (PARSE, "pre_mean", BOTH, ValueKind::Numbers, "number taken from each channel"),
    (PARSE, "chann_swap", LEGACY, ValueKind::Permutations, "order of the channels; 2, 1, 0 is RGB to BGR"),
    (PARSE, "channel_swap", XIR, ValueKind::Permutations, "order of the channels; 2, 1, 0 is RGB to BGR"),
    (PARSE, "pre_check", XIR, ValueKind::Text, "check of the model before parsing"),
    (PARSE, "image_channel_order", XIR, ValueKind::Text, "bgr or rgb"),
    (PASSES, "pass_on", XIR, ValueKind::Texts, "passes to run besides the usual ones"),
    (PASSES, "pass_off", XIR, ValueKind::Texts, "passes to leave out"),
    (PASSES, "no_integral", XIR, ValueKind::FlagOrIds, "switches integral passes off"),
    (PASSES, "custom_config", XIR, ValueKind::Text, "configuration of custom operations"),
    (QUANTIZE, "forward_mode", BOTH, ValueKind::ForwardMode, "what the calibration files are"),
    (QUANTIZE, "forward_dir", BOTH, ValueKind::Text, "folder of the calibration files"),
    (QUANTIZE, "forward_list", BOTH, ValueKind::Text, "list of the calibration files"),
    (QUANTIZE, "saturation", BOTH, ValueKind::Saturation, "how saturation points are found"),
    (QUANTIZE, "batch", BOTH, ValueKind::Positive, "equal parts that the list is split into; default 1"),
    (QUANTIZE, "bits", BOTH, ValueKind::Width, "width of weights and feature maps; default 8"),
    (QUANTIZE, "qdtype", XIR, ValueKind::ElementKind, "element type for zhuge"),
    (QUANTIZE, "per", BOTH, ValueKind::Granularity, "what shares a scale; default tensor, channel in XIR"),
    (QUANTIZE, "names_file", LEGACY, ValueKind::Text, "class names; unused"),
    (QUANTIZE, "bin_num", XIR, ValueKind::Positive, "bins of the histograms; default 4096"),
    (QUANTIZE, "no_imagemake", XIR, ValueKind::FlagOrIds, "inputs without the ImageMake block"),
    (QUANTIZE, "no_transinput", XIR, ValueKind::FlagOrIds, "inputs that are not shifted by 128"),
    (QUANTIZE, "ftmp_csv", XIR, ValueKind::Text, "feature map log to take saturation points from"),
    (QUANTIZE, "raw_csv", XIR, ValueKind::Text, "parameter log to take saturation points from"),
    (QUANTIZE, "decode_dll", XIR, ValueKind::Text, "library that reads calibration files"),
    (QUANTIZE, "mix_precision", XIR, ValueKind::MixPrecision, "precision of each operation"),
    (QUANTIZE, "smooth_alpha", XIR, ValueKind::Number, "strength of smoothing between weights and inputs"),
    (QUANTIZE, "autoqset_num", XIR, ValueKind::Count, "calibration files that are made up"),
    (QUANTIZE, "quant_autotune_config", XIR, ValueKind::Text, "configuration of the automatic tuning"),
    (GENERATE, "qbits", LEGACY, ValueKind::Width, "width, equal to that of quantisation"),
    (GENERATE, "ddr_base", XIR, ValueKind::Count, "first address in DDR memory, in units of 64 bytes"),
    (GENERATE, "rows", XIR, ValueKind::OneToFour, "rows of the array of processing elements"),
    (GENERATE, "cols", XIR, ValueKind::OneToFour, "columns of the array of processing elements"),
    (GENERATE, "xlmopt", XIR, ValueKind::Text, "option of the code generator"),
    (GENERATE, "klmopt", XIR, ValueKind::Text, "option of the code generator"),
    (GENERATE, "icropt", XIR, ValueKind::Text, "option of the code generator"),
    (GENERATE, "ocmopt", XIR, ValueKind::Text, "option of the code generator"),
    (GENERATE, "etmopt", XIR, ValueKind::Text, "option of the code generator"),
    (GENERATE, "no_mergeops", XIR, ValueKind::FlagOrIds, "operations that are not fused"),
    (GENERATE, "device_info", XIR, ValueKind::Text, "description of the device"),
    (RUN, "input", XIR, ValueKind::InputTexts, "file of each input"),
    (RUN, "backends", XIR, ValueKind::Texts, "what runs the network"),
    (RUN, "dump_format", XIR, ValueKind::DumpFormat, "form of dumped feature maps"),
    (RUN, "dump_ftmp", XIR, ValueKind::Text, "feature maps to dump"),
    (RUN, "dump_output", XIR, ValueKind::Flag, "whether outputs are dumped"),
    (RUN, "fake_qf", XIR, ValueKind::Flag, "float arithmetic in place of integers"),
    (RUN, "log_io", XIR, ValueKind::Flag, "whether inputs and outputs are logged"),
    (RUN, "log_time", XIR, ValueKind::Flag, "whether times are logged"),
]);

const fn table<const N: usize>(rows: [Row; N]) -> [ConfigKey; N] {
    let (sections, name, generations, kind, meaning) = rows[0];
    let mut keys = [ConfigKey { sections, name, generations, kind, meaning }; N];
    let mut index = 0;
    while index < N {
        let (sections, name, generations, kind, meaning) = rows[index];
        keys[index] = ConfigKey { sections, name, generations, kind, meaning };
        index += 1;
    }
    keys
}

/// The keys of a section in a generation.
pub(super) fn keys_of(section: Section, generation: Generation) -> impl Iterator<Item = &'static ConfigKey> {
    let applies =
        move |key: &&ConfigKey| key.sections.contains(&section) && key.generations.contains(&generation);
    CONFIG_KEYS.iter().filter(applies)
}
