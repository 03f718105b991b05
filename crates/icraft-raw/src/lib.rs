#![doc = include_str!("../README.md")]

mod config;
mod csv;
mod decimal;
mod decode;
mod element;
mod excerpt;
mod expression;
mod layout;
mod mapping;
mod names;
mod network;
#[cfg(feature = "program")]
mod program;
mod quantize;
mod raw;
mod scales;
mod stage;
mod words;

pub use config::{
    CONFIG_KEYS, CalibrationList, Config, ConfigError, ConfigFormat, ConfigKey, ConfigWarning, DumpFormat,
    ElementKind, ForwardMode, GenerateConfig, IniFault, MixPrecision, OptimizeConfig, OverrideFault,
    ParseConfig, QuantizeConfig, RunConfig, Section, StageFiles, Switch, ValueKind,
};
pub use csv::{
    BiasRule, CsvError, FtmpColumns, FtmpRow, MixRow, NumberFault, ParamsAndOutput, Profile, RawColumns,
    RawRow, ScaleRule, read_ftmps, read_ftmps_file, read_mix_config, read_mix_config_file, read_raws,
    read_raws_file, write_ftmps, write_mix_config, write_raws,
};
pub use decode::{decode, decode_into};
pub use element::{QuantizedElement, RawElement, RawType, payload};
pub use expression::{ExpressionError, Layout, NormRatios, PerAxis, Scale, Scales, StorageType};
pub use layout::{LayoutError, raw_shape, reverse_input_channels, to_framework_layout, to_raw_layout};
pub use mapping::{Candidate, Closest, Evidence, InputChannels, MappingError, Match, match_parameters};
pub use names::{Log, Stage};
pub use network::{
    AddRatios, Attributes, Calibrated, Checksum, Document, ElementType, FeatureMap, FeatureRatio, Network,
    NetworkError, Normalized, Operation, Param, ParamSlot, Quantized, SiluRatios, TensorAttributes,
    legacy_feature_map_ids,
};
#[cfg(feature = "program")]
pub use program::{
    InputTransform, NOTES, ProgramError, Simulation, describe, integer_payloads, integers, normalized,
    payloads, program, tensor_name, transformed,
};
pub use quantize::{IntegerGrid, IntegerRange, QuantizedValues, TieRounding, quantize};
pub use raw::{Durability, Generation, RawEntry, RawError, RawFile, md5_hex, raw_bytes, write_raw};
pub use scales::{TensorScales, ValueError};
pub use stage::{BitWidth, Role};
pub use words::{Granularity, SaturationMethod, UnknownWord};
