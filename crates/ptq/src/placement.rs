//! Where quantisers go, and which tensors share one.
//!
//! Placement is data about the tensors of a graph whose BatchNorm is folded: every tensor belongs to one [`Group`], and a group has one
//! quantiser. Ties are transitive (union-find), and are decided before statistics are collected, so that the tensors of a group
//! pool their data in one histogram.

use crate::ScaleGrid;
use nn_graph::{Graph, Op, TensorId};
use serde::{Deserialize, Serialize};

/// Width of the integers of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Width {
    /// 8 bits.
    Bits8,
    /// 16 bits.
    Bits16,
}

/// What happens where branches meet in a concatenation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConcatPolicy {
    /// All branches and the result share one quantiser: nothing is computed, but a narrow branch gets a wide branch's step.
    Tie,
    /// A branch that nothing else reads shares the result's quantiser (its values are rounded once, straight to that step); any
    /// other keeps its own and is re-scaled.
    TieExclusive,
    /// Every branch keeps its own quantiser and is re-scaled.
    Rescale,
}

/// What a target wants of placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementOptions {
    /// Width of all tensors; what else is said of widths matters where this is 8 bits.
    #[serde(default = "narrow")]
    pub activations: Width,
    /// Width of the argument of an activation, and of the detection outputs.
    pub preactivation: Width,
    /// Ties at concatenations.
    pub concat: ConcatPolicy,
    /// Whether both operands and the result of an addition share one quantiser.
    pub tie_add: bool,
    /// Scales that quantisers may have; that of the image is 1/255 (or 1/32640) nevertheless.
    #[serde(default)]
    pub scales: ScaleGrid,
}

impl Default for PlacementOptions {
    fn default() -> Self {
        Self {
            activations: Width::Bits8,
            preactivation: Width::Bits16,
            concat: ConcatPolicy::TieExclusive,
            tie_add: false,
            scales: ScaleGrid::Any,
        }
    }
}

fn narrow() -> Width {
    Width::Bits8
}

/// The options that decide which tensors are observed and pooled: widths do not, so one calibration serves all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ties {
    /// As in [`PlacementOptions`].
    pub concat: ConcatPolicy,
    /// As in [`PlacementOptions`].
    pub tie_add: bool,
}

impl From<PlacementOptions> for Ties {
    fn from(options: PlacementOptions) -> Self {
        Self { concat: options.concat, tie_add: options.tie_add }
    }
}

/// Why a tensor is quantised as it is. The names are those of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The image: 8 bits, scale 1/255, zero point -128, or 16 bits, scale 1/32640, zero point 0, so that pixels are exact whatever the
    /// method.
    ImageInput,
    /// Read by a convolution: 8 bits.
    ConvInput,
    /// Argument of an activation that is fused with its convolution: width of the target.
    PreActivation,
    /// Read by additions alone, so that it never leaves the adder: 16 bits where pre-activations have 16.
    ResidualOperand,
    /// Leaves the graph: width of pre-activations.
    DetectOutput,
    /// None of the above: 8 bits.
    Other,
    /// Tie: pooling, upsampling and rearranging only move values, so result and input share a quantiser.
    PassThroughTie,
    /// Tie: a concatenation and a branch.
    ConcatTie,
    /// Tie: an addition, its operands and its result.
    AddTie,
}

impl Rule {
    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Rule::ImageInput => "image-input",
            Rule::ConvInput => "conv-input",
            Rule::PreActivation => "pre-activation",
            Rule::ResidualOperand => "residual-operand",
            Rule::DetectOutput => "detect-output",
            Rule::Other => "other",
            Rule::PassThroughTie => "pass-through-tie",
            Rule::ConcatTie => "concat-tie",
            Rule::AddTie => "add-tie",
        }
    }
}

/// Tensors that share one quantiser.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// What decided the width.
    pub rule: Rule,
    /// Width of its integers.
    pub width: Width,
    /// All its tensors, in graph order.
    pub members: Vec<TensorId>,
    /// The members whose statistics are pooled: those that are computed, not moved from other members.
    pub sources: Vec<TensorId>,
}

/// The quantisers of a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    options: PlacementOptions,
    groups: Vec<Group>,
    group_of: Vec<usize>,
    ties: Vec<(Rule, TensorId, TensorId)>,
}

