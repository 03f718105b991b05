//! The method for each tensor whose quantised result stays closest to the float one.

use crate::analysis::Sums;
use crate::calibrate::format;
use crate::lower::{activation, geometry};
use crate::{
    Collection, Error, Fusion, Method, Placement, QuantConfig, Rule, WeightConfig, lower_float, lower_integer,
};
use nn_graph::{Conv, Graph, Op, Params, TensorId};
use quant_core::{
    Constant, Description, Executor, Format, Program, QuantSpec, Rounding, Scheme, Step, StepOp, TensorInfo,
    Values, fake_quantize,
};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What one method would do to a group of tensors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MethodError {
    /// The method.
    pub method: Method,
    /// Scheme of its quantiser.
    pub scheme: Scheme,
    /// Its quantiser.
    pub format: Format,
    /// Squared error of what is computed from the group's tensors, relative to the square of that: mean over the readers.
    pub error: f64,
}

/// The choice for one group of tensors.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupChoice {
    /// The group's first tensor.
    pub tensor: String,
    /// The method taken: the first with the least error, unless one method for all tensors is better.
    pub method: Method,
    /// Every method's error; of methods with the same quantiser, all.
    pub methods: Vec<MethodError>,
}

/// How close a whole network of integers comes to the float one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct NetworkError {
    /// The method of all tensors; `None` for the choice by layers.
    pub method: Option<Method>,
    /// Squared error of all outputs, relative to the square of the float outputs.
    pub error: f64,
}

/// Every group's choice.
#[derive(Debug, Clone, PartialEq)]
pub struct ChosenMethods {
    /// The configuration that follows.
    pub config: QuantConfig,
    /// Groups that had a choice, in graph order.
    pub groups: Vec<GroupChoice>,
    /// What [`MethodSearch::settle`] compared: the choice by layers first. Empty before.
    pub networks: Vec<NetworkError>,
    /// Images looked at.
    pub images: usize,
}

/// A choice among methods by what they do to results.
#[derive(Debug, Clone, Copy)]
pub struct MethodSearch<'a> {
    /// The network.
    pub graph: &'a Graph,
    /// Its parameters.
    pub params: &'a Params,
    /// Its quantisers.
    pub placement: &'a Placement,
    /// What calibration has seen.
    pub collection: &'a Collection,
    /// What to choose among, the first of equals.
    pub methods: &'a [Method],
    /// Scheme of activations, where the method leaves it open.
    pub scheme: Scheme,
    /// Height and width of images.
    pub size: [usize; 2],
}

