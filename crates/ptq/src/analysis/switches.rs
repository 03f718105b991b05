//! Layers switched by name.

use super::{AnalysisError, Layer, LayerPattern};
use std::collections::BTreeSet;

/// Which layers are quantised; all of them at first.
#[derive(Debug, Clone)]
pub struct LayerSwitches<'a> {
    layers: &'a [Layer],
    float: BTreeSet<String>,
}

impl<'a> LayerSwitches<'a> {
    /// Switches of these layers, all on.
    #[must_use]
    pub fn new(layers: &'a [Layer]) -> Self {
        Self { layers, float: BTreeSet::new() }
    }

    /// Leaves the layers whose name begins with `pattern` in f32; how many these are.
    ///
    /// # Errors
    /// [`AnalysisError::NoMatch`] if there is none.
    pub fn disable(&mut self, pattern: &LayerPattern) -> Result<usize, AnalysisError> {
        let found = pattern.select(self.layers)?;
        self.float.extend(found.iter().map(|layer| layer.name.clone()));
        Ok(found.len())
    }

    /// Quantises the layers whose name begins with `pattern`; how many these are.
    ///
    /// # Errors
    /// [`AnalysisError::NoMatch`] if there is none.
    pub fn enable(&mut self, pattern: &LayerPattern) -> Result<usize, AnalysisError> {
        let found = pattern.select(self.layers)?;
        for layer in &found {
            self.float.remove(&layer.name);
        }
        Ok(found.len())
    }

    /// Shows `body` switches with the layers of `pattern` in f32. These here stay as they are, also if `body` panics.
    ///
    /// # Errors
    /// [`AnalysisError::NoMatch`] if there is no such layer; `body` is not called then.
    pub fn while_disabled<R>(
        &self,
        pattern: &LayerPattern,
        body: impl FnOnce(&mut Self) -> R,
    ) -> Result<R, AnalysisError> {
        let mut inner = self.clone();
        inner.disable(pattern)?;
        Ok(body(&mut inner))
    }

    /// Shows `body` switches with the layers of `pattern` quantised. These here stay as they are, also if `body` panics.
    ///
    /// # Errors
    /// [`AnalysisError::NoMatch`] if there is no such layer; `body` is not called then.
    pub fn while_enabled<R>(
        &self,
        pattern: &LayerPattern,
        body: impl FnOnce(&mut Self) -> R,
    ) -> Result<R, AnalysisError> {
        let mut inner = self.clone();
        inner.enable(pattern)?;
        Ok(body(&mut inner))
    }

    /// The layers that stay in f32, as [`QuantConfig::float`](crate::QuantConfig::float) takes them.
    #[must_use]
    pub fn float(&self) -> &BTreeSet<String> {
        &self.float
    }
}
