//! Choosing layers: beside every combination there is, and with scores that don't add up.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use proptest::prelude::*;
use ptq::analysis::{AnalysisError, Candidate, Chain, Combination, Cost, Layer, Precision, greedy, knapsack};

fn candidate(scope: usize, precision: Precision, gain: f64, cost: u64) -> Candidate {
    Candidate { scope: format!("model.{scope}"), precision, gain, cost }
}

/// Every way to choose at most one candidate of each scope: `(gain, cost)`.
fn all_combinations(candidates: &[Candidate]) -> Vec<(f64, u64)> {
    let mut scopes: Vec<Vec<&Candidate>> = Vec::new();
    for candidate in candidates {
        match scopes.iter_mut().find(|scope| scope[0].scope == candidate.scope) {
            Some(scope) => scope.push(candidate),
            None => scopes.push(vec![candidate]),
        }
    }
    let mut combinations = vec![(0.0, 0)];
    for scope in scopes {
        let raised = |&(gain, cost): &(f64, u64)| {
            scope.iter().map(move |c| (gain + c.gain, cost + c.cost)).collect::<Vec<_>>()
        };
        let more: Vec<(f64, u64)> = combinations.iter().flat_map(raised).collect();
        combinations.extend(more);
    }
    combinations
}

/// Up to 12 scopes, some with two candidates, one behind the other.
fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let gain = prop_oneof![4 => -0.2f64..1.0, 1 => Just(0.25), 1 => Just(0.0)];
    let cost = prop_oneof![4 => 0u64..50, 1 => Just(10), 1 => Just(0)];
    let scope = (prop::collection::vec((gain, cost), 1..=2)).boxed();
    prop::collection::vec(scope, 1..=10).prop_map(|scopes| {
        let precisions = [Precision::Int8Pre16, Precision::F32];
        let rows = scopes.into_iter().enumerate();
        rows.flat_map(|(index, rows)| {
            rows.into_iter().zip(precisions).map(move |((gain, cost), p)| candidate(index, p, gain, cost))
        })
        .collect()
    })
}

/// What a chain has to be, whatever made it.
fn assert_sound(chain: &Chain, candidates: &[Candidate]) {
    let combinations = chain.combinations();
    assert!(combinations.windows(2).all(|p| p[0].cost <= p[1].cost && p[0].gain < p[1].gain), "{chain:?}");
    for combination in combinations {
        let chosen: Vec<&Candidate> = combination.chosen.iter().map(|&index| &candidates[index]).collect();
        assert_eq!(combination.cost, chosen.iter().map(|c| c.cost).sum::<u64>());
        assert_eq!(combination.gain, chosen.iter().map(|c| c.gain).sum::<f64>());
        assert!(chosen.windows(2).all(|pair| pair[0].scope != pair[1].scope), "{chosen:?}");
    }
}