impl MethodSearch<'_> {
    /// Chooses for every group by the error that its quantiser alone makes in what is computed from it.
    ///
    /// On float activations `x` of `images` (planar) a reader computes `r(x)`: a convolution its sums, an activation its function,
    /// and everything else `x` itself; tensors of the same group are no readers. A method's error is the mean over all readers
    /// whose `r(x)` is not always zero of `sum |r(Q(x)) - r(x)|^2 / sum |r(x)|^2`. Groups of 16 bits and the image have no choice.
    /// The result depends on the order of images in the last bits of the sums, and not on the number of threads. After each image
    /// `progress` is called.
    ///
    /// # Errors
    /// [`Error::NoValues`] without images or methods; [`Error::NonFinite`] with the tensor's name; the errors of `images`,
    /// [`QuantConfig::calibrate`], lowering and running.
    pub fn by_layers<E: From<Error>>(
        &self,
        images: impl IntoIterator<Item = Result<Vec<f32>, E>>,
        mut progress: impl FnMut(),
    ) -> Result<ChosenMethods, E> {
        let Self { graph, params, placement, .. } = *self;
        let first = self.methods.first().ok_or(Error::NoValues)?;
        let mut config = self.one_method(*first)?;
        let float = lower_float(graph, params, Fusion::EveryTensor)?;
        let mut executor = Executor::new(&float, self.size[0], self.size[1]).map_err(Error::from)?;
        let mut search = Search::new(self)?;
        let mut count = 0;
        for image in images {
            search.look_at(&mut executor, &image?)?;
            count += 1;
            progress();
        }
        if count == 0 {
            return Err(Error::NoValues.into());
        }
        let groups = search.choose(graph, placement, &mut config);
        Ok(ChosenMethods { config, groups, networks: Vec::new(), images: count })
    }

    /// Keeps a choice by layers, or takes one method for all tensors: whose integer network's outputs are closest to the float ones.
    ///
    /// Choices by layers don't see how errors add up on their way to the outputs. The error is
    /// `sum |y' - y|^2 / sum |y|^2` over all values of all outputs `y` of all `images`. Weights get the scales of `weights`. After
    /// each image `progress` is called.
    ///
    /// # Errors
    /// As [`Self::by_layers`].
    pub fn settle<E: From<Error>>(
        &self,
        mut choice: ChosenMethods,
        weights: WeightConfig,
        images: impl IntoIterator<Item = Result<Vec<f32>, E>>,
        mut progress: impl FnMut(),
    ) -> Result<ChosenMethods, E> {
        let uniform = self.methods.iter().map(|method| Ok((Some(*method), self.one_method(*method)?)));
        let uniform: Vec<(Option<Method>, QuantConfig)> = uniform.collect::<Result<_, Error>>()?;
        let mut candidates = vec![(None, choice.config.clone())];
        candidates.extend(uniform);
        let lower = |(_, config): &(Option<Method>, QuantConfig)| {
            lower_integer(self.graph, self.params, &QuantConfig { weights, ..config.clone() })
        };
        let programs = candidates.iter().map(lower).collect::<Result<Vec<Program>, Error>>()?;
        let float = lower_float(self.graph, self.params, Fusion::Fused)?;
        let mut outputs = OutputErrors::new(&float, &programs, self.size)?;
        for image in images {
            outputs.look_at(&image?)?;
            progress();
        }
        let errors = outputs.sums.iter().map(Sums::noise_to_signal);
        let network = |((method, _), error): (&(Option<Method>, QuantConfig), f64)| NetworkError {
            method: *method,
            error,
        };
        choice.networks = candidates.iter().zip(errors).map(network).collect();
        let errors = choice.networks.iter().map(|network| network.error);
        let (best, _) = errors.enumerate().fold((0, f64::INFINITY), |a, b| if b.1 < a.1 { b } else { a });
        if let (Some(method), config) = candidates.swap_remove(best) {
            choice.config = config;
            choice.groups.iter_mut().for_each(|group| group.method = method);
        }
        Ok(choice)
    }

    fn one_method(&self, method: Method) -> Result<QuantConfig, Error> {
        QuantConfig::calibrate(self.graph, self.placement, self.collection, method, self.scheme)
    }
}

/// Runs networks of integers beside the float one.
struct OutputErrors<'p> {
    float: Executor<'p>,
    networks: Vec<Executor<'p>>,
    /// Of each network.
    sums: Vec<Sums>,
}

impl<'p> OutputErrors<'p> {
    fn new(float: &'p Program, programs: &'p [Program], [height, width]: [usize; 2]) -> Result<Self, Error> {
        let executor = |program| Executor::new(program, height, width);
        let networks = programs.iter().map(executor).collect::<Result<Vec<_>, _>>()?;
        let sums = vec![Sums::default(); networks.len()];
        Ok(Self { float: executor(float)?, networks, sums })
    }

    fn look_at(&mut self, image: &[f32]) -> Result<(), Error> {
        self.float.run(image)?;
        for (network, sums) in self.networks.iter_mut().zip(&mut self.sums) {
            network.run(image)?;
            for ((_, wanted), (tensor, found)) in self.float.outputs().zip(network.outputs()) {
                let format = network.program().tensors()[tensor].format;
                sums.observe(&wanted.to_f32(Format::F32), &found.to_f32(format))?;
            }
        }
        Ok(())
    }
}

/// A group that has a choice.
struct Candidates {
    group: usize,
    methods: Vec<MethodError>,
}

/// What is computed from a tensor: a program of one step; none where that is the tensor itself.
type Reader = Option<Box<Program>>;

/// A tensor of a group with its readers.
struct Watched {
    candidates: usize,
    readers: Vec<Reader>,
    /// By reader.
    sums: Vec<ReaderSums>,
}

