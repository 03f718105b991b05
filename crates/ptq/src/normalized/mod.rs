//! Networks with normalised feature maps: every value is divided by the ratio of its feature map, so that integers have no scales.
//!
//! The ratio `N = saturation / 2^(bits - 1)` (see [`quant_core::norm_ratio`]) brings a feature map's saturation point to the end of the
//! integers, and moves into the parameters of the convolutions around it:
//!
//! ```text
//! W_n[o, i] = W[o, i] N_in[i] / N_out[o]        b_n[o] = b[o] / N_out[o]
//! ```
//!
//! What that leaves to other operators are the ratios themselves: of both sides of an activation, of both inputs and the result of an
//! addition, and of the outputs. Accelerators of the BUYI kind work so; the arithmetic there is that of [`quant_core::ConvScales`].

mod integer;
mod params;
mod ratios;
mod saturation;

pub use integer::{IntegerConv, IntegerConvConfig};
pub use params::{InputShift, denormalize, normalize, shift_input};
pub use ratios::{AddRatios, NormRatios, SiluRatios, has_own_ratio, ratio_groups};
pub use saturation::{MagnitudeHistogram, SaturationMethod};
