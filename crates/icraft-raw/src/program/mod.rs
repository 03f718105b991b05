//! Networks of Icraft and programs: from a graph to the json and raw of every stage, and from these to a program that runs as the
//! accelerator would.

mod describe;
mod error;
mod lower;
mod operation;

pub use describe::{InputTransform, describe, integer_payloads, integers, normalized, payloads, transformed};
pub use error::ProgramError;
pub use lower::{NOTES, Simulation, program, tensor_name};
