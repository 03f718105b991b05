//! All combinations worth having.

use super::{AnalysisError, Candidate, Chain, Combination, by_scope};

/// No more combinations are kept at a time: 60 scopes then take 400 MiB at most.
const MAX_STATES: usize = 1 << 18;

/// The best way to spend `cost` on the scopes so far.
#[derive(Clone, Copy)]
struct State {
    cost: u64,
    gain: f64,
    /// The last choice, in the list of choices.
    last: Option<usize>,
}

/// A candidate taken after others.
struct Choice {
    candidate: usize,
    before: Option<usize>,
}

/// All combinations within `budget` that no other beats: none costs less for as much gain. The best for any budget is among them, exactly,
/// for gains that add up.
///
/// Dynamic programming over scopes with lists of undominated states instead of a table over costs (Nemhauser and Ullmann, *Discrete Dynamic
/// Programming and Capital Allocation*, Management Science 15, 1969), so that costs may be any integers.
///
/// # Errors
/// [`AnalysisError::Gain`] for a gain that is not finite, [`AnalysisError::Costs`] if costs overflow,
/// [`AnalysisError::TooManyCombinations`] if more than 2^18 states are undominated.
pub fn knapsack(candidates: &[Candidate], budget: u64) -> Result<Chain, AnalysisError> {
    let mut states = vec![State { cost: 0, gain: 0.0, last: None }];
    let mut choices: Vec<Choice> = Vec::new();
    for members in by_scope(candidates)? {
        let mut extended: Vec<(State, Option<usize>)> = states.iter().map(|&state| (state, None)).collect();
        for index in members {
            let Candidate { gain, cost, .. } = candidates[index];
            let affordable = states.iter().filter(|state| cost <= budget - state.cost);
            let raised = |state: &State| State { cost: state.cost + cost, gain: state.gain + gain, ..*state };
            extended.extend(affordable.map(|state| (raised(state), Some(index))));
        }
        states = undominated(extended, &mut choices);
        if states.len() > MAX_STATES {
            return Err(AnalysisError::TooManyCombinations { limit: MAX_STATES });
        }
    }
    let combination = |state: &State| Combination {
        chosen: trace(&choices, state.last),
        gain: state.gain,
        cost: state.cost,
    };
    Ok(Chain(states.iter().map(combination).collect()))
}

/// The states that cost less or gain more than all others, by rising cost; new choices are noted.
fn undominated(mut states: Vec<(State, Option<usize>)>, choices: &mut Vec<Choice>) -> Vec<State> {
    // Stable, so that of equal states the one with fewer choices stays.
    states.sort_by(|(a, _), (b, _)| a.cost.cmp(&b.cost).then(b.gain.total_cmp(&a.gain)));
    let mut kept: Vec<State> = Vec::new();
    for (mut state, candidate) in states {
        if kept.last().is_some_and(|last| last.gain >= state.gain) {
            continue;
        }
        if let Some(candidate) = candidate {
            choices.push(Choice { candidate, before: state.last });
            state.last = Some(choices.len() - 1);
        }
        kept.push(state);
    }
    kept
}

fn trace(choices: &[Choice], mut last: Option<usize>) -> Vec<usize> {
    let mut chosen = Vec::new();
    while let Some(index) = last {
        chosen.push(choices[index].candidate);
        last = choices[index].before;
    }
    chosen.sort_unstable();
    chosen
}