proptest! {
    #[test]
    fn knapsack_is_as_good_as_the_best_of_all_combinations(candidates in candidates(), budget in 0u64..300) {
        let chain = knapsack(&candidates, u64::MAX).unwrap();
        assert_sound(&chain, &candidates);
        let all = all_combinations(&candidates);
        let affordable = all.iter().filter(|(_, cost)| *cost <= budget);
        let best = affordable.map(|(gain, _)| *gain).fold(0.0, f64::max);
        prop_assert_eq!(chain.within(budget).unwrap().gain, best);
        // A budget given beforehand changes nothing but the end of the chain.
        let cut = knapsack(&candidates, budget).unwrap();
        prop_assert_eq!(cut.combinations().last(), chain.within(budget));
    }

    #[test]
    fn greedy_is_sound_and_knapsack_never_worse(candidates in candidates(), budget in 0u64..300) {
        let chain = greedy(&candidates, budget).unwrap();
        assert_sound(&chain, &candidates);
        let last = chain.combinations().last().unwrap();
        prop_assert!(last.cost <= budget);
        prop_assert!(knapsack(&candidates, budget).unwrap().within(budget).unwrap().gain >= last.gain);
        // With money for everything, every scope gets its best.
        let unlimited = greedy(&candidates, u64::MAX).unwrap();
        let best = all_combinations(&candidates).iter().map(|(gain, _)| *gain).fold(0.0, f64::max);
        prop_assert_eq!(unlimited.combinations().last().unwrap().gain, best);
    }

    #[test]
    fn an_extended_chain_ends_with_all_scopes(candidates in candidates()) {
        for chain in [greedy(&candidates, u64::MAX).unwrap(), knapsack(&candidates, u64::MAX).unwrap()] {
            let before = chain.combinations().to_vec();
            let extended = chain.extended(&candidates);
            let (front, back) = extended.combinations().split_at(before.len());
            prop_assert_eq!(front, &before[..]);
            let mut scopes: Vec<&str> = candidates.iter().map(|c| c.scope.as_str()).collect();
            scopes.dedup();
            let last = extended.combinations().last().unwrap();
            let chosen: Vec<&str> = last.chosen.iter().map(|&i| candidates[i].scope.as_str()).collect();
            prop_assert_eq!(&chosen, &scopes);
            prop_assert_eq!(last.cost, last.chosen.iter().map(|&i| candidates[i].cost).sum::<u64>());
            // One more each, never at a gain.
            for pair in extended.combinations()[before.len() - 1..].windows(2) {
                prop_assert_eq!(pair[1].chosen.len(), pair[0].chosen.len() + 1);
                prop_assert!(pair[1].gain <= pair[0].gain + 1e-12 && pair[1].cost >= pair[0].cost);
            }
            prop_assert_eq!(back.len(), scopes.len() - before.last().unwrap().chosen.len());
        }
    }

    #[test]
    fn what_is_measured_reaches_the_goal(
        candidates in candidates(), goal in -0.2f64..3.0, noise in prop::collection::vec(-0.05f64..0.05, 64)
    ) {
        for chain in [greedy(&candidates, u64::MAX).unwrap(), knapsack(&candidates, u64::MAX).unwrap()] {
            let real = |combination: &Combination| {
                combination.gain * 0.9 + noise[combination.chosen.iter().sum::<usize>() % noise.len()]
            };
            let mut measured = Vec::new();
            let result = chain.cheapest(goal, |combination| {
                measured.push(combination.cost);
                Ok::<_, AnalysisError>(real(combination))
            });
            prop_assert!(measured.len() <= 3 + chain.combinations().len().ilog2() as usize);
            let count = measured.len();
            measured.sort_unstable();
            measured.dedup();
            prop_assert!(measured.len() <= count);
            match result {
                Ok((combination, score)) => {
                    prop_assert!(score >= goal && score == real(combination));
                }
                Err(AnalysisError::OutOfReach { measured, .. }) => {
                    prop_assert!(measured < goal && measured == real(chain.combinations().last().unwrap()));
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn rising_scores_give_the_cheapest_that_suffices() {
    let candidates: Vec<Candidate> =
        (0..40).map(|i| candidate(i, Precision::F32, 1.0, 1 + i as u64)).collect();
    let chain = greedy(&candidates, u64::MAX).unwrap();
    let mut calls = 0;
    for enough in 0..=40usize {
        let (combination, _) = chain
            .cheapest(enough as f64, |combination| {
                calls += 1;
                Ok::<_, AnalysisError>(combination.chosen.len() as f64)
            })
            .unwrap();
        assert_eq!(combination.chosen.len(), enough);
    }
    assert!(calls <= 41 * 8, "{calls} measurements");
}

#[test]
fn greedy_takes_the_better_ratio_where_the_knapsack_takes_the_better_sum() {
    let rows = [(6.0, 10), (10.0, 20), (12.0, 30)];
    let candidates: Vec<Candidate> =
        rows.iter().enumerate().map(|(i, &(gain, cost))| candidate(i, Precision::F32, gain, cost)).collect();
    assert_eq!(greedy(&candidates, 50).unwrap().combinations().last().unwrap().chosen, [0, 1]);
    let best = knapsack(&candidates, 50).unwrap();
    assert_eq!(best.within(50).unwrap().chosen, [1, 2]);
    assert_eq!(best.within(9).unwrap().chosen, [0usize; 0]);
}

#[test]
fn unusable_candidates_are_refused() {
    type Select = fn(&[Candidate], u64) -> Result<Chain, AnalysisError>;
    for select in [greedy as Select, knapsack] {
        let nan = [candidate(0, Precision::F32, f64::NAN, 1)];
        assert!(matches!(select(&nan, 5), Err(AnalysisError::Gain { .. })));
        let huge = [candidate(0, Precision::F32, 1.0, u64::MAX), candidate(1, Precision::F32, 1.0, 2)];
        assert!(matches!(select(&huge, 5), Err(AnalysisError::Costs)));
        assert_eq!(select(&[], 5).unwrap().combinations().len(), 1);
    }
    // Gains and costs of powers of two: no combination beats another.
    let all: Vec<Candidate> =
        (0..20).map(|i| candidate(i, Precision::F32, f64::from(1 << i), 1 << i)).collect();
    assert!(matches!(knapsack(&all, u64::MAX), Err(AnalysisError::TooManyCombinations { .. })));
}

#[test]
fn costs_of_a_layer() {
    let layer = Layer {
        name: "model.0.conv".into(),
        result: "model.0.act".into(),
        block: "model.0".into(),
        weights: 1000,
        channels: 10,
        macs: 5000,
    };
    let rows = [
        (Cost::Bytes, Precision::F32, 4040 - 1120),
        (Cost::Bytes, Precision::Int8Pre16, 0),
        (Cost::Macs, Precision::F32, 5000),
        (Cost::Macs, Precision::Int8Pre16, 0),
        (Cost::Layers, Precision::F32, 1),
        (Cost::Layers, Precision::Int8Pre8, 0),
    ];
    for (cost, to, expected) in rows {
        assert_eq!(cost.of(&layer, Precision::Int8Pre8, to), expected, "{cost:?} {to}");
    }
    assert_eq!(Cost::Bytes.of(&layer, Precision::F32, Precision::Int8Pre8), 0);
}
