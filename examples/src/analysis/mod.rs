//! What the program `analyze` does: sensitivities and errors of layers, and precisions chosen from them.

pub mod accuracy;
pub mod errors;
pub mod files;
pub mod job;
pub mod select;
pub mod sensitivity;
pub mod settings;
pub mod state;
