//! Which weights of a tensor are frozen.

use crate::Error;
use nn_graph::formula_uniform;

/// By what weights are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// The largest magnitudes first; of equal ones the first.
    Magnitude,
    /// At random, by a seed.
    Random {
        /// The seed.
        seed: u64,
    },
}

/// What becomes of weights that were frozen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nesting {
    /// They stay frozen; the others are chosen from.
    Cumulative,
    /// All are chosen from again, as published scripts for Icraft do: what was frozen may be free again.
    Redrawn,
}

/// The frozen weights of a tensor at a stage: exactly `round(ratio n)` of `n` are `true`, but never fewer than before if these stay.
///
/// A threshold on magnitudes, as a quantile, would freeze all weights that equal it: on a grid of 255 values these are many, and with enough
/// zeros it would freeze everything.
///
/// # Errors
/// [`Error::NotFinite`]; [`Error::Mask`] if the mask before has another length.
pub fn partition(
    name: &str,
    values: &[f32],
    before: Option<&[bool]>,
    ratio: f64,
    (by, nesting): (Partition, Nesting),
) -> Result<Vec<bool>, Error> {
    let count = values.iter().filter(|value| !value.is_finite()).count();
    if count > 0 {
        return Err(Error::NotFinite { count });
    }
    let mut frozen = match (before, nesting) {
        (Some(before), _) if before.len() != values.len() => {
            let (expected, found) = (before.len(), values.len());
            return Err(Error::Mask { parameter: name.to_owned(), expected, found });
        }
        (Some(before), Nesting::Cumulative) => before.to_vec(),
        _ => vec![false; values.len()],
    };
    let wanted = (ratio * values.len() as f64).round() as usize;
    let missing = wanted.saturating_sub(frozen.iter().filter(|&&is| is).count());
    let mut free: Vec<usize> = (0..values.len()).filter(|&index| !frozen[index]).collect();
    match by {
        Partition::Magnitude => free.sort_by(|&a, &b| values[b].abs().total_cmp(&values[a].abs())),
        Partition::Random { seed } => {
            let stream = format!("{seed}:{name}");
            let draw = |&index: &usize| formula_uniform(&stream, index as u64);
            free.sort_by(|a, b| draw(a).total_cmp(&draw(b)));
        }
    }
    free.iter().take(missing).for_each(|&index| frozen[index] = true);
    Ok(frozen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAPER: (Partition, Nesting) = (Partition::Magnitude, Nesting::Cumulative);

    #[test]
    fn ties_and_zeros_do_not_freeze_everything() {
        let values = [0.0, -1.0, 1.0, 1.0, 0.0, 2.0, 0.0, 0.0];
        let frozen = |ratio| partition("w", &values, None, ratio, PAPER).unwrap();
        assert_eq!(frozen(0.25), [false, true, false, false, false, true, false, false]);
        assert_eq!(frozen(0.625).iter().filter(|f| **f).count(), 5);
        assert_eq!(frozen(1.0), [true; 8]);
    }

    #[test]
    fn what_is_wrong_is_told() {
        let error = partition("w", &[f32::NAN, 1.0], None, 0.5, PAPER).unwrap_err();
        assert!(matches!(error, Error::NotFinite { count: 1 }));
        let error = partition("w", &[1.0, 2.0], Some(&[true]), 0.5, PAPER).unwrap_err();
        assert!(matches!(error, Error::Mask { parameter, expected: 1, found: 2 } if parameter == "w"));
    }

    proptest! {
        #[test]
        fn shares_are_exact_and_nested(values in prop::collection::vec(-2.0..2.0f32, 1..60), first in 0.0..1.0f64, more in 0.0..1.0f64, random: bool, redrawn: bool) {
            let by = if random { Partition::Random { seed: 3 } } else { Partition::Magnitude };
            let nesting = if redrawn { Nesting::Redrawn } else { Nesting::Cumulative };
            let second = first + (1.0 - first) * more;
            let before = partition("w", &values, None, first, (by, nesting)).unwrap();
            // The free ones have moved since.
            let moved: Vec<f32> = values.iter().zip(&before).map(|(v, frozen)| if *frozen { *v } else { -0.7 * v }).collect();
            let after = partition("w", &moved, Some(&before), second, (by, nesting)).unwrap();
            let count = |mask: &[bool]| mask.iter().filter(|f| **f).count();
            prop_assert_eq!(count(&before), (first * values.len() as f64).round() as usize);
            prop_assert_eq!(count(&after), (second * values.len() as f64).round() as usize);
            if nesting == Nesting::Cumulative {
                prop_assert!(before.iter().zip(&after).all(|(a, b)| *b || !*a));
            }
            if !random && nesting == Nesting::Redrawn {
                let least = moved.iter().zip(&after).filter(|p| *p.1).map(|p| p.0.abs()).fold(f32::MAX, f32::min);
                prop_assert!(moved.iter().zip(&after).all(|(v, frozen)| *frozen || v.abs() <= least));
            }
        }
    }
}
