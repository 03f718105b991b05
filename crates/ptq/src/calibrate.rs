//! From images to a configuration: statistics of every group, then a quantiser by the chosen method.

use crate::{Degenerate, Error, Group, Method, Placement, Rule, ScaleGrid, Statistics, WeightConfig, Width};
use nn_graph::Graph;
use quant_core::{Executor, Format, Program, QuantParams, QuantSpec, Rounding, ScaleForm, Scheme, Values};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Statistics by tensor name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Collection {
    tensors: BTreeMap<String, Statistics>,
}

impl FromIterator<(String, Statistics)> for Collection {
    fn from_iter<I: IntoIterator<Item = (String, Statistics)>>(tensors: I) -> Self {
        Self { tensors: tensors.into_iter().collect() }
    }
}

impl Collection {
    /// An empty collection for all tensors that `placement` needs.
    #[must_use]
    pub fn new(graph: &Graph, placements: &[&Placement]) -> Self {
        let groups = placements.iter().flat_map(|p| p.groups());
        let names = groups.filter(|g| g.rule != Rule::ImageInput).flat_map(|g| &g.sources);
        Self { tensors: names.map(|&id| (graph.node(id).name.clone(), Statistics::default())).collect() }
    }

    /// Runs the float `program` on an image and adds all tensors of the collection. The program must keep every tensor of the
    /// graph ([`crate::lower_float`] without fusion).
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub fn observe(
        &mut self,
        program: &Program,
        executor: &mut Executor<'_>,
        image: &[f32],
    ) -> Result<(), Error> {
        self.observe_image(program, executor, image).map(drop)
    }

    /// The same; gives the largest magnitude that each tensor of the collection has on this image, in the order of their names.
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub fn observe_image(
        &mut self,
        program: &Program,
        executor: &mut Executor<'_>,
        image: &[f32],
    ) -> Result<Vec<f32>, Error> {
        let started = self.tensors.iter_mut().map(|(name, statistics)| (name.as_str(), (statistics, 0f32)));
        let mut tensors: BTreeMap<&str, _> = started.collect();
        executor.run_with(image, |tensor, values| {
            let found = tensors.get_mut(program.tensors()[tensor].name.as_str());
            if let (Some((statistics, largest)), Values::F32(values)) = (found, values) {
                *largest = largest.max(statistics.observe_largest(values));
            }
        })?;
        Ok(tensors.into_values().map(|(_, largest)| largest).collect())
    }

    /// Adds another collection; the order of merging does not matter.
    pub fn merge(&mut self, other: Self) {
        for (name, statistics) in other.tensors {
            self.tensors.entry(name).or_default().merge(statistics);
        }
    }

    /// Every tensor's name and statistics, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Statistics)> {
        self.tensors.iter().map(|(name, statistics)| (name.as_str(), statistics))
    }

    /// The first tensor of `other` that this collection does not have.
    pub(crate) fn lacking<'a>(&self, other: &'a Self) -> Option<&'a str> {
        other.iter().map(|(name, _)| name).find(|name| self.get(name).is_none())
    }

    /// Checks that all tensors have seen values, and only finite ones, as every method needs them.
    ///
    /// # Errors
    /// [`Error::NonFinite`] or [`Error::NoValues`] with the name of the first tensor that fails.
    pub fn check_values(&self) -> Result<(), Error> {
        self.iter().try_for_each(|(name, statistics)| match statistics.non_finite() {
            0 if statistics.count() == 0 => Err(Error::NoValues.of(name)),
            0 => Ok(()),
            count => Err(Error::NonFinite { count }.of(name)),
        })
    }

    /// Statistics of one tensor.
    #[must_use]
    pub fn get(&self, tensor: &str) -> Option<&Statistics> {
        self.tensors.get(tensor)
    }

    /// The pooled statistics of a group.
    fn pooled(&self, graph: &Graph, group: &Group) -> Result<Statistics, Error> {
        let mut pooled = Statistics::default();
        for &id in &group.sources {
            let name = &graph.node(id).name;
            pooled.merge(self.get(name).ok_or_else(|| Error::NoStatistics { tensor: name.clone() })?.clone());
        }
        Ok(pooled)
    }
}

