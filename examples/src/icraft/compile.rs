//! The open front of the compiler: parse, optimize and quantize.

use super::integers::{IntegerNetwork, Normalized, Stored};
use super::logs::{log_paths, measured, weight_saturations, write_logs};
use super::output::write_both;
use super::saturation::{Fit, Rule, Saturations, measure};
use crate::error::{Error, Result};
use crate::network::{Model, find_weights};
use crate::output::note;
use icraft_raw::{
    CalibrationList, Checksum, Config, ForwardMode, Generation, InputTransform, NOTES, Network, RawFile,
    Simulation, Stage, describe, normalized, payloads, raw_bytes, transformed,
};
use nn_graph::{Graph, Op, Params};
use ptq::{
    InputShift, IntegerConvConfig, Method, NormRatios, Reconstruct, ReconstructedLayer, WeightConfig,
    normalize, shift_input,
};
use quant_core::{Accelerator, Granularity, NormConvention, Rounding, norm_ratio};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use yolo_model::ImageSize;

/// What the command line adds to a configuration.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Architecture, where the checkpoint does not describe it.
    pub model: Option<String>,
    /// Settings `SECTION.KEY=VALUE` in place of the configuration's.
    pub settings: Vec<String>,
    /// In place of `saturation`.
    pub saturation: Option<String>,
    /// How scales of weights are chosen.
    pub weight_method: Option<Method>,
    /// What is done to weights and biases beyond rounding to nearest.
    pub reconstruct: Option<Reconstruct>,
    /// What is not known of the accelerator.
    pub simulation: Simulation,
    /// Threads.
    pub threads: usize,
}

/// A configuration whose model is loaded.
#[derive(Clone)]
pub struct Job {
    config: Config,
    /// The detector.
    pub model: Model,
    name: String,
    /// Size of the image.
    pub size: ImageSize,
    /// Width of the integers.
    pub bits: u8,
    rule: Rule,
    fit: Fit,
    parts: Vec<Vec<PathBuf>>,
    per: Granularity,
    weight_method: Method,
    reconstruct: Option<Reconstruct>,
    simulation: Simulation,
    transform: InputTransform,
    folder: PathBuf,
    logs: PathBuf,
    threads: usize,
}

/// The files of a stage.
#[derive(Debug, Clone)]
pub struct Written {
    /// The stage.
    pub stage: Stage,
    /// Its json; the raw file is beside it.
    pub json: PathBuf,
}

/// What is known before the first stage.
#[derive(Clone)]
pub struct Calibrated {
    parsed: Network,
    /// Of feature maps.
    pub measured: Saturations,
    /// Saturation points of normalised weights by name of the parameter, of every output channel, where they are given.
    pub saturations: BTreeMap<String, Vec<f32>>,
}

impl Calibrated {
    /// The same with other saturation points of weights.
    #[must_use]
    pub fn with_saturations(&self, saturations: BTreeMap<String, Vec<f32>>) -> Self {
        Self { saturations, ..self.clone() }
    }
}

/// The stages before integers.
pub struct Front<'j> {
    optimized: Network,
    normed: Network,
    /// Parameters of both.
    params: [Params; 2],
    ratios: &'j NormRatios,
}

/// What the stages left.
pub struct Compiled {
    /// Parsed, optimized, normed and quantized.
    pub written: Vec<Written>,
    /// What became of convolutions beyond rounding to nearest.
    pub reconstructed: Vec<ReconstructedLayer>,
    /// Weights that were clipped.
    pub clipped: usize,
    /// Weights in all.
    pub weights: usize,
}

impl Compiled {
    /// The json of a stage.
    #[must_use]
    pub fn json(&self, stage: Stage) -> Option<&Path> {
        self.written.iter().find(|written| written.stage == stage).map(|written| written.json.as_path())
    }
}

