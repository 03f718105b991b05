//! Calibrators of other tools, to the bit.
//!
//! Each submodule repeats one tool: its histograms, its searches, its rounding, and its mistakes. They are there to check other
//! implementations against, to repeat published numbers and to move between tools; nothing else in this workspace uses them, and
//! they share no code with this crate's own [`Method`](crate::Method)s, which are the better choice for work of one's own: exact,
//! independent of the order of batches, without the traps. Where a tool raises, these functions return an error; where its result hangs
//! on the machine (vector width, threads), the function says which machine it repeats or refuses.
//!
//! Every departure of a tool from what one would expect has an id in the tables of `docs/calibrator-compat.md` and
//! `docs/calibrator-compat-ppq-aimet.md`, and one place here that names it.

pub mod aimet;
mod axis;
mod error;
mod numeric;
mod numeric_ppq_aimet;
pub mod nvidia;
pub mod onnxruntime;
pub mod ppq;

pub use error::Error;
