//! Training of networks that will be integers: incremental quantisation, and quantisation-aware training.

mod arguments;
mod inq;
mod qat;
mod report;
mod session;
mod target;
mod tuner;

pub use arguments::TuneArguments;
pub use inq::{InqArguments, inq};
pub use qat::{QatArguments, qat};
