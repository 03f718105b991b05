//! The integers that a network is trained for.

use super::arguments::TargetArguments;
use crate::arguments::PreactivationArgument;
use crate::calibration_source::CalibrationSource;
use crate::error::{Error, Result};
use crate::icraft::compile::{Calibrated, Compiled, Job, Overrides};
use crate::methods::parse_method;
use crate::model_inputs::ModelInputs;
use crate::network::{Model, Network};
use nn_graph::Params;
use ptq::{
    Adjustable, Fusion, NormRatios, Placement, PlacementOptions, QuantConfig, Width, lower_float,
    lower_integer,
};
use qat_inq::Quantizers;
use std::collections::BTreeMap;
use std::path::PathBuf;
use yolo_model::ImageSize;

/// A detector, and what its integers are to be.
pub(super) struct Target {
    /// Its quantisers, as calibration has chosen them.
    pub(super) quantizers: Quantizers,
    /// Size of its input.
    pub(super) size: ImageSize,
    /// The images it was calibrated on.
    pub(super) calibration: Vec<PathBuf>,
    /// Whether this is the demonstration in `fixtures/demo`.
    pub(super) demonstration: bool,
    kind: Kind,
}

enum Kind {
    Config { model: Box<Model>, config: Box<QuantConfig> },
    Icraft { job: Box<Job>, calibrated: Box<Calibrated> },
}

impl Target {
    /// Loads the model, and calibrates.
    ///
    /// # Errors
    /// What is wrong with the arguments, the model or the images.
    pub(super) fn load(arguments: &TargetArguments, threads: usize) -> Result<Self> {
        match &arguments.icraft {
            Some(_) => Self::load_icraft(arguments, threads),
            None => Self::load_config(arguments, threads),
        }
    }

    fn load_icraft(arguments: &TargetArguments, threads: usize) -> Result<Self> {
        let path = arguments.icraft.as_deref().unwrap_or_else(|| std::path::Path::new(""));
        let overrides = Overrides {
            model: arguments.model.clone(),
            settings: arguments.set.clone(),
            saturation: arguments.saturation.clone(),
            weight_method: Some(parse_method("--weight-method", &arguments.scales.weight_method)?),
            threads,
            ..Overrides::default()
        };
        let job = Job::load(path, &overrides)?;
        let calibrated = job.calibrate()?;
        let ratios = job.ratios(&calibrated.measured)?;
        let front = job.front(&calibrated, &job.model.params, &ratios)?;
        let integers = job.integers(&calibrated, &front)?;
        let shift = job.input_shift();
        let ratio = f64::from(job.input_ratio());
        let image = [(shift.scale * ratio) as f32, (-shift.offset / ratio) as f32];
        let scales = |name: &str| integers.weight_scales(name);
        let quantizers = Quantizers::normalized(&job.model.graph, &ratios, job.bits, image, scales);
        Ok(Self {
            quantizers,
            size: job.size,
            calibration: job.parts().iter().flatten().cloned().collect(),
            demonstration: false,
            kind: Kind::Icraft { job: Box::new(job), calibrated: Box::new(calibrated) },
        })
    }

    fn load_config(arguments: &TargetArguments, threads: usize) -> Result<Self> {
        let found =
            ModelInputs::find(arguments.weights.as_deref(), arguments.model.as_deref(), arguments.imgsz);
        let model = Model::load(&found.weights, found.model.as_deref())?;
        let preactivation = match arguments.preactivation {
            PreactivationArgument::Bits8 => Width::Bits8,
            PreactivationArgument::Bits16 => Width::Bits16,
            PreactivationArgument::Both => {
                let value = "both".to_owned();
                let expected = "8 or 16: a network is trained for one of them";
                return Err(Error::Argument { option: "--preactivation", value, expected });
            }
        };
        let options = PlacementOptions {
            activations: arguments.activations.into(),
            preactivation,
            concat: arguments.concat.into(),
            scales: arguments.scales.scale_grid,
            ..PlacementOptions::default()
        };
        let placements = [Placement::new(&model.graph, options)];
        let folder = found.calibration_folder(arguments.calibration.clone())?;
        let source = CalibrationSource::images(&folder, arguments.num_calib)?;
        let CalibrationSource::Images(calibration) = &source else { return Err(Error::NoImage { folder }) };
        let calibration = calibration.clone();
        let statistics = source.statistics(&model, &placements, found.size, threads, false)?;
        let method = parse_method("--method", &arguments.method)?;
        let [placement] = &placements;
        let scheme = arguments.scheme.into();
        let config = QuantConfig::calibrate(&model.graph, placement, &statistics.collection, method, scheme)?;
        let config = QuantConfig { weights: arguments.scales.config()?, ..config };
        Ok(Self {
            quantizers: Quantizers::of_config(&model.graph, &model.params, &config, placement)?,
            size: found.size,
            calibration,
            demonstration: found.demonstration,
            kind: Kind::Config { model: Box::new(model), config: Box::new(config) },
        })
    }

