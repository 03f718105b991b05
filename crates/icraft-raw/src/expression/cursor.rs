//! Reads an expression from left to right.

use super::ExpressionError;
use crate::excerpt::excerpt;

/// An expression, and how much of it has been read.
#[derive(Debug)]
pub(super) struct Cursor<'t> {
    text: &'t str,
    pub(super) at: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// The error that `expected` does not stand here.
    pub(super) fn expected(&self, expected: &'static str) -> ExpressionError {
        ExpressionError::Expected { at: self.at, expected, found: excerpt(self.rest()) }
    }

    /// Whether `symbol` stands here.
    pub(super) fn stands(&self, symbol: &str) -> bool {
        self.rest().starts_with(symbol)
    }

    /// Reads `symbol` if it stands here.
    pub(super) fn accept(&mut self, symbol: &str) -> bool {
        let found = self.stands(symbol);
        self.at += if found { symbol.len() } else { 0 };
        found
    }

    pub(super) fn expect(&mut self, symbol: &'static str) -> Result<(), ExpressionError> {
        if self.accept(symbol) { Ok(()) } else { Err(self.expected(symbol)) }
    }

    /// Reads `@name(`.
    pub(super) fn name(&mut self) -> Result<&'t str, ExpressionError> {
        self.expect("@")?;
        let name = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
        self.expect("(")?;
        Ok(name)
    }

    /// Reads `)`, after which nothing may follow.
    pub(super) fn close(&mut self) -> Result<(), ExpressionError> {
        self.expect(")")?;
        if self.rest().is_empty() { Ok(()) } else { Err(self.expected("the end")) }
    }

    pub(super) fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let taken = &rest[..rest.find(|c| !belongs(c)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    /// Text up to the next symbol that separates values.
    pub(super) fn word(&mut self) -> &'t str {
        self.take_while(|c| !matches!(c, ',' | '*' | '/' | '(' | ')' | '[' | ']'))
    }

    /// A decimal integer; `range` says in the error what it may be.
    pub(super) fn integer<T: std::str::FromStr>(
        &mut self,
        range: &'static str,
    ) -> Result<T, ExpressionError> {
        let at = self.at;
        let text = self.word();
        let plain = text.strip_prefix('-').unwrap_or(text).bytes().all(|b| b.is_ascii_digit());
        let value = text.parse().ok().filter(|_| plain);
        value.ok_or_else(|| ExpressionError::Integer { at, text: excerpt(text), expected: range })
    }

    /// A finite number that is zero or more.
    pub(super) fn non_negative(&mut self) -> Result<f32, ExpressionError> {
        self.number("non-negative", |value| value >= 0.0)
    }

    /// A finite number above zero.
    pub(super) fn positive(&mut self) -> Result<f32, ExpressionError> {
        self.number("positive", |value| value > 0.0)
    }

    fn number(
        &mut self,
        expected: &'static str,
        allowed: impl Fn(f32) -> bool,
    ) -> Result<f32, ExpressionError> {
        let at = self.at;
        let text = self.word();
        let value = text.parse().ok().filter(|v: &f32| v.is_finite() && v.is_sign_positive() && allowed(*v));
        value.ok_or_else(|| ExpressionError::Number { at, text: excerpt(text), expected })
    }
}
