//! The error of every layer: what it adds by itself, and what has accumulated; by rounding and by saturation.

use super::{AnalysisError, Layer, Sums};
use quant_core::{Constant, Description, Format, Program, Recording, Step, StepOp, TensorInfo, Values};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The values that a quantiser does not clip: those whose rounded integer is in range, `[(q_min - 1/2 - z) s, (q_max + 1/2 - z) s]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clipping {
    /// Lower end.
    pub low: f32,
    /// Upper end.
    pub high: f32,
}

impl Clipping {
    /// Those of a format; everything for f32.
    #[must_use]
    pub fn of(format: Format) -> Self {
        let (Some(params), Some((low, high))) = (format.params(), format.range()) else {
            return Self { low: f32::NEG_INFINITY, high: f32::INFINITY };
        };
        let real = |q: f64| ((q - f64::from(params.zero_point)) * f64::from(params.scale)) as f32;
        Self { low: real(f64::from(low) - 0.5), high: real(f64::from(high) + 0.5) }
    }

    fn clips(self, value: f32) -> bool {
        !(self.low..=self.high).contains(&value)
    }
}

/// Sums over the values of a layer's result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ErrorSums {
    /// Quantised beside float.
    pub sums: Sums,
    /// Squared error of the values that neither quantiser clips.
    pub rounding: f64,
    /// Squared error of the others.
    pub saturation: f64,
    /// Number of the others.
    pub clipped: u64,
}

impl ErrorSums {
    /// Adds a layer's result. Whether a value is clipped is told by the float values: that of the activation's argument by the first of
    /// `ranges`, that of the result by the second.
    ///
    /// # Errors
    /// [`crate::Error::Length`] if the slices differ in length.
    pub fn observe(
        &mut self,
        argument: &[f32],
        result: &[f32],
        quantized: &[f32],
        ranges: [Clipping; 2],
    ) -> Result<(), crate::Error> {
        if argument.len() != result.len() {
            let (expected, found) = (result.len(), argument.len());
            return Err(crate::Error::Length { what: "arguments", expected, found });
        }
        self.sums.observe(result, quantized)?;
        for ((&argument, &r), &q) in argument.iter().zip(result).zip(quantized) {
            let squared = (f64::from(r) - f64::from(q)).powi(2);
            if ranges[0].clips(argument) || ranges[1].clips(r) {
                self.saturation += squared;
                self.clipped += 1;
            } else {
                self.rounding += squared;
            }
        }
        Ok(())
    }

    fn plus(self, other: Self) -> Self {
        Self {
            sums: self.sums.plus(other.sums),
            rounding: self.rounding + other.rounding,
            saturation: self.saturation + other.saturation,
            clipped: self.clipped + other.clipped,
        }
    }
}

/// Where a layer's values are.
#[derive(Debug, Clone)]
struct Probe {
    layer: String,
    /// Float tensors: argument of the activation, and result.
    float: [usize; 2],
    ranges: [Clipping; 2],
    /// The result of the integer layer on the float input.
    isolated: usize,
    /// The result in the integer program.
    accumulated: usize,
    format: Format,
}

/// The float network with every integer layer of another program beside its float twin, reading the twin's input.
///
/// One run gives the isolated error of all layers; a run of the integer program the accumulated one.
#[derive(Debug, Clone)]
pub struct ErrorProgram {
    program: Program,
    probes: Vec<Probe>,
}

impl ErrorProgram {
    /// Joins the float program, which has to keep every tensor ([`Fusion::EveryTensor`](crate::Fusion::EveryTensor)), with the integer
    /// convolutions of `integer`. Convolutions that `integer` computes in f32 are left out.
    ///
    /// # Errors
    /// A layer whose tensors the float program lacks, and [`AnalysisError::Nothing`] if no layer is in integers.
    pub fn new(float: &Program, integer: &Program, layers: &[Layer]) -> Result<Self, AnalysisError> {
        let mut builder = Builder {
            float,
            integer,
            description: Description { steps: Vec::new(), ..float.description().clone() },
            constants: float.constants().clone(),
            probes: Vec::new(),
        };
        for step in float.steps() {
            builder.description.steps.push(step.clone());
            if let Some(layer) = layers.iter().find(|layer| layer.name == step.name) {
                builder.twin(layer)?;
            }
        }
        if builder.probes.is_empty() {
            return Err(AnalysisError::Nothing { what: "no layer is in integers" });
        }
        let program = Program::new(builder.description, builder.constants)?;
        Ok(Self { program, probes: builder.probes })
    }

    /// What is to be run and recorded, beside the integer program.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Names of the layers looked at, in order.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.probes.iter().map(|probe| probe.layer.as_str())
    }

    /// Isolated and accumulated sums of every layer, from recordings of this program and of the integer program on one image.
    ///
    /// # Errors
    /// [`quant_core::Error::Recording`] if a recording is of another program.
    pub fn observe(
        &self,
        float: &Recording,
        integer: &Recording,
    ) -> Result<Vec<[ErrorSums; 2]>, AnalysisError> {
        self.probes.iter().map(|probe| probe.observe(float, integer)).collect()
    }
}

impl Probe {
    fn observe(&self, float: &Recording, integer: &Recording) -> Result<[ErrorSums; 2], AnalysisError> {
        let missing = || quant_core::Error::Recording { tensor: self.layer.clone() };
        let float_tensors = self.float.map(|tensor| float.get(tensor));
        let [Some(Values::F32(argument)), Some(Values::F32(result))] = float_tensors else {
            return Err(missing().into());
        };
        let sums = |values: Option<Values<'_>>| -> Result<ErrorSums, AnalysisError> {
            let mut sums = ErrorSums::default();
            let quantized = values.ok_or_else(missing)?.to_f32(self.format);
            sums.observe(argument, result, &quantized, self.ranges)?;
            Ok(sums)
        };
        Ok([sums(float.get(self.isolated))?, sums(integer.get(self.accumulated))?])
    }
}

struct Builder<'a> {
    float: &'a Program,
    integer: &'a Program,
    description: Description,
    constants: BTreeMap<String, Constant>,
    probes: Vec<Probe>,
}

fn position(program: &Program, name: &str) -> Result<usize, AnalysisError> {
    let found = program.tensors().iter().position(|tensor| tensor.name == name);
    found.ok_or_else(|| AnalysisError::OtherLayers { fault: "has", layer: name.to_owned() })
}

impl Builder<'_> {
    /// Adds the integer step of a layer, if it has one, after a quantisation of its float input.
    fn twin(&mut self, layer: &Layer) -> Result<(), AnalysisError> {
        let Some(step) = self.integer.steps().iter().find(|step| step.name == layer.name) else {
            return Ok(());
        };
        let StepOp::ConvI8 { activation, .. } = &step.op else { return Ok(()) };
        let info = |tensor: usize| &self.integer.tensors()[tensor];
        let (input, output) = (info(step.inputs[0]), info(step.output));
        let argument = activation.map_or(output.format, |(_, argument)| argument);
        let read = position(self.float, &input.name)?;
        let float = [position(self.float, &layer.name)?, position(self.float, &layer.result)?];
        let name = format!("isolated.{}", layer.name);
        let quantized = self.tensor(format!("{name}.input"), input.channels, input.format);
        self.step(format!("{name}.quantize"), StepOp::Quantize, read, quantized);
        let isolated = self.tensor(format!("{name}.result"), output.channels, output.format);
        let op = self.renamed(&step.op);
        self.step(name, op, quantized, isolated);
        self.probes.push(Probe {
            layer: layer.name.clone(),
            float,
            ranges: [Clipping::of(argument), Clipping::of(output.format)],
            isolated,
            accumulated: step.output,
            format: output.format,
        });
        Ok(())
    }

    fn tensor(&mut self, name: String, channels: usize, format: Format) -> usize {
        self.description.tensors.push(TensorInfo { name, channels, format });
        self.description.tensors.len() - 1
    }

    fn step(&mut self, name: String, op: StepOp, input: usize, output: usize) {
        self.description.steps.push(Step { name, op, inputs: vec![input], output });
    }

    /// The operator with constants of other names, which the float twin has taken; the constants are added.
    fn renamed(&mut self, op: &StepOp) -> StepOp {
        let mut op = op.clone();
        if let StepOp::ConvI8 { weight, bias, multipliers, .. } = &mut op {
            for name in [weight, bias, multipliers] {
                let constant = self.integer.constants().get(name).cloned();
                *name = format!("isolated.{name}");
                constant.map(|constant| self.constants.insert(name.clone(), constant));
            }
        }
        op
    }
}

/// Error of one layer over all images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ErrorFigures {
    /// [`Sums::sqnr_db`]; none where it is not finite.
    pub sqnr_db: Option<f64>,
    /// [`Sums::cosine`].
    pub cosine: f64,
    /// [`Sums::relative_l1`]; none where the reference is silent.
    pub relative_l1: Option<f64>,
    /// Squared error of values that are not clipped, divided by `sum r^2`; none where that is zero.
    pub rounding: Option<f64>,
    /// Squared error of clipped values, divided by `sum r^2`; none where that is zero.
    pub saturation: Option<f64>,
    /// Share of the values that are clipped, in [0, 1].
    pub clipped: f64,
}

impl From<ErrorSums> for ErrorFigures {
    fn from(error: ErrorSums) -> Self {
        let finite = |value: f64| value.is_finite().then_some(value);
        let sums = error.sums;
        Self {
            sqnr_db: finite(sums.sqnr_db()),
            cosine: sums.cosine(),
            relative_l1: finite(sums.relative_l1()),
            rounding: finite(error.rounding / sums.signal),
            saturation: finite(error.saturation / sums.signal),
            clipped: error.clipped as f64 / (sums.count as f64).max(1.0),
        }
    }
}

/// A layer's errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerErrorRow {
    /// The convolution.
    pub name: String,
    /// Only this layer is quantised.
    pub isolated: ErrorFigures,
    /// Everything up to here is quantised.
    pub accumulated: ErrorFigures,
}

/// Errors of all layers, image by image, so that the order of images does not matter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LayerErrors {
    images: BTreeMap<u64, Vec<[ErrorSums; 2]>>,
}

impl LayerErrors {
    /// Sets what [`ErrorProgram::observe`] found on an image.
    pub fn set(&mut self, image: u64, sums: Vec<[ErrorSums; 2]>) {
        self.images.insert(image, sums);
    }

    /// A row per layer of `names`, in their order, which is that of [`ErrorProgram::layers`].
    #[must_use]
    pub fn rows<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<LayerErrorRow> {
        let total = |layer: usize, which: usize| {
            let of_image = |sums: &Vec<[ErrorSums; 2]>| sums.get(layer).map(|pair| pair[which]);
            self.images.values().filter_map(of_image).fold(ErrorSums::default(), ErrorSums::plus)
        };
        let row = |(layer, name): (usize, &str)| LayerErrorRow {
            name: name.to_owned(),
            isolated: total(layer, 0).into(),
            accumulated: total(layer, 1).into(),
        };
        names.enumerate().map(row).collect()
    }

    /// Number of images.
    #[must_use]
    pub fn images(&self) -> usize {
        self.images.len()
    }
}
