//! Networks as the programs use them: from a checkpoint, or saved by `quantize`.

use crate::error::{Error, Result};
use crate::icraft::pairs::{ChecksumRule, Pair};
use icraft_raw::Simulation;
use nn_graph::{BUILTIN_MODELS, Checkpoint, Definition, Graph, Params};
use ptq::{Fusion, expected_inputs, lower_float};
use quant_core::{Executor, Format, Program, Values};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use yolo_model::{Detection, Head, HeadLevel, HeadValues, ImageSize, NmsParams, detect};

/// A detector before lowering: BatchNorm folded, parameters checked.
#[derive(Clone)]
pub struct Model {
    /// The folded graph.
    pub graph: Graph,
    /// Its parameters.
    pub params: Params,
    /// Names of the classes; numbers where the checkpoint has none.
    pub class_names: Vec<String>,
    /// Means of the channels that convolutions read, as BatchNorm lets expect.
    pub expected_inputs: BTreeMap<String, Vec<f64>>,
}

/// Reads a definition: a yaml file or a built-in name.
///
/// # Errors
/// If `name` is neither, or the yaml is not usable.
pub fn definition(name: &str) -> Result<Definition> {
    if let Some(definition) = Definition::builtin(name) {
        return Ok(definition);
    }
    let path = Path::new(name);
    if !path.exists() {
        return Err(Error::UnknownModel { name: name.to_owned(), known: BUILTIN_MODELS.join(", ") });
    }
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or(name);
    Definition::from_yaml(stem, &text).map_err(Error::model(path))
}

/// The graph of a yaml file or a built-in model.
///
/// # Errors
/// As [`definition`], and if a layer of it can't be understood.
pub fn named_graph(name: &str) -> Result<Graph> {
    Graph::from_definition(&definition(name)?).map_err(Error::model(name))
}

/// The graph that a checkpoint was made for, with the checkpoint's anchors; `model` names its architecture where the checkpoint does
/// not describe it (or to overrule it).
///
/// # Errors
/// If the architecture is not known, or the parameters don't fit it.
pub fn checkpoint_graph(path: &Path, checkpoint: &Checkpoint, model: Option<&str>) -> Result<Graph> {
    let mut graph = match (model, &checkpoint.definition) {
        (Some(model), _) => named_graph(model)?,
        (None, Some(value)) => Definition::from_value(stem(path), value)
            .and_then(|definition| Graph::from_definition(&definition))
            .map_err(Error::model(path))?,
        (None, None) => {
            return Err(Error::NoDefinition { path: path.to_owned(), known: BUILTIN_MODELS.join(", ") });
        }
    };
    graph.check_params(&checkpoint.params).map_err(Error::model(path))?;
    graph.adopt_anchors(&checkpoint.params).map_err(Error::model(path))?;
    Ok(graph)
}

impl Model {
    /// Reads a checkpoint; `model` names its architecture where the checkpoint does not describe it (or to overrule it).
    ///
    /// # Errors
    /// If the file is not a checkpoint, its parameters don't fit the architecture, or are not finite.
    pub fn load(path: &Path, model: Option<&str>) -> Result<Self> {
        let checkpoint = Checkpoint::open(path).map_err(|e| Error::model(path)(e.into()))?;
        let bad = checkpoint.non_finite();
        if let Some((tensor, count)) = bad.first() {
            return Err(Error::NonFinite {
                path: path.to_owned(),
                tensor: tensor.clone(),
                count: *count,
                tensors: bad.len(),
            });
        }
        let graph = checkpoint_graph(path, &checkpoint, model)?;
        let expected_inputs = expected_inputs(&graph, &checkpoint.params, None);
        let (graph, params) = graph.fold_batch_norm(&checkpoint.params).map_err(Error::model(path))?;
        let head = graph.head().ok_or_else(|| Error::NoHead { name: graph.name().to_owned() })?;
        let numbers = || (0..head.classes).map(|c| c.to_string()).collect();
        let fits = checkpoint.class_names.len() == head.classes;
        let class_names = if fits { checkpoint.class_names } else { numbers() };
        Ok(Self { graph, params, class_names, expected_inputs })
    }