impl Job {
    /// Reads a configuration, its model and its list of calibration images.
    ///
    /// # Errors
    /// What is wrong with any of them, or can't be done here.
    pub fn load(path: &Path, overrides: &Overrides) -> Result<Self> {
        let config = Config::from_path_with(path, &overrides.settings).map_err(in_config(path))?;
        for warning in &config.warnings {
            note(format_args!("{}: {warning}", path.display()));
        }
        let missing = |key: &'static str| Error::IcraftKey { config: path.to_owned(), key };
        let parse = config.parse.as_ref().ok_or_else(|| missing("section [parse]"))?;
        let quantize = config.quantize.as_ref().ok_or_else(|| missing("section [quantize]"))?;
        let network = parse.network.as_ref().ok_or_else(|| missing("[parse] network"))?;
        let input = parse.inputs.first().ok_or_else(|| missing("[parse] inputs"))?;
        let &[1, height, width, 3] = input.as_slice() else {
            return Err(missing("[parse] inputs of the form 1, HEIGHT, WIDTH, 3"));
        };
        let rule = match (&overrides.saturation, quantize.saturation) {
            (Some(name), _) => Rule::parse(name)?,
            (None, Some(method)) => Rule::parse(&method.to_string()).map_err(|_| {
                missing("[quantize] saturation = kld, ems or null: no other can be done here")
            })?,
            (None, None) => Rule::parse("kld")?,
        };
        let per = match quantize.per {
            icraft_raw::Granularity::Tensor => Granularity::PerTensor,
            icraft_raw::Granularity::Channel => Granularity::PerChannel,
            _ => return Err(missing("[quantize] per = tensor or channel: groups can't be done here")),
        };
        let weights = find_weights(Path::new(network));
        let model = Model::load(&weights, overrides.model.as_deref())?;
        let name = parse.name.clone().unwrap_or_else(|| model.graph.name().to_owned());
        let folder = parse.files.jr_path.clone().unwrap_or_else(|| ".".to_owned()).into();
        let logs = logs(&config, &name, quantize.files.log_path.as_deref());
        let fit = match parse.pre_method.first().map(String::as_str) {
            Some(method) if method.starts_with("resize") => Fit::Stretch,
            _ => Fit::Letterbox,
        };
        if overrides.saturation.is_some() && quantize.ftmp_csv.is_some() {
            return Err(missing("[quantize] without ftmp_csv, where --saturation is given"));
        }
        if let Some(key) = beyond(&config) {
            return Err(missing(key));
        }
        Ok(Self {
            parts: calibration(path, &config)?,
            transform: transform(path, &config)?,
            bits: quantize.bits as u8,
            size: ImageSize::new(height, width),
            weight_method: overrides.weight_method.unwrap_or(Method::Max),
            reconstruct: overrides.reconstruct,
            simulation: overrides.simulation,
            threads: overrides.threads,
            model,
            name,
            rule,
            fit,
            per,
            folder,
            logs,
            config,
        })
    }

    /// Runs the three stages and writes their files.
    ///
    /// # Errors
    /// All that can go wrong on the way; a stage's files are written whole or not at all.
    pub fn compile(&self) -> Result<Compiled> {
        // Before anything is written: images are what fails most.
        let calibrated = self.calibrate()?;
        let ratios = self.ratios(&calibrated.measured)?;
        self.compile_with(&calibrated, &self.model.params, &ratios)
    }

    /// What has to be known before the first stage: measured on the images, or read from logs.
    ///
    /// # Errors
    /// An image that can't be read, or a log that does not fit.
    pub fn calibrate(&self) -> Result<Calibrated> {
        let sides = [self.size.height, self.size.width];
        let mut parsed = describe(&self.model.graph, &self.name, sides, self.config.generation)?;
        parsed.attributes.insert(NOTES.to_owned(), self.notes()?);
        let measured = self.measured(&parsed)?;
        let saturations = self.weight_saturations(&parsed)?;
        Ok(Calibrated { parsed, measured, saturations })
    }

    /// Runs the three stages with other parameters than the model's, and other ratios than those of saturation points, and writes their files.
    ///
    /// # Errors
    /// As [`Job::compile`].
    pub fn compile_with(
        &self,
        calibrated: &Calibrated,
        params: &Params,
        ratios: &NormRatios,
    ) -> Result<Compiled> {
        let parsed = &calibrated.parsed;
        let mut written = vec![self.write(Stage::Parsed, parsed, &payloads(parsed, params)?)?];
        let front = self.front(calibrated, params, ratios)?;
        let Front { optimized, normed, params: [optimized_params, params], .. } = &front;
        written.push(self.write(Stage::Optimized, optimized, &payloads(optimized, optimized_params)?)?);
        written.push(self.write(Stage::Normed, normed, &payloads(normed, params)?)?);

        let mut network = self.integers(calibrated, &front)?;
        let reconstructed = match &self.reconstruct {
            Some(how) => {
                let images: Vec<&PathBuf> = self.parts.iter().flatten().collect();
                network.reconstruct(how, &images, (self.size, self.fit))?
            }
            None => Vec::new(),
        };
        let Stored { network: quantized, payloads, clipped, weights } = network.stored()?;
        written.push(self.write(Stage::Quantized, &quantized, &payloads)?);
        let logged = (params, &calibrated.measured, network.saturations());
        write_logs(&self.logs, &quantized, logged, self.bits)?;
        Ok(Compiled { written, reconstructed, clipped, weights })
    }