/// Sums over all images.
#[derive(Clone)]
struct ReaderSums {
    signal: f64,
    /// Per method.
    errors: Vec<f64>,
}

struct Search {
    candidates: Vec<Candidates>,
    watched: BTreeMap<String, Watched>,
}

impl Search {
    fn new(how: &MethodSearch<'_>) -> Result<Self, Error> {
        let MethodSearch { graph, params, placement, collection, methods, scheme, .. } = *how;
        let consumers = graph.consumers();
        let mut search = Self { candidates: Vec::new(), watched: BTreeMap::new() };
        for (index, group) in placement.groups().iter().enumerate() {
            if group.rule == Rule::ImageInput || group.width != crate::Width::Bits8 {
                continue;
            }
            let of_method = |&method: &Method| {
                let format = format(graph, group, placement.options().scales, collection, method, scheme)?;
                Ok(MethodError { method, scheme: method.scheme(scheme), format, error: 0.0 })
            };
            let methods = methods.iter().map(of_method).collect::<Result<Vec<_>, Error>>();
            let methods = methods.map_err(|error| error.of(&graph.node(group.members[0]).name))?;
            for &id in &group.members {
                let readers = readers(graph, params, placement, &consumers, id)?;
                let sums = vec![ReaderSums { signal: 0.0, errors: vec![0.0; methods.len()] }; readers.len()];
                let watched = Watched { candidates: search.candidates.len(), readers, sums };
                search.watched.insert(graph.node(id).name.clone(), watched);
            }
            search.candidates.push(Candidates { group: index, methods });
        }
        Ok(search)
    }

    fn look_at(&mut self, executor: &mut Executor<'_>, image: &[f32]) -> Result<(), Error> {
        let (program, shapes) = (executor.program(), executor.shapes().to_vec());
        let mut outcome = Ok(());
        executor.run_with(image, |tensor, values| {
            let name = &program.tensors()[tensor].name;
            let (Some(watched), Values::F32(values)) = (self.watched.get_mut(name), values) else { return };
            let methods = &self.candidates[watched.candidates].methods;
            if outcome.is_ok() {
                outcome = watched.add(methods, values, shapes[tensor]).map_err(|error| error.of(name));
            }
        })?;
        outcome
    }

    fn choose(self, graph: &Graph, placement: &Placement, config: &mut QuantConfig) -> Vec<GroupChoice> {
        let mut choices = Vec::new();
        for (index, candidates) in self.candidates.into_iter().enumerate() {
            let readers: Vec<&ReaderSums> = self
                .watched
                .values()
                .filter(|watched| watched.candidates == index)
                .flat_map(|watched| &watched.sums)
                .filter(|sums| sums.signal > 0.0)
                .collect();
            let mut methods = candidates.methods;
            for (k, method) in methods.iter_mut().enumerate() {
                let relative = readers.iter().map(|sums| sums.errors[k] / sums.signal);
                // Without readers the sum of nothing, which is not to be minus zero.
                method.error = relative.fold(0.0, |sum, error| sum + error) / readers.len().max(1) as f64;
            }
            let group = &placement.groups()[candidates.group];
            let Some(best) = methods.iter().copied().reduce(|a, b| if b.error < a.error { b } else { a })
            else {
                continue;
            };
            for &id in &group.members {
                config.formats.insert(graph.node(id).name.clone(), best.format);
            }
            let tensor = graph.node(group.members[0]).name.clone();
            choices.push(GroupChoice { tensor, method: best.method, methods });
        }
        choices
    }
}

impl Watched {
    fn add(&mut self, methods: &[MethodError], values: &[f32], shape: [usize; 3]) -> Result<(), Error> {
        Error::check_finite(values)?;
        // Readers and what they compute of the float values.
        let mut wanted = Vec::new();
        for (reader, sums) in self.readers.iter().zip(&mut self.sums) {
            let prepared = reader.as_ref().map(|program| Executor::new(program, shape[1], shape[2]));
            let mut executor = prepared.transpose()?;
            let outputs = read(&mut executor, values)?;
            sums.signal += outputs.iter().map(|&y| squared(y)).sum::<f64>();
            wanted.push((executor, outputs));
        }
        // One method at a time: all of them at once would be that many copies of the largest tensors.
        for (k, method) in methods.iter().enumerate() {
            if let Some(other) = same_format(methods, k) {
                self.sums.iter_mut().for_each(|sums| sums.errors[k] = sums.errors[other]);
                continue;
            }
            let quantized = fake_quantized(values, method)?;
            for ((executor, wanted), sums) in wanted.iter_mut().zip(&mut self.sums) {
                let found = read(executor, &quantized)?;
                let errors = found.iter().zip(wanted.iter()).map(|(found, y)| squared(found - y));
                sums.errors[k] += errors.sum::<f64>();
            }
        }
        Ok(())
    }
}