    /// The head, as decoding wants it.
    ///
    /// # Errors
    /// If the graph has none.
    pub fn head(&self) -> Result<Head> {
        head_of(&self.graph)
    }

    /// A network of `program`, which was lowered from this model.
    ///
    /// # Errors
    /// If the graph has no head.
    pub fn network(&self, mut program: Program, size: ImageSize) -> Result<Network> {
        let head = self.head()?;
        let entries = [
            ("model", self.graph.name().to_owned()),
            ("head", serde_json::to_string(&head)?),
            ("class_names", serde_json::to_string(&self.class_names)?),
            ("image_size", serde_json::to_string(&size)?),
            ("preprocessing", "letterbox to image_size, grey 114; RGB; divided by 255".to_owned()),
        ];
        program.metadata.extend(entries.map(|(key, value)| (key.to_owned(), value)));
        Ok(Network { program, head, class_names: self.class_names.clone(), size })
    }
}

/// The head of a graph, as decoding and training want it.
///
/// # Errors
/// If it has none.
pub fn head_of(graph: &Graph) -> Result<Head> {
    let head = graph.head().ok_or_else(|| Error::NoHead { name: graph.name().to_owned() })?;
    Ok(Head { class_count: head.classes, anchors: head.anchors.clone(), strides: head.strides.clone() })
}

fn stem(path: &Path) -> &str {
    path.file_stem().and_then(|s| s.to_str()).unwrap_or("model")
}

/// A program with what is needed to detect with it.
#[derive(Debug, Clone)]
pub struct Network {
    /// What runs.
    pub program: Program,
    /// How its outputs are decoded.
    pub head: Head,
    /// Names of the classes.
    pub class_names: Vec<String>,
    /// Size of the images that it was calibrated for.
    pub size: ImageSize,
}

impl Network {
    /// Reads a network that `quantize` saved.
    ///
    /// # Errors
    /// If the file is not one, or is damaged.
    pub fn load_program(path: &Path) -> Result<Self> {
        Self::of_program(Program::load(path)?, path)
    }

    /// Reads a network of Icraft, json with the raw file beside it, which `icraft-compile` wrote.
    ///
    /// # Errors
    /// If they don't belong together, can't be run, or lack the notes on the head.
    pub fn load_pair(json: &Path, simulation: Simulation) -> Result<Self> {
        Self::of_pair(&Pair::of_name(json, ChecksumRule::Check)?, simulation)
    }

    /// The network of a pair that has been opened.
    ///
    /// # Errors
    /// If it can't be run, or lacks the notes on the head.
    pub fn of_pair(pair: &Pair, simulation: Simulation) -> Result<Self> {
        Self::of_program(icraft_raw::program(&pair.network, &pair.raw, simulation)?, &pair.json_path)
    }

    fn of_program(program: Program, path: &Path) -> Result<Self> {
        let head: Head = metadata(&program, path, "head")?;
        head.validate()?;
        let class_names: Vec<String> = metadata(&program, path, "class_names")?;
        if class_names.len() != head.class_count {
            return Err(Error::ClassNames {
                path: path.to_owned(),
                names: class_names.len(),
                classes: head.class_count,
            });
        }
        Ok(Self { head, class_names, size: metadata(&program, path, "image_size")?, program })
    }

    /// Reads a saved network, or a json file with the raw file beside it, or, where the file is neither, a checkpoint as a float network.
    ///
    /// # Errors
    /// As [`Network::load_program`] and [`Model::load`].
    pub fn load(path: &Path, model: Option<&str>, size: Option<ImageSize>, fusion: Fusion) -> Result<Self> {
        if path.extension().is_some_and(|extension| extension == "json") {
            if let Some(model) = model {
                let expected = "the json of a network describes its architecture itself";
                return Err(Error::Argument { option: "--model", value: model.to_owned(), expected });
            }
            let mut network = Self::load_pair(path, Simulation::default())?;
            network.size = size.unwrap_or(network.size);
            return Ok(network);
        }
        if is_saved_program(path)? {
            if let Some(model) = model {
                let expected = "a saved network describes its architecture itself";
                return Err(Error::Argument { option: "--model", value: model.to_owned(), expected });
            }
            let mut network = Self::load_program(path)?;
            network.size = size.unwrap_or(network.size);
            return Ok(network);
        }
        let model = Model::load(path, model)?;
        let program = lower_float(&model.graph, &model.params, fusion)?;
        model.network(program, size.unwrap_or(ImageSize::new(640, 640)))
    }