impl Placement {
    /// Applies the rules to a graph.
    #[must_use]
    pub fn new(graph: &Graph, options: PlacementOptions) -> Self {
        let consumers = graph.consumers();
        let mut sets = UnionFind::new(graph.nodes().len());
        let ties = tie(graph, &consumers, options, &mut sets);
        let mut group_of = vec![usize::MAX; graph.nodes().len()];
        let mut groups: Vec<Group> = Vec::new();
        let mut index_of_root = vec![None; graph.nodes().len()];
        for id in graph.tensors() {
            let root = sets.find(id.index());
            let group = *index_of_root[root].get_or_insert_with(|| {
                groups.push(Group {
                    rule: Rule::Other,
                    width: Width::Bits8,
                    members: Vec::new(),
                    sources: Vec::new(),
                });
                groups.len() - 1
            });
            group_of[id.index()] = group;
            groups[group].members.push(id);
        }
        for group in &mut groups {
            (group.rule, group.width) = width_rule(graph, &consumers, &group.members, options);
            group.sources = sources(graph, &group.members);
        }
        Self { options, groups, group_of, ties }
    }

    /// The options it was made with.
    #[must_use]
    pub fn options(&self) -> PlacementOptions {
        self.options
    }

    /// All groups.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The group of a tensor.
    #[must_use]
    pub fn group(&self, tensor: TensorId) -> &Group {
        &self.groups[self.group_of[tensor.index()]]
    }

    /// Ties that were made: the rule, and the two tensors.
    #[must_use]
    pub fn ties(&self) -> &[(Rule, TensorId, TensorId)] {
        &self.ties
    }

    /// How often each rule was applied: groups by the rule of their width, and ties.
    #[must_use]
    pub fn rule_counts(&self) -> Vec<(Rule, usize)> {
        let mut counts = std::collections::BTreeMap::new();
        let used = self.groups.iter().map(|g| g.rule).chain(self.ties.iter().map(|t| t.0));
        used.for_each(|rule| *counts.entry(rule).or_insert(0) += 1);
        counts.into_iter().collect()
    }

    /// A line per group: rule, width, and its tensors.
    #[must_use]
    pub fn report(&self, graph: &Graph) -> String {
        let line = |group: &Group| {
            let names: Vec<&str> = group.members.iter().map(|&id| graph.node(id).name.as_str()).collect();
            let bits = if group.width == Width::Bits8 { 8 } else { 16 };
            format!("{:<17} {bits:>2}  {}\n", group.rule.name(), names.join(" = "))
        };
        self.groups.iter().map(line).collect()
    }
}

/// Whether a convolution's output is read by nothing but one activation, so that both become one step.
pub(crate) fn is_fused(graph: &Graph, consumers: &[Vec<TensorId>], id: TensorId) -> bool {
    let [reader] = consumers[id.index()].as_slice() else { return false };
    matches!(graph.node(id).op, Op::Conv(_))
        && matches!(graph.node(*reader).op, Op::Activation(_))
        && !graph.outputs().contains(&id)
}

fn moves_values(op: &Op) -> bool {
    matches!(op, Op::MaxPool(_) | Op::Upsample { .. } | Op::SpaceToDepth)
}

fn tie(
    graph: &Graph,
    consumers: &[Vec<TensorId>],
    options: PlacementOptions,
    sets: &mut UnionFind,
) -> Vec<(Rule, TensorId, TensorId)> {
    let mut ties = Vec::new();
    let mut join = |rule, a: TensorId, b: TensorId, sets: &mut UnionFind| {
        sets.join(a.index(), b.index());
        ties.push((rule, a, b));
    };
    for id in graph.tensors() {
        let node = graph.node(id);
        if moves_values(&node.op) {
            join(Rule::PassThroughTie, node.inputs[0], id, sets);
        }
        if node.op == Op::Add && options.tie_add {
            for &input in &node.inputs {
                if !is_image(graph, sets, input) {
                    join(Rule::AddTie, input, id, sets);
                }
            }
        }
    }
    for id in graph.tensors().filter(|&id| graph.node(id).op == Op::Concat) {
        for &input in &graph.node(id).inputs {
            let tied = match options.concat {
                ConcatPolicy::Tie => true,
                ConcatPolicy::TieExclusive => only_reader(graph, consumers, sets, input, id),
                ConcatPolicy::Rescale => false,
            };
            if tied && !is_image(graph, sets, input) {
                join(Rule::ConcatTie, input, id, sets);
            }
        }
    }
    ties
}

/// Whether a tensor holds pixels, so that its quantiser is fixed: other values must not be forced into it.
fn is_image(graph: &Graph, sets: &mut UnionFind, id: TensorId) -> bool {
    // A graph's first node is its input.
    graph.tensors().next().is_some_and(|image| sets.find(image.index()) == sets.find(id.index()))
}