    /// The detector as it was before training, BatchNorm folded.
    #[must_use]
    pub(super) fn model(&self) -> &Model {
        match &self.kind {
            Kind::Config { model, .. } => model,
            Kind::Icraft { job, .. } => &job.model,
        }
    }

    /// What convolutions read as integers.
    #[must_use]
    pub(super) fn precision(&self) -> &'static str {
        let wide = |map: &qat_inq::MapQuantizer| map.learned && map.high > 127.0;
        match &self.kind {
            Kind::Icraft { job, .. } if job.bits == 16 => "int16",
            Kind::Icraft { job, .. } if job.bits == 12 => "int12",
            Kind::Config { .. } if self.quantizers.maps.iter().all(wide) => "int16",
            _ => "int8",
        }
    }

    /// The network with other parameters, in real numbers.
    ///
    /// # Errors
    /// As [`lower_float`].
    pub(super) fn float(&self, params: &Params) -> Result<Network> {
        let model = self.model();
        model.network(lower_float(&model.graph, params, Fusion::Fused)?, self.size)
    }

    /// The network with other parameters and steps, as integers.
    ///
    /// # Errors
    /// Parameters or steps that can't be made integers.
    pub(super) fn integer(&self, params: &Params, quantizers: &Quantizers) -> Result<Network> {
        let model = self.model();
        let program = match &self.kind {
            Kind::Config { config, .. } => {
                lower_integer(&model.graph, params, &self.config_of(config, quantizers))?
            }
            Kind::Icraft { job, calibrated } => {
                let (calibrated, ratios) = self.normalized(job, calibrated, quantizers)?;
                let front = job.front(&calibrated, params, &ratios)?;
                job.integers(&calibrated, &front)?.program()?
            }
        };
        model.network(program, self.size)
    }

    /// Writes the files of Icraft, if that is what it was trained for.
    ///
    /// # Errors
    /// As [`Job::compile_with`].
    pub(super) fn write(
        &self,
        params: &Params,
        quantizers: &Quantizers,
        folder: &std::path::Path,
    ) -> Result<Option<Compiled>> {
        let Kind::Icraft { job, calibrated } = &self.kind else { return Ok(None) };
        let (calibrated, ratios) = self.normalized(job, calibrated, quantizers)?;
        job.in_folder(folder).compile_with(&calibrated, params, &ratios).map(Some)
    }

    /// The configuration with the steps of `quantizers`.
    fn config_of(&self, config: &QuantConfig, quantizers: &Quantizers) -> QuantConfig {
        let mut config = config.clone();
        let graph = &self.model().graph;
        for map in &quantizers.maps {
            for id in &map.tensors {
                if let Some(format) = config.formats.get_mut(&graph.node(*id).name) {
                    *format = format.with_scale(map.step);
                }
            }
        }
        for (name, kernel) in &quantizers.kernels {
            let layer = name.strip_suffix(".weight").unwrap_or(name);
            config.weight_scales.insert(layer.to_owned(), kernel.steps.clone());
        }
        config
    }

    /// Ratios and saturation points that lead to the steps of `quantizers`.
    fn normalized(
        &self,
        job: &Job,
        calibrated: &Calibrated,
        quantizers: &Quantizers,
    ) -> Result<(Calibrated, NormRatios)> {
        let graph = &job.model.graph;
        let steps = quantizers.maps.iter().flat_map(|map| map.tensors.iter().map(|&id| (id, map.step)));
        let steps: BTreeMap<&str, f32> =
            steps.map(|(id, step)| (graph.node(id).name.as_str(), step)).collect();
        let ratios = job.ratios_of(|name| Ok(steps.get(name).copied().unwrap_or(1.0)))?;
        let saturation = |(name, kernel): (&String, &qat_inq::KernelQuantizer)| {
            let rows = job.model.params.get(name).map_or(1, |weight| weight.shape()[0]);
            let step = |row: usize| kernel.steps[row.min(kernel.steps.len() - 1)] * kernel.high;
            (name.clone(), (0..rows).map(step).collect())
        };
        let saturations = quantizers.kernels.iter().map(saturation).collect();
        Ok((calibrated.with_saturations(saturations), ratios))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::{decode, list_images, prepare};
    use burn::tensor::{Device, Tensor, TensorData};
    use clap::Parser;
    use qat_inq::FakeQuantization;
    use quant_core::{Executor, Values};
    use std::path::Path;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        target: TargetArguments,
    }

    fn fixtures() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
    }

    /// The demonstration for some integers; paths of its configuration are relative to the workspace.
    fn target(arguments: &[&str]) -> Target {
        let fixtures = fixtures();
        let path = |name: &str| fixtures.join(name).display().to_string();
        let mut all = vec!["test".to_owned(), "--model".to_owned(), path("demo/model.yaml")];
        all.extend(arguments.iter().map(|argument| argument.replace("FIXTURES", &path(""))));
        Target::load(&Arguments::parse_from(all).target, 1).unwrap()
    }

    /// What a network gives on an image, in real numbers.
    fn run(network: &Network, image: &[f32]) -> Vec<f32> {
        let mut executor = Executor::new(&network.program, network.size.height, network.size.width).unwrap();
        executor.run(image).unwrap();
        let real = |(tensor, values): (usize, Values<'_>)| {
            let params = network.program.tensors()[tensor].format.params();
            let value =
                |q: f64| params.map_or(q, |p| (q - f64::from(p.zero_point)) * f64::from(p.scale)) as f32;
            match values {
                Values::F32(values) => values.to_vec(),
                Values::I8(values) => values.iter().map(|&q| value(q.into())).collect(),
                Values::I16(values) => values.iter().map(|&q| value(q.into())).collect(),
            }
        };
        executor.outputs().flat_map(real).collect()
    }

    /// What quantisation does to outputs of the network in training, and of the integers: the ratio of both, and how they correlate. Roundings that come out
    /// otherwise in one layer change those of the next, so single values differ.
    fn fidelity(target: &Target) -> [f64; 2] {
        let model = target.model();
        let float = target.float(&model.params).unwrap();
        let params = super::super::report::on_grid(target, &model.params, &target.quantizers).unwrap();
        let integer = target.integer(&params, &target.quantizers).unwrap();
        let device = Device::flex();
        let trained = yolo_model::Network::new(&model.graph, &model.params, &device).unwrap();
        let [mut fakes, mut wholes, mut both] = [0.0; 3];
        for path in &list_images(&fixtures().join("demo/images")).unwrap()[..3] {
            let image = prepare(&decode(path).unwrap(), target.size).unwrap().0;
            let mut hook = FakeQuantization::new(&model.graph, &target.quantizers, &device).unwrap();
            let shape = [1, 3, target.size.height, target.size.width];
            let input = Tensor::<4>::from_data(TensorData::new(image.clone(), shape), &device);
            let fake = trained.forward_with(input, &mut hook).unwrap();
            let fake: Vec<f32> = fake.into_iter().flat_map(|map| map.try_into_vec_as().unwrap()).collect();
            for ((fake, whole), real) in fake.iter().zip(run(&integer, &image)).zip(run(&float, &image)) {
                let (a, b) = (f64::from(fake - real), f64::from(whole - real));
                fakes += a * a;
                wholes += b * b;
                both += a * b;
            }
        }
        [(fakes / wholes).sqrt(), both / (fakes * wholes).sqrt()]
    }

    #[test]
    fn what_is_trained_is_what_runs() {
        let demo = "FIXTURES/demo/";
        let demonstration = [
            "--weights".to_owned(),
            format!("{demo}model.safetensors"),
            "--calibration".to_owned(),
            format!("{demo}calibration"),
            "--imgsz".to_owned(),
            "160".to_owned(),
        ];
        let icraft = |name: &str| {
            let settings = [
                format!("parse.network={demo}model.safetensors"),
                format!("quantize.forward_dir={demo}calibration"),
                "quantize.forward_list=FIXTURES/icraft/calibration.txt".to_owned(),
            ];
            let mut arguments = vec!["--icraft".to_owned(), format!("FIXTURES/icraft/{name}")];
            settings.into_iter().for_each(|setting| arguments.extend(["--set".to_owned(), setting]));
            arguments
        };
        let cases =
            [(demonstration.to_vec(), 0.6), (icraft("demo_8.ini"), 0.7), (icraft("demo_16.ini"), 0.99)];
        for (arguments, least) in cases {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let [ratio, correlation] = fidelity(&target(&arguments));
            assert!(
                (0.9..1.1).contains(&ratio) && correlation > least,
                "{arguments:?}: {ratio} {correlation}"
            );
        }
    }
}
