//! A network as a list of steps whose precision is data.
//!
//! A [`Program`] is what lowering produces and what runs: tensors with a [`Format`] each, and [`Step`]s in order. A step's
//! precision follows from the formats of the tensors that it reads and writes, so float and integer layers mix freely. Sizes of images are
//! not part of it: the same program runs on any height and width that its strides divide.

use crate::{Activation, Error, Multiplier, QuantParams, Rounding, SharedMultipliers, validate};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// How a tensor's values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Single precision.
    F32,
    /// 8-bit integers in `[-128, 127]`.
    I8(QuantParams),
    /// 12-bit integers in `[-2048, 2047]`, stored in 16 bits.
    I12(QuantParams),
    /// 16-bit integers in `[-32768, 32767]`.
    I16(QuantParams),
}

impl Format {
    /// Scale and zero point; `None` for [`Format::F32`].
    #[must_use]
    pub fn params(&self) -> Option<QuantParams> {
        match self {
            Format::F32 => None,
            Format::I8(params) | Format::I12(params) | Format::I16(params) => Some(*params),
        }
    }

    /// The same with another scale; [`Format::F32`] has none.
    #[must_use]
    pub fn with_scale(self, scale: f32) -> Self {
        let with = |params| QuantParams { scale, ..params };
        match self {
            Format::F32 => Format::F32,
            Format::I8(params) => Format::I8(with(params)),
            Format::I12(params) => Format::I12(with(params)),
            Format::I16(params) => Format::I16(with(params)),
        }
    }

    /// Lowest and highest integer; `None` for [`Format::F32`].
    #[must_use]
    pub fn range(&self) -> Option<(i32, i32)> {
        self.params().map(|_| {
            let half = 1 << (self.bits() - 1);
            (-half, half - 1)
        })
    }

    /// Bits of a value; those that are stored are 16 for 12.
    #[must_use]
    pub fn bits(&self) -> u8 {
        match self {
            Format::F32 => 32,
            Format::I8(_) => 8,
            Format::I12(_) => 12,
            Format::I16(_) => 16,
        }
    }

    /// Whether values are integers of 16 bits as stored.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        matches!(self, Format::I12(_) | Format::I16(_))
    }
}

/// A tensor of the program, `(channels, height, width)`, planar.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TensorInfo {
    /// Name; that of the graph's node where there is one.
    pub name: String,
    /// Channels.
    pub channels: usize,
    /// Storage.
    pub format: Format,
}

/// Geometry of a convolution; its weight has shape `(out, in / groups, kh, kw)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConvGeometry {
    /// Channels read.
    pub in_channels: usize,
    /// Channels written.
    pub out_channels: usize,
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Stride in y and x.
    pub stride: [usize; 2],
    /// Padding on both sides, in y and x.
    pub padding: [usize; 2],
    /// The padded values: this number in f32, this many steps above the zero point in integers. 0 but where a network's input has been moved.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub border: i32,
    /// Dilation in y and x.
    pub dilation: [usize; 2],
    /// Groups.
    pub groups: usize,
}

/// Serde wants a reference.
fn is_zero(border: &i32) -> bool {
    *border == 0
}

impl ConvGeometry {
    /// Products that make up one output value: `in / groups * kh * kw`.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.in_channels / self.groups * self.kernel[0] * self.kernel[1]
    }

    /// Whether every output pixel depends on the input pixel of the same place alone, and on all its channels.
    #[must_use]
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1; 2] && self.stride == [1; 2] && self.padding == [0; 2] && self.groups == 1
    }

    /// Output height and width; `None` where the kernel does not fit.
    #[must_use]
    pub fn output_size(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let side = |axis: usize| {
            let reach = self.kernel[axis].checked_sub(1)?.checked_mul(self.dilation[axis])?.checked_add(1)?;
            let padded = self.padding[axis].checked_mul(2)?.checked_add(size[axis])?;
            padded.checked_sub(reach)?.checked_div(self.stride[axis])?.checked_add(1)
        };
        Some([side(0)?, side(1)?])
    }
}

/// The first of two stages of a requantisation: `clamp(round(sum / 2^shift), -2^(bits - 1), 2^(bits - 1) - 1)`.
///
/// Accelerators have it whose adder of biases is narrower than their accumulators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// In `[0, 31]`.
    pub shift: u8,
    /// Width of the result, in `[2, 32]`.
    pub bits: u8,
    /// How the quotient is rounded.
    pub rounding: Rounding,
}

