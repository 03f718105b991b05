//! The networks that `quantize` makes of a model.

use crate::error::Result;
use crate::methods::{LayerImages, MethodChoice};
use crate::network::{Model, Network};
use crate::output::note;
use crate::weights::{BiasArgument, WeightArguments, reconstruct};
use ptq::analysis::{Layer, Precision, PrecisionConfig, Quantizers, layers};
use ptq::{
    Collection, Fusion, GroupChoice, Method, NetworkError, Placement, QuantConfig, ReconstructedLayer, Width,
    correct_biases, lower_float, lower_integer,
};
use quant_core::{Program, Scheme};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use yolo_model::ImageSize;

/// Images that `auto` looks at.
const AUTO_IMAGES: usize = 16;
/// Images that layers are reconstructed with.
const RECONSTRUCTION_IMAGES: usize = 64;

/// A network to be evaluated, and how it came about.
pub struct Candidate {
    /// Its name in reports, and of its file.
    pub name: String,
    /// The network.
    pub network: Network,
    /// Width of pre-activations, unless that differs from layer to layer, and scheme; none for the float network.
    pub quantized: Option<(Option<Width>, Scheme)>,
    /// What `auto` chose.
    pub choices: Vec<GroupChoice>,
    /// The networks that `auto` compared.
    pub networks: Vec<NetworkError>,
    /// What reconstruction gained.
    pub layers: Vec<ReconstructedLayer>,
}

/// Quantisers, and how they were chosen.
struct Calibrated {
    config: QuantConfig,
    choices: Vec<GroupChoice>,
    networks: Vec<NetworkError>,
}

/// How networks are made, whatever the method.
pub struct Recipe<'a> {
    /// The float network.
    pub model: &'a Model,
    /// Size of its input.
    pub size: ImageSize,
    /// Scheme of activations, where the method leaves it open.
    pub scheme: Scheme,
    /// About weights.
    pub weights: &'a WeightArguments,
    /// Beginnings of the names of convolutions that stay in f32.
    pub float_layers: &'a [String],
    /// Images to look at layers with, where something does.
    pub layer_images: &'a [PathBuf],
    /// Statistics of all tensors.
    pub statistics: &'a Collection,
    /// Threads.
    pub threads: usize,
    /// Go on without images that can't be read.
    pub skip_bad: bool,
}

