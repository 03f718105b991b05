//! The small language in the strings of the later generation's json.
//!
//! ```text
//! storage  = "@" ("sint" | "uint" | "fp" | "bf") "(" bits ")"
//! layout   = "@layout(" axes ")"
//! ratios   = "@norm_ratios(" list ")"
//! scales   = "@scales(" list ")" | "@exp_scales(" list ")"
//! list     = ["[axis=" integer "]"] [item {"," item}]
//! item     = [count "*"] value              in exp_scales value = m "/" n "/" f,  f = m * 2^-n
//! ```
//!
//! Printing gives the compiler's form: shortest digits, runs of equal neighbours drawn together.

mod cursor;
mod error;
mod per_axis;
mod scales;
mod storage;

pub use error::ExpressionError;
pub use per_axis::PerAxis;
pub use scales::{NormRatios, Scale, Scales};
pub use storage::{Layout, StorageType};
