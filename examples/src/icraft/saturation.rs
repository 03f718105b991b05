//! Saturation points of all feature maps of a network.

use crate::error::{Error, Result};
use crate::images::{Picture, decode, prepare};
use crate::network::Model;
use crate::workers;
use image::imageops::{FilterType, resize};
use ptq::{Fusion, MagnitudeHistogram, Method, SaturationMethod, Statistics, lower_float};
use quant_core::{Executor, Granularity, Program, QuantSpec, Scheme, Values};
use std::collections::BTreeMap;
use std::path::PathBuf;
use yolo_model::{ImageSize, to_planar_f32};

/// How saturation points are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// As the vendor's quantiser does.
    Histogram(SaturationMethod),
    /// By a method of ours.
    Method(Method),
}

impl Rule {
    /// The rule of a name: `kld`, `ems`, `null`, or a method that `quantize` knows.
    ///
    /// # Errors
    /// [`Error::Argument`] for any other.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "kld" => Ok(Self::Histogram(SaturationMethod::Kld)),
            "ems" => Ok(Self::Histogram(SaturationMethod::Ems)),
            "null" => Ok(Self::Histogram(SaturationMethod::Null)),
            name => Method::from_name(name).map(Self::Method).ok_or_else(|| Error::Argument {
                option: "--saturation",
                value: name.to_owned(),
                expected: "kld, ems, null, or a method of `quantize`: max, percentile, entropy, mse, sqnr, octav, aciq",
            }),
        }
    }
}

/// What an image becomes before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Scaled with its proportions, the rest grey.
    Letterbox,
    /// Stretched.
    Stretch,
}

/// What was measured, by name of the tensor.
#[derive(Debug, Clone, Default)]
pub struct Saturations {
    /// Largest magnitude of every channel, over all images.
    pub channels: BTreeMap<String, Vec<f32>>,
    /// Largest magnitude, averaged over the parts.
    pub maximum: BTreeMap<String, f32>,
    /// Saturation point, averaged over the parts.
    pub saturation: BTreeMap<String, f32>,
}

/// Runs the float network on the images of every part, twice: for the largest magnitudes, and for the rest.
///
/// # Errors
/// An image that can't be read; values that are not finite.
pub fn measure(
    model: &Model,
    parts: &[Vec<PathBuf>],
    (size, fit): (ImageSize, Fit),
    rule: Rule,
    bits: u8,
    threads: usize,
) -> Result<Saturations> {
    let program = lower_float(&model.graph, &model.params, Fusion::EveryTensor)?;
    let run = Run { program: &program, size, fit, threads };
    let mut all = Saturations::default();
    for part in parts {
        let largest = run.largest(part)?;
        let saturation = run.saturation(part, &largest, rule, bits)?;
        for ((tensor, channels), saturation) in program.tensors().iter().zip(&largest).zip(saturation) {
            let name = &tensor.name;
            let merged = all.channels.entry(name.clone()).or_insert_with(|| vec![0.0; channels.len()]);
            merged.iter_mut().zip(channels).for_each(|(a, b)| *a = a.max(*b));
            let share = parts.len() as f32;
            *all.maximum.entry(name.clone()).or_default() += maximum(channels) / share;
            *all.saturation.entry(name.clone()).or_default() += saturation / share;
        }
    }
    Ok(all)
}

fn maximum(channels: &[f32]) -> f32 {
    channels.iter().copied().fold(0.0, f32::max)
}

/// The network's input for a picture, planar RGB in `[0, 1]`.
///
/// # Errors
/// If a size is zero.
pub fn fitted(picture: &Picture, size: ImageSize, fit: Fit) -> Result<Vec<f32>> {
    if fit == Fit::Letterbox {
        return Ok(prepare(picture, size)?.0);
    }
    let sides = |size: ImageSize| (size.width as u32, size.height as u32);
    let (width, height) = sides(picture.size);
    let mut input = vec![0.0; 3 * size.width * size.height];
    if let Some(image) = image::RgbImage::from_raw(width, height, picture.pixels.clone()) {
        let (width, height) = sides(size);
        let stretched = resize(&image, width, height, FilterType::Triangle);
        to_planar_f32(stretched.as_raw(), size, &mut input)?;
    }
    Ok(input)
}

