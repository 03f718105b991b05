//! An analysis, read and calibrated.

use crate::analysis::settings::{Hashes, Settings};
use crate::calibration_file::SavedCalibration;
use crate::calibration_source::CalibrationSource;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::network::{Model, Network};
use crate::output::{sha256_file, sha256_files};
use crate::precision::{placements, quantizers};
use ptq::analysis::{AnalysisError, Layer, LayerPattern, Precision, Quantizers, Scope, layers, scopes};
use ptq::{Fusion, QuantConfig, lower_float, lower_integer};
use quant_core::Program;
use std::collections::BTreeSet;
use std::path::PathBuf;
use yolo_model::NmsParams;

/// Everything that an analysis works on.
pub struct Job {
    /// What was asked for.
    pub settings: Settings,
    /// What was read.
    pub hashes: Hashes,
    /// The network.
    pub model: Model,
    /// Its convolutions.
    pub layers: Vec<Layer>,
    /// The images to analyse on, with their annotations.
    pub dataset: Dataset,
    /// Category of each class.
    pub category_ids: Vec<i64>,
    /// What is changed.
    pub scopes: Vec<Scope>,
    /// Layers that stay in f32.
    pub ignored: BTreeSet<String>,
    /// Threads of one core each.
    pub threads: usize,
    source: CalibrationSource,
}

impl Job {
    /// Reads the model and lists all images. Nothing takes long yet.
    ///
    /// # Errors
    /// Files that can't be used, a pattern that matches no layer, candidates that change nothing.
    pub fn load(settings: Settings, threads: usize) -> Result<Self> {
        let Settings { size, skip_bad, .. } = settings;
        if !settings.has_variants() {
            let what = "the candidates have the precision of the base";
            return Err(AnalysisError::Nothing { what }.into());
        }
        let model = Model::load(&settings.weights, settings.model.as_deref())?;
        let layers = layers(&model.graph, size.height, size.width)?;
        let patterns = settings.ignore.iter().map(|pattern| LayerPattern::new(pattern));
        let patterns: Vec<LayerPattern> = patterns.collect::<std::result::Result<_, _>>()?;
        let (scopes, ignored) = scopes(&layers, settings.by, &patterns)?;
        let mut dataset = Dataset::open(&settings.images, &settings.annotations, skip_bad)?;
        dataset.images.truncate(settings.num_images.unwrap_or(usize::MAX));
        let category_ids = dataset.category_ids(&model.class_names, &settings.annotations)?;
        let source = source(&settings, &model)?;
        let hashes = hashes(&settings, &dataset, &source)?;
        Ok(Self { settings, hashes, model, layers, dataset, category_ids, scopes, ignored, threads, source })
    }

    /// Takes other images of the folder: all, or the first `num_images`.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn take_images(&mut self, num_images: Option<usize>) -> Result<()> {
        let Settings { images, annotations, skip_bad, .. } = &self.settings;
        self.dataset = Dataset::open(images, annotations, *skip_bad)?;
        self.dataset.images.truncate(num_images.unwrap_or(usize::MAX));
        Ok(())
    }

    /// Quantisers of both widths.
    ///
    /// # Errors
    /// As [`CalibrationSource::statistics`].
    pub fn quantizers(&self) -> Result<Quantizers> {
        let Settings { method, scheme, weight, concat, size, skip_bad, .. } = self.settings;
        let placements = placements(&self.model.graph, concat, weight.scales);
        let calibration = self.source.statistics(&self.model, &placements, size, self.threads, skip_bad)?;
        let references = [&placements[0], &placements[1]];
        Ok(quantizers(&self.model, references, &calibration.collection, method, scheme, weight)?)
    }

    /// The configuration in which layers have the precision of the settings, but for those that are ignored and those that `raised` knows.
    #[must_use]
    pub fn config(
        &self,
        quantizers: &Quantizers,
        raised: impl Fn(&Layer) -> Option<Precision>,
    ) -> QuantConfig {
        quantizers.config(&self.layers, |layer| self.precision(layer, raised(layer)))
    }

    /// The precision of a layer that is raised or not.
    #[must_use]
    pub fn precision(&self, layer: &Layer, raised: Option<Precision>) -> Precision {
        match raised {
            _ if self.ignored.contains(&layer.name) => Precision::F32,
            Some(precision) => precision,
            None => self.settings.precision,
        }
    }

    /// The float program.
    ///
    /// # Errors
    /// As [`lower_float`].
    pub fn float(&self, fusion: Fusion) -> Result<Program> {
        Ok(lower_float(&self.model.graph, &self.model.params, fusion)?)
    }

    /// The network of a configuration.
    ///
    /// # Errors
    /// As [`lower_integer`].
    pub fn network(&self, config: &QuantConfig) -> Result<Network> {
        let program = lower_integer(&self.model.graph, &self.model.params, config)?;
        self.model.network(program, self.settings.size)
    }

    /// Thresholds of detections.
    #[must_use]
    pub fn nms_params(&self) -> NmsParams {
        NmsParams { confidence: self.settings.conf, iou: self.settings.iou, ..NmsParams::default() }
    }

    /// Refuses images that have changed since `hashes` were taken.
    ///
    /// # Errors
    /// [`Error::Changed`] names what has.
    pub fn check_hashes(&self, hashes: &Hashes) -> Result<()> {
        let Hashes { weights_sha256, annotations_sha256, images_sha256, calibration_sha256 } = &self.hashes;
        let rows = [
            ("weights", weights_sha256, &hashes.weights_sha256),
            ("annotations", annotations_sha256, &hashes.annotations_sha256),
            ("images", images_sha256, &hashes.images_sha256),
            ("calibration", calibration_sha256, &hashes.calibration_sha256),
        ];
        let changed = rows.iter().find(|(_, now, then)| now != then);
        changed.map_or(Ok(()), |&(what, ..)| Err(Error::Changed { what }))
    }
}

/// A file that `calibrate` wrote, or a folder's images.
fn source(settings: &Settings, model: &Model) -> Result<CalibrationSource> {
    let Settings { weights, calibration, concat, weight, size, num_calib, .. } = settings;
    if !calibration.is_file() {
        return CalibrationSource::images(calibration, *num_calib);
    }
    let placements = placements(&model.graph, *concat, weight.scales);
    CalibrationSource::file(SavedCalibration::read(calibration)?, weights, model, *size, &placements[0])
}

fn hashes(settings: &Settings, dataset: &Dataset, source: &CalibrationSource) -> Result<Hashes> {
    Ok(Hashes {
        weights_sha256: sha256_file(&settings.weights)?,
        annotations_sha256: sha256_file(&settings.annotations)?,
        images_sha256: sha256_files(dataset.images.iter().map(|image| image.path.as_path()))?,
        calibration_sha256: match source {
            CalibrationSource::Images(paths) => sha256_files(paths.iter().map(PathBuf::as_path))?,
            CalibrationSource::File(file) => file.sha256.clone(),
        },
    })
}
