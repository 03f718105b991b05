//! Primitive operators: all that a walker has to understand.

use std::fmt;

/// A two-dimensional convolution (cross-correlation, as in PyTorch): weight `(out, in / groups, kh, kw)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv {
    /// Channels read.
    pub in_channels: usize,
    /// Channels written.
    pub out_channels: usize,
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Stride in y and x.
    pub stride: [usize; 2],
    /// Zero padding on both sides, in y and x.
    pub padding: [usize; 2],
    /// Dilation in y and x.
    pub dilation: [usize; 2],
    /// Groups; divides both channel counts.
    pub groups: usize,
    /// Whether a bias of `out_channels` values is added.
    pub bias: bool,
}

impl Conv {
    /// A square convolution with "same" padding `k / 2`, dilation 1 and no bias: the one in YOLO's blocks.
    #[must_use]
    pub fn same(in_channels: usize, out_channels: usize, kernel: usize, stride: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [kernel / 2; 2],
            dilation: [1; 2],
            groups: 1,
            bias: false,
        }
    }

    /// Shape of the weight: `(out, in / groups, kh, kw)`.
    #[must_use]
    pub fn weight_shape(&self) -> Vec<usize> {
        vec![self.out_channels, self.in_channels / self.groups, self.kernel[0], self.kernel[1]]
    }
}

/// An elementwise non-linearity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x` above zero, `slope * x` below.
    LeakyRelu {
        /// Slope below zero.
        slope: f32,
    },
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x * min(max(x + 3, 0), 6) / 6`.
    Hardswish,
}

/// Max pooling; padding never wins (it counts as minus infinity).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool {
    /// Side of the square window.
    pub kernel: usize,
    /// Stride in both directions.
    pub stride: usize,
    /// Padding on every side.
    pub padding: usize,
}

/// A primitive operator. The enum is closed on purpose: a walker that matches it is complete, and the compiler says so.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// The image, `(channels, height, width)`, RGB in `[0, 1]`.
    Input {
        /// Number of channels.
        channels: usize,
    },
    /// Convolution; parameters `NAME.weight` and, with a bias, `NAME.bias`.
    Conv(Conv),
    /// `(x - running_mean) / sqrt(running_var + epsilon) * weight + bias`, per channel.
    BatchNorm {
        /// Added to the variance.
        epsilon: f32,
    },
    /// Elementwise non-linearity.
    Activation(Activation),
    /// Elementwise sum of two tensors of one shape.
    Add,
    /// Concatenation over channels, in input order.
    Concat,
    /// Max pooling.
    MaxPool(MaxPool),
    /// Nearest-neighbour upsampling by a whole factor.
    Upsample {
        /// The factor, in both directions.
        scale: usize,
    },
    /// 2x2 blocks to channels, `(c, h, w)` to `(4c, h/2, w/2)`: offsets (y, x) = (0,0), (1,0), (0,1), (1,1), each with all `c`
    /// channels (the slicing of YOLOv5's Focus and YOLOv7's ReOrg).
    SpaceToDepth,
}

impl Op {
    /// A short lower-case name, as the dump prints it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Op::Input { .. } => "input",
            Op::Conv(_) => "conv",
            Op::BatchNorm { .. } => "batch_norm",
            Op::Activation(_) => "activation",
            Op::Add => "add",
            Op::Concat => "concat",
            Op::MaxPool(_) => "max_pool",
            Op::Upsample { .. } => "upsample",
            Op::SpaceToDepth => "space_to_depth",
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Activation::Silu => f.write_str("silu"),
            Activation::Relu => f.write_str("relu"),
            Activation::Relu6 => f.write_str("relu6"),
            Activation::LeakyRelu { slope } => write!(f, "leaky_relu({slope})"),
            Activation::Sigmoid => f.write_str("sigmoid"),
            Activation::Hardswish => f.write_str("hardswish"),
        }
    }
}

/// `a` where both directions agree, else `axb`.
fn pair(f: &mut fmt::Formatter<'_>, [y, x]: [usize; 2]) -> fmt::Result {
    if y == x { write!(f, "{y}") } else { write!(f, "{y}x{x}") }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Conv(conv) => {
                write!(f, "conv k")?;
                pair(f, conv.kernel)?;
                for (label, value, default) in
                    [("s", conv.stride, [1; 2]), ("p", conv.padding, [0; 2]), ("d", conv.dilation, [1; 2])]
                {
                    if value != default {
                        write!(f, " {label}")?;
                        pair(f, value)?;
                    }
                }
                if conv.groups != 1 {
                    write!(f, " g{}", conv.groups)?;
                }
                if conv.bias { write!(f, " +bias") } else { Ok(()) }
            }
            Op::BatchNorm { epsilon } => write!(f, "batch_norm eps {epsilon}"),
            Op::Activation(activation) => activation.fmt(f),
            Op::MaxPool(pool) => write!(f, "max_pool k{} s{} p{}", pool.kernel, pool.stride, pool.padding),
            Op::Upsample { scale } => write!(f, "upsample x{scale}"),
            Op::Input { .. } | Op::Add | Op::Concat | Op::SpaceToDepth => f.write_str(self.kind()),
        }
    }
}
