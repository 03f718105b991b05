//! What is quantised in a network, and how: the same for training and for integers.

use crate::{Error, Grid, UniformGrid};
use nn_graph::{Conv, Graph, Op, TensorId};
use ptq::{NormRatios, Placement, QuantConfig, ratio_groups};
use quant_core::{MantissaScale, Rounding};
use std::collections::BTreeMap;

/// A quantiser of feature maps: `real = (q - zero_point) step` for integers `q` in `[low, high]`.
#[derive(Debug, Clone, PartialEq)]
pub struct MapQuantizer {
    /// The feature maps that have it.
    pub tensors: Vec<TensorId>,
    /// Its step.
    pub step: f32,
    /// The integer of 0. It need not be one: pixels less 128 are `[0, 1]` with any step.
    pub zero_point: f32,
    /// The smallest integer.
    pub low: f32,
    /// The largest.
    pub high: f32,
    /// Whether the step is learned, where steps are.
    pub learned: bool,
}

/// What steps of weights are multiples of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepUnit {
    /// Of 1.
    Real,
    /// Of the step of what the convolution gives, divided by that of what it reads, channel by channel: in networks with normalised feature maps.
    Ratios,
}

/// Which steps weights may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepForm {
    /// Any.
    Any,
    /// `m 2^-n` with `m` up to 255 and `n` between these: a [`MantissaScale`].
    Mantissa {
        /// The smallest `n`.
        first: u8,
        /// The largest.
        last: u8,
    },
}

impl StepForm {
    /// The step that is nearest to a positive number; the number itself if there is none.
    #[must_use]
    pub fn nearest(self, step: f32) -> f32 {
        match self {
            Self::Any => step,
            Self::Mantissa { first, last } => {
                MantissaScale::nearest(step.into(), first..=last).map_or(step, |scale| scale.real() as f32)
            }
        }
    }
}

/// A quantiser of a convolution's weights, symmetric.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelQuantizer {
    /// A step for every output channel, or one.
    pub steps: Vec<f32>,
    /// What they are multiples of.
    pub unit: StepUnit,
    /// Which steps it may have.
    pub form: StepForm,
    /// The largest integer; the smallest is less than 0 by as much.
    pub high: f32,
}

/// The quantisers of a network.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Quantizers {
    /// Of feature maps; the others are not quantised.
    pub maps: Vec<MapQuantizer>,
    /// Of weights, by name of the parameter.
    pub kernels: BTreeMap<String, KernelQuantizer>,
}

impl Quantizers {
    /// Those of a configuration: what [`ptq::lower_integer`] makes of the same. `placement` is the one that it was calibrated with.
    ///
    /// # Errors
    /// [`Error::Ptq`] for parameters that are missing or can't be quantised.
    pub fn of_config(
        graph: &Graph,
        params: &nn_graph::Params,
        config: &QuantConfig,
        placement: &Placement,
    ) -> Result<Self, Error> {
        let mut maps = Vec::new();
        for group in placement.groups() {
            let name = |id: &TensorId| &graph.node(*id).name;
            let tensors = group.members.clone();
            let format = tensors.first().and_then(|id| config.formats.get(name(id)));
            let Some((format, found)) = format.and_then(|format| Some((format, format.params()?))) else {
                continue;
            };
            let (low, high) = format.range().unwrap_or_default();
            maps.push(MapQuantizer {
                step: found.scale,
                zero_point: found.zero_point as f32,
                low: low as f32,
                high: high as f32,
                learned: group.rule != ptq::Rule::ImageInput,
                tensors,
            });
        }
        let high = f32::from((1i16 << (config.weights.bits - 1)).wrapping_sub(1));
        let mut kernels = BTreeMap::new();
        for (node, conv) in convolutions(graph).map(|(id, conv)| (graph.node(id), conv)) {
            let weights = ptq::parameter(params, &node.name, "weight")?;
            let steps = config.weight_scales(&node.name, weights, conv.out_channels)?;
            kernels.insert(
                format!("{}.weight", node.name),
                KernelQuantizer { steps, unit: StepUnit::Real, form: StepForm::Any, high },
            );
        }
        Ok(Self { maps, kernels })
    }