impl Cut {
    /// Lowest and highest result.
    #[must_use]
    pub fn range(&self) -> (i64, i64) {
        let half = 1i64 << (self.bits - 1);
        (-half, half - 1)
    }
}

/// What a step computes. Constants are named; their values are in [`Program::constants`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepOp {
    /// f32 to integers: `clamp(rint(x / scale) + zero_point)`, the division in f32.
    Quantize,
    /// Integers to f32: `(q - zero_point) * scale`.
    Dequantize,
    /// f32 convolution, sums over (input channel, ky, kx) by fused multiply-adds in this order, then the bias, then the activation.
    ConvF32 {
        /// Geometry.
        geometry: ConvGeometry,
        /// Name of the f32 weight.
        weight: String,
        /// Name of the f32 bias, one value per output channel.
        bias: String,
        /// Applied to the result.
        activation: Option<Activation>,
    },
    /// Integer convolution of an [`Format::I8`] tensor:
    /// `acc = bias + cut(sum(w (q - zero_point)))`, the sum in 32 bits, exact; `y = clamp(round(acc * mantissa / 2^shift) + zero_point)`, saturated in the format of the
    /// pre-activation, or of the output where there is no activation; then the activation by table.
    ConvI8 {
        /// Geometry.
        geometry: ConvGeometry,
        /// Name of the i8 weight.
        weight: String,
        /// Name of the i32 bias, in units of `scale_in * scale_weight`, times `2^shift` of the cut.
        bias: String,
        /// What becomes of sums before the bias is added; usually nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cut: Option<Cut>,
        /// Name of the i32 constant with mantissa and shift of every output channel, alternating.
        multipliers: String,
        /// How the product is rounded.
        rounding: Rounding,
        /// Activation, and the format of its argument.
        activation: Option<(Activation, Format)>,
    },
    /// Integer convolution of an [`Format::I12`] or [`Format::I16`] tensor with weights of 8 or 16 stored bits: as [`StepOp::ConvI8`], but sums, which stay below
    /// 2^46, and biases have 64 bits.
    ConvI16 {
        /// Geometry.
        geometry: ConvGeometry,
        /// Name of the i8 or i16 weight.
        weight: String,
        /// Name of the i64 bias, in units of `scale_in * scale_weight`, times `2^shift` of the cut.
        bias: String,
        /// What becomes of sums before the bias is added; usually nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cut: Option<Cut>,
        /// Name of the i32 constant with mantissa and shift of every output channel, alternating.
        multipliers: String,
        /// How the product is rounded.
        rounding: Rounding,
        /// Activation, and the format of its argument.
        activation: Option<(Activation, Format)>,
    },
    /// Elementwise non-linearity; on integers a table from the input's format to the output's.
    Activation(Activation),
    /// Sum of two tensors. On integers: `clamp(round(sum(mantissa_i (q_i - zero_point_i)) / 2^shift) + zero_point)`.
    Add {
        /// Factors `scale_i / scale_out`; absent in f32.
        multipliers: Option<SharedMultipliers>,
        /// How the sum is rounded.
        rounding: Rounding,
    },
    /// Concatenation over channels. An integer input whose quantiser differs from the output's is re-scaled:
    /// `clamp(round((q - zero_point_in) * mantissa / 2^shift) + zero_point)`.
    Concat {
        /// Per input the factor `scale_in / scale_out`; absent where the values are copied.
        rescale: Vec<Option<Multiplier>>,
        /// How a re-scaled value is rounded.
        rounding: Rounding,
    },
    /// Concatenation over channels of integer tensors whose scales differ, values as they are. The result's format has the inputs' type and
    /// zero point, and a scale that means nothing: those who read it know the scale of every channel.
    Join,
    /// Maximum over square windows; padding never wins.
    MaxPool {
        /// Side of the window.
        kernel: usize,
        /// Stride.
        stride: usize,
        /// Padding on every side.
        padding: usize,
    },
    /// Nearest-neighbour upsampling by a whole factor.
    Upsample {
        /// The factor.
        scale: usize,
    },
    /// 2x2 blocks to channels, offsets (y, x) = (0,0), (1,0), (0,1), (1,1), each with all channels.
    SpaceToDepth,
}