/// The first method with the quantiser of method `k`, if that is another: methods often agree, and then one of them is enough.
fn same_format(methods: &[MethodError], k: usize) -> Option<usize> {
    methods[..k].iter().position(|other| other.format == methods[k].format)
}

/// What is computed from `values`.
fn read<'v>(executor: &mut Option<Executor<'_>>, values: &'v [f32]) -> Result<Cow<'v, [f32]>, Error> {
    let Some(executor) = executor else { return Ok(Cow::Borrowed(values)) };
    executor.run(values)?;
    let outputs = executor.outputs().next();
    Ok(Cow::Owned(outputs.map(|(_, values)| values.to_f32(Format::F32)).unwrap_or_default()))
}

/// The steps that read `id`, but for those whose results are of its own group: they have readers themselves.
fn readers(
    graph: &Graph,
    params: &Params,
    placement: &Placement,
    consumers: &[Vec<TensorId>],
    id: TensorId,
) -> Result<Vec<Reader>, Error> {
    let mut readers = Vec::new();
    if graph.outputs().contains(&id) {
        readers.push(None);
    }
    for &consumer in &consumers[id.index()] {
        let node = graph.node(consumer);
        match &node.op {
            Op::Conv(conv) => readers.push(Some(Box::new(sums_of(&node.name, conv, params)?))),
            Op::Activation(function) => {
                let op = StepOp::Activation(activation(*function));
                readers.push(Some(Box::new(one_step(op, [node.channels; 2], BTreeMap::new())?)));
            }
            _ if std::ptr::eq(placement.group(consumer), placement.group(id)) => {}
            _ => readers.push(None),
        }
    }
    Ok(readers)
}

/// A program that computes a convolution without its bias.
fn sums_of(name: &str, conv: &Conv, params: &Params) -> Result<Program, Error> {
    let weight = format!("{name}.weight");
    let values = params.get(&weight).ok_or_else(|| Error::Parameter { name: weight.clone() })?;
    let bias = format!("{name}.bias");
    let op = StepOp::ConvF32 {
        geometry: geometry(conv),
        weight: weight.clone(),
        bias: bias.clone(),
        activation: None,
    };
    let constants = BTreeMap::from([
        (weight, Constant::F32(values.data().to_vec())),
        (bias, Constant::F32(vec![0.0; conv.out_channels])),
    ]);
    one_step(op, [conv.in_channels, conv.out_channels], constants)
}

/// A program in f32 that consists of `op`; `channels` that it reads and writes.
fn one_step(
    op: StepOp,
    channels: [usize; 2],
    constants: BTreeMap<String, Constant>,
) -> Result<Program, Error> {
    let tensor = |name: &str, channels| TensorInfo { name: name.to_owned(), channels, format: Format::F32 };
    let description = Description {
        tensors: vec![tensor("read", channels[0]), tensor("computed", channels[1])],
        steps: vec![Step { name: "reader".to_owned(), op, inputs: vec![0], output: 1 }],
        outputs: vec![1],
    };
    Ok(Program::new(description, constants)?)
}

fn squared(x: f32) -> f64 {
    f64::from(x) * f64::from(x)
}

/// What the method's quantiser leaves of `values`.
fn fake_quantized(values: &[f32], method: &MethodError) -> Result<Vec<f32>, Error> {
    let mut values = values.to_vec();
    if let Some(params) = method.format.params() {
        fake_quantize(&mut values, &[params], &QuantSpec::int8(method.scheme), Rounding::HalfEven)?;
    }
    Ok(values)
}