    /// The stages before integers.
    ///
    /// # Errors
    /// Parameters that are missing.
    pub fn front<'j>(
        &self,
        calibrated: &Calibrated,
        params: &Params,
        ratios: &'j NormRatios,
    ) -> Result<Front<'j>> {
        let graph = &self.model.graph;
        let shifted = shift_input(graph, params, self.input_shift())?;
        let optimized_params = reordered(graph, shifted, &self.transform.order);
        let mut optimized = calibrated.parsed.clone();
        transformed(&mut optimized, &self.transform);
        let by_name: BTreeMap<&str, &[f32]> =
            graph.tensors().map(|id| (graph.node(id).name.as_str(), ratios.channels(id))).collect();
        let params = normalize(graph, &optimized_params, ratios)?;
        let normed = normalized(optimized.clone(), |name| by_name.get(name).copied());
        Ok(Front { optimized, normed, params: [optimized_params, params], ratios })
    }

    /// The convolutions as integers.
    ///
    /// # Errors
    /// Parameters that are missing or not finite.
    pub fn integers<'j>(
        &'j self,
        calibrated: &'j Calibrated,
        front: &'j Front<'j>,
    ) -> Result<IntegerNetwork<'j>> {
        let source = Normalized {
            model: &self.model,
            network: &front.normed,
            params: [&front.params[0], &front.params[1]],
            ratios: front.ratios,
            largest: &calibrated.measured.channels,
            saturations: calibrated.saturations.clone(),
        };
        IntegerNetwork::new(source, self.integer_config(), self.simulation)
    }

    /// What the first convolutions read instead of the image.
    #[must_use]
    pub fn input_shift(&self) -> InputShift {
        InputShift { scale: 1.0 / f64::from(self.transform.scale), offset: self.transform.offset.into() }
    }

    /// Measured on the images, or read from a log that a run before has left.
    fn measured(&self, network: &Network) -> Result<Saturations> {
        match self.config.quantize.as_ref().and_then(|quantize| quantize.ftmp_csv.as_deref()) {
            Some(csv) => measured(&expanded(csv), network, self.bits),
            None => {
                measure(&self.model, &self.parts, (self.size, self.fit), self.rule, self.bits, self.threads)
            }
        }
    }

    /// From a log that a run before has left, if one is named.
    fn weight_saturations(&self, network: &Network) -> Result<BTreeMap<String, Vec<f32>>> {
        let csv = self.config.quantize.as_ref().and_then(|quantize| quantize.raw_csv.as_deref());
        csv.map_or_else(|| Ok(BTreeMap::new()), |csv| weight_saturations(&expanded(csv), network, self.bits))
    }

    /// What detecting needs.
    fn notes(&self) -> Result<serde_json::Value> {
        let head = serde_json::to_value(self.model.head()?)?;
        Ok(json!({
            "model": self.model.graph.name(),
            "head": head,
            "class_names": self.model.class_names,
            "image_size": serde_json::to_value(self.size)?,
            "preprocessing": "letterbox to image_size, grey 114; RGB; divided by 255",
        }))
    }

    fn write(&self, stage: Stage, network: &Network, tensors: &[(u32, Vec<u8>)]) -> Result<Written> {
        let tensors: Vec<(u32, &[u8])> = tensors.iter().map(|(id, bytes)| (*id, bytes.as_slice())).collect();
        let raw = RawFile::from_bytes(raw_bytes(network.generation, &tensors)?)?;
        let mut network = network.clone();
        network.checksum = Some(Checksum::of(raw.as_bytes()));
        network.raw_length = Some(raw.as_bytes().len() as u64);
        let json = self.json_path(stage);
        let text = network.write(network.generation)?;
        write_both((&self.raw_path(stage), raw.as_bytes()), (&json, text.as_bytes()))?;
        Ok(Written { stage, json })
    }

    fn json_path(&self, stage: Stage) -> PathBuf {
        self.folder.join(stage.json_name(&self.name))
    }

    fn raw_path(&self, stage: Stage) -> PathBuf {
        self.folder.join(stage.raw_name(&self.name))
    }

    /// All files that compiling writes.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let stages = [Stage::Parsed, Stage::Optimized, Stage::Normed, Stage::Quantized];
        let pairs = stages.into_iter().flat_map(|stage| [self.json_path(stage), self.raw_path(stage)]);
        let logs = log_paths(&self.logs, &self.name, self.config.generation);
        pairs.chain(logs).collect()
    }

    fn convention(&self) -> NormConvention {
        match self.config.generation {
            Generation::Legacy => NormConvention::PowerOfTwo,
            Generation::Xir => NormConvention::LargestInteger,
        }
    }

    /// The ratio of the input: that of centred pixels, or for 16 bits 1/31, the most that the hardware can hold.
    #[must_use]
    pub fn input_ratio(&self) -> f32 {
        match (self.config.generation, self.bits) {
            (_, 16) => 1.0 / 31.0,
            (Generation::Legacy, _) => 1.0,
            // 1024 / ratio is held as an integer.
            (Generation::Xir, _) => 1024.0 / (1024.0f32 * 127.0 / 128.0).round(),
        }
    }

    /// The ratios that saturation points lead to.
    ///
    /// # Errors
    /// A saturation point that is not finite.
    pub fn ratios(&self, measured: &Saturations) -> Result<NormRatios> {
        self.ratios_of(|name| {
            let saturation = measured.saturation.get(name).copied().unwrap_or(0.0);
            Ok(norm_ratio(saturation, self.bits, self.convention())?)
        })
    }

    /// Ratios by name of the tensor; that of the image is the hardware's.
    ///
    /// # Errors
    /// Those of `ratio`, and one that is not positive and finite.
    pub fn ratios_of(
        &self,
        ratio: impl Fn(&str) -> std::result::Result<f32, ptq::Error>,
    ) -> Result<NormRatios> {
        let graph = &self.model.graph;
        let is_image = |node: &nn_graph::Node| matches!(node.op, Op::Input { .. });
        Ok(NormRatios::new(graph, |id| match graph.node(id) {
            node if is_image(node) => Ok(self.input_ratio()),
            node => ratio(&node.name),
        })?)
    }

    fn integer_config(&self) -> IntegerConvConfig {
        let weights =
            WeightConfig { method: self.weight_method, granularity: self.per, ..WeightConfig::default() };
        IntegerConvConfig {
            bits: self.bits,
            accelerator: Accelerator::of_width(self.bits),
            weights,
            rounding: Rounding::HalfAway,
        }
    }

    /// The same, with all files in one folder.
    #[must_use]
    pub fn in_folder(&self, folder: &Path) -> Self {
        Self { folder: folder.to_owned(), logs: folder.to_owned(), ..self.clone() }
    }

    /// The folder of json and raw files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of the logs.
    #[must_use]
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// Calibration images, in their parts.
    #[must_use]
    pub fn parts(&self) -> &[Vec<PathBuf>] {
        &self.parts
    }
}

