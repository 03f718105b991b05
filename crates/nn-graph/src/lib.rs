#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod args;
mod checkpoint;
mod definition;
mod dump;
mod error;
mod expand;
mod fold;
mod formula;
mod graph;
mod op;
mod params;
mod shape;

pub use checkpoint::{
    Checkpoint, CheckpointError, CheckpointFormat, ElementType, PickleFault, TensorFault, write_safetensors,
};
pub use definition::{BUILTIN_MODELS, Definition, LayerDefinition};
pub use error::{Error, ParamMismatch};
pub use expand::MODULES;
pub use formula::{formula_params, formula_uniform};
pub use graph::{DetectHead, Graph, Layer, Node, ParamSpec, TensorId};
pub use op::{Activation, Conv, MaxPool, Op};
pub use params::{Params, Tensor};
pub use shape::Shape;
