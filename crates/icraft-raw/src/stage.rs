//! Which elements a raw file holds at which stage of compilation.

use crate::{RawType, Stage};

impl Stage {
    /// The type of a parameter's elements in the legacy raw file of this stage. Files of the later generation follow
    /// the same rule, but name the type in their json, which is what counts.
    ///
    /// | stage | width | weight | bias |
    /// |---|---|---|---|
    /// | before quantisation | any | f32 | f32 |
    /// | quantized and later | 8 | i8 | i16 |
    /// | quantized and later | 12 | i16 | i32 |
    /// | quantized and later | 16 | i16 | i32 |
    #[must_use]
    pub const fn element_type(self, width: BitWidth, role: Role) -> RawType {
        match (self, width, role) {
            (Self::Parsed | Self::Optimized | Self::Normed, _, _) => RawType::F32,
            (_, BitWidth::Eight, Role::Weight) => RawType::I8,
            (_, BitWidth::Eight, Role::Bias) | (_, BitWidth::Twelve | BitWidth::Sixteen, Role::Weight) => {
                RawType::I16
            }
            (_, BitWidth::Twelve | BitWidth::Sixteen, Role::Bias) => RawType::I32,
        }
    }
}

/// What a parameter is to its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A factor of inputs.
    Weight,
    /// A term added to each output channel.
    Bias,
}

/// The width that a network is quantised to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BitWidth {
    /// 8 bits.
    Eight,
    /// 12 bits, held in elements of 16.
    Twelve,
    /// 16 bits.
    Sixteen,
}

impl BitWidth {
    /// The width of so many bits: 8, 12 or 16, else `None`.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Option<Self> {
        match bits {
            8 => Some(Self::Eight),
            12 => Some(Self::Twelve),
            16 => Some(Self::Sixteen),
            _ => None,
        }
    }

    /// Bits of a quantised value: `b` for weights, `2 b` for biases. The 24 bits of a bias at width 12 are
    /// inferred from the other two.
    #[must_use]
    pub const fn value_bits(self, role: Role) -> u32 {
        let bits = match self {
            Self::Eight => 8,
            Self::Twelve => 12,
            Self::Sixteen => 16,
        };
        match role {
            Role::Weight => bits,
            Role::Bias => 2 * bits,
        }
    }
}