struct Run<'a> {
    program: &'a Program,
    size: ImageSize,
    fit: Fit,
    threads: usize,
}

impl Run<'_> {
    /// Shows every tensor of every image to `observe`, with a state of each thread, and returns the states.
    fn observe<S: Send>(
        &self,
        images: &[PathBuf],
        label: &str,
        state: impl Fn() -> Result<S> + Sync,
        observe: impl Fn(&mut S, usize, &[f32]) -> Result<()> + Sync,
    ) -> Result<Vec<S>> {
        let state = || Ok((Executor::new(self.program, self.size.height, self.size.width)?, state()?));
        let work = |(executor, state): &mut (Executor<'_>, S), index: usize| {
            let input = fitted(&decode(&images[index])?, self.size, self.fit)?;
            let mut result = Ok(());
            executor.run_with(&input, |tensor, values| {
                if let (Values::F32(values), Ok(())) = (values, &result) {
                    result = observe(state, tensor, values);
                }
            })?;
            result.map_err(|error| match error {
                Error::Ptq(ptq::Error::NonFinite { count }) => {
                    Error::activations(&images[index])(ptq::Error::NonFinite { count })
                }
                other => other,
            })
        };
        let (_, states) = workers::for_each(self.threads, images.len(), label, state, work)?;
        Ok(states.into_iter().map(|(_, state)| state).collect())
    }

    /// Largest magnitude of every channel of every tensor.
    fn largest(&self, images: &[PathBuf]) -> Result<Vec<Vec<f32>>> {
        let empty = || Ok(self.program.tensors().iter().map(|t| vec![0f32; t.channels]).collect::<Vec<_>>());
        let states = self.observe(
            images,
            "largest magnitudes",
            empty,
            |state: &mut Vec<Vec<f32>>, tensor, values| {
                let planes = values.chunks_exact((values.len() / state[tensor].len()).max(1));
                for (largest, plane) in state[tensor].iter_mut().zip(planes) {
                    *largest = plane.iter().fold(*largest, |a, b| a.max(b.abs()));
                }
                Ok(())
            },
        )?;
        let mut states = states.into_iter();
        let mut all = states.next().unwrap_or_default();
        for state in states {
            for (a, b) in all.iter_mut().flatten().zip(state.iter().flatten()) {
                *a = a.max(*b);
            }
        }
        Ok(all)
    }

    /// Saturation point of every tensor.
    fn saturation(&self, images: &[PathBuf], largest: &[Vec<f32>], rule: Rule, bits: u8) -> Result<Vec<f32>> {
        match rule {
            Rule::Histogram(SaturationMethod::Null) => Ok(largest.iter().map(|c| maximum(c)).collect()),
            Rule::Histogram(method) => {
                let empty = || {
                    let histogram = |channels: &Vec<f32>| MagnitudeHistogram::new(maximum(channels));
                    Ok(largest.iter().map(histogram).collect::<std::result::Result<Vec<_>, _>>()?)
                };
                let observe = |state: &mut Vec<MagnitudeHistogram>, tensor: usize, values: &[f32]| {
                    Ok(state[tensor].observe(values)?)
                };
                let states = self.observe(images, "histograms", empty, observe)?;
                let mut all = empty()?;
                for state in &states {
                    all.iter_mut().zip(state).try_for_each(|(a, b)| a.merge(b))?;
                }
                Ok(all.iter().map(|histogram| histogram.saturation(method, bits)).collect())
            }
            Rule::Method(method) => {
                let empty = || Ok(vec![Statistics::default(); largest.len()]);
                let observe = |state: &mut Vec<Statistics>, tensor: usize, values: &[f32]| {
                    state[tensor].observe(values);
                    Ok(())
                };
                let states = self.observe(images, "statistics", empty, observe)?;
                let mut all = empty()?;
                for state in states {
                    all.iter_mut().zip(state).for_each(|(a, b)| a.merge(b));
                }
                let spec = QuantSpec::new(bits, true, Scheme::Symmetric, true, Granularity::PerTensor)?;
                all.iter()
                    .map(|statistics| {
                        let range = method.range(statistics, &spec)?;
                        Ok(range.low.abs().max(range.high.abs()))
                    })
                    .collect()
            }
        }
    }
}
