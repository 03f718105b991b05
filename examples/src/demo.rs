//! The demonstration in `fixtures/demo`: a small network without training, and images drawn by a seeded generator.
//!
//! Weights come from [`nn_graph::formula_params`]; the head is scaled and shifted so that its outputs spread like those of a trained one. What the
//! float network then finds on the drawn images is taken as the truth. All of it is the same on every machine.

use crate::error::Result;
use crate::images::{Picture, prepare};
use crate::network::{Model, Network};
use crate::stream::Stream;
use nn_graph::{Graph, Params, formula_params};
use ptq::{Fusion, lower_float};
use quant_core::{Executor, Values};
use std::path::{Path, PathBuf};
use yolo_model::{Detection, ImageSize, NmsParams};

/// What the programs say when they run on it.
pub const NOTE: &str = "demonstration: an untrained network with formula-made weights, whose own float detections are the \
                        annotations: AP tells how well the integer networks agree with it, not how well it detects";

/// Size of the network's input.
pub const SIZE: ImageSize = ImageSize::new(160, 160);

/// Names of its classes.
pub const CLASS_NAMES: [&str; 4] = ["circle", "square", "stripe", "cross"];

/// Standard deviation of an output channel after scaling: of box coordinates, so that boxes keep near their anchors, and of scores.
const BOX_SPREAD: f64 = 0.4;
const SCORE_SPREAD: f64 = 1.5;
/// Mean of the objectness outputs, so that few cells score; all other means are 0.
const OBJECTNESS_MEAN: f64 = -2.5;

/// The folder.
#[must_use]
pub fn folder() -> PathBuf {
    let here = Path::new("fixtures/demo");
    if here.is_dir() {
        here.to_owned()
    } else {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/demo")
    }
}

/// A shape to be drawn.
struct Figure {
    kind: usize,
    centre: [f64; 2],
    radius: f64,
    colour: [f64; 3],
}

impl Figure {
    fn random(stream: &mut Stream<'_>, size: ImageSize) -> Self {
        Self {
            kind: stream.within(0.0, 4.0) as usize,
            centre: [stream.within(0.0, size.width as f64), stream.within(0.0, size.height as f64)],
            radius: stream.within(6.0, 34.0),
            colour: stream.colour(20.0),
        }
    }

    fn covers(&self, x: f64, y: f64) -> bool {
        let (dx, dy) = ((x - self.centre[0]) / self.radius, (y - self.centre[1]) / self.radius);
        let inside = dx.abs() <= 1.0 && dy.abs() <= 1.0;
        match self.kind {
            0 => dx * dx + dy * dy <= 1.0,
            1 => inside,
            2 => inside && ((dy + 1.0) * 3.0) as i64 % 2 == 0,
            _ => inside && (dx.abs() < 0.3 || dy.abs() < 0.3),
        }
    }
}

/// Draws the image that belongs to `name`: a gradient with 3 to 8 figures, a square of 96 to 192 pixels (in a border the network would find boxes too, but outside of the picture).
#[must_use]
pub fn draw(name: &str) -> Picture {
    let mut stream = Stream::new(name);
    let side = stream.within(12.0, 25.0) as usize * 8;
    let size = ImageSize::new(side, side);
    let (from, to) = (stream.colour(20.0), stream.colour(20.0));
    let count = stream.within(3.0, 9.0) as usize;
    let figures: Vec<Figure> = (0..count).map(|_| Figure::random(&mut stream, size)).collect();
    let mut pixels = Vec::with_capacity(size.height * size.width * 3);
    for y in 0..size.height {
        let share = y as f64 / size.height as f64;
        for x in 0..size.width {
            let top = figures.iter().rev().find(|f| f.covers(x as f64, y as f64));
            let gradient = [0, 1, 2].map(|c| from[c] + share * (to[c] - from[c]));
            pixels.extend(top.map_or(gradient, |f| f.colour).map(|v| v as u8));
        }
    }
    Picture { pixels, size }
}