impl StepOp {
    /// Names of the constants that it reads.
    pub(crate) fn constants(&self) -> [Option<&str>; 3] {
        match self {
            StepOp::ConvF32 { weight, bias, .. } => [Some(weight), Some(bias), None],
            StepOp::ConvI8 { weight, bias, multipliers, .. }
            | StepOp::ConvI16 { weight, bias, multipliers, .. } => {
                [Some(weight), Some(bias), Some(multipliers)]
            }
            _ => [None; 3],
        }
    }
}

/// One operator of the program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Name, for errors and timings.
    pub name: String,
    /// What it computes.
    pub op: StepOp,
    /// Indices of the tensors that it reads.
    pub inputs: Vec<usize>,
    /// Index of the tensor that it writes.
    pub output: usize,
}

/// Values of weights and the like.
#[derive(Debug, Clone, PartialEq)]
pub enum Constant {
    /// Single precision.
    F32(Vec<f32>),
    /// 8-bit integers.
    I8(Vec<i8>),
    /// 16-bit integers.
    I16(Vec<i16>),
    /// 32-bit integers.
    I32(Vec<i32>),
    /// 64-bit integers.
    I64(Vec<i64>),
}

impl Constant {
    /// Size in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Constant::F32(values) => 4 * values.len(),
            Constant::I8(values) => values.len(),
            Constant::I16(values) => 2 * values.len(),
            Constant::I64(values) => 8 * values.len(),
            Constant::I32(values) => 4 * values.len(),
        }
    }
}

/// Everything but the weights: what a saved program's description holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Tensors; the first is the input, f32.
    pub tensors: Vec<TensorInfo>,
    /// Steps in order of execution.
    pub steps: Vec<Step>,
    /// Indices of the tensors that leave the program.
    pub outputs: Vec<usize>,
}

/// A network that can be run, saved and loaded; valid by construction.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    description: Description,
    constants: BTreeMap<String, Constant>,
    /// Free text by key: class names, head geometry, calibration; carried along, not interpreted.
    pub metadata: BTreeMap<String, String>,
}

impl Program {
    /// Checks a description and its constants and makes a program of them.
    ///
    /// # Errors
    /// Names the step and the rule that is broken: order of tensors, formats, sizes of constants, sums that could overflow 32 bits.
    pub fn new(description: Description, constants: BTreeMap<String, Constant>) -> Result<Self, Error> {
        validate::validate(&description, &constants)?;
        Ok(Self { description, constants, metadata: BTreeMap::new() })
    }

    /// All tensors; the first is the input.
    #[must_use]
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.description.tensors
    }

    /// All steps, in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.description.steps
    }

    /// Indices of the output tensors.
    #[must_use]
    pub fn outputs(&self) -> &[usize] {
        &self.description.outputs
    }

    /// Weights and the like, by name.
    #[must_use]
    pub fn constants(&self) -> &BTreeMap<String, Constant> {
        &self.constants
    }

    /// The structure.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Bytes of all constants: the model's size without its description.
    #[must_use]
    pub fn constant_bytes(&self) -> usize {
        self.constants.values().map(Constant::bytes).sum()
    }

    pub(crate) fn f32(&self, name: &str) -> &[f32] {
        match self.constants.get(name) {
            Some(Constant::F32(values)) => values,
            _ => &[],
        }
    }

    pub(crate) fn i8(&self, name: &str) -> &[i8] {
        match self.constants.get(name) {
            Some(Constant::I8(values)) => values,
            _ => &[],
        }
    }

    /// Weights of 16 bits, or of 8.
    pub(crate) fn i16(&self, name: &str) -> Cow<'_, [i16]> {
        match self.constants.get(name) {
            Some(Constant::I16(values)) => Cow::Borrowed(values),
            Some(Constant::I8(values)) => values.iter().map(|&w| w.into()).collect(),
            _ => Cow::Borrowed(&[]),
        }
    }

    pub(crate) fn i64(&self, name: &str) -> &[i64] {
        match self.constants.get(name) {
            Some(Constant::I64(values)) => values,
            _ => &[],
        }
    }

    pub(crate) fn i32(&self, name: &str) -> &[i32] {
        match self.constants.get(name) {
            Some(Constant::I32(values)) => values,
            _ => &[],
        }
    }
}