impl Recipe<'_> {
    /// The float network.
    ///
    /// # Errors
    /// As [`lower_float`].
    pub fn float(&self) -> Result<Candidate> {
        let Model { graph, params, .. } = self.model;
        let network = self.model.network(lower_float(graph, params, Fusion::Fused)?, self.size)?;
        Ok(Candidate {
            name: "float".to_owned(),
            network,
            quantized: None,
            choices: Vec::new(),
            networks: Vec::new(),
            layers: Vec::new(),
        })
    }

    /// All layers alike, as `placement` says.
    ///
    /// # Errors
    /// Of calibration, lowering, and images that are needed again.
    pub fn uniform(&self, placement: &Placement, method: MethodChoice) -> Result<Candidate> {
        let Calibrated { mut config, choices, networks } = self.calibrated(placement, method)?;
        let stays_float =
            |name: &&str| self.float_layers.iter().any(|prefix| name.starts_with(prefix.as_str()));
        let names = self.model.graph.nodes().iter().map(|node| node.name.as_str());
        config.float = names.filter(stays_float).map(str::to_owned).collect();
        let width = placement.options().preactivation;
        let suffix = match (placement.options().activations, width) {
            (Width::Bits16, _) => "-16",
            (Width::Bits8, Width::Bits8) => "-pre8",
            (Width::Bits8, Width::Bits16) => "",
        };
        let name = format!("{}{suffix}", method.name());
        self.candidate(name, Calibrated { config, choices, networks }, Some(width), method)
    }

    /// Layers as `precision` says; `placements` have 16-bit and 8-bit pre-activations.
    ///
    /// # Errors
    /// As [`Self::uniform`].
    pub fn mixed(
        &self,
        precision: &PrecisionConfig,
        [wide, narrow]: [&Placement; 2],
        method: MethodChoice,
    ) -> Result<Candidate> {
        let (wide, narrow) = (self.calibrated(wide, method)?, self.calibrated(narrow, method)?);
        let mut choices = [wide.choices, narrow.choices].concat();
        let networks = [wide.networks, narrow.networks].concat();
        let layers = layers(&self.model.graph, self.size.height, self.size.width)?;
        let of = |layer: &Layer| precision.precision(&layer.name).unwrap_or(Precision::F32);
        let config = Quantizers { wide: wide.config, narrow: narrow.config }.config(&layers, of);
        // Most groups are in both placements; what counts is the quantiser that is used.
        let mut seen = BTreeSet::new();
        choices.retain(|choice| {
            let taken = choice.methods.iter().find(|m| m.method == choice.method).map(|m| m.format);
            config.formats.get(&choice.tensor).copied() == taken && seen.insert(choice.tensor.clone())
        });
        let name = format!("{}-mixed", method.name());
        self.candidate(name, Calibrated { config, choices, networks }, None, method)
    }

    fn calibrated(&self, placement: &Placement, method: MethodChoice) -> Result<Calibrated> {
        let (model, statistics, scheme) = (self.model, self.statistics, self.scheme);
        let weights = self.weights.config()?;
        let (config, choices, networks) = match method {
            MethodChoice::Method(method) => {
                self.note_degenerate(placement, method)?;
                let config = QuantConfig::calibrate(&model.graph, placement, statistics, method, scheme)?;
                (config, Vec::new(), Vec::new())
            }
            MethodChoice::Auto => {
                let images = self.images(AUTO_IMAGES);
                let choice = self.in_pool(|| images.choose(model, placement, statistics, scheme, weights))?;
                (choice.config, choice.groups, choice.networks)
            }
        };
        Ok(Calibrated { config: QuantConfig { weights, ..config }, choices, networks })
    }

    /// Tells where a method had nothing to choose by.
    fn note_degenerate(&self, placement: &Placement, method: Method) -> Result<()> {
        let found = placement.degenerate_choices(&self.model.graph, self.statistics, method, self.scheme)?;
        let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
        found
            .into_iter()
            .for_each(|(tensor, reason)| reasons.entry(reason.to_string()).or_default().push(tensor));
        for (reason, tensors) in reasons {
            let (name, count) = (method.name(), tensors.len());
            note(format_args!("{name}: {reason} ({count} of the quantisers, first {})", tensors[0]));
        }
        Ok(())
    }

    fn candidate(
        &self,
        name: String,
        Calibrated { config, choices, networks }: Calibrated,
        width: Option<Width>,
        method: MethodChoice,
    ) -> Result<Candidate> {
        let (program, layers) = self.lowered(config)?;
        let mut network = self.model.network(program, self.size)?;
        let weights = serde_json::to_string(&self.weights.treatment()?)?;
        network.program.metadata.insert("method".to_owned(), serde_json::to_string(&method)?);
        network.program.metadata.insert("weights".to_owned(), weights);
        let quantized = Some((width, method.scheme(self.scheme)));
        Ok(Candidate { name, network, quantized, choices, networks, layers })
    }

    fn lowered(&self, mut config: QuantConfig) -> Result<(Program, Vec<ReconstructedLayer>)> {
        let Model { graph, params, expected_inputs, .. } = self.model;
        if let Some(how) = self.weights.treatment.reconstruction() {
            let images = self.images(RECONSTRUCTION_IMAGES);
            let done = self.in_pool(|| reconstruct(&how, self.model, &config, &images))?;
            config.weight_scales = done.weight_scales;
            return Ok((lower_integer(graph, &done.params, &config)?, done.layers));
        }
        if self.weights.treatment.bias_correction == BiasArgument::Analytic {
            let corrected = correct_biases(graph, params, &config, expected_inputs)?;
            if !corrected.skipped.is_empty() {
                let names = corrected.skipped.join(", ");
                note(format_args!("BatchNorm does not tell what these read, so their biases stay: {names}"));
            }
            return Ok((lower_integer(graph, &corrected.params, &config)?, Vec::new()));
        }
        Ok((lower_integer(graph, params, &config)?, Vec::new()))
    }

    fn images(&self, most: usize) -> LayerImages {
        let paths = self.layer_images.to_vec();
        LayerImages { paths, most, size: self.size, skip_bad: self.skip_bad }
    }

    /// Runs `work` on the threads asked for.
    fn in_pool<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        rayon::ThreadPoolBuilder::new().num_threads(self.threads).build()?.install(work)
    }
}
