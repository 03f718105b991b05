//! A reader of JSON lists that knows what it is looking for.
//!
//! Rows go straight from a window of bytes into a sink, so a file is never held, neither as text nor as a
//! tree. A row is parsed from the window in one go; when the window ends inside it, the window is refilled
//! and the row parsed again. Everything else is read token by token.

mod annotations;
mod lexer;
mod lists;
mod number;
#[cfg(feature = "rayon")]
mod parts;
mod results;
pub(crate) mod rows;
mod skip;
mod source;
mod stream;
