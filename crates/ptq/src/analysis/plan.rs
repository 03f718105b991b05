//! Which networks an analysis compares.

use super::{Layer, Precision, Quantizers, Scope};
use crate::{Error, QuantConfig, lower_integer};
use nn_graph::{Graph, Params};
use quant_core::Program;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What is compared with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The base is quantised; a variant computes one scope in higher precision. Tensors stay quantised.
    LeaveOneOut,
    /// The base is in f32; a variant computes one scope in integers, its inputs quantised and its results dequantised.
    OnlyOneOn,
}

/// A network that differs from the base in one scope.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// What differs.
    pub scope: Scope,
    /// The precision of the scope's layers.
    pub precision: Precision,
    /// What to lower.
    pub config: QuantConfig,
}

/// A base and its variants.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Configuration of the base.
    pub base: QuantConfig,
    /// Scope by scope, each with all precisions.
    pub variants: Vec<Variant>,
}

impl Plan {
    /// Variants of a network whose layers have the precision `base`, but for those in `ignored`, which stay in f32: each scope with each of
    /// `precisions` that differs from the base.
    ///
    /// With [`Mode::LeaveOneOut`] the others keep the precision `base`. With [`Mode::OnlyOneOn`] they and all tensors are in f32, and `base` has no
    /// meaning.
    #[must_use]
    pub fn new(
        mode: Mode,
        graph: &Graph,
        layers: &[Layer],
        quantizers: &Quantizers,
        base: Precision,
        (scopes, ignored): (&[Scope], &BTreeSet<String>),
        precisions: &[Precision],
    ) -> Self {
        let rest = if mode == Mode::LeaveOneOut { base } else { Precision::F32 };
        let float_tensors: BTreeSet<String> = match mode {
            Mode::LeaveOneOut => BTreeSet::new(),
            Mode::OnlyOneOn => graph.nodes().iter().map(|node| node.name.clone()).collect(),
        };
        let config = |changed: &BTreeMap<&String, Precision>| {
            let of = |layer: &Layer| {
                let rest = if ignored.contains(&layer.name) { Precision::F32 } else { rest };
                changed.get(&layer.name).copied().unwrap_or(rest)
            };
            QuantConfig { float_tensors: float_tensors.clone(), ..quantizers.config(layers, of) }
        };
        let variant = |scope: &Scope, precision: Precision| {
            let config = config(&scope.layers.iter().map(|name| (name, precision)).collect());
            Variant { scope: scope.clone(), precision, config }
        };
        let pairs = scopes.iter().flat_map(|scope| precisions.iter().map(move |&p| (scope, p)));
        let variants = pairs.filter(|&(_, p)| p != rest).map(|(scope, p)| variant(scope, p)).collect();
        Self { base: config(&BTreeMap::new()), variants }
    }

    /// The programs of the base and of the variants.
    ///
    /// # Errors
    /// As [`lower_integer`].
    pub fn lower(&self, graph: &Graph, params: &Params) -> Result<(Program, Vec<Program>), Error> {
        let variants = self.variants.iter().map(|v| lower_integer(graph, params, &v.config));
        Ok((lower_integer(graph, params, &self.base)?, variants.collect::<Result<_, _>>()?))
    }
}