/// The network: formula-made weights, its head adjusted by its outputs on `pictures`.
///
/// # Errors
/// If the graph can't be lowered.
pub fn build(graph: &Graph, pictures: &[Picture]) -> Result<(Params, Model)> {
    let mut params = formula_params(graph);
    let moments = head_moments(&model(graph, &params)?, pictures)?;
    let value_of = |channel: usize| channel % (5 + CLASS_NAMES.len());
    let spread = |channel| if value_of(channel) < 4 { BOX_SPREAD } else { SCORE_SPREAD };
    for (id, moments) in graph.outputs().iter().zip(moments) {
        let name = &graph.node(*id).name;
        let Some(weight) = params.get_mut(&format!("{name}.weight")) else { continue };
        let row = weight.data().len() / moments.len();
        for (channel, (row, m)) in weight.data_mut().chunks_exact_mut(row).zip(&moments).enumerate() {
            row.iter_mut().for_each(|w| *w = (f64::from(*w) * spread(channel) / m.deviation) as f32);
        }
        let Some(bias) = params.get_mut(&format!("{name}.bias")) else { continue };
        for (channel, (b, m)) in bias.data_mut().iter_mut().zip(&moments).enumerate() {
            let target = if value_of(channel) == 4 { OBJECTNESS_MEAN } else { 0.0 };
            *b = (target + (f64::from(*b) - m.mean) * spread(channel) / m.deviation) as f32;
        }
    }
    let model = model(graph, &params)?;
    Ok((params, model))
}

fn model(graph: &Graph, params: &Params) -> Result<Model> {
    let wrong = |source| crate::error::Error::Model { path: PathBuf::from(graph.name()), source };
    let expected_inputs = ptq::expected_inputs(graph, params, None);
    let (graph, params) = graph.fold_batch_norm(params).map_err(wrong)?;
    Ok(Model { graph, params, class_names: CLASS_NAMES.map(str::to_owned).to_vec(), expected_inputs })
}

/// Mean and standard deviation of one channel.
struct Moments {
    mean: f64,
    deviation: f64,
}

/// Moments of every channel of every output over all pixels of all pictures.
fn head_moments(model: &Model, pictures: &[Picture]) -> Result<Vec<Vec<Moments>>> {
    let program = lower_float(&model.graph, &model.params, Fusion::Fused)?;
    let mut executor = Executor::new(&program, SIZE.height, SIZE.width)?;
    let channels = program.outputs().iter().map(|&id| program.tensors()[id].channels);
    let mut sums: Vec<Vec<[f64; 3]>> = channels.map(|channels| vec![[0.0; 3]; channels]).collect();
    for picture in pictures {
        executor.run(&prepare(picture, SIZE)?.0)?;
        for ((_, values), sums) in executor.outputs().zip(&mut sums) {
            let Values::F32(values) = values else { continue };
            for (channel, sums) in values.chunks_exact(values.len() / sums.len()).zip(sums) {
                for v in channel.iter().map(|&v| f64::from(v)) {
                    *sums = [sums[0] + 1.0, sums[1] + v, sums[2] + v * v];
                }
            }
        }
    }
    let moments = |[n, sum, squares]: &[f64; 3]| {
        let mean = sum / n;
        Moments { mean, deviation: (squares / n - mean * mean).sqrt().max(1e-6) }
    };
    Ok(sums.iter().map(|sums| sums.iter().map(moments).collect()).collect())
}

/// What the float network finds on each picture, in pixels of the picture.
///
/// # Errors
/// If the network can't be run.
pub fn truth(model: &Model, pictures: &[Picture]) -> Result<Vec<Vec<Detection>>> {
    let program = lower_float(&model.graph, &model.params, Fusion::Fused)?;
    let network: Network = model.network(program, SIZE)?;
    let mut executor = Executor::new(&network.program, SIZE.height, SIZE.width)?;
    // Everything above one score and nothing below, so that the float network's true positives rank before its false ones.
    let nms = NmsParams { confidence: 0.6, ..NmsParams::default() };
    let find = |picture: &Picture| {
        let (input, transform) = prepare(picture, SIZE)?;
        executor.run(&input)?;
        let mut found = network.detections(&executor, &nms)?;
        found.iter_mut().for_each(|d| d.bbox = transform.to_source(d.bbox));
        // Boxes that clipping leaves without area overlap nothing.
        found.retain(|d| d.bbox[2] - d.bbox[0] >= 2.0 && d.bbox[3] - d.bbox[1] >= 2.0);
        Ok(found)
    };
    pictures.iter().map(find).collect()
}
