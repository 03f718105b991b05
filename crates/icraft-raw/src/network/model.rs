//! A network as both generations describe it.

use super::checksum::Checksum;
use super::fields::Attributes;
use crate::{Generation, Layout, NormRatios, PerAxis, Scales, StorageType};
use serde_json::Value;

/// A network: its operations in the order of execution, and the raw file it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// The generation of the file that it was read from.
    pub generation: Generation,
    /// Name, the prefix of its files; empty where the file gives none.
    pub name: String,
    /// Operations in the order of execution; the last one is the output.
    pub operations: Vec<Operation>,
    /// MD5 of the raw file.
    pub checksum: Option<Checksum>,
    /// Length of the raw file in bytes.
    pub raw_length: Option<u64>,
    /// Further keys of the outermost object, such as `ai_target` and `tags`.
    pub attributes: Attributes,
}

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// Its id; in files that give none, its position from 0.
    pub id: i64,
    /// Its type without namespace: `Conv2d`, `SiLU` (`Silu` in legacy files), `Add`, `HardOp`.
    pub kind: String,
    /// The namespace, such as `icraft::xir` or `customop`; empty in legacy files.
    pub namespace: String,
    /// Its name; of a `HardOp` the type of the main operation that was fused into it.
    pub name: String,
    /// Feature maps that it reads.
    pub inputs: Vec<FeatureMap>,
    /// Parameters that it reads.
    pub params: Vec<Param>,
    /// Feature maps that it writes.
    pub outputs: Vec<FeatureMap>,
    /// Further keys, such as `stride_h`, `compile_target` and `tags`.
    pub attributes: Attributes,
}

/// A tensor that is computed.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureMap {
    /// Its id. None only in legacy files whose id key is another than `ftmp_id`.
    pub id: Option<i64>,
    /// Its name, often empty.
    pub name: String,
    /// Dimensions in stored order: N, H, W, C until the layout becomes the hardware's. Empty where a legacy file gives none.
    pub shape: Vec<usize>,
    /// What its elements are.
    pub element: ElementType,
    /// The order of its axes.
    pub layout: Option<Layout>,
    /// Further keys, such as `mtype`, and those of its type below `dtype`.
    pub attributes: TensorAttributes,
}

/// A tensor that the raw file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Its id, in the raw file too.
    pub id: i64,
    /// Its name, often empty.
    pub name: String,
    /// Dimensions in stored order.
    pub shape: Vec<usize>,
    /// What its elements are.
    pub element: ElementType,
    /// The order of its axes.
    pub layout: Option<Layout>,
    /// Where the operation has it.
    pub slot: ParamSlot,
    /// Further keys, such as `mtype`, and those of its type below `dtype`.
    pub attributes: TensorAttributes,
}

/// Where an operation has a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParamSlot {
    /// Among its inputs, at this position, feature maps counted too.
    Input(usize),
    /// In `params` of a `HardOp`.
    Params,
    /// In `instr` of a `HardOp`: instructions, not numbers.
    Instructions,
}

/// Keys of a tensor that this crate keeps without a meaning of its own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TensorAttributes {
    /// Keys beside `v_id`, such as `mtype` and `tags`.
    pub tensor: Attributes,
    /// Keys beside `shape`, such as `merged_distrs`.
    pub dtype: Attributes,
}

/// What the elements of a tensor are.
#[derive(Debug, Clone, PartialEq)]
pub enum ElementType {
    /// Plain numbers, `@fp(32)`.
    Storage(StorageType),
    /// Real numbers divided by a norm ratio.
    Normalized(Normalized),
    /// Real numbers whose range has been measured.
    Calibrated(Calibrated),
    /// Integers q with real value = q * scale.
    Quantized(Quantized),
    /// Integers q with real value = q * scale * norm ratio; scale is 1 in the files at hand.
    NormalizedQuantized {
        /// Norm ratio of each channel.
        ratio: NormRatios,
        /// The rest of the type.
        quantized: Quantized,
    },
    /// A type that this crate does not know, as it stands in the file; null where a legacy file says nothing.
    Other(Value),
}

/// `NormalizedType`.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalized {
    /// Norm ratio of each channel.
    pub ratio: NormRatios,
    /// Further keys.
    pub attributes: Attributes,
}

/// `CalibratedType`. Its lists are read from numbers or lists of numbers, and written as lists.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibrated {
    /// `min` of each channel, or of all.
    pub min: Vec<f32>,
    /// `max` of each channel, or of all.
    pub max: Vec<f32>,
    /// `sat`, the saturation point of each channel, or of all.
    pub sat: Vec<f32>,
    /// Further keys.
    pub attributes: Attributes,
}

/// `QuantizedType`.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantized {
    /// Scale of each channel.
    pub scale: Scales,
    /// How the integers are stored.
    pub storage: StorageType,
    /// What they stand for, `@fp(32)`.
    pub expressed: Option<StorageType>,
    /// Zero points, empty where all are 0.
    pub zero_points: Vec<i64>,
    /// Further keys.
    pub attributes: Attributes,
}

impl ElementType {
    /// The norm ratios, if the type has any.
    pub fn norm_ratio(&self) -> Option<&PerAxis<f32>> {
        match self {
            Self::Normalized(Normalized { ratio, .. }) | Self::NormalizedQuantized { ratio, .. } => {
                Some(&ratio.0)
            }
            Self::Storage(_) | Self::Calibrated(_) | Self::Quantized(_) | Self::Other(_) => None,
        }
    }

    /// The scales, if the type has any.
    pub fn scale(&self) -> Option<&Scales> {
        match self {
            Self::Quantized(quantized) | Self::NormalizedQuantized { quantized, .. } => {
                Some(&quantized.scale)
            }
            Self::Storage(_) | Self::Normalized(_) | Self::Calibrated(_) | Self::Other(_) => None,
        }
    }

    /// How one element is stored, if the type says so.
    pub fn storage(&self) -> Option<StorageType> {
        match self {
            Self::Storage(storage) => Some(*storage),
            Self::Quantized(quantized) | Self::NormalizedQuantized { quantized, .. } => {
                Some(quantized.storage)
            }
            Self::Normalized(_) | Self::Calibrated(_) | Self::Other(_) => None,
        }
    }
}

impl Param {
    /// Bytes that its elements take in the raw file; none if the type does not say how they are stored, or if no u64
    /// holds the number.
    pub fn byte_length(&self) -> Option<u64> {
        let bits = u64::from(self.element.storage()?.stored_bits());
        let elements = self.shape.iter().try_fold(1u64, |count, &length| count.checked_mul(length as u64))?;
        Some(elements.checked_mul(bits)?.div_ceil(8))
    }
}