    /// Checks that images of the network's size fit its strides.
    ///
    /// # Errors
    /// Names the size and the stride.
    pub fn check_size(&self) -> Result<()> {
        self.head.level_sizes(self.size)?;
        Ok(())
    }

    /// Prepares the program for images of the network's size.
    ///
    /// # Errors
    /// As [`Network::check_size`]; also if the program's outputs are not those of the head.
    pub fn executor(&self) -> Result<Executor<'_>> {
        let levels = self.head.level_sizes(self.size)?;
        let executor = Executor::new(&self.program, self.size.height, self.size.width)?;
        let values = self.head.values_per_anchor();
        let expected =
            levels.iter().zip(&self.head.anchors).map(|(s, a)| [a.len() * values, s.height, s.width]);
        let found = self.program.outputs().iter().map(|&id| executor.shapes()[id]);
        let (expected, found): (Vec<_>, Vec<_>) = (expected.collect(), found.collect());
        if expected == found { Ok(executor) } else { Err(Error::HeadShapes { expected, found }) }
    }

    /// Boxes in network pixels from the outputs of `executor`, which has run this network.
    ///
    /// # Errors
    /// If the outputs are not those of the head.
    pub fn detections(&self, executor: &Executor<'_>, params: &NmsParams) -> Result<Vec<Detection>> {
        detections(&self.head, executor, params)
    }
}

/// Boxes in network pixels from the outputs of `executor`, which has run.
///
/// # Errors
/// If the outputs are not those of the head.
pub fn detections(head: &Head, executor: &Executor<'_>, params: &NmsParams) -> Result<Vec<Detection>> {
    let levels: Vec<HeadLevel<'_>> = executor
        .outputs()
        .map(|(tensor, values)| {
            let [_, rows, columns] = executor.shapes()[tensor];
            let values = head_values(values, executor.program().tensors()[tensor].format);
            HeadLevel { values, rows, columns }
        })
        .collect();
    Ok(detect(head, &levels, params)?)
}

fn head_values<'a>(values: Values<'a>, format: Format) -> HeadValues<'a> {
    let (scale, zero_point) = format.params().map_or((1.0, 0), |p| (p.scale, p.zero_point));
    match values {
        Values::F32(values) => HeadValues::F32(values),
        Values::I8(values) => HeadValues::I8 { values, scale, zero_point },
        Values::I16(values) => HeadValues::I16 { values, scale, zero_point },
    }
}

fn metadata<T: DeserializeOwned>(program: &Program, path: &Path, key: &'static str) -> Result<T> {
    let missing = || Error::NoMetadata { path: path.to_owned(), key };
    let text = program.metadata.get(key).ok_or_else(missing)?;
    serde_json::from_str(text).map_err(|source| Error::Metadata { path: path.to_owned(), key, source })
}

/// Whether the file bears the mark of a saved program; checkpoints in the same container have none.
///
/// # Errors
/// If the file can't be read.
pub fn is_saved_program(path: &Path) -> Result<bool> {
    Program::is_program_file(path).map_err(Error::io(path))
}

/// `path`, or, where that does not exist and is a bare name, the weights of that name among the assets.
#[must_use]
pub fn find_weights(path: &Path) -> PathBuf {
    let bare = path.components().count() == 1;
    let asset = || crate::arguments::asset(&format!("weights/{}", path.display()));
    if path.exists() || !bare { path.to_owned() } else { asset().unwrap_or_else(|| path.to_owned()) }
}