/// Whether `concat` is the only operator that computes with `input` or with a tensor tied to it.
fn only_reader(
    graph: &Graph,
    consumers: &[Vec<TensorId>],
    sets: &mut UnionFind,
    input: TensorId,
    concat: TensorId,
) -> bool {
    let root = sets.find(input.index());
    if root == sets.find(concat.index()) {
        // A set that the concatenation has joined already may be read as the concatenation itself is.
        return true;
    }
    graph.tensors().filter(|id| sets.find(id.index()) == root).all(|member| {
        let readers = consumers[member.index()].iter();
        let foreign = |r: &&TensorId| **r != concat && !moves_values(&graph.node(**r).op);
        readers.filter(foreign).count() == 0 && !graph.outputs().contains(&member)
    })
}

fn width_rule(
    graph: &Graph,
    consumers: &[Vec<TensorId>],
    members: &[TensorId],
    options: PlacementOptions,
) -> (Rule, Width) {
    if options.activations == Width::Bits16 {
        let narrow = PlacementOptions { activations: Width::Bits8, ..options };
        return (width_rule(graph, consumers, members, narrow).0, Width::Bits16);
    }
    let reads = |pick: &dyn Fn(&Op) -> bool| {
        members.iter().flat_map(|id| &consumers[id.index()]).any(|reader| pick(&graph.node(*reader).op))
    };
    let all_read_by_add = || {
        let mut readers = members.iter().flat_map(|id| &consumers[id.index()]).peekable();
        readers.peek().is_some() && readers.all(|reader| graph.node(*reader).op == Op::Add)
    };
    let any = |pick: &dyn Fn(TensorId) -> bool| members.iter().any(|&id| pick(id));
    let wide = options.preactivation == Width::Bits16;
    if any(&|id| matches!(graph.node(id).op, Op::Input { .. })) {
        (Rule::ImageInput, Width::Bits8)
    } else if reads(&|op| matches!(op, Op::Conv(_))) {
        (Rule::ConvInput, Width::Bits8)
    } else if any(&|id| graph.outputs().contains(&id)) {
        // Nothing else reads it, so nothing needs it in 8 bits.
        let plain = members
            .iter()
            .all(|&id| writes_16_bits(graph, consumers, id) && consumers[id.index()].is_empty());
        (Rule::DetectOutput, if plain { options.preactivation } else { Width::Bits8 })
    } else if any(&|id| is_fused(graph, consumers, id)) {
        (Rule::PreActivation, options.preactivation)
    } else if wide && all_read_by_add() && members.iter().all(|&id| writes_16_bits(graph, consumers, id)) {
        (Rule::ResidualOperand, Width::Bits16)
    } else {
        (Rule::Other, Width::Bits8)
    }
}

/// Whether the step that produces a tensor can write 16 bits whatever its inputs have: a convolution, alone or with its activation.
fn writes_16_bits(graph: &Graph, consumers: &[Vec<TensorId>], id: TensorId) -> bool {
    match graph.node(id).op {
        Op::Conv(_) => true,
        Op::Activation(_) => is_fused(graph, consumers, graph.node(id).inputs[0]),
        _ => false,
    }
}

/// The members whose data make up the group's, each value counted once.
///
/// Those are the members that are computed rather than moved. A concatenation that also brings in branches of other groups counts
/// whole instead of its branches in this group.
fn sources(graph: &Graph, members: &[TensorId]) -> Vec<TensorId> {
    let inside = |id: &TensorId| members.contains(id);
    let op = |id: TensorId| &graph.node(id).op;
    let whole = |id: TensorId| *op(id) == Op::Concat && !graph.node(id).inputs.iter().all(inside);
    let mut contained: Vec<TensorId> = Vec::new();
    for &id in members.iter().rev() {
        // From the last member to the first: what feeds a contained tensor by moving alone is contained too.
        let passes_on =
            whole(id) || (contained.contains(&id) && (moves_values(op(id)) || *op(id) == Op::Concat));
        if passes_on {
            contained.extend(graph.node(id).inputs.iter().filter(|id| inside(id)));
        }
    }
    let computed = |id: TensorId| whole(id) || !(moves_values(op(id)) || *op(id) == Op::Concat);
    let sources: Vec<TensorId> =
        members.iter().copied().filter(|&id| computed(id) && !contained.contains(&id)).collect();
    if sources.is_empty() { members[..1].to_vec() } else { sources }
}

/// Disjoint sets with path halving.
struct UnionFind {
    parent: Vec<usize>,
}

impl UnionFind {
    fn new(count: usize) -> Self {
        Self { parent: (0..count).collect() }
    }

    fn find(&mut self, mut element: usize) -> usize {
        while self.parent[element] != element {
            self.parent[element] = self.parent[self.parent[element]];
            element = self.parent[element];
        }
        element
    }

    /// Joins two sets; the smaller root stays, so that results don't depend on the order of joins.
    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        self.parent[a.max(b)] = a.min(b);
    }
}
