//! By gain per cost.

use super::{AnalysisError, Candidate, Chain, Combination, by_scope};
use std::collections::BTreeSet;

/// A step up of one scope: from nothing, or from a cheaper candidate.
struct Raise {
    scope: usize,
    from: Option<usize>,
    to: usize,
    gain: f64,
    cost: u64,
}

impl Raise {
    fn ratio(&self) -> f64 {
        if self.cost == 0 { f64::INFINITY } else { self.gain / self.cost as f64 }
    }
}

/// Takes the raise with the most gain per cost again and again, as long as `budget` allows; a raise that does not fit is left out, and so are
/// those that build on it. The chain holds the combination after every raise.
///
/// Among equal ratios the larger gain comes first, then the earlier scope. A candidate that is not on the upper convex hull of its scope's
/// candidates is never taken: another step up gives more for each unit of cost.
///
/// # Errors
/// [`AnalysisError::Gain`] for a gain that is not finite, [`AnalysisError::Costs`] if costs overflow.
pub fn greedy(candidates: &[Candidate], budget: u64) -> Result<Chain, AnalysisError> {
    let scopes = by_scope(candidates)?;
    let mut raises: Vec<Raise> =
        scopes.iter().enumerate().flat_map(|(scope, members)| raises(candidates, scope, members)).collect();
    let order = |a: &Raise, b: &Raise| {
        b.ratio().total_cmp(&a.ratio()).then(b.gain.total_cmp(&a.gain)).then(a.scope.cmp(&b.scope))
    };
    raises.sort_by(order);
    let mut chosen = BTreeSet::new();
    let mut chain = vec![Combination { chosen: Vec::new(), gain: 0.0, cost: 0 }];
    let mut closed = vec![false; scopes.len()];
    let mut cost = 0;
    for raise in raises {
        if closed[raise.scope] || raise.cost > budget - cost {
            closed[raise.scope] = true;
            continue;
        }
        raise.from.map(|from| chosen.remove(&from));
        chosen.insert(raise.to);
        cost += raise.cost;
        // Summed anew in one order, so that a combination has one gain whatever way led to it.
        let gain = chosen.iter().map(|&index: &usize| candidates[index].gain).sum();
        chain.push(Combination { chosen: chosen.iter().copied().collect(), gain, cost });
    }
    Ok(Chain(chain))
}

/// The raises along the upper convex hull of a scope's candidates, which have falling ratios.
fn raises(candidates: &[Candidate], scope: usize, members: &[usize]) -> Vec<Raise> {
    let mut sorted = members.to_vec();
    let key = |index: usize| (candidates[index].cost, candidates[index].gain);
    sorted.sort_by(|&a, &b| key(a).0.cmp(&key(b).0).then(key(b).1.total_cmp(&key(a).1)));
    let mut hull: Vec<Raise> = Vec::new();
    for to in sorted {
        loop {
            let from = hull.last().map(|raise| raise.to);
            let (cost, gain) = from.map_or((0, 0.0), key);
            let raise = Raise { scope, from, to, gain: key(to).1 - gain, cost: key(to).0 - cost };
            if raise.gain <= 0.0 {
                break;
            }
            if hull.last().is_some_and(|last| last.ratio() <= raise.ratio()) {
                hull.pop();
                continue;
            }
            hull.push(raise);
            break;
        }
    }
    hull
}