    /// Those of a network with normalised feature maps. `image` is the ratio of the image and the integer of 0 there; `scales` gives the scales of a
    /// convolution's normalised weights, one for every output channel.
    #[must_use]
    pub fn normalized(
        graph: &Graph,
        ratios: &NormRatios,
        bits: u8,
        [image_step, image_zero]: [f32; 2],
        scales: impl Fn(&str) -> Option<Vec<f32>>,
    ) -> Self {
        let half = 2f32.powi(i32::from(bits) - 1);
        let map = |tensors: Vec<TensorId>| {
            let is_image = tensors.iter().any(|&id| matches!(graph.node(id).op, Op::Input { .. }));
            let ratio = ratios.channels(tensors[0]).first().copied().unwrap_or(1.0);
            let (step, zero_point) = if is_image { (image_step, image_zero) } else { (ratio, 0.0) };
            MapQuantizer { tensors, step, zero_point, low: -half, high: half - 1.0, learned: !is_image }
        };
        let kernel = |(id, _): (TensorId, &Conv)| {
            let name = &graph.node(id).name;
            let mut steps = scales(name)?;
            if steps.iter().all(|step| *step == steps[0]) {
                steps.truncate(1);
            }
            let form = StepForm::Mantissa { first: bits, last: 2 * bits + 5 };
            let quantizer = KernelQuantizer { steps, unit: StepUnit::Ratios, form, high: half - 1.0 };
            Some((format!("{name}.weight"), quantizer))
        };
        Self {
            maps: ratio_groups(graph).into_iter().map(map).collect(),
            kernels: convolutions(graph).filter_map(kernel).collect(),
        }
    }

    /// The steps of the channels of every feature map, in the order of the graph: its own, or those of what it is made of.
    ///
    /// # Errors
    /// [`Error::Ptq`] for a step that is not positive and finite.
    pub fn channel_steps(&self, graph: &Graph) -> Result<NormRatios, Error> {
        let mut steps = vec![1.0; graph.nodes().len()];
        for map in &self.maps {
            map.tensors.iter().for_each(|id| steps[id.index()] = map.step);
        }
        Ok(NormRatios::new(graph, |id| Ok(steps[id.index()]))?)
    }

    /// By what the steps of a convolution's weights are multiplied: rows, by output channel, and columns, by input channel.
    ///
    /// # Errors
    /// [`Error::Groups`] for a convolution in groups that read different steps.
    pub(crate) fn units(
        &self,
        graph: &Graph,
        steps: &NormRatios,
        (id, conv): (TensorId, &Conv),
        unit: StepUnit,
    ) -> Result<[Vec<f32>; 2], Error> {
        if unit == StepUnit::Real {
            return Ok([vec![1.0], vec![1.0]]);
        }
        let read = steps.channels(graph.node(id).inputs[0]);
        let columns: Vec<f32> = read.iter().map(|step| 1.0 / step).collect();
        let uniform = columns.iter().all(|column| *column == columns[0]);
        match (uniform, conv.groups) {
            (true, _) => Ok([steps.channels(id).to_vec(), vec![columns[0]]]),
            (false, 1) => Ok([steps.channels(id).to_vec(), columns]),
            (false, _) => Err(Error::Groups { layer: graph.node(id).name.clone() }),
        }
    }

    /// The values that weights may have, for INQ.
    ///
    /// # Errors
    /// As [`Quantizers::channel_steps`]; those of [`UniformGrid::with_columns`].
    pub fn grids(&self, graph: &Graph, rounding: Rounding) -> Result<BTreeMap<String, Grid>, Error> {
        let steps = self.channel_steps(graph)?;
        let mut grids = BTreeMap::new();
        for (id, conv) in convolutions(graph) {
            let name = format!("{}.weight", graph.node(id).name);
            let Some(kernel) = self.kernels.get(&name) else { continue };
            let [rows, columns] = self.units(graph, &steps, (id, conv), kernel.unit)?;
            let rows: Vec<f32> = (0..conv.out_channels)
                .map(|channel| spread(&kernel.steps, channel) * spread(&rows, channel))
                .collect();
            let high = kernel.high as i32;
            let grid = UniformGrid::with_columns(&rows, &columns, -high, high, rounding)?;
            grids.insert(name, Grid::Uniform(grid));
        }
        Ok(grids)
    }
}

/// An entry of a list, or the only one.
pub(crate) fn spread(list: &[f32], index: usize) -> f32 {
    list[index.min(list.len() - 1)]
}

/// All convolutions of a graph.
pub(crate) fn convolutions(graph: &Graph) -> impl Iterator<Item = (TensorId, &Conv)> {
    graph.tensors().filter_map(|id| match &graph.node(id).op {
        Op::Conv(conv) => Some((id, conv)),
        _ => None,
    })
}
