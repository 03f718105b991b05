//! Which column of a log holds what, for each version of the toolchain.

/// A version of the csv logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// Icraft 2.0 for BUYI: scales are printed as numbers; biases have an empty saturation cell.
    BuyiV2,
    /// The JDY toolchain: scale = 2^-exp, with exp in column 6; biases have `0` in column 4.
    Jdy,
    /// Icraft 3.x: the columns of `BuyiV2`, vectors separated by single spaces.
    Xir,
}

/// How a row of a bias is told from a row of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BiasRule {
    /// The saturation cell is empty: biases are never measured.
    NoSaturation,
    /// The scale cell is `0`.
    ZeroScale,
}

/// Where the scale of a row comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScaleRule {
    /// The scale cell.
    Printed,
    /// 2^-exp.
    PowerOfTwo,
}

/// Columns of `raws.csv`, counted from 0, and how its rows are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawColumns {
    /// The tensor's id in the raw file.
    pub id: usize,
    /// `AxBxC`.
    pub size: usize,
    /// Largest |w| of each output channel.
    pub max: usize,
    /// Saturation point of each output channel.
    pub sat: usize,
    /// Scale of each output channel.
    pub scale: usize,
    /// Exponent of each output channel.
    pub exp: usize,
    /// How biases are told from weights.
    pub bias: BiasRule,
    /// What a row's scale is.
    pub scale_from: ScaleRule,
}

/// Columns of `ftmps.csv`, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FtmpColumns {
    /// The feature map's id.
    pub id: usize,
    /// `NxHxWxC`.
    pub size: usize,
    /// Calibrated largest |x|.
    pub max: usize,
    /// Saturation point.
    pub sat: usize,
    /// Norm ratio.
    pub norm_ratio: usize,
    /// Scale.
    pub scale: usize,
    /// Exponent.
    pub exp: usize,
}

impl Profile {
    /// Columns of this version's `raws.csv`.
    pub fn raw_columns(self) -> RawColumns {
        let printed = RawColumns {
            id: 0,
            size: 1,
            max: 2,
            sat: 3,
            scale: 4,
            exp: 5,
            bias: BiasRule::NoSaturation,
            scale_from: ScaleRule::Printed,
        };
        match self {
            Self::BuyiV2 | Self::Xir => printed,
            Self::Jdy => {
                RawColumns { exp: 6, bias: BiasRule::ZeroScale, scale_from: ScaleRule::PowerOfTwo, ..printed }
            }
        }
    }

    /// Columns of this version's `ftmps.csv`.
    pub fn ftmp_columns(self) -> FtmpColumns {
        FtmpColumns { id: 0, size: 1, max: 2, sat: 3, norm_ratio: 4, scale: 5, exp: 6 }
    }
}

impl RawColumns {
    pub(super) fn named(&self) -> [(&'static str, usize); 6] {
        [
            ("raw_id", self.id),
            ("size", self.size),
            ("max", self.max),
            ("sat", self.sat),
            ("scale", self.scale),
            ("exp", self.exp),
        ]
    }
}

impl FtmpColumns {
    pub(super) fn named(&self) -> [(&'static str, usize); 7] {
        [
            ("ftmp_id", self.id),
            ("size", self.size),
            ("max", self.max),
            ("sat", self.sat),
            ("normratio", self.norm_ratio),
            ("scale", self.scale),
            ("exp", self.exp),
        ]
    }
}