fn in_config(path: &Path) -> impl FnOnce(icraft_raw::ConfigError) -> Error {
    let path = path.to_owned();
    move |source| Error::IcraftConfig { path, source }
}

/// A setting that can't be followed, and would be missed.
fn beyond(config: &Config) -> Option<&'static str> {
    let (parse, quantize) = (config.parse.as_ref()?, config.quantize.as_ref()?);
    let generation = config.generation;
    let differs = |value: &Option<String>, usual: &str| {
        value.as_ref().is_some_and(|value| !value.eq_ignore_ascii_case(usual))
    };
    let (parse_files, quantize_files) = (&parse.files, &quantize.files);
    let keys = [
        (differs(&parse_files.target, "buyi"), "[parse] target = buyi"),
        (differs(&quantize_files.target, "buyi"), "[quantize] target = buyi"),
        (differs(&parse.framework, "pytorch"), "[parse] framework = pytorch"),
        (parse.inputs.len() > 1, "[parse] one input"),
        (
            differs(&parse.image_channel_order, "rgb"),
            "[parse] image_channel_order = rgb, and the channel swap",
        ),
        (quantize.qdtype.is_some(), "[quantize] bits in place of qdtype, which is for another target"),
        (quantize.no_transinput.is_some(), "[quantize] without no_transinput: pixels are shifted by 128"),
        (quantize.mix_precision.is_some(), "[quantize] without mix_precision: one width for all operations"),
        (quantize.smooth_alpha.is_some(), "[quantize] without smooth_alpha: smoothing can't be done here"),
        (quantize.autoqset_num.is_some(), "[quantize] forward_list in place of autoqset_num"),
        (quantize.decode_dll.is_some(), "[quantize] without decode_dll: calibration files have to be images"),
        (quantize.quant_autotune_config.is_some(), "[quantize] without quant_autotune_config"),
        (quantize.forward_mode == Some(ForwardMode::Ftmp), "[quantize] forward_mode = image"),
        (quantize.bin_num != 4096, "[quantize] bin_num = 4096"),
        (generation == Generation::Xir && quantize.bits == 12, "[quantize] bits = 8 or 16: 12 are for .ini"),
    ];
    keys.into_iter().find(|(wrong, _)| *wrong).map(|(_, key)| key)
}

