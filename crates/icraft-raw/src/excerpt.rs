//! Text from files in error messages.

/// Bytes that an error shows of a text.
const SHOWN: usize = 48;

/// The start of `text`, short enough for an error message.
pub(crate) fn excerpt(text: &str) -> String {
    let end = (0..=text.len().min(SHOWN)).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    text[..end].to_owned()
}
