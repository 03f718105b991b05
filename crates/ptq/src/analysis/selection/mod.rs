//! Choosing which layers get more precision.

mod greedy;
mod knapsack;

pub use greedy::greedy;
pub use knapsack::knapsack;

use super::{AnalysisError, Layer, Precision};
use serde::{Deserialize, Serialize};

/// What a change costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cost {
    /// Bytes of constants.
    Bytes,
    /// Multiplications in f32 for one image.
    Macs,
    /// Layers in f32.
    Layers,
}

impl Cost {
    /// What it costs more to compute a layer with precision `to` than with `from`; 0 if it costs less.
    #[must_use]
    pub fn of(self, layer: &Layer, from: Precision, to: Precision) -> u64 {
        let cost = |precision: Precision| match self {
            Cost::Bytes => precision.bytes(layer),
            Cost::Macs => precision.float_macs(layer),
            Cost::Layers => u64::from(precision == Precision::F32),
        };
        cost(to).saturating_sub(cost(from))
    }
}

/// A change that can be made: one scope gets one precision.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The scope; of the candidates of one scope at most one is chosen.
    pub scope: String,
    /// Its precision.
    pub precision: Precision,
    /// What it is worth; gains of several scopes are taken to add up.
    pub gain: f64,
    /// What it costs.
    pub cost: u64,
}

/// Some of the candidates together.
#[derive(Debug, Clone, PartialEq)]
pub struct Combination {
    /// Positions in the list of candidates, ascending.
    pub chosen: Vec<usize>,
    /// Sum of their gains.
    pub gain: f64,
    /// Sum of their costs.
    pub cost: u64,
}

/// Combinations by rising cost and, unless it was [extended](Chain::extended), gain; the first is empty, or holds what is free.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain(Vec<Combination>);

impl Chain {
    /// All of them.
    #[must_use]
    pub fn combinations(&self) -> &[Combination] {
        &self.0
    }

    /// The chain with more behind its end: the scopes that the last combination leaves out join one by one, each with its best candidate, by
    /// falling gain. Estimated gains don't rise there any more. But layers that are worth nothing alone, while others are coarse, may be worth
    /// something after those; so this is for goals that are measured.
    #[must_use]
    pub fn extended(mut self, candidates: &[Candidate]) -> Self {
        let Some(mut last) = self.0.last().cloned() else { return self };
        let taken = |last: &Combination, candidate: &Candidate| {
            last.chosen.iter().any(|&index| candidates[index].scope == candidate.scope)
        };
        let mut left: Vec<usize> = (0..candidates.len()).collect();
        let worth = |&index: &usize| (candidates[index].gain, candidates[index].cost);
        left.sort_by(|a, b| worth(b).0.total_cmp(&worth(a).0).then(worth(a).1.cmp(&worth(b).1)));
        for index in left {
            if taken(&last, &candidates[index]) {
                continue;
            }
            last.chosen.push(index);
            last.chosen.sort_unstable();
            last.gain = last.chosen.iter().map(|&index| candidates[index].gain).sum();
            last.cost += candidates[index].cost;
            self.0.push(last.clone());
        }
        self
    }

    /// The last combination that costs at most `budget`, the best unless the chain was extended; `None` if not even the first does.
    #[must_use]
    pub fn within(&self, budget: u64) -> Option<&Combination> {
        self.0.iter().take_while(|combination| combination.cost <= budget).last()
    }

    /// Finds a cheap combination whose measured score is at least `goal`, and that score.
    ///
    /// Gains are estimates, so `measure` runs the network with the combination, about `log2(combinations)` times: the first, the last, then
    /// halving between one that falls short and one that does not. Were scores to rise along the chain, the result would be the cheapest; in any
    /// case it was measured and reaches the goal.
    ///
    /// # Errors
    /// [`AnalysisError::OutOfReach`] if the last combination falls short, and those of `measure`.
    pub fn cheapest<E: From<AnalysisError>>(
        &self,
        goal: f64,
        mut measure: impl FnMut(&Combination) -> Result<f64, E>,
    ) -> Result<(&Combination, f64), E> {
        let (Some(first), Some(last)) = (self.0.first(), self.0.last()) else {
            return Err(AnalysisError::Nothing { what: "there is no combination" }.into());
        };
        let score = measure(first)?;
        if score >= goal {
            return Ok((first, score));
        }
        let mut reached = if self.0.len() > 1 { measure(last)? } else { score };
        let reaches = |score: f64| score >= goal;
        if !reaches(reached) {
            return Err(AnalysisError::OutOfReach { goal, measured: reached }.into());
        }
        let (mut short, mut enough) = (0, self.0.len() - 1);
        while enough - short > 1 {
            let middle = short + (enough - short) / 2;
            let score = measure(&self.0[middle])?;
            if reaches(score) {
                (enough, reached) = (middle, score);
            } else {
                short = middle;
            }
        }
        Ok((&self.0[enough], reached))
    }
}

/// Candidates that are worth something, by scope in the order of their first candidate: positions in the list.
fn by_scope(candidates: &[Candidate]) -> Result<Vec<Vec<usize>>, AnalysisError> {
    let mut scopes: Vec<Vec<usize>> = Vec::new();
    let mut total: u64 = 0;
    for (index, candidate) in candidates.iter().enumerate() {
        if !candidate.gain.is_finite() {
            return Err(AnalysisError::Gain { name: candidate.scope.clone(), gain: candidate.gain });
        }
        let sum = total.checked_add(candidate.cost).filter(|&sum| i64::try_from(sum).is_ok());
        total = sum.ok_or(AnalysisError::Costs)?;
        if candidate.gain <= 0.0 {
            continue;
        }
        match scopes.iter_mut().find(|scope| candidates[scope[0]].scope == candidate.scope) {
            Some(scope) => scope.push(index),
            None => scopes.push(vec![index]),
        }
    }
    Ok(scopes)
}