/// Where the vendor puts logs: `logs/quantizer/BUYI/NET` (legacy), `LOG_PATH/NET`.
fn logs(config: &Config, name: &str, log_path: Option<&str>) -> PathBuf {
    match config.generation {
        Generation::Legacy => Path::new(log_path.unwrap_or("logs")).join("quantizer/BUYI").join(name),
        Generation::Xir => Path::new(log_path.unwrap_or(".icraft/logs")).join(name),
    }
}

/// How the image reaches the network: pixels less 128, with their channels in the order of the configuration.
fn transform(path: &Path, config: &Config) -> Result<InputTransform> {
    let wrong = |key: &'static str| Error::IcraftKey { config: path.to_owned(), key };
    let parse = config.parse.as_ref().ok_or_else(|| wrong("section [parse]"))?;
    let scale = parse.pre_scale.first().cloned().unwrap_or_else(|| vec![255.0; 3]);
    if scale != [255.0; 3] {
        return Err(wrong("[parse] pre_scale = 255, 255, 255, which is what the network was trained on"));
    }
    if parse.pre_mean.first().is_some_and(|mean| mean.iter().any(|&m| m != 0.0)) {
        return Err(wrong("[parse] pre_mean = 0, 0, 0, which is what the network was trained on"));
    }
    let order = parse.channel_swap.first().cloned().unwrap_or_else(|| vec![0, 1, 2]);
    if order != [0, 1, 2] && order != [2, 1, 0] {
        return Err(wrong("[parse] a channel swap of 0, 1, 2 or 2, 1, 0"));
    }
    Ok(InputTransform { scale: 255.0, offset: 128.0, order })
}

/// The images of the list, in as many parts as `batch` says.
fn calibration(path: &Path, config: &Config) -> Result<Vec<Vec<PathBuf>>> {
    let missing = |key: &'static str| Error::IcraftKey { config: path.to_owned(), key };
    let quantize = config.quantize.as_ref().ok_or_else(|| missing("section [quantize]"))?;
    if quantize.forward_list.is_none() && quantize.ftmp_csv.is_some() {
        return Ok(Vec::new());
    }
    let list = quantize.forward_list.as_ref().ok_or_else(|| missing("[quantize] forward_list"))?;
    let folder = Path::new(quantize.forward_dir.as_deref().unwrap_or("."));
    let list = CalibrationList::from_path(&expanded(list)).map_err(in_config(path))?;
    if list.samples().iter().any(|sample| sample.len() != 1) {
        return Err(missing("[quantize] forward_list with one image a line"));
    }
    let parts = list.parts(quantize.batch).map_err(in_config(path))?;
    let file =
        |sample: &Vec<String>| sample.first().map(|name| expanded(&folder.join(name).to_string_lossy()));
    Ok(parts.into_iter().map(|part| part.iter().filter_map(file).collect()).collect())
}

/// A path with `$YOLO_ASSETS` at its start put in.
fn expanded(path: &str) -> PathBuf {
    let rest = path.strip_prefix("$YOLO_ASSETS/");
    rest.and_then(crate::arguments::asset).unwrap_or_else(|| path.into())
}

/// Weights of convolutions that read the image, with their input channels in another order.
fn reordered(graph: &Graph, mut params: Params, order: &[usize]) -> Params {
    for node in graph.nodes() {
        let reads = node.inputs.iter().any(|id| matches!(graph.node(*id).op, Op::Input { .. }));
        let Op::Conv(conv) = &node.op else { continue };
        let window = conv.kernel[0] * conv.kernel[1];
        if let (true, Some(weight)) = (reads, params.get_mut(&format!("{}.weight", node.name))) {
            for row in weight.data_mut().chunks_exact_mut(conv.in_channels * window) {
                let before = row.to_vec();
                for (to, &from) in order.iter().enumerate() {
                    row[to * window..][..window].copy_from_slice(&before[from * window..][..window]);
                }
            }
        }
    }
    params
}
