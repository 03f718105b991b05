//! TensorScales of quantised parameters, and what can be wrong with numbers, integers and scales.

use crate::RawType;

/// What one step of an integer stands for: `real = q * scale`. TensorScales are finite and above 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TensorScales<'s> {
    /// One scale for all elements.
    PerTensor(f32),
    /// One scale per output channel. Output channels are the last axis in the layout of raw files (height, width,
    /// input, output; a bias has no other axis), so element `i` has scale `i % channels`.
    PerChannel(&'s [f32]),
}

/// Why numbers could not be turned into integers, or back. Elements and channels count from 0.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// A scale that divides or multiplies into nothing.
    #[error("the scale of channel {channel} is {scale}; scales are finite and above 0")]
    Scale {
        /// Output channel; 0 for a tensor's only scale.
        channel: usize,
        /// The scale.
        scale: f32,
    },
    /// TensorScales that cannot be those of the tensor.
    #[error(
        "{elements} elements cannot have {scales} scales; there is one for each output channel, the last axis"
    )]
    ScaleCount {
        /// Elements of the tensor.
        elements: usize,
        /// TensorScales given.
        scales: usize,
    },
    /// Half an element at the end of a payload.
    #[error(
        "{length} bytes are no whole number of {element} elements; is the payload of another type or stage?"
    )]
    PartialElement {
        /// Bytes of the payload.
        length: usize,
        /// The type asked for.
        element: RawType,
    },
    /// A destination of another size.
    #[error("{elements} elements do not fit a destination of {destination}")]
    Destination {
        /// Elements of the payload.
        elements: usize,
        /// Elements of the destination.
        destination: usize,
    },
    /// A weight that no integer is nearest to.
    #[error("element {index} is {value}; only finite numbers can be quantised")]
    NotFinite {
        /// Position in the tensor.
        index: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// Integers that the element type has no room for.
    #[error("{bits} bits do not fit {element} elements; from 2 to {} do", 8 * element.bytes())]
    Bits {
        /// Bits asked for.
        bits: u32,
        /// The type of the elements.
        element: RawType,
    },
}

impl<'s> TensorScales<'s> {
    /// The scales one after the other.
    pub(crate) fn as_slice(&'s self) -> &'s [f32] {
        match self {
            Self::PerTensor(scale) => std::slice::from_ref(scale),
            Self::PerChannel(scales) => scales,
        }
    }

    /// One scale per element of a row, for rows that divide a tensor of `elements` elements: the channels, repeated
    /// to rows long enough for vector instructions to pay.
    pub(crate) fn row(&self, elements: usize) -> Result<Vec<f32>, ValueError> {
        const SHORT: usize = 256;
        let scales = self.as_slice();
        let bad = scales.iter().position(|&scale| !(scale.is_finite() && scale > 0.0));
        if let Some(channel) = bad {
            return Err(ValueError::Scale { channel, scale: scales[channel] });
        }
        if scales.is_empty() || !elements.is_multiple_of(scales.len()) {
            return Err(ValueError::ScaleCount { elements, scales: scales.len() });
        }
        Ok(scales.repeat(SHORT.div_ceil(scales.len())))
    }
}
