//! Calibrators of other tools, reproduced with their quirks: for comparing against them and for taking over their settings.
//!
//! Each quirk has an id, here as "quirk `id`", and a line in `docs/calibrator-compat-ppq-aimet.md`. For work of one's own,
//! [`crate::Method`] is the better choice: it is exact, does not depend on the order of batches and has none of the traps.

pub mod aimet;
mod numeric_ppq_aimet;
pub mod ppq;
