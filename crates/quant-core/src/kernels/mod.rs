//! Operators over planar tensors of one image.

pub(crate) mod conv;
pub(crate) mod elementwise;
pub(crate) mod spatial;