/// Everything that lowering to integers needs to know besides the graph and its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantConfig {
    /// Format of every tensor, by name.
    pub formats: BTreeMap<String, Format>,
    /// Convolutions (with their activation) that stay in f32, by name.
    pub float: BTreeSet<String>,
    /// Tensors that are kept in f32, by name. A convolution among them is an island of integers: its input is quantised and its result
    /// dequantised by the quantisers in `formats`.
    #[serde(default)]
    pub float_tensors: BTreeSet<String>,
    /// How weights get their scales.
    pub weights: WeightConfig,
    /// Scales per output channel of convolutions, by name, that stand in place of those of `weights`: for weights that have been put on
    /// their grid already.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weight_scales: BTreeMap<String, Vec<f32>>,
    /// Form of the factors of requantisation.
    pub scale_form: ScaleForm,
    /// Rounding of requantisation.
    pub rounding: Rounding,
}

impl QuantConfig {
    /// Chooses a quantiser for every group by `method`; groups of 16 bits always take twice the largest magnitude, which costs one
    /// bit of fifteen and leaves room for images that calibration has not seen.
    ///
    /// # Errors
    /// Names the tensor whose statistics are missing, empty or not finite.
    pub fn calibrate(
        graph: &Graph,
        placement: &Placement,
        collection: &Collection,
        method: Method,
        scheme: Scheme,
    ) -> Result<Self, Error> {
        let formats: Vec<(&Group, Format)> = placement
            .groups()
            .par_iter()
            .map(|group| {
                let name = &graph.node(group.members[0]).name;
                Ok((
                    group,
                    format(graph, group, placement.options().scales, collection, method, scheme)
                        .map_err(|e| e.of(name))?,
                ))
            })
            .collect::<Result<_, Error>>()?;
        let named = |(group, format): &(&Group, Format)| {
            let format = *format;
            group.members.iter().map(move |&id| (graph.node(id).name.clone(), format)).collect::<Vec<_>>()
        };
        Ok(Self {
            formats: formats.iter().flat_map(named).collect(),
            float: BTreeSet::new(),
            float_tensors: BTreeSet::new(),
            weights: WeightConfig::default(),
            weight_scales: BTreeMap::new(),
            scale_form: ScaleForm::default(),
            rounding: Rounding::default(),
        })
    }

    /// The scales of the weights of the convolution `name`, one per output channel.
    ///
    /// # Errors
    /// As [`WeightConfig::scales`].
    pub fn weight_scales(&self, name: &str, weight: &[f32], rows: usize) -> Result<Vec<f32>, Error> {
        match self.weight_scales.get(name) {
            Some(scales) => Ok(scales.clone()),
            None => self.weights.scales(weight, rows),
        }
    }
}

impl Placement {
    /// The groups of 8-bit tensors where `method` has little to choose by, each by its first tensor, with the reason: what it gives
    /// there says little of the method.
    ///
    /// # Errors
    /// As [`QuantConfig::calibrate`].
    pub fn degenerate_choices(
        &self,
        graph: &Graph,
        collection: &Collection,
        method: Method,
        scheme: Scheme,
    ) -> Result<Vec<(String, Degenerate)>, Error> {
        let spec = QuantSpec::int8(method.scheme(scheme));
        let of_group = |group: &Group| {
            let name = &graph.node(group.members[0]).name;
            let report = collection.pooled(graph, group).and_then(|pooled| method.report(&pooled, &spec));
            let report = report.map_err(|error| error.of(name))?;
            Ok(report.degenerate.map(|reason| (name.clone(), reason)))
        };
        let chosen = |group: &&Group| group.rule != Rule::ImageInput && group.width == Width::Bits8;
        let groups: Vec<&Group> = self.groups().iter().filter(chosen).collect();
        groups.into_par_iter().filter_map(|group| of_group(group).transpose()).collect()
    }
}

/// The quantiser of a group by `method`.
pub(crate) fn format(
    graph: &Graph,
    group: &Group,
    scales: ScaleGrid,
    collection: &Collection,
    method: Method,
    scheme: Scheme,
) -> Result<Format, Error> {
    if group.rule == Rule::ImageInput {
        return Ok(match group.width {
            Width::Bits8 => Format::I8(QuantParams { scale: 1.0 / 255.0, zero_point: -128 }),
            Width::Bits16 => Format::I16(QuantParams { scale: 1.0 / 32640.0, zero_point: 0 }),
        });
    }
    let statistics = collection.pooled(graph, group)?;
    if group.width == Width::Bits16 {
        let QuantParams { scale, zero_point } =
            scales.params(Method::Max, &statistics, &QuantSpec::int16())?;
        // Twice a scale of a grid is on the grid.
        let scale = if statistics.absolute_maximum() > 0.0 { (2.0 * scale).min(f32::MAX) } else { scale };
        return Ok(Format::I16(QuantParams { scale, zero_point }));
    }
    Ok(Format::I8(scales.params(method, &statistics, &QuantSpec::int8(method.scheme(scheme)))?))
}
